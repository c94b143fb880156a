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

use crate::sys::scheduling::{Cpus, cpu_of, join_idle_class, pin_to};

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
/// Whoever waited for a CPU as long as this, in nanoseconds, and each time, waited for somebody with work of their own.
const DISPLACED: u64 = 300_000;
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
    is_full: AtomicBool,
    kind: IdleClass,
    /// There are threads of the idle class.
    is_there: AtomicBool,
    start: Instant,
    next_look: AtomicU64,
    judge: Mutex<Judge>,
    load: Option<File>,
    cpus: usize,
}

/// What a thread that serves knows of itself.
pub struct Seat {
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

/// Decides by what was seen. Times are nanoseconds since the mount.
struct Judge {
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
    crowded: bool,
    /// Of the idle class, the asker waited for a CPU.
    displaced: bool,
}

impl Classes {
    pub fn new(kind: IdleClass) -> Classes {
        let load = File::open("/proc/loadavg").ok();
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let kind = if load.is_none() || cpus < 2 { IdleClass::Never } else { kind };
        Classes {
            in_idle_class: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            kind,
            is_there: AtomicBool::new(false),
            start: Instant::now(),
            next_look: AtomicU64::new(0),
            judge: Mutex::new(Judge { agreeing: 0, not_before: 0, pause: FIRST_PAUSE / 2, since: 0 }),
            load,
            cpus,
        }
    }

    /// Whether there is a use for threads of the idle class at all.
    pub fn change(&self) -> bool {
        self.kind != IdleClass::Never
    }

    /// Whether the idle class serves now.
    pub fn in_idle_class(&self) -> bool {
        self.in_idle_class.load(Ordering::Acquire)
    }

    /// Whether more want a CPU than there are.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Looks at the machine, where it is time for that. To be called by whoever serves, for each request.
    pub fn look(&self, seat: &mut Seat) -> bool {
        if !self.is_there.load(Ordering::Relaxed) {
            return false;
        }
        let now = self.now();
        if now < self.next_look.load(Ordering::Relaxed) {
            return false;
        }
        let Some(mut judge) = self.judge.try_lock() else { return false };
        let is_on = self.in_idle_class();
        let next = if self.kind == IdleClass::InTurns {
            !is_on
        } else {
            self.next_look.store(now + BETWEEN_LOOKS, Ordering::Relaxed);
            let running = self.load.as_ref().and_then(running);
            self.is_full.store(running.is_some_and(|running| running > self.cpus), Ordering::Relaxed);
            let crowded = running.is_none_or(|running| running > (self.cpus / 2).max(1));
            judge.decide(is_on, now, &Seen { crowded, displaced: seat.was_displaced() })
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
        let (mut judge, now) = (self.judge.lock(), self.now());
        judge.not_before = judge.not_before.max(now + SLOW_PAUSE);
        judge.agreeing = 0;
        self.in_idle_class.store(false, Ordering::Release);
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

impl Judge {
    /// Whether the idle class is to serve from now on.
    fn decide(&mut self, is_on: bool, now: u64, seen: &Seen) -> bool {
        let speaks_for_change = is_on == seen.crowded && (is_on || now >= self.not_before);
        self.agreeing = if speaks_for_change { self.agreeing + 1 } else { 0 };
        if self.agreeing < AGREEING && !(is_on && seen.displaced) {
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

impl Seat {
    /// Of a thread that is in the idle class or not. To be made by that thread.
    pub fn new(in_idle_class: bool) -> Seat {
        let waits = in_idle_class.then(Waits::open).and_then(io::Result::ok);
        Seat { in_idle_class, waits, cpu: None, allowed: Cpus::allowed().ok() }
    }

    /// Goes to the CPU of a thread that asks, by its number. Returns whether it is where somebody asked from.
    pub fn follow(&mut self, asker: u32) -> bool {
        // Whom this process cannot see has the number 0, as what the kernel asks on its own.
        if asker != 0 {
            let cpu = cpu_of(asker);
            if cpu.is_none() || cpu != self.cpu {
                self.part();
                let may_go = |cpu: &usize| self.allowed.as_ref().is_some_and(|allowed| allowed.has(*cpu));
                self.cpu = cpu.filter(may_go).filter(|&cpu| pin_to(cpu).is_ok());
            }
        }
        self.cpu.is_some()
    }

    /// Follows nobody any more.
    pub fn part(&mut self) {
        if self.cpu.take().is_some()
            && let Some(allowed) = &self.allowed
        {
            let _ = allowed.allow();
        }
    }

    /// Whether it is on the CPU of whoever asks, which polling would take away.
    pub fn follows(&self) -> bool {
        self.in_idle_class || self.cpu.is_some()
    }

    fn was_displaced(&mut self) -> bool {
        self.waits.as_mut().is_some_and(|waits| waits.look().is_some_and(|each| each > DISPLACED))
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
    fn looks(judge: &mut Judge, is_on: &mut bool, start: u64, seen: &[(bool, bool)]) {
        for (number, &(crowded, displaced)) in seen.iter().enumerate() {
            *is_on = judge.decide(*is_on, start + number as u64 * MS, &Seen { crowded, displaced });
        }
    }

    fn judge() -> Judge {
        Judge { agreeing: 0, not_before: 0, pause: FIRST_PAUSE / 2, since: 0 }
    }

    const QUIET: (bool, bool) = (false, false);
    const CROWDED: (bool, bool) = (true, false);

    #[test]
    fn two_looks_that_agree_change_who_serves() {
        let (mut judge, mut is_on) = (judge(), false);
        looks(&mut judge, &mut is_on, 0, &[QUIET, CROWDED, QUIET, CROWDED, QUIET]);
        assert!(!is_on);
        looks(&mut judge, &mut is_on, 5 * MS, &[QUIET]);
        assert!(is_on);
        looks(&mut judge, &mut is_on, 6 * MS, &[CROWDED, QUIET, CROWDED, QUIET]);
        assert!(is_on);
        looks(&mut judge, &mut is_on, 10 * MS, &[CROWDED, CROWDED]);
        assert!(!is_on);
    }

    #[test]
    fn whoever_has_to_leave_soon_stays_away_longer_each_time() {
        for last in [&[(true, false), (true, false)][..], &[(false, true)]] {
            let (mut judge, mut now) = (judge(), 0);
            let come = |judge: &mut Judge, now: &mut u64| {
                let left = *now;
                let mut is_on = false;
                while !is_on {
                    *now += MS;
                    looks(judge, &mut is_on, *now, &[QUIET]);
                }
                (*now - left) / MS
            };
            come(&mut judge, &mut now);
            let mut away = Vec::new();
            for stay in [1, 1, 1, 1, 1, 1, 1, 1, 200, 1] {
                now += stay * MS;
                let mut is_on = true;
                looks(&mut judge, &mut is_on, now, last);
                assert!(!is_on);
                now += (last.len() as u64 - 1) * MS;
                away.push(come(&mut judge, &mut now));
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
        if !classes.change() {
            return;
        }
        let mut seat = Seat::new(false);
        assert!(!classes.look(&mut seat) && !classes.in_idle_class());
        thread::scope(|scope| drop(scope.spawn(|| classes.join())));
        assert!(classes.look(&mut seat) && classes.in_idle_class());
        classes.pause();
        assert!(!classes.in_idle_class());
        assert!(classes.judge.lock().not_before > 100 * MS);
    }

    #[test]
    fn a_thread_follows_where_it_may_go_and_goes_back() {
        let mut seat = Seat::new(false);
        let count = || Cpus::allowed().unwrap().count();
        let before = count();
        assert!(!seat.follow(0) && !seat.follow(u32::MAX));
        assert_eq!(count(), before);
        assert!(seat.follow(std::process::id()) && seat.follows() && seat.follow(0));
        assert_eq!(count(), 1);
        assert!(!seat.follow(u32::MAX));
        assert_eq!(count(), before, "who has ended is not followed");
        assert!(seat.follow(std::process::id()));
        seat.part();
        assert!(!seat.follows());
        assert_eq!(count(), before);
    }
}
