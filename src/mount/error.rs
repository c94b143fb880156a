//! Why a volume could not be mounted. The advice that goes with each reason is the command line's business.

use std::io;

/// Why mounting failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// There is no /dev/fuse: the kernel module is missing or not loaded.
    #[error("there is no /dev/fuse")]
    NoDevice,
    /// This user may not open /dev/fuse.
    #[error("no permission to open /dev/fuse")]
    DeviceForbidden,
    /// fusermount3, which ordinary users need, is not installed.
    #[error("fusermount3 was not found")]
    NoHelper,
    /// The mountpoint does not exist.
    #[error("the mountpoint does not exist")]
    NoMountpoint,
    /// The mountpoint is no directory.
    #[error("the mountpoint is not a directory")]
    NotDirectory,
    /// The mountpoint holds a mount whose daemon is gone. [`find`](super::find) finds it.
    #[error("the mountpoint holds a mount whose daemon is gone")]
    Stale,
    /// This user may not mount there: no write permission, or it is inside somebody else's mount.
    #[error("no permission to mount there")]
    MountpointForbidden,
    /// `allow_other` asked for by an ordinary user, and /etc/fuse.conf does not have `user_allow_other`.
    #[error("allow_other is not permitted: /etc/fuse.conf lacks user_allow_other")]
    AllowOtherForbidden,
    /// fusermount3 refused, in its own words.
    #[error("fusermount3 refused: {0}")]
    Helper(String),
    /// mount(2) refused.
    #[error("the kernel refused the mount: {0}")]
    Kernel(#[source] io::Error),
    /// FUSE over io_uring was asked for, and this kernel does not have it, has it disabled, or forbids io_uring.
    #[error("FUSE over io_uring is not available")]
    NoRing,
    /// The kernel's FUSE protocol is not one this program speaks, or the mount went away during the first exchange.
    #[error("the first exchange with the kernel failed: {0}")]
    Handshake(#[source] io::Error),
}
