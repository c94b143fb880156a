//! Growing a file, and zeroing what may lie beyond its end.

use super::Data;
use super::attempt::{BLOCK_BYTES, Step};
use super::content::hold_commit;
use crate::chunk::{self, BLOCK, BlockNumber, Chunk, ChunkIndex, Section, Wish};
use crate::volume::inode::state::{Inode, State};
use std::sync::Arc;

impl Data {
    /// Readies the file for content up to byte `end`: nothing but zeros may become readable between the old end and there.
    ///
    /// # Errors
    ///
    /// [`Step::Flush`] until a cut, or what lies beyond the size, is gone; [`Step::CheckpointBatch`] if that may not
    /// be removed yet; as [`Data::clear_within`].
    pub fn grow(&self, inode: &Arc<Inode>, state: &mut State, end: u64) -> std::result::Result<(), Step> {
        if end <= state.record.size {
            return Ok(());
        }
        if state.shrunk.is_some() {
            return Err(Step::Flush);
        }
        if !state.tail_clean {
            self.clean_tail(inode, state)?;
            state.set_tail_clean(true);
        }
        Ok(())
    }

    /// Trims what a crash, or a write that failed, may have left beyond the size.
    fn clean_tail(&self, inode: &Arc<Inode>, state: &mut State) -> std::result::Result<(), Step> {
        let size = state.record.size;
        let next = self.base.geometry.behind(size);
        let mut beyond = state.named_chunks(next)?;
        beyond.extend(state.extra_chunks.from(next));
        if !beyond.is_empty() {
            self.check_in_use()?;
            state.doom(beyond);
            return Err(Step::Flush);
        }
        let (last, from) = self.base.geometry.locate(size);
        if from > 0 || last.is_first() {
            self.clear_within(inode, state, last, from, self.base.geometry.capacity(last))?;
        }
        Ok(())
    }

    /// Zeros bytes from..until of one chunk: whole blocks become holes.
    ///
    /// # Errors
    ///
    /// [`Step::Flush`] if no slot is free, or an fdatasync failed; [`Step::Fail`] if the chunk cannot be opened, read
    /// or written. A part may be zeros then.
    pub fn clear_within(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        index: ChunkIndex,
        from: u64,
        until: u64,
    ) -> std::result::Result<(), Step> {
        self.cache.open_chunk(inode, state, index)?;
        let Some(chunk) = state.chunk_mut(index) else { return Ok(()) };
        if !index.is_first() {
            hold_commit(chunk, 2, Wish::Frees)?;
        }
        let before = chunk.data_blocks()?;
        // The bytes of the whole blocks.
        let (start, end) = (from.next_multiple_of(BLOCK_BYTES), until - until % BLOCK_BYTES);
        let outcome = (|| {
            if start > end {
                return zero_bytes(chunk, from, until);
            }
            zero_bytes(chunk, from, start)?;
            zero_bytes(chunk, end, until)?;
            chunk.clear(Section::Data, BlockNumber::of_byte(start)..BlockNumber::of_byte(end))
        })();
        let after = chunk.data_blocks()?;
        state.count_blocks(before, after);
        Ok(outcome?)
    }
}

/// Zeros bytes within one block; a hole stays one.
fn zero_bytes(chunk: &mut Chunk, from: u64, until: u64) -> chunk::Result<()> {
    let block = BlockNumber::of_byte(from);
    if from >= until || !chunk.is_present(Section::Data, block)? {
        return Ok(());
    }
    let zeros = [0; BLOCK];
    chunk.write_part(block, (from % BLOCK_BYTES) as usize, &zeros[..(until - from) as usize])
}
