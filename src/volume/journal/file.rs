//! The journal's chunk file: a stream of batches (docs/FORMAT.md section 9).
//!
//! What a batch says is `freeze`'s affair; here it is bytes that are appended, made durable, and dropped.

use crate::chunk::{self, BLOCK, Chunk, ChunkId, Context, Hold};
use crate::volume::format::journal::{JournalRecord, RECORD};
use crate::volume::format::limits::{self, JOURNAL_BLOCKS};
use crate::volume::mutants::{self, Mutant};
use crate::volume::stream::Stream;
use crate::volume::{Damage, Error, Result};
use std::io::ErrorKind;
use std::sync::Arc;

/// Slots that the file has in any case. A sync client copies it with each change of names.
const AHEAD: u32 = 4;
/// The same where the store can hold no space otherwise, so that metadata can be committed when the disk is full.
const AHEAD_HELD: u32 = 256;

const STREAM: Stream = Stream { modulus: JOURNAL_BLOCKS, overhead: RECORD + 31 * 32 };

/// This device's journal.
pub struct JournalFile {
    chunk: Chunk,
    head: u64,
    tail: u64,
    /// The bytes of its last, partial block, once they are known: what is appended follows them.
    last: Option<Vec<u8>>,
    /// What stands before it is stored elsewhere, and goes with the next batch, which has to repeat orphans and reserved
    /// ids.
    done: Option<u64>,
    /// What was allocated ahead was given back to a full disk.
    gave_back: bool,
    /// Its name leads to no file of it any more: the next batch makes it anew.
    is_lost: bool,
}

/// The live stream of a journal, with where it ends.
pub struct Live {
    pub stream: Vec<u8>,
    chunk: Chunk,
    pub head: u64,
    tail: u64,
}

impl Live {
    /// What people call the device.
    pub fn label(&self) -> String {
        JournalRecord::decode(self.chunk.record())
            .map_or_else(|_| String::new(), |record| record.label.into())
    }

    /// The newest commit.
    pub fn commit(&self) -> chunk::Commit {
        self.chunk.version().commit()
    }
}

/// Slots that a journal's file has in any case.
pub fn ahead(context: &Context) -> u32 {
    if context.headroom.is_physical() { AHEAD } else { AHEAD_HELD }
}

/// Reads a journal; `None` if there is no such file.
///
/// # Errors
///
/// [`Error::Damaged`] if it makes no sense, is older than it was, or is gone although it was known;
/// [`Error::NotArrived`] if it is not whole; the store's.
pub fn read(context: &Arc<Context>, id: ChunkId) -> Result<Option<Live>> {
    let chunk = match Chunk::open(context, id, JOURNAL_BLOCKS) {
        Ok(chunk) => chunk,
        Err(chunk::Error::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let record = JournalRecord::decode(chunk.record()).map_err(|what| Error::Damaged(id, what.0.into()))?;
    let (head, tail) = (record.head, record.tail);
    let stream = STREAM.read(&chunk, head, tail)?;
    Ok(Some(Live { stream, chunk, head, tail }))
}

/// The same of this device's own. A crash may have left one whose first root was never durable: nothing was acknowledged by
/// it, and it must keep nobody out. That root goes to slot 0, so where slot 1 holds anything there was a later one.
///
/// # Errors
///
/// As [`read`].
pub fn read_own(context: &Arc<Context>) -> Result<Option<Live>> {
    let id = context.own_journal();
    match read(context, id) {
        Err(error) if error.is_damage() && context.recall.known(id).is_none() => {
            if !Chunk::was_never_durable(context, id)? {
                return Err(error);
            }
            log::info!(
                "a journal whose first commit a crash kept from being durable is started again, empty: {error}"
            );
            Ok(None)
        }
        live => live,
    }
}

/// Whether a journal's file is sealed under an older epoch, or has not arrived or is an old one, so that it may be.
///
/// # Errors
///
/// The store's, if that cannot be told.
pub fn may_need_old_epoch(context: &Arc<Context>, id: ChunkId) -> Result<bool> {
    match Chunk::open(context, id, JOURNAL_BLOCKS) {
        Ok(chunk) => Ok(!chunk.epoch_is_newest()),
        Err(chunk::Error::Incomplete(_)) => Ok(true),
        Err(chunk::Error::RolledBack { .. }) => Ok(true),
        Err(chunk::Error::Missing(_) | chunk::Error::Deleted(_) | chunk::Error::Damaged(..)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl JournalFile {
    /// A journal without a file yet.
    pub fn new(context: &Arc<Context>) -> JournalFile {
        JournalFile {
            chunk: Chunk::new(context, context.own_journal(), JOURNAL_BLOCKS),
            head: 0,
            tail: 0,
            last: None,
            done: None,
            gave_back: false,
            is_lost: false,
        }
    }

    /// Goes on where a journal ended.
    pub fn resume(live: Live) -> JournalFile {
        JournalFile {
            chunk: live.chunk,
            head: live.head,
            tail: live.tail,
            last: None,
            done: None,
            gave_back: false,
            is_lost: false,
        }
    }

    /// The end of the stream.
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// The start of the stream, in memory and, after a batch, on the disk.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Live bytes, without those that go with the next batch.
    pub fn len(&self) -> u64 {
        self.tail - self.done.unwrap_or(self.head)
    }

    /// Whether a batch of that many bytes can be appended.
    pub fn has_room(&self, length: usize) -> bool {
        self.len() + length as u64 <= limits::journal()
    }

    /// Whether a checkpoint should come soon and drop something.
    pub fn is_filling(&self) -> bool {
        self.len() > limits::journal() / 2
    }

    /// Whether the next batch has to be a checkpoint batch.
    pub fn wants_checkpoint_batch(&self) -> bool {
        self.done.is_some()
    }

    /// Appends a batch and makes it durable. The moment this returns is the moment it happened. After an error the
    /// stream ends where it did before. `hold`: space for it, of which an error leaves what was not used.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`]; [`Error::Damaged`] or [`Error::NotArrived`] if the file was replaced, or what has to be
    /// read of it cannot be; the store's.
    pub fn append(&mut self, context: &Arc<Context>, batch: &[u8], hold: &mut Hold) -> Result<()> {
        let former = self.begin_anew(context)?;
        self.chunk.lend(std::mem::take(hold));
        let begun = match self.chunk.version().commit() {
            chunk::Commit(0) => self.chunk.preallocate(ahead(context)).map_err(Error::from),
            _ => self.chunk.recover().map_err(Error::from),
        };
        // As soon as there is room again.
        if self.gave_back {
            self.gave_back = self.chunk.preallocate(ahead(context)).is_err();
        }
        let (tail, mut inline, drops) = (self.tail, None, self.done.is_some());
        let appended = begun.and_then(|()| self.drop_done()).and_then(|()| {
            self.chunk.grow_in_steps((tail as usize % BLOCK + batch.len()) / BLOCK + 1)?;
            let mut last = self.last.take().map_or_else(|| STREAM.partial(&self.chunk, tail), Ok)?;
            inline = Some(self.chunk.take_inline());
            STREAM.append_to(&mut last, &mut self.chunk, tail, batch)?;
            self.tail += batch.len() as u64;
            self.commit(context)?;
            self.last = Some(last);
            Ok(())
        });
        if appended.is_err() {
            *hold = self.chunk.take_hold();
            if let Some(former) = former {
                // It still says all that is durable; what was made in its place is of no use.
                (self.tail, self.chunk) = (tail, former);
                remove_file(context);
                return appended;
            }
        }
        match appended {
            Ok(()) => {
                (self.done, self.is_lost) = (None, false);
                if drops && let Err(error) = self.chunk.give_back_end() {
                    log::warn!("the journal's file stays as large as it is: {error}");
                }
            }
            // No root was written for certain: what there is of a file is not a journal yet, and none could be read.
            Err(_) if self.chunk.version().commit() == chunk::Commit(0) => {
                (self.tail, self.gave_back) = (tail, false);
                self.chunk = Chunk::new(context, context.own_journal(), JOURNAL_BLOCKS);
                context.store.remove(context.file_name(context.own_journal()))?;
            }
            Err(_) => {
                self.tail = tail;
                inline.into_iter().for_each(|inline| self.chunk.set_inline(inline));
            }
        }
        appended
    }

    /// Keeps the batches before the last one from coming back to light by themselves, where a block of that is spoilt and this process is
    /// gone. What cannot be done now is done at the end.
    pub fn settle(&mut self) {
        if let Err(error) = self.chunk.write_backup_root() {
            log::debug!("the journal is settled later: {error}");
        }
    }

    /// After the volume stopped. Where somebody took the file away, or put an older version of it there, the next batch makes
    /// it anew: all that it says is still in the file that is open.
    ///
    /// # Errors
    /// `Damaged`: another process wrote what stands there, as this device.
    pub fn restart(&mut self, context: &Arc<Context>) -> Result<()> {
        if self.chunk.is_current()? {
            return Ok(());
        }
        let id = context.own_journal();
        let is_ours = |found: &Chunk| {
            let found = found.version();
            found.commit() <= self.chunk.durable()
                || found == self.chunk.version()
                || mutants::is_active(Mutant::RestartedOverTwin)
        };
        match context.store.open(context.file_name(id)) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {}
            Err(error) => return Err(error.into()),
            Ok(file) => match Chunk::open_file(context, id, JOURNAL_BLOCKS, file, None) {
                Err(chunk::Error::Io(_, error)) => return Err(error.into()),
                Ok(found) if !is_ours(&found) => {
                    return Err(Error::Damaged(id, Damage::Replaced));
                }
                _ => {}
            },
        }
        self.is_lost = true;
        Ok(())
    }

    /// If the file is lost, takes another one, with all that it says; returns the former one.
    fn begin_anew(&mut self, context: &Arc<Context>) -> Result<Option<Chunk>> {
        if !self.is_lost {
            return Ok(None);
        }
        let id = context.own_journal();
        if mutants::is_active(Mutant::RestartedEmpty) {
            self.head = self.tail;
        }
        let stream = STREAM.read(&self.chunk, self.head, self.tail)?;
        context.saw_known(id);
        let mut anew = Chunk::new(context, id, JOURNAL_BLOCKS);
        STREAM.append(&mut anew, self.head, &stream).inspect_err(|_| remove_file(context))?;
        Ok(Some(std::mem::replace(&mut self.chunk, anew)))
    }

    /// Gives back what was allocated ahead, on a full disk: for what has to be stored before the next batch. Whether
    /// there was anything.
    ///
    /// # Errors
    ///
    /// The store's, if the file cannot be cut.
    pub fn give_back(&mut self) -> Result<bool> {
        let gave = self.chunk.give_back()?;
        self.gave_back |= gave;
        Ok(gave)
    }

    /// Forgets all batches before a byte of the stream as soon as the next batch is there, a checkpoint batch.
    pub fn replace_until(&mut self, position: u64) {
        self.done = Some(position);
    }

    fn drop_done(&mut self) -> Result<()> {
        let position = self.done.unwrap_or(self.head);
        STREAM.drop_front(&mut self.chunk, self.head, position)?;
        self.head = position;
        Ok(())
    }

    /// Forgets all batches, durably, and leaves nothing under an older epoch; lets a journal that was never used alone.
    ///
    /// # Errors
    ///
    /// As [`JournalFile::append`]; what is durable of the batches stays so.
    pub fn clear(&mut self, context: &Context) -> Result<()> {
        self.chunk.recover()?;
        if self.head == self.tail {
            return self.renew(context);
        }
        self.replace_until(self.tail);
        self.drop_done()?;
        self.commit(context)?;
        self.done = None;
        // Spoiling one root must not bring old batches back.
        if !mutants::is_active(Mutant::JournalWithoutBackupRoot) {
            self.chunk.write_backup_root()?;
        }
        Ok(self.chunk.sync_rest()?)
    }

    /// Seals the journal under the newest epoch, both of its roots.
    ///
    /// # Errors
    ///
    /// As [`JournalFile::append`].
    pub fn renew(&mut self, context: &Context) -> Result<()> {
        if self.chunk.epoch_is_newest() {
            return Ok(());
        }
        self.commit(context)?;
        self.commit(context)
    }

    fn commit(&mut self, context: &Context) -> Result<()> {
        let (head, tail) = (self.head, self.tail);
        self.chunk.set_record(JournalRecord { head, tail, label: &context.label }.encode());
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

/// Removes this device's journal after an error, which is the one to report.
fn remove_file(context: &Context) {
    let _ = context.store.remove(context.file_name(context.own_journal()));
}
