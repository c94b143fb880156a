//! File system calls that the standard library lacks: relative to an open folder, without following links, vectored.
//! Every function takes open descriptors, returns the OS error as it is and retries EINTR. Used by `store`.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{
    self, Access, AtFlags, Dir, FallocateFlags, FileType, FlockOperation, Mode, RenameFlags, ResolveFlags,
    StatxFlags,
};
use rustix::io::{Errno, retry_on_intr};

pub use rustix::fs::OFlags;

/// Which file a descriptor or a name stands for: equal only for the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

/// What kind of thing a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Regular,
    Folder,
    Other,
}

/// The part of statx(2) that this crate goes by.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub identity: Identity,
    pub kind: Kind,
    /// Bytes.
    pub length: u64,
}

/// Most parts that one pwritev(2) takes (Linux's UIO_MAXIOV).
const MAX_PARTS: usize = 1024;

/// Opens `path` below `folder`. No component may be a symbolic link (ELOOP) or lead out of the folder (EXDEV); opening
/// never waits and never gets a controlling terminal. A new file gets mode 0600.
///
/// # Errors
///
/// ELOOP and EXDEV, see above (before Linux 5.6 ENOTDIR for a link that is not the last component); else open(2)'s:
/// ENXIO for a socket.
pub fn open_beneath(folder: &File, path: &CStr, flags: OFlags) -> io::Result<File> {
    static HAS_OPENAT2: OnceLock<bool> = OnceLock::new();
    // Asked once and of a call that cannot fail otherwise: a sandbox may answer EPERM for ENOSYS, and EPERM from a
    // real open means something else.
    let available = *HAS_OPENAT2.get_or_init(|| openat2(folder, c".", OFlags::PATH).is_ok());
    let mut flags = flags | OFlags::CLOEXEC;
    if !flags.contains(OFlags::PATH) {
        flags |= OFlags::NONBLOCK | OFlags::NOCTTY;
    }
    if available { openat2(folder, path, flags) } else { open_by_steps(folder, path, flags) }
}

/// The mode of a file that opening with `flags` may create; the kernel refuses one where nothing is created.
fn mode_of(flags: OFlags) -> Mode {
    if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() }
}

fn openat2(folder: &File, path: &CStr, flags: OFlags) -> io::Result<File> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(retry_on_intr(|| fs::openat2(folder, path, flags, mode_of(flags), resolve))?.into())
}

/// The same guarantee for kernels before 5.6: one component at a time, none of them a link.
fn open_by_steps(folder: &File, path: &CStr, flags: OFlags) -> io::Result<File> {
    let mut steps = path.to_bytes().split(|byte| *byte == b'/').peekable();
    let mut within: Option<File> = None;
    while let Some(step) = steps.next() {
        if step == b".." || step.is_empty() {
            return Err(Errno::XDEV.into());
        }
        let step = CString::new(step)?;
        let last = steps.peek().is_none();
        let flags = if last { flags } else { OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC };
        let flags = flags | OFlags::NOFOLLOW;
        let parent = within.as_ref().unwrap_or(folder);
        within = Some(retry_on_intr(|| fs::openat(parent, &step, flags, mode_of(flags)))?.into());
    }
    within.ok_or_else(|| Errno::NOENT.into())
}

/// Opens a file for appending, or makes one that nobody else can read. No link is followed.
///
/// # Errors
///
/// ELOOP for a link, ENXIO for a pipe that nobody reads; else open(2)'s.
pub fn append_to(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
        .open(path)
}

/// stat of an open file.
///
/// # Errors
///
/// statx(2)'s: ENOTCONN, ESTALE or EIO where the filesystem is gone.
pub fn status(file: &File) -> io::Result<Status> {
    status_at(file, c"", AtFlags::EMPTY_PATH)
}

/// stat of a path below a folder; a link at its end is not followed.
///
/// # Errors
///
/// statx(2)'s: ENOENT, ENOTDIR or ELOOP where the path leads to nothing.
pub fn status_of(folder: &File, path: &CStr) -> io::Result<Status> {
    status_at(folder, path, AtFlags::SYMLINK_NOFOLLOW)
}

/// Asks for nothing but what it gives: of a file whose time of change was asked for, the next write notes a fine-grained
/// one (Linux 6.13), and each of those moves the clock by which the kernel tells whether a file in our own mount has a new
/// time to be sent to us.
fn status_at(folder: &File, path: &CStr, flags: AtFlags) -> io::Result<Status> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::SIZE;
    let found = retry_on_intr(|| fs::statx(folder, path, flags, wanted))?;
    let device = fs::makedev(found.stx_dev_major, found.stx_dev_minor);
    let identity = Identity { device, inode: found.stx_ino };
    let kind = kind_of(FileType::from_raw_mode(found.stx_mode.into()));
    Ok(Status { identity, kind, length: found.stx_size })
}

/// What tells whether a file was changed: its number, its length, and the times of the last change of it and of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    pub inode: u64,
    pub length: u64,
    /// Seconds and nanoseconds.
    pub changed: (i64, u32),
    pub modified: (i64, u32),
}

/// Those of a regular file below a folder, `None` if something else is there. Only of what is rarely written: see
/// [`status_of`].
///
/// # Errors
///
/// statx(2)'s, as for [`status_of`].
pub fn marks_of(folder: &File, path: &CStr) -> io::Result<Option<Marks>> {
    marks_at(folder, path, AtFlags::SYMLINK_NOFOLLOW)
}

/// Those of an open file.
///
/// # Errors
///
/// statx(2)'s, as for [`status`].
pub fn marks(file: &File) -> io::Result<Option<Marks>> {
    marks_at(file, c"", AtFlags::EMPTY_PATH)
}

fn marks_at(folder: &File, path: &CStr, flags: AtFlags) -> io::Result<Option<Marks>> {
    let wanted =
        StatxFlags::TYPE | StatxFlags::INO | StatxFlags::SIZE | StatxFlags::CTIME | StatxFlags::MTIME;
    let found = retry_on_intr(|| fs::statx(folder, path, flags, wanted))?;
    let [changed, modified] = [found.stx_ctime, found.stx_mtime].map(|time| (time.tv_sec, time.tv_nsec));
    let is_file = FileType::from_raw_mode(found.stx_mode.into()) == FileType::RegularFile;
    let is_whole = found.stx_mask & wanted.bits() == wanted.bits();
    Ok((is_file && is_whole).then_some(Marks {
        inode: found.stx_ino,
        length: found.stx_size,
        changed,
        modified,
    }))
}

fn kind_of(kind: FileType) -> Kind {
    match kind {
        FileType::RegularFile => Kind::Regular,
        FileType::Directory => Kind::Folder,
        _ => Kind::Other,
    }
}

/// Asks whether this process may write in a folder.
///
/// # Errors
///
/// EROFS on a read-only filesystem, EACCES without permission; else faccessat(2)'s.
pub fn may_write(folder: &File) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::accessat(folder, c".", Access::WRITE_OK, AtFlags::EACCESS))?)
}

/// Makes one folder, mode 0700. `name` must be a single component, so that no link can be followed.
///
/// # Errors
///
/// mkdirat(2)'s: `AlreadyExists` whatever has the name, ENOSPC, EROFS.
pub fn make_folder(parent: &File, name: &CStr) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::mkdirat(parent, name, Mode::RWXU))?)
}

/// Unlinks one file. `name` must be a single component, so that no link can be followed.
///
/// # Errors
///
/// unlinkat(2)'s: `NotFound`; EISDIR for a folder.
pub fn unlink(parent: &File, name: &CStr) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::unlinkat(parent, name, AtFlags::empty()))?)
}

/// Removes an empty folder. `name` must be a single component, so that no link can be followed.
///
/// # Errors
///
/// unlinkat(2)'s: `NotFound`; ENOTEMPTY; ENOTDIR for what is no folder.
pub fn remove_folder(parent: &File, name: &CStr) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::unlinkat(parent, name, AtFlags::REMOVEDIR))?)
}

/// Renames a file or folder within one folder; whatever has the new name is replaced.
///
/// # Errors
///
/// renameat(2)'s: `NotFound` without `from`; EISDIR, ENOTDIR or ENOTEMPTY where `to` cannot be replaced.
pub fn rename(parent: &File, from: &CStr, to: &CStr) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::renameat(parent, from, parent, to))?)
}

/// The same, but nothing is replaced; where the filesystem cannot promise that, nothing that is there before.
///
/// # Errors
///
/// As for [`rename`]; `AlreadyExists`.
pub fn rename_to_free(parent: &File, from: &CStr, to: &CStr) -> io::Result<()> {
    match retry_on_intr(|| fs::renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE)) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        renamed => return Ok(renamed?),
    }
    match status_of(parent, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => rename(parent, from, to),
        found => found.and(Err(io::ErrorKind::AlreadyExists.into())),
    }
}

/// The same as [`rename`] from one folder into another one of the filesystem.
///
/// # Errors
///
/// As for [`rename`]; EXDEV where the folders lie on two filesystems.
pub fn move_to(parent: &File, from: &CStr, into: &File, to: &CStr) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::renameat(parent, from, into, to))?)
}

/// Has two files of one folder exchange their names, at one moment.
///
/// # Errors
///
/// renameat2(2)'s: `NotFound` unless both are there; EINVAL where the filesystem cannot.
pub fn exchange(parent: &File, one: &CStr, other: &CStr) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::renameat_with(parent, one, parent, other, RenameFlags::EXCHANGE))?)
}

/// Since when a file has had the names that it has, and been as it is; none is as long as can be.
///
/// # Errors
///
/// statx(2)'s, as for [`status_of`].
pub fn age_of(parent: &File, path: &CStr) -> io::Result<Duration> {
    let changed = marks_of(parent, path)?.map_or(0, |marks| marks.changed.0.try_into().unwrap_or_default());
    Ok(SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(changed)).unwrap_or_default())
}

/// Gives a file a second name, in another folder of the filesystem. A link is not followed.
///
/// # Errors
///
/// linkat(2)'s: `AlreadyExists`; EXDEV where the folders lie on two filesystems; EPERM, EOPNOTSUPP or EMLINK where
/// the file can have no further name.
pub fn link(parent: &File, name: &CStr, into: &File, second: &CStr) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::linkat(parent, name, into, second, AtFlags::empty()))?)
}

/// Writes all parts one after the other at `offset` (bytes).
///
/// # Errors
///
/// pwritev(2)'s: ENOSPC, EDQUOT, EIO; `WriteZero` where nothing more is taken. Any part may have been written then.
pub fn write_all_at(file: &File, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut written = write_some_at(file, offset, parts)?;
    if written == total {
        return Ok(());
    }
    let mut parts = parts.to_vec();
    let mut rest = &mut parts[..];
    IoSlice::advance_slices(&mut rest, written);
    while written < total {
        let more = write_some_at(file, offset + written as u64, rest)?;
        if more == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, more);
        written += more;
    }
    Ok(())
}

fn write_some_at(file: &File, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let parts = &parts[..parts.len().min(MAX_PARTS)];
    Ok(retry_on_intr(|| rustix::io::pwritev(file, parts, offset))?)
}

/// Makes a descriptor that was opened for reading one for writing too, of the same file whatever its name is by now. Whoever
/// reads by it meanwhile goes on.
///
/// # Errors
///
/// open(2)'s: EACCES, EROFS, ENOENT without /proc; dup3(2)'s. The descriptor is as it was then.
pub fn make_writable(file: &File) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let writable = retry_on_intr(|| fs::openat(fs::CWD, path.as_str(), flags, Mode::empty()))?;
    become_as(file, &writable)
}

/// Has a descriptor's number stand for what another one does.
///
/// # Errors
///
/// dup3(2)'s. `file` is as it was then.
pub fn become_as(file: &File, other: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: both descriptors are open. `file` goes on owning its number, which is open afterwards too.
    let taken = unsafe { libc::dup3(other.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) };
    if taken < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// When something last came into a folder or went out of it, in nanoseconds: of content, and of the folder itself.
///
/// # Errors
///
/// statx(2)'s, as for [`status`].
pub fn folder_times(folder: &File) -> io::Result<(i128, i128)> {
    let found = folder.metadata()?;
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Ok((nanoseconds(found.mtime(), found.mtime_nsec()), nanoseconds(found.ctime(), found.ctime_nsec())))
}

/// Allocates these bytes of a file, growing it.
///
/// # Errors
///
/// fallocate(2)'s: EOPNOTSUPP where the filesystem cannot; ENOSPC, with some of it allocated.
pub fn allocate(file: &File, bytes: Range<u64>) -> io::Result<()> {
    let length = bytes.end - bytes.start;
    Ok(retry_on_intr(|| fs::fallocate(file, FallocateFlags::empty(), bytes.start, length))?)
}

/// Starts reading a part of a file from disk without waiting.
pub fn read_ahead(file: &File, bytes: Range<u64>) {
    let length = NonZeroU64::new(bytes.end.saturating_sub(bytes.start));
    // Whoever reads is told of any failure.
    _ = length.map(|length| fs::fadvise(file, bytes.start, Some(length), fs::Advice::WillNeed));
}

/// Starts writing a file's dirty pages to disk without waiting. It reports no failure: fdatasync does.
pub fn start_writing(file: &File) {
    // SAFETY: the descriptor is open; no memory is passed.
    unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Makes a file without a name on the filesystem of a folder (O_TMPFILE).
///
/// # Errors
///
/// open(2)'s: EOPNOTSUPP where the filesystem has no such files; EROFS, EACCES.
pub fn make_unnamed(folder: &File) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| fs::openat(folder, c".", flags, Mode::RUSR | Mode::WUSR))?.into())
}

/// flock(2), exclusive, without waiting. Closing the file gives it back.
///
/// # Errors
///
/// EWOULDBLOCK when somebody else holds it; EBADF, ENOLCK or EOPNOTSUPP where the filesystem has no lock for it
/// (NFS).
pub fn lock(file: &File) -> io::Result<()> {
    Ok(retry_on_intr(|| fs::flock(file, FlockOperation::NonBlockingLockExclusive))?)
}

/// The entries of an open folder without `.` and `..`, each with its kind where the filesystem reports it for free.
pub struct Entries(Dir);

/// Reads a folder from its beginning. The descriptor must not be shared with another reader.
///
/// # Errors
///
/// ENOTDIR where it is no folder, here or as the first entry. getdents64(2)'s comes as an entry.
pub fn entries(folder: File) -> io::Result<Entries> {
    Ok(Entries(Dir::new(folder)?))
}

impl Iterator for Entries {
    type Item = io::Result<(Box<CStr>, Option<Kind>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.0.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => None,
                kind => Some(kind_of(kind)),
            };
            return Some(Ok((name.into(), kind)));
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
