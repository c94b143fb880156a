//! The mount itself: mount(2) as root, fusermount3 as anybody else, and taking away exactly what was mounted.
//!
//! A mount is recognised by its device number, which nobody else can have while our connection lives; a path alone is
//! never trusted when unmounting. Neighbours: `mod.rs` drives it, `sys::fuse` makes the system calls.

use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::table::{self, Entry, KIND};
use super::{MountError, Options};
use crate::sys::fuse as sys;

/// The mount's type, minus `fuse.`.
const SUBTYPE: &str = "cryptfs";
const HELPER: &str = "fusermount3";
/// How many links lead to one place, as in the kernel.
const LINKS_MOST: usize = 40;

/// A place in the tree that holds a mount of ours.
#[derive(Debug)]
pub struct MountPoint {
    path: PathBuf,
    /// `major:minor`, as /proc/self/mountinfo and /sys/class/bdi have it.
    device: String,
}

impl MountPoint {
    /// Mounts at `path` and returns the kernel's end of it.
    ///
    /// # Errors
    ///
    /// As for [`check`]; [`MountError::NoHelper`], [`MountError::AllowOtherForbidden`],
    /// [`MountError::MountpointForbidden`] and [`MountError::Helper`] by fusermount3; [`MountError::Kernel`].
    pub fn mount(path: &Path, options: &Options) -> Result<(MountPoint, File), MountError> {
        let path = check(path)?;
        let device = open_device()?;
        let channel = if sys::identity().0 == 0 {
            mount_as_root(&path, device, options)?
        } else {
            drop(device);
            mount_by_helper(&path, options)?
        };
        match mounted_at(&path).map_err(MountError::Kernel)? {
            Some(found) if found.entry.is_ours() => {
                Ok((MountPoint { path, device: found.entry.device }, channel))
            }
            _ => Err(MountError::Kernel(io::ErrorKind::NotFound.into())),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the mount out of the tree. Users that still hold a file in it keep it until they close. Quietly does
    /// nothing when what lies there now is not ours.
    ///
    /// # Errors
    ///
    /// What umount2(2) or fusermount3 says, or that of opening the path.
    pub fn unmount(&self) -> io::Result<()> {
        match mounted_at(&self.path)? {
            Some(found) if found.entry.device == self.device => found.detach(),
            _ => Ok(()),
        }
    }

    /// Takes the mount away, unless somebody uses it. Quietly does nothing when what lies there now is not ours.
    ///
    /// # Errors
    ///
    /// `ResourceBusy`; else as for [`MountPoint::unmount`].
    pub fn unmount_unused(&self) -> io::Result<()> {
        match mounted_at(&self.path)? {
            Some(found) if found.entry.device == self.device => found.unmount(),
            _ => Ok(()),
        }
    }

    pub fn device(&self) -> &str {
        &self.device
    }

    /// Has the kernel send what it caches of files that were written to. Where something else is at the path now nothing is
    /// done.
    ///
    /// # Errors
    ///
    /// That of a write that failed (since Linux 5.8); ENOTCONN where the connection is over.
    pub fn sync_kernel(&self) -> io::Result<()> {
        match self.root()? {
            Some(root) => sys::write_back(&root),
            None => Ok(()),
        }
    }

    /// Has the kernel ask something of the daemon, and waits for the answer.
    ///
    /// # Errors
    ///
    /// `NotFound` where something else is at the path now; ENOTCONN where the connection is over; what the daemon
    /// answers.
    pub fn ask(&self) -> io::Result<()> {
        let root = self.root()?.ok_or(io::ErrorKind::NotFound)?;
        sys::is_read_only(&root).map(|_| ())
    }

    /// The root of the mount, unless something else is at the path now.
    fn root(&self) -> io::Result<Option<File>> {
        let root = File::open(&self.path)?;
        let device = root.metadata()?.dev();
        let is_ours = format!("{}:{}", libc::major(device), libc::minor(device)) == self.device;
        Ok(is_ours.then_some(root))
    }

    /// Has the kernel end the connection: every request fails, those under way too.
    pub fn abort(&self) {
        let number = self.device.rsplit(':').next().unwrap_or_default();
        let file = format!("/sys/fs/fuse/connections/{number}/abort");
        if let Err(error) = fs::write(&file, "1") {
            log::error!("{file}: {error}");
        }
    }

    /// Lets the kernel read ahead by `kilobytes`; only root may, and 128 KiB stays where it is not allowed.
    pub fn read_ahead(&self, kilobytes: u32) {
        let setting = format!("/sys/class/bdi/{}/read_ahead_kb", self.device);
        if let Err(error) = fs::write(&setting, kilobytes.to_string()) {
            log::debug!("{setting} stays as it is: {error}");
        }
    }
}

/// The mount of this type at `path`, whoever made it and whether or not its daemon still lives.
///
/// # Errors
///
/// /proc/self/mountinfo could not be read.
pub fn find(path: &Path) -> io::Result<Option<Found>> {
    let path = absolute(path)?;
    Ok(mounted_at(&path)?.filter(|found| found.entry.is_ours()))
}

/// Removes a mount of this type at `path` whose daemon is gone.
///
/// # Errors
///
/// What umount2(2) or fusermount3 says.
pub fn clear_stale(path: &Path) -> io::Result<()> {
    let is_stale = matches!(check(path), Err(MountError::Stale));
    match find(path)? {
        Some(found) if is_stale => found.detach(),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// The canonical form of a mountpoint that can take a mount, where there is a /dev/fuse to mount with.
///
/// # Errors
///
/// Why nothing can be mounted there, or `NoDevice` and `DeviceForbidden`.
pub fn check(path: &Path) -> Result<PathBuf, MountError> {
    open_device()?;
    // stat(2) may still answer from the kernel's cache where the daemon is long dead; statfs(2) asks it.
    sys::check_alive(&CString::new(path.as_os_str().as_bytes()).map_err(|_| MountError::NoMountpoint)?)
        .map_err(|error| refusal(&error))?;
    let metadata = fs::metadata(path).map_err(|error| refusal(&error))?;
    if !metadata.is_dir() {
        return Err(MountError::NotDirectory);
    }
    fs::canonicalize(path).map_err(|error| refusal(&error))
}

fn refusal(error: &io::Error) -> MountError {
    match error.raw_os_error() {
        _ if is_gone(error) => MountError::Stale,
        Some(libc::ENOTDIR) => MountError::NotDirectory,
        Some(libc::EACCES | libc::EPERM) => MountError::MountpointForbidden,
        _ => MountError::NoMountpoint,
    }
}

/// Whether a call failed because the daemon is gone, or just ends: what waits for a thread of its ring is cancelled.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED | libc::ECANCELED))
}

/// The canonical form of a path whose last component perhaps cannot be looked into, as that of a mount whose daemon is
/// gone; a symbolic link can.
///
/// # Errors
///
/// The folder that it lies in is not there; ELOOP where links lead nowhere.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    let mut path = std::path::absolute(path)?;
    for _ in 0..LINKS_MOST {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return fs::canonicalize(path);
        };
        let parent = fs::canonicalize(parent)?;
        // Without a slash behind it, for which a link would be followed.
        let place = parent.join(name);
        match fs::read_link(&place) {
            Ok(target) => path = parent.join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// Opens /dev/fuse.
///
/// # Errors
///
/// `NoDevice` or `DeviceForbidden`.
pub fn open_device() -> Result<File, MountError> {
    OpenOptions::new().read(true).write(true).open("/dev/fuse").map_err(|error| match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => MountError::DeviceForbidden,
        _ => MountError::NoDevice,
    })
}

fn mount_as_root(path: &Path, device: File, options: &Options) -> Result<File, MountError> {
    let (user, group) = sys::identity();
    let mut data = format!("fd={},rootmode=40000,user_id={user},group_id={group}", device.as_raw_fd());
    for option in words(options) {
        data.push(',');
        data.push_str(option);
    }
    let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|error| MountError::Kernel(error.into()));
    sys::mount(
        &c_string(options.source.as_bytes())?,
        &c_string(path.as_os_str().as_bytes())?,
        &c_string(KIND.as_bytes())?,
        flags(options),
        &c_string(data.as_bytes())?,
    )
    .map_err(MountError::Kernel)?;
    Ok(device)
}

fn flags(options: &Options) -> sys::MountFlags {
    let list = [
        (options.read_only, sys::MountFlags::RDONLY),
        (options.no_exec, sys::MountFlags::NOEXEC),
        (options.no_suid, sys::MountFlags::NOSUID),
        (options.no_dev, sys::MountFlags::NODEV),
        (options.no_symlinks, sys::MountFlags::NOSYMFOLLOW),
        // Access times never move; this says so.
        (true, sys::MountFlags::NOATIME | sys::MountFlags::NODIRATIME),
    ];
    list.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag).collect()
}

/// What the kernel is told in words.
fn words(options: &Options) -> impl Iterator<Item = &str> {
    let list = [(options.allow_other, "allow_other"), (options.kernel_permissions, "default_permissions")];
    let permissions = list.into_iter().filter(|(on, _)| *on).map(|(_, name)| name);
    permissions.chain(options.contexts.iter().map(String::as_str))
}

/// The `-o` argument of fusermount3; a comma or backslash in the source would otherwise start another option.
pub(super) fn helper_options(options: &Options) -> OsString {
    let mut text = format!("subtype={SUBTYPE},fsname=").into_bytes();
    for &byte in options.source.as_bytes() {
        if matches!(byte, b',' | b'\\') {
            text.push(b'\\');
        }
        text.push(byte);
    }
    let flags = [
        (options.read_only, "ro"),
        (options.no_exec, "noexec"),
        (options.no_suid, "nosuid"),
        (options.no_dev, "nodev"),
        (options.no_symlinks, "nosymfollow"),
        (true, "noatime"),
    ];
    let flags = flags.into_iter().filter(|(on, _)| *on).map(|(_, name)| name);
    for option in flags.chain(words(options)) {
        text.push(b',');
        text.extend_from_slice(option.as_bytes());
    }
    OsString::from_vec(text)
}

/// fusermount3 sends the descriptor over the socket that `_FUSE_COMMFD` names: here its standard input.
fn mount_by_helper(path: &Path, options: &Options) -> Result<File, MountError> {
    let (ours, theirs) = UnixStream::pair().map_err(MountError::Kernel)?;
    let child = Command::new(HELPER)
        .arg("-o")
        .arg(helper_options(options))
        .arg("--")
        .arg(path)
        .env("_FUSE_COMMFD", "0")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MountError::NoHelper,
            _ => MountError::Helper(error.to_string()),
        })?;
    let received = sys::receive_descriptor(&ours);
    let output = child.wait_with_output().map_err(MountError::Kernel)?;
    match received {
        Ok(descriptor) => Ok(File::from(descriptor)),
        Err(_) => Err(helper_refusal(&String::from_utf8_lossy(&output.stderr))),
    }
}

fn helper_refusal(words: &str) -> MountError {
    let words = words.trim();
    if words.contains("user_allow_other") {
        MountError::AllowOtherForbidden
    } else if words.contains("no write access to mountpoint") || words.contains("not owned by user") {
        MountError::MountpointForbidden
    } else {
        MountError::Helper(words.trim_start_matches("fusermount3: ").to_owned())
    }
}

/// The topmost mount at a path.
pub struct Found {
    /// Holds the very mount that was looked at, whatever the path names by now.
    handle: File,
    entry: Entry,
}

impl Found {
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Takes the mount away, unless somebody uses it.
    ///
    /// # Errors
    ///
    /// `ResourceBusy`; else what umount2(2) says, or fusermount3: an `Other`, `NotFound` where it is not installed.
    pub fn unmount(self) -> io::Result<()> {
        // The handle would be a user of it.
        drop(self.handle);
        if sys::identity().0 == 0 {
            return sys::unmount(&CString::new(self.entry.path.into_os_string().into_vec())?);
        }
        helper_unmount(&["-u", "--"], &self.entry.path)
    }

    /// Takes the mount out of the tree. Who uses it keeps it.
    ///
    /// # Errors
    ///
    /// What umount2(2) says, or fusermount3: an `Other`, `NotFound` where it is not installed.
    pub fn detach(&self) -> io::Result<()> {
        if sys::identity().0 == 0 {
            return sys::detach(&CString::new(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))?);
        }
        helper_unmount(&["-u", "-z", "--"], &self.entry.path)
    }

    /// Changes the flags of the mount, those of `options` and no others. Only root may.
    ///
    /// # Errors
    ///
    /// EPERM for anybody but root; else what mount(2) says.
    pub fn remount(&self, options: &Options) -> io::Result<()> {
        sys::remount(&CString::new(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))?, flags(options))
    }

    /// As `detach`; where root does it, every request fails from now on, so that nobody waits for a daemon that hangs.
    ///
    /// # Errors
    ///
    /// As for [`Found::detach`].
    pub fn force(&self) -> io::Result<()> {
        if sys::identity().0 == 0 {
            return sys::force(&CString::new(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))?);
        }
        self.detach()
    }
}

fn helper_unmount(arguments: &[&str], path: &Path) -> io::Result<()> {
    let done = Command::new(HELPER).args(arguments).arg(path).stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let kind = if words.ends_with("busy") { io::ErrorKind::ResourceBusy } else { io::ErrorKind::Other };
    Err(io::Error::new(kind, words))
}

/// Asks the kernel, not the daemon: an `O_PATH` open sends no request. `None`: no mount begins at this path.
fn mounted_at(path: &Path) -> io::Result<Option<Found>> {
    let handle = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd()))?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).unwrap_or("").trim();
    let entry = table::read(Path::new("/proc/self"))?.into_iter().find(|entry| entry.id == id);
    Ok(entry.filter(|entry| entry.path == path).map(|entry| Found { handle, entry }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn whatever_a_dead_daemon_leaves_of_calls_is_known() {
        for number in [libc::ENOTCONN, libc::ECONNABORTED, libc::ECANCELED] {
            let refused = refusal(&io::Error::from_raw_os_error(number));
            assert!(matches!(refused, MountError::Stale), "{number}: {refused:?}");
        }
        assert!(matches!(refusal(&io::Error::from_raw_os_error(libc::ENOENT)), MountError::NoMountpoint));
    }

    #[test]
    fn links_to_a_mountpoint_are_followed_however_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let place = root.join("in/place");
        fs::create_dir_all(&place).unwrap();
        let links =
            [("a", "in/place"), ("b", "a"), ("c", "in/../b/"), ("in/d", "../c"), ("e", "in/place/..")];
        links.iter().for_each(|(link, target)| symlink(target, root.join(link)).unwrap());
        for written in ["in/place", "in/place/", "a", "a/", "b", "c", "c/.", "in/d", "in/d/../d/", "e/place"]
        {
            assert_eq!(absolute(&root.join(written)).unwrap(), place, "{written}");
        }
        assert_eq!(absolute(&root.join("e")).unwrap(), root.join("in"));
        assert_eq!(absolute(Path::new("/")).unwrap(), Path::new("/"));
        symlink("round", root.join("round")).unwrap();
        assert_eq!(absolute(&root.join("round")).unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }
}
