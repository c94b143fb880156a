//! Case by case: what random operations hardly hit, and what pjdfstest looks for.

use super::support::*;
use crate::fs::ops::*;
use crate::fs::{Error, Filesystem};
use crate::store::Store;

const NONE: u32 = u32::MAX;
const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

fn node(fs: &Filesystem, parent: NodeId, name: &str) -> Option<NodeId> {
    fs.lookup(ROOT_USER, parent, name.as_bytes()).unwrap().map(|entry| entry.node)
}

fn set(fs: &Filesystem, caller: Caller, node: NodeId, name: &[u8], value: &[u8]) -> Result<(), Error> {
    fs.set_xattr(caller, node, name, value, SetXattr::Any)
}

/// user::rwx, user:1000:rw-, group::r-x, mask::rw-, other::r--
fn extended_acl() -> Vec<u8> {
    acl(&[(1, 7, NONE), (2, 6, 1000), (4, 5, NONE), (0x10, 6, NONE), (0x20, 4, NONE)])
}

#[test]
fn a_node_number_is_of_one_inode_only() {
    let fs = mounted();
    let first = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    assert_eq!(node(&fs, NodeId::ROOT, "f"), Some(first));
    fs.forget(first, 1);
    assert!(fs.attributes(first).is_ok(), "one of two lookups is left");
    fs.forget(first, 1);
    assert_eq!(fs.attributes(first), Err(Error::Stale));
    let second = node(&fs, NodeId::ROOT, "f").unwrap();
    assert_eq!(second, first, "it is made of the inode's id");
    let other = make_file(&fs, USER, NodeId::ROOT, "g", 0o644).unwrap();
    assert_ne!(other, first);
    fs.forget(NodeId::ROOT, 5);
    assert_eq!(fs.attributes(NodeId::ROOT).unwrap().inode_number, 1);
}

#[test]
fn inode_numbers_are_stable_across_mounts() {
    let backing = Backing::new();
    let fs = backing.mount(false);
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    let number = fs.attributes(file).unwrap().inode_number;
    fs.shut_down().unwrap();
    drop(fs);
    let fs = backing.mount(false);
    let again = fs.lookup(USER, NodeId::ROOT, b"f").unwrap().unwrap();
    assert_eq!(again.attributes.inode_number, number);
    let mut listed = Vec::new();
    fs.read_directory(NodeId::ROOT, 0, false, &mut |entry| {
        listed.push((entry.name.to_vec(), entry.inode_number));
        true
    })
    .unwrap();
    assert_eq!(listed, [(b".".to_vec(), 1), (b"..".to_vec(), 1), (b"f".to_vec(), number)]);
}

#[test]
fn an_unlinked_file_lives_until_it_is_forgotten() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    fs.write(file, 0, b"before", WriteHow::default()).unwrap();
    fs.unlink(USER, NodeId::ROOT, b"f").unwrap();
    assert_eq!(fs.attributes(file).unwrap().links, 0);
    fs.write(file, 6, b" after", WriteHow::default()).unwrap();
    let mut content = [0; 20];
    assert_eq!(fs.read(file, 0, &mut content).unwrap(), 12);
    assert_eq!(&content[..12], b"before after");
    assert_eq!(fs.link(USER, file, NodeId::ROOT, b"g").unwrap_err(), Error::NotFound);
    fs.forget(file, 1);
    assert_eq!(fs.read(file, 0, &mut content), Err(Error::Stale));
}

#[test]
fn dot_dot_names_the_parent() {
    let fs = mounted();
    let outer = make_directory(&fs, USER, NodeId::ROOT, "outer", 0o755).unwrap();
    let inner = make_directory(&fs, USER, outer, "inner", 0o755).unwrap();
    let number = |node| fs.attributes(node).unwrap().inode_number;
    let dots = |node| {
        let mut numbers = Vec::new();
        fs.read_directory(node, 0, true, &mut |entry| {
            assert!(entry.entry.is_none() || numbers.len() >= 2);
            numbers.push(entry.inode_number);
            true
        })
        .unwrap();
        (numbers[0], numbers[1])
    };
    assert_eq!(dots(inner), (number(inner), number(outer)));
    fs.rename(USER, (outer, b"inner"), (NodeId::ROOT, b"inner"), RenameFlags::default()).unwrap();
    assert_eq!(dots(inner), (number(inner), 1));
    assert_eq!(fs.attributes(NodeId::ROOT).unwrap().links, 4);
    assert_eq!(fs.attributes(outer).unwrap().links, 2);
}

#[test]
fn names_have_at_most_255_bytes() {
    let fs = mounted();
    let (fits, long) = ("x".repeat(255), "x".repeat(256));
    let file = make_file(&fs, USER, NodeId::ROOT, &fits, 0o644).unwrap();
    assert_eq!(make_file(&fs, USER, NodeId::ROOT, &long, 0o644), Err(Error::NameTooLong));
    let long = long.as_bytes();
    assert_eq!(fs.lookup(USER, NodeId::ROOT, long).unwrap_err(), Error::NameTooLong);
    assert_eq!(fs.unlink(USER, NodeId::ROOT, long), Err(Error::NameTooLong));
    assert_eq!(fs.link(USER, file, NodeId::ROOT, long).unwrap_err(), Error::NameTooLong);
    let (old, new) = ((NodeId::ROOT, fits.as_bytes()), (NodeId::ROOT, long));
    assert_eq!(fs.rename(USER, old, new, RenameFlags::default()), Err(Error::NameTooLong));
}

#[test]
fn a_setgid_directory_hands_down_group_and_bit() {
    let fs = mounted();
    let shared = make_directory(&fs, ROOT_USER, NodeId::ROOT, "shared", 0o777).unwrap();
    chown(&fs, ROOT_USER, shared, None, Some(500)).unwrap();
    chmod(&fs, ROOT_USER, shared, 0o2777).unwrap();
    let inner = fs.attributes(make_directory(&fs, USER, shared, "d", 0o755).unwrap()).unwrap();
    assert_eq!((inner.gid, inner.mode), (500, 0o2755));
    let file = fs.attributes(make_file(&fs, USER, shared, "f", 0o2755).unwrap()).unwrap();
    assert_eq!((file.uid, file.gid, file.mode), (1000, 500, 0o755), "not of group 500: no setgid program");
    let file = fs.attributes(make_file(&fs, ROOT_USER, shared, "g", 0o2755).unwrap()).unwrap();
    assert_eq!(file.mode, 0o2755);
}

/// The kernel asks for the place where a version ended that gave way to another device's.
#[test]
fn an_append_goes_to_the_end_of_the_version_that_is_there() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    fs.write(file, 0, b"short", WriteHow::default()).unwrap();
    let after = |offset, data: &[u8]| {
        let mut out = [0; 16];
        assert_eq!(
            fs.write(file, offset, data, WriteHow { appends: true, ..WriteHow::default() }),
            Ok(data.len())
        );
        let length = fs.read(file, 0, &mut out).unwrap();
        out[..length].to_vec()
    };
    assert_eq!(after(5000, b"er"), b"shorter");
    assert_eq!(after(0, b"S"), b"Shorter", "RWF_NOAPPEND");
    fs.inode(file).unwrap().state.write().note_shown();
    assert_eq!(after(0, b" now"), b"Shorter now");
}

#[test]
fn changes_of_content_and_owner_clear_suid_and_sgid() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0).unwrap();
    let after = |before: u32, change: &dyn Fn()| {
        chmod(&fs, ROOT_USER, file, before).unwrap();
        change();
        mode(&fs, file)
    };
    let how = |clear_suid_sgid| WriteHow { clear_suid_sgid, ..WriteHow::default() };
    let write = |clear| move |fs: &Filesystem| _ = fs.write(file, 0, b"x", how(clear)).unwrap();
    assert_eq!(after(0o6755, &|| write(None)(&fs)), 0o6755);
    assert_eq!(after(0o6755, &|| write(Some(USER))(&fs)), 0o755);
    assert_eq!(after(0o6745, &|| write(Some(USER))(&fs)), 0o2745, "sgid without group execution");
    assert_eq!(after(0o6745, &|| write(Some(OTHER))(&fs)), 0o745, "the same by one outside the group");
    let truncate = |clear_suid_sgid| {
        let change = SetAttributes { size: Some(0), clear_suid_sgid, ..SetAttributes::default() };
        fs.set_attributes(USER, file, &change).unwrap();
    };
    assert_eq!(after(0o6755, &|| truncate(false)), 0o6755);
    assert_eq!(after(0o6755, &|| truncate(true)), 0o755);
    assert_eq!(after(0o6755, &|| _ = chown(&fs, ROOT_USER, file, Some(0), None)), 0o755);
    assert_eq!(after(0o6745, &|| _ = chown(&fs, ROOT_USER, file, Some(0), None)), 0o2745);
    assert_eq!(after(0o6745, &|| _ = chown(&fs, OTHER, file, None, Some(2000))), 0o745);
    let stranger = Caller { uid: 3000, gid: 3000, pid: 0 };
    for how in [Allocate::PunchHole, Allocate::ZeroRange { keep_size: false }] {
        let change =
            |caller| move |fs: &Filesystem| fs.allocate(caller, file, 0, 1, how, Times::Set).unwrap();
        assert_eq!(after(0o6755, &|| change(ROOT_USER)(&fs)), 0o6755, "{how:?}");
        assert_eq!(after(0o6755, &|| change(USER)(&fs)), 0o755, "{how:?}");
        assert_eq!(after(0o6745, &|| change(stranger)(&fs)), 0o745, "{how:?}");
    }
    fs.write(file, 0, b"xy", WriteHow::default()).unwrap();
    let copy = |caller| {
        move |fs: &Filesystem| _ = fs.copy_range(caller, (file, 0), (file, 1), 1, Times::Set).unwrap()
    };
    assert_eq!(after(0o6755, &|| copy(ROOT_USER)(&fs)), 0o6755);
    assert_eq!(after(0o6745, &|| copy(stranger)(&fs)), 0o745);
    let directory = make_directory(&fs, USER, NodeId::ROOT, "d", 0o6755).unwrap();
    chown(&fs, ROOT_USER, directory, Some(5), Some(5)).unwrap();
    assert_eq!(mode(&fs, directory), 0o6755);
}

#[test]
fn changes_of_content_and_owner_clear_file_capabilities() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o755).unwrap();
    let there = || fs.get_xattr(ROOT_USER, file, b"security.capability");
    let after = |change: &dyn Fn()| {
        set(&fs, ROOT_USER, file, b"security.capability", b"caps").unwrap();
        change();
        there()
    };
    let write =
        |from_cache| fs.write(file, 0, b"xy", WriteHow { from_cache, ..WriteHow::default() }).unwrap();
    let allocate = |how| fs.allocate(ROOT_USER, file, 0, 9, how, Times::Set).unwrap();
    let size = SetAttributes { size: Some(1), ..SetAttributes::default() };
    let changes: [&dyn Fn(); 6] = [
        &|| _ = write(false),
        &|| allocate(Allocate::PunchHole),
        &|| allocate(Allocate::ZeroRange { keep_size: true }),
        &|| _ = fs.copy_range(ROOT_USER, (file, 0), (file, 1), 1, Times::Set).unwrap(),
        &|| _ = fs.set_attributes(ROOT_USER, file, &size).unwrap(),
        &|| _ = chown(&fs, ROOT_USER, file, Some(5), None),
    ];
    for (number, change) in changes.iter().enumerate() {
        assert_eq!(after(change), Err(Error::NoData), "change {number}");
    }
    // The page was changed before they were set.
    assert_eq!(after(&|| _ = write(true)), Ok(b"caps".to_vec()));
    assert_eq!(after(&|| _ = chmod(&fs, ROOT_USER, file, 0o700)), Ok(b"caps".to_vec()));
}

#[test]
fn chmod_by_one_outside_the_group_drops_sgid() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o755).unwrap();
    chown(&fs, ROOT_USER, file, None, Some(500)).unwrap();
    assert_eq!(chmod(&fs, USER, file, 0o6755).unwrap().mode, 0o4755);
    assert_eq!(chmod(&fs, ROOT_USER, file, 0o6755).unwrap().mode, 0o6755);
    set(&fs, USER, file, ACCESS, &extended_acl()).unwrap();
    assert_eq!(mode(&fs, file), 0o4764);
}

#[test]
fn acl_and_mode_follow_each_other() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o600).unwrap();
    set(&fs, USER, file, ACCESS, &extended_acl()).unwrap();
    assert_eq!(mode(&fs, file), 0o764);
    chmod(&fs, USER, file, 0o641).unwrap();
    let narrowed = acl(&[(1, 6, NONE), (2, 6, 1000), (4, 5, NONE), (0x10, 4, NONE), (0x20, 1, NONE)]);
    assert_eq!(fs.get_xattr(USER, file, ACCESS).unwrap(), narrowed);
    set(&fs, USER, file, ACCESS, &acl(&[(1, 7, NONE), (4, 5, NONE), (0x20, 0, NONE)])).unwrap();
    assert_eq!(mode(&fs, file), 0o750);
    assert_eq!(fs.get_xattr(USER, file, ACCESS), Err(Error::NoData), "the mode says as much");
    assert_eq!(fs.remove_xattr(USER, file, ACCESS), Ok(()));
}

#[test]
fn a_default_acl_is_handed_down_instead_of_the_umask() {
    let fs = mounted();
    let parent = make_directory(&fs, USER, NodeId::ROOT, "d", 0o755).unwrap();
    set(&fs, USER, parent, DEFAULT, &extended_acl()).unwrap();
    assert_eq!(mode(&fs, parent), 0o755);
    let new = NewNode { kind: Kind::File, mode: 0o666, umask: 0o077, device: 0 };
    let file = fs.make_node(USER, parent, b"f", &new).unwrap();
    assert_eq!(file.attributes.mode, 0o664);
    let expected = acl(&[(1, 6, NONE), (2, 6, 1000), (4, 5, NONE), (0x10, 6, NONE), (0x20, 4, NONE)]);
    assert_eq!(fs.get_xattr(USER, file.node, ACCESS).unwrap(), expected);
    assert_eq!(fs.get_xattr(USER, file.node, DEFAULT), Err(Error::NoData));
    let inner = fs.make_directory(USER, parent, b"e", 0o700, 0o077).unwrap();
    assert_eq!(inner.attributes.mode, 0o700);
    assert_eq!(fs.get_xattr(USER, inner.node, DEFAULT).unwrap(), extended_acl());
    let link = fs.make_symlink(USER, parent, b"l", b"target").unwrap();
    assert_eq!(fs.list_xattrs(USER, link.node).unwrap(), b"");
}

#[test]
fn acls_that_cannot_be() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    let link = fs.make_symlink(USER, NodeId::ROOT, b"l", b"target").unwrap().node;
    assert_eq!(set(&fs, USER, file, DEFAULT, &extended_acl()), Err(Error::AccessDenied));
    assert_eq!(set(&fs, USER, link, ACCESS, &extended_acl()), Err(Error::NotSupported));
    assert_eq!(set(&fs, USER, file, ACCESS, &acl(&[(1, 7, NONE)])), Err(Error::Invalid));
    assert_eq!(set(&fs, USER, file, ACCESS, &[3, 0, 0, 0]), Err(Error::NotSupported));
    assert_eq!(mode(&fs, file), 0o644);
}

#[test]
fn xattrs_and_their_limits() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    let fifo = NewNode { kind: Kind::Fifo, mode: 0o644, umask: 0, device: 0 };
    let fifo = fs.make_node(USER, NodeId::ROOT, b"p", &fifo).unwrap().node;
    assert_eq!(set(&fs, USER, fifo, b"user.x", b"x"), Err(Error::NotPermitted));
    for name in [b"user.".as_slice(), b"other.x", b"system.x", b"x"] {
        assert_eq!(set(&fs, USER, file, name, b"x"), Err(Error::NotSupported));
    }
    assert_eq!(set(&fs, USER, file, b"", b"x"), Err(Error::Range));
    assert_eq!(set(&fs, USER, file, &[b"user.".as_slice(), &[b'x'; 251]].concat(), b"x"), Err(Error::Range));
    assert_eq!(set(&fs, USER, file, b"user.x", &[0; 65_537]), Err(Error::TooBig));
    for n in 0..3 {
        set(&fs, USER, file, format!("user.{n}").as_bytes(), &[n; 65_536]).unwrap();
    }
    assert_eq!(set(&fs, USER, file, b"user.3", &[0; 65_536]), Err(Error::NoSpace));
    assert_eq!(fs.get_xattr(USER, file, b"user.2").unwrap(), [2; 65_536]);
    assert_eq!(fs.get_xattr(USER, file, b"user.3"), Err(Error::NoData));
    set(&fs, ROOT_USER, file, b"trusted.x", b"").unwrap();
    assert_eq!(fs.list_xattrs(ROOT_USER, file).unwrap(), b"trusted.x\0user.0\0user.1\0user.2\0");
    assert_eq!(fs.list_xattrs(USER, file).unwrap(), b"user.0\0user.1\0user.2\0");
    assert_eq!(fs.get_xattr(USER, file, b"trusted.x"), Err(Error::NoData));
    assert_eq!(fs.get_xattr(ROOT_USER, file, b"trusted.x").unwrap(), b"");
}

#[test]
fn rename_touches_what_it_moves_and_where() {
    let fs = mounted();
    let directory = make_directory(&fs, USER, NodeId::ROOT, "d", 0o755).unwrap();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    let before = fs.attributes(file).unwrap();
    tick();
    fs.rename(USER, (NodeId::ROOT, b"f"), (directory, b"f"), RenameFlags::default()).unwrap();
    let after = fs.attributes(file).unwrap();
    assert_eq!((after.changed, after.modified), (now(), before.modified));
    for changed in [NodeId::ROOT, directory] {
        let stat = fs.attributes(changed).unwrap();
        assert_eq!((stat.modified, stat.changed), (now(), now()));
    }
}

#[test]
fn rename_leaves_a_whiteout() {
    let fs = mounted();
    make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    let flags = RenameFlags { whiteout: true, ..RenameFlags::default() };
    fs.rename(ROOT_USER, (NodeId::ROOT, b"f"), (NodeId::ROOT, b"g"), flags).unwrap();
    let white = fs.lookup(USER, NodeId::ROOT, b"f").unwrap().unwrap().attributes;
    assert_eq!((white.kind, white.mode, white.device), (Kind::CharDevice, 0, 0));
}

#[test]
fn links_to_the_same_inode_rename_into_nothing() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    fs.link(USER, file, NodeId::ROOT, b"g").unwrap();
    tick();
    fs.rename(USER, (NodeId::ROOT, b"f"), (NodeId::ROOT, b"g"), RenameFlags::default()).unwrap();
    assert_eq!(fs.attributes(file).unwrap().links, 2);
    assert_eq!((node(&fs, NodeId::ROOT, "f"), node(&fs, NodeId::ROOT, "g")), (Some(file), Some(file)));
}

#[test]
fn ranges_that_cannot_be() {
    let fs = mounted();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    fs.write(file, 0, &[1; 100], WriteHow::default()).unwrap();
    let missing = Err(Error::NoSuchDeviceOrAddress);
    assert_eq!((fs.seek(file, 100, Seek::Data), fs.seek(file, 100, Seek::Hole)), (missing, missing));
    assert_eq!(fs.seek(file, 50, Seek::Hole), Ok(100));
    let copy = |from, to, length| fs.copy_range(USER, (file, from), (file, to), length, Times::Set);
    assert_eq!(copy(0, 99, 100), Err(Error::Invalid));
    assert_eq!(copy(0, 100, 1000), Ok(100));
    assert_eq!(copy(200, 0, 1000), Ok(0));
    let zero = Allocate::ZeroRange { keep_size: false };
    assert_eq!(fs.allocate(USER, file, 0, 0, zero, Times::Set), Err(Error::Invalid));
    assert_eq!(fs.allocate(USER, file, 1 << 62, 1 << 62, zero, Times::Set), Err(Error::FileTooLarge));
    assert_eq!(fs.allocate(USER, file, u64::MAX, 1, zero, Times::Set), Err(Error::FileTooLarge));
    let directory = make_directory(&fs, USER, NodeId::ROOT, "d", 0o755).unwrap();
    assert_eq!(fs.read(directory, 0, &mut [0]), Err(Error::IsDirectory));
    assert_eq!(fs.write(file, 1 << 62, b"x", WriteHow::default()), Err(Error::FileTooLarge));
}

#[test]
fn statistics_are_in_blocks_of_4096() {
    let fs = mounted();
    let (space, said) = (fs.volume.space().unwrap(), fs.statistics().unwrap());
    assert_eq!((said.block_size, said.name_max), (4096, 255));
    assert_eq!(said.blocks, space.blocks * space.block_size / 4096);
    assert_eq!(said.available, space.available * space.block_size / 4096);
}

/// The kernel looks a name up before it unlinks it.
#[test]
fn what_cannot_be_read_is_listed_and_can_be_removed() {
    for kind in [Kind::File, Kind::Directory] {
        what_is_missing_is_listed_and_can_be_removed(kind);
    }
}

fn what_is_missing_is_listed_and_can_be_removed(kind: Kind) {
    let backing = Backing::new();
    let fs = backing.mount(false);
    make_file(&fs, USER, NodeId::ROOT, "kept", 0o644).unwrap();
    fs.volume.close().unwrap();
    let before = backing.store.names();
    let fs = backing.mount(false);
    let is_directory = kind == Kind::Directory;
    match is_directory {
        true => make_directory(&fs, USER, NodeId::ROOT, "lost", 0o755).unwrap(),
        false => make_file(&fs, USER, NodeId::ROOT, "lost", 0o644).unwrap(),
    };
    fs.volume.close().unwrap();
    drop(fs);
    let lost: Vec<_> = backing.store.names().into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(lost.len(), 1);
    backing.store.remove(lost[0]).unwrap();

    let fs = backing.mount(false);
    let mut with_attributes = Vec::new();
    fs.read_directory(NodeId::ROOT, 2, true, &mut |entry| {
        let links = entry.entry.expect("files are listed with attributes").attributes.links;
        with_attributes.push((entry.name.to_vec(), links));
        true
    })
    .unwrap();
    assert_eq!(with_attributes, [(b"lost".to_vec(), 0), (b"kept".to_vec(), 1)]);
    let found = fs.lookup(USER, NodeId::ROOT, b"lost").unwrap().unwrap();
    assert_eq!((found.attributes.kind, found.attributes.links), (kind, 0));
    assert_eq!(fs.attributes(found.node), Err(Error::Io));
    assert_eq!(fs.read(found.node, 0, &mut [0]), Err(Error::Io));
    let (unlink, rmdir) =
        (fs.unlink(USER, NodeId::ROOT, b"lost"), || fs.remove_directory(USER, NodeId::ROOT, b"lost"));
    if is_directory {
        assert_eq!((unlink, rmdir()), (Err(Error::IsDirectory), Ok(())));
    } else {
        assert_eq!(unlink, Ok(()));
    }
    fs.forget(found.node, 2);
    assert_eq!(fs.attributes(NodeId::ROOT).unwrap().links, 2);
    assert_eq!(node(&fs, NodeId::ROOT, "lost"), None);
}

#[test]
fn a_read_only_volume_changes_nothing() {
    let backing = Backing::new();
    let fs = backing.mount(false);
    make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    fs.volume.close().unwrap();
    drop(fs);
    let fs = backing.mount_read_only();
    let file = node(&fs, NodeId::ROOT, "f").unwrap();
    let refused = Error::ReadOnly;
    assert_eq!(make_file(&fs, USER, NodeId::ROOT, "g", 0o644), Err(refused));
    assert_eq!(make_directory(&fs, USER, NodeId::ROOT, "g", 0o755), Err(refused));
    assert_eq!(fs.make_symlink(USER, NodeId::ROOT, b"g", b"x").unwrap_err(), refused);
    assert_eq!(fs.link(USER, file, NodeId::ROOT, b"g").unwrap_err(), refused);
    assert_eq!(fs.unlink(USER, NodeId::ROOT, b"f"), Err(refused));
    let (old, new) = ((NodeId::ROOT, b"f".as_slice()), (NodeId::ROOT, b"g".as_slice()));
    assert_eq!(fs.rename(USER, old, new, RenameFlags::default()), Err(refused));
    assert_eq!(chmod(&fs, USER, file, 0o600), Err(refused));
    assert_eq!(fs.write(file, 0, b"x", WriteHow::default()), Err(refused));
    assert_eq!(fs.allocate(USER, file, 0, 1, Allocate::PunchHole, Times::Set), Err(refused));
    assert_eq!(set(&fs, USER, file, b"user.x", b""), Err(refused));
    assert_eq!(fs.remove_xattr(USER, file, b"user.x"), Err(refused));
    assert_eq!(fs.sync(file, false), Ok(()));
    fs.forget(file, 1);
}
