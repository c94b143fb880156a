//! When the flusher has something to do: a checkpoint about a second after the last change, five seconds after the first
//! at the latest. Any room says what happened here; the threads that wait for it stand above.

use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(5);
/// How soon a checkpoint that failed for want of space is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the flusher waits for.
#[derive(Default)]
pub struct Schedule {
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
    now: bool,
    /// Something is to be told.
    report: bool,
    /// Directories were joined, or copies may have come.
    merge: bool,
    end: bool,
}

pub enum Task {
    Checkpoint,
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

    /// A checkpoint should begin at once.
    pub fn hurry(&self) {
        self.due.lock().now = true;
        self.woken.notify_one();
    }

    /// Findings are to be told.
    pub fn report(&self) {
        self.due.lock().report = true;
        self.woken.notify_one();
    }

    /// What two devices did is to be merged.
    pub fn merge(&self) {
        self.due.lock().merge = true;
        self.merging.notify_one();
    }

    /// Waits until something is to be merged; false when it is time to end.
    pub fn wait_for_merge(&self) -> bool {
        let mut due = self.due.lock();
        while !due.merge && !due.end {
            self.merging.wait(&mut due);
        }
        due.merge = false;
        !due.end
    }

    /// Waits until something is to be done; `None` when it is time to end.
    pub fn wait(&self) -> Option<Task> {
        let mut due = self.due.lock();
        loop {
            if due.end {
                return None;
            }
            if std::mem::take(&mut due.report) {
                return Some(Task::Report);
            }
            let at = due.changed.map(|(first, last)| (last + QUIET).min(first + LATEST));
            if due.now || at.is_some_and(|at| at <= Instant::now()) {
                due.now = false;
                due.changed = None;
                return Some(Task::Checkpoint);
            }
            match at {
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
