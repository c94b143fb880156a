//! `cryptfs umount`: takes the mount away and waits until its daemon has written everything.

use super::advice::{self, Failure};
use super::args::Umount;
use super::home_args::UmountHelper;
use super::report;
use crate::mount;
use crate::sys::daemon::enter_mount_namespace;
use crate::sys::process;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How many seconds umount(8) waits for the daemon.
const PATIENCE: u64 = 60;
/// How long nothing is said.
const QUIETLY: Duration = Duration::from_secs(1);

/// Unmounts, and waits for the daemon.
///
/// # Errors
///
/// `Exit::NotMounted`, `Exit::Busy`, `Exit::NotStored`, `Exit::StillInUse`; else `Exit::Failed`. Of several mounts
/// that of the first that fails; the others are told.
pub fn run(arguments: &Umount) -> Result<(), Failure> {
    match &arguments.mountpoint {
        Some(path) => unmount(path, arguments, !arguments.lazy),
        None => unmount_all(arguments),
    }
}

/// What umount(8) asked for: it returns when the daemon has written everything, as its users expect of any filesystem.
///
/// # Errors
///
/// As for [`run`]; `Exit::Failed` where the mount namespace cannot be entered.
pub fn help(arguments: &UmountHelper) -> Result<(), Failure> {
    if let Some(namespace) = &arguments.namespace {
        File::open(namespace)
            .and_then(|file| enter_mount_namespace(&file))
            .map_err(|error| advice::system(namespace.display(), &error))?;
    }
    let path = &arguments.target;
    if arguments.force {
        let found = mount::find(path).map_err(|error| advice::finding_mount(path, &error))?;
        let found = found.ok_or_else(|| advice::not_mounted(path))?;
        return found.force().map_err(|error| advice::unmounting(path, &error, &[]));
    }
    let lazy = arguments.lazy;
    unmount(path, &Umount { discard: false, lazy, timeout: PATIENCE, all: false, mountpoint: None }, !lazy)
}

/// Unmounts what this user mounted, the last one first: one may lie in another. Goes on where one fails. The daemon of one
/// that is mounted in several places ends with the last of them.
fn unmount_all(arguments: &Umount) -> Result<(), Failure> {
    let mut mounts = mount::all().map_err(|error| advice::system("/proc/self/mountinfo", &error))?;
    mounts.retain(|entry| entry.user == process::user());
    let mut worst = Ok(());
    while let Some(entry) = mounts.pop() {
        let is_last = mounts.iter().all(|other| other.device != entry.device);
        let done = unmount(&entry.path, arguments, is_last && !arguments.lazy);
        if let (Err(failure), Err(_)) = (&done, &worst) {
            report::complain(&failure.to_string());
        } else if done.is_err() {
            worst = done;
        }
    }
    worst
}

fn unmount(path: &Path, arguments: &Umount, waits: bool) -> Result<(), Failure> {
    let found = mount::find(path).map_err(|error| advice::finding_mount(path, &error))?;
    let found = found.ok_or_else(|| advice::not_mounted(path))?;
    let (header, device) = (found.entry().source.join("cryptfs.json"), found.entry().device.clone());
    let by = found.entry().user;
    // Who does not want to wait does not wait for a daemon that hangs either. It stores everything all the same.
    let stored = if arguments.lazy && !arguments.discard { Ok(()) } else { store(path, arguments.discard)? };
    let unmounted = if arguments.lazy { found.detach() } else { found.unmount() };
    unmounted.map_err(|error| match process::user() {
        0 => advice::unmounting(path, &error, &mount::of_device(&device)),
        user if user == by => advice::unmounting(path, &error, &mount::of_device(&device)),
        _ => advice::others_mount(path, by),
    })?;
    if waits {
        wait(path, &header, &device, Duration::from_secs(arguments.timeout))?;
    }
    stored.map_err(|error| advice::not_stored(path, &error))
}

/// Waits until the daemon has written everything: it holds an exclusive lock on the header until then. A folder that is
/// gone, as that of a stick pulled out too early, leaves nothing to wait for.
fn wait(path: &Path, header: &Path, device: &str, most: Duration) -> Result<(), Failure> {
    let Ok(file) = File::open(header) else { return Ok(()) };
    let begun = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(advice::system(path.display(), &error)),
        }
        if begun.elapsed() >= most {
            return Err(advice::still_in_use(path, &mount::of_device(device)));
        }
        if begun.elapsed() >= QUIETLY && !std::mem::replace(&mut told, true) {
            report::complain(&advice::waiting(path, &mount::of_device(device), most));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Has everything stored while the mount can still be used to make room. On a lack of space the volume stays mounted; any
/// other error does not keep it, and is returned.
fn store(path: &Path, discard: bool) -> Result<io::Result<()>, Failure> {
    if discard {
        mount::discard(path).map_err(|error| advice::unmounting(path, &error, &[]))?;
    }
    let Err(error) = mount::store(path) else { return Ok(Ok(())) };
    match error.raw_os_error() {
        _ if discard => Ok(Ok(())),
        Some(libc::ENOSPC | libc::EDQUOT) => Err(advice::no_space_to_store(path, &error)),
        // The volume says so itself: nothing of it can be changed any more.
        Some(libc::EIO | libc::EROFS) => Ok(Err(error)),
        // Nobody is there, or nobody who would tell this user.
        _ => Ok(Ok(())),
    }
}
