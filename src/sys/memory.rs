//! Memory that does not go to swap.
//!
//! Neighbours: `process` keeps it out of core dumps and from other processes; `crypto::Secret` has the keys.

use std::io;

/// Keeps the pages of a secret in memory until they are given back to the system, where the limit of locked memory
/// (RLIMIT_MEMLOCK) allows.
pub fn lock(secret: &[u8]) {
    // SAFETY: the bytes are borrowed and so mapped; locking their pages changes nothing that Rust can see. Where the limit
    // is reached the pages stay as they are, which is what was promised.
    unsafe { libc::mlock(secret.as_ptr().cast(), secret.len()) };
}

/// Keeps all of this process in memory from now on, each page from its first use.
///
/// # Errors
///
/// `PermissionDenied` where the limit of locked memory (RLIMIT_MEMLOCK) is a number and this is not root;
/// mlockall(2)'s.
pub fn lock_all() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } == 0;
    let unlimited = super::process::is_root() || (known && limit.rlim_cur == libc::RLIM_INFINITY);
    // A limit that is merely large would make allocations fail later on.
    if !unlimited {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    // SAFETY: the call takes flags only, and changes nothing that Rust can see.
    let failed = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
