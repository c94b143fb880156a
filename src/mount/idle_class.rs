//! Whether requests are served by threads of the scheduler's idle class (SCHED_IDLE) at this moment.
//!
//! Linux wakes whoever waits for a reply on a CPU that sleeps, if there is one, rather than on that of the server, which is
//! busy with the reply: and a CPU that sleeps costs more to wake than most requests take. A CPU on which nobody but
//! the idle class runs counts as one that sleeps (`sched_idle_cpu` of kernel/sched/fair.c, since 5.4), so that asker
//! and server of that class take turns on one. But who is in that class waits for everybody else. So each transport has threads of
//! both, and they change places: the idle class serves while most CPUs sleep, the others as soon as that is over.
//!
//! Above: `ring`, `device`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use super::whereabouts::Place;
use crate::sys::scheduling::{Cpus, join_idle_class, pin_to};

/// When the threads of the idle class serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleClass {
    Never,
    /// While most CPUs sleep.
    Auto,
    /// Every other request, for tests.
    InTurns,
}

/// How long the machine is not looked at after a look, in nanoseconds.
const BETWEEN_LOOKS: u64 = 1_000_000;
/// So many looks in a row have to agree: one alone may have met somebody who ran for a moment.
const AGREEING: u32 = 2;
/// Who of the idle class waits for a CPU this long each time, in nanoseconds, waits for somebody with work of their own.
const KEPT_WAITING: u64 = 300_000;
/// How long the others serve at least, in nanoseconds, once the idle class had to leave; after each short stay twice as long,
/// up to the second.
const FIRST_PAUSE: u64 = 16_000_000;
const LAST_PAUSE: u64 = 1_000_000_000;
/// A stay of less than this was short, in nanoseconds.
const SHORT_STAY: u64 = 125_000_000;
/// How long the others serve what takes long.
const SLOW_PAUSE: u64 = 125_000_000;

/// Who serves now. One for a mount.
pub struct Classes {
    in_idle_class: AtomicBool,
    /// More want a CPU than there are.
    is_oversubscribed: AtomicBool,
    kind: IdleClass,
    /// There are threads of the idle class.
    is_there: AtomicBool,
    start: Instant,
    next_look: AtomicU64,
    hysteresis: Mutex<Hysteresis>,
    load: Option<File>,
    cpus: usize,
}

/// A thread that serves, as it knows itself.
pub struct ServingThread {
    pub in_idle_class: bool,
    /// Of the idle class, /proc/thread-self/schedstat.
    waits: Option<Waits>,
    /// The CPU that it follows somebody to.
    cpu: Option<usize>,
    /// Where it may run otherwise.
    allowed: Option<Cpus>,
}

struct Waits {
    file: File,
    waited: u64,
    times: u64,
}

/// Decides who serves by what was seen, so that neither a moment nor a neighbour that comes and goes changes it all the
/// time. Times are nanoseconds since the mount.
struct Hysteresis {
    /// How many looks in a row spoke for a change.
    agreeing: u32,
    /// The idle class does not serve before that.
    not_before: u64,
    pause: u64,
    /// When the idle class came last.
    since: u64,
}

/// What was seen in one look.
struct Seen {
    /// Most CPUs are in use.
    busy: bool,
    /// Of the idle class, the asker waited for a CPU.
    kept_waiting: bool,
}

impl Classes {
    pub fn new(kind: IdleClass) -> Classes {
        let load = File::open("/proc/loadavg").ok();
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let kind = if load.is_none() || cpus < 2 { IdleClass::Never } else { kind };
        Classes {
            in_idle_class: AtomicBool::new(false),
            is_oversubscribed: AtomicBool::new(false),
            kind,
            is_there: AtomicBool::new(false),
            start: Instant::now(),
            next_look: AtomicU64::new(0),
            hysteresis: Mutex::new(Hysteresis {
                agreeing: 0,
                not_before: 0,
                pause: FIRST_PAUSE / 2,
                since: 0,
            }),
            load,
            cpus,
        }
    }

    /// Whether there are to be threads of the idle class beside the others.
    pub fn has_both(&self) -> bool {
        self.kind != IdleClass::Never
    }

    /// Whether the idle class serves now.
    pub fn in_idle_class(&self) -> bool {
        self.in_idle_class.load(Ordering::Acquire)
    }

    /// Whether more want a CPU than there are.
    pub fn is_oversubscribed(&self) -> bool {
        self.is_oversubscribed.load(Ordering::Relaxed)
    }

    /// Looks at the machine, where it is time for that. To be called by whoever serves, for each request.
    pub fn look(&self, thread: &mut ServingThread) -> bool {
        if !self.is_there.load(Ordering::Relaxed) {
            return false;
        }
        let now = self.now();
        if now < self.next_look.load(Ordering::Relaxed) {
            return false;
        }
        let Some(mut hysteresis) = self.hysteresis.try_lock() else { return false };
        let is_on = self.in_idle_class();
        let next = if self.kind == IdleClass::InTurns {
            !is_on
        } else {
            self.next_look.store(now + BETWEEN_LOOKS, Ordering::Relaxed);
            let running = self.load.as_ref().and_then(running);
            self.is_oversubscribed
                .store(running.is_some_and(|running| running > self.cpus), Ordering::Relaxed);
            let busy = running.is_none_or(|running| running > (self.cpus / 2).max(1));
            hysteresis.decide(is_on, now, &Seen { busy, kept_waiting: thread.was_kept_waiting() })
        };
        self.in_idle_class.store(next, Ordering::Release);
        true
    }

    /// Puts the calling thread into the idle class, if the machine lets it. Without any there the others serve.
    pub fn join(&self) {
        match join_idle_class() {
            Ok(()) => self.is_there.store(true, Ordering::Relaxed),
            Err(error) => log::info!("the idle class cannot be joined: {error}"),
        }
    }

    /// Lets the other threads serve for a while, since what comes takes long.
    pub fn pause(&self) {
        let (mut hysteresis, now) = (self.hysteresis.lock(), self.now());
        hysteresis.not_before = hysteresis.not_before.max(now + SLOW_PAUSE);
        hysteresis.agreeing = 0;
        self.in_idle_class.store(false, Ordering::Release);
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

impl Hysteresis {
    /// Whether the idle class is to serve from now on.
    fn decide(&mut self, is_on: bool, now: u64, seen: &Seen) -> bool {
        let speaks_for_change = is_on == seen.busy && (is_on || now >= self.not_before);
        self.agreeing = if speaks_for_change { self.agreeing + 1 } else { 0 };
        if self.agreeing < AGREEING && !(is_on && seen.kept_waiting) {
            return is_on;
        }
        self.agreeing = 0;
        if is_on {
            let was_short = now.saturating_sub(self.since) < SHORT_STAY;
            self.pause = if was_short { (2 * self.pause).min(LAST_PAUSE) } else { FIRST_PAUSE };
            self.not_before = now + self.pause;
        } else {
            self.since = now;
        }
        !is_on
    }
}

impl ServingThread {
    /// Of a thread that is in the idle class or not. To be made by that thread.
    pub fn new(in_idle_class: bool) -> ServingThread {
        let waits = in_idle_class.then(Waits::open).and_then(io::Result::ok);
        ServingThread { in_idle_class, waits, cpu: None, allowed: Cpus::allowed().ok() }
    }

    /// Goes to where somebody asks from. Returns whether it is where somebody asked from, or may be soon.
    pub fn follow(&mut self, asker: Place) -> bool {
        let cpu = match asker {
            Place::NotKnownYet => return true,
            Place::Nobody => return self.cpu.is_some(),
            Place::Unseen => None,
            Place::At(cpu) => Some(cpu),
        };
        if cpu.is_none() || cpu != self.cpu {
            self.stop_following();
            let may_go = |cpu: &usize| self.allowed.as_ref().is_some_and(|allowed| allowed.has(*cpu));
            self.cpu = cpu.filter(may_go).filter(|&cpu| pin_to(cpu).is_ok());
        }
        self.cpu.is_some()
    }

    /// Follows nobody any more.
    pub fn stop_following(&mut self) {
        if self.cpu.take().is_some()
            && let Some(allowed) = &self.allowed
        {
            let _ = allowed.allow();
        }
    }

    /// Whether it is on the CPU of whoever asks, which polling would take away.
    pub fn is_beside_asker(&self) -> bool {
        self.in_idle_class || self.cpu.is_some()
    }

    fn was_kept_waiting(&mut self) -> bool {
        self.waits.as_mut().is_some_and(|waits| waits.look().is_some_and(|each| each > KEPT_WAITING))
    }
}

impl Waits {
    fn open() -> io::Result<Waits> {
        Ok(Waits { file: File::open("/proc/thread-self/schedstat")?, waited: 0, times: 0 })
    }

    /// How long this thread waited for a CPU since the last look each time, in nanoseconds.
    fn look(&mut self) -> Option<u64> {
        let (waited, times) = parse_waits(&read(&self.file)?)?;
        let each = (waited - self.waited).checked_div(times - self.times);
        (self.waited, self.times) = (waited, times);
        each
    }
}

/// How many threads of the machine run or wait for a CPU.
fn running(load: &File) -> Option<usize> {
    parse_running(&read(load)?)
}

/// A line of /proc as it is now.
fn read(file: &File) -> Option<String> {
    let mut room = [0; 128];
    let length = file.read_at(&mut room, 0).ok()?;
    Some(String::from_utf8_lossy(&room[..length]).into_owned())
}

/// Of a line of /proc/loadavg.
fn parse_running(line: &str) -> Option<usize> {
    line.split_ascii_whitespace().nth(3)?.split_once('/')?.0.parse().ok()
}

/// Of a line of /proc/PID/schedstat: nanoseconds of waiting, and how often it ran.
fn parse_waits(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Looks at a machine once in a millisecond, from `start` on.
    fn looks(state: &mut Hysteresis, is_on: &mut bool, start: u64, seen: &[(bool, bool)]) {
        for (number, &(busy, kept_waiting)) in seen.iter().enumerate() {
            *is_on = state.decide(*is_on, start + number as u64 * MS, &Seen { busy, kept_waiting });
        }
    }

    fn at_first() -> Hysteresis {
        Hysteresis { agreeing: 0, not_before: 0, pause: FIRST_PAUSE / 2, since: 0 }
    }

    const QUIET: (bool, bool) = (false, false);
    const BUSY: (bool, bool) = (true, false);

    #[test]
    fn two_looks_that_agree_change_who_serves() {
        let (mut state, mut is_on) = (at_first(), false);
        looks(&mut state, &mut is_on, 0, &[QUIET, BUSY, QUIET, BUSY, QUIET]);
        assert!(!is_on);
        looks(&mut state, &mut is_on, 5 * MS, &[QUIET]);
        assert!(is_on);
        looks(&mut state, &mut is_on, 6 * MS, &[BUSY, QUIET, BUSY, QUIET]);
        assert!(is_on);
        looks(&mut state, &mut is_on, 10 * MS, &[BUSY, BUSY]);
        assert!(!is_on);
    }

    #[test]
    fn whoever_has_to_leave_soon_stays_away_longer_each_time() {
        for last in [&[(true, false), (true, false)][..], &[(false, true)]] {
            let (mut state, mut now) = (at_first(), 0);
            let come = |state: &mut Hysteresis, now: &mut u64| {
                let left = *now;
                let mut is_on = false;
                while !is_on {
                    *now += MS;
                    looks(state, &mut is_on, *now, &[QUIET]);
                }
                (*now - left) / MS
            };
            come(&mut state, &mut now);
            let mut away = Vec::new();
            for stay in [1, 1, 1, 1, 1, 1, 1, 1, 200, 1] {
                now += stay * MS;
                let mut is_on = true;
                looks(&mut state, &mut is_on, now, last);
                assert!(!is_on);
                now += (last.len() as u64 - 1) * MS;
                away.push(come(&mut state, &mut now));
            }
            assert_eq!(away, [17, 33, 65, 129, 257, 513, 1001, 1001, 17, 33]);
        }
    }

    #[test]
    fn what_proc_says_is_read() {
        assert_eq!(parse_running("0.20 0.18 0.12 3/80 11206\n"), Some(3));
        assert_eq!(parse_running("0.20 0.18"), None);
        assert_eq!(parse_waits("12345 678 9\n"), Some((678, 9)));
        assert_eq!(parse_waits(""), None);
        let mut waits = Waits::open().unwrap();
        assert!(waits.look().is_some());
        assert!(running(&File::open("/proc/loadavg").unwrap()).unwrap() > 0);
    }

    #[test]
    fn the_idle_class_serves_once_somebody_is_in_it_and_not_for_a_while_after_a_pause() {
        let classes = Classes::new(IdleClass::InTurns);
        if !classes.has_both() {
            return;
        }
        let mut thread = ServingThread::new(false);
        assert!(!classes.look(&mut thread) && !classes.in_idle_class());
        std::thread::scope(|scope| drop(scope.spawn(|| classes.join())));
        assert!(classes.look(&mut thread) && classes.in_idle_class());
        classes.pause();
        assert!(!classes.in_idle_class());
        assert!(classes.hysteresis.lock().not_before > 100 * MS);
    }

    #[test]
    fn a_thread_that_serves_follows_where_it_may_go_and_goes_back() {
        let mut thread = ServingThread::new(false);
        let count = || Cpus::allowed().unwrap().count();
        let before = count();
        let cpu = (0..).find(|&cpu| thread.allowed.as_ref().unwrap().has(cpu)).unwrap();
        assert!(
            !thread.follow(Place::Nobody)
                && !thread.follow(Place::Unseen)
                && !thread.follow(Place::At(usize::MAX))
        );
        assert!(thread.follow(Place::NotKnownYet), "it may be soon");
        assert_eq!(count(), before);
        assert!(thread.follow(Place::At(cpu)) && thread.is_beside_asker() && thread.follow(Place::Nobody));
        assert_eq!(count(), 1);
        assert!(!thread.follow(Place::Unseen));
        assert_eq!(count(), before, "who has ended is not followed");
        assert!(thread.follow(Place::At(cpu)));
        thread.stop_following();
        assert!(!thread.is_beside_asker());
        assert_eq!(count(), before);
    }
}
