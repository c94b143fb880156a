//! Attempts to change a file's content: what one wants before it can get through, and the loop that obeys.

use super::Data;
use crate::chunk::{self, BLOCK, Chunk, ChunkIndex, Wish};
use crate::volume::format::kinds::Kind;
use crate::volume::inode::state::{Inode, State};
use crate::volume::inode::stored::spill_inline;
use crate::volume::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub const BLOCK_BYTES: u64 = BLOCK as u64;
/// Dirty chunks of one inode at which a writer waits for its flush; at two thirds of that the flush is hurried on. It
/// bounds open descriptors and the maps in memory (some 40 KiB a chunk). Where a file has more chunks than that, a
/// write at random costs a commit.
const DIRTY_MOST: usize = 400;

/// Why an attempt under the state lock did not get through.
pub enum Step {
    /// The inode has to be flushed first.
    Flush,
    /// A batch has to name the inode, or reserve its id, before chunk files are made.
    MakeIdDurable,
    /// The journal has to be in use before chunk files come or go.
    CheckpointBatch,
    /// There is no space to be held for storing the change; a checkpoint may make some.
    NoRoom(Error),
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
            chunk::Error::SlotsExhausted(_) | chunk::Error::Failed(_) => Step::Flush,
            error => Step::Fail(error.into()),
        }
    }
}

impl Data {
    /// Runs a change under the state lock, flushing the inode or making its id durable first where that is needed.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], [`Error::Stopped`]; as [`check_file`]; damage to the inode, of which note is taken;
    /// [`Error::NoSpace`] where a checkpoint makes none; those of flushing and committing, after which the change may
    /// have been made.
    pub fn attempt(
        &self,
        inode: &Arc<Inode>,
        change: impl Fn(&mut State) -> std::result::Result<(), Step>,
    ) -> Result<()> {
        self.base.check_writable()?;
        self.writeback.settle();
        let (mut room_was_made, mut was_recovered) = (false, false);
        loop {
            let mut state = inode.state.write();
            check_file(&state)?;
            let had_file = state.first_chunk.as_deref().is_some_and(Chunk::has_file);
            let outcome = self
                .cache
                .open_first_chunk(inode, &mut state)
                .map_err(Step::from)
                .and_then(|()| change(&mut state));
            let most = DIRTY_MOST.min(self.cache.open_limit() / 2);
            let [many, too_many] = [most * 2 / 3, most].map(|count| state.are_dirty_above(count));
            if !had_file && state.first_chunk.as_deref().is_some_and(Chunk::has_file) {
                self.cache.opened(inode, ChunkIndex::FIRST);
            }
            drop(state);
            self.writeback.make_room();
            match outcome {
                Ok(()) => {
                    self.cache.queue(inode);
                    if self.base.context.headroom.is_careful() {
                        self.writeback.settle();
                        return self.writeback.sync(inode, false);
                    }
                    if too_many {
                        return self.writeback.flush(std::slice::from_ref(inode));
                    }
                    if many || self.base.context.keeps_much() {
                        self.base.schedule.hurry();
                    }
                    return Ok(());
                }
                Err(Step::Flush) => self.writeback.flush(std::slice::from_ref(inode))?,
                Err(Step::MakeIdDurable) => {
                    // Without its content, which is about to be another one.
                    self.journal.names().add(inode);
                    self.writeback.commit(&[])?
                }
                Err(Step::CheckpointBatch) => self.writeback.commit_checkpoint_batch()?,
                Err(Step::NoRoom(error)) => {
                    if std::mem::replace(&mut room_was_made, true) || self.writeback.checkpoint().is_err() {
                        return Err(error);
                    }
                }
                // The folder may answer again, or through another connection.
                Err(Step::Fail(error))
                    if error.is_of_the_store()
                        && !std::mem::replace(&mut was_recovered, true)
                        && self.writeback.recover(inode).is_ok() => {}
                Err(Step::Fail(error)) => return self.cache.notice_in(inode, Err(error)),
            }
        }
    }

    /// Refuses a change of content upon one that has not arrived below `size`.
    ///
    /// # Errors
    ///
    /// As `Writeback::check_arrived`.
    pub fn check_arrived(&self, inode: &Arc<Inode>, size: u64) -> Result<()> {
        // Before anything else: what is refused changes nothing.
        if !inode.state.read().wants_whole() {
            return Ok(());
        }
        let arrived = self.writeback.check_arrived(inode, &mut inode.state.write(), size);
        self.cache.notice_in(inode, arrived)
    }

    /// Holds space for storing a file after a change: `blocks` more in chunk 0, and an end at `end`. What gives space back
    /// goes on without.
    ///
    /// # Errors
    ///
    /// [`Step::NoRoom`] if there is no space for what takes some; [`Step::Fail`] for what does not pass, such as
    /// damage to a map block.
    pub fn hold_room(
        &self,
        state: &mut State,
        blocks: usize,
        end: u64,
        wish: Wish,
    ) -> std::result::Result<(), Step> {
        match state.hold_room(&self.base.context.headroom, blocks, end, wish) {
            Err(error) if error.is_passing() && wish == Wish::Takes => Err(Step::NoRoom(error)),
            Err(error) if !error.is_passing() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Demands that chunk files may come and go.
    ///
    /// # Errors
    ///
    /// [`Step::CheckpointBatch`] if they may not yet.
    pub fn check_in_use(&self) -> std::result::Result<(), Step> {
        if self.journal.is_in_use() { Ok(()) } else { Err(Step::CheckpointBatch) }
    }

    /// Bytes of inline content that chunk 0 has room for.
    ///
    /// # Errors
    ///
    /// [`Step::Fail`] with [`Error::NoSpace`] if the extension exceeds a limit of the format.
    pub fn inline_room(&self, state: &State) -> std::result::Result<u64, Step> {
        let record = state.record.root_length().map_err(|_| Error::NoSpace)?;
        Ok(state.first_chunk.as_deref().map_or(0, |first_chunk| first_chunk.inline_capacity(record)) as u64)
    }

    /// Goes over from inline content to blocks.
    ///
    /// # Errors
    ///
    /// [`Step::MakeIdDurable`] if no chunk file may be made yet; [`Step::Fail`] if the block cannot be written, or a
    /// map block not be read.
    pub fn make_blocks(&self, inode: &Arc<Inode>, state: &mut State) -> std::result::Result<(), Step> {
        if !inode.id_durable.load(Ordering::Acquire) {
            return Err(Step::MakeIdDurable);
        }
        let first_chunk = state.first_chunk_mut();
        let before = first_chunk.data_blocks()?;
        spill_inline(first_chunk)?;
        let after = first_chunk.data_blocks()?;
        state.count_blocks(before, after);
        Ok(())
    }
}

/// Refuses what is no file, and a file of which a part is lost.
///
/// # Errors
///
/// [`Error::IsDirectory`], [`Error::Invalid`] for anything else that has no content; as [`State::check_whole`].
pub fn check_file(state: &State) -> Result<()> {
    match state.record.kind {
        // Not even that it ends: the kernel would show zeros behind it.
        Kind::File => state.check_whole(),
        Kind::Directory => Err(Error::IsDirectory),
        _ => Err(Error::Invalid),
    }
}
