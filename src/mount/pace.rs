//! Whether requests come so fast that it pays to look for the next one for a moment, rather than to sleep.
//!
//! A CPU without work sleeps (a virtual one by leaving its machine to the host), and its waking takes longer than most
//! requests. Linux wakes whoever is answered on a CPU that sleeps, if there is one, rather than where it ran before: with
//! two CPUs a client woke one of them with each request. So while requests come fast no CPU sleeps: a thread looks for the
//! next request on each, and gives way to whoever else wants it. With more CPUs that would take too much of the machine.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Scope, Thread};
use std::time::{Duration, Instant};

use crate::sys::uring;

/// Requests that come no further apart are fast.
const SOON: Duration = Duration::from_micros(200);
/// How long after a request it is worth looking for the next one.
const LOOK_FOR: Duration = Duration::from_micros(200);
/// Whoever gave way for longer than this gave way to work, and should have slept: it comes back sooner then.
const LONG: Duration = Duration::from_micros(300);
/// For how long nobody looks then. With less, four clients on two CPUs had a quarter of their speed.
const REST: Duration = Duration::from_secs(1);
/// On how many CPUs at once.
const FEW: usize = 2;

pub struct Pace {
    start: Instant,
    cpus: usize,
    /// When the last request came, in nanoseconds after `start`.
    last: AtomicU64,
    is_fast: AtomicBool,
    /// Until when CPUs are left to others, in nanoseconds after `start`.
    rests_until: AtomicU64,
    /// The CPU on which the last request was taken.
    server: AtomicUsize,
    companion: Companion,
}

/// Keeps the other CPU awake where one thread serves.
#[derive(Default)]
struct Companion {
    thread: OnceLock<Thread>,
    is_awake: AtomicBool,
    has_ended: AtomicBool,
}

impl Pace {
    /// On a machine with so many CPUs.
    pub fn new(cpus: usize) -> Pace {
        Pace {
            start: Instant::now(),
            cpus,
            last: AtomicU64::new(0),
            is_fast: AtomicBool::new(false),
            rests_until: AtomicU64::new(0),
            server: AtomicUsize::new(0),
            companion: Companion::default(),
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// A request came, and is served on a CPU.
    pub fn note(&self, cpu: usize) {
        self.server.store(cpu, Ordering::Relaxed);
        let now = self.now();
        let gap = now.saturating_sub(self.last.swap(now, Ordering::Relaxed));
        let is_rested = now >= self.rests_until.load(Ordering::Relaxed);
        let is_fast = gap < SOON.as_nanos() as u64 && is_rested && self.cpus <= FEW;
        self.is_fast.store(is_fast, Ordering::Relaxed);
        if is_fast
            && let Some(thread) = self.companion.thread.get()
            && !self.companion.is_awake.swap(true, Ordering::Relaxed)
        {
            thread.unpark();
        }
    }

    /// Whether the next request may come in a moment.
    pub fn is_fast(&self) -> bool {
        self.is_fast_at(self.now())
    }

    fn is_fast_at(&self, now: u64) -> bool {
        let since = now.saturating_sub(self.last.load(Ordering::Relaxed));
        self.is_fast.load(Ordering::Relaxed) && since < LOOK_FOR.as_nanos() as u64
    }

    /// Gives way to others until `has_come`, for as long as requests come fast.
    pub fn look(&self, mut has_come: impl FnMut() -> bool) {
        let mut now = self.now();
        while self.is_fast_at(now) && !has_come() {
            now = self.give_way(now);
        }
    }

    /// Gives way to others once, where requests come fast; else it waits for a moment.
    pub fn pause(&self) {
        let now = self.now();
        if self.is_fast_at(now) {
            self.give_way(now);
        } else {
            std::hint::spin_loop();
        }
    }

    fn give_way(&self, since: u64) -> u64 {
        thread::yield_now();
        let now = self.now();
        if now - since > LONG.as_nanos() as u64 {
            self.rests_until.store(now + REST.as_nanos() as u64, Ordering::Relaxed);
            self.is_fast.store(false, Ordering::Relaxed);
        }
        now
    }

    /// Has a thread of this scope keep the CPU awake that the server does not use, until what is returned goes.
    ///
    /// # Errors
    ///
    /// The system has no thread for it.
    pub fn accompany<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
    ) -> io::Result<impl Drop + use<'env>> {
        let thread = thread::Builder::new().name("fuse-beside".into());
        let thread = thread.spawn_scoped(scope, || self.keep_awake())?;
        let _ = self.companion.thread.set(thread.thread().clone());
        Ok(Ends(self))
    }

    fn keep_awake(&self) {
        let own = &self.companion;
        let mut at = usize::MAX;
        while !own.has_ended.load(Ordering::Relaxed) {
            thread::park();
            self.look(|| {
                let other = usize::from(self.server.load(Ordering::Relaxed) == 0);
                if at != other {
                    let _ = uring::pin_to(other);
                    at = other;
                }
                false
            });
            own.is_awake.store(false, Ordering::Relaxed);
        }
    }
}

struct Ends<'a>(&'a Pace);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let companion = &self.0.companion;
        companion.has_ended.store(true, Ordering::Relaxed);
        companion.thread.get().inspect(|thread| thread.unpark());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of so many CPUs, after two requests at once.
    fn busy(cpus: usize) -> Pace {
        let pace = Pace::new(cpus);
        // The first one comes long after `start`.
        thread::sleep(2 * LONG);
        pace.note(0);
        assert!(!pace.is_fast(), "one request is no pace");
        pace.note(0);
        pace
    }

    /// A test's thread may lose its CPU between two lines.
    fn sometimes(happens: impl Fn() -> bool) -> bool {
        (0..1000).any(|_| happens())
    }

    #[test]
    fn fast_requests_are_looked_for_and_not_for_long() {
        assert!(sometimes(|| busy(FEW).is_fast()));
        let pace = busy(FEW);
        thread::sleep(2 * LOOK_FOR);
        assert!(!pace.is_fast());
        pace.look(|| panic!("nothing comes so late"));
    }

    #[test]
    fn with_many_cpus_they_may_sleep() {
        assert!(!sometimes(|| busy(FEW + 1).is_fast()));
    }

    #[test]
    fn work_of_others_ends_it() {
        let is_fast_again = |waited: Duration| {
            let pace = busy(FEW);
            pace.give_way(pace.now() - waited.as_nanos() as u64);
            pace.note(0);
            pace.note(0);
            pace.is_fast()
        };
        assert!(sometimes(|| is_fast_again(Duration::ZERO)));
        assert!(!sometimes(|| is_fast_again(2 * LONG)));
    }

    #[test]
    fn a_companion_wakes_with_the_pace_and_ends() {
        let pace = Pace::new(FEW);
        let is_awake = || pace.companion.is_awake.load(Ordering::Relaxed);
        let (wakes, sleeps) = thread::scope(|scope| {
            let accompanied = pace.accompany(scope).unwrap();
            let wakes = sometimes(|| {
                pace.note(0);
                pace.note(0);
                thread::sleep(LOOK_FOR / 10);
                is_awake()
            });
            let sleeps = sometimes(|| {
                thread::sleep(2 * SOON);
                !is_awake()
            });
            drop(accompanied);
            (wakes, sleeps)
        });
        assert!(wakes && sleeps);
    }
}
