//! The parts of mounting that need no kernel.

use std::ffi::OsStr;

use super::{Options, point, policy};
use crate::fs::ops::Allocate;

#[test]
fn a_source_cannot_smuggle_options_into_fusermount3() {
    let options = Options { source: r"a,allow_other\,b".into(), no_dev: true, ..Options::default() };
    let expected = r"subtype=cryptfs,fsname=a\,allow_other\\\,b,nodev,default_permissions";
    assert_eq!(point::helper_options(&options), OsStr::new(expected));
}

#[test]
fn mountinfo_escapes_are_undone() {
    assert_eq!(point::unescape(br"/a\040b\134c\011d"), OsStr::new("/a b\\c\td"));
    assert_eq!(point::unescape(br"/plain\9"), OsStr::new(r"/plain\9"));
}

#[test]
fn unknown_fallocate_modes_are_refused() {
    assert_eq!(policy::allocation(0), Some(Allocate::Reserve { keep_size: false }));
    assert_eq!(policy::allocation(3), Some(Allocate::PunchHole));
    assert_eq!(policy::allocation(0x11), Some(Allocate::ZeroRange { keep_size: true }));
    for mode in [libc::FALLOC_FL_PUNCH_HOLE, libc::FALLOC_FL_COLLAPSE_RANGE, libc::FALLOC_FL_INSERT_RANGE] {
        assert_eq!(policy::allocation(mode), None);
    }
}
