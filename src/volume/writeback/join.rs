//! Joining a directory with another state of it: no name that only one of the two has is lost.
//!
//! The joined state is stored whole, in one commit of chunk 0 that includes both versions. What it came from stays until
//! that is durable.

use super::Writeback;
use crate::chunk::{Chunk, ChunkId, ChunkIndex, Relation, Tombstone, Version};
use crate::volume::format::wire::Malformed;
use crate::volume::inode::directory::Joined;
use crate::volume::inode::joining::Origin;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::sync::Arc;

/// How often a directory's changes are put into a batch, to find it with none under way.
const TRIES: usize = 20;

impl Writeback {
    /// Joins a directory with a state of it that lies beside. The next checkpoint stores what comes of it. None: changes of
    /// it are under way all the time.
    ///
    /// # Errors
    ///
    /// [`Error::NotDirectory`]; [`Error::Damaged`] or [`Error::NotArrived`] if it cannot be read, or be joined with
    /// that state; as [`Writeback::commit`].
    pub fn join_beside(&self, directory: &Arc<Inode>, other: State) -> Result<Option<Joined>> {
        self.change_beside(directory, |state, known| state.join_directory(other, Origin::Beside, known))
    }

    /// Takes away the entries that were known when a directory was deleted here. None, and what is stored: as above.
    ///
    /// # Errors
    ///
    /// As [`Writeback::join_beside`].
    pub fn bury_known(&self, directory: &Arc<Inode>, tombstone: &Tombstone) -> Result<Option<Joined>> {
        self.change_beside(directory, |state, _| state.bury_known(tombstone))
    }

    fn change_beside(
        &self,
        directory: &Arc<Inode>,
        change: impl FnOnce(&mut State, Option<&Version>) -> std::result::Result<Joined, Malformed>,
    ) -> Result<Option<Joined>> {
        self.cache.load_entries(directory)?;
        let joined = self.change_at_rest(directory, Origin::Beside, change, |writeback| {
            // Segments that a crash leaves are looked for.
            match writeback.journal.is_in_use() {
                true => writeback.commit(&[])?,
                false => writeback.commit_checkpoint_batch()?,
            }
            Ok(true)
        })?;
        if joined.is_some() {
            self.cache.queue(directory);
        }
        Ok(joined)
    }

    /// The same of one that a sync client has just put there, if it is not older than what is in memory. Whether anything
    /// was joined.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if what is there cannot be opened; as
    /// [`Writeback::join_in_place`].
    pub fn join_arrived(&self, directory: &Arc<Inode>) -> Result<bool> {
        if self.base.check_writable().is_err() || directory.state.read().entries.is_none() {
            return Ok(false);
        }
        let id = ChunkId::first(directory.id());
        let found = Chunk::open(&self.base.context, id, self.base.geometry.blocks(ChunkIndex::FIRST))?;
        let relation = found.version().compare(directory.state.read().version());
        match relation {
            Relation::Newer | Relation::Concurrent => self.join_in_place(directory),
            Relation::Equal | Relation::Older => Ok(false),
        }
    }

    /// Joins a directory in memory with the state that took the place of its file, and goes on with that. Within a
    /// checkpoint or outside of one. Whether it did; what it found is to be merged.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if the two cannot be joined; the store's; as [`Writeback::try_commit`]. That what is there
    /// is damaged is no error.
    pub fn join_in_place(&self, directory: &Arc<Inode>) -> Result<bool> {
        let id = ChunkId::first(directory.id());
        let found = Chunk::open(&self.base.context, id, self.base.geometry.blocks(ChunkIndex::FIRST))
            .map_err(Error::from);
        let other = match found.and_then(|found| self.cache.read_other(directory.id(), found)) {
            Err(error) if error.is_damage() => return Ok(false),
            other => other?,
        };
        let open: Vec<ChunkIndex> = directory.state.read().extra_chunks.from(ChunkIndex::FIRST).collect();
        let join =
            |state: &mut State, known: Option<&Version>| state.join_directory(other, Origin::InPlace, known);
        let commit = |writeback: &Writeback| writeback.try_commit(&[], !writeback.journal.is_in_use());
        let Some(joined) = self.change_at_rest(directory, Origin::InPlace, join, commit)? else {
            return Ok(false);
        };
        open.into_iter().for_each(|index| self.cache.closed(ChunkId { index, ..id }));
        self.cache.opened(directory, ChunkIndex::FIRST);
        self.cache.gave_way(id);
        if !mutants::is_active(Mutant::JoinedUnstored) {
            self.cache.queue(directory);
        }
        log::info!("{id:?}: what another device did here is joined");
        self.joined.lock().push((directory.clone(), joined));
        self.base.schedule.merge();
        Ok(true)
    }

    /// Of a directory without something that this device made in it: what is committed lacks nothing any more, so its vector tells
    /// under which id this device goes on there.
    pub(super) fn go_on_anew(&self, directory: &Arc<Inode>, state: &mut State) -> Result<()> {
        if !state.lacks_own || !state.is_dirty() || mutants::is_active(Mutant::AnewForgotten) {
            return Ok(());
        }
        if state.entries.is_none() {
            match self.cache.read_entries(directory, state) {
                // Nothing can be added to what cannot be read.
                Err(error) if error.is_damage() => return Ok(()),
                entries => state.entries_loaded(entries?),
            }
        }
        state.go_on_anew(self.base.author());
        Ok(())
    }

    /// What was joined within checkpoints since this was asked last.
    pub fn take_joined(&self) -> Vec<(Arc<Inode>, Joined)> {
        std::mem::take(&mut self.joined.lock())
    }

    /// Changes a directory while no change of its entries is under way. `change` gets what this device had made durable;
    /// `commit` makes pending changes durable, and answers whether it could.
    fn change_at_rest(
        &self,
        directory: &Arc<Inode>,
        origin: Origin,
        change: impl FnOnce(&mut State, Option<&Version>) -> std::result::Result<Joined, Malformed>,
        commit: impl Fn(&Writeback) -> Result<bool>,
    ) -> Result<Option<Joined>> {
        let id = ChunkId::first(directory.id());
        for _ in 0..TRIES {
            if !commit(self)? {
                return Ok(None);
            }
            let _serial = directory.serial.lock();
            let (_journal, _names) = (self.journal.file(), self.journal.names());
            let mut state = directory.state.write();
            // What is joined to a directory that was deleted here would go with it, as if it had been known.
            let is_deleted = state.record.links_count == 0 && !mutants::is_active(Mutant::DeletedJoined);
            if state.entries.is_none() || state.check_whole().is_err() || is_deleted {
                return Ok(None);
            }
            if !state.has_entries_at_rest() {
                continue;
            }
            if origin == Origin::Beside {
                self.cache.open_first_chunk(directory, &mut state)?;
            }
            let known = self.base.context.recall.known(id);
            let joined = change(&mut state, known.as_ref());
            if !mutants::is_active(Mutant::JoinedUntold) {
                self.base.note_untold(directory.id());
            }
            return joined.map(Some).map_err(|what| Error::Damaged(id, what.0.into()));
        }
        Ok(None)
    }
}
