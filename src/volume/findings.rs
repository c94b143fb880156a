//! What was found damaged, told once for each chunk, with the path that the owner knows it by.
//!
//! Noticed wherever an operation fails for it; told by the flusher, for finding out the path takes locks that whoever
//! notices may hold.

use crate::chunk::{ChunkId, InodeId};
use crate::store::{Area, FileName};
use crate::volume::inode::state::Inode;
use crate::volume::{Damage, Error, Result, Volume};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

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
}

/// Who is told of findings.
pub trait Report: Send + Sync {
    /// `found`: in this mount for the first time. `healed`: files whose chunks came right, or are wanted no more.
    fn tell(&self, found: &[Finding], healed: &HashSet<FileName>);
}

/// A name: the directory that it stands in, and how it reads.
pub(in crate::volume) type Place = (InodeId, Vec<u8>);

#[derive(Default)]
pub(in crate::volume) struct Findings {
    reporter: OnceLock<Box<dyn Report>>,
    /// There is something that could come right.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the journals spoke of, to be looked at again once all of them were applied.
    early: HashMap<ChunkId, (Error, Option<Place>)>,
    waiting: Vec<(ChunkId, Option<Damage>, Option<Place>)>,
    /// Noticed in this mount.
    noticed: HashSet<ChunkId>,
    /// On the list, since this mount or an earlier one.
    listed: HashMap<FileName, Listed>,
    healed: HashSet<FileName>,
}

/// Whether it is right again as soon as its chunk can be opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    UntilOpened,
    UntilGone,
}

impl Volume {
    /// Tells of findings from now on, and of those that were noticed while the volume was opened. `listed`: chunk files
    /// that are on the list, and whether each is right again as soon as its chunk can be opened.
    pub fn report_to(&self, reporter: Box<dyn Report>, listed: impl Iterator<Item = (FileName, bool)>) {
        let early = std::mem::take(&mut self.findings.state.lock().early);
        for (error, place) in early.into_values() {
            if self.is_wanted(&error, place.as_ref()) {
                self.notice(&error, || place);
            }
        }
        let mut state = self.findings.state.lock();
        for (file, opened) in listed {
            let until = if opened { Listed::UntilOpened } else { Listed::UntilGone };
            if state.listed.contains_key(&file) {
                continue;
            }
            // Every journal was read when the volume was opened.
            if file.area == Area::Journals {
                state.healed.insert(file);
            } else {
                state.listed.insert(file, until);
            }
        }
        self.findings.any.store(!state.listed.is_empty(), Ordering::Relaxed);
        drop(state);
        // A second one would be a mistake of the caller's, and is not heard.
        let _ = self.findings.reporter.set(reporter);
        self.flusher.report();
    }

    /// Tells of everything noticed so far.
    pub fn report(&self) {
        let Some(reporter) = self.findings.reporter.get() else { return };
        let (waiting, healed) = {
            let mut state = self.findings.state.lock();
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.healed))
        };
        let found = waiting.into_iter().map(|(chunk, damage, place)| {
            let path = place.and_then(|place| self.path_of(place));
            Finding { chunk, file: self.context.file_name(chunk), path, damage }
        });
        let found: Vec<Finding> = found.collect();
        if !found.is_empty() || !healed.is_empty() {
            reporter.tell(&found, &healed);
        }
    }

    /// Passes an outcome on, and takes note of it if it is damage. `inode`: what was worked with.
    pub(in crate::volume) fn notice_in<T>(&self, inode: &Inode, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| {
            self.notice(error, || {
                inode.view(|record| {
                    let link = record.extension.links.first();
                    link.map(|link| (link.parent, link.name.to_vec()))
                        .or((inode.id() == InodeId::ROOT).then(|| (InodeId::ROOT, Vec::new())))
                })
            })
        })
    }

    /// Takes note of damage to what a journal speaks of, which later batches or another journal may have deleted.
    pub(in crate::volume) fn notice_early(&self, error: Error, place: Option<Place>) {
        let (Error::Damaged(chunk, _) | Error::NotArrived(chunk)) = error else { return };
        let mut state = self.findings.state.lock();
        if place.is_some() && state.early.len() < MOST || !state.early.contains_key(&chunk) {
            state.early.insert(chunk, (error, place));
        }
    }

    /// Whether a name leads there. Where no name can be looked up, what is there counts and what is missing does not: it
    /// may well have been deleted, and who looks for it will say so.
    fn is_wanted(&self, error: &Error, place: Option<&Place>) -> bool {
        let Some((chunk, damage)) = parts(error) else { return false };
        let is_missing = damage.is_none_or(|damage| damage == Damage::Deleted);
        let entry = place.and_then(|(directory, name)| self.entry(&self.inode(*directory).ok()?, name).ok());
        entry.map_or(!is_missing, |entry| entry.is_some_and(|(inode, _)| inode == chunk.inode))
    }

    /// Takes note of an error if it is damage. No lock that `place` needs may be held.
    pub(in crate::volume) fn notice(&self, error: &Error, place: impl FnOnce() -> Option<Place>) {
        let Some((chunk, damage)) = parts(error) else { return };
        let until = match damage {
            None | Some(Damage::Deleted | Damage::RolledBack { .. }) => Listed::UntilOpened,
            Some(Damage::Replaced | Damage::Spoilt(_)) => Listed::UntilGone,
        };
        let mut state = self.findings.state.lock();
        if state.noticed.len() >= MOST || !state.noticed.insert(chunk) {
            return;
        }
        state.listed.insert(self.context.file_name(chunk), until);
        state.waiting.push((chunk, damage, None));
        drop(state);
        let place = place();
        let mut state = self.findings.state.lock();
        if let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.0 == chunk) {
            waiting.2 = place;
        }
        drop(state);
        self.findings.any.store(true, Ordering::Relaxed);
        self.flusher.report();
    }

    /// The chunk was opened.
    pub(in crate::volume) fn heal_opened(&self, chunk: ChunkId) {
        self.heal(chunk, |listed| listed == Listed::UntilOpened);
    }

    /// The chunk is wanted no more.
    pub(in crate::volume) fn heal_gone(&self, chunk: ChunkId) {
        self.heal(chunk, |_| true);
    }

    fn heal(&self, chunk: ChunkId, is_healed: impl Fn(Listed) -> bool) {
        if !self.findings.any.load(Ordering::Relaxed) {
            return;
        }
        let file = self.context.file_name(chunk);
        let mut state = self.findings.state.lock();
        if state.listed.get(&file).is_some_and(|listed| is_healed(*listed)) {
            state.listed.remove(&file);
            state.noticed.remove(&chunk);
            state.waiting.retain(|waiting| waiting.0 != chunk);
            state.healed.insert(file);
            self.findings.any.store(!state.listed.is_empty(), Ordering::Relaxed);
            drop(state);
            self.flusher.report();
        }
    }

    /// An error as the owner is told of it; `None` if it is no damage.
    pub(in crate::volume) fn finding(&self, error: &Error, place: Option<Place>) -> Option<Finding> {
        let (chunk, damage) = parts(error)?;
        let path = place.and_then(|place| self.path_of(place));
        Some(Finding { chunk, file: self.context.file_name(chunk), path, damage })
    }

    /// A name's path, by the links of the directories above it. `None` if one of them cannot be read.
    pub(in crate::volume) fn path_of(&self, (directory, name): Place) -> Option<Vec<u8>> {
        let (mut names, mut at, mut passed) = (vec![name], directory, HashSet::new());
        while at != InodeId::ROOT {
            if !passed.insert(at) {
                return None;
            }
            let inode: Arc<Inode> = self.inode(at).ok()?;
            let link = inode.view(|record| record.extension.links.first().cloned())?;
            names.push(link.name.to_vec());
            at = link.parent;
        }
        names.reverse();
        Some(names.join(&b'/'))
    }
}

/// What an error says of a chunk, as a [`Finding`] has it; `None` if it is no damage.
fn parts(error: &Error) -> Option<(ChunkId, Option<Damage>)> {
    match error {
        Error::Damaged(chunk, damage) => Some((*chunk, Some(damage.clone()))),
        Error::NotArrived(chunk) => Some((*chunk, None)),
        _ => None,
    }
}
