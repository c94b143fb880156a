//! What is asked of a whole filesystem: what kind it is, what can be relied on there, how much room it has.
//!
//! As in `files`, every function returns the OS error as it is and retries EINTR. Used by `store` and `mount`.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{self, AtFlags, StatVfs, StatxFlags};
use rustix::io::retry_on_intr;

// Filesystems that the kernel's headers lack (linux/magic.h): from their own sources.
const BCACHEFS: i64 = 0xca45_1a4e;
const EXFAT: i64 = 0x2011_bab0;
const ZFS: i64 = 0x2fc1_2fc1;

/// The number of the filesystem that a path leads to, `major:minor`, without asking whoever serves it.
///
/// # Errors
///
/// statx(2)'s: ENOENT or EACCES, of links in /proc also for a process that ended or is another user's.
pub fn device_of(path: &Path) -> io::Result<String> {
    let flags = AtFlags::STATX_DONT_SYNC;
    let found = retry_on_intr(|| fs::statx(fs::CWD, path, flags, StatxFlags::empty()))?;
    Ok(format!("{}:{}", found.stx_dev_major, found.stx_dev_minor))
}

/// Whether inotify tells of everything that happens to the filesystem that `file` lies on: not of what other machines do
/// on a network's, nor of what a FUSE daemon fetches.
///
/// # Errors
///
/// statfs(2)'s: ENOTCONN or ESTALE where the filesystem is gone.
pub fn tells_changes(file: &File) -> io::Result<bool> {
    // Filesystems that the kernel's headers or libc lack.
    const CIFS: i64 = 0xff53_4d42;
    const SMB2: i64 = 0xfe53_4d42;
    const V9FS: i64 = 0x0102_1997;
    const CEPH: i64 = 0x00c3_6400;
    let kind = retry_on_intr(|| fs::fstatfs(file))?.f_type;
    let remote =
        [libc::NFS_SUPER_MAGIC, libc::SMB_SUPER_MAGIC, libc::FUSE_SUPER_MAGIC, libc::AFS_SUPER_MAGIC];
    Ok(!remote.contains(&kind) && ![CIFS, SMB2, V9FS, CEPH].contains(&kind))
}

/// syncfs(2) of the filesystem that `file` lies on.
///
/// # Errors
///
/// syncfs(2)'s; since Linux 5.8 also EIO or ENOSPC where something of that filesystem could not be written.
pub fn sync_filesystem(file: &File) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::syncfs(file))?)
}

/// Whether `file` lies on a filesystem of this machine's own disks or memory, whose syncfs(2) is known to do all that an
/// fdatasync of each file does. FUSE answers it without asking the server, CIFS likewise.
///
/// # Errors
///
/// statfs(2)'s, as for [`tells_changes`].
pub fn syncs_whole(file: &File) -> io::Result<bool> {
    Ok(matches!(
        retry_on_intr(|| fs::fstatfs(file))?.f_type,
        libc::EXT4_SUPER_MAGIC
            | libc::XFS_SUPER_MAGIC
            | libc::BTRFS_SUPER_MAGIC
            | libc::F2FS_SUPER_MAGIC
            | libc::TMPFS_MAGIC
            | libc::OVERLAYFS_SUPER_MAGIC
            | libc::MSDOS_SUPER_MAGIC
            | BCACHEFS
            | EXFAT
            | ZFS
    ))
}

/// Whether space that fallocate(2) takes on the filesystem of `file`, and ftruncate gives back, is space that a write to
/// another file then finds: not where writing over a block takes another one.
///
/// # Errors
///
/// statfs(2)'s, as for [`tells_changes`].
pub fn holds_space(file: &File) -> io::Result<bool> {
    let kind = retry_on_intr(|| fs::fstatfs(file))?.f_type;
    Ok(!matches!(kind, libc::BTRFS_SUPER_MAGIC | BCACHEFS | ZFS))
}

/// statvfs(2) of the filesystem that `file` lies on: `f_blocks`, `f_bfree` and `f_bavail` count units of `f_frsize`
/// bytes.
///
/// # Errors
///
/// statfs(2)'s, as for [`tells_changes`].
pub fn usage(file: &File) -> io::Result<StatVfs> {
    Ok(retry_on_intr(|| fs::fstatvfs(file))?)
}
