//! What chunk 0 says of the extra chunks' versions while a file is written, and afterwards (docs/FORMAT.md section 7).

use super::Writeback;
use super::durable::Unsynced;
use super::flush::Flush;
use crate::chunk::{ChunkId, ChunkIndex};
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

    /// Gives changed content a new stamp.
    pub(super) fn stamp_content(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        if !state.wants_content_stamp() {
            return Ok(());
        }
        self.take_newer(inode, state)?;
        state.stamp_content(self.base.stamp());
        Ok(())
    }

    /// Where chunk 0 was found saying that extra chunks may be newer, its table takes over what they are.
    fn take_newer(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        if state.stamps.found_inexact && !mutants::is_active(Mutant::NewerNotNamed) {
            for index in state.named_chunks(ChunkIndex::FIRST_EXTRA)? {
                let id = ChunkId { inode: inode.id(), index };
                let named = state.table.stamp(index).unwrap_or_default();
                let opened = || self.cache.open_extra(id, named, &state.record).map(|(_, stamp)| stamp);
                // What is damaged or on its way is told when it is read.
                let found = Error::unless_damage(state.stamp_of_open(index).unwrap_or_else(opened))?;
                found.filter(|stamp| *stamp > named).inspect(|stamp| state.found_newer(index, *stamp));
            }
        }
        Ok(())
    }
}
