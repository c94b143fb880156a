//! What a process may be asked about itself, and what it can do to keep its memory to itself.
//!
//! Each function returns the error of the system call behind it. Neighbours: `keys::tpm::tcti` (whose environment counts), the programs' first lines (no dumps).

use std::ffi::CStr;
use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getegid, geteuid, getgid, getuid, set_dumpable_behavior, setrlimit,
};

/// Makes this process's memory unreadable to other processes of the same user and turns core dumps off.
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

/// Whether this process acts as root.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Replaces the whole environment by one variable.
///
/// To be called as the first thing in `main`, while the process has one thread.
pub fn replace_environment(name: &CStr, value: &CStr) -> io::Result<()> {
    // SAFETY: no other thread reads or writes the environment yet (the caller's duty), and both strings end in NUL.
    let failed = unsafe { libc::clearenv() != 0 || libc::setenv(name.as_ptr(), value.as_ptr(), 1) != 0 };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
