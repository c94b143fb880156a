//! Why a volume could not be mounted. The advice that goes with each reason is the command line's business.

use std::fmt;
use std::io;

/// A mount that did not come about.
#[derive(Debug)]
pub enum MountError {
    /// There is no /dev/fuse: the kernel module is missing or not loaded.
    NoDevice,
    /// /dev/fuse is there, but not for this user.
    DeviceForbidden,
    /// fusermount3, which ordinary users need, is not installed.
    NoHelper,
    /// The mountpoint does not exist.
    NoMountpoint,
    /// The mountpoint is no directory.
    NotDirectory,
    /// The mountpoint holds a mount whose daemon is gone. [`find`](super::find) finds it.
    Stale,
    /// This user may not mount there: no write permission, or it is inside somebody else's mount.
    MountpointForbidden,
    /// `allow_other` asked for by an ordinary user, and /etc/fuse.conf does not have `user_allow_other`.
    AllowOtherForbidden,
    /// fusermount3 refused, in its own words.
    Helper(String),
    /// mount(2) refused.
    Kernel(io::Error),
    /// FUSE over io_uring asked for, and this kernel has it not, has it turned off, or forbids io_uring.
    NoRing,
    /// The kernel's FUSE protocol is not one this program speaks, or the mount went away during the first exchange.
    Handshake(io::Error),
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::NoDevice => f.write_str("there is no /dev/fuse"),
            MountError::DeviceForbidden => f.write_str("no permission to open /dev/fuse"),
            MountError::NoHelper => f.write_str("fusermount3 was not found"),
            MountError::NoMountpoint => f.write_str("the mountpoint does not exist"),
            MountError::NotDirectory => f.write_str("the mountpoint is not a directory"),
            MountError::Stale => f.write_str("the mountpoint holds a mount whose daemon is gone"),
            MountError::MountpointForbidden => f.write_str("no permission to mount there"),
            MountError::AllowOtherForbidden => {
                f.write_str("allow_other is not permitted: /etc/fuse.conf lacks user_allow_other")
            }
            MountError::Helper(words) => write!(f, "fusermount3 refused: {words}"),
            MountError::NoRing => f.write_str("FUSE over io_uring is not to be had here"),
            MountError::Kernel(error) => write!(f, "the kernel refused the mount: {error}"),
            MountError::Handshake(error) => write!(f, "the first exchange with the kernel failed: {error}"),
        }
    }
}

impl std::error::Error for MountError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MountError::Kernel(error) | MountError::Handshake(error) => Some(error),
            _ => None,
        }
    }
}
