//! Advice for failures of mounting and unmounting.

use super::{Exit, Failure, failure, plain, shown, system};
use crate::mount::{self, Holder, MountError};
use crate::sys::process;
use std::io;
use std::path::Path;
use std::time::Duration;

pub fn mounting(mountpoint: &Path, error: &MountError) -> Failure {
    let at = shown(mountpoint);
    let (exit, message) = match error {
        MountError::NoDevice => (
            Exit::NoFuse,
            "There is no /dev/fuse. Load the kernel module as root: `modprobe fuse`.".to_owned(),
        ),
        MountError::DeviceForbidden => (
            Exit::NoFuse,
            "/dev/fuse may not be opened by this user: `ls -l /dev/fuse` shows who may.".to_owned(),
        ),
        MountError::NoHelper => (
            Exit::NoFusermount,
            "fusermount3 is not installed; ordinary users need it: `apt install fuse3`, or mount as root."
                .to_owned(),
        ),
        MountError::NoMountpoint => {
            (Exit::BadMountpoint, format!("{at}: does not exist. Make it first: `mkdir {at:#}`."))
        }
        MountError::NotDirectory => {
            (Exit::BadMountpoint, format!("{at}: is not a folder. Only a folder can be a mountpoint."))
        }
        MountError::MountpointForbidden => (
            Exit::BadMountpoint,
            format!("{at}: this user may not mount there. Choose a folder of your own."),
        ),
        MountError::Stale => (
            Exit::StaleMountpoint,
            format!("{at}: holds a mount whose daemon is gone. Remove it first: `cryptfs umount {at:#}`."),
        ),
        MountError::AllowOtherForbidden => (
            Exit::MountRefused,
            "allow_other is not permitted to ordinary users here. Have root write user_allow_other into \
             /etc/fuse.conf."
                .to_owned(),
        ),
        MountError::Helper(words) if words.contains("determine username") => (
            Exit::MountRefused,
            format!(
                "{at}: fusermount3 mounts for users that /etc/passwd knows, and not for this one. Have root add user {} there.",
                process::user()
            ),
        ),
        MountError::Helper(words)
            if words.contains("Operation not permitted") && process::is_in_user_namespace() =>
        {
            in_user_namespace(mountpoint)
        }
        MountError::Kernel(error)
            if error.raw_os_error() == Some(libc::EPERM) && process::is_in_user_namespace() =>
        {
            in_user_namespace(mountpoint)
        }
        MountError::Helper(words) => {
            (Exit::MountRefused, format!("{at}: fusermount3 refused to mount there: {words}."))
        }
        MountError::NoRing => (
            Exit::MountRefused,
            "FUSE over io_uring is not available. It needs Linux 6.14, a process that may use io_uring, and that root has \
             enabled it: `echo Y >/sys/module/fuse/parameters/enable_uring`, or permanently `scripts/install \
             --io-uring`. Without transport=uring, cryptfs uses it where it is available."
                .to_owned(),
        ),
        MountError::Kernel(error) => {
            (Exit::MountRefused, format!("{at}: the kernel refused to mount there: {}.", plain(error)))
        }
        MountError::Handshake(error) => (
            Exit::MountRefused,
            format!("{at}: the kernel does not speak a FUSE protocol that cryptfs knows: {}.", plain(error)),
        ),
    };
    failure(exit, message)
}

/// Neither its root nor fusermount3 may mount there into what another namespace sees.
fn in_user_namespace(mountpoint: &Path) -> (Exit, String) {
    let text = format!(
        "{}: in a user namespace only its root may mount, and only in a mount namespace of its own: `unshare \
         -Urm` makes both.",
        shown(mountpoint)
    );
    (Exit::MountRefused, text)
}

/// What lies in the mountpoint itself.
pub fn hidden(mountpoint: &Path) -> String {
    format!(
        "{}: is not empty. What lies in it is not encrypted, and is hidden until the volume is unmounted.",
        shown(mountpoint)
    )
}

/// The mountpoint is the backing folder, or one in it, or has it in itself.
pub fn mount_over_volume(mountpoint: &Path, backing: &Path) -> Failure {
    let why = match mountpoint.starts_with(backing) {
        true => "is in the volume's own folder, from which a sync client would take along what is decrypted"
            .to_owned(),
        false => {
            format!("has the volume's own folder in it, {}, which the mount would hide", shown(backing))
        }
    };
    failure(Exit::BadMountpoint, format!("{}: {why}. Choose another folder.", shown(mountpoint)))
}

/// Nobody asked for that.
pub fn only_to_be_read(backing: &Path) -> String {
    format!(
        "{}: this user may not write there, or the disk is read-only: the volume is mounted read-only.",
        shown(backing)
    )
}

pub fn foreign_files(backing: &Path, owner: u32, user: u32) -> String {
    let backing = shown(backing);
    format!(
        "{backing}: the files belong to user {owner}, this is user {user}. With `-o uid={user}` they seem to be this user's."
    )
}

/// What is said of a mountpoint whose daemon says nothing.
pub fn silent(mountpoint: &Path) -> String {
    let at = shown(mountpoint);
    format!("{at} (its daemon does not answer; `cryptfs status {at:#}` says what helps)")
}

/// What is said of a mountpoint instead of who serves it.
pub fn stale(mountpoint: &Path) -> String {
    let at = shown(mountpoint);
    format!("{at} (its daemon is gone; `cryptfs umount {at:#}` takes it away)")
}

/// `by`: who mounted it.
pub fn syncing(path: &Path, error: &io::Error, by: u32) -> Failure {
    let at = shown(path);
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => failure(
            Exit::Failed,
            format!(
                "{at}: not everything is durable: user {by} mounted it, and it lets this user have nothing stored. As that \
                 user: `sudo -u '#{by}' cryptfs sync {at:#}`."
            ),
        ),
        Some(libc::ENOTCONN) => failure(
            Exit::StaleMountpoint,
            format!(
                "{at}: its daemon is gone. `cryptfs umount {at:#}` takes the mount away; then mount again."
            ),
        ),
        _ => system(format!("{at}: not everything is durable"), error),
    }
}

/// `mounter`, where root asks: the user who mounted.
pub fn remounting(path: &Path, error: &io::Error, mounter: Option<u32>) -> Failure {
    let at = shown(path);
    match (error.kind(), mounter) {
        (io::ErrorKind::PermissionDenied, None) => failure(
            Exit::MountRefused,
            format!("{at}: only root can remount: `sudo mount -o remount,… {at:#}`."),
        ),
        (io::ErrorKind::PermissionDenied, Some(user @ 1..)) => failure(
            Exit::MountRefused,
            format!(
                "{at}: the daemon answers user {user} only, who mounted it without allow_root. As that user, unmount it \
                 (`cryptfs umount {at:#}`) and mount it again with the options that it is to have."
            ),
        ),
        (io::ErrorKind::PermissionDenied, Some(_)) => failure(
            Exit::MountRefused,
            format!(
                "{at}: this root may not mount, as in a container (CAP_SYS_ADMIN is missing): remount it from outside."
            ),
        ),
        (io::ErrorKind::NotConnected, _) => failure(
            Exit::StaleMountpoint,
            format!(
                "{at}: holds a mount whose daemon is gone. Remove it: `cryptfs umount {at:#}`, and mount again."
            ),
        ),
        _ => system(format!("{at}: cannot be remounted, and is as it was"), error),
    }
}

/// The daemon itself would not write.
pub fn remount_is_not_enough(path: &Path, backing: &Path) -> Failure {
    let (at, backing) = (shown(path), shown(backing));
    failure(
        Exit::MountRefused,
        format!(
            "{at}: a remount cannot make it writable, since the volume was mounted read-only from the start. Unmount it and \
             mount it again: `cryptfs umount {at:#}`, `cryptfs mount {backing:#} {at:#}`."
        ),
    )
}

/// `stopped`: why it stopped again.
pub fn restarting(path: &Path, error: &io::Error, stopped: Option<String>) -> Failure {
    let at = shown(path);
    match stopped {
        Some(why) => failure(
            Exit::NotStored,
            format!(
                "{at}: the volume does not go on: {why}. Nothing is lost as long as it stays mounted: copy out of it what was \
                 written last, put the backing folder right, and try again. `cryptfs umount {at:#}` says what was not stored."
            ),
        ),
        None => failure(
            Exit::NotStored,
            format!("{at}: the volume goes on, but not everything is stored yet: {}.", plain(error)),
        ),
    }
}

/// Looking for a mount failed.
pub fn finding_mount(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_mounted(path),
        _ => system(shown(path), error),
    }
}

pub fn not_mounted(path: &Path) -> Failure {
    let at = shown(path);
    let mounts = path.canonicalize().and_then(|folder| mount::mounts_of(&folder)).unwrap_or_default();
    let text = match mounts.first() {
        Some(place) => format!(
            "{at}: is the folder of a volume, which is mounted at {0}. Give that place: {0}.",
            shown(place)
        ),
        None => format!("{at}: there is no cryptfs mount. `cryptfs status` lists those there are."),
    };
    failure(Exit::NotMounted, text)
}

/// Not unmounted, so that room can be made in it.
pub fn no_space_to_store(path: &Path, error: &io::Error) -> Failure {
    let at = shown(path);
    failure(
        Exit::NotStored,
        format!(
            "{at}: still mounted, since not everything in it can be stored: {}. Make room on the backing folder's disk, \
             or delete something in {at}, and try again; or give up what is not stored: `cryptfs umount --discard {at:#}`.",
            plain(error)
        ),
    )
}

/// Said while it is waited for. `most`: for how long at most.
pub fn storing(path: &Path, most: Option<Duration>) -> String {
    let at = shown(path);
    let most = most.map_or_else(String::new, |most| format!(", for {} s at most", most.as_secs()));
    format!(
        "{at}: waiting for the volume's daemon to store everything{most}; `cryptfs status {at:#}` says how it is doing"
    )
}

/// Still mounted: whether everything was stored is not known.
pub fn storing_takes_too_long(path: &Path, most: Duration) -> Failure {
    let at = shown(path);
    failure(
        Exit::NotStored,
        format!(
            "{at}: still mounted, since its daemon has not stored everything in {} s. See what keeps it: `cryptfs status \
             {at:#}`; and try again, or wait longer: `cryptfs umount --timeout 600 {at:#}`. `cryptfs umount --lazy {at:#}` takes \
             the mount away; the daemon then stores the rest as soon as it can.",
            most.as_secs()
        ),
    )
}

/// Unmounted, and something is lost.
pub fn not_stored(path: &Path, error: &io::Error) -> Failure {
    failure(
        Exit::NotStored,
        format!("{}: unmounted, but the last changes could not be stored: {}.", shown(path), plain(error)),
    )
}

pub fn unmounting(path: &Path, error: &io::Error, holders: &[Holder]) -> Failure {
    let at = shown(path);
    let users: Vec<_> = holders.iter().filter(|holder| matches!(holder, Holder::Process { .. })).collect();
    match error.kind() {
        io::ErrorKind::ResourceBusy if users.is_empty() => failure(
            Exit::Busy,
            format!(
                "{at}: a file or folder in it is in use. As root, `fuser -vm {at:#}` lists the processes."
            ),
        ),
        io::ErrorKind::ResourceBusy => failure(
            Exit::Busy,
            format!(
                "{at}: a file or folder in it is in use: {}. `cryptfs umount --lazy {at:#}` takes it away nevertheless.",
                listed(users.into_iter())
            ),
        ),
        _ => system(format!("{at}: cannot be unmounted"), error),
    }
}

/// Another user mounted it, and this one is not root.
pub fn others_mount(path: &Path, by: u32) -> Failure {
    let at = shown(path);
    failure(
        Exit::Failed,
        format!(
            "{at}: user {by} mounted it, and only that user and root can unmount it: `sudo cryptfs umount {at:#}`."
        ),
    )
}

/// Unmounted, and the daemon has not ended.
pub fn waiting(path: &Path, holders: &[Holder], most: Duration) -> String {
    format!("{}: unmounted; waiting for {} s at most: {}", shown(path), most.as_secs(), why(holders))
}

/// `is_stored`: what was written before it was unmounted; where the daemon did not tell, nobody knows.
pub fn still_in_use(path: &Path, holders: &[Holder], is_stored: bool) -> Failure {
    let stored = if is_stored {
        "What was written before this is stored."
    } else {
        "It did not say whether everything is stored: let it end by itself."
    };
    failure(
        Exit::StillInUse,
        format!(
            "{}: unmounted there, but the volume's daemon goes on: {}. {stored}",
            shown(path),
            why(holders)
        ),
    )
}

fn why(holders: &[Holder]) -> String {
    match holders {
        [] => "it has not ended yet, and nobody who can be seen uses it".to_owned(),
        holders => listed(holders.iter()),
    }
}

fn listed<'a>(holders: impl Iterator<Item = &'a Holder>) -> String {
    holders.map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
