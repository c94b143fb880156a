//! The FUSE protocol on the wire: the structures of linux/fuse.h, 7.31 to 7.45, and how to cut them out of bytes.
//!
//! Always holds: a request shorter than its structures, or a name without its NUL, is `None` and never a panic. Both
//! sides run on one machine, so the numbers are in its byte order. Neighbours: `dispatch` decodes with it, `handshake`
//! negotiates with it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub const MAJOR: u32 = 7;
/// The newest minor version known here.
pub const MINOR: u32 = 45;
/// The oldest one accepted (Linux 5.4).
pub const OLDEST_MINOR: u32 = 31;
/// The node number that stands for "no such name".
pub const NO_NODE: u64 = 0;

pub mod opcode {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const SYMLINK: u32 = 6;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const FLUSH: u32 = 25;
    pub const SETXATTR: u32 = 21;
    pub const GETXATTR: u32 = 22;
    pub const LISTXATTR: u32 = 23;
    pub const REMOVEXATTR: u32 = 24;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const ACCESS: u32 = 34;
    pub const CREATE: u32 = 35;
    pub const DESTROY: u32 = 38;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const READDIRPLUS: u32 = 44;
    pub const RENAME2: u32 = 45;
    pub const LSEEK: u32 = 46;
    pub const COPY_FILE_RANGE: u32 = 47;
    pub const TMPFILE: u32 = 51;
    pub const STATX: u32 = 52;
    pub const COPY_FILE_RANGE_64: u32 = 53;
    /// One more than the largest known.
    pub const LIMIT: usize = 64;
}

/// `fuse_setattr_in.valid`.
pub mod valid {
    pub const MODE: u32 = 1 << 0;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
    pub const CTIME: u32 = 1 << 10;
    pub const FH: u32 = 1 << 6;
    pub const KILL_SUIDGID: u32 = 1 << 11;
}

/// Asked by somebody who has the file open, rather than of its name.
pub const GETATTR_HANDLE: u32 = 1 << 0;
pub const WRITE_CACHE: u32 = 1 << 0;
pub const WRITE_KILL_SUIDGID: u32 = 1 << 2;
pub const FSYNC_DATA_ONLY: u32 = 1 << 0;
pub const SETXATTR_ACL_KILL_SGID: u32 = 1 << 0;
/// In place of an error, in a message that answers nothing.
pub const NOTIFY_INVALIDATE_INODE: i32 = 2;
pub const NOTIFY_INVALIDATE_ENTRY: i32 = 3;
pub const NOTIFY_DELETE: i32 = 6;
pub const OPEN_KEEP_CACHE: u32 = 1 << 1;

/// Declares wire structures: requests are read from bytes, replies turned into them.
macro_rules! wire {
    ($($(#[$note:meta])* $name:ident = $size:literal { $($field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$note])*
        #[repr(C)]
        #[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
        pub struct $name { $(pub $field: $kind),* }
        const _: () = assert!(size_of::<$name>() == $size);
    )*};
}

wire! {
    InHeader = 40 {
        length: u32, opcode: u32, unique: u64, node: u64, uid: u32, gid: u32, pid: u32,
        extensions: u16, padding: u16,
    }
    OutHeader = 16 { length: u32, error: i32, unique: u64 }
    InitIn = 16 { major: u32, minor: u32, max_readahead: u32, flags: u32 }
    /// Follows with INIT_EXT: the upper half of the flags.
    InitMoreIn = 4 { flags2: u32 }
    InitOut = 64 {
        major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16,
        congestion_threshold: u16, max_write: u32, time_granularity: u32, max_pages: u16,
        map_alignment: u16, flags2: u32, max_stack_depth: u32, request_timeout: u16,
        unused16: u16, unused: [u32; 5],
    }
    Attr = 88 {
        inode: u64, size: u64, blocks: u64, atime: i64, mtime: i64, ctime: i64, atime_ns: u32,
        mtime_ns: u32, ctime_ns: u32, mode: u32, links: u32, uid: u32, gid: u32, device: u32,
        block_size: u32, flags: u32,
    }
    EntryOut = 128 {
        node: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_ns: u32,
        attr_valid_ns: u32, attr: Attr,
    }
    AttrOut = 104 { valid: u64, valid_ns: u32, padding: u32, attr: Attr }
    ForgetIn = 8 { count: u64 }
    BatchForgetIn = 8 { count: u32, padding: u32 }
    ForgetOne = 16 { node: u64, count: u64 }
    SetattrIn = 88 {
        valid: u32, padding: u32, handle: u64, size: u64, lock_owner: u64, atime: i64, mtime: i64,
        ctime: i64, atime_ns: u32, mtime_ns: u32, ctime_ns: u32, mode: u32, unused4: u32, uid: u32,
        gid: u32, unused5: u32,
    }
    MknodIn = 16 { mode: u32, device: u32, umask: u32, padding: u32 }
    CreateIn = 16 { flags: u32, mode: u32, umask: u32, open_flags: u32 }
    MkdirIn = 8 { mode: u32, umask: u32 }
    RenameIn = 8 { new_parent: u64 }
    Rename2In = 16 { new_parent: u64, flags: u32, padding: u32 }
    LinkIn = 8 { node: u64 }
    OpenIn = 8 { flags: u32, open_flags: u32 }
    OpenOut = 16 { handle: u64, open_flags: u32, backing: i32 }
    ReleaseIn = 24 { handle: u64, flags: u32, release_flags: u32, lock_owner: u64 }
    ReadIn = 40 {
        handle: u64, offset: u64, size: u32, read_flags: u32, lock_owner: u64, flags: u32, padding: u32,
    }
    GetattrIn = 16 { flags: u32, padding: u32, handle: u64 }
    WriteIn = 40 {
        handle: u64, offset: u64, size: u32, write_flags: u32, lock_owner: u64, flags: u32, padding: u32,
    }
    WriteOut = 8 { size: u32, padding: u32 }
    FsyncIn = 16 { handle: u64, flags: u32, padding: u32 }
    StatfsOut = 80 {
        blocks: u64, free: u64, available: u64, files: u64, free_files: u64, block_size: u32,
        name_max: u32, fragment_size: u32, padding: u32, spare: [u32; 6],
    }
    /// With SETXATTR_EXT.
    SetxattrIn = 16 { size: u32, flags: u32, extra_flags: u32, padding: u32 }
    /// Without.
    SetxattrShortIn = 8 { size: u32, flags: u32 }
    GetxattrIn = 8 { size: u32, padding: u32 }
    GetxattrOut = 8 { size: u32, padding: u32 }
    AccessIn = 8 { mask: u32, padding: u32 }
    FallocateIn = 32 { handle: u64, offset: u64, length: u64, mode: u32, padding: u32 }
    LseekIn = 24 { handle: u64, offset: u64, whence: u32, padding: u32 }
    LseekOut = 8 { offset: u64 }
    CopyFileRangeIn = 56 {
        handle_in: u64, offset_in: u64, node_out: u64, handle_out: u64, offset_out: u64, length: u64,
        flags: u64,
    }
    CopyFileRangeOut = 8 { copied: u64 }
    /// All zero but the node: the whole file. A negative offset: its attributes alone.
    InvalidateInode = 24 { node: u64, offset: i64, length: i64 }
    /// The name follows, with a NUL.
    InvalidateEntry = 16 { parent: u64, length: u32, flags: u32 }
    DeleteEntry = 24 { parent: u64, child: u64, length: u32, padding: u32 }
    Dirent = 24 { inode: u64, cookie: u64, name_length: u32, kind: u32 }
    StatxTime = 16 { seconds: i64, nanoseconds: u32, reserved: i32 }
    Statx = 256 {
        mask: u32, block_size: u32, attributes: u64, links: u32, uid: u32, gid: u32, mode: u16,
        spare0: u16, inode: u64, size: u64, blocks: u64, attributes_mask: u64, atime: StatxTime,
        btime: StatxTime, ctime: StatxTime, mtime: StatxTime, device_major: u32, device_minor: u32,
        dev_major: u32, dev_minor: u32, spare2: [[u64; 7]; 2],
    }
    StatxOut = 288 { valid: u64, valid_ns: u32, flags: u32, spare: [u64; 2], stat: Statx }
}

/// The parts of a request that are not decoded yet.
pub struct Body<'a> {
    /// Where the structure lies when it does not lie before the rest (io_uring).
    operation: Option<&'a [u8]>,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    /// All in one piece.
    pub fn whole(bytes: &'a [u8]) -> Body<'a> {
        Body { operation: None, rest: bytes }
    }

    /// The structure apart from what follows it.
    pub fn parts(operation: &'a [u8], rest: &'a [u8]) -> Body<'a> {
        Body { operation: Some(operation), rest }
    }

    pub fn take<T: FromBytes + Copy>(&mut self) -> Option<T> {
        if let Some(operation) = self.operation.take() {
            return Some(T::read_from_prefix(operation).ok()?.0);
        }
        let (value, rest) = T::read_from_prefix(self.rest).ok()?;
        self.rest = rest;
        Some(value)
    }

    /// A NUL-terminated name.
    pub fn name(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let (name, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        Some(name)
    }

    pub fn bytes(&mut self, length: u32) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length as usize)?;
        self.rest = rest;
        Some(bytes)
    }
}
