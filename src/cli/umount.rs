//! `cryptfs umount`: takes the mount away and waits until its daemon has written everything.

use super::advice::{self, Failure};
use super::apart::{self, Question};
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
        Some(path) => unmount(path, arguments, !arguments.lazy, arguments.patience()),
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
    let arguments = Umount { discard: false, lazy, timeout: PATIENCE, all: false, mountpoint: None };
    // As of any filesystem, however long it takes to write; systemd has limits of its own.
    unmount(path, &arguments, !lazy, None)
}

/// Unmounts what this user mounted, the last one first: one may lie in another. Goes on where one fails. The daemon of one
/// that is mounted in several places ends with the last of them.
fn unmount_all(arguments: &Umount) -> Result<(), Failure> {
    let mut mounts = mount::all().map_err(|error| advice::system("/proc/self/mountinfo", &error))?;
    mounts.retain(|entry| entry.user == process::user());
    let mut worst = Ok(());
    while let Some(entry) = mounts.pop() {
        let is_last = mounts.iter().all(|other| other.device != entry.device);
        let waits = is_last && !arguments.lazy;
        let done = unmount(&entry.path, arguments, waits, arguments.patience());
        if let (Err(failure), Err(_)) = (&done, &worst) {
            report::complain(&failure.to_string());
        } else if done.is_err() {
            worst = done;
        }
    }
    worst
}

impl Umount {
    fn patience(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.timeout))
    }
}

/// What is known of everything having been stored.
enum Stored {
    Yes,
    /// Nobody is there, or nobody who would tell this user, or nobody was asked.
    NotKnown,
    /// The volume says so itself: nothing of it can be changed any more.
    Failed(io::Error),
}

/// `most`: how long it may take to store everything.
fn unmount(path: &Path, arguments: &Umount, waits: bool, most: Option<Duration>) -> Result<(), Failure> {
    let found = mount::find(path).map_err(|error| advice::finding_mount(path, &error))?;
    let found = found.ok_or_else(|| advice::not_mounted(path))?;
    let (header, device) = (found.entry().source.join("cryptfs.json"), found.entry().device.clone());
    let by = found.entry().user;
    // Who does not want to wait does not wait for a daemon that hangs either. It stores everything all the same.
    let stored = if arguments.lazy && !arguments.discard {
        Stored::NotKnown
    } else {
        store(path, arguments.discard, by, most)?
    };
    let unmounted = if arguments.lazy { found.detach() } else { found.unmount() };
    unmounted.map_err(|error| match process::user() {
        0 => advice::unmounting(path, &error, &mount::of_device(&device)),
        user if user == by => advice::unmounting(path, &error, &mount::of_device(&device)),
        _ => advice::others_mount(path, by),
    })?;
    if waits {
        let is_stored = matches!(stored, Stored::Yes);
        wait(path, &header, &device, Duration::from_secs(arguments.timeout), is_stored)?;
    }
    match stored {
        Stored::Failed(error) => Err(advice::not_stored(path, &error)),
        Stored::Yes | Stored::NotKnown => Ok(()),
    }
}

/// Waits until the daemon has written everything: it holds an exclusive lock on the header until then. A folder that is
/// gone, as that of a stick pulled out too early, leaves nothing to wait for.
fn wait(path: &Path, header: &Path, device: &str, most: Duration, is_stored: bool) -> Result<(), Failure> {
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
            return Err(advice::still_in_use(path, &mount::of_device(device), is_stored));
        }
        if begun.elapsed() >= QUIETLY && !std::mem::replace(&mut told, true) {
            report::complain(&advice::waiting(path, &mount::of_device(device), most));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Has everything stored while the mount can still be used to make room. On a lack of space, or where it takes longer than
/// `most`, the volume stays mounted; any other error does not keep it. `by`: who mounted it.
fn store(path: &Path, discard: bool, by: u32, most: Option<Duration>) -> Result<Stored, Failure> {
    if discard && let Err(error) = in_time(Question::Discard, path, most)? {
        return Err(match error.kind() {
            io::ErrorKind::PermissionDenied => advice::others_mount(path, by),
            _ => advice::unmounting(path, &error, &[]),
        });
    }
    let Err(error) = in_time(Question::Store, path, most)? else { return Ok(Stored::Yes) };
    match error.raw_os_error() {
        _ if discard => Ok(Stored::NotKnown),
        Some(libc::ENOSPC | libc::EDQUOT) => Err(advice::no_space_to_store(path, &error)),
        Some(libc::EIO | libc::EROFS) => Ok(Stored::Failed(error)),
        _ => Ok(Stored::NotKnown),
    }
}

/// What the daemon answers. That it is waited for is said.
fn in_time(question: Question, path: &Path, most: Option<Duration>) -> Result<io::Result<()>, Failure> {
    let asked = apart::ask(question, path).map_err(|error| advice::system(path.display(), &error))?;
    let quietly = most.map_or(QUIETLY, |most| most.min(QUIETLY));
    let answer = asked.wait(Some(quietly)).or_else(|| {
        report::complain(&advice::storing(path, most));
        asked.wait(most.map(|most| most.saturating_sub(quietly)))
    });
    match (answer, most) {
        (Some(answer), _) => Ok(answer.map(|_| ())),
        (None, most) => Err(advice::storing_takes_too_long(path, most.unwrap_or_default())),
    }
}
