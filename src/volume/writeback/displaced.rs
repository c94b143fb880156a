//! Content that gives way: a sync client put another device's version in the place of a file that was written here and is
//! not stored yet. That version is shown from then on, and what was written is saved beside it, as merging does with every
//! version that lost its place.

use super::Writeback;
use crate::chunk::{Chunk, ChunkId, ChunkIndex, Commit, DeviceId, InodeId, Relation};
use crate::volume::base::Aside;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Damage, Error, Kind, Result};
use std::sync::Arc;

/// What became of content that was to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaveWay {
    /// Nothing that could take its place is there.
    Not,
    /// It waits to be saved, and is not durable.
    Unsaved,
    /// It waits to be saved, and the next checkpoint batch has it.
    Aside,
    /// All of it had been stored.
    Stored,
}

impl Writeback {
    /// Goes on with what a client put in the place of a file, directories aside. If its content is set aside, a
    /// checkpoint batch is to follow within a checkpoint that has committed its own already.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if what is not stored cannot be read from the own journal, or not
    /// be committed to what is pinned; [`Error::NoSpace`]; the store's. Nothing gave way then.
    pub fn give_way(&self, inode: &Arc<Inode>) -> Result<GaveWay> {
        let id = ChunkId::first(inode.id());
        let _serial = inode.serial.lock();
        // An operation that changes names counts on what it loaded.
        let _names = self.journal.names();
        let mut state = inode.state.write();
        let is_wanted = state.lost.is_none() && state.recorded && state.record.links_count > 0;
        if !is_wanted || state.record.kind == Kind::Directory || mutants::is_active(Mutant::UnstoredDropped) {
            return Ok(GaveWay::Not);
        }
        let found = match self.cache.load_anew(inode, false) {
            Err(error) if error.is_damage() => return Ok(GaveWay::Not),
            found => found?,
        };
        // What is known already is no other device's work: an attacker may put it there.
        let is_news =
            matches!(found.version().compare(state.version()), Relation::Newer | Relation::Concurrent);
        if found.record.kind != state.record.kind || !is_news {
            return Ok(GaveWay::Not);
        }
        let is_large = !state.table.is_empty() || !state.extra_chunks.is_empty();
        let is_acknowledged = state.progress.carried > 0
            && !state.is_carryable()
            && !mutants::is_active(Mutant::AcknowledgedGaveWay);
        let acknowledged = if is_acknowledged { self.told_by_batch(inode, true)? } else { None };
        let line = state.version().0.clone();
        let is_pinned = is_large && state.has_unstored_content() && self.finish_in_pins(inode, &mut state)?;
        let open: Vec<ChunkIndex> = state.extra_chunks.from(ChunkIndex::FIRST).collect();
        let stamp = self.base.stamp();
        if let Some((record, content)) = acknowledged {
            let aside = Aside { commit: stamp.commit, record, content };
            self.base.withheld.lock().set_aside(inode.id(), aside);
        }
        let stored =
            (!state.has_unstored_content()).then(|| self.take_replaced(&mut state, &found)).flatten();
        let (own, beside) = state.give_way(found, stamp);
        let own = own.filter(|_| !is_pinned);
        self.base.note_other_names(inode.id(), beside);
        self.cache.doubt(inode.id(), &state);
        self.base.note_untold(inode.id());
        if is_large && own.is_some() {
            // Both versions may have chunk files in common: nothing is written to them before this one is saved.
            state.hold_back(Error::Damaged(id, Damage::Replaced));
        }
        let outcome = match own {
            Some(own) => {
                log::info!(
                    "{id:?}: another device's version takes the place of what was not stored yet, which is saved beside it"
                );
                self.keep_displaced(inode, own, (stamp.commit, line))
            }
            None if is_pinned => GaveWay::Unsaved,
            None => GaveWay::Stored,
        };
        drop(state);
        stored.into_iter().for_each(|stored| self.keep_replaced(inode.id(), stored));
        open.into_iter().for_each(|index| self.cache.closed(ChunkId { index, ..id }));
        self.cache.gave_way(id);
        self.base.schedule.merge();
        Ok(outcome)
    }

    /// The chunk files of a large file, which its version may have in common with the one that took its place, are pinned as
    /// they were: what is not committed in them is now. Whether they are pinned.
    fn finish_in_pins(&self, inode: &Arc<Inode>, state: &mut State) -> Result<bool> {
        // Else what is pinned is a version from before the one that is open.
        let is_open = state.first_chunk.is_some() && state.is_pinned;
        if !is_open || !self.catalog.are_pinned_beside(inode.id(), state) {
            return Ok(false);
        }
        for index in state.busy_chunks() {
            if state.chunk(index).is_some_and(Chunk::is_dirty) {
                state.load_table(index)?;
                state.commit_stamped(index, self.base.stamp())?;
                state.chunk_mut(index).expect("it is busy").sync_rest()?;
            }
        }
        state.stamp_content(self.base.stamp());
        state.choose_exactness(true);
        let size = state.record.size;
        state.store_all(size)?;
        state.first_chunk_mut().commit()?;
        state.first_chunk_mut().sync_rest()?;
        Ok(true)
    }

    /// In the next batch, if a batch can carry it. `line`: the version of chunk 0 that it was written upon.
    fn keep_displaced(
        &self,
        inode: &Arc<Inode>,
        own: State,
        (commit, line): (Commit, Vec<(DeviceId, Commit)>),
    ) -> GaveWay {
        match own.first_chunk.as_deref().filter(|_| own.is_carryable()) {
            Some(first_chunk) => {
                let (mut record, content) = (own.record.clone(), first_chunk.inline().to_vec());
                record.extension.version = line;
                self.base.withheld.lock().set_aside(inode.id(), Aside { commit, record, content });
                GaveWay::Aside
            }
            None => {
                self.displaced.lock().push(Arc::new(Inode::new(inode.id(), own, true)));
                GaveWay::Unsaved
            }
        }
    }

    /// What this device had stored, where a client puts something else in its place that lacks it: while it is open it can be read. A
    /// client that looks for changes, and copies files some time later, makes no copy of what was written in between.
    pub fn take_replaced(&self, state: &mut State, found: &State) -> Option<State> {
        match mutants::is_active(Mutant::ReplacedDropped) {
            true => None,
            false => state.open_version(self.base.context.device, found),
        }
    }

    /// Has it be saved beside what took its place, as a client's copy of it would be.
    pub fn keep_replaced(&self, id: InodeId, own: State) {
        log::info!(
            "{id:?}: another device's version took the place of what was stored here, which is saved beside it"
        );
        self.displaced.lock().push(Arc::new(Inode::new(id, own, true)));
        self.base.schedule.merge();
    }

    /// What waits in memory to be saved.
    pub fn displaced(&self) -> Vec<Arc<Inode>> {
        self.displaced.lock().clone()
    }

    pub fn is_displaced(&self, id: InodeId) -> bool {
        self.displaced.lock().iter().any(|inode| inode.id() == id)
    }

    /// It is saved, and what took its place can be used.
    ///
    /// # Errors
    ///
    /// As [`Writeback::give_up_displaced`].
    pub fn displaced_is_saved(&self, saved: &Arc<Inode>) -> Result<()> {
        let commit = saved.view(|record| record.content.commit);
        self.base.withheld.lock().merged(saved.id(), commit);
        self.give_up_displaced(saved)
    }

    /// What took its place can be used. What batches have of it waits to be merged.
    ///
    /// # Errors
    ///
    /// The store's, if what took its place cannot be loaded; damage to that is for who uses it.
    pub fn give_up_displaced(&self, saved: &Arc<Inode>) -> Result<()> {
        self.displaced.lock().retain(|inode| !Arc::ptr_eq(inode, saved));
        let Some(inode) = self.cache.peek(saved.id()) else { return Ok(()) };
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        if state.lost.is_none() {
            return Ok(());
        }
        self.cache.gave_way(ChunkId::first(saved.id()));
        match self.cache.load_anew(&inode, false) {
            Err(error) if error.is_damage() => Ok(()),
            loaded => {
                self.cache.put_loaded(&inode, &mut state, loaded?);
                Ok(())
            }
        }
    }
}
