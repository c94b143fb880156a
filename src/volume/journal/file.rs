//! The journal's chunk file: a stream of batches (docs/FORMAT.md section 9).
//!
//! What a batch says is `freeze`'s affair; here it is bytes that are appended, made durable, and dropped.

use crate::chunk::{self, BLOCK, Chunk, ChunkId, Context};
use crate::volume::format::limits;
use crate::volume::format::wire::{Malformed, Reader};
use crate::volume::mutants::{self, Mutant};
use crate::volume::stream::Stream;
use crate::volume::{Error, Result};
use std::sync::Arc;

/// Data blocks of a journal.
pub(in crate::volume) const BLOCKS: u16 = 4096;
/// Slots allocated ahead, so that metadata can be committed when the disk is full.
const AHEAD: u32 = 256;
/// The same in bytes.
pub(in crate::volume) const HELD: u64 = AHEAD as u64 * BLOCK as u64;
const RECORD: usize = 24;
const KIND: u8 = 8;

const STREAM: Stream = Stream { modulus: BLOCKS, overhead: RECORD + 31 * 32 };

/// This device's journal.
pub(in crate::volume) struct Journal {
    chunk: Chunk,
    head: u64,
    tail: u64,
    /// Batches were dropped of which orphans and reserved ids are still wanted: the next one has to repeat them.
    wants_anchor: bool,
    /// What was allocated ahead was given back to a full disk.
    gave_back: bool,
}

/// The live stream of a journal, with where it ends.
pub(in crate::volume) struct Live {
    pub stream: Vec<u8>,
    chunk: Chunk,
    head: u64,
    tail: u64,
}

/// Reads a journal; `None` if there is no such file.
pub(in crate::volume) fn read(context: &Arc<Context>, id: ChunkId) -> Result<Option<Live>> {
    let chunk = match Chunk::open(context, id, BLOCKS) {
        Ok(chunk) => chunk,
        Err(chunk::Error::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (head, tail) = decode(chunk.record()).map_err(|what| Error::Damaged(id, what.0.into()))?;
    let stream = STREAM.read(&chunk, head, tail)?;
    Ok(Some(Live { stream, chunk, head, tail }))
}

/// The same of this device's own. A crash may have left one whose first root was never durable: nothing was acknowledged by
/// it, and it must keep nobody out. That root goes to slot 0, so where slot 1 holds anything there was a later one.
pub(in crate::volume) fn read_own(context: &Arc<Context>) -> Result<Option<Live>> {
    let id = context.own_journal();
    match read(context, id) {
        Err(error) if error.is_damage() && context.recall.known(id).is_none() => {
            let mut second = [0; BLOCK];
            context.store.open(context.file_name(id))?.read_at(BLOCK as u64, &mut second)?;
            if second != [0; BLOCK] {
                return Err(error);
            }
            log::info!("a journal that a crash kept from being begun is begun anew: {error}");
            Ok(None)
        }
        live => live,
    }
}

/// Whether a journal's file is sealed under an older epoch, or has not arrived or is an old one, so that it may be.
pub(in crate::volume) fn may_need_old_epoch(context: &Arc<Context>, id: ChunkId) -> Result<bool> {
    match Chunk::open(context, id, BLOCKS) {
        Ok(chunk) => Ok(!chunk.epoch_is_newest()),
        Err(chunk::Error::Incomplete(_)) => Ok(true),
        Err(chunk::Error::RolledBack { .. }) => Ok(true),
        Err(chunk::Error::Missing(_) | chunk::Error::Deleted(_) | chunk::Error::Damaged(..)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Journal {
    /// A journal without a file yet.
    pub fn new(context: &Arc<Context>) -> Journal {
        Journal {
            chunk: Chunk::new(context, context.own_journal(), BLOCKS),
            head: 0,
            tail: 0,
            wants_anchor: false,
            gave_back: false,
        }
    }

    /// Goes on where a journal ended.
    pub fn resume(live: Live) -> Journal {
        Journal { chunk: live.chunk, head: live.head, tail: live.tail, wants_anchor: false, gave_back: false }
    }

    /// The end of the stream.
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// Live bytes.
    pub fn len(&self) -> u64 {
        self.tail - self.head
    }

    /// Whether a batch of that many bytes can be appended.
    pub fn has_room(&self, length: usize) -> bool {
        self.len() + length as u64 <= limits::journal()
    }

    /// Whether a round should come soon and drop something.
    pub fn is_filling(&self) -> bool {
        self.len() > limits::journal() / 4
    }

    /// Whether the next batch has to be an anchor.
    pub fn wants_anchor(&self) -> bool {
        self.wants_anchor
    }

    /// Appends a batch and makes it durable. The moment this returns is the moment it happened. After an error the
    /// stream ends where it did before.
    pub fn append(&mut self, context: &Arc<Context>, batch: &[u8]) -> Result<()> {
        let begun = match self.chunk.version().commit() {
            chunk::Commit(0) => self.chunk.preallocate(AHEAD).map_err(Error::from),
            _ => Ok(()),
        };
        // As soon as there is room again.
        if self.gave_back {
            self.gave_back = self.chunk.preallocate(AHEAD).is_err();
        }
        let (tail, inline) = (self.tail, self.chunk.inline().to_vec());
        let appended = begun.and_then(|()| STREAM.append(&mut self.chunk, tail, batch)).and_then(|()| {
            self.tail += batch.len() as u64;
            self.commit(context)
        });
        match appended {
            Ok(()) => self.wants_anchor = false,
            // No root was written for certain: what there is of a file is not a journal yet, and none could be read.
            Err(_) if self.chunk.version().commit() == chunk::Commit(0) => {
                (self.tail, self.gave_back) = (tail, false);
                self.chunk = Chunk::new(context, context.own_journal(), BLOCKS);
                context.store.remove(context.file_name(context.own_journal()))?;
            }
            Err(_) => {
                self.tail = tail;
                self.chunk.set_inline(inline);
            }
        }
        appended
    }

    /// Gives back what was allocated ahead, on a full disk: for what has to be stored before the next batch. Whether
    /// there was anything.
    pub fn give_back(&mut self) -> Result<bool> {
        let gave = self.chunk.give_back()?;
        self.gave_back |= gave;
        Ok(gave)
    }

    /// Forgets all batches before a position; the next one has to be an anchor.
    pub fn replace_until(&mut self, position: u64) -> Result<()> {
        self.wants_anchor = true;
        self.drop_until(position)
    }

    /// Forgets all batches before a position. The next commit says so.
    pub fn drop_until(&mut self, position: u64) -> Result<()> {
        STREAM.drop_front(&mut self.chunk, self.head, position)?;
        self.head = position;
        Ok(())
    }

    /// Forgets all batches, durably, and leaves nothing under an older epoch; lets a journal that was never used alone.
    pub fn clear(&mut self, context: &Context) -> Result<()> {
        if self.len() == 0 {
            return self.renew(context);
        }
        self.drop_until(self.tail)?;
        self.commit(context)?;
        // Spoiling one root must not bring old batches back.
        if !mutants::is_active(Mutant::JournalNotSettled) {
            self.chunk.settle()?;
        }
        Ok(self.chunk.sync_rest()?)
    }

    /// Seals the journal under the newest epoch, both of its roots.
    pub fn renew(&mut self, context: &Context) -> Result<()> {
        if self.chunk.epoch_is_newest() {
            return Ok(());
        }
        self.commit(context)?;
        self.commit(context)
    }

    fn commit(&mut self, context: &Context) -> Result<()> {
        let mut record = vec![1, KIND, 0, 0, 0, 0, 0, 0];
        record.extend_from_slice(&self.head.to_le_bytes());
        record.extend_from_slice(&self.tail.to_le_bytes());
        self.chunk.set_record(record);
        if self.chunk.wants_rewrite() {
            self.chunk.rewrite()?;
        }
        self.chunk.commit()?;
        self.chunk.sync()?;
        if self.chunk.is_name_new() {
            context.store.sync_names(&[context.file_name(self.chunk.id())])?;
            self.chunk.name_synced();
        }
        Ok(())
    }
}

pub(in crate::volume) fn decode(record: &[u8]) -> std::result::Result<(u64, u64), Malformed> {
    let mut reader = Reader(record);
    if reader.array()? != [1, KIND, 0, 0, 0, 0, 0, 0] {
        return Err(Malformed("this is no journal"));
    }
    let (head, tail) = (reader.u64()?, reader.u64()?);
    if !reader.is_empty() || head > tail || tail - head > limits::JOURNAL {
        return Err(Malformed("the journal's ends make no sense"));
    }
    Ok((head, tail))
}
