//! What an inode's state says of its content, and how a change of that is noted.

use super::state::State;
use crate::chunk::{BLOCK, Chunk, ChunkIndex, Commit};
use crate::volume::format::kinds::Timestamp;

impl State {
    pub fn chunk(&self, index: ChunkIndex) -> Option<&Chunk> {
        if index.is_first() { self.first_chunk.as_deref() } else { self.extra_chunks.get(index) }
    }

    /// Whether a read of this chunk needs nothing to be opened.
    pub fn is_readable(&self, index: ChunkIndex) -> bool {
        self.first_chunk.is_some()
            && (index.is_first()
                || self.extra_chunks.contains(index)
                || self.table.is_loaded(index) && self.table.stamp(index).is_none())
    }

    /// Whether the content is inline (or there is none, and nothing left of any). Needs chunk 0 to be open.
    pub fn is_inline(&self) -> bool {
        let Some(first_chunk) = &self.first_chunk else { return false };
        let bare = || {
            self.extra_chunks.is_empty()
                && self.table.is_empty()
                && first_chunk.data_blocks().is_ok_and(|n| n == 0)
        };
        !first_chunk.inline().is_empty() || self.record.size == 0 && bare()
    }

    /// Size in bytes, times and mode bits after the content changed.
    pub fn touch(&mut self, size: u64, now: Option<Timestamp>, clear_mode: u32) {
        self.0.stamps.content_changed = true;
        let record = &mut self.0.record;
        let beyond = size == record.size && record.mode & clear_mode == 0;
        record.size = size;
        if let Some(now) = now {
            (record.modified, record.changed) = (now, now);
        }
        record.mode &= !clear_mode;
        if beyond && !self.first_chunk.as_deref().is_some_and(Chunk::is_dirty) {
            self.change_beyond();
        } else {
            self.change();
        }
    }

    /// Keeps count of the blocks with data.
    pub fn count_blocks(&mut self, before: u32, after: u32) {
        let change = (i64::from(after) - i64::from(before)) * BLOCK as i64;
        self.0.record.allocated = self.record.allocated.saturating_add_signed(change);
        if change != 0 {
            self.0.progress.counted = self.progress.made + 1;
        }
    }

    /// Lets chunks go: chunk 0 ceases to name them, and once that is durable they are removed.
    pub fn doom(&mut self, chunks: Vec<ChunkIndex>) {
        self.0.shrunk = Some(self.progress.made + 1);
        self.change();
        for index in chunks {
            self.0.extra_chunks.remove(index);
            self.0.table.set(index, Commit(0));
            self.0.doomed.insert(index);
        }
    }
}
