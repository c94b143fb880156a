//! What sync clients bring that no entry leads to: copies beside chunk files, of versions that lost a place to another
//! one, and files of inodes that were deleted here.

use super::Catalog;
use crate::chunk::{Chunk, ChunkId, InodeId, Tombstone, Version};
use crate::store::{Area, CopyName, FileName};
use crate::volume::{Error, Result};
use std::io::ErrorKind;
use std::time::Duration;

/// Copies of one chunk that are looked at: those with the greatest names, which most often tell the time.
const MOST: usize = 64;
/// How long a copy has to have been one before it takes a place that is empty.
pub const ABSENT_FOR: Duration = Duration::from_secs(10);

/// What may have to be merged.
#[derive(Default)]
pub struct Brought {
    /// What may be copies of chunk files, those of one chunk together: whether one is, it says when it is opened.
    pub copies: Vec<(ChunkId, CopyName)>,
    /// The inodes that were deleted here and of which there is a chunk 0 again.
    pub returned: Vec<(InodeId, Tombstone)>,
}

impl Catalog {
    /// What there is to be merged, as the names of files tell.
    ///
    /// # Errors
    ///
    /// The store's, if chunk files cannot be listed.
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

    /// Whether a chunk has a file in its place.
    ///
    /// # Errors
    ///
    /// The store's, if that cannot be told, or what is there is no file.
    pub fn is_there(&self, id: ChunkId) -> Result<bool> {
        let context = &self.base.context;
        match context.store.open(context.file_name(id)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            opened => Ok(opened.map(|_| true)?),
        }
    }

    /// Of the copies of a chunk that can be opened, that of the greatest commit.
    pub fn newest_copy<'a>(
        &self,
        id: ChunkId,
        copies: &'a [(ChunkId, CopyName)],
    ) -> Option<(Chunk, &'a CopyName)> {
        let (context, blocks) = (&self.base.context, self.base.geometry.blocks(id.index));
        let open =
            |copy| Chunk::open_file(context, id, blocks, context.store.open_copy(copy).ok()?, None).ok();
        let opened =
            copies.iter().filter(|(of, _)| *of == id).filter_map(|(_, copy)| Some((open(copy)?, copy)));
        opened.max_by_key(|(chunk, copy)| (chunk.version().commit(), *copy))
    }

    /// Has a copy stand in the place of its chunk file, where nothing is, if that is so for some seconds: a client puts one
    /// version aside before the other one takes the place. Whether it has not been so long yet.
    ///
    /// # Errors
    ///
    /// The store's, if its age cannot be told, or it cannot be linked or made durable. That something took the place
    /// meanwhile is no error.
    pub fn restore_copy(&self, copy: &CopyName) -> Result<bool> {
        if self.base.context.store.age_of_copy(copy)? < ABSENT_FOR {
            return Ok(true);
        }
        match self.base.context.store.restore_copy(copy) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
            restored => restored?,
        }
        log::info!("{} is nowhere but in a sync client's copy: that takes its place", copy.of.path());
        self.base.sync_names(&[copy.of])?;
        Ok(false)
    }

    /// Has a copy and what stands in the place of its chunk file exchange their names; what was the copy then includes the
    /// other one's version.
    ///
    /// # Errors
    ///
    /// As [`Catalog::go_on`]; the store's, after which they may have exchanged their names, but not durably.
    pub fn exchange_copy(&self, copy: &CopyName, chunk: Chunk, there: &Version) -> Result<()> {
        self.go_on(chunk, Some(there))?;
        self.base.context.store.exchange_copy(copy)?;
        self.base.sync_names(&[copy.of])
    }

    /// The same of a copy that includes what stands there. Every device that has both does so, and none has to write for it. Whether
    /// they did.
    ///
    /// # Errors
    ///
    /// The store's, after which they may have exchanged their names, but not durably.
    pub fn exchange_older(&self, copy: &CopyName) -> Result<bool> {
        let store = &self.base.context.store;
        // It may lie in the page cache only.
        match store.open_copy(copy).and_then(|file| file.sync()).and_then(|()| store.exchange_copy(copy)) {
            // The client was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            exchanged => {
                exchanged?;
                self.base.sync_names(&[copy.of]).map(|()| true)
            }
        }
    }

    /// A client that renames both versions of a file may have done so to the root directory, without which nothing begins.
    ///
    /// # Errors
    ///
    /// As [`Catalog::brought`] and [`Catalog::restore_copy`]. What else is wrong with the root directory is for who
    /// loads it.
    pub fn restore_root(&self) -> Result<()> {
        let is_absent = |error: Error| error.is_absence();
        if self.base.read_only || !self.cache.inode(InodeId::ROOT).is_err_and(is_absent) {
            return Ok(());
        }
        let id = ChunkId::first(InodeId::ROOT);
        match self.newest_copy(id, &self.brought()?.copies) {
            Some((_, copy)) => self.restore_copy(copy).map(drop),
            None => Ok(()),
        }
    }

    /// Removes a copy: all of it is in the chunk file. The next checkpoint makes that durable.
    ///
    /// # Errors
    ///
    /// The store's, if it cannot be removed.
    pub fn remove_copy(&self, copy: &CopyName) -> Result<()> {
        self.base.context.store.remove_copy(copy)?;
        self.unsynced_unlinks.lock().push(copy.of);
        Ok(())
    }
}
