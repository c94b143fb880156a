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
    /// on saying so until all of them are here: it would name those that it was written upon.
    pub(super) fn stamp_content(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        if !state.wants_content_stamp() {
            return Ok(());
        }
        let is_changed = state.stamps.content_changed || !state.table.is_stored();
        let (newer, are_there) = self.newer_chunks(inode, state)?;
        if is_changed || are_there || mutants::is_active(Mutant::AbsentNamed) {
            newer.into_iter().for_each(|(index, stamp)| state.found_newer(index, stamp));
            state.stamp_content(self.base.stamp());
        }
        Ok(())
    }

    /// Where chunk 0 was found saying that extra chunks may be newer, its table takes over what they are.
    fn take_newer(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        let (newer, _) = self.newer_chunks(inode, state)?;
        newer.into_iter().for_each(|(index, stamp)| state.found_newer(index, stamp));
        Ok(())
    }

    /// What extra chunks were found to be that chunk 0 does not name; whether all are there. What is damaged or on its way is told when
    /// it is read.
    fn newer_chunks(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
    ) -> Result<(Vec<(ChunkIndex, Commit)>, bool)> {
        let (mut newer, mut are_there) = (Vec::new(), true);
        if state.stamps.found_inexact && !mutants::is_active(Mutant::NewerNotNamed) {
            for index in state.named_chunks(ChunkIndex::FIRST_EXTRA)? {
                let id = ChunkId { inode: inode.id(), index };
                let named = state.table.stamp(index).unwrap_or_default();
                let opened = || self.cache.open_extra(id, named, &state.record).map(|(_, stamp)| stamp);
                let found = Error::unless_damage(state.stamp_of_open(index).unwrap_or_else(opened))?;
                // A client may have replaced it since it was found.
                let found = found.max(self.catalog.stamp_of_pinned(id, named, state));
                are_there &= found.is_some();
                newer.extend(found.filter(|stamp| *stamp > named).map(|stamp| (index, stamp)));
            }
        }
        Ok((newer, are_there))
    }
}
