//! The parts of mounting that need no kernel.

#![allow(clippy::host_endian_bytes, reason = "FUSE speaks the host's byte order")]

#[allow(dead_code)]
#[path = "../../examples/ceiling/memory.rs"]
mod memory;

use std::ffi::OsStr;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::dispatch::Dispatcher;
use super::positions::{self, Positions};
use super::protocol::{Body, Dirent, InHeader, MknodIn, WriteIn, opcode};
use super::reply::{Errno, Listing};
use super::{Options, Transport, point, policy, reply};
use crate::fs::ops::{Allocate, Attributes, DirectoryEntry, Entry, Kind, NodeId, Operations};

#[test]
fn a_source_cannot_smuggle_options_into_fusermount3() {
    let options = Options { source: r"a,allow_other\,b".into(), no_dev: true, ..Options::default() };
    let expected = r"subtype=cryptfs,fsname=a\,allow_other\\\,b,nodev,noatime,default_permissions";
    assert_eq!(point::helper_options(&options), OsStr::new(expected));
}

#[test]
fn unknown_fallocate_modes_are_refused() {
    assert_eq!(policy::allocation(3), Some(Allocate::PunchHole));
    assert_eq!(policy::allocation(0x11), Some(Allocate::ZeroRange { keep_size: true }));
    // Nothing is set aside: libc then writes zeros.
    assert_eq!((policy::allocation(0), policy::allocation(libc::FALLOC_FL_KEEP_SIZE)), (None, None));
    for mode in [libc::FALLOC_FL_PUNCH_HOLE, libc::FALLOC_FL_COLLAPSE_RANGE, libc::FALLOC_FL_INSERT_RANGE] {
        assert_eq!(policy::allocation(mode), None);
    }
}

fn dispatcher() -> Dispatcher {
    Dispatcher {
        operations: Arc::new(memory::Memory::default()),
        requests: Arc::default(),
        transport: Transport::Device,
        opens: true,
        positions: None,
        generation: 7,
        long_setxattr: true,
        writeback: false,
    }
}

fn header(opcode: u32, node: u64) -> InHeader {
    InHeader { opcode, node, ..InHeader::default() }
}

#[test]
fn requests_are_decoded_and_answered() {
    let (dispatcher, mut out) = (dispatcher(), [0; 4096]);
    let asked = MknodIn { mode: libc::S_IFREG | 0o666, umask: 0o022, ..MknodIn::default() };
    let request = [asked.as_bytes(), b"name\0"].concat();
    assert_eq!(dispatcher.answer(&header(opcode::MKNOD, 1), Body::whole(&request), &mut out), Ok(128));
    let node = u64::from_ne_bytes(out[..8].try_into().unwrap());
    let mode = u32::from_ne_bytes(out[100..104].try_into().unwrap());
    assert_eq!(mode, libc::S_IFREG | 0o644);
    let asked = WriteIn { offset: 3, size: 4, ..WriteIn::default() };
    let request = [asked.as_bytes(), b"data"].concat();
    assert_eq!(dispatcher.answer(&header(opcode::WRITE, node), Body::whole(&request), &mut out), Ok(8));
    let asked = WriteIn { size: 100, ..WriteIn::default() };
    let answer = dispatcher.answer(&header(opcode::READ, node), Body::whole(asked.as_bytes()), &mut out);
    assert_eq!((answer, &out[..7]), (Ok(7), &b"\0\0\0data"[..]));
    let answer = dispatcher.answer(&header(opcode::LOOKUP, 1), Body::whole(b"none\0"), &mut out);
    assert_eq!((answer, &out[..8]), (Ok(128), &[0; 8][..]));
}

#[test]
fn cut_off_requests_are_refused_and_never_panic() {
    let (dispatcher, mut out) = (dispatcher(), vec![0; 1 << 20]);
    for opcode in 0..opcode::LIMIT as u32 {
        for fill in [0u8, b'a', 0xff] {
            for length in 0..256 {
                let request = vec![fill; length];
                let _ = dispatcher.answer(&header(opcode, 1), Body::whole(&request), &mut out);
            }
        }
    }
    let invalid = Err(Errno(libc::EINVAL));
    for opcode in [opcode::LOOKUP, opcode::MKNOD, opcode::WRITE, opcode::RENAME2, opcode::SETXATTR] {
        assert_eq!(
            dispatcher.answer(&header(opcode, 1), Body::whole(b"short"), &mut out),
            invalid,
            "{opcode}"
        );
    }
    let asked = WriteIn { size: 5, ..WriteIn::default() };
    let request = [asked.as_bytes(), b"four"].concat();
    assert_eq!(dispatcher.answer(&header(opcode::WRITE, 1), Body::whole(&request), &mut out), invalid);
    let asked = WriteIn { size: 2 << 20, ..WriteIn::default() };
    assert_eq!(dispatcher.answer(&header(opcode::READ, 1), Body::whole(asked.as_bytes()), &mut out), invalid);
}

/// Unlinked, not readable, or perhaps taken for unlinked: the kernel must ask again.
#[test]
fn what_has_no_links_is_not_cached() {
    let dispatcher = dispatcher();
    let fs = &dispatcher.operations;
    let caller = crate::fs::ops::Caller { uid: 0, gid: 0, pid: 0 };
    let entry = fs.make_directory(caller, NodeId::ROOT, b"d", 0o755, 0).unwrap();
    let gone = Entry { attributes: Attributes { links: 0, ..entry.attributes }, ..entry };
    let doubtful = Entry { attributes: Attributes { links_in_doubt: true, ..entry.attributes }, ..entry };
    for (entry, valid) in [(&entry, policy::LIFETIME.as_secs()), (&gone, 0), (&doubtful, 0)] {
        let answer = reply::entry(Some(entry), 7, policy::LIFETIME);
        assert_eq!((answer.entry_valid, answer.attr_valid), (valid, valid));
        assert_eq!(reply::attributes(&entry.attributes).valid, valid);
        assert_eq!(reply::statx(&entry.attributes).valid, valid);
    }
    assert_eq!(reply::entry(None, 7, policy::LIFETIME).entry_valid, policy::LIFETIME.as_secs());
}

#[test]
fn listings_are_padded_and_stop_before_they_overflow() {
    let entry = |name| DirectoryEntry { cookie: 7, inode_number: 9, kind: Kind::File, name, entry: None };
    let mut out = [0xaa; 24 + 8 + 24 + 8 + 7];
    let mut listing = Listing::new(&mut out, None);
    assert!(listing.push(&entry(b"five5")));
    assert!(listing.push(&entry(b"eight888")));
    assert!(!listing.push(&entry(b"x")));
    assert_eq!(listing.used(), 64);
    let first = Dirent { inode: 9, cookie: 7, name_length: 5, kind: 8 };
    assert_eq!(out[..32], [first.as_bytes(), b"five5\0\0\0"].concat());
    let mut listing = Listing::new(&mut out[..64], Some((7, policy::LIFETIME)));
    assert!(!listing.push(&entry(b"")));
}

/// The names from a position on, and the positions behind them; of at most `limit` entries.
fn listed(
    positions: &Positions,
    fs: &memory::Memory,
    handle: u64,
    from: u64,
    limit: usize,
) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let opened = (NodeId::ROOT, handle);
    positions::list(Some(positions), fs, opened, from, false, &mut |entry| {
        let is_taken = found.len() < limit;
        found.extend(is_taken.then(|| (String::from_utf8_lossy(entry.name).into(), entry.cookie)));
        is_taken
    })
    .unwrap();
    found
}

#[test]
fn a_position_counts_what_its_handle_was_shown() {
    let (fs, positions) = (memory::Memory::default(), Positions::default());
    let caller = crate::fs::ops::Caller { uid: 0, gid: 0, pid: 0 };
    for name in ["a", "b", "c", "d"] {
        fs.make_directory(caller, NodeId::ROOT, name.as_bytes(), 0o755, 0).unwrap();
    }
    let handle = positions.open();
    let all: Vec<_> = [".", "..", "a", "b", "c", "d"].map(str::to_owned).into_iter().zip(1..).collect();
    assert_eq!(listed(&positions, &fs, handle, 0, 3), all[..3]);
    assert_eq!(listed(&positions, &fs, handle, 3, 99), all[3..]);
    fs.remove_directory(caller, NodeId::ROOT, b"b").unwrap();
    assert_eq!(listed(&positions, &fs, handle, 3, 99), all[4..], "those behind keep their positions");
    // Of a handle that was shown nothing, or less; and behind the end.
    let other = positions.open();
    assert_eq!(listed(&positions, &fs, other, 3, 99), [("c".into(), 4), ("d".into(), 5)]);
    for behind in [5, 99, u64::MAX] {
        assert_eq!(listed(&positions, &fs, other, behind, 99), []);
    }
    positions.close(handle);
    assert_eq!(listed(&positions, &fs, handle, 4, 99), [("d".into(), 5)], "as of a handle that is not known");
}

/// From another device, whose entries lie anywhere.
#[test]
fn what_comes_between_what_was_shown_has_no_position_and_is_no_lookup() {
    let fs = memory::Memory::default();
    let caller = crate::fs::ops::Caller { uid: 0, gid: 0, pid: 0 };
    let nodes = ["a", "b", "c"].map(|name| {
        let made = fs.make_directory(caller, NodeId::ROOT, name.as_bytes(), 0o755, 0).unwrap();
        fs.forget(made.node, 1);
        made.node
    });
    let mut shown = Vec::new();
    positions::read(&fs, NodeId::ROOT, &mut shown, 0, false, &mut |_| true).unwrap();
    shown.remove(3);
    for plus in [false, true] {
        let mut found = Vec::new();
        positions::read(&fs, NodeId::ROOT, &mut shown, 2, plus, &mut |entry| {
            found.push((entry.name.to_vec(), entry.cookie));
            true
        })
        .unwrap();
        assert_eq!(found, [(b"a".to_vec(), 3), (b"c".to_vec(), 4)]);
    }
    for name in ["a", "b", "c"] {
        fs.remove_directory(caller, NodeId::ROOT, name.as_bytes()).unwrap();
    }
    assert_eq!(nodes.map(|node| fs.attributes(node).is_ok()), [true, false, true]);
}
