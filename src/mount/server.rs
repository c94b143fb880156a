//! What every transport of our own does with a request, however it came: counts it, answers it, notes how long that
//! took. A handler's panic is answered with EIO and logged.
//!
//! Above: `device`, `ring`. Below: `dispatch`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Requests;
use super::dispatch::{self, Dispatcher};
use super::protocol::{Body, InHeader, opcode};
use super::reply::{Answer, Errno};

pub struct Server {
    dispatcher: Dispatcher,
    pace: Pace,
}

/// How long WRITEs that came are waited for before everything counts as stored.
pub(super) const WRITES_TAKE: Duration = Duration::from_secs(5);

/// How long requests of each kind took recently, in nanoseconds. A kind is quick until several in a row were slow, or one
/// was very slow.
struct Pace([AtomicU64; opcode::LIMIT]);

/// The most that one request counts, in nanoseconds: a server that lost the CPU for one time slice must not look like a
/// slow disk. A request handed to a worker would wait for the CPU again, and longer.
const COUNTED: u64 = 1_000_000;
/// A duration of more than a few time slices, and what it counts.
const LONG: Duration = Duration::from_millis(16);
const LONG_COUNTED: u64 = 8_000_000;

impl Pace {
    /// Whether requests of this kind took longer than `limit`, in nanoseconds.
    fn is_slow(&self, opcode: u32, limit: u64) -> bool {
        self.0.get(opcode as usize).is_none_or(|pace| pace.load(Ordering::Relaxed) > limit)
    }

    fn note(&self, opcode: u32, took: Duration) {
        if let Some(pace) = self.0.get(opcode as usize) {
            let before = pace.load(Ordering::Relaxed);
            let took = match took < LONG {
                true => (took.as_nanos() as u64).min(COUNTED),
                false => LONG_COUNTED,
            };
            pace.store(before - before / 8 + took / 8, Ordering::Relaxed);
        }
    }
}

impl Default for Pace {
    fn default() -> Pace {
        Pace([const { AtomicU64::new(0) }; opcode::LIMIT])
    }
}

impl Server {
    pub fn new(dispatcher: Dispatcher) -> Server {
        Server { dispatcher, pace: Pace::default() }
    }

    pub fn count(&self, header: &InHeader, in_idle_class: bool) {
        self.dispatcher.requests.count(header.opcode, in_idle_class);
    }

    /// Whether requests of this kind recently took longer than `limit`, in nanoseconds.
    pub fn is_slow(&self, header: &InHeader, limit: u64) -> bool {
        dispatch::may_take_long(header) && self.pace.is_slow(header.opcode, limit)
    }

    /// Whether the kernel has to be told to flush the file before this is answered: LSEEK under the writeback cache.
    /// The kernel (6.18) asks where data lies without first sending what is dirty, and a copying program would take
    /// fresh data for a hole. To be waited for by a thread of its own, since the flush comes back as WRITEs that the
    /// others must be free to answer.
    pub fn needs_flush(&self, header: &InHeader) -> bool {
        header.opcode == opcode::LSEEK && self.dispatcher.writeback
    }

    /// Whether the kernel has to be told that st_blocks is another once this was answered: it keeps a file's attributes
    /// itself under the writeback cache, but for that.
    pub fn changes_blocks(&self, header: &InHeader) -> bool {
        header.opcode == opcode::WRITE && self.dispatcher.writeback
    }

    /// Answers into `out`, which has room for the largest reply to such a request.
    ///
    /// # Errors
    ///
    /// As for [`Dispatcher::answer`]; EIO where that panicked.
    pub fn answer(&self, header: &InHeader, body: Body<'_>, out: &mut [u8]) -> Answer {
        let start = dispatch::may_take_long(header).then(Instant::now);
        let answer = catch_unwind(AssertUnwindSafe(|| self.dispatcher.answer(header, body, out)));
        if header.opcode == opcode::WRITE {
            self.dispatcher.requests.written.fetch_add(1, Ordering::Release);
        }
        if let Some(start) = start {
            self.pace.note(header.opcode, start.elapsed());
        }
        answer.unwrap_or_else(|_| {
            log::error!("operation {} panicked and was answered with EIO", header.opcode);
            Err(Errno(libc::EIO))
        })
    }
}

impl Requests {
    fn count(&self, opcode: u32, in_idle_class: bool) {
        if in_idle_class {
            self.of_idle_class.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(counter) = self.came.get(opcode as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many WRITEs came.
    pub(super) fn writes(&self) -> u64 {
        self.came[opcode::WRITE as usize].load(Ordering::Acquire)
    }

    /// Waits until the WRITEs that came so far are answered, some seconds at most.
    pub(super) fn await_writes(&self) {
        let (came, deadline) = (self.writes(), Instant::now() + WRITES_TAKE);
        while self.written.load(Ordering::Acquire) < came && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Default for Requests {
    fn default() -> Requests {
        let came = [const { AtomicU64::new(0) }; opcode::LIMIT];
        Requests { came, written: AtomicU64::new(0), of_idle_class: AtomicU64::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_slow_after_several_slow_ones_in_a_row() {
        const LIMIT: u64 = 500_000;
        let pace = Pace::default();
        let after = |count: usize, took: Duration| {
            (0..count).for_each(|_| pace.note(opcode::FSYNC, took));
            pace.is_slow(opcode::FSYNC, LIMIT)
        };
        let (quick, slow) = (Duration::from_micros(20), Duration::from_millis(8));
        assert!(!after(9, quick));
        assert!(!after(1, slow), "one that was interrupted");
        assert!(!after(3, slow));
        assert!(after(4, slow));
        assert!(!after(9, quick));
        assert!(after(1, Duration::from_millis(40)));
        assert!(!after(9, quick));
        assert!(!pace.is_slow(opcode::WRITE, LIMIT));
    }
}
