//! What mounting needs of the kernel: mount(2), umount2(2), a descriptor over a socket, a clone of /dev/fuse.
//!
//! Above: `mount`.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;

/// FUSE_DEV_IOC_CLONE: `_IOR(229, 0, uint32_t)`.
const CLONE: libc::Ioctl = 0x8004_e500;

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The effective user and the real group of this process.
pub fn identity() -> (u32, u32) {
    // SAFETY: both calls take nothing and cannot fail.
    unsafe { (libc::geteuid(), libc::getgid()) }
}

/// statfs(2), for its error only.
pub fn check_alive(path: &CStr) -> io::Result<()> {
    let mut room = mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: a NUL-terminated string and room for one statfs, both outlive the call.
    check(unsafe { libc::statfs(path.as_ptr(), room.as_mut_ptr()) })
}

/// mount(2). `flags` are `MS_*`.
pub fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong, data: &CStr) -> io::Result<()> {
    // SAFETY: four NUL-terminated strings that outlive the call.
    check(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast())
    })
}

/// umount2(2): refused while anybody uses the mount.
pub fn unmount(target: &CStr) -> io::Result<()> {
    // SAFETY: a NUL-terminated string that outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::UMOUNT_NOFOLLOW) })
}

/// umount2(2) with MNT_DETACH: out of the tree at once, gone when the last user of it is.
pub fn detach(target: &CStr) -> io::Result<()> {
    // SAFETY: a NUL-terminated string that outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) })
}

/// getxattr(2): fills `value` from the start and returns how far.
pub fn get_xattr(path: &CStr, name: &CStr, value: &mut [u8]) -> io::Result<usize> {
    // SAFETY: two NUL-terminated strings and as many writable bytes as is said, all outlive the call.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

/// setxattr(2).
pub fn set_xattr(path: &CStr, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: two NUL-terminated strings and as many readable bytes as is said, all outlive the call.
    let set = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one descriptor (SCM_RIGHTS). `UnexpectedEof` when the peer closed without sending one.
pub fn receive_descriptor(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: ptr::from_mut(&mut byte).cast(), iov_len: 1 };
    let mut control = [0u64; 8];
    // SAFETY: all-zero is a valid msghdr; the buffers it then points to live until the end of the function.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of_val(&control) as _;
    let received = loop {
        // SAFETY: `message` describes one byte of data and an aligned control buffer, both writable.
        let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        if received >= 0 {
            break received;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    };
    // SAFETY: `message` was filled in by recvmsg.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if received == 0 || header.is_null() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: CMSG_FIRSTHDR returned non-null, so a whole cmsghdr lies there.
    let (level, kind, length) =
        unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len as usize) };
    // SAFETY: pure arithmetic.
    let wanted = unsafe { libc::CMSG_LEN(mem::size_of::<libc::c_int>() as u32) } as usize;
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) || length < wanted {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the length was checked; the kernel installed the descriptor for us and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<libc::c_int>().read_unaligned()) })
}

/// Makes a freshly opened /dev/fuse another way into the connection of `device`.
pub fn attach(fresh: &File, device: &File) -> io::Result<()> {
    let number = device.as_raw_fd() as u32;
    // SAFETY: the request reads one u32, which lives until the call returns.
    check(unsafe { libc::ioctl(fresh.as_raw_fd(), CLONE, &raw const number) })
}
