//! What goes on in the background: a round about a second after the last change, five seconds after the first at the
//! latest, and beside it, half a second after the first change, what makes it outlive this process.

use crate::volume::{Result, Volume};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(5);
/// How soon what was written is to outlive the daemon.
const SOON: Duration = Duration::from_millis(500);
/// How soon a round that failed for want of space is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the flusher waits for.
#[derive(Default)]
pub(in crate::volume) struct Flusher {
    wish: Mutex<Wish>,
    woken: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    unpublished: Condvar,
    /// The publisher knows of a change, and has not begun.
    is_told: AtomicBool,
    publisher: Mutex<Option<JoinHandle<()>>>,
    /// For other work in the background, which ends when the flusher does.
    ended: Condvar,
    pub(in crate::volume) aside: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Wish {
    /// First and last change since the last round began.
    changed: Option<(Instant, Instant)>,
    /// First change that may die with the daemon.
    unpublished: Option<Instant>,
    now: bool,
    /// Something is to be told.
    report: bool,
    end: bool,
}

enum Task {
    Round,
    Report,
}

impl Flusher {
    /// Something changed.
    pub fn wake(&self) {
        let now = Instant::now();
        let mut wish = self.wish.lock();
        self.tell_publisher(&mut wish, now);
        match &mut wish.changed {
            Some((_, last)) => *last = now,
            None => {
                wish.changed = Some((now, now));
                self.woken.notify_one();
            }
        }
    }

    /// Something changed again that a round is to look at already.
    pub fn wake_again(&self) {
        if !self.is_told.load(Ordering::Relaxed) {
            self.tell_publisher(&mut self.wish.lock(), Instant::now());
        }
    }

    fn tell_publisher(&self, wish: &mut Wish, now: Instant) {
        if wish.unpublished.is_none() {
            wish.unpublished = Some(now);
            self.is_told.store(true, Ordering::Relaxed);
            self.unpublished.notify_one();
        }
    }

    /// A round should begin at once.
    pub fn hurry(&self) {
        self.wish.lock().now = true;
        self.woken.notify_one();
    }

    /// Findings are to be told.
    pub fn report(&self) {
        self.wish.lock().report = true;
        self.woken.notify_one();
    }

    /// Waits until something is to be done; `None` when it is time to end.
    fn wait(&self) -> Option<Task> {
        let mut wish = self.wish.lock();
        loop {
            if wish.end {
                return None;
            }
            if std::mem::take(&mut wish.report) {
                return Some(Task::Report);
            }
            let due = wish.changed.map(|(first, last)| (last + QUIET).min(first + LATEST));
            if wish.now || due.is_some_and(|due| due <= Instant::now()) {
                wish.now = false;
                wish.changed = None;
                return Some(Task::Round);
            }
            match due {
                Some(due) => drop(self.woken.wait_until(&mut wish, due)),
                None => self.woken.wait(&mut wish),
            }
        }
    }

    /// Waits until something has to be published; false when it is time to end.
    fn wait_to_publish(&self) -> bool {
        let mut wish = self.wish.lock();
        while !wish.end {
            match wish.unpublished.map(|since| since + SOON) {
                Some(due) if due <= Instant::now() => {
                    wish.unpublished = None;
                    self.is_told.store(false, Ordering::Relaxed);
                    return true;
                }
                Some(due) => drop(self.unpublished.wait_until(&mut wish, due)),
                None => self.unpublished.wait(&mut wish),
            }
        }
        false
    }

    /// Waits so long, or until it is time to end, and then returns false.
    pub fn rest(&self, duration: Duration) -> bool {
        let mut wish = self.wish.lock();
        let until = Instant::now() + duration;
        while !wish.end && Instant::now() < until {
            self.ended.wait_until(&mut wish, until);
        }
        !wish.end
    }

    fn pause(&self) {
        let mut wish = self.wish.lock();
        let until = Instant::now() + RETRY;
        while !wish.end && Instant::now() < until {
            self.woken.wait_until(&mut wish, until);
        }
    }
}

impl Volume {
    /// Starts the background flusher, and the end of a rotation if one is under way. It ends with [`Volume::close`]. Of a
    /// volume that is read-only it does nothing but tell of findings. An error: there is no thread to be had for it, and
    /// nothing would be written but by fsync.
    pub fn start(self: &Arc<Volume>) -> Result<()> {
        let volume: Weak<Volume> = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("flusher".into()).spawn(move || {
            while let Some(volume) = volume.upgrade() {
                match volume.flusher.wait() {
                    None => return,
                    Some(Task::Report) => {
                        volume.report();
                        continue;
                    }
                    Some(Task::Round) if volume.read_only => continue,
                    Some(Task::Round) => {}
                }
                if let Err(error) = volume.note_space(volume.round()) {
                    log::warn!("not everything could be written yet: {error}");
                    volume.flusher.wake();
                    volume.flusher.pause();
                }
            }
        });
        *self.flusher.thread.lock() = Some(thread?);
        self.start_ahead();
        if !self.read_only {
            self.look_at_space();
            self.start_publisher()?;
            self.reencrypt_aside();
        }
        Ok(())
    }

    fn start_publisher(self: &Arc<Volume>) -> Result<()> {
        let volume: Weak<Volume> = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("publisher".into()).spawn(move || {
            while let Some(volume) = volume.upgrade()
                && volume.flusher.wait_to_publish()
            {
                if let Err(error) = volume.publish() {
                    log::debug!("names wait for the next round: {error}");
                }
            }
        });
        *self.flusher.publisher.lock() = Some(thread?);
        Ok(())
    }

    /// Ends the flusher and waits for it.
    pub(in crate::volume) fn end_flusher(&self) {
        self.flusher.wish.lock().end = true;
        self.flusher.woken.notify_all();
        self.flusher.ended.notify_all();
        self.flusher.unpublished.notify_all();
        let threads = [&self.flusher.thread, &self.flusher.publisher, &self.flusher.aside];
        let threads = threads.map(|thread| thread.lock().take());
        for thread in threads.into_iter().flatten() {
            if thread.join().is_err() {
                log::error!("the flusher, or what works beside it, ended in a panic");
            }
        }
    }
}
