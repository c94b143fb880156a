//! Chunk files that are nowhere but in copies: some clients rename both versions of a file, or keep a copy of what another
//! device deleted. One of them takes the place; with the others it is merged as ever.

use super::Merge;
use crate::chunk::ChunkId;
use crate::store::CopyName;
use crate::volume::Result;
use crate::volume::inode::entries::Entries;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Merge {
    /// Chunk 0 comes before what its chunk table names. Whatever cannot be restored stays as it is.
    pub(super) fn restore_absent(&self, copies: &[(ChunkId, CopyName)]) -> Result<()> {
        let mut ids: Vec<ChunkId> = copies.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            if self.catalog.is_there(id)? || mutants::is_active(Mutant::AbsentLeft) {
                continue;
            }
            let found = if id.index.is_first() {
                self.absent_first(id, copies)
            } else {
                self.absent_extra(id, copies)
            };
            match found {
                Ok(Some(copy)) => {
                    let is_early = self.catalog.restore_copy(copy)?;
                    self.waits_briefly.fetch_or(is_early, Ordering::Relaxed);
                    if !is_early {
                        // Memory may have another one, and the store's watch does not tell of what this device puts there.
                        self.base.note_untold(id.inode);
                    }
                }
                Ok(None) => {}
                Err(error) if error.is_damage() => log::debug!("{id:?} is not restored: {error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Every device takes the same one. A file that was deleted here is not restored here: another device that changed it does so. A
    /// directory is where it has names that were not known then, and is given back.
    fn absent_first<'a>(
        &self,
        id: ChunkId,
        copies: &'a [(ChunkId, CopyName)],
    ) -> Result<Option<&'a CopyName>> {
        let Some((chunk, copy)) = self.catalog.newest_copy(id, copies) else { return Ok(None) };
        let inode = Arc::new(Inode::new(id.inode, self.cache.read_other(id.inode, chunk)?, true));
        if let Some(tombstone) = self.tombstone(id.inode) {
            let state = inode.state.read();
            let has_more = |entries: &Entries| entries.directory.has_entries_beyond(&tombstone);
            let is_wanted = state.entries.as_deref().is_some_and(has_more);
            self.waits_briefly.fetch_or(is_wanted, Ordering::Relaxed);
            return Ok((is_wanted && !mutants::is_active(Mutant::DeletedFolderLeft)).then_some(copy));
        }
        // Of several versions the newest is another device's, which may have removed it without this device's.
        let is_own = |(_, version): (_, State)| version.record.content.device == self.base.context.device;
        let has_own = || self.others(id.inode, copies, &[]).any(is_own);
        let is_wanted = inode.is_directory()
            || self.is_named(&inode) == Some(true)
            || has_own() && !mutants::is_active(Mutant::OwnCopyLeft);
        Ok(is_wanted.then_some(copy))
    }

    fn absent_extra<'a>(
        &self,
        id: ChunkId,
        copies: &'a [(ChunkId, CopyName)],
    ) -> Result<Option<&'a CopyName>> {
        let inode = self.cache.inode(id.inode)?;
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        self.cache.open_first_chunk(&inode, &mut state)?;
        state.load_table(id.index)?;
        let Some(named) = state.table.stamp(id.index) else { return Ok(None) };
        Ok(self.fitting_copy(id, named, &state.record, copies).map(|(copy, ..)| copy))
    }
}
