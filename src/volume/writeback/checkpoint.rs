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
    /// needs no checkpoint batch of its own: on a full disk the journal must not fill up with them. Deleted files go whether
    /// or not there was room for the rest: they are what makes room.
    ///
    /// # Errors
    ///
    /// One that passes leaves the rest to the next checkpoint; any other stops the volume.
    pub fn checkpoint(&self) -> Result<()> {
        let mut unfinished = self.unfinished.lock();
        let stored = self.store_in_place(&mut unfinished)?;
        // The durable journal would stand in for files that are in their place, should they be taken away.
        let any = stored.is_some_and(|stored| self.base.stand_ins.lock().any_before(stored));
        if !any || mutants::is_active(Mutant::StandInsKept) {
            return Ok(());
        }
        match self.try_commit(&[], true) {
            Err(error) if !error.is_passing() => Err(error),
            // It goes with the next batch.
            _ => Ok(()),
        }
    }

    /// The part of a checkpoint after which everything is where it belongs. Returns up to where the journal is of no use
    /// any more; none if there was nothing to do.
    fn store_in_place(&self, unfinished: &mut bool) -> Result<Option<u64>> {
        self.base.check_live()?;
        if !self.has_work() {
            return Ok(None);
        }
        if mutants::is_active(Mutant::BatchDroppedEarly) {
            let mut file = self.journal.file();
            let tail = file.tail();
            file.replace_until(tail);
        }
        if self.journal.has_news() {
            match self.commit_within(!*unfinished) {
                Err(error) if error.is_passing() && self.catalog.pending_deletes() > 0 => {
                    self.catalog.remove_deleted()?;
                    self.commit_within(!*unfinished)?
                }
                committed => committed?,
            }
            *unfinished = true;
        }
        let full = self.journal.file().tail();
        let makes_room = self.catalog.pending_deletes() > 0;
        let stored = match self.store_all() {
            Err(error) if error.is_passing() && makes_room => self.store_all()?,
            stored => stored?,
        };
        self.journal.file().replace_until(full);
        *unfinished = false;
        self.low_space.store(false, Ordering::Relaxed);
        for inode in stored {
            self.reclaim(&inode);
            self.cache.forget_if_clean(&inode);
        }
        self.base.context.recall.keep();
        self.base.context.headroom.refresh();
        Ok(Some(full))
    }

    /// Commits everything pending as one batch; returns when it is durable. Content of `carry` goes with it, where it can.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`]; [`Error::NoSpace`] if the journal or the disk is full. One that passes leaves what is
    /// pending to the next batch; any other stops the volume.
    pub fn commit(&self, carry: &[Arc<Inode>]) -> Result<()> {
        if !self.try_commit(carry, false)? {
            let _checkpoint = self.unfinished.lock();
            // The checkpoint that was waited for may have made room.
            if !self.try_commit(carry, false)? {
                self.commit_in_room(carry)?;
            }
        }
        Ok(())
    }

    /// Commits a checkpoint batch, whether or not something is pending.
    ///
    /// # Errors
    ///
    /// As [`Writeback::commit`].
    pub fn commit_checkpoint_batch(&self) -> Result<()> {
        let _checkpoint = self.unfinished.lock();
        self.commit_within(true)
    }

    /// The same, or only what is pending, within a checkpoint.
    fn commit_within(&self, checkpoint: bool) -> Result<()> {
        if self.try_commit(&[], checkpoint)? { Ok(()) } else { self.commit_in_room(&[]) }
    }

    /// Commits a checkpoint batch that takes the place of everything in the journal, which is full. Within a checkpoint.
    /// Batches that others commit while it stores are not stored by it, and stay.
    fn commit_in_room(&self, carry: &[Arc<Inode>]) -> Result<()> {
        let full = self.journal.file().tail();
        self.store_all()?;
        self.journal.file().replace_until(full);
        if self.try_commit(carry, true)? { Ok(()) } else { Err(Error::NoSpace) }
    }

    /// Commits a batch, once every source of a replacing rename is durable or can be carried. Whether the journal
    /// has room for it.
    ///
    /// # Errors
    ///
    /// As [`Writeback::commit`], but for a full journal.
    pub fn try_commit(&self, carry: &[Arc<Inode>], checkpoint: bool) -> Result<bool> {
        let mut is_again = false;
        loop {
            let committed = match self.journal.commit(carry, checkpoint) {
                // The folder may answer again, or through another connection.
                Err(error) if error.is_of_the_store() && !std::mem::replace(&mut is_again, true) => continue,
                committed => committed?,
            };
            match committed {
                Commitment::Durable => return Ok(true),
                Commitment::Full => return Ok(false),
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
                self.stop_by(&error);
                Err(error)
            }
        }
    }

    /// The journal would fill up with what cannot be stored, unless a sync client brings what it takes.
    fn stop_by(&self, error: &Error) {
        if !error.is_exchange() || mutants::is_active(Mutant::StoppedByExchange) {
            self.base.stop(error);
        }
    }

    /// Makes what batches say so far durable in its place. Within a checkpoint.
    ///
    /// # Errors
    ///
    /// One that passes, or that a sync client's exchange of a file is the cause of, leaves the rest to the next checkpoint. Any other
    /// stops the volume.
    pub fn store_all(&self) -> Result<Vec<Arc<Inode>>> {
        let named = self.cache.take_queue();
        let flushed = self.store(&named);
        let outcome = flushed.and(self.catalog.remove_deleted());
        let outcome = outcome.and_then(|()| self.catalog.sweep()).and_then(|()| self.catalog.sync_unlinks());
        if let Err(error) = outcome {
            self.cache.notice(&error);
            named.iter().for_each(|inode| self.cache.queue(inode));
            if !error.is_passing() {
                self.stop_by(&error);
            }
            return Err(error);
        }
        Ok(named)
    }

    /// Flushes inodes, and salvages those that damage to their own chunk files keeps from it. Directories are rebuilt
    /// within a checkpoint only.
    ///
    /// # Errors
    ///
    /// As [`Writeback::flush_each`] and [`Writeback::salvage`].
    pub fn store(&self, inodes: &[Arc<Inode>]) -> Result<()> {
        let damaged = self.flush_each(inodes, Mode::AtRest)?;
        if damaged.is_empty() { Ok(()) } else { self.salvage(damaged) }
    }

    /// Whether a checkpoint has anything to do. Takes one lock at a time.
    fn has_work(&self) -> bool {
        self.cache.has_queued() || !self.journal.names().is_empty() || self.catalog.has_work()
    }

    /// Makes everything that was done so far durable in its place.
    ///
    /// # Errors
    ///
    /// As [`Writeback::checkpoint`].
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

    /// Makes everything durable in its place, and deletes what nobody will use any more. Of the journal only what is
    /// withheld is needed then.
    ///
    /// # Errors
    ///
    /// As [`Writeback::checkpoint`]; [`Error::NoSpace`] if the journal has no room for what is withheld.
    pub fn finish(&self) -> Result<()> {
        self.journal.names().delete_orphans();
        let mut unfinished = self.unfinished.lock();
        match self.store_in_place(&mut unfinished) {
            Err(error) if !error.is_passing() => return Err(error),
            Ok(_) if !self.has_work() => {}
            _ => drop(self.store_in_place(&mut unfinished)?),
        }
        {
            let withheld = self.base.withheld.lock();
            if withheld.is_empty() || withheld.is_alone() && !mutants::is_active(Mutant::WithheldAnew) {
                return Ok(());
            }
        }
        if self.try_commit(&[], true)? { Ok(()) } else { Err(Error::NoSpace) }
    }
}
