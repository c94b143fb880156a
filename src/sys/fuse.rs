//! What mounting needs of the kernel: mount(2), umount2(2), a descriptor over a socket, a clone of /dev/fuse.
//!
//! Each function returns the error of the system call behind it. Above: `mount`.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{StatVfsMountFlags, XattrFlags};
use rustix::ioctl;
use rustix::mount::UnmountFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{geteuid, getgid};

pub use rustix::mount::MountFlags;

/// FUSE_DEV_IOC_CLONE: `_IOR(229, 0, uint32_t)`.
const CLONE: ioctl::Opcode = ioctl::opcode::read::<u32>(229, 0);

/// The effective user and the real group of this process.
pub fn identity() -> (u32, u32) {
    (geteuid().as_raw(), getgid().as_raw())
}

/// statfs(2), for its error only.
///
/// # Errors
///
/// statfs(2)'s: ENOTCONN where the daemon is gone.
pub fn check_alive(path: &CStr) -> io::Result<()> {
    rustix::fs::statfs(path)?;
    Ok(())
}

/// mount(2).
///
/// # Errors
///
/// mount(2)'s: EPERM without CAP_SYS_ADMIN, ENODEV where the kernel has no FUSE, EINVAL for `data` that it does not
/// know.
pub fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: MountFlags, data: &CStr) -> io::Result<()> {
    Ok(rustix::mount::mount(source, target, kind, flags, data)?)
}

/// mount(2) with MS_REMOUNT.
///
/// # Errors
///
/// mount(2)'s: EPERM without CAP_SYS_ADMIN, EINVAL where `target` is no mount.
pub fn remount(target: &CStr, flags: MountFlags) -> io::Result<()> {
    Ok(rustix::mount::mount_remount(target, flags, c"")?)
}

/// umount2(2): refused while anybody uses the mount.
///
/// # Errors
///
/// umount2(2)'s: EBUSY while it is used; EPERM without CAP_SYS_ADMIN, EINVAL where `target` is no mount.
pub fn unmount(target: &CStr) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::NOFOLLOW)?)
}

/// umount2(2) with MNT_DETACH: out of the tree at once, gone when the last user of it is.
///
/// # Errors
///
/// umount2(2)'s: EPERM without CAP_SYS_ADMIN, EINVAL where `target` is no mount.
pub fn detach(target: &CStr) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::DETACH)?)
}

/// The same, with MNT_FORCE: what is asked of the daemon fails.
///
/// # Errors
///
/// umount2(2)'s, as for [`detach`].
pub fn force(target: &CStr) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::FORCE | UnmountFlags::DETACH)?)
}

/// getxattr(2): fills `value` from the start and returns how far.
///
/// # Errors
///
/// getxattr(2)'s: ERANGE where `value` is too short; ENODATA or EOPNOTSUPP where there is none of that name; ENOTCONN
/// where the daemon is gone.
pub fn get_xattr(path: &CStr, name: &CStr, value: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::fs::getxattr(path, name, value)?)
}

/// setxattr(2).
///
/// # Errors
///
/// setxattr(2)'s: what the daemon answers; ENOTCONN where it is gone.
pub fn set_xattr(path: &CStr, name: &CStr, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::setxattr(path, name, value, XattrFlags::empty())?)
}

/// Whether the filesystem of this file is mounted read-only.
///
/// # Errors
///
/// statfs(2)'s: ENOTCONN where the daemon is gone.
pub fn is_read_only(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fstatvfs(file)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// syncfs(2): has the kernel hand over what it holds of the filesystem of this file.
///
/// # Errors
///
/// syncfs(2)'s; since Linux 5.8 also that of a write that failed.
pub fn write_back(file: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// Receives one descriptor (SCM_RIGHTS).
///
/// # Errors
///
/// `UnexpectedEof` when the peer closed without sending one, `InvalidData` when it sent something else.
pub fn receive_descriptor(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let descriptor = match control.drain().next() {
        Some(RecvAncillaryMessage::ScmRights(mut descriptors)) => descriptors.next(),
        Some(_) => return Err(io::ErrorKind::InvalidData.into()),
        None => None,
    };
    descriptor.filter(|_| received.bytes > 0).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Makes a freshly opened /dev/fuse another way into the connection of `device`.
///
/// # Errors
///
/// EINVAL where `device` is no connection or `fresh` is one already; ENOTTY where `fresh` is no /dev/fuse.
pub fn attach(fresh: &File, device: &File) -> io::Result<()> {
    // SAFETY: the request reads one u32 and writes nothing.
    let clone = unsafe { ioctl::Setter::<CLONE, u32>::new(device.as_raw_fd().cast_unsigned()) };
    // SAFETY: `fresh` is open; on a file that is no /dev/fuse the kernel does not know the request and refuses it.
    Ok(unsafe { ioctl::ioctl(fresh, clone) }?)
}
