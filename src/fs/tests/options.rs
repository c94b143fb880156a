//! What a mount is asked to show otherwise than it is stored.

use super::support::*;
use crate::fs::ops::*;
use crate::fs::{Error, Filesystem, Options};
use std::collections::BTreeSet;

const NONE: u32 = u32::MAX;
const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

fn found(fs: &Filesystem, name: &[u8]) -> Entry {
    fs.lookup(ROOT_USER, NodeId::ROOT, name).unwrap().unwrap()
}

#[test]
fn umask_takes_permissions_away_and_leaves_what_is_stored() {
    let backing = Backing::new();
    let fs = backing.mount_with(Options { umask: 0o027, check_permissions: true, ..Options::default() });
    chmod(&fs, ROOT_USER, NodeId::ROOT, 0o777).unwrap();
    let file = make_file(&fs, ROOT_USER, NodeId::ROOT, "f", 0o777).unwrap();
    chown(&fs, ROOT_USER, file, Some(1000), Some(1000)).unwrap();
    fs.make_symlink(ROOT_USER, NodeId::ROOT, b"l", b"f").unwrap();
    assert_eq!((mode(&fs, file), found(&fs, b"l").attributes.mode), (0o750, 0o777));
    let member = Caller { uid: 3000, gid: 1000, pid: 0 };
    let may = |caller, mask| fs.access(caller, file, mask).is_ok();
    assert!(may(USER, 7) && may(member, 5) && !may(member, 2) && !may(OTHER, 4));
    fs.shut_down();
    assert_eq!(found(&backing.mount(false), b"f").attributes.mode, 0o777);
}

#[test]
fn without_acls_none_is_set_and_none_counts() {
    let backing = Backing::new();
    let list = acl(&[(1, 6, NONE), (2, 6, 2000), (4, 4, NONE), (0x10, 6, NONE), (0x20, 0, NONE)]);
    let fs = backing.mount(true);
    chmod(&fs, ROOT_USER, NodeId::ROOT, 0o777).unwrap();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    fs.set_xattr(USER, file, ACCESS, &list, SetXattr::Any).unwrap();
    fs.set_xattr(ROOT_USER, NodeId::ROOT, DEFAULT, &list, SetXattr::Any).unwrap();
    assert_eq!(fs.access(OTHER, file, 2), Ok(()));
    fs.shut_down();

    let fs = backing.mount_with(Options { no_acls: true, check_permissions: true, ..Options::default() });
    let file = found(&fs, b"f").node;
    assert_eq!(fs.access(OTHER, file, 2), Err(Error::AccessDenied));
    for name in [ACCESS, DEFAULT] {
        let refused = Err(Error::NotSupported);
        assert_eq!(fs.set_xattr(USER, file, name, &list, SetXattr::Any), refused);
        assert_eq!(fs.get_xattr(USER, file, name).map(drop), refused);
        assert_eq!(fs.remove_xattr(USER, file, name), refused);
    }
    assert_eq!(fs.list_xattrs(USER, file).unwrap(), b"");
    let new = NewNode { kind: Kind::File, mode: 0o666, umask: 0o022, device: 0 };
    assert_eq!(fs.make_node(USER, NodeId::ROOT, b"g", &new).unwrap().attributes.mode, 0o644);
    fs.shut_down();
    let fs = backing.mount(true);
    assert_eq!(fs.get_xattr(USER, found(&fs, b"f").node, ACCESS).unwrap(), list);
}

#[test]
fn what_is_only_for_one_user_has_a_root_directory_closed_to_others() {
    let backing = Backing::new();
    let fs = backing.mount_with(Options { only_for: Some(1000), ..Options::default() });
    chmod(&fs, ROOT_USER, NodeId::ROOT, 0o777).unwrap();
    let root = fs.attributes(NodeId::ROOT).unwrap();
    assert_eq!((root.uid, root.mode), (1000, 0o700));
    let file = make_file(&fs, ROOT_USER, NodeId::ROOT, "f", 0o666).unwrap();
    assert_eq!(mode(&fs, file), 0o666);
    fs.shut_down();
    let root = backing.mount(false).attributes(NodeId::ROOT).unwrap();
    assert_eq!((root.uid, root.mode), (0, 0o777));
}

#[test]
fn small_numbers_are_small_and_differ_and_last_as_long_as_the_mount() {
    let backing = Backing::new();
    let fs = backing.mount_with(Options { small_numbers: true, ..Options::default() });
    let mut numbers = BTreeSet::from([fs.attributes(NodeId::ROOT).unwrap().inode_number]);
    for n in 0..300 {
        let file = make_file(&fs, USER, NodeId::ROOT, &format!("{n}"), 0o644).unwrap();
        assert!(numbers.insert(fs.attributes(file).unwrap().inode_number));
        fs.forget(file, 1);
    }
    assert!(numbers.last().is_some_and(|last| *last < 1000));
    let mut listed = BTreeSet::new();
    fs.read_directory(NodeId::ROOT, 0, false, &mut |entry| {
        listed.insert(entry.inode_number);
        true
    })
    .unwrap();
    assert_eq!(listed, numbers);
    for n in 0..300 {
        assert!(numbers.contains(&found(&fs, format!("{n}").as_bytes()).attributes.inode_number));
    }
}
