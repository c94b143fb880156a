//! File system calls that the standard library lacks: everything relative to an open folder, nothing that follows a
//! link, positioned vectored writes, durability of a whole filesystem.
//!
//! Every function takes open descriptors, returns the OS error as it is and retries EINTR. Used by `store`.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

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

fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Opens `path` below `folder`. No component may be a symbolic link (ELOOP) or lead out of the folder (EXDEV); opening
/// never waits and never gets a controlling terminal. A new file gets mode 0600.
pub fn open_beneath(folder: &File, path: &CStr, flags: libc::c_int) -> io::Result<File> {
    static HAS_OPENAT2: OnceLock<bool> = OnceLock::new();
    // Asked once and of a call that cannot fail otherwise: a sandbox may answer EPERM for ENOSYS, and EPERM from a
    // real open means something else.
    let available = *HAS_OPENAT2.get_or_init(|| openat2(folder, c".", libc::O_PATH).is_ok());
    let flags = flags
        | libc::O_CLOEXEC
        | if flags & libc::O_PATH == 0 { libc::O_NONBLOCK | libc::O_NOCTTY } else { 0 };
    if available { openat2(folder, path, flags) } else { open_by_steps(folder, path, flags) }
}

fn openat2(folder: &File, path: &CStr, flags: libc::c_int) -> io::Result<File> {
    // SAFETY: all zeros is a valid open_how; it is a plain struct of integers.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from(flags.cast_unsigned());
    how.mode = if flags & libc::O_CREAT == 0 { 0 } else { 0o600 };
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    let descriptor = retry(|| {
        // SAFETY: the path is a C string and `how` lives across the call; the size passed is its own.
        let result = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                folder.as_raw_fd(),
                path.as_ptr(),
                &how,
                size_of::<libc::open_how>(),
            )
        };
        result as libc::c_int
    })?;
    // SAFETY: the kernel has just returned this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }.into())
}

/// The same promise for kernels before 5.6: one component at a time, none of them a link.
fn open_by_steps(folder: &File, path: &CStr, flags: libc::c_int) -> io::Result<File> {
    let mut steps = path.to_bytes().split(|byte| *byte == b'/').peekable();
    let mut within: Option<File> = None;
    while let Some(step) = steps.next() {
        if step == b".." || step.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        let step = std::ffi::CString::new(step)?;
        let last = steps.peek().is_none();
        let flags = if last { flags } else { libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC };
        let parent = within.as_ref().unwrap_or(folder);
        let descriptor = retry(|| {
            // SAFETY: the descriptor is open and the path is a C string.
            unsafe { libc::openat(parent.as_raw_fd(), step.as_ptr(), flags | libc::O_NOFOLLOW, 0o600) }
        })?;
        // SAFETY: the kernel has just returned this descriptor and nobody else owns it.
        within = Some(unsafe { OwnedFd::from_raw_fd(descriptor) }.into());
    }
    within.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

/// stat of an open file.
pub fn status(file: &File) -> io::Result<Status> {
    status_at(file, c"", libc::AT_EMPTY_PATH)
}

/// stat of a path below a folder; a link at its end is not followed.
pub fn status_of(folder: &File, path: &CStr) -> io::Result<Status> {
    status_at(folder, path, libc::AT_SYMLINK_NOFOLLOW)
}

/// Asks for nothing but what it gives: of a file whose time of change was asked for, the next write notes a fine-grained
/// one (Linux 6.13), and each of those moves the clock by which the kernel tells whether a file in our own mount has a new
/// time to be sent to us.
fn status_at(folder: &File, path: &CStr, flags: libc::c_int) -> io::Result<Status> {
    let mut found = MaybeUninit::<libc::statx>::uninit();
    let wanted = libc::STATX_TYPE | libc::STATX_INO | libc::STATX_SIZE;
    // SAFETY: the path is a C string and the buffer is as large as the kernel's struct.
    retry(|| unsafe { libc::statx(folder.as_raw_fd(), path.as_ptr(), flags, wanted, found.as_mut_ptr()) })?;
    // SAFETY: statx succeeded, so it has filled the buffer.
    let found = unsafe { found.assume_init() };
    let kind = match u32::from(found.stx_mode) & libc::S_IFMT {
        libc::S_IFREG => Kind::Regular,
        libc::S_IFDIR => Kind::Folder,
        _ => Kind::Other,
    };
    let device = libc::makedev(found.stx_dev_major, found.stx_dev_minor);
    let identity = Identity { device, inode: found.stx_ino };
    Ok(Status { identity, kind, length: found.stx_size })
}

/// Whether this process may write in a folder (EROFS and EACCES say why not).
pub fn may_write(folder: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open and the path is a C string.
    retry(|| unsafe { libc::faccessat(folder.as_raw_fd(), c".".as_ptr(), libc::W_OK, libc::AT_EACCESS) })
        .map(drop)
}

/// Makes one folder, mode 0700. `name` must be a single component, so that no link can be followed.
pub fn make_folder(parent: &File, name: &CStr) -> io::Result<()> {
    // SAFETY: the descriptor is open and the path is a C string.
    retry(|| unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), 0o700) }).map(drop)
}

/// Unlinks one file. `name` must be a single component, so that no link can be followed.
pub fn unlink(parent: &File, name: &CStr) -> io::Result<()> {
    // SAFETY: the descriptor is open and the path is a C string.
    retry(|| unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

/// Removes an empty folder, by a name of a single component likewise.
pub fn remove_folder(parent: &File, name: &CStr) -> io::Result<()> {
    // SAFETY: the descriptor is open and the path is a C string.
    retry(|| unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) }).map(drop)
}

/// Gives a file or folder another name in the same folder; one that has that name is replaced.
pub fn rename(parent: &File, from: &CStr, to: &CStr) -> io::Result<()> {
    let folder = parent.as_raw_fd();
    // SAFETY: the descriptor is open and the paths are C strings.
    retry(|| unsafe { libc::renameat(folder, from.as_ptr(), folder, to.as_ptr()) }).map(drop)
}

/// Writes all parts one after the other at `offset` (bytes).
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
    let count = parts.len().min(MAX_PARTS) as libc::c_int;
    let offset = file_offset(offset)?;
    loop {
        // SAFETY: IoSlice is guaranteed to have the layout of iovec; `count` parts exist and are only read.
        let written = unsafe { libc::pwritev(file.as_raw_fd(), parts.as_ptr().cast(), count, offset) };
        match usize::try_from(written) {
            Ok(written) => return Ok(written),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// Allocates the first `length` bytes of a file, growing it. EOPNOTSUPP where the filesystem cannot.
pub fn allocate(file: &File, length: u64) -> io::Result<()> {
    fallocate(file, 0, 0, length)
}

/// Allocates `length` bytes of a file from `offset`, its length stays. EOPNOTSUPP where the filesystem cannot.
pub fn hold(file: &File, offset: u64, length: u64) -> io::Result<()> {
    fallocate(file, libc::FALLOC_FL_KEEP_SIZE, offset, length)
}

fn fallocate(file: &File, mode: libc::c_int, offset: u64, length: u64) -> io::Result<()> {
    let (offset, length) = (file_offset(offset)?, file_offset(length)?);
    // SAFETY: the descriptor is open; no memory is passed.
    retry(|| unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) }).map(drop)
}

fn file_offset(bytes: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))
}

/// Starts writing a file's dirty pages out, without waiting and without a word on whether it went well: for that there is
/// fdatasync.
pub fn start_writing(file: &File) {
    // SAFETY: the descriptor is open; no memory is passed.
    unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// syncfs(2) of the filesystem that `file` lies on.
pub fn sync_filesystem(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open; no memory is passed.
    retry(|| unsafe { libc::syncfs(file.as_raw_fd()) }).map(drop)
}

/// Whether `file` lies on a filesystem of this machine's own disks or memory, whose syncfs(2) is known to do all that an
/// fdatasync of each file does. FUSE answers it without asking the server, CIFS likewise.
pub fn syncs_whole(file: &File) -> io::Result<bool> {
    const BCACHEFS: i64 = 0xca45_1a4e;
    const ZFS: i64 = 0x2fc1_2fc1;
    Ok(matches!(
        filesystem_kind(file)?,
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

/// Whether `file` lies on a filesystem that writes to allocated blocks where they are. Not where each write is a copy, as
/// on btrfs; and of a network's filesystem nobody can tell.
pub fn writes_in_place(file: &File) -> io::Result<bool> {
    Ok(matches!(
        filesystem_kind(file)?,
        libc::EXT4_SUPER_MAGIC | libc::XFS_SUPER_MAGIC | libc::TMPFS_MAGIC | libc::MSDOS_SUPER_MAGIC | EXFAT
    ))
}

const EXFAT: i64 = 0x2011_bab0;

/// The magic number of the filesystem that `file` lies on.
fn filesystem_kind(file: &File) -> io::Result<i64> {
    let mut buffer = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the buffer is as large as the struct that the call fills.
    retry(|| unsafe { libc::fstatfs(file.as_raw_fd(), buffer.as_mut_ptr()) })?;
    // SAFETY: fstatfs succeeded, so it has filled the buffer.
    Ok(unsafe { buffer.assume_init() }.f_type)
}

/// statvfs(2) of the filesystem that `file` lies on.
pub fn usage(file: &File) -> io::Result<libc::statvfs> {
    let mut buffer = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the buffer is as large as the struct that the call fills.
    retry(|| unsafe { libc::fstatvfs(file.as_raw_fd(), buffer.as_mut_ptr()) })?;
    // SAFETY: fstatvfs succeeded, so it has filled the buffer.
    Ok(unsafe { buffer.assume_init() })
}

/// flock(2), exclusive, without waiting; EWOULDBLOCK when somebody else holds it. Closing the file gives it back.
pub fn lock(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open; no memory is passed.
    retry(|| unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }).map(drop)
}

/// The entries of an open folder, without `.` and `..`, and what each is when the filesystem says so for nothing.
pub struct Entries(*mut libc::DIR);

/// Reads a folder from its beginning. The descriptor must not be shared with another reader.
pub fn entries(folder: File) -> io::Result<Entries> {
    // SAFETY: the descriptor is open; on success the stream owns it, hence the forget.
    let stream = unsafe { libc::fdopendir(folder.as_raw_fd()) };
    if stream.is_null() {
        return Err(io::Error::last_os_error());
    }
    std::mem::forget(folder);
    Ok(Entries(stream))
}

impl Iterator for Entries {
    type Item = io::Result<(Box<CStr>, Option<Kind>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // SAFETY: the calling thread's errno is always valid memory.
            unsafe { *libc::__errno_location() = 0 };
            // SAFETY: the stream is open until drop, and `&mut self` keeps other threads out.
            let entry = unsafe { libc::readdir64(self.0) };
            if entry.is_null() {
                let error = io::Error::last_os_error();
                return if error.raw_os_error() == Some(0) { None } else { Some(Err(error)) };
            }
            // SAFETY: readdir64 returned an entry that is valid until the next call; its name ends with a zero.
            let (name, kind) = unsafe { (CStr::from_ptr((*entry).d_name.as_ptr()), (*entry).d_type) };
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match kind {
                libc::DT_REG => Some(Kind::Regular),
                libc::DT_DIR => Some(Kind::Folder),
                libc::DT_UNKNOWN => None,
                _ => Some(Kind::Other),
            };
            return Some(Ok((name.into(), kind)));
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        // SAFETY: the stream was opened by `entries` and is closed only here.
        unsafe { libc::closedir(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// Both ways of opening keep the same promise; the second is what old kernels and sandboxes get.
    #[test]
    fn opening_stays_beneath_the_folder_and_follows_no_link() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("folder/deep");
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("file"), "").unwrap();
        symlink("file", below.join("link")).unwrap();
        symlink("deep", root.path().join("folder/linked")).unwrap();
        let folder = File::open(root.path().join("folder")).unwrap();
        type Open = fn(&File, &CStr, libc::c_int) -> io::Result<File>;
        for open in [openat2 as Open, open_by_steps] {
            let error = |path, flags| open(&folder, path, flags).unwrap_err().raw_os_error().unwrap();
            open(&folder, c".", libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
            open(&folder, c"deep/file", libc::O_RDWR).unwrap();
            assert_eq!(error(c"deep/none", libc::O_RDONLY), libc::ENOENT);
            assert_eq!(error(c"deep/file", libc::O_RDWR | libc::O_CREAT | libc::O_EXCL), libc::EEXIST);
            assert_eq!(error(c"deep/link", libc::O_RDWR | libc::O_CREAT | libc::O_EXCL), libc::EEXIST);
            assert_eq!(error(c"deep/link", libc::O_RDONLY), libc::ELOOP);
            assert!([libc::ELOOP, libc::ENOTDIR].contains(&error(c"linked/file", libc::O_RDONLY)));
            for outside in [c"..", c"../other", c"deep/../../other", c"/etc/passwd"] {
                assert_eq!(error(outside, libc::O_RDONLY), libc::EXDEV, "{outside:?}");
            }
        }
    }

    #[test]
    fn an_open_file_is_told_from_its_replacement() {
        let root = tempfile::tempdir().unwrap();
        let folder = File::open(root.path()).unwrap();
        let [one, two] = [c"one", c"two"].map(|name| {
            status(&open_beneath(&folder, name, libc::O_RDWR | libc::O_CREAT).unwrap()).unwrap().identity
        });
        assert_ne!(one, two);
        assert_eq!(status_of(&folder, c"one").unwrap().identity, one);
    }

    fn coarse_now() -> (i64, i64) {
        let mut now = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: `now` outlives the call, which fills it.
        let now = unsafe {
            assert_eq!(libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, now.as_mut_ptr()), 0);
            now.assume_init()
        };
        (now.tv_sec, now.tv_nsec)
    }

    /// What other processes do to their files moves the clock as well: one quiet moment is enough.
    #[test]
    fn a_look_has_the_next_write_note_no_finer_time() {
        let root = tempfile::tempdir().unwrap();
        let folder = File::open(root.path()).unwrap();
        let file = open_beneath(&folder, c"file", libc::O_RDWR | libc::O_CREAT).unwrap();
        let quiet = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(12));
            let now = coarse_now();
            write_all_at(&file, 0, &[IoSlice::new(b"before")]).unwrap();
            status_of(&folder, c"file").unwrap();
            status(&file).unwrap();
            write_all_at(&file, 0, &[IoSlice::new(b"after")]).unwrap();
            let noted = file.metadata().unwrap();
            (noted.ctime(), noted.ctime_nsec()) == now
        });
        assert!(quiet, "each write after a look noted a time of its own");
    }
}
