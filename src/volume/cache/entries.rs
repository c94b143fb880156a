//! Directory entries of inodes in memory, and what else takes an inode that is loaded first.

use super::Cache;
use crate::chunk::{ChunkIndex, InodeId};
use crate::volume::format::kinds::Kind;
use crate::volume::format::limits::NAME_MAX;
use crate::volume::inode::state::Inode;
use crate::volume::{Error, Result, Visit};
use hashbrown::HashSet;
use std::sync::Arc;

impl Cache {
    /// What a name in a directory stands for; `None` if there is no such name.
    ///
    /// # Errors
    ///
    /// [`Error::NameTooLong`] beyond 255 bytes; as [`Cache::load_entries`].
    pub fn entry(&self, directory: &Arc<Inode>, name: &[u8]) -> Result<Option<(InodeId, Kind)>> {
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        self.load_entries(directory)?;
        let state = directory.state.read();
        let entries = state.entries.as_ref().ok_or(Error::NotDirectory)?;
        Ok(entries.directory.get(name).map(|entry| (entry.inode, entry.kind)))
    }

    /// Visits the entries that follow a cookie in a listing (0: all), until `visit` answers false; the newest come first,
    /// so that one added meanwhile is not met. Cookies are at least 256 (docs/FORMAT.md section 8).
    ///
    /// # Errors
    ///
    /// As [`Cache::load_entries`]; nothing was visited then.
    pub fn read_directory(&self, directory: &Arc<Inode>, after: u64, visit: &mut Visit<'_>) -> Result<()> {
        self.load_entries(directory)?;
        let state = directory.state.read();
        let entries = state.entries.as_ref().ok_or(Error::NotDirectory)?;
        for entry in entries.directory.iter_after(after) {
            if !visit(entry.cookie, entry.name, entry.inode, entry.kind) {
                break;
            }
        }
        Ok(())
    }

    /// The directory that a directory lies in; the root lies in itself.
    ///
    /// # Errors
    ///
    /// As [`Cache::inode`].
    pub fn parent(&self, directory: &Arc<Inode>) -> Result<Arc<Inode>> {
        match directory.view(|record| record.extension.links.first().map(|link| link.parent)) {
            Some(parent) => self.inode(parent),
            None => Ok(directory.clone()),
        }
    }

    /// Whether names lead from the root to a directory, as far as can be told.
    pub fn is_reached(&self, directory: InodeId) -> bool {
        let (mut at, mut passed) = (directory, HashSet::new());
        while at != InodeId::ROOT && passed.insert(at) {
            let above = self.inode(at).and_then(|inode| {
                let Some(link) = inode.view(|record| record.extension.links.first().cloned()) else {
                    return Ok(None);
                };
                let parent = self.inode(link.parent)?;
                self.load_entries(&parent)?;
                let is_named = !parent.state.read().directory().places(&[at].into()).is_empty();
                Ok(is_named.then_some(link.parent))
            });
            match above {
                Ok(Some(above)) => at = above,
                Ok(None) => return false,
                Err(error) => return !error.is_absence(),
            }
        }
        true
    }

    /// The numbers of its chunks but the first.
    ///
    /// # Errors
    ///
    /// As [`Cache::inode`] and [`Cache::open_first_chunk`]; those of reading the chunk table.
    pub fn extra_indices(&self, id: InodeId) -> Result<Vec<ChunkIndex>> {
        let inode = self.inode(id)?;
        let mut state = inode.state.write();
        self.open_first_chunk(&inode, &mut state)?;
        state.named_chunks(ChunkIndex::FIRST_EXTRA)
    }
}
