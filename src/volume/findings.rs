//! The ledger of what was found damaged, each chunk once.
//!
//! Noticed wherever an operation fails for it; told by the flusher, for finding out the path takes locks that whoever
//! notices may hold.

use crate::chunk::{ChunkId, InodeId};
use crate::store::{Area, FileName};
use crate::volume::base::{Base, Event};
use crate::volume::{Damage, Error};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Chunks that are told of, at most.
const MOST: usize = 10_000;

/// Something that cannot be read, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub chunk: ChunkId,
    pub file: FileName,
    /// From the root, without a leading slash; `None` if nothing that can be read leads there.
    pub path: Option<Vec<u8>>,
    /// `None`: it has not arrived yet.
    pub damage: Option<Damage>,
    /// It has not, and a client shows a placeholder for it.
    pub is_placeholder: bool,
}

/// Who is told of findings.
pub trait Report: Send + Sync {
    /// `found`: in this mount for the first time. `healed`: files whose chunks can be read again, or are not needed any more.
    fn tell(&self, found: &[Finding], healed: &HashSet<FileName>);
    /// Something else happened.
    fn happened(&self, event: Event);
}

/// A name: the directory that it stands in, and how it reads.
pub type Place = (InodeId, Vec<u8>);

pub struct Findings {
    base: Arc<Base>,
    reporter: OnceLock<Box<dyn Report>>,
    /// Something on the list may become readable again.
    any: AtomicBool,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    /// What the journals spoke of, to be looked at again once all of them were applied.
    early: HashMap<ChunkId, (Error, Option<Place>)>,
    /// Each since when.
    waiting: Vec<(Untold, Instant)>,
    /// Noticed in this mount.
    noticed: HashSet<ChunkId>,
    /// On the list, since this mount or an earlier one.
    listed: HashMap<FileName, Listed>,
    healed: HashSet<FileName>,
}

/// When it is right again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    /// As soon as its chunk can be opened.
    Opened,
    /// As soon as memory goes on with the file that stands there now.
    Loaded,
    Gone,
}

/// A finding that nobody was told of yet: its chunk, what was done to it, and a name that leads there.
pub type Untold = (ChunkId, Option<Damage>, Option<Place>);

impl Findings {
    pub fn new(base: &Arc<Base>) -> Findings {
        Findings {
            base: base.clone(),
            reporter: OnceLock::new(),
            any: AtomicBool::new(false),
            ledger: Mutex::default(),
        }
    }

    /// Takes what the journals spoke of while the volume was opened.
    pub fn take_early(&self) -> Vec<(Error, Option<Place>)> {
        std::mem::take(&mut self.ledger.lock().early).into_values().collect()
    }

    /// Tells of findings from now on. `listed`: chunk files that are on the list, and whether each is right again as soon
    /// as its chunk can be opened.
    pub fn report_to(&self, reporter: Box<dyn Report>, listed: impl Iterator<Item = (FileName, bool)>) {
        let mut ledger = self.ledger.lock();
        for (file, opened) in listed {
            let until = if opened { Listed::Opened } else { Listed::Gone };
            if ledger.listed.contains_key(&file) {
                continue;
            }
            // Every journal was read when the volume was opened.
            if file.area == Area::Journals {
                ledger.healed.insert(file);
            } else {
                ledger.listed.insert(file, until);
            }
        }
        self.any.store(!ledger.listed.is_empty(), Ordering::Relaxed);
        drop(ledger);
        // A second one would be a mistake of the caller's, and is not heard.
        let _ = self.reporter.set(reporter);
        self.base.schedule.report();
    }

    /// Who is told of findings, if somebody is.
    pub fn reporter(&self) -> Option<&dyn Report> {
        self.reporter.get().map(|reporter| &**reporter)
    }

    /// Takes what nobody was told of yet, and what healed since. What a sync client puts right by itself, as it brings one
    /// file after the other, is told only once it has been so for `grace`. `has_others`: other devices are known; it is a
    /// file in the place of another one that the first of them begins with.
    pub fn take_untold(&self, grace: Duration, has_others: bool) -> (Vec<Untold>, HashSet<FileName>) {
        let mut ledger = self.ledger.lock();
        let (due, early): (Vec<_>, Vec<_>) =
            std::mem::take(&mut ledger.waiting).into_iter().partition(|((chunk, damage, _), since)| {
                let is_lasting = matches!(damage, None | Some(Damage::Corrupt(_)));
                let is_alone = !has_others && *damage != Some(Damage::Replaced);
                is_lasting || is_alone || chunk.inode.journal_of().is_some() || since.elapsed() >= grace
            });
        if let Some(first) = early.iter().map(|(_, since)| *since).min() {
            self.base.schedule.report_at(first + grace);
        }
        ledger.waiting = early;
        (due.into_iter().map(|(untold, _)| untold).collect(), std::mem::take(&mut ledger.healed))
    }

    /// Takes note of damage to what a journal speaks of, which later batches or another journal may have deleted.
    pub fn notice_early(&self, error: Error, place: Option<Place>) {
        let (Error::Damaged(chunk, _) | Error::NotArrived(chunk)) = error else { return };
        let mut ledger = self.ledger.lock();
        if place.is_some() && ledger.early.len() < MOST || !ledger.early.contains_key(&chunk) {
            ledger.early.insert(chunk, (error, place));
        }
    }

    /// Takes note of an error if it is damage. No lock that `place` needs may be held.
    pub fn notice(&self, error: &Error, place: impl FnOnce() -> Option<Place>) {
        let Some((chunk, damage)) = parts(error) else { return };
        let until = match damage {
            None | Some(Damage::Deleted | Damage::RolledBack { .. }) => Listed::Opened,
            Some(Damage::Replaced) => Listed::Loaded,
            Some(Damage::Corrupt(_)) => Listed::Gone,
        };
        let mut ledger = self.ledger.lock();
        if ledger.noticed.len() >= MOST || !ledger.noticed.insert(chunk) {
            return;
        }
        ledger.listed.insert(self.base.context.file_name(chunk), until);
        ledger.waiting.push(((chunk, damage, None), Instant::now()));
        drop(ledger);
        let place = place();
        let mut ledger = self.ledger.lock();
        if let Some((waiting, _)) = ledger.waiting.iter_mut().find(|(waiting, _)| waiting.0 == chunk) {
            waiting.2 = place;
        }
        drop(ledger);
        self.any.store(true, Ordering::Relaxed);
        self.base.schedule.report();
    }

    /// The chunk was opened.
    pub fn heal_opened(&self, chunk: ChunkId) {
        self.heal(chunk, |listed| listed == Listed::Opened);
    }

    /// Memory goes on with the file that stands in the place of the one that it had open.
    pub fn heal_loaded(&self, chunk: ChunkId) {
        self.heal(chunk, |listed| listed != Listed::Gone);
    }

    /// The chunk is not needed any more.
    pub fn heal_gone(&self, chunk: ChunkId) {
        self.heal(chunk, |_| true);
    }

    /// No name leads to the inode any more.
    pub fn heal_inode(&self, inode: InodeId) {
        let noticed: Vec<ChunkId> = self.ledger.lock().noticed.iter().copied().collect();
        noticed.into_iter().filter(|chunk| chunk.inode == inode).for_each(|chunk| self.heal_gone(chunk));
    }

    /// Whether something was noticed about a chunk.
    pub fn is_noticed(&self, chunk: ChunkId) -> bool {
        self.any.load(Ordering::Relaxed) && self.ledger.lock().noticed.contains(&chunk)
    }

    fn heal(&self, chunk: ChunkId, is_healed: impl Fn(Listed) -> bool) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let file = self.base.context.file_name(chunk);
        let mut ledger = self.ledger.lock();
        if ledger.listed.get(&file).is_some_and(|listed| is_healed(*listed)) {
            ledger.listed.remove(&file);
            ledger.noticed.remove(&chunk);
            ledger.waiting.retain(|(waiting, _)| waiting.0 != chunk);
            ledger.healed.insert(file);
            self.any.store(!ledger.listed.is_empty(), Ordering::Relaxed);
            drop(ledger);
            self.base.schedule.report();
        }
    }
}

/// What an error says of a chunk, as a [`Finding`] has it; `None` if it is no damage.
pub fn parts(error: &Error) -> Option<(ChunkId, Option<Damage>)> {
    match error {
        Error::Damaged(chunk, damage) => Some((*chunk, Some(damage.clone()))),
        Error::NotArrived(chunk) => Some((*chunk, None)),
        _ => None,
    }
}
