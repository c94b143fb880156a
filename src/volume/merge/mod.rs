//! Merging what several devices did: copies that sync clients put beside chunk files, and directories that were joined.
//!
//! A copy goes once everything in it is durable in its chunk file, or in a file of its own; until then a crash only has
//! it done again. What cannot be read, or not be merged, stays as it is.

mod absent;
mod deletions;
mod displaced;
mod files;
mod misplaced;
mod nameless;
mod names;
mod newer;
mod pinned;
mod removal;
mod strays;
mod twins;
mod unseen;
mod withheld;

use crate::chunk::{Chunk, ChunkId, InodeId, Relation};
use crate::locks::{Mutex, Rank};
use crate::store::CopyName;
use crate::volume::base::{Base, Merging, threads};
use crate::volume::cache::Cache;
use crate::volume::catalog::{ABSENT_FOR, Brought, Catalog};
use crate::volume::data::Data;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::namespace::Namespace;
use crate::volume::writeback::Writeback;
use crate::volume::{Error, Kind, Record, Result};
use files::Beside;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub struct Merge {
    base: Arc<Base>,
    cache: Arc<Cache>,
    catalog: Arc<Catalog>,
    writeback: Arc<Writeback>,
    data: Arc<Data>,
    namespace: Arc<Namespace>,
    /// Names, each in its directory, that were given to versions which lost their place.
    saved: Mutex<Vec<(InodeId, Vec<u8>)>>,
    /// Held by whoever saves such a version: merging, or who removes the file.
    saving: Mutex<()>,
    /// Something waits that time alone brings.
    waits: AtomicBool,
    /// The same, and soon.
    waits_briefly: AtomicBool,
    /// Works in the background.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Merge {
    pub fn new(catalog: &Arc<Catalog>, data: &Arc<Data>, namespace: &Arc<Namespace>) -> Merge {
        Merge {
            base: data.base.clone(),
            cache: data.cache.clone(),
            catalog: catalog.clone(),
            writeback: data.writeback.clone(),
            data: data.clone(),
            namespace: namespace.clone(),
            saved: Mutex::new(Rank::Saved, Vec::new()),
            saving: Mutex::new(Rank::Saving, ()),
            waits: AtomicBool::default(),
            waits_briefly: AtomicBool::default(),
            thread: Mutex::new(Rank::Threads, None),
        }
    }

    /// How many versions that lost their place still stand beside the others.
    pub fn conflicts(&self) -> usize {
        let mut saved = self.saved.lock();
        // What cannot be looked at stays.
        saved.retain(|(directory, name)| {
            let there = self.cache.inode(*directory).and_then(|directory| self.cache.entry(&directory, name));
            !matches!(there, Ok(None))
        });
        saved.len()
    }

    /// Merges in the background whenever something says that there may be something, and once in any case: before it ends.
    /// To find that out all chunk files are listed, which a mount does not wait for. Each time `tell` is to tell whoever shows the
    /// volume what became another.
    pub fn start(self: &Arc<Merge>, tell: impl Fn() + Send + 'static) {
        let merge = Arc::downgrade(self);
        let base = self.base.clone();
        let work = move || {
            let (mut again, mut has_run) = (None, false);
            loop {
                let work = base.schedule.wait_for_merge(again);
                let Some(merge) = merge.upgrade() else { return };
                match work {
                    None if has_run => return,
                    Some(Merging::Names) => drop(merge.drop_outdated_or_tell()),
                    None | Some(Merging::All) => {
                        merge.run_or_warn();
                        (again, has_run) = (None, true);
                    }
                }
                let waits_until = merge.waits_for().map(|time| Instant::now() + time);
                again = again.into_iter().chain(waits_until).min();
                tell();
            }
        };
        let thread = std::thread::Builder::new().name("merge".into()).spawn(work);
        let thread = thread.inspect_err(|error| log::warn!("nothing is merged: {error}"));
        *self.thread.lock() = thread.ok();
    }

    /// How long what time alone brings takes at most.
    fn waits_for(&self) -> Option<Duration> {
        let late = self.waits.swap(false, Ordering::Relaxed).then_some(pinned::PATIENCE);
        self.waits_briefly.swap(false, Ordering::Relaxed).then_some(ABSENT_FOR).or(late)
    }

    /// Ends with the flusher; waits for that.
    pub fn end(&self) {
        let thread = self.thread.lock().take();
        thread.into_iter().for_each(|thread| threads::join(thread, "merging"));
    }

    fn run_or_warn(&self) {
        if let Err(error) = self.run() {
            // A sync client moves files meanwhile.
            let is_moved = matches!(&error, Error::Store(error) if error.kind() == ErrorKind::NotFound);
            let (level, waits) = match is_moved || error.is_exchange() {
                true => (log::Level::Info, &self.waits_briefly),
                false => (log::Level::Warn, &self.waits),
            };
            log::log!(level, "what other devices did is not merged yet, and is tried again: {error}");
            waits.store(true, Ordering::Relaxed);
        }
    }

    /// Makes everything durable in its place, with the names that joining takes, and what memory alone has, or the journal: at
    /// the next mount there may be less that it can be saved beside.
    ///
    /// # Errors
    ///
    /// As [`Writeback::finish`] and [`Merge::run`].
    pub fn finish(&self) -> Result<()> {
        self.writeback.finish()?;
        let is_in_memory = !self.writeback.displaced().is_empty();
        let is_aside =
            !mutants::is_active(Mutant::AsideLeftAtEnd) && self.base.withheld.lock().has_any_aside();
        if is_in_memory {
            self.run()?;
        } else if is_aside {
            // What cannot be saved now stays in the journal.
            self.run_or_warn();
        }
        if self.put_right()? || is_in_memory || is_aside {
            self.writeback.finish()?;
        }
        for lost in self.writeback.displaced() {
            log::error!(
                "{:?}: what was written to it and gave way to another device's version is lost",
                lost.id()
            );
        }
        Ok(())
    }

    /// Puts names right after what was joined within checkpoints; whether there was anything.
    fn put_right(&self) -> Result<bool> {
        let joined = self.writeback.take_joined();
        joined.iter().try_for_each(|(directory, joined)| self.put_names_right(directory, joined))?;
        Ok(self.drop_outdated_or_tell() || !joined.is_empty())
    }

    /// A link count that is too large keeps nobody from anything.
    fn drop_outdated_or_tell(&self) -> bool {
        self.drop_outdated().unwrap_or_else(|error| {
            log::info!("names that are gone are still counted: {error}");
            false
        })
    }

    /// Merges what there is.
    ///
    /// # Errors
    ///
    /// Those of reading, storing and removing what is merged; the next call does it again. A copy that is damaged is
    /// left as it is.
    pub fn run(&self) -> Result<()> {
        if self.base.read_only {
            return Ok(());
        }
        if self.catalog.expects_leftovers() {
            // What was deleted before a crash is not to be taken for something that is there.
            self.writeback.checkpoint()?;
        }
        self.put_right()?;
        let (mut merged, Brought { copies, returned }) = (Vec::new(), self.catalog.brought()?);
        let pins = self.catalog.all_pins();
        self.restore_absent(&copies)?;
        self.exchange_older(&copies)?;
        self.put_in_place(&copies, &pins)?;
        let are_named = self.name_withheld(&copies)?;
        for (id, copy) in &copies {
            let pins = pins.get(&id.inode).map_or(&[][..], Vec::as_slice);
            let beside = Beside { copies: &copies, pins, is_pinned: false };
            match self.merge_copy(*id, copy, beside, &mut merged) {
                Ok(true) => merged.push(copy.clone()),
                Ok(false) => {}
                Err(error) if error.is_damage() => {
                    log::info!("a sync client's copy of {} is left as it is: {error}", copy.of.path());
                }
                Err(error) => return Err(error),
            }
        }
        self.base.schedule.leave_copies(merged.len() < copies.len());
        let aside = self.merge_aside(None, &copies)?;
        let displaced = self.merge_displaced(&copies, &pins)?;
        self.keep_needed(&copies, &mut merged)?;
        let strays = self.strays(&copies, &pins, &merged)?;
        let saved = self.merge_pins(pins, &copies)?;
        let mut revived = Vec::new();
        self.give_back(returned, &mut revived)?;
        let not_nameless = self.name_nameless(&copies)?;
        let is_at_rest = merged.is_empty()
            && strays.is_empty()
            && revived.is_empty()
            && saved.is_empty()
            && not_nameless.is_empty();
        if is_at_rest && aside.is_empty() && displaced.is_empty() && !are_named {
            return Ok(());
        }
        self.writeback.sync_all()?;
        if self.replace_pins(saved)? {
            self.writeback.sync_all()?;
        }
        self.are_saved(aside);
        for lost in &displaced {
            self.writeback.displaced_is_saved(lost)?;
            let version = lost.state.read().version().clone();
            self.go_on_without(ChunkId::first(lost.id()), &version)?;
        }
        // A directory may have become one with another since.
        let lives = |id: &ChunkId| self.cache.inode(id.inode).is_ok_and(|inode| inode.view(has_names));
        let lives = |id: &ChunkId| lives(id) || mutants::is_active(Mutant::UnitedRevived);
        for id in revived.into_iter().filter(lives) {
            self.base.context.recall.revived(id);
            if !mutants::is_active(Mutant::RevivedForgotten) {
                // Who gave it the name that it has may take that away, and does not know that it had none.
                self.base.context.recall.may_be_nameless(id.inode);
            }
        }
        not_nameless.into_iter().for_each(|id| self.base.context.recall.not_nameless(id));
        for (id, copy) in copies.iter().filter(|(_, copy)| merged.contains(copy)) {
            if id.index.is_first()
                && let Ok(Some(chunk)) = self.open_copy(*id, copy)
            {
                self.go_on_without(*id, chunk.version())?;
            }
            log::info!("all of a sync client's copy of {} is in its place: it is removed", copy.of.path());
            self.catalog.remove_copy(copy)?;
        }
        for copy in strays {
            log::info!(
                "a sync client's copy of {} is of a version that is over: it is removed",
                copy.of.path()
            );
            self.catalog.remove_copy(&copy)?;
        }
        self.catalog.sync_unlinks()
    }

    /// Whether all that the copy says is in its place once everything is durable. Others that are then are put into
    /// `merged`.
    fn merge_copy(
        &self,
        id: ChunkId,
        copy: &CopyName,
        beside: Beside<'_>,
        merged: &mut Vec<CopyName>,
    ) -> Result<bool> {
        let Some(chunk) = self.open_copy(id, copy)? else { return Ok(false) };
        if !id.index.is_first() {
            return Ok(self.is_same_extra(id, &chunk)? && self.is_done_with(copy)?);
        }
        if mutants::is_active(Mutant::CopyRemovedUnmerged) {
            return Ok(true);
        }
        let version = chunk.version().clone();
        let other = self.cache.read_other(id.inode, chunk)?;
        if self.was_deleted_knowing(id, &other)? {
            return Ok(true);
        }
        if self.was_own_beside_deleted(id, &other)? {
            let mut used = Vec::new();
            let lost = self.as_inode(id.inode, other, beside, &mut used)?;
            let is_saved = self.save_beside(&lost, &lost)?;
            merged.extend(used.into_iter().filter(|_| is_saved));
            return Ok(is_saved);
        }
        let inode = self.cache.inode(id.inode)?;
        // A client that puts a version aside may not have put the other one in its place yet.
        if !mutants::is_active(Mutant::MergedAbsent) && !self.is_in_place(&inode)? {
            return Ok(false);
        }
        if inode.state.read().version().compare(&version) == Relation::Equal && !self.is_done_with(copy)? {
            return Ok(false);
        }
        match (inode.is_directory(), other.record.kind == Kind::Directory) {
            (true, true) => self.merge_directory(&inode, other),
            (false, false) if self.has_gone_on(&inode, &other, beside.copies, beside.pins)? => {
                self.take_place_of_torn(&inode, (other, beside), &|first, there| {
                    let chunk = self.open_copy(first, copy)?.ok_or(Error::NotArrived(first))?;
                    self.catalog.exchange_copy(copy, chunk, there)
                })?;
                Ok(false)
            }
            (false, false) if self.is_for_its_writer(&inode, &other, copy)? => Ok(false),
            (false, false) => {
                let mut used = Vec::new();
                let is_merged = self.merge_file(&inode, other, beside, &mut used)?;
                merged.extend(used.into_iter().filter(|_| is_merged));
                Ok(is_merged)
            }
            _ => Ok(false),
        }
    }

    /// Whether a copy that has other names only is another device's, and new: if both gave the file both names at the same time, these
    /// would be two versions again.
    fn is_for_its_writer(&self, inode: &Arc<Inode>, other: &State, copy: &CopyName) -> Result<bool> {
        let is_own = other.version().0.first().is_none_or(|entry| entry.0 == self.base.context.device);
        let has_more = |record: &Record| {
            record.content != other.record.content || record.extension.links == other.record.extension.links
        };
        if is_own || inode.view(has_more) || mutants::is_active(Mutant::BothUnite) {
            return Ok(false);
        }
        Ok(!self.is_done_with(copy)?)
    }

    /// Whether a copy of the very version that is in place has been there long enough. On the device that made it, another
    /// version has the place, and a client may bring that here, where it sees no change of what it replaces.
    fn is_done_with(&self, copy: &CopyName) -> Result<bool> {
        let is_done = self.base.context.store.age_of_copy(copy)? >= pinned::PATIENCE;
        self.waits.fetch_or(!is_done, Ordering::Relaxed);
        Ok(is_done || mutants::is_active(Mutant::EqualCopyRemoved))
    }

    /// What becomes of these now nobody asked for: whoever shows them is to be told.
    fn about_to_change(&self, inodes: &[&Arc<Inode>]) {
        for inode in inodes.iter().filter(|_| !mutants::is_active(Mutant::MergedUntold)) {
            inode.state.write().note_shown();
            self.base.note_untold(inode.id());
        }
    }

    /// None if it is no file, or cannot be opened.
    fn open_copy(&self, id: ChunkId, copy: &CopyName) -> Result<Option<Chunk>> {
        let file = match self.base.context.store.open_copy(copy) {
            Ok(file) => file,
            Err(error) => {
                log::debug!("a sync client's copy of {} cannot be opened: {error}", copy.of.path());
                return Ok(None);
            }
        };
        let blocks = self.base.geometry.blocks(id.index);
        Ok(Some(Chunk::open_file(&self.base.context, id, blocks, file, None)?))
    }

    fn merge_directory(&self, directory: &Arc<Inode>, other: State) -> Result<bool> {
        let parents = |record: &Record| record.extension.links.first().map(|link| link.parent);
        let parents = directory.view(parents).into_iter().chain(parents(&other.record)).collect();
        let Some(joined) = self.writeback.join_beside(directory, other)? else { return Ok(false) };
        self.put_names_right(directory, &joined)?;
        _ = self.keep_one_place(directory, &parents)?;
        Ok(true)
    }

    /// Whether the chunk in its place is of the same change of content.
    fn is_same_extra(&self, id: ChunkId, copy: &Chunk) -> Result<bool> {
        let there = Chunk::open(&self.base.context, id, self.base.geometry.blocks(id.index))?;
        Ok(there.record() == copy.record())
    }
}

fn has_names(record: &Record) -> bool {
    record.links_count > 0
}
