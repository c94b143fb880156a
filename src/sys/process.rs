//! What a process may be asked about itself, and what it can do to keep its memory to itself.
//!
//! Neighbours: `keys::tpm::tcti` (whose environment counts), the programs' first lines (no dumps).

use std::ffi::CStr;
use std::io;

/// Makes this process's memory unreadable to other processes of the same user and turns core dumps off.
pub fn forbid_memory_dumps() -> io::Result<()> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is a valid rlimit that outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: PR_SET_DUMPABLE takes one integer and no pointer.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether this process has rights that the user who started it does not have (set-user-ID, set-group-ID, file
/// capabilities): what that user controls, such as the environment, must then not be followed.
pub fn is_privileged_for_another_user() -> bool {
    // SAFETY: these calls take no pointer and cannot fail.
    unsafe {
        libc::getuid() != libc::geteuid()
            || libc::getgid() != libc::getegid()
            || libc::getauxval(libc::AT_SECURE) != 0
    }
}

/// The user that this process acts as.
pub fn user() -> u32 {
    // SAFETY: the call takes no pointer and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this process acts as the machine's root. In a user namespace uid 0 is some user outside of it.
pub fn is_root() -> bool {
    user() == 0 && maps_all_users(&std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default())
}

/// Whether a uid_map is that of the first namespace, or there is none to be seen.
fn maps_all_users(map: &str) -> bool {
    map.trim().is_empty() || map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// Replaces the whole environment by one variable.
///
/// To be called as the first thing in `main`, while the process has one thread.
pub fn replace_environment(name: &CStr, value: &CStr) -> io::Result<()> {
    // SAFETY: no other thread reads or writes the environment yet (the caller's duty), and both strings end in NUL.
    let failed = unsafe { libc::clearenv() != 0 || libc::setenv(name.as_ptr(), value.as_ptr(), 1) != 0 };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn root_of_a_user_namespace_is_not_root() {
        assert!(super::maps_all_users("         0          0 4294967295\n"));
        assert!(!super::maps_all_users("         0       1000          1\n"));
        assert!(!super::maps_all_users("         0     100000      65536\n"));
        assert!(!super::maps_all_users("0 1000 1\n1 100000 65536\n"));
        assert!(super::maps_all_users(""));
    }
}
