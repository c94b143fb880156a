//! With `check_permissions`: what the kernel would have refused, and nothing else.

use super::support::*;
use crate::fs::ops::*;
use crate::fs::{Error, Filesystem, Result};

const NONE: u32 = u32::MAX;

fn checked() -> Filesystem {
    let fs = Backing::new().mount(true);
    chmod(&fs, ROOT_USER, NodeId::ROOT, 0o777).unwrap();
    fs
}

fn grants(fs: &Filesystem, caller: Caller, node: NodeId) -> i32 {
    [4, 2, 1].into_iter().filter(|mask| fs.access(caller, node, *mask).is_ok()).sum()
}

#[test]
fn mode_bits_of_the_first_class_that_fits() {
    let fs = checked();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o047).unwrap();
    let member = Caller { uid: 3000, gid: 1000, pid: 0 };
    assert_eq!((grants(&fs, USER, file), grants(&fs, member, file), grants(&fs, OTHER, file)), (0, 4, 7));
    assert_eq!(grants(&fs, ROOT_USER, file), 7);
    chmod(&fs, USER, file, 0o600).unwrap();
    assert_eq!(grants(&fs, ROOT_USER, file), 6, "nobody may execute it");
    let directory = make_directory(&fs, USER, NodeId::ROOT, "d", 0).unwrap();
    assert_eq!(grants(&fs, ROOT_USER, directory), 7);
}

#[test]
fn acl_entries_within_the_mask() {
    let fs = checked();
    let file = make_file(&fs, ROOT_USER, NodeId::ROOT, "f", 0o600).unwrap();
    let value =
        acl(&[(1, 6, NONE), (2, 7, 2000), (4, 0, NONE), (8, 4, 1000), (0x10, 5, NONE), (0x20, 7, NONE)]);
    fs.set_xattr(ROOT_USER, file, b"system.posix_acl_access", &value, SetXattr::Any).unwrap();
    assert_eq!(grants(&fs, OTHER, file), 5, "named user, masked");
    assert_eq!(grants(&fs, USER, file), 4, "named group, masked");
    assert_eq!(grants(&fs, Caller { uid: 4000, gid: 0, pid: 0 }, file), 0, "owning group");
    assert_eq!(grants(&fs, Caller { uid: 4000, gid: 4000, pid: 0 }, file), 7, "others are not masked");
}

#[test]
fn open_asks_for_what_its_flags_say() {
    let fs = checked();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o641).unwrap();
    let denied = Err(Error::AccessDenied);
    assert_eq!(fs.open(OTHER, file, libc::O_RDONLY), denied);
    assert_eq!(fs.open(OTHER, file, 0x20), Ok(()), "to execute");
    assert_eq!(fs.open(Caller { gid: 1000, ..OTHER }, file, libc::O_RDONLY), Ok(()));
    assert_eq!(fs.open(Caller { gid: 1000, ..OTHER }, file, libc::O_RDWR), denied);
    assert_eq!(fs.open(Caller { gid: 1000, ..OTHER }, file, libc::O_RDONLY | libc::O_TRUNC), denied);
    assert_eq!(fs.open(USER, file, libc::O_RDWR), Ok(()));
    assert_eq!(fs.open(USER, NodeId::ROOT, libc::O_WRONLY), Err(Error::IsDirectory));
}

#[test]
fn names_need_search_and_changes_write_permission() {
    let fs = checked();
    let directory = make_directory(&fs, USER, NodeId::ROOT, "d", 0o700).unwrap();
    make_file(&fs, USER, directory, "f", 0o666).unwrap();
    let file = make_file(&fs, OTHER, NodeId::ROOT, "g", 0o666).unwrap();
    let denied = Error::AccessDenied;
    let refused = |fs: &Filesystem| {
        assert_eq!(make_file(fs, OTHER, directory, "x", 0o644), Err(denied));
        assert_eq!(make_directory(fs, OTHER, directory, "x", 0o755), Err(denied));
        assert_eq!(fs.make_symlink(OTHER, directory, b"x", b"y").unwrap_err(), denied);
        assert_eq!(fs.link(OTHER, file, directory, b"x").unwrap_err(), denied);
        assert_eq!(fs.unlink(OTHER, directory, b"f"), Err(denied));
        let (inside, outside) = ((directory, b"f".as_slice()), (NodeId::ROOT, b"g".as_slice()));
        assert_eq!(fs.rename(OTHER, inside, outside, RenameFlags::default()), Err(denied));
        assert_eq!(fs.rename(OTHER, outside, inside, RenameFlags::default()), Err(denied));
    };
    assert_eq!(fs.lookup(OTHER, directory, b"f").unwrap_err(), denied);
    refused(&fs);
    chmod(&fs, USER, directory, 0o755).unwrap();
    assert!(fs.lookup(OTHER, directory, b"f").is_ok());
    refused(&fs);
    assert_eq!(fs.unlink(ROOT_USER, directory, b"f"), Ok(()));
}

#[test]
fn in_a_sticky_directory_only_owners_take_names_away() {
    let fs = checked();
    let directory = make_directory(&fs, ROOT_USER, NodeId::ROOT, "tmp", 0o1777).unwrap();
    make_file(&fs, USER, directory, "f", 0o666).unwrap();
    make_file(&fs, OTHER, directory, "g", 0o666).unwrap();
    make_directory(&fs, USER, directory, "d", 0o777).unwrap();
    let refused = Err(Error::NotPermitted);
    let rename = |caller, from: &str, to: &str, exchange| {
        let flags = RenameFlags { exchange, ..RenameFlags::default() };
        fs.rename(caller, (directory, from.as_bytes()), (directory, to.as_bytes()), flags)
    };
    assert_eq!(fs.unlink(OTHER, directory, b"f"), refused);
    assert_eq!(fs.remove_directory(OTHER, directory, b"d"), refused);
    assert_eq!(rename(OTHER, "f", "x", false), refused);
    assert_eq!(rename(OTHER, "g", "f", false), refused);
    assert_eq!(rename(OTHER, "g", "f", true), refused);
    assert_eq!(rename(OTHER, "g", "x", false), Ok(()));
    assert_eq!(fs.unlink(USER, directory, b"f"), Ok(()));
    assert_eq!(fs.remove_directory(ROOT_USER, directory, b"d"), Ok(()));
}

#[test]
fn a_directory_that_moves_to_another_parent_is_written() {
    let fs = checked();
    let target = make_directory(&fs, OTHER, NodeId::ROOT, "target", 0o777).unwrap();
    make_directory(&fs, USER, NodeId::ROOT, "d", 0o755).unwrap();
    let (from, to) = ((NodeId::ROOT, b"d".as_slice()), (target, b"d".as_slice()));
    assert_eq!(fs.rename(OTHER, from, to, RenameFlags::default()), Err(Error::AccessDenied));
    assert_eq!(fs.rename(USER, from, to, RenameFlags::default()), Ok(()));
}

#[test]
fn owners_change_modes_and_give_to_their_groups() {
    let fs = checked();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o666).unwrap();
    let refused: Result<Attributes> = Err(Error::NotPermitted);
    assert_eq!(chmod(&fs, OTHER, file, 0o777), refused);
    assert_eq!(chown(&fs, USER, file, Some(2000), None), refused);
    assert_eq!(chown(&fs, USER, file, None, Some(2000)), refused);
    assert_eq!(chown(&fs, OTHER, file, None, Some(2000)), refused);
    assert!(chown(&fs, USER, file, Some(1000), Some(1000)).is_ok());
    assert!(chown(&fs, OTHER, file, None, None).is_ok(), "nothing is to change");
    assert!(chown(&fs, ROOT_USER, file, Some(2000), Some(7)).is_ok());
}

#[test]
fn times_and_sizes() {
    let fs = checked();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    let times = |caller, accessed, modified| {
        let change =
            SetAttributes { accessed: Some(accessed), modified: Some(modified), ..SetAttributes::default() };
        fs.set_attributes(caller, file, &change).map(|_| ())
    };
    let past = SetTime::To(Timestamp::default());
    assert_eq!(times(OTHER, SetTime::Now, SetTime::Now), Err(Error::AccessDenied));
    assert_eq!(times(OTHER, past, SetTime::Now), Err(Error::NotPermitted));
    assert_eq!(times(USER, past, past), Ok(()));
    let size = |caller, by_handle| {
        let change = SetAttributes { size: Some(0), by_handle, ..SetAttributes::default() };
        fs.set_attributes(caller, file, &change).map(|_| ())
    };
    assert_eq!(size(OTHER, false), Err(Error::AccessDenied));
    assert_eq!(size(OTHER, true), Ok(()));
    chmod(&fs, USER, file, 0o646).unwrap();
    assert_eq!(times(OTHER, SetTime::Now, SetTime::Now), Ok(()));
    assert_eq!(times(OTHER, past, past), Err(Error::NotPermitted));
    assert_eq!(size(OTHER, false), Ok(()));
}

#[test]
fn xattrs_follow_the_permissions_of_their_namespace() {
    let fs = checked();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o600).unwrap();
    let set = |caller, name: &str| fs.set_xattr(caller, file, name.as_bytes(), b"x", SetXattr::Any);
    assert_eq!(set(USER, "user.x"), Ok(()));
    assert_eq!(set(OTHER, "user.x"), Err(Error::AccessDenied));
    assert_eq!(fs.get_xattr(OTHER, file, b"user.x"), Err(Error::AccessDenied));
    assert_eq!(fs.remove_xattr(OTHER, file, b"user.x"), Err(Error::AccessDenied));
    assert_eq!(set(USER, "trusted.x"), Err(Error::NotPermitted));
    assert_eq!(set(USER, "security.x"), Err(Error::NotPermitted));
    let value = acl(&[(1, 7, NONE), (4, 7, NONE), (0x20, 7, NONE)]);
    let name = b"system.posix_acl_access";
    assert_eq!(fs.set_xattr(OTHER, file, name, &value, SetXattr::Any), Err(Error::NotPermitted));
    assert_eq!(fs.set_xattr(USER, file, name, &value, SetXattr::Any), Ok(()));
    assert_eq!(mode(&fs, file), 0o777);
}
