//! What a process may be asked about itself, and what it can do to keep its memory to itself.
//!
//! Each function returns the error of the system call behind it. Neighbours: `keys::tpm::tcti` (whose environment counts), the programs' first lines (no dumps).

use std::ffi::CStr;
use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getegid, geteuid, getgid, getuid, set_dumpable_behavior, setrlimit,
};

/// Makes this process's memory unreadable to other processes of the same user and turns core dumps off.
///
/// # Errors
///
/// setrlimit(2)'s or prctl(2)'s; they document none for these arguments, but a sandbox may refuse.
pub fn forbid_memory_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Whether this process has rights that the user who started it does not have (set-user-ID, set-group-ID, file
/// capabilities): what that user controls, such as the environment, must then not be followed.
pub fn is_privileged_for_another_user() -> bool {
    // SAFETY: the call takes no pointer and cannot fail.
    let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    getuid() != geteuid() || getgid() != getegid() || is_secure
}

/// The user that this process acts as.
pub fn user() -> u32 {
    geteuid().as_raw()
}

/// The machine's name; of one that is no text what can be shown of it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether this process acts as the machine's root. In a user namespace uid 0 is some user outside of it.
pub fn is_root() -> bool {
    user() == 0 && !is_in_user_namespace()
}

/// Whether this process is in a user namespace beside the machine's own, as far as that can be read.
pub fn is_in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !maps_all_users(&map))
}

/// Whether a uid_map is that of the first namespace. That of a new one is empty.
fn maps_all_users(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// Replaces the whole environment by one variable.
///
/// To be called as the first thing in `main`, while the process has one thread.
///
/// # Errors
///
/// EINVAL for a `name` that is empty or has an `=` in it; ENOMEM.
pub fn replace_environment(name: &CStr, value: &CStr) -> io::Result<()> {
    // SAFETY: no other thread reads or writes the environment yet (the caller's duty), and both strings end in NUL.
    let failed = unsafe { libc::clearenv() != 0 || libc::setenv(name.as_ptr(), value.as_ptr(), 1) != 0 };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets a variable of the environment, unless it is there.
///
/// To be called while the process has one thread.
///
/// # Errors
///
/// ENOMEM.
pub fn set_where_unset(name: &CStr, value: &CStr) -> io::Result<()> {
    // SAFETY: no other thread reads or writes the environment (the caller's duty), and both strings end in NUL.
    let failed = unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 0) } != 0;
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
        assert!(!super::maps_all_users(""));
    }
}
