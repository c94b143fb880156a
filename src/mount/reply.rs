//! Turns answers of the filesystem into the bytes of a reply.
//!
//! Neighbours: `dispatch` decides what to answer, `protocol` has the structures.

use std::time::Duration;

use zerocopy::{Immutable, IntoBytes};

use super::policy;
use super::protocol::{Attr, AttrOut, Dirent, EntryOut, NO_NODE, Statx, StatxOut, StatxTime};
use crate::fs::Error;
use crate::fs::ops::{Attributes, DirectoryEntry, Entry, Kind, Timestamp};

/// A positive error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// No thread could be started for a request that this one cannot answer.
pub const NO_THREAD: Errno = Errno(libc::ENOMEM);

impl From<Error> for Errno {
    fn from(error: Error) -> Errno {
        Errno(error.errno())
    }
}

/// How many bytes of the reply's buffer were filled, or why none.
pub type Answer = Result<usize, Errno>;

fn valid(a: &Attributes) -> u64 {
    policy::lifetime(a).as_secs()
}

/// The whole answer is one structure.
///
/// # Errors
///
/// EIO where `out` is too short.
pub fn put(out: &mut [u8], value: &(impl IntoBytes + Immutable)) -> Answer {
    value.write_to_prefix(out).map_err(|_| Errno(libc::EIO))?;
    Ok(size_of_val(value))
}

/// The whole answer is these bytes.
///
/// # Errors
///
/// EIO where `out` is too short.
pub fn put_bytes(out: &mut [u8], bytes: &[u8]) -> Answer {
    out.get_mut(..bytes.len()).ok_or(Errno(libc::EIO))?.copy_from_slice(bytes);
    Ok(bytes.len())
}

fn type_bits(kind: Kind) -> u32 {
    match kind {
        Kind::File => libc::S_IFREG,
        Kind::Directory => libc::S_IFDIR,
        Kind::Symlink => libc::S_IFLNK,
        Kind::Fifo => libc::S_IFIFO,
        Kind::Socket => libc::S_IFSOCK,
        Kind::CharDevice => libc::S_IFCHR,
        Kind::BlockDevice => libc::S_IFBLK,
    }
}

fn attr(a: &Attributes) -> Attr {
    Attr {
        inode: a.inode_number,
        size: a.size,
        blocks: a.blocks,
        atime: a.accessed.seconds,
        mtime: a.modified.seconds,
        ctime: a.changed.seconds,
        atime_ns: a.accessed.nanoseconds,
        mtime_ns: a.modified.nanoseconds,
        ctime_ns: a.changed.nanoseconds,
        mode: type_bits(a.kind) | a.mode,
        links: a.links,
        uid: a.uid,
        gid: a.gid,
        device: a.device,
        block_size: policy::BLOCK_SIZE,
        flags: 0,
    }
}

pub fn attributes(a: &Attributes) -> AttrOut {
    AttrOut { valid: valid(a), attr: attr(a), ..AttrOut::default() }
}

/// `None`: the name does not exist. The kernel may remember either for `lifetime`, but not longer than the attributes:
/// where it has to ask for those again, it asks on the way to the file.
pub fn entry(entry: Option<&Entry>, generation: u64, lifetime: Duration) -> EntryOut {
    let (node, attr) = entry.map_or((NO_NODE, Attr::default()), |e| (e.node.0, attr(&e.attributes)));
    let attr_valid = entry.map(|e| valid(&e.attributes));
    let entry_valid = attr_valid.unwrap_or(u64::MAX).min(lifetime.as_secs());
    let attr_valid = attr_valid.unwrap_or(0);
    let generation = entry.and_then(|e| e.generation).map_or(generation, u64::from);
    EntryOut { node, generation, entry_valid, attr_valid, attr, ..EntryOut::default() }
}

fn statx_time(time: Timestamp) -> StatxTime {
    StatxTime { seconds: time.seconds, nanoseconds: time.nanoseconds, reserved: 0 }
}

pub fn statx(a: &Attributes) -> StatxOut {
    let stat = Statx {
        mask: libc::STATX_BASIC_STATS | libc::STATX_BTIME,
        block_size: policy::BLOCK_SIZE,
        links: a.links,
        uid: a.uid,
        gid: a.gid,
        mode: (type_bits(a.kind) | a.mode) as u16,
        inode: a.inode_number,
        size: a.size,
        blocks: a.blocks,
        atime: statx_time(a.accessed),
        btime: statx_time(a.born),
        ctime: statx_time(a.changed),
        mtime: statx_time(a.modified),
        device_major: (a.device & 0xf_ff00) >> 8,
        device_minor: (a.device & 0xff) | ((a.device >> 12) & 0xf_ff00),
        ..Statx::default()
    };
    StatxOut { valid: valid(a), stat, ..StatxOut::default() }
}

/// Fills a buffer with directory entries, each padded to 8 bytes.
pub struct Listing<'a> {
    out: &'a mut [u8],
    used: usize,
    /// The generation of the entries that go with the names, and how long they may be believed; `None`: names only.
    entries: Option<(u64, Duration)>,
}

impl<'a> Listing<'a> {
    pub fn new(out: &'a mut [u8], entries: Option<(u64, Duration)>) -> Listing<'a> {
        Listing { out, used: 0, entries }
    }

    /// Whether the entry found room.
    pub fn push(&mut self, found: &DirectoryEntry<'_>) -> bool {
        let prefix = self.entries.map_or(0, |_| size_of::<EntryOut>());
        let length = prefix + size_of::<Dirent>() + found.name.len();
        let Some(room) = self.out.get_mut(self.used..self.used + length.next_multiple_of(8)) else {
            return false;
        };
        let (head, rest) = room.split_at_mut(prefix);
        if let Some((generation, lifetime)) = self.entries {
            head.copy_from_slice(entry(found.entry.as_ref(), generation, lifetime).as_bytes());
        }
        let dirent = Dirent {
            inode: found.inode_number,
            cookie: found.cookie,
            name_length: found.name.len() as u32,
            kind: type_bits(found.kind) >> 12,
        };
        let (fixed, rest) = rest.split_at_mut(size_of::<Dirent>());
        fixed.copy_from_slice(dirent.as_bytes());
        let (name, padding) = rest.split_at_mut(found.name.len());
        name.copy_from_slice(found.name);
        padding.fill(0);
        self.used += length.next_multiple_of(8);
        true
    }

    pub fn used(&self) -> usize {
        self.used
    }
}
