//! Where a thread runs, and in which of the scheduler's classes.
//!
//! Neighbours: `mount::ring`, `mount::device`, whose threads are placed.

use std::fs;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread on one CPU, by its number.
///
/// # Errors
///
/// `InvalidInput` for a number of no set; sched_setaffinity(2)'s: EINVAL where this process may not use that CPU.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Where a thread may run.
pub struct Cpus(CpuSet);

impl Cpus {
    /// Where the calling thread may run now.
    ///
    /// # Errors
    ///
    /// sched_getaffinity(2)'s: EINVAL where the machine has more CPUs than the set has room for.
    pub fn allowed() -> io::Result<Cpus> {
        Ok(Cpus(sched_getaffinity(None)?))
    }

    /// Whether one, by its number, is among them.
    pub fn has(&self, cpu: usize) -> bool {
        cpu < CpuSet::MAX_CPU && self.0.is_set(cpu)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.count() as usize
    }

    /// Lets the calling thread run there.
    ///
    /// # Errors
    ///
    /// sched_setaffinity(2)'s: EINVAL where this process may use none of these CPUs any more.
    pub fn allow(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.0)?)
    }
}

/// Puts the calling thread into the class that runs only where nobody else wants to (SCHED_IDLE of sched(7)). There is no
/// way back for a process without rights.
///
/// # Errors
///
/// sched_setscheduler(2)'s: EPERM in a sandbox that refuses it.
pub fn join_idle_class() -> io::Result<()> {
    // The kernel's structure is the priority alone. musl's has more fields, and its function only ever says ENOSYS.
    let priority: libc::c_int = 0;
    // SAFETY: the structure is read during the call only.
    match unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_IDLE, &raw const priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The CPU that a thread, by its number, ran on last. `None`: that thread cannot be seen from here.
pub fn cpu_of(thread: u32) -> Option<usize> {
    let line = fs::read_to_string(format!("/proc/{thread}/stat")).ok()?;
    parse_cpu(&line)
}

/// The 39th field of a line of /proc/PID/stat. The second is a name in parentheses, which may have any character.
fn parse_cpu(line: &str) -> Option<usize> {
    let (_, rest) = line.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(36)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_of_a_thread_is_the_one_that_it_was_pinned_to() {
        let rest: Vec<_> = (3..=52).map(|field| field.to_string()).collect();
        assert_eq!(parse_cpu(&format!("7 (a) b ( 9 9) {}", rest.join(" "))), Some(39));
        assert_eq!(parse_cpu("7 (a) S 1"), None);
        let allowed = Cpus::allowed().unwrap();
        let of_this_thread = || cpu_of(rustix::thread::gettid().as_raw_nonzero().get() as u32);
        for cpu in (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.has(cpu)) {
            pin_to(cpu).unwrap();
            assert_eq!(of_this_thread(), Some(cpu));
            assert_eq!(Cpus::allowed().unwrap().count(), 1);
            allowed.allow().unwrap();
            assert_eq!(Cpus::allowed().unwrap().0, allowed.0);
        }
        assert!(pin_to(CpuSet::MAX_CPU).is_err());
    }
}
