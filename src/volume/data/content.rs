//! File content: inline while it is small, then blocks of 4096 bytes over chunks (docs/FORMAT.md section 7).
//!
//! A write encrypts whole blocks straight into free slots; roots follow at the next flush. Memory stays bounded because
//! content never waits here.

use crate::chunk::{self, BLOCK, Chunk, ChunkId, Space};
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::inode::state::{Inode, State};
use crate::volume::inode::table::{LAST_INDEX, check_index};
use crate::volume::writeback::careful::TABLE_BLOCKS;
use crate::volume::writeback::flush::spill_inline;
use crate::volume::{Error, Result, Volume};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(in crate::volume) const BLOCK_BYTES: u64 = BLOCK as u64;
/// Dirty chunks of one inode at which a writer waits for its flush; at two thirds of that the flush is hurried on. It
/// bounds open descriptors and the maps in memory (some 40 KiB a chunk). Where a file has more chunks than that, a
/// write at random costs a commit.
const DIRTY_MOST: usize = 400;

/// Why an attempt under the state lock did not get through.
pub(in crate::volume) enum Step {
    /// The inode has to be flushed first.
    Flush,
    /// A batch has to name the inode, or reserve its id, before chunk files are made.
    Ground,
    /// The journal has to be in use before chunk files come or go.
    Anchor,
    Fail(Error),
}

impl From<Error> for Step {
    fn from(error: Error) -> Step {
        Step::Fail(error)
    }
}

impl From<chunk::Error> for Step {
    fn from(error: chunk::Error) -> Step {
        match error {
            chunk::Error::SlotsExhausted(_) => Step::Flush,
            error => Step::Fail(error.into()),
        }
    }
}

/// A run of bytes within one chunk.
struct Run {
    index: u32,
    /// Bytes from the chunk's start.
    from: u64,
    length: usize,
}

impl Volume {
    /// Fills `out` from `offset`; returns the number of bytes, fewer than wanted only at the end of the file.
    pub fn read(&self, inode: &Arc<Inode>, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.notice_in(inode, self.try_read(inode, offset, out))
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
            let wanted = self.runs(offset, length).find(|run| !state.is_readable(run.index));
            match wanted {
                None => {
                    self.read_runs(&state, offset, out)?;
                    return Ok(length);
                }
                Some(run) => {
                    drop(state);
                    self.open_for_reading(inode, run.index)?;
                }
            }
        }
    }

    /// Writes all of `data`; the file grows as needed. `clear_mode`: permission bits that
    /// are cleared by it. `now`: the new times, unless they are set otherwise.
    pub fn write(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        data: &[u8],
        now: impl Into<Option<Timestamp>>,
        clear_mode: u32,
    ) -> Result<()> {
        let now = now.into();
        let end = offset.checked_add(data.len() as u64).ok_or(Error::FileTooLarge)?;
        self.check_size(end)?;
        if data.is_empty() {
            return Ok(());
        }
        let written = self.attempt(inode, |state| {
            if !self.write_inline(state, offset, data)? {
                self.make_blocks(inode, state)?;
                self.grow(inode, state, end)?;
                self.write_runs(inode, state, offset, data)?;
            }
            state.touch(state.record.size.max(end), now, clear_mode);
            Ok(())
        });
        // A part of it may lie beyond the size.
        written.inspect_err(|_| inode.state.write().tail_clean = false)
    }

    /// The next offset from `offset` on that holds data, or that lies in a hole (the end of the file is one). `None`:
    /// no more data, or beyond the end.
    pub fn seek(&self, inode: &Arc<Inode>, offset: u64, data: bool) -> Result<Option<u64>> {
        self.notice_in(inode, self.try_seek(inode, offset, data))
    }

    fn try_seek(&self, inode: &Arc<Inode>, offset: u64, data: bool) -> Result<Option<u64>> {
        let mut state = inode.state.write();
        check_file(&state)?;
        let size = state.record.size;
        if offset >= size {
            return Ok(None);
        }
        self.open_head(inode, &mut state)?;
        if state.is_inline() {
            return Ok(Some(if data { offset } else { size }));
        }
        let mut at = offset;
        while at < size {
            let index = self.index_of(at);
            let from = (at % self.chunk_size / BLOCK_BYTES) as u16;
            let start = u64::from(index) * self.chunk_size;
            self.open_chunk(inode, &mut state, index)?;
            let found = match state.chunk_mut(index) {
                Some(chunk) if data => chunk.next_present(Space::Data, from)?,
                Some(chunk) => {
                    Some(chunk.next_absent(Space::Data, from)?).filter(|block| *block < self.blocks)
                }
                None => (!data).then_some(from),
            };
            if let Some(block) = found {
                let found = at.max(start + u64::from(block) * BLOCK_BYTES);
                return Ok(if found < size { Some(found) } else { (!data).then_some(size) });
            }
            at = match state.chunk_mut(index) {
                None if data => {
                    self.next_chunk(&mut state, index)?.map_or(size, |next| u64::from(next) * self.chunk_size)
                }
                _ => start + self.chunk_size,
            };
            if self.open.is_full() {
                drop(state);
                self.make_room();
                state = inode.state.write();
            }
        }
        Ok((!data).then_some(size))
    }

    /// The largest size a file may have, in bytes.
    pub fn size_limit(&self) -> u64 {
        self.chunk_size * (u64::from(LAST_INDEX) + 1)
    }

    /// Runs a change under the state lock, flushing or grounding the inode first when it has to be.
    pub(in crate::volume) fn attempt(
        &self,
        inode: &Arc<Inode>,
        change: impl Fn(&mut State) -> std::result::Result<(), Step>,
    ) -> Result<()> {
        self.check_writable()?;
        self.settle_name(inode)?;
        loop {
            let mut state = inode.state.write();
            check_file(&state)?;
            let had_file = state.head.as_deref().is_some_and(Chunk::has_file);
            let outcome = self.begin_file(inode, &mut state).and_then(|()| change(&mut state));
            let most = DIRTY_MOST.min(self.open.limit() / 2);
            let [many, too_many] = [most * 2 / 3, most].map(|count| state.others.are_dirty_above(count));
            if !had_file && state.head.as_deref().is_some_and(Chunk::has_file) {
                self.opened(inode, 0);
            }
            drop(state);
            self.make_room();
            match outcome {
                Ok(()) => {
                    self.queue(inode);
                    if too_many {
                        return self.flush(std::slice::from_ref(inode));
                    }
                    if many {
                        self.flusher.hurry();
                    }
                    return self.store_through(inode);
                }
                Err(Step::Flush) => self.flush(std::slice::from_ref(inode))?,
                Err(Step::Ground) => self.commit_batch(Some(inode))?,
                Err(Step::Anchor) => self.commit_anchor()?,
                Err(Step::Fail(error)) => return self.notice_in(inode, Err(error)),
            }
        }
    }

    pub(in crate::volume) fn check_in_use(&self) -> std::result::Result<(), Step> {
        if self.in_use.load(Ordering::Acquire) { Ok(()) } else { Err(Step::Anchor) }
    }

    pub(in crate::volume) fn check_size(&self, end: u64) -> Result<()> {
        if end > self.size_limit() { Err(Error::FileTooLarge) } else { Ok(()) }
    }

    pub(in crate::volume) fn index_of(&self, offset: u64) -> u32 {
        (offset / self.chunk_size) as u32
    }

    fn runs(&self, offset: u64, length: usize) -> impl Iterator<Item = Run> + use<> {
        let (size, end) = (self.chunk_size, offset + length as u64);
        let mut at = offset;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let from = at % size;
            let length = (size - from).min(end - at);
            let run = Run { index: (at / size) as u32, from, length: length as usize };
            at += length;
            Some(run)
        })
    }

    fn read_runs(&self, state: &State, offset: u64, mut out: &mut [u8]) -> Result<()> {
        if state.is_inline() {
            let head = state.head.as_deref().expect("it was looked for");
            out.copy_from_slice(&head.inline()[offset as usize..offset as usize + out.len()]);
            return Ok(());
        }
        for run in self.runs(offset, out.len()) {
            let (part, rest) = out.split_at_mut(run.length);
            match state.chunk(run.index) {
                Some(chunk) => read_bytes(chunk, run.from, part)?,
                None => part.fill(0),
            }
            out = rest;
        }
        Ok(())
    }

    fn open_for_reading(&self, inode: &Arc<Inode>, index: u32) -> Result<()> {
        let opened = self.open_chunk(inode, &mut inode.state.write(), index);
        self.make_room();
        opened
    }

    /// Opens a chunk if it exists.
    pub(in crate::volume) fn open_chunk(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        index: u32,
    ) -> Result<()> {
        self.open_head(inode, state)?;
        if index == 0 || state.others.contains(index) {
            return Ok(());
        }
        let head = state.head.as_deref().expect("it was opened");
        state.table.load(head, index)?;
        let Some(bound) = state.table.bound(index) else { return Ok(()) };
        let id = ChunkId { inode: inode.id(), index };
        let chunk = self.open_file(id, bound)?;
        state.others.insert(index, chunk);
        self.opened(inode, index);
        Ok(())
    }

    /// The next chunk behind `index` that exists.
    pub(in crate::volume) fn next_chunk(&self, state: &mut State, index: u32) -> Result<Option<u32>> {
        let head = state.head.as_deref().expect("it was opened");
        let stored = state.table.all_from(head, index + 1)?.first().copied();
        let open = state.others.from(index + 1).next();
        Ok(stored.into_iter().chain(open).min())
    }

    /// How much inline content chunk 0 has room for.
    pub(in crate::volume) fn inline_room(&self, state: &State) -> std::result::Result<u64, Step> {
        let record = state.record.root_length().map_err(|_| Error::NoSpace)?;
        Ok(state.head.as_deref().map_or(0, |head| head.inline_capacity(record)) as u64)
    }

    /// Writes into inline content, if what results is small enough to be inline.
    fn write_inline(&self, state: &mut State, offset: u64, data: &[u8]) -> std::result::Result<bool, Step> {
        let end = offset + data.len() as u64;
        if !state.is_inline() || end > BLOCK_BYTES || end > self.inline_room(state)? {
            return Ok(false);
        }
        let head = state.head.as_deref_mut().expect("it was opened");
        let mut content = head.inline().to_vec();
        content.resize(content.len().max(end as usize), 0);
        content[offset as usize..end as usize].copy_from_slice(data);
        head.set_inline(content);
        Ok(true)
    }

    /// Goes over from inline content to blocks.
    pub(in crate::volume) fn make_blocks(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
    ) -> std::result::Result<(), Step> {
        if !inode.grounded.load(Ordering::Acquire) {
            return Err(Step::Ground);
        }
        let head = state.head.as_deref_mut().expect("it was opened");
        let before = head.data_blocks()?;
        spill_inline(head)?;
        let after = head.data_blocks()?;
        state.count_blocks(before, after);
        Ok(())
    }

    fn write_runs(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        offset: u64,
        mut data: &[u8],
    ) -> std::result::Result<(), Step> {
        for run in self.runs(offset, data.len()) {
            let (part, rest) = data.split_at(run.length);
            self.open_chunk(inode, state, run.index)?;
            if run.index > 0 && !state.others.contains(run.index) {
                if state.shrunk.is_some() {
                    return Err(Step::Flush);
                }
                self.check_in_use()?;
                let id = ChunkId { inode: inode.id(), index: check_index(u64::from(run.index))? };
                state.head.as_deref_mut().expect("it was opened").hold(TABLE_BLOCKS)?;
                state.others.insert(run.index, Chunk::new(&self.context, id, self.blocks));
                self.opened(inode, run.index);
            }
            let chunk = state.chunk_mut(run.index).expect("it was opened or made");
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

impl State {
    pub(in crate::volume) fn chunk(&self, index: u32) -> Option<&Chunk> {
        if index == 0 { self.head.as_deref() } else { self.others.get(index) }
    }

    /// Whether a read of this chunk needs nothing to be opened.
    fn is_readable(&self, index: u32) -> bool {
        self.head.is_some()
            && (index == 0
                || self.others.contains(index)
                || self.table.is_loaded(index) && self.table.bound(index).is_none())
    }

    /// Whether the content is inline (or there is none, and nothing left of any). Needs chunk 0 to be open.
    pub(in crate::volume) fn is_inline(&self) -> bool {
        let Some(head) = &self.head else { return false };
        let bare =
            || self.others.is_empty() && self.table.is_empty() && head.data_blocks().is_ok_and(|n| n == 0);
        !head.inline().is_empty() || self.record.size == 0 && bare()
    }

    /// Size, times and mode bits after the content changed.
    pub(in crate::volume) fn touch(&mut self, size: u64, now: Option<Timestamp>, clear_mode: u32) {
        let record = &mut self.record;
        let beyond = size == record.size && record.mode & clear_mode == 0;
        record.size = size;
        if let Some(now) = now {
            (record.modified, record.changed) = (now, now);
        }
        record.mode &= !clear_mode;
        if beyond && !self.head.as_deref().is_some_and(Chunk::is_dirty) {
            self.change_beyond();
        } else {
            self.change();
        }
    }

    /// Keeps count of the blocks with data.
    pub(in crate::volume) fn count_blocks(&mut self, before: u32, after: u32) {
        let change = (i64::from(after) - i64::from(before)) * BLOCK as i64;
        self.record.allocated = self.record.allocated.saturating_add_signed(change);
    }
}

fn check_file(state: &State) -> Result<()> {
    match state.record.kind {
        // Not even that it ends: the kernel would show zeros behind it.
        Kind::File => state.check_whole(),
        Kind::Directory => Err(Error::IsDirectory),
        _ => Err(Error::Invalid),
    }
}

/// Reads bytes of a chunk: whole blocks straight into place, the ragged ends through a block of our own.
fn read_bytes(chunk: &Chunk, from: u64, out: &mut [u8]) -> chunk::Result<()> {
    let mut block = (from / BLOCK_BYTES) as u16;
    let within = (from % BLOCK_BYTES) as usize;
    let lead = if within == 0 { 0 } else { out.len().min(BLOCK - within) };
    let (ragged, rest) = out.split_at_mut(lead);
    if !ragged.is_empty() {
        let mut whole = [0; BLOCK];
        chunk.read_block(block, &mut whole)?;
        ragged.copy_from_slice(&whole[within..within + lead]);
        block += 1;
    }
    let (full, ragged) = rest.split_at_mut(rest.len() - rest.len() % BLOCK);
    if !full.is_empty() {
        chunk.read(Space::Data, block, full)?;
    }
    if !ragged.is_empty() {
        let mut whole = [0; BLOCK];
        chunk.read_block(block + (full.len() / BLOCK) as u16, &mut whole)?;
        ragged.copy_from_slice(&whole[..ragged.len()]);
    }
    Ok(())
}

/// Writes bytes of a chunk: whole blocks as they are, the ragged ends into what is there.
fn write_bytes(chunk: &mut Chunk, from: u64, data: &[u8]) -> chunk::Result<()> {
    let mut block = (from / BLOCK_BYTES) as u16;
    let within = (from % BLOCK_BYTES) as usize;
    let lead = if within == 0 { 0 } else { data.len().min(BLOCK - within) };
    let (ragged, rest) = data.split_at(lead);
    if !ragged.is_empty() {
        chunk.write_part(block, within, ragged)?;
        block += 1;
    }
    let (full, ragged) = rest.split_at(rest.len() - rest.len() % BLOCK);
    if !full.is_empty() {
        chunk.write(Space::Data, block, full)?;
    }
    if !ragged.is_empty() {
        chunk.write_part(block + (full.len() / BLOCK) as u16, 0, ragged)?;
    }
    Ok(())
}
