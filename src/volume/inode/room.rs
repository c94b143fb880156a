//! How much space storing an inode may need beyond what its files have.

use super::state::State;
use crate::chunk::{BLOCK, BlockNumber, Chunk, Headroom, Hold, NEW_FILE, Section, Wish, room_for};
use crate::volume::Result;
use crate::volume::format::kinds::Kind;
use crate::volume::format::limits::{self, NAME_MAX, PER_PAGE, ROOT_MAX};
use crate::volume::format::record::FIXED;
use std::sync::Arc;

/// The smallest chunk size that `init` takes: bounds what a page of the chunk table covers.
const CHUNK_LEAST: u64 = 1 << 20;
/// Map blocks, at most, that a chunk 0 needs which is not open, where its record gets longer.
const MAPS: u64 = 10;

impl State {
    /// Holds space for storing chunk 0 as it will be after a change: `blocks` more in its content, and a file that ends at
    /// `end`. Of a directory all that its chunks lack.
    ///
    /// # Errors
    ///
    /// The store's, if there is none; those of reading map blocks.
    pub fn hold_room(&mut self, headroom: &Arc<Headroom>, blocks: usize, end: u64, wish: Wish) -> Result<()> {
        let room = self.room_to_store(blocks, end)?;
        Ok(self.0.hold.grow_to(headroom, room, wish)?)
    }

    fn room_to_store(&self, blocks: usize, end: u64) -> Result<u64> {
        let extension = self.record.extension_length() + NAME_MAX;
        let overflow = if FIXED + extension > ROOT_MAX { extension.div_ceil(BLOCK) } else { 0 };
        let metadata = overflow + self.pages_to_store(end);
        let (log, segments) = self.log_to_store();
        let root = match self.first_chunk.as_deref() {
            Some(first_chunk) => first_chunk.room_to_commit(blocks + log as usize, metadata)?,
            None if metadata + log as usize > 0 => 1 + MAPS,
            None => 1,
        };
        // Inline content may have to become a block beside a longer record.
        Ok(root + metadata as u64 + log + segments + 1)
    }

    /// Pages of the chunk table that may have to be written.
    fn pages_to_store(&self, end: u64) -> usize {
        let end = end.max(self.record.size);
        if self.record.kind != Kind::File
            || self.table.is_empty() && self.extra_chunks.is_empty() && end <= BLOCK as u64
        {
            return 0;
        }
        let pages = end / (CHUNK_LEAST * u64::from(PER_PAGE)) + 1;
        pages.min(self.extra_chunks.busy_most() as u64 + 1) as usize
    }

    /// Blocks of a directory's log that go into chunk 0, and into segments.
    fn log_to_store(&self) -> (u64, u64) {
        let Some(entries) = self.entries.as_ref() else { return (0, 0) };
        let log = entries.bytes_to_store();
        if log == 0 {
            return (0, 0);
        }
        let blocks = log.div_ceil(BLOCK as u64) + 1;
        let tail = self.record.size;
        if tail + log <= limits::tail() as u64 {
            return (blocks, 0);
        }
        let files = (tail + log) / CHUNK_LEAST + 1;
        // And the page of the chunk table that names them.
        (1, room_for(blocks + tail.div_ceil(BLOCK as u64)) + files * NEW_FILE + 1)
    }

    /// Holds space for `bytes` of a directory's log that go into segments once more.
    ///
    /// # Errors
    ///
    /// The store's, if there is none.
    pub fn hold_for_segments(&mut self, headroom: &Arc<Headroom>, bytes: usize) -> Result<()> {
        let blocks = self.hold.blocks() + room_for(bytes.div_ceil(BLOCK) as u64) + NEW_FILE;
        Ok(self.0.hold.grow_to(headroom, blocks, Wish::Takes)?)
    }

    /// Has chunk 0 use what is held for it. Needs it to be open.
    pub fn spend_hold(&mut self) {
        let hold = std::mem::take(&mut self.0.hold);
        self.first_chunk_mut().lend(hold);
    }

    /// After chunk 0 was committed: holds space for what came since, if there is any.
    pub fn hold_rest(&mut self, headroom: &Arc<Headroom>) {
        if self.has_news() {
            // What cannot be held now was, until a moment ago.
            let _ = self.hold_room(headroom, 0, 0, Wish::Regardless);
        }
    }

    /// Gives back what is held, if nothing is to be stored.
    pub fn drop_idle_hold(&mut self) {
        if !self.has_news() {
            self.0.hold = Hold::default();
        }
    }

    fn has_news(&self) -> bool {
        self.is_dirty() || self.entries.as_ref().is_some_and(|entries| !entries.is_stored())
    }

    /// Writes a new segment of a directory's log, in the space that is held for it.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub fn write_segment(&mut self, chunk: &mut Chunk, segment: &[u8]) -> Result<()> {
        chunk.lend(std::mem::take(&mut self.0.hold));
        let written = chunk.write_acknowledged(Section::Data, BlockNumber::FIRST, segment);
        self.0.hold = chunk.take_hold();
        chunk.lend(self.0.hold.split(chunk.room_to_commit(0, 0)?));
        Ok(written?)
    }
}
