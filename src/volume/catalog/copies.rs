//! What sync clients bring that no entry leads to: copies beside chunk files, of versions that lost a place to another
//! one, and files of inodes that were deleted here.

use super::Catalog;
use crate::chunk::{ChunkId, InodeId, Tombstone};
use crate::store::{Area, CopyName, FileName};
use crate::volume::Result;

/// Copies of one chunk that are looked at: those with the greatest names, which most often tell the time.
const MOST: usize = 64;

impl Catalog {
    /// What may be copies of chunk files, those of one chunk together: whether one is, it says when it is opened.
    pub fn copies(&self) -> Result<Vec<(ChunkId, CopyName)>> {
        let mut found = Vec::new();
        self.base.context.store.list(Area::Chunks, &mut |path, is_file| {
            let copy = CopyName::parse(path).filter(|_| is_file);
            found.extend(copy.and_then(|copy| Some((self.base.context.identify(copy.of)?, copy))));
        })?;
        found.sort_unstable();
        found.reverse();
        let (mut last, mut count) = (None, 0);
        found.retain(|(id, _)| {
            count = if last.replace(*id) == Some(*id) { count + 1 } else { 1 };
            count <= MOST
        });
        Ok(found)
    }

    /// The inodes that were deleted here and of which there is a chunk 0 again.
    pub fn returned(&self) -> Result<Vec<(InodeId, Tombstone)>> {
        let mut found = Vec::new();
        self.base.context.store.list(Area::Chunks, &mut |path, is_file| {
            let id = FileName::parse(Area::Chunks, path).filter(|_| is_file);
            let id = id.and_then(|name| self.base.context.identify(name)).filter(|id| id.index == 0);
            let tombstone = id.and_then(|id| Some((id.inode, self.base.context.recall.tombstone(id)?)));
            found.extend(tombstone);
        })?;
        Ok(found)
    }

    /// Removes a copy: all of it is in the chunk file. The next checkpoint makes that durable.
    pub fn remove_copy(&self, copy: &CopyName) -> Result<()> {
        self.base.context.store.remove_copy(copy)?;
        self.unsynced_unlinks.lock().push(copy.of);
        Ok(())
    }
}
