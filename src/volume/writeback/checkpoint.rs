//! A checkpoint: what is pending becomes a batch, what changed goes to its chunks, and the batch can be dropped. The only
//! place that loops over commits: whatever a commit demands is done here, and the commit tried again.

use super::Writeback;
use crate::volume::inode::state::Inode;
use crate::volume::journal::Commitment;
use crate::volume::mutants::{self, Mutant};
use crate::volume::writeback::flush::Mode;
use crate::volume::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Writeback {
    /// Makes everything durable in its place. After an error what is not done yet waits for the next checkpoint, which
    /// goes on from the same checkpoint batch: on a full disk the journal must not fill up with them. Deleted files go
    /// whether or not there was room for the rest: they are what makes room.
    ///
    /// # Errors
    /// One that passes leaves the rest to the next checkpoint; any other stops the volume.
    pub fn checkpoint(&self) -> Result<()> {
        let mut unfinished = self.unfinished.lock();
        self.base.check_live()?;
        if !self.has_work() {
            return Ok(());
        }
        if mutants::is_active(Mutant::BatchDroppedEarly) {
            let mut file = self.journal.file();
            let tail = file.tail();
            file.replace_until(tail)?;
        }
        let commit = || match *unfinished {
            Some(start) => self.commit_behind(start),
            None => self.commit_checkpoint_batch_within(),
        };
        let start = match commit() {
            Err(error) if error.is_passing() && self.catalog.pending_deletes() > 0 => {
                self.catalog.remove_deleted()?;
                commit()?
            }
            start => start?,
        };
        *unfinished = Some(start);
        let stored = self.store_all()?;
        self.journal.file().drop_until(start)?;
        *unfinished = None;
        self.low_space.store(false, Ordering::Relaxed);
        for inode in stored {
            self.reclaim(&inode);
            self.cache.forget_if_clean(&inode);
        }
        self.base.context.recall.keep();
        Ok(())
    }

    /// Commits everything pending as one batch; returns when it is durable. Content of `carry` goes with it, if it can.
    pub fn commit(&self, carry: Option<&Arc<Inode>>) -> Result<()> {
        if self.try_commit(carry, false)?.is_none() {
            let mut unfinished = self.unfinished.lock();
            // The checkpoint that was waited for may have made room.
            if self.try_commit(carry, false)?.is_none() {
                *unfinished = None;
                self.commit_in_room(carry)?;
            }
        }
        Ok(())
    }

    /// Commits a checkpoint batch, whether or not something is pending.
    pub fn commit_checkpoint_batch(&self) -> Result<()> {
        let mut unfinished = self.unfinished.lock();
        // It may be dropped here: no checkpoint can go on from it.
        *unfinished = None;
        self.commit_checkpoint_batch_within().map(|_| ())
    }

    /// The same, within a checkpoint. Returns where the batch starts.
    fn commit_checkpoint_batch_within(&self) -> Result<u64> {
        match self.try_commit(None, true)? {
            Some(start) => Ok(start),
            None => self.commit_in_room(None),
        }
    }

    /// Commits what is pending in a checkpoint that goes on from the batch of one that failed; returns the batch to drop
    /// until.
    fn commit_behind(&self, start: u64) -> Result<u64> {
        match self.try_commit(None, false)? {
            Some(_) => Ok(start),
            None => self.commit_in_room(None),
        }
    }

    /// Commits a checkpoint batch that takes the place of everything in the journal, which is full. Within a checkpoint.
    /// Batches that others commit while it stores are not stored by it, and stay.
    fn commit_in_room(&self, carry: Option<&Arc<Inode>>) -> Result<u64> {
        let full = self.journal.file().tail();
        self.store_all()?;
        self.journal.file().replace_until(full)?;
        self.try_commit(carry, true)?.ok_or(Error::NoSpace)
    }

    /// Commits a batch, once every source of a replacing rename is durable or can be carried. Returns where it starts;
    /// `None` if the journal has no room for it.
    pub fn try_commit(&self, carry: Option<&Arc<Inode>>, checkpoint: bool) -> Result<Option<u64>> {
        loop {
            match self.journal.commit(carry, checkpoint)? {
                Commitment::Durable(start) => return Ok(Some(start)),
                Commitment::Full => return Ok(None),
                Commitment::Unready(sources) => self.store_sources(&sources)?,
            }
        }
    }

    /// On a full disk they get the room that the journal has ahead: what else waits for this batch may be what makes room.
    fn store_sources(&self, sources: &[Arc<Inode>]) -> Result<()> {
        match self.store(sources) {
            Ok(()) => Ok(()),
            Err(error) if error.is_passing() => {
                self.low_space.store(true, Ordering::Relaxed);
                if self.journal.file().give_back()? { self.store(sources) } else { Err(error) }
            }
            Err(error) => {
                self.base.stop(&error);
                Err(error)
            }
        }
    }

    /// Makes what batches say so far durable in its place. Within a checkpoint. What cannot be done and will not pass is
    /// the end of the volume: the journal would fill up.
    pub fn store_all(&self) -> Result<Vec<Arc<Inode>>> {
        let named = self.cache.take_queue();
        let flushed = self.store(&named);
        let outcome = flushed.and(self.catalog.remove_deleted());
        let outcome = outcome.and_then(|()| self.catalog.sweep()).and_then(|()| self.catalog.sync_unlinks());
        if let Err(error) = outcome {
            self.cache.notice(&error);
            named.iter().for_each(|inode| self.cache.queue(inode));
            if !error.is_passing() {
                self.base.stop(&error);
            }
            return Err(error);
        }
        Ok(named)
    }

    /// Flushes inodes, and salvages those that damage to their own chunk files keeps from it. Directories are rebuilt
    /// within a checkpoint only.
    pub fn store(&self, inodes: &[Arc<Inode>]) -> Result<()> {
        let damaged = self.flush_each(inodes, Mode::AtRest)?;
        if damaged.is_empty() { Ok(()) } else { self.salvage(damaged) }
    }

    /// Whether a checkpoint has anything to do. Takes one lock at a time.
    fn has_work(&self) -> bool {
        self.cache.has_queued() || !self.journal.names().is_empty() || self.catalog.has_work()
    }

    /// Makes everything that was done so far durable in its place.
    pub fn sync_all(&self) -> Result<()> {
        match self.checkpoint() {
            Err(error) if !error.is_passing() => Err(error),
            // What it removed may have made room.
            Err(_) => self.checkpoint(),
            // What was made while a checkpoint was under way already waits for another.
            Ok(()) if self.has_work() => self.checkpoint(),
            Ok(()) => Ok(()),
        }
    }

    /// Makes everything durable in its place, and deletes what nobody will use any more.
    pub fn finish(&self) -> Result<()> {
        self.journal.names().delete_orphans();
        self.sync_all()
    }
}
