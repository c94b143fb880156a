//! What every room of a volume works with: the chunk context and options, whether promises can still be kept, and when
//! the flusher has something to do.

mod clock;
mod schedule;
mod stand_ins;
pub mod threads;
mod withheld;

pub use schedule::{Merging, Schedule, Task};

use crate::chunk::{Context, InodeId};
use crate::locks::{Mutex, Rank};
use crate::store::FileName;
use crate::volume::format::directory_log::Author;
use crate::volume::format::geometry::Geometry;
use crate::volume::format::link::Link;
use crate::volume::format::stamp::Stamp;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use stand_ins::StandIns;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, UNIX_EPOCH};
pub use withheld::{Aside, Withheld};

/// Above this many files one syncfs is cheaper than an fdatasync each, where it does as much.
pub const SYNC_ALL_ABOVE: usize = 30;

/// What a volume is opened with, besides the context.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes; from the header.
    pub chunk_size: u64,
    pub read_only: bool,
    /// Chunk files held open at most, unless more are waiting to be synced.
    pub open_files: NonZeroUsize,
    /// The device is not known again after this: its journal goes at the end.
    pub stateless: bool,
}

/// Inodes that may have other names than they say.
pub type Doubted = BTreeMap<InodeId, Doubt>;

#[derive(Clone, Copy)]
pub struct Doubt {
    /// A directory that was found to have it under a name which it does not say, or has one of what was deleted here.
    pub found_in: Option<InodeId>,
    pub since: Instant,
}

impl Doubt {
    pub fn new(found_in: Option<InodeId>) -> Doubt {
        Doubt { found_in, since: Instant::now() }
    }
}

pub struct Base {
    pub context: Arc<Context>,
    pub geometry: Geometry,
    pub read_only: bool,
    pub stateless: bool,
    pub schedule: Schedule,
    pub stand_ins: Mutex<StandIns>,
    pub withheld: Mutex<Withheld>,
    /// Inodes that became others without anybody having asked for it, and that are not told.
    untold: Mutex<BTreeSet<InodeId>>,
    /// Inodes that were looked at and may have other names than they say.
    doubted: Mutex<Doubted>,
    /// Names of files, of versions that gave way, or that a version which took the place has beside those given here.
    other_names: Mutex<BTreeMap<InodeId, Vec<Link>>>,
    /// Whoever shows the volume is told of what arrives.
    tells_arrivals: AtomicBool,
    /// When the volume was opened, in seconds since 1970.
    pub opened: u64,
    stopped: AtomicBool,
    stopped_by: Mutex<Option<Stop>>,
    delayed: Mutex<Option<String>>,
    /// What nobody was told of yet.
    events: Mutex<Vec<Event>>,
}

/// Why the volume stopped.
struct Stop {
    why: String,
    /// What was being done is neither done nor undone: nothing can go on from there.
    for_good: bool,
}

/// What happened to the volume as a whole, or to a file without anything being wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing is written any more.
    Stopped,
    /// Not everything can be stored now.
    Delayed,
    /// Of a file two versions stand beside each other from now on.
    Conflict,
}

impl Base {
    /// From now on whoever shows the volume is told of what arrives.
    pub fn tell_arrivals(&self) {
        self.tells_arrivals.store(true, Ordering::Relaxed);
    }

    pub fn tells_arrivals(&self) -> bool {
        self.tells_arrivals.load(Ordering::Relaxed)
    }

    pub fn new(context: Arc<Context>, options: Options) -> Base {
        Base {
            geometry: Geometry::new(options.chunk_size),
            read_only: options.read_only || context.store.is_read_only(),
            stateless: options.stateless,
            tells_arrivals: AtomicBool::new(false),
            schedule: Schedule::default(),
            stand_ins: Mutex::new(Rank::StandIns, StandIns::default()),
            withheld: Mutex::new(Rank::Withheld, Withheld::default()),
            untold: Mutex::new(Rank::Untold, BTreeSet::new()),
            doubted: Mutex::new(Rank::Doubted, Doubted::new()),
            other_names: Mutex::new(Rank::OtherNames, BTreeMap::new()),
            opened: UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs()),
            stopped: AtomicBool::new(false),
            stopped_by: Mutex::new(Rank::Stopped, None),
            delayed: Mutex::new(Rank::Delayed, None),
            events: Mutex::new(Rank::Events, Vec::new()),
            context,
        }
    }

    /// No promise can be kept any more: from now on nothing is written, until the volume is started again.
    pub fn stop(&self, error: &Error) {
        self.stop_by(error, false);
    }

    /// The same, and it cannot be started again.
    pub fn stop_for_good(&self, error: &Error) {
        self.stop_by(error, true);
    }

    fn stop_by(&self, error: &Error, for_good: bool) {
        let mut stop = self.stopped_by.lock();
        if stop.is_none() {
            *stop = Some(Stop { why: error.to_string(), for_good });
            self.stopped.store(true, Ordering::Release);
            drop(stop);
            log::error!(target: "cryptfs::stopped", "the volume stops, and nothing is written any more: {error}");
            self.happened(Event::Stopped);
        }
    }

    /// Promises can be kept again, as far as is known.
    ///
    /// # Errors
    /// [`Error::Stopped`]: it stopped for good.
    pub fn resume(&self) -> Result<()> {
        let mut stop = self.stopped_by.lock();
        if stop.as_ref().is_some_and(|stop| stop.for_good) && !mutants::is_active(Mutant::RestartedForGood) {
            return Err(Error::Stopped);
        }
        *stop = None;
        self.stopped.store(false, Ordering::Release);
        Ok(())
    }

    /// Why the volume stopped, if it did.
    pub fn stopped_by(&self) -> Option<String> {
        self.stopped_by.lock().as_ref().map(|stop| stop.why.clone())
    }

    /// Takes note of how storing everything went.
    pub fn note_checkpoint<T>(&self, done: &Result<T>) {
        let before = std::mem::replace(&mut *self.delayed.lock(), done.as_ref().err().map(Error::to_string));
        if before.is_none() && done.is_err() && self.stopped_by().is_none() {
            self.happened(Event::Delayed);
        }
    }

    /// Something happened that is to be told.
    pub fn happened(&self, event: Event) {
        let mut events = self.events.lock();
        if !events.contains(&event) {
            events.push(event);
        }
        drop(events);
        self.schedule.report();
    }

    /// Whoever shows this inode is to be told what it is: it became another, or is about to.
    pub fn note_untold(&self, inode: InodeId) {
        self.untold.lock().insert(inode);
    }

    /// Takes the inodes that are to be told.
    pub fn take_untold(&self) -> BTreeSet<InodeId> {
        std::mem::take(&mut self.untold.lock())
    }

    /// What an inode says of its names is to be held against its directories. `found_in`: as [`Doubt`] has it.
    pub fn note_doubted(&self, inode: InodeId, found_in: Option<InodeId>) {
        if !self.read_only {
            self.doubt_again(inode, Doubt::new(found_in));
            self.schedule.merge_names();
        }
    }

    /// A file has these names, too, as far as their directories have them: those of the other one of two versions.
    pub fn note_other_names(&self, inode: InodeId, links: Vec<Link>) {
        let is_news = !links.is_empty() && !self.read_only;
        if is_news && !mutants::is_active(Mutant::OtherNamesForgotten) {
            self.context.recall.may_be_nameless(inode);
            self.other_names.lock().entry(inode).or_default().extend(links);
            self.note_doubted(inode, None);
        }
    }

    pub fn other_names(&self, inode: InodeId) -> Vec<Link> {
        self.other_names.lock().get(&inode).cloned().unwrap_or_default()
    }

    /// It says all of them.
    pub fn says_all_names(&self, inode: InodeId) {
        self.other_names.lock().remove(&inode);
    }

    /// The same, when merging runs again.
    pub fn doubt_again(&self, inode: InodeId, doubt: Doubt) {
        let mut doubted = self.doubted.lock();
        let known = doubted.entry(inode).or_insert(doubt);
        *known = Doubt { found_in: doubt.found_in.or(known.found_in), since: known.since.min(doubt.since) };
    }

    /// Takes the inodes of which that is to be done.
    pub fn take_doubted(&self) -> Doubted {
        std::mem::take(&mut self.doubted.lock())
    }

    /// Takes what nobody was told of yet.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock())
    }

    /// Why the last attempt to store everything failed, if it did.
    pub fn delayed(&self) -> Option<String> {
        self.delayed.lock().clone()
    }

    /// # Errors
    ///
    /// [`Error::Stopped`] once the volume stopped.
    pub fn check_live(&self) -> Result<()> {
        if self.stopped.load(Ordering::Acquire) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// # Errors
    ///
    /// [`Error::ReadOnly`] and [`Error::Stopped`].
    pub fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        self.check_live()
    }

    /// A stamp for a change of content, which names nothing else.
    pub fn stamp(&self) -> Stamp {
        Stamp { device: self.context.device, commit: self.context.next_commit() }
    }

    /// This device, as it adds an entry to a directory.
    pub fn author(&self) -> Author {
        Author { device: self.context.device, now: self.context.next_commit() }
    }

    /// # Errors
    ///
    /// [`Error::FileTooLarge`] if a file cannot end at `end` bytes.
    pub fn check_size(&self, end: u64) -> Result<()> {
        if end > self.geometry.size_limit() { Err(Error::FileTooLarge) } else { Ok(()) }
    }

    /// Makes the coming and going of files durable.
    ///
    /// # Errors
    ///
    /// The store's, [`Error::NoSpace`] among them; any of them may not be durable then.
    pub fn sync_names(&self, names: &[FileName]) -> Result<()> {
        match names.len() {
            0 => {}
            count if count > SYNC_ALL_ABOVE && self.context.store.sync_all_is_complete() => {
                self.context.store.sync_all()?
            }
            _ => self.context.store.sync_names(names)?,
        }
        Ok(())
    }
}
