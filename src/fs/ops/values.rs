//! What operations are asked with, and answer with.

use crate::volume::{Kind, Timestamp};

/// A node number as the transport sees it: allotted at first lookup, never used again for anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root directory.
    pub const ROOT: NodeId = NodeId(1);
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
    pub pid: u32,
}

/// stat(2) of one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Stable across mounts.
    pub inode_number: u64,
    pub kind: Kind,
    /// Permission bits, 0o7777.
    pub mode: u32,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    /// Linux device number as in `st_rdev` (new_encode_dev, 32 bits).
    pub device: u32,
    /// Bytes.
    pub size: u64,
    /// Units of 512 bytes.
    pub blocks: u64,
    pub accessed: Timestamp,
    pub modified: Timestamp,
    pub changed: Timestamp,
    pub born: Timestamp,
    /// A name was removed lately and others remain. Where a reply overtakes that of the removal, the kernel (6.18) counts
    /// it twice and takes the file for unlinked: it must ask again.
    pub links_in_doubt: bool,
}

/// The answer to LOOKUP and to whatever creates a name. Each one returned counts as one lookup until `forget`.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub node: NodeId,
    /// With the number, the same for ever: what a file server's handles are made of. `None`: the number is of this mount.
    pub generation: Option<u32>,
    pub attributes: Attributes,
}

/// A time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    Now,
    To(Timestamp),
}

/// The fields of a SETATTR that are to change.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttributes {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub accessed: Option<SetTime>,
    pub modified: Option<SetTime>,
    pub changed: Option<Timestamp>,
    /// FATTR_KILL_SUIDGID: the caller lacks CAP_FSETID, so a change of size clears suid and sgid.
    pub clear_suid_sgid: bool,
    /// FATTR_FH: asked through an open file, whose permissions were checked when it was opened.
    pub by_handle: bool,
}

/// What kind of special file or regular file MKNOD makes.
#[derive(Clone, Copy, Debug)]
pub struct NewNode {
    pub kind: Kind,
    /// Permission bits before the umask, 0o7777.
    pub mode: u32,
    pub umask: u32,
    pub device: u32,
}

/// One directory entry as READDIR reports it; `.` and `..` among them.
pub struct DirectoryEntry<'a> {
    /// Pass this to `read_directory` to continue behind this entry.
    pub cookie: u64,
    pub inode_number: u64,
    pub kind: Kind,
    pub name: &'a [u8],
    /// With `plus`, and not for `.` and `..`. Counts as a lookup if (and only if) the sink took the entry.
    pub entry: Option<Entry>,
}

/// Flags of renameat2(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenameFlags {
    pub no_replace: bool,
    pub exchange: bool,
    pub whiteout: bool,
}

/// What fallocate(2) is asked to do. To set space aside is no part of it: nothing is ever overwritten in place, so it could
/// not be promised; libc then writes zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    PunchHole,
    ZeroRange { keep_size: bool },
}

/// SEEK_DATA or SEEK_HOLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    Data,
    Hole,
}

/// Whether a change of a file's content sets its times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    #[default]
    Set,
    /// The kernel does (writeback cache), by its own coarser clock, and sends them by SETATTR where they changed.
    Keep,
}

/// What a WRITE does besides writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteHow {
    /// FUSE_WRITE_KILL_SUIDGID: who writes, and lacks CAP_FSETID.
    pub clear_suid_sgid: Option<Caller>,
    /// Out of the page cache, with nobody waiting who could be told of an error.
    pub from_cache: bool,
    /// The file was opened with O_APPEND, so that the kernel took for the offset what it has for the file's size.
    pub appends: bool,
    pub times: Times,
}

/// setxattr(2) flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetXattr {
    Any,
    Create,
    Replace,
}

/// statfs(2), in blocks of `block_size` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Statistics {
    pub block_size: u32,
    pub blocks: u64,
    pub free: u64,
    pub available: u64,
    pub inodes: u64,
    pub free_inodes: u64,
    pub name_max: u32,
}
