//! What both transports agree on with the kernel, and the little that follows from it.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::Options;
use crate::fs::ops::{Allocate, Attributes, Caller, Entry, Kind, NewNode, NodeId, Operations, SetXattr};
use crate::fs::{Error, Result};

/// How long the kernel may believe an entry (also a missing one) and attributes: nobody but it changes them.
pub const LIFETIME: Duration = Duration::from_secs(86_400);

/// How long it may believe entries. Where the filesystem checks permissions: not at all, since for a name that the
/// kernel knows nobody would check whether the next to come may search the directory.
pub fn entry_lifetime(filesystem_checks: bool) -> Duration {
    if filesystem_checks { Duration::ZERO } else { LIFETIME }
}

/// How long it may believe attributes; of what is unlinked or cannot be read, or may be taken for unlinked, not at all:
/// the next to ask is to be told what is so then.
pub fn lifetime(attributes: &Attributes) -> Duration {
    if attributes.links == 0 || attributes.links_in_doubt { Duration::ZERO } else { LIFETIME }
}

/// The largest READ or WRITE, in bytes.
pub const MAX_REQUEST: u32 = 1 << 20;
/// How far the kernel reads ahead, in bytes: so that one READ is decrypted while the one before it is copied out.
pub const READ_AHEAD: u32 = 2 * MAX_REQUEST;
/// How many requests the kernel may have under way on its own account (readahead, writeback).
pub const MAX_BACKGROUND: u16 = 64;
/// st_blksize.
pub const BLOCK_SIZE: u32 = 4096;

/// INIT capabilities, as in linux/fuse.h.
pub mod capability {
    pub const ASYNC_READ: u64 = 1 << 0;
    // Not among the shared ones: the fuser crate hands `.` and `..` on as names.
    pub const EXPORT_SUPPORT: u64 = 1 << 4;
    pub const BIG_WRITES: u64 = 1 << 5;
    pub const DONT_MASK: u64 = 1 << 6;
    pub const DO_READDIRPLUS: u64 = 1 << 13;
    pub const READDIRPLUS_AUTO: u64 = 1 << 14;
    pub const ASYNC_DIO: u64 = 1 << 15;
    pub const WRITEBACK_CACHE: u64 = 1 << 16;
    pub const NO_OPEN_SUPPORT: u64 = 1 << 17;
    pub const PARALLEL_DIROPS: u64 = 1 << 18;
    pub const POSIX_ACL: u64 = 1 << 20;
    pub const MAX_PAGES: u64 = 1 << 22;
    pub const CACHE_SYMLINKS: u64 = 1 << 23;
    pub const NO_OPENDIR_SUPPORT: u64 = 1 << 24;
    pub const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    // Not among the shared ones: fuser cannot decode what they change.
    pub const SETXATTR_EXT: u64 = 1 << 29;
    /// There are more than 32 of these.
    pub const INIT_EXT: u64 = 1 << 30;
    pub const OVER_IO_URING: u64 = 1 << 41;
}

/// The capabilities to ask for. DONT_MASK always: only the filesystem knows whether a default ACL stands in for the
/// umask. HANDLE_KILLPRIV_V2 always: the filesystem clears suid, sgid and file capabilities itself.
pub fn wanted(options: &Options) -> u64 {
    use capability::*;
    let always = ASYNC_READ
        | BIG_WRITES
        | DONT_MASK
        | DO_READDIRPLUS
        | READDIRPLUS_AUTO
        | ASYNC_DIO
        | PARALLEL_DIROPS
        | MAX_PAGES
        | CACHE_SYMLINKS
        | NO_OPENDIR_SUPPORT
        | HANDLE_KILLPRIV_V2;
    let choices = [
        (options.writeback, WRITEBACK_CACHE),
        (options.kernel_permissions, NO_OPEN_SUPPORT),
        (options.acls, POSIX_ACL),
    ];
    choices.iter().filter(|(on, _)| *on).fold(always, |all, (_, bit)| all | bit)
}

/// CREATE with the flags of open(2).
///
/// # Errors
///
/// [`Error::Exists`] with O_EXCL; [`Error::Stale`] where the name goes meanwhile; else as for
/// [`Operations::make_node`] and [`Operations::open`].
pub fn create(
    operations: &dyn Operations,
    caller: Caller,
    (parent, name): (NodeId, &[u8]),
    new: &NewNode,
    flags: i32,
) -> Result<Entry> {
    match operations.make_node(caller, parent, name, new) {
        Err(Error::Exists) if flags & libc::O_EXCL == 0 => {}
        made => return made,
    }
    let entry = operations.lookup(caller, parent, name)?.ok_or(Error::Stale)?;
    match operations.open(caller, entry.node, flags) {
        Ok(()) => Ok(entry),
        Err(error) => {
            operations.forget(entry.node, 1);
            Err(error)
        }
    }
}

/// A number that handles of this mount have and those of another do not, where node numbers are of the mount: a file server's
/// clients keep handles longer.
pub fn generation() -> u64 {
    // 32 bits are what the kernel keeps; 0 is the root's, which is the same at every mount.
    u64::from(RandomState::new().hash_one(0) as u32 | 1)
}

/// The kind in the `S_IFMT` bits of a mode.
pub fn kind_of(mode: u32) -> Option<Kind> {
    Some(match mode & libc::S_IFMT {
        libc::S_IFREG | 0 => Kind::File,
        libc::S_IFDIR => Kind::Directory,
        libc::S_IFLNK => Kind::Symlink,
        libc::S_IFIFO => Kind::Fifo,
        libc::S_IFSOCK => Kind::Socket,
        libc::S_IFCHR => Kind::CharDevice,
        libc::S_IFBLK => Kind::BlockDevice,
        _ => return None,
    })
}

/// What fallocate(2)'s mode asks for; `None`: nothing we have, as setting space aside.
pub fn allocation(mode: i32) -> Option<Allocate> {
    const KEEP: i32 = libc::FALLOC_FL_KEEP_SIZE;
    const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | KEEP;
    const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
    const ZERO_KEEP: i32 = ZERO | KEEP;
    Some(match mode {
        PUNCH => Allocate::PunchHole,
        ZERO | ZERO_KEEP => Allocate::ZeroRange { keep_size: mode == ZERO_KEEP },
        _ => return None,
    })
}

/// setxattr(2)'s flags.
pub fn set_xattr_mode(flags: i32) -> SetXattr {
    match flags {
        libc::XATTR_CREATE => SetXattr::Create,
        libc::XATTR_REPLACE => SetXattr::Replace,
        _ => SetXattr::Any,
    }
}
