//! Changing a file's size and making holes (docs/FORMAT.md section 7): what is cut off must not come to light again.

use crate::chunk::{self, BLOCK, Chunk, Commit, Space};
use crate::volume::data::content::{BLOCK_BYTES, Step};
use crate::volume::format::kinds::Timestamp;
use crate::volume::inode::state::{Inode, State};
use crate::volume::{Result, Volume};
use std::sync::Arc;

/// Chunks in which a hole is made under one lock.
const CHUNKS_AT_ONCE: u64 = 16;

impl Volume {
    /// Sets the size; what is cut off is gone, what is added reads as zeros.
    pub fn resize(
        &self,
        inode: &Arc<Inode>,
        size: u64,
        now: impl Into<Option<Timestamp>>,
        clear_mode: u32,
    ) -> Result<()> {
        let now = now.into();
        self.check_size(size)?;
        self.attempt(inode, |state| {
            let before = state.record.size;
            if size < before {
                self.shrink(inode, state, size)?;
            } else if size > before {
                let room = self.inline_room(state)?;
                if state.is_inline() && size <= room {
                    let head = state.head.as_deref_mut().expect("inline content was looked at");
                    let mut content = head.inline().to_vec();
                    content.resize(size as usize, 0);
                    head.set_inline(content);
                } else {
                    self.make_blocks(inode, state)?;
                    self.grow(inode, state, size)?;
                }
            }
            state.touch(size, now, clear_mode);
            Ok(())
        })
    }

    /// Makes a range read as zeros, within the size.
    pub fn punch(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        length: u64,
        now: impl Into<Option<Timestamp>>,
    ) -> Result<()> {
        let end = offset.saturating_add(length).min(inode.view(|record| record.size));
        let now = now.into();
        let mut at = offset;
        loop {
            // In pieces: what is changed is held open until it is flushed.
            let until = (at - at % self.chunk_size).saturating_add(CHUNKS_AT_ONCE * self.chunk_size).min(end);
            self.punch_piece(inode, at, until, now)?;
            if until >= end {
                return Ok(());
            }
            at = until;
        }
    }

    fn punch_piece(&self, inode: &Arc<Inode>, offset: u64, end: u64, now: Option<Timestamp>) -> Result<()> {
        self.attempt(inode, |state| {
            let end = end.min(state.record.size);
            if offset < end {
                if state.is_inline() {
                    self.open_head(inode, state)?;
                    let head = state.head.as_deref_mut().expect("it was opened");
                    let mut content = head.inline().to_vec();
                    content[offset as usize..end as usize].fill(0);
                    head.set_inline(content);
                } else {
                    // Behind the end there is nothing to keep: the last block becomes a hole too.
                    let all = if end == state.record.size { end.next_multiple_of(BLOCK_BYTES) } else { end };
                    self.clear_range(inode, state, offset, all)?;
                }
            }
            state.touch(state.record.size, now, 0);
            Ok(())
        })
    }

    /// Readies the file for content up to `end`: nothing but zeros may come to light between the old end and there.
    pub(in crate::volume) fn grow(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        end: u64,
    ) -> std::result::Result<(), Step> {
        if end <= state.record.size {
            return Ok(());
        }
        if state.shrunk.is_some() {
            return Err(Step::Flush);
        }
        if !state.tail_clean {
            self.clean_tail(inode, state)?;
            state.tail_clean = true;
        }
        Ok(())
    }

    /// Trims what a crash, or a write that failed, may have left beyond the size.
    fn clean_tail(&self, inode: &Arc<Inode>, state: &mut State) -> std::result::Result<(), Step> {
        let size = state.record.size;
        let next = size.div_ceil(self.chunk_size).max(1) as u32;
        let head = state.head.as_deref().expect("it was opened");
        let mut beyond = state.table.all_from(head, next)?;
        beyond.extend(state.others.from(next));
        if !beyond.is_empty() {
            self.check_in_use()?;
            state.doom(beyond);
            return Err(Step::Flush);
        }
        let last = self.index_of(size);
        let from = size % self.chunk_size;
        if from > 0 || last == 0 {
            self.clear_within(inode, state, last, from, self.chunk_size)?;
        }
        Ok(())
    }

    /// Cuts off what lies beyond `size`.
    fn shrink(&self, inode: &Arc<Inode>, state: &mut State, size: u64) -> std::result::Result<(), Step> {
        let before = state.record.size;
        if before > self.chunk_size {
            self.check_in_use()?;
        }
        if state.is_inline() {
            let head = state.head.as_deref_mut().expect("it was opened");
            let mut content = head.inline().to_vec();
            content.truncate(size as usize);
            head.set_inline(content);
            return Ok(());
        }
        let kept = size.div_ceil(self.chunk_size).max(1) as u32;
        let head = state.head.as_deref().expect("it was opened");
        let mut cut = state.table.all_from(head, kept)?;
        cut.extend(state.others.from(kept));
        cut.sort_unstable();
        cut.dedup();
        // All that may fail, on a full disk, comes before anything is given up.
        let (last, from) = (self.index_of(size), size % self.chunk_size);
        if from > 0 || last == 0 {
            self.clear_within(inode, state, last, from, self.chunk_size)?;
        }
        if before > self.chunk_size {
            state.shrunk = Some(state.progress.made + 1);
        }
        let cut_bytes = cut.len() as u64 * self.chunk_size;
        if !cut.is_empty() {
            state.doom(cut);
        }
        let own = u64::from(state.head.as_deref().expect("it was opened").data_blocks()?) * BLOCK_BYTES;
        let beyond = if kept > 1 { state.record.allocated.saturating_sub(own + cut_bytes) } else { 0 };
        state.record.allocated = own + beyond;
        Ok(())
    }

    fn clear_range(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        offset: u64,
        end: u64,
    ) -> std::result::Result<(), Step> {
        let mut at = offset;
        while at < end {
            let index = self.index_of(at);
            let start = u64::from(index) * self.chunk_size;
            let until = (start + self.chunk_size).min(end);
            self.clear_within(inode, state, index, at - start, until - start)?;
            at = match state.chunk_mut(index) {
                Some(_) => until,
                None => self.next_chunk(state, index)?.map_or(end, |next| u64::from(next) * self.chunk_size),
            };
        }
        Ok(())
    }

    /// Zeros bytes from..until of one chunk: whole blocks become holes.
    fn clear_within(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        index: u32,
        from: u64,
        until: u64,
    ) -> std::result::Result<(), Step> {
        self.open_chunk(inode, state, index)?;
        let Some(chunk) = state.chunk_mut(index) else { return Ok(()) };
        let before = chunk.data_blocks()?;
        let (first, last) = (from.div_ceil(BLOCK_BYTES), until / BLOCK_BYTES);
        let outcome = (|| {
            if first > last {
                return zero_bytes(chunk, from, until);
            }
            zero_bytes(chunk, from, first * BLOCK_BYTES)?;
            zero_bytes(chunk, last * BLOCK_BYTES, until)?;
            chunk.clear(Space::Data, first as u16..last as u16)
        })();
        let after = chunk.data_blocks()?;
        state.count_blocks(before, after);
        Ok(outcome?)
    }
}

impl State {
    /// Lets chunks go: chunk 0 ceases to name them, and once that is durable they are removed.
    fn doom(&mut self, chunks: Vec<u32>) {
        self.shrunk = Some(self.progress.made + 1);
        self.change();
        for index in chunks {
            self.others.remove(index);
            self.table.set(index, Commit(0));
            self.doomed.insert(index);
        }
    }
}

/// Zeros bytes within one block; a hole stays one.
fn zero_bytes(chunk: &mut Chunk, from: u64, until: u64) -> chunk::Result<()> {
    let block = (from / BLOCK_BYTES) as u16;
    if from >= until || !chunk.is_present(Space::Data, block)? {
        return Ok(());
    }
    let zeros = [0; BLOCK];
    chunk.write_part(block, (from % BLOCK_BYTES) as usize, &zeros[..(until - from) as usize])
}
