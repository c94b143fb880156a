//! What sync clients bring that no entry leads to: copies beside chunk files, of versions that lost a place to another
//! one, and files of inodes that were deleted here.

use super::Catalog;
use crate::chunk::{ChunkId, InodeId, Tombstone};
use crate::store::{Area, CopyName, FileName};
use crate::volume::Result;

/// Copies of one chunk that are looked at: those with the greatest names, which most often tell the time.
const MOST: usize = 64;

/// What may have to be merged.
#[derive(Default)]
pub struct Brought {
    /// What may be copies of chunk files, those of one chunk together: whether one is, it says when it is opened.
    pub copies: Vec<(ChunkId, CopyName)>,
    /// The inodes that were deleted here and of which there is a chunk 0 again.
    pub returned: Vec<(InodeId, Tombstone)>,
}

impl Catalog {
    pub fn brought(&self) -> Result<Brought> {
        let (context, mut brought) = (&self.base.context, Brought::default());
        context.store.list(Area::Chunks, &mut |path, is_file| {
            if !is_file {
                return;
            }
            if let Some(name) = FileName::parse(Area::Chunks, path) {
                let first = context.identify(name).filter(|id| id.index.is_first());
                let tombstone = first.and_then(|id| Some((id.inode, context.recall.tombstone(id)?)));
                brought.returned.extend(tombstone);
            } else if let Some(copy) = CopyName::parse(path) {
                brought.copies.extend(context.identify(copy.of).map(|id| (id, copy)));
            }
        })?;
        brought.copies.sort_unstable();
        brought.copies.reverse();
        let (mut last, mut count) = (None, 0);
        brought.copies.retain(|(id, _)| {
            count = if last.replace(*id) == Some(*id) { count + 1 } else { 1 };
            count <= MOST
        });
        Ok(brought)
    }

    /// Removes a copy: all of it is in the chunk file. The next checkpoint makes that durable.
    pub fn remove_copy(&self, copy: &CopyName) -> Result<()> {
        self.base.context.store.remove_copy(copy)?;
        self.unsynced_unlinks.lock().push(copy.of);
        Ok(())
    }
}
