//! What helps when a mount does not come about or go away.

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
            "FUSE over io_uring is not to be had: it needs Linux 6.14, io_uring not forbidden to this process, and root to have enabled it (`echo Y \
             >/sys/module/fuse/parameters/enable_uring`; for good: `scripts/install --io-uring`). Without \
             transport=uring, it is used where it is there."
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

pub fn not_mounted(path: &Path) -> Failure {
    failure(
        Exit::NotMounted,
        format!("{}: there is no cryptfs mount. `findmnt -t fuse.cryptfs` lists them.", path.display()),
    )
}

/// Not unmounted, so that room can be made in it.
pub fn no_space_to_store(path: &Path, error: &io::Error) -> Failure {
    let at = path.display();
    failure(
        Exit::NotStored,
        format!(
            "{at}: still mounted, since not everything in it can be stored: {}. Make room on the backing folder's disk, \
             or delete something in {at}, and try again; or give up what is not stored: `cryptfs umount --discard {at}`.",
            plain(error)
        ),
    )
}

/// Unmounted, and something is lost.
pub fn not_stored(path: &Path, error: &io::Error) -> Failure {
    failure(
        Exit::NotStored,
        format!("{}: unmounted, but the last changes could not be stored: {}.", path.display(), plain(error)),
    )
}

pub fn unmounting(path: &Path, error: &io::Error) -> Failure {
    let at = path.display();
    match error.kind() {
        io::ErrorKind::ResourceBusy => failure(
            Exit::Busy,
            format!("{at}: somebody still uses a file or a folder in it. `fuser -vm {at}` lists who."),
        ),
        _ => system(format!("{at}: cannot be unmounted"), error),
    }
}
