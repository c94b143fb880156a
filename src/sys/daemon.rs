//! What becoming a daemon needs of the kernel: fork, a session of one's own, limits, signals as ordinary events.
//!
//! Each function returns the error of the system call behind it. Above: `cli::daemon`.

use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::ptr;

use rustix::io::{fcntl_dupfd_cloexec, retry_on_intr};
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, getrlimit, setrlimit, setsid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The two ends of a fork.
pub enum Forked {
    Parent { child: Process },
    Child,
}

/// A child of this process.
pub struct Process(Pid);

/// How a process ended.
pub enum Ended {
    Code(u8),
    Signal(u8),
}

/// fork(2). Refused while there are other threads: the child would hold their locks for ever.
///
/// # Errors
///
/// `Other` while there are other threads; fork(2)'s (EAGAIN: too many processes), or that of reading /proc/self/task.
pub fn fork() -> io::Result<Forked> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("fork while other threads run"));
    }
    // SAFETY: this is the only thread (just checked, and no other could start one), so the child's copy of memory is
    // consistent and it may do whatever the parent could have done.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        child if child > 0 => Ok(Forked::Parent { child: Process(Pid::from_raw(child).expect("not 0")) }),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Process {
    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// waitpid(2)'s: ECHILD where SIGCHLD is ignored, so that nobody learns how a child ended.
    pub fn wait(self) -> io::Result<Ended> {
        let ended = retry_on_intr(|| waitpid(Some(self.0), WaitOptions::empty()))?;
        let (_, status) = ended.expect("waiting without NOHANG returns a child that ended");
        Ok(match status.terminating_signal() {
            Some(signal) => Ended::Signal(signal as u8),
            None => Ended::Code(status.exit_status().unwrap_or(0) as u8),
        })
    }
}

/// Leaves the session, the working directory and the standard descriptors of whoever started this process.
///
/// # Errors
///
/// EPERM where this process leads a process group; chdir(2)'s, dup2(2)'s, or that of opening /dev/null.
pub fn leave_session() -> io::Result<()> {
    setsid()?;
    std::env::set_current_dir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// Raises the number of files that this process may hold open to the hard limit; returns it.
///
/// # Errors
///
/// setrlimit(2)'s: EPERM where the hard limit is above /proc/sys/fs/nr_open. The limit is as it was then.
pub fn raise_open_files() -> io::Result<u64> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Has the kernel's table of this process's descriptors grow to `count` at once. Where there is more than one thread,
/// each growing (to 128, 256, 512, …) has the one that opens a file wait for an RCU grace period, some milliseconds.
///
/// # Errors
///
/// EINVAL or EMFILE where this process may not hold so many open; that of opening /dev/null.
pub fn expect_open_files(count: u64) -> io::Result<()> {
    let null = fs::File::open("/dev/null")?;
    let last = i32::try_from(count.saturating_sub(1)).unwrap_or(i32::MAX);
    fcntl_dupfd_cloexec(&null, last)?;
    Ok(())
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
///
/// # Errors
///
/// EACCES where this process may not (CAP_SYS_RESOURCE); that of a /proc that is read-only, as in containers.
pub fn spare_from_oom() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", "-900")
}

/// SIGINT, SIGTERM and SIGHUP, taken as events instead of ending the process.
pub struct Termination(libc::sigset_t);

impl Termination {
    /// Blocks them in this thread and in every one that it starts from now on.
    ///
    /// # Errors
    ///
    /// pthread_sigmask(3)'s; it documents none for these arguments.
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
    ///
    /// # Errors
    ///
    /// sigwait(3)'s; it documents none for these signals.
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
///
/// # Errors
///
/// setns(2)'s: EPERM without CAP_SYS_ADMIN and CAP_SYS_CHROOT; EINVAL while there are other threads, and for a file
/// that is no mount namespace.
pub fn enter_mount_namespace(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?)
}
