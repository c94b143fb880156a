//! What becoming a daemon needs of the kernel: fork, a session of one's own, limits, signals as ordinary events.
//!
//! Above: `cli::daemon`.

use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr;

/// The two ends of a fork.
pub enum Forked {
    Parent { child: Process },
    Child,
}

/// A child of this process.
pub struct Process(libc::pid_t);

/// How a process ended.
pub enum Ended {
    Code(u8),
    Signal(u8),
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// fork(2). Refused while there are other threads: the child would hold their locks for ever.
pub fn fork() -> io::Result<Forked> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("fork while other threads run"));
    }
    // SAFETY: this is the only thread (just checked, and no other could start one), so the child's copy of memory is
    // consistent and it may do whatever the parent could have done.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        child if child > 0 => Ok(Forked::Parent { child: Process(child) }),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Process {
    /// Waits for its end.
    pub fn wait(self) -> io::Result<Ended> {
        let mut status = 0;
        loop {
            // SAFETY: `status` outlives the call.
            if unsafe { libc::waitpid(self.0, &raw mut status, 0) } == self.0 {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        if libc::WIFSIGNALED(status) {
            return Ok(Ended::Signal(libc::WTERMSIG(status) as u8));
        }
        Ok(Ended::Code(libc::WEXITSTATUS(status) as u8))
    }
}

/// Leaves the session, the working directory and the standard descriptors of whoever started this process.
pub fn leave_session() -> io::Result<()> {
    // SAFETY: takes nothing.
    check(unsafe { libc::setsid() })?;
    std::env::set_current_dir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for standard in 0..=2 {
        // SAFETY: both are descriptors; whoever uses the standard ones by number reads and writes /dev/null from now.
        check(unsafe { libc::dup2(null.as_raw_fd(), standard) })?;
    }
    Ok(())
}

/// Raises the number of files this process may hold open to what it is allowed; returns it.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// Has the kernel's table of this process's descriptors grow to `count` at once. Where there is more than one thread,
/// each growing (to 128, 256, 512, …) has the one that opens a file wait for an RCU grace period, some milliseconds.
pub fn expect_open_files(count: u64) -> io::Result<()> {
    let null = fs::File::open("/dev/null")?;
    let last = libc::c_int::try_from(count.saturating_sub(1)).unwrap_or(libc::c_int::MAX);
    // SAFETY: no pointers are involved.
    let highest = unsafe { libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, last) };
    check(highest)?;
    // SAFETY: the call before made it, and nobody else knows of it.
    check(unsafe { libc::close(highest) })
}

/// Has the threads started from now on take memory from two heaps: with one each, as glibc has it, what one thread freed
/// is no use to another, and the daemon grows; with one for all they wait for each other.
pub fn share_heaps() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no pointer, and locks what it changes.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Has the kernel end other processes first where memory runs out, as it is asked to for other daemons that hold what is not
/// on a disk yet. Only root may.
pub fn spare_from_oom() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", "-900")
}

/// SIGINT, SIGTERM and SIGHUP, taken as events instead of ending the process.
pub struct Termination(libc::sigset_t);

impl Termination {
    /// Blocks them in this thread and in every one that it starts from now on.
    pub fn block() -> io::Result<Termination> {
        // SAFETY: all-zero is a valid sigset_t, which sigemptyset then sets up.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: `set` outlives the calls, and the signal numbers are valid ones.
        unsafe {
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
        }
        // SAFETY: as above; no old mask is asked for.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) } {
            0 => Ok(Termination(set)),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Waits for one of them.
    pub fn wait(&self) -> io::Result<()> {
        let mut signal = 0;
        // SAFETY: both live until the call returns.
        match unsafe { libc::sigwait(&raw const self.0, &raw mut signal) } {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// Enters the mount namespace that `namespace` (a file below /proc/PID/ns, or a bind mount of one) stands for.
pub fn enter_mount_namespace(namespace: &File) -> io::Result<()> {
    // SAFETY: an open descriptor; the kernel refuses one that is no mount namespace.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) })
}
