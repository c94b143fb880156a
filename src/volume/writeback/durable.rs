//! Making files and their names durable, many at once or one by one.

use super::Writeback;
use crate::chunk::{self, ChunkIndex, InodeId};
use crate::volume::base::SYNC_ALL_ABOVE;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::io;
use std::sync::Arc;

/// A file that was written and not synced yet, or whose name was not.
pub struct Unsynced<'a> {
    pub inode: &'a Arc<Inode>,
    pub index: ChunkIndex,
    pub sync: Option<chunk::Sync>,
}

impl Writeback {
    /// Syncs files and, where they are new, their names. Returns the inodes whose files had lost their names.
    ///
    /// # Errors
    ///
    /// The first of the store's. Then any of them may not be durable, and a chunk whose fdatasync failed has to be
    /// recovered.
    pub fn make_durable(&self, unsynced: Vec<Unsynced<'_>>) -> Result<Vec<(InodeId, Error)>> {
        if unsynced.is_empty() {
            return Ok(Vec::new());
        }
        let together = unsynced.len() > SYNC_ALL_ABOVE && self.base.context.store.sync_all_is_complete();
        let all = if together { self.base.context.store.sync_all() } else { Ok(()) };
        if !together && unsynced.len() > 1 {
            unsynced.iter().filter_map(|unsynced| unsynced.sync.as_ref()).for_each(chunk::Sync::start);
        }
        let mut names = Vec::new();
        let mut results = Ok(());
        let mut finished = Vec::with_capacity(unsynced.len());
        let mut damaged = Vec::new();
        for Unsynced { inode, index, sync } in unsynced {
            let outcome = match &sync {
                Some(sync) if !together && !mutants::is_active(Mutant::DataNotSynced) => sync.run(),
                _ => copy_of(&all),
            };
            let mut state = inode.state.write();
            let Some(chunk) = state.chunk_mut(index) else { continue };
            if chunk.is_name_new() {
                names.push(self.base.context.file_name(chunk.id()));
            }
            let synced = match sync {
                Some(sync) => chunk.finish_sync(sync, outcome).map_err(Error::from),
                None => outcome.map_err(Error::from),
            };
            match synced {
                Err(error) if error.is_damage() => damaged.push((inode.id(), error)),
                synced => {
                    results = results.and(synced);
                    finished.push((inode, index));
                }
            }
        }
        results?;
        if !together && !mutants::is_active(Mutant::NamesNotSynced) {
            self.base.sync_names(&names)?;
        }
        for (inode, index) in finished {
            let mut state = inode.state.write();
            if let Some(chunk) = state.chunk_mut(index) {
                chunk.name_synced();
            }
            if index.is_first() {
                state.first_chunk_named();
                if let Some(first) = state.first_chunk.as_deref() {
                    self.base.stand_ins.lock().is_durable(inode.id(), first.durable());
                }
            }
        }
        Ok(damaged)
    }
}

fn copy_of(outcome: &io::Result<()>) -> io::Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => {
            Err(error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error))
        }
    }
}
