//! File content: inline while it is small, then blocks of 4096 bytes over chunks (docs/FORMAT.md section 7).
//!
//! A write encrypts whole blocks straight into free slots; roots follow at the next flush. Memory stays bounded because
//! content never waits here.

use super::Data;
use super::attempt::{BLOCK_BYTES, Step, check_file};
use crate::chunk::{self, BLOCK, BlockNumber, Chunk, ChunkId, ChunkIndex, Section, Wish};
use crate::volume::format::kinds::Timestamp;
use crate::volume::format::stamp::Stamp;
use crate::volume::inode::state::{Inode, State};
use crate::volume::inode::table::check_index;
use crate::volume::{Error, Result};
use std::sync::Arc;

impl Data {
    /// Fills `out` from `offset`, in bytes; returns the number of bytes, fewer than wanted only at the end of the
    /// file.
    ///
    /// # Errors
    ///
    /// As [`check_file`]; [`Error::Damaged`] or [`Error::NotArrived`] if any of it cannot be read, of which note is
    /// taken; the store's. What is in `out` then is unspecified.
    pub fn read(&self, inode: &Arc<Inode>, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.cache.notice_in(inode, self.try_read(inode, offset, out))
    }

    fn try_read(&self, inode: &Arc<Inode>, offset: u64, out: &mut [u8]) -> Result<usize> {
        loop {
            let state = inode.state.read();
            check_file(&state)?;
            let length = state.record.size.saturating_sub(offset).min(out.len() as u64) as usize;
            if length == 0 {
                return Ok(0);
            }
            let out = &mut out[..length];
            let wanted = self.base.geometry.runs(offset, length).find(|run| !state.is_readable(run.index));
            match wanted {
                None => {
                    self.read_runs(&state, offset, out)?;
                    if let Some(told) = state.unread() {
                        drop(state);
                        inode.was_read(told);
                    }
                    return Ok(length);
                }
                Some(run) => {
                    drop(state);
                    self.open_for_reading(inode, run.index)?;
                }
            }
        }
    }

    /// Writes all of `data` at `offset`, in bytes; the file grows as needed. `clear_mode`: permission bits that are
    /// cleared by it. `now`: the new times, unless they are set otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::FileTooLarge`]; as [`Data::attempt`]. A part of it may be there to be read then.
    pub fn write(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        data: &[u8],
        now: impl Into<Option<Timestamp>>,
        clear_mode: u32,
    ) -> Result<()> {
        self.write_then(inode, offset, data, (now.into(), clear_mode), |_, _| ())
    }

    /// Writes all of a chunk of a file that is being made, an extra one with content that has this stamp already.
    ///
    /// # Errors
    ///
    /// As [`Data::write`].
    pub fn write_stamped(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        data: &[u8],
        now: Timestamp,
        stamp: Option<Stamp>,
    ) -> Result<()> {
        let (index, _) = self.base.geometry.locate(offset);
        self.write_then(inode, offset, data, (Some(now), 0), |state, before| {
            state.give_stamp(before, stamp.map(|stamp| (index, stamp)));
        })
    }

    /// `then` is given the change before it.
    fn write_then(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        data: &[u8],
        (now, clear_mode): (Option<Timestamp>, u32),
        then: impl Fn(&mut State, u64),
    ) -> Result<()> {
        let end = offset.checked_add(data.len() as u64).ok_or(Error::FileTooLarge)?;
        self.base.check_size(end)?;
        if data.is_empty() {
            return Ok(());
        }
        self.check_arrived(inode, u64::MAX)?;
        let first = self.base.geometry.capacity(ChunkIndex::FIRST);
        let in_first = end.min(first).saturating_sub(offset).div_ceil(BLOCK_BYTES) as usize + 1;
        let written = self.attempt(inode, |state| {
            let before = state.progress.made;
            self.hold_room(state, in_first, end, Wish::Takes)?;
            if !self.write_inline(state, offset, data)? {
                self.make_blocks(inode, state)?;
                self.grow(inode, state, end)?;
                self.write_runs(inode, state, offset, data)?;
            }
            state.touch(state.record.size.max(end), now, clear_mode);
            then(state, before);
            Ok(())
        });
        self.base.context.headroom.wrote(data.len());
        written.inspect_err(|_| {
            let mut state = inode.state.write();
            // A part of it may lie beyond the size, and another be there to be read: it must not be gone again later.
            state.set_tail_clean(false);
            state.change();
            drop(state);
            self.cache.queue(inode);
        })
    }

    /// The next offset, in bytes, from `offset` on that holds data, or that lies in a hole (the end of the file is
    /// one). `None`: no more data, or beyond the end.
    ///
    /// # Errors
    ///
    /// As [`Data::read`].
    pub fn seek(&self, inode: &Arc<Inode>, offset: u64, data: bool) -> Result<Option<u64>> {
        self.cache.notice_in(inode, self.try_seek(inode, offset, data))
    }

    fn try_seek(&self, inode: &Arc<Inode>, offset: u64, data: bool) -> Result<Option<u64>> {
        let mut state = inode.state.write();
        check_file(&state)?;
        self.cache.open_first_chunk(inode, &mut state)?;
        let size = state.record.size;
        if offset >= size {
            return Ok(None);
        }
        if state.is_inline() {
            return Ok(Some(if data { offset } else { size }));
        }
        let (mut at, geometry) = (offset, self.base.geometry);
        while at < size {
            let (index, within) = geometry.locate(at);
            let from = BlockNumber::of_byte(within);
            let start = geometry.start(index);
            self.cache.open_chunk(inode, &mut state, index)?;
            let found = match state.chunk_mut(index) {
                Some(chunk) if data => chunk.next_present(Section::Data, from)?,
                Some(chunk) => Some(chunk.next_absent(Section::Data, from)?)
                    .filter(|block| *block < geometry.blocks(index).end()),
                None => (!data).then_some(from),
            };
            if let Some(block) = found {
                let found = at.max(start + block.start());
                return Ok(if found < size { Some(found) } else { (!data).then_some(size) });
            }
            at = match state.chunk_mut(index) {
                None if data => {
                    self.cache.next_chunk(&mut state, index)?.map_or(size, |next| geometry.start(next))
                }
                _ => geometry.range(index).end,
            };
            if self.cache.is_full() {
                drop(state);
                self.writeback.make_room();
                state = inode.state.write();
            }
        }
        Ok((!data).then_some(size))
    }

    fn read_runs(&self, state: &State, offset: u64, mut out: &mut [u8]) -> Result<()> {
        if state.is_inline() {
            let first_chunk = state.first_chunk.as_deref().expect("it was looked for");
            out.copy_from_slice(&first_chunk.inline()[offset as usize..offset as usize + out.len()]);
            return Ok(());
        }
        for run in self.base.geometry.runs(offset, out.len()) {
            let (part, rest) = out.split_at_mut(run.length);
            match state.chunk(run.index) {
                Some(chunk) => read_bytes(chunk, run.from, part)?,
                None => part.fill(0),
            }
            out = rest;
        }
        Ok(())
    }

    fn open_for_reading(&self, inode: &Arc<Inode>, index: ChunkIndex) -> Result<()> {
        if index.is_first() {
            self.cache.expect_reading(inode.id());
        }
        let opened = self.cache.open_chunk(inode, &mut inode.state.write(), index);
        self.writeback.make_room();
        opened
    }

    /// Writes into inline content, if what results is small enough to be inline.
    fn write_inline(&self, state: &mut State, offset: u64, data: &[u8]) -> std::result::Result<bool, Step> {
        let end = offset + data.len() as u64;
        if !state.is_inline() || end > BLOCK_BYTES || end > self.inline_room(state)? {
            return Ok(false);
        }
        let first_chunk = state.first_chunk_mut();
        let mut content = first_chunk.inline().to_vec();
        content.resize(content.len().max(end as usize), 0);
        content[offset as usize..end as usize].copy_from_slice(data);
        first_chunk.set_inline(content);
        Ok(true)
    }

    fn write_runs(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        offset: u64,
        mut data: &[u8],
    ) -> std::result::Result<(), Step> {
        for run in self.base.geometry.runs(offset, data.len()) {
            let (part, rest) = data.split_at(run.length);
            self.cache.open_chunk(inode, state, run.index)?;
            if !run.index.is_first() && !state.extra_chunks.contains(run.index) {
                if state.shrunk.is_some() {
                    return Err(Step::Flush);
                }
                self.check_in_use()?;
                let id = ChunkId { inode: inode.id(), index: check_index(run.index)? };
                state
                    .hold(run.index, Chunk::new(&self.base.context, id, self.base.geometry.blocks(id.index)));
                self.cache.opened(inode, run.index);
            }
            let chunk = state.chunk_mut(run.index).expect("it was opened or made");
            if !run.index.is_first() {
                hold_commit(chunk, run.length / BLOCK + 2, Wish::Takes)?;
            }
            let before = chunk.data_blocks()?;
            let written = write_bytes(chunk, run.from, part);
            let after = chunk.data_blocks()?;
            state.count_blocks(before, after);
            written?;
            data = rest;
        }
        Ok(())
    }
}

/// Holds space for committing an extra chunk with so many blocks more.
///
/// # Errors
///
/// As [`Data::hold_room`].
pub fn hold_commit(chunk: &mut Chunk, blocks: usize, wish: Wish) -> std::result::Result<(), Step> {
    let room = chunk.room_to_commit(blocks, 0)?;
    match chunk.hold(room, wish).map_err(Error::from) {
        Err(error) if error.is_passing() && wish == Wish::Takes => Err(Step::NoRoom(error)),
        Err(error) if !error.is_passing() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Reads bytes of a chunk: whole blocks straight into place, the ragged ends through a block of our own.
fn read_bytes(chunk: &Chunk, from: u64, out: &mut [u8]) -> chunk::Result<()> {
    let mut block = BlockNumber::of_byte(from);
    let within = (from % BLOCK_BYTES) as usize;
    let lead = if within == 0 { 0 } else { out.len().min(BLOCK - within) };
    let (ragged, rest) = out.split_at_mut(lead);
    if !ragged.is_empty() {
        let mut whole = [0; BLOCK];
        chunk.read_block(block, &mut whole)?;
        ragged.copy_from_slice(&whole[within..within + lead]);
        block = block.next();
    }
    let (full, ragged) = rest.split_at_mut(rest.len() - rest.len() % BLOCK);
    if !full.is_empty() {
        chunk.read(Section::Data, block, full)?;
    }
    if !ragged.is_empty() {
        let mut whole = [0; BLOCK];
        chunk.read_block(block.after((full.len() / BLOCK) as u16), &mut whole)?;
        ragged.copy_from_slice(&whole[..ragged.len()]);
    }
    Ok(())
}

/// Writes bytes of a chunk: whole blocks as they are, the ragged ends into what is there.
fn write_bytes(chunk: &mut Chunk, from: u64, data: &[u8]) -> chunk::Result<()> {
    let mut block = BlockNumber::of_byte(from);
    let within = (from % BLOCK_BYTES) as usize;
    let lead = if within == 0 { 0 } else { data.len().min(BLOCK - within) };
    let (ragged, rest) = data.split_at(lead);
    if !ragged.is_empty() {
        chunk.write_part(block, within, ragged)?;
        block = block.next();
    }
    let (full, ragged) = rest.split_at(rest.len() - rest.len() % BLOCK);
    if !full.is_empty() {
        chunk.write(Section::Data, block, full)?;
    }
    if !ragged.is_empty() {
        chunk.write_part(block.after((full.len() / BLOCK) as u16), 0, ragged)?;
    }
    Ok(())
}
