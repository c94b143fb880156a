//! Advice for failures of mounting and unmounting.

use super::{Exit, Failure, failure, plain, system};
use crate::mount::MountError;
use std::io;
use std::path::Path;

pub fn mounting(mountpoint: &Path, error: &MountError) -> Failure {
    let at = mountpoint.display();
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
            (Exit::BadMountpoint, format!("{at}: does not exist. Make it first: `mkdir {at}`."))
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
            format!("{at}: holds a mount whose daemon is gone. Remove it first: `cryptfs umount {at}`."),
        ),
        MountError::AllowOtherForbidden => (
            Exit::MountRefused,
            "allow_other is not permitted to ordinary users here. Have root write user_allow_other into \
             /etc/fuse.conf."
                .to_owned(),
        ),
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

pub fn foreign_files(backing: &Path, owner: u32, user: u32) -> String {
    let backing = backing.display();
    format!(
        "{backing}: the files belong to user {owner}, this is user {user}. With `-o uid={user}` they seem to be this user's."
    )
}

/// What is said of a mountpoint instead of who serves it.
pub fn stale(mountpoint: &Path) -> String {
    let at = mountpoint.display();
    format!("{at} (its daemon is gone; `cryptfs umount {at}` takes it away)")
}

pub fn syncing(path: &Path, error: &io::Error) -> Failure {
    let at = path.display();
    match error.raw_os_error() {
        Some(libc::ENOTCONN) => failure(Exit::StaleMountpoint, format!("{at}: its daemon is gone.")),
        _ => system(format!("{at}: not everything is durable"), error),
    }
}

pub fn not_mounted(path: &Path) -> Failure {
    failure(
        Exit::NotMounted,
        format!("{}: there is no cryptfs mount. `findmnt -t fuse.cryptfs` lists them.", path.display()),
    )
}

pub fn unmounting(path: &Path, error: &io::Error) -> Failure {
    let at = path.display();
    match error.kind() {
        io::ErrorKind::ResourceBusy => failure(
            Exit::Busy,
            format!("{at}: a file or folder in it is in use. `fuser -vm {at}` lists the processes."),
        ),
        _ => system(format!("{at}: cannot be unmounted"), error),
    }
}
