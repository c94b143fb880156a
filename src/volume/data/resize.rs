//! Changing a file's size and making holes (docs/FORMAT.md section 7): what is cut off must never be readable again.

use super::Data;
use super::attempt::{BLOCK_BYTES, Step};
use crate::chunk::{ChunkIndex, Wish};
use crate::volume::Result;
use crate::volume::format::kinds::Timestamp;
use crate::volume::inode::state::{Inode, State};
use std::cell::Cell;
use std::sync::Arc;

/// Chunks in which a hole is made under one lock.
const CHUNKS_AT_ONCE: u32 = 16;

impl Data {
    /// Sets the size, in bytes; what is cut off is gone, what is added reads as zeros.
    ///
    /// # Errors
    ///
    /// [`FileTooLarge`](crate::volume::Error::FileTooLarge); as [`Data::attempt`] and, of a smaller size, [`Data::cut`].
    pub fn resize(
        &self,
        inode: &Arc<Inode>,
        size: u64,
        now: impl Into<Option<Timestamp>>,
        clear_mode: u32,
    ) -> Result<()> {
        let now = now.into();
        self.base.check_size(size)?;
        self.check_arrived(inode, size)?;
        self.cut(inode, |state| {
            let before = state.record.size;
            let wish = if size > before { Wish::Takes } else { Wish::Frees };
            self.hold_room(state, 2, size, wish)?;
            if size < before {
                self.shrink(inode, state, size)?;
            } else if size > before {
                let room = self.inline_room(state)?;
                if state.is_inline() && size <= room {
                    let first_chunk = state.first_chunk_mut();
                    let mut content = first_chunk.inline().to_vec();
                    content.resize(size as usize, 0);
                    first_chunk.set_inline(content);
                } else {
                    self.make_blocks(inode, state)?;
                    self.grow(inode, state, size)?;
                }
            }
            state.touch(size, now, clear_mode);
            Ok(size < before)
        })
    }

    /// A change that may cut something off; it answers whether it did. Then it is done, though it could not be stored at
    /// once: told of an error the kernel would go on with what is gone. An fsync tells.
    ///
    /// # Errors
    ///
    /// As [`Data::attempt`]; where something was cut off no lack of space, nor anything else that passes.
    fn cut(
        &self,
        inode: &Arc<Inode>,
        change: impl Fn(&mut State) -> std::result::Result<bool, Step>,
    ) -> Result<()> {
        let was_cut = Cell::new(false);
        match self.attempt(inode, |state| change(state).map(|cut| was_cut.set(cut))) {
            Err(error) if was_cut.get() && error.is_passing() => {
                log::debug!("what was cut off waits to be stored: {error}");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Makes a range of bytes read as zeros, within the size.
    ///
    /// # Errors
    ///
    /// As [`Data::cut`]; a part may read as zeros then.
    pub fn punch(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        length: u64,
        now: impl Into<Option<Timestamp>>,
    ) -> Result<()> {
        let end = offset.saturating_add(length).min(inode.view(|record| record.size));
        self.check_arrived(inode, u64::MAX)?;
        let now = now.into();
        let mut at = offset;
        loop {
            // In pieces: what is changed is held open until it is flushed.
            let (index, _) = self.base.geometry.locate(at);
            let until = self.base.geometry.start(index.after(CHUNKS_AT_ONCE)).min(end);
            self.punch_piece(inode, at, until, now)?;
            if until >= end {
                return Ok(());
            }
            at = until;
        }
    }

    fn punch_piece(&self, inode: &Arc<Inode>, offset: u64, end: u64, now: Option<Timestamp>) -> Result<()> {
        self.cut(inode, |state| {
            let end = end.min(state.record.size);
            self.hold_room(state, 2, 0, Wish::Frees)?;
            if offset < end {
                if state.is_inline() {
                    self.cache.open_first_chunk(inode, state)?;
                    let first_chunk = state.first_chunk_mut();
                    let mut content = first_chunk.inline().to_vec();
                    content[offset as usize..end as usize].fill(0);
                    first_chunk.set_inline(content);
                } else {
                    // Behind the end there is nothing to keep: the last block becomes a hole too.
                    let all = if end == state.record.size { end.next_multiple_of(BLOCK_BYTES) } else { end };
                    self.clear_range(inode, state, offset, all)?;
                }
            }
            state.touch(state.record.size, now, 0);
            Ok(offset < end)
        })
    }

    /// Cuts off what lies beyond `size`.
    fn shrink(&self, inode: &Arc<Inode>, state: &mut State, size: u64) -> std::result::Result<(), Step> {
        let geometry = self.base.geometry;
        let has_further = state.record.size > geometry.capacity(ChunkIndex::FIRST);
        if has_further {
            self.check_in_use()?;
        }
        if state.is_inline() {
            let first_chunk = state.first_chunk_mut();
            let mut content = first_chunk.inline().to_vec();
            content.truncate(size as usize);
            first_chunk.set_inline(content);
            return Ok(());
        }
        let behind = geometry.behind(size);
        let mut cut = state.named_chunks(behind)?;
        cut.extend(state.extra_chunks.from(behind));
        cut.sort_unstable();
        cut.dedup();
        // All that may fail, on a full disk, comes before anything is given up.
        let (last, from) = geometry.locate(size);
        if from > 0 || last.is_first() {
            self.clear_within(inode, state, last, from, geometry.capacity(last))?;
        }
        if has_further {
            state.begin_cut();
        }
        let cut_bytes: u64 = cut.iter().map(|index| geometry.capacity(*index)).sum();
        if !cut.is_empty() {
            state.doom(cut);
        }
        let own =
            u64::from(state.first_chunk.as_deref().expect("it was opened").data_blocks()?) * BLOCK_BYTES;
        let beyond = if geometry.behind(size) > ChunkIndex::FIRST_EXTRA {
            state.record.allocated.saturating_sub(own + cut_bytes)
        } else {
            0
        };
        state.set_allocated(own + beyond);
        Ok(())
    }

    fn clear_range(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        offset: u64,
        end: u64,
    ) -> std::result::Result<(), Step> {
        let (mut at, geometry) = (offset, self.base.geometry);
        while at < end {
            let (index, from) = geometry.locate(at);
            let (start, until) = (at - from, geometry.range(index).end.min(end));
            self.clear_within(inode, state, index, from, until - start)?;
            at = match state.chunk_mut(index) {
                Some(_) => until,
                None => self.cache.next_chunk(state, index)?.map_or(end, |next| geometry.start(next)),
            };
        }
        Ok(())
    }
}
