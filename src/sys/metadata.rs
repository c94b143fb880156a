//! What copying files by their path needs and std has no call for: attributes, never through a symlink, and holes.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, SeekFrom, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Seconds and nanoseconds since 1970.
pub type Moment = (i64, u32);

/// What mknod(2) can make.
#[derive(Clone, Copy, Debug)]
pub enum Special {
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

/// Makes a FIFO, a socket or a device, with mode 0600. `device`: major and minor number.
///
/// # Errors
///
/// mknodat(2)'s: `AlreadyExists`; EPERM for a device without CAP_MKNOD.
pub fn make_special(path: &Path, special: Special, device: (u32, u32)) -> io::Result<()> {
    let kind = match special {
        Special::Fifo => FileType::Fifo,
        Special::Socket => FileType::Socket,
        Special::CharDevice => FileType::CharacterDevice,
        Special::BlockDevice => FileType::BlockDevice,
    };
    let device = rustix::fs::makedev(device.0, device.1);
    Ok(rustix::fs::mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device)?)
}

/// Sets both times of a file.
///
/// # Errors
///
/// utimensat(2)'s: EPERM for another user's file.
pub fn set_times(path: &Path, accessed: Moment, modified: Moment) -> io::Result<()> {
    let spec = |(seconds, nanoseconds): Moment| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: spec(accessed), last_modification: spec(modified) };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Sets one extended attribute, whether it is there or not. `name` has its namespace: `user.`, `security.`, …
///
/// # Errors
///
/// lsetxattr(2)'s: EOPNOTSUPP where the filesystem has none of that namespace; EPERM; ENOSPC.
pub fn set_xattr(path: &Path, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())?)
}

/// All extended attributes, name and value; none where the filesystem has none.
///
/// # Errors
///
/// llistxattr(2)'s; lgetxattr(2)'s, but not of an attribute that cannot be read (ENODATA, EOPNOTSUPP).
pub fn xattrs(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    // The largest list and value that Linux has.
    let mut names = vec![0; 65_536];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        length => length?,
    };
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65_536];
        let length = match rustix::fs::lgetxattr(path, name, &mut value[..]) {
            // Gone since it was listed, or listed but not to be read.
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => continue,
            length => length?,
        };
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    Ok(found)
}

/// Opens a file to be read. A symlink is not followed, and nobody is waited for.
///
/// # Errors
///
/// ELOOP for a symlink; else open(2)'s.
pub fn open_to_copy(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// The next bytes of a file that are no hole; `None` if there are none any more. Where the filesystem tells of no holes they
/// end at the largest offset. Moves the file's position.
///
/// # Errors
///
/// lseek(2)'s.
pub fn next_data(file: &File, from: u64) -> io::Result<Option<Range<u64>>> {
    let seek = |to| rustix::fs::seek(file, to);
    let end = match seek(SeekFrom::Data(from)) {
        Ok(start) => seek(SeekFrom::Hole(start)).map(|end| Some(start..end)),
        Err(error) => Err(error),
    };
    match end {
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(from..u64::MAX)),
        found => Ok(found?),
    }
}

/// Whether an error is of one name or file, so that others may still be made in the same folder: filesystems differ in which
/// names, sizes, kinds and links they have.
pub fn concerns_one_file(error: &io::Error) -> bool {
    let of_one = [
        libc::EACCES,
        libc::EEXIST,
        libc::EFBIG,
        libc::EILSEQ,
        libc::EINVAL,
        // One bad place of a disk; exfat-fuse for a FIFO.
        libc::EIO,
        libc::EISDIR,
        libc::ELOOP,
        libc::EMLINK,
        libc::ENAMETOOLONG,
        libc::ENOENT,
        libc::ENOSYS,
        libc::ENOTDIR,
        libc::ENOTEMPTY,
        libc::EOPNOTSUPP,
        libc::EPERM,
    ];
    let is_of_one = error.raw_os_error().is_some_and(|number| of_one.contains(&number));
    is_of_one || error.kind() == io::ErrorKind::AlreadyExists
}
