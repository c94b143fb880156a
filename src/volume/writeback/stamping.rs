//! What chunk 0 says of the extra chunks' versions while a file is written, and afterwards (docs/FORMAT.md section 7).

use super::Writeback;
use super::durable::Unsynced;
use super::flush::Flush;
use crate::chunk::{ChunkId, ChunkIndex, Commit};
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::sync::Arc;

impl Writeback {
    /// Chunk 0 says that extra chunks may be newer, before one that it names is: so a crash can be told from a chunk that
    /// was put beside an older chunk 0.
    pub(super) fn announce<'a>(
        &self,
        flush: &mut Flush<'a>,
        state: &mut State,
        unsynced: &mut Vec<Unsynced<'a>>,
    ) -> Result<()> {
        if !state.wants_announcement() {
            return Ok(());
        }
        self.cache.open_first_chunk(flush.inode, state)?;
        self.take_newer(flush.inode, state)?;
        if state.announce(self.base.stamp())? {
            state.first_chunk_mut().commit()?;
            let sync = state.first_chunk_mut().start_sync()?;
            unsynced.push(Unsynced { inode: flush.inode, index: ChunkIndex::FIRST, sync });
        }
        Ok(())
    }

    /// Gives changed content a new stamp. Where none was changed, and chunk 0 was found saying that extra chunks may be newer, it goes
    /// on saying so until all of them are here: it would name those that it was written upon. So does another device's, which that
    /// device may be writing to still: it would be a version of its own, with chunks that are about to be overwritten.
    pub(super) fn stamp_content(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        if !state.wants_content_stamp() {
            return Ok(());
        }
        let is_changed = state.stamps.content_changed || !state.table.is_stored();
        let newer = self.newer_chunks(inode, state)?;
        if is_changed {
            newer.refuse_absent()?;
        }
        let is_own = state.record.content.device == self.base.context.device
            || mutants::is_active(Mutant::AnothersMadeExact);
        let is_due = is_changed || is_own && newer.are_there;
        if is_due || mutants::is_active(Mutant::AbsentNamed) {
            newer.take(state);
            state.stamp_content(self.base.stamp());
        }
        Ok(())
    }

    /// Refuses to change the content of a file whose chunk 0 was found saying that extra chunks may be newer, and of which one that
    /// begins before `size` is on its way, or of another version. It cannot be told what the change would be made upon: chunk 0 would name
    /// what the chunk was before, which its writer has overwritten.
    ///
    /// # Errors
    ///
    /// [`Error::NotArrived`] for such a one; those of reading the chunk table; the store's.
    pub fn check_arrived(&self, inode: &Arc<Inode>, state: &mut State, size: u64) -> Result<()> {
        // To look at all of them for each change would take too long: whoever stores it looks again.
        if !state.wants_whole() {
            return Ok(());
        }
        self.cache.open_first_chunk(inode, state)?;
        self.newer_chunks_before(inode, state, size)?.refuse_absent()?;
        if size >= state.record.size {
            state.saw_whole();
        }
        Ok(())
    }

    /// Where chunk 0 was found saying that extra chunks may be newer, its table takes over what they are.
    fn take_newer(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        let newer = self.newer_chunks(inode, state)?;
        newer.refuse_absent()?;
        newer.take(state);
        Ok(())
    }

    fn newer_chunks(&self, inode: &Arc<Inode>, state: &mut State) -> Result<Newer> {
        self.newer_chunks_before(inode, state, u64::MAX)
    }

    /// What is damaged is told when it is read.
    fn newer_chunks_before(&self, inode: &Arc<Inode>, state: &mut State, size: u64) -> Result<Newer> {
        let mut newer = Newer { found: Vec::new(), are_there: true, absent: None };
        if !state.stamps.found_inexact || mutants::is_active(Mutant::NewerNotNamed) {
            return Ok(newer);
        }
        let pins = self.catalog.pins_of(inode.id());
        let named = state.named_chunks(ChunkIndex::FIRST_EXTRA)?.into_iter();
        for index in named.filter(|index| self.base.geometry.start(*index) < size) {
            let id = ChunkId { inode: inode.id(), index };
            let named = state.table.stamp(index).unwrap_or_default();
            let opened = || self.cache.open_extra(id, named, &state.record).map(|(_, stamp)| stamp);
            // A client may have replaced it since it was found.
            let pinned = self.catalog.find_pinned(&pins, id, named, state).map(|(stamp, ..)| stamp);
            let pinned = pinned.filter(|_| !mutants::is_active(Mutant::PinnedUnnamed));
            let found = match state.stamp_of_open(index).unwrap_or_else(opened) {
                Err(error) if error.is_damage() => {
                    let is_absent = error.is_absence() || error.is_rolled_back();
                    newer.absent = newer.absent.or(Some(id).filter(|_| is_absent && pinned.is_none()));
                    pinned
                }
                found => Some(found?).max(pinned),
            };
            newer.are_there &= found.is_some();
            newer.found.extend(found.filter(|stamp| *stamp > named).map(|stamp| (index, stamp)));
        }
        Ok(newer)
    }
}

/// What extra chunks were found to be that chunk 0 does not name.
struct Newer {
    found: Vec<(ChunkIndex, Commit)>,
    /// All that it names are here.
    are_there: bool,
    /// One that is not here, or of another version.
    absent: Option<ChunkId>,
}

impl Newer {
    fn refuse_absent(&self) -> Result<()> {
        match self.absent {
            Some(id) if !mutants::is_active(Mutant::WrittenUponAbsent) => Err(Error::NotArrived(id)),
            _ => Ok(()),
        }
    }

    fn take(self, state: &mut State) {
        self.found.into_iter().for_each(|(index, stamp)| state.found_newer(index, stamp));
    }
}
