//! When the flusher has something to do: a checkpoint soon after the last change, five seconds after the first at the
//! latest; half a second after any change a round, so that a dead daemon does not take small files along; chunk files are
//! closed some seconds after they came to rest. Any room says what happened here; the threads that wait for it stand above.

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A sync client that picks a file up a second after its last change finds it whole.
const QUIET: Duration = Duration::from_millis(200);
const LATEST: Duration = Duration::from_secs(5);
/// How long chunk files stay open that do not change.
const REST: Duration = Duration::from_secs(3);
/// How long a change waits for a round.
const ROUND: Duration = Duration::from_millis(500);
/// How soon a checkpoint that failed for want of space is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the flusher waits for.
#[derive(Default)]
pub struct Schedule {
    /// Something changed since the last round began.
    is_round_due: AtomicBool,
    /// Copies stand beside chunk files that could not be merged with what was there.
    has_copies: AtomicBool,
    due: Mutex<Due>,
    woken: Condvar,
    /// For other work in the background, which ends when the flusher does.
    ended: Condvar,
    /// For who merges.
    merging: Condvar,
}

#[derive(Default)]
struct Due {
    /// First and last change since the last checkpoint began.
    changed: Option<(Instant, Instant)>,
    /// First change since the last round began.
    unstored: Option<Instant>,
    now: bool,
    /// When to look for chunk files that can be closed.
    close: Option<Instant>,
    /// Something is to be told.
    report: bool,
    /// When something is to be told, if it is so still.
    report_at: Option<Instant>,
    /// Directories were joined, or copies may have come.
    merge: bool,
    /// Files were looked at that may have fewer names than they say.
    names: bool,
    end: bool,
}

/// What is to be merged.
pub enum Merging {
    All,
    /// Nothing but names that are gone.
    Names,
}

pub enum Task {
    Checkpoint,
    Close,
    Round,
    Report,
}

impl Schedule {
    /// Something changed.
    pub fn wake(&self) {
        let now = Instant::now();
        let mut due = self.due.lock();
        match &mut due.changed {
            Some((_, last)) => *last = now,
            None => {
                due.changed = Some((now, now));
                self.woken.notify_one();
            }
        }
    }

    /// Something changed, perhaps of what a checkpoint looks at already.
    pub fn touch(&self) {
        if !self.is_round_due.load(Ordering::Relaxed) && !self.is_round_due.swap(true, Ordering::AcqRel) {
            self.due.lock().unstored = Some(Instant::now());
            self.woken.notify_one();
        }
    }

    /// A checkpoint should begin at once.
    pub fn hurry(&self) {
        self.due.lock().now = true;
        self.woken.notify_one();
    }

    /// Chunk files are open that can be closed once they have not changed for a while.
    pub fn close_later(&self) {
        self.due.lock().close.get_or_insert_with(|| Instant::now() + REST);
        self.woken.notify_one();
    }

    /// Findings are to be told.
    pub fn report(&self) {
        self.due.lock().report = true;
        self.woken.notify_one();
    }

    /// The same at that time.
    pub fn report_at(&self, at: Instant) {
        let mut due = self.due.lock();
        due.report_at = Some(due.report_at.map_or(at, |earlier| earlier.min(at)));
        self.woken.notify_one();
    }

    /// What two devices did is to be merged.
    pub fn merge(&self) {
        self.due.lock().merge = true;
        self.merging.notify_one();
    }

    /// What files say of their names is to be held against their directories.
    pub fn merge_names(&self) {
        self.due.lock().names = true;
        self.merging.notify_one();
    }

    /// Copies were left as they are, or none were.
    pub fn leave_copies(&self, any: bool) {
        self.has_copies.store(any, Ordering::Relaxed);
    }

    /// Whether what arrives may be what a copy waits for.
    pub fn has_copies(&self) -> bool {
        self.has_copies.load(Ordering::Relaxed)
    }

    /// Waits until something is to be merged, until then at the latest; none when it is time to end.
    pub fn wait_for_merge(&self, latest: Option<Instant>) -> Option<Merging> {
        let mut due = self.due.lock();
        while !due.merge && !due.names && !due.end {
            match latest {
                Some(at) if self.merging.wait_until(&mut due, at).timed_out() => due.merge = true,
                Some(_) => {}
                None => self.merging.wait(&mut due),
            }
        }
        // All includes names.
        due.names = false;
        let merging = if std::mem::take(&mut due.merge) { Merging::All } else { Merging::Names };
        (!due.end).then_some(merging)
    }

    /// Waits until something is to be done; `None` when it is time to end.
    pub fn wait(&self) -> Option<Task> {
        let mut due = self.due.lock();
        loop {
            if due.end {
                return None;
            }
            let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
            if std::mem::take(&mut due.report) || is_over(due.report_at) {
                due.report_at = None;
                return Some(Task::Report);
            }
            let at = due.changed.map(|(first, last)| (last + QUIET).min(first + LATEST));
            let round = due.unstored.map(|first| first + ROUND);
            if due.now || is_over(at) {
                (due.now, due.changed, due.unstored) = (false, None, None);
                self.is_round_due.store(false, Ordering::Release);
                return Some(Task::Checkpoint);
            }
            if is_over(round) {
                due.unstored = None;
                self.is_round_due.store(false, Ordering::Release);
                return Some(Task::Round);
            }
            if is_over(due.close) {
                due.close = None;
                return Some(Task::Close);
            }
            match at.into_iter().chain(round).chain(due.close).chain(due.report_at).min() {
                Some(at) => drop(self.woken.wait_until(&mut due, at)),
                None => self.woken.wait(&mut due),
            }
        }
    }

    /// Waits so long, or until it is time to end, and then returns false.
    pub fn rest(&self, duration: Duration) -> bool {
        let mut due = self.due.lock();
        let until = Instant::now() + duration;
        while !due.end && Instant::now() < until {
            self.ended.wait_until(&mut due, until);
        }
        !due.end
    }

    /// Waits before a checkpoint that failed is tried again, or until it is time to end.
    pub fn pause(&self) {
        let mut due = self.due.lock();
        let until = Instant::now() + RETRY;
        while !due.end && Instant::now() < until {
            self.woken.wait_until(&mut due, until);
        }
    }

    /// Ends every wait, now and later.
    pub fn end(&self) {
        self.due.lock().end = true;
        self.woken.notify_all();
        self.ended.notify_all();
        self.merging.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where changes never cease, rounds come all the same, long before the checkpoint does.
    #[test]
    fn a_change_waits_for_a_round_half_a_second() {
        let (schedule, begun) = (Schedule::default(), Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while begun.elapsed() < LATEST && !schedule.due.lock().end {
                    schedule.wake();
                    schedule.touch();
                    std::thread::yield_now();
                }
            });
            for _ in 0..2 {
                assert!(matches!(schedule.wait(), Some(Task::Round)));
            }
            assert!(begun.elapsed() >= 2 * ROUND && begun.elapsed() < LATEST);
            schedule.end();
        });
    }
}
