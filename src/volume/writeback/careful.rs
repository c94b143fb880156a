//! What is accepted can be stored, and does not die with the daemon.
//!
//! Space is set aside before a change is acknowledged: for both roots of a file when it is made, for map blocks when blocks
//! are written (`chunk::write`), for batches in the journal. Where that does not hold, because the disk was found full or
//! each write is a copy and little is left, the volume is *careful*: a change is acknowledged once it is stored, and new
//! names leave room in the journal for removing others.
//!
//! Half a second after a change what is new of small files stands in their chunk files and the journal, so that it outlives
//! this process; fdatasync is left to the next round, but for the journal's.

use super::flush::store_record;
use crate::volume::data::content::Step;
use crate::volume::format::kinds::Kind;
use crate::volume::inode::state::{Inode, Standing, State};
use crate::volume::journal::file::HELD;
use crate::volume::{Error, Result, Volume};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Blocks that chunk 0 needs to name one more chunk: a page of its table, and where that is a map block then.
pub(in crate::volume) const TABLE_BLOCKS: usize = 2;
/// Space left, in bytes, below which a filesystem that copies on write is as good as full.
const LITTLE: u64 = 64 << 20;

impl Volume {
    pub(in crate::volume) fn is_careful(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Notes whether a lack of space kept something from the disk.
    pub(in crate::volume) fn note_space<T>(&self, outcome: Result<T>) -> Result<T> {
        if outcome.as_ref().is_err_and(Error::is_lack_of_space) {
            self.is_short.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Becomes careful where space cannot be set aside and little is left.
    pub(in crate::volume) fn look_at_space(&self) {
        if self.read_only || self.context.store.writes_in_place() {
            return;
        }
        let is_little =
            |space: crate::store::Space| space.available.saturating_mul(space.block_size) < LITTLE;
        if self.context.store.space().is_ok_and(is_little) {
            self.is_short.store(true, Ordering::Relaxed);
        }
    }

    /// Refuses what would take the journal's last room from removals.
    pub(in crate::volume) fn check_journal_room(&self) -> Result<()> {
        if self.journal.lock().len() > HELD / 2 { Err(Error::NoSpace) } else { Ok(()) }
    }

    /// Opens chunk 0, and makes its file if there is none, so that there is room for what is about to be accepted.
    pub(in crate::volume) fn begin_file(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
    ) -> std::result::Result<(), Step> {
        self.open_head(inode, state)?;
        let head = state.head.as_deref_mut().expect("it was opened");
        if head.has_file() {
            return Ok(());
        }
        if !inode.grounded.load(Ordering::Acquire) {
            return Err(Step::Ground);
        }
        Ok(head.begin()?)
    }

    /// Before a change, where the volume is careful: has batches name the inode, so that there is nothing that the change
    /// would have to wait for.
    pub(in crate::volume) fn settle_name(&self, inode: &Arc<Inode>) -> Result<()> {
        if !self.is_careful() || inode.state.read().standing == Standing::Settled {
            return Ok(());
        }
        self.check_journal_room()?;
        self.commit_batch(None)
    }

    /// After it: stores it where space could not be set aside.
    pub(in crate::volume) fn store_through(&self, inode: &Arc<Inode>) -> Result<()> {
        let is_named = || inode.view(|record| record.links_count > 0);
        if self.is_careful() && !self.context.store.writes_in_place() && is_named() {
            return self.flush(std::slice::from_ref(inode));
        }
        Ok(())
    }

    /// Writes what is new of small files to their chunk files, and batches, so that a dead daemon does not take it along.
    /// What fails is left to the next round.
    pub fn publish(&self) -> Result<()> {
        self.check_live()?;
        self.look_at_space();
        self.publish_contents();
        self.note_space(self.commit_batch(None))?;
        self.publish_contents();
        Ok(())
    }

    fn publish_contents(&self) {
        let queued = self.queue.lock().clone();
        for inode in queued {
            if let Err(error) = self.note_space(self.publish_content(&inode)) {
                log::debug!("a file waits for the next round: {error}");
            }
        }
    }

    fn publish_content(&self, inode: &Arc<Inode>) -> Result<()> {
        // Held, it is being flushed, perhaps as it was before the last change.
        let Some(_serial) = inode.serial.try_lock() else {
            self.flusher.wake_again();
            return Ok(());
        };
        let mut state = inode.state.write();
        if !inode.grounded.load(Ordering::Acquire) || !state.is_publishable() {
            return Ok(());
        }
        self.open_head(inode, &mut state)?;
        let size = state.record.size;
        store_record(&mut state, size)?;
        state.head.as_deref_mut().expect("it was opened").commit()?;
        state.progress.stored = state.progress.made;
        state.stored = state.journalled.namespace;
        Ok(())
    }

    /// A round, for whoever wants to know that everything is stored. The chunk files may wait for room: what batches say is
    /// as good.
    pub fn store_now(&self) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        match self.note_space(self.round()) {
            Err(error) if error.is_passing() && self.is_kept() => Ok(()),
            stored => stored,
        }
    }

    /// Whether nothing would be lost if the process and the power ended now, once small files are put into the journal that
    /// have no other place.
    pub(in crate::volume) fn is_kept(&self) -> bool {
        let _no_round = self.round.lock();
        let carry =
            |inode: Option<&Arc<Inode>>| self.try_batch(inode, false).is_ok_and(|batch| batch.is_some());
        let queued = self.queue.lock().clone();
        let carries = |inode: &&Arc<Inode>| {
            let state = inode.state.read();
            !state.is_durable() && state.is_carryable()
        };
        carry(None)
            && queued.iter().filter(carries).all(|inode| carry(Some(inode)))
            && queued.iter().all(|inode| inode.state.read().is_durable())
    }
}

impl State {
    /// Whether chunk 0 is all of a file, a durable batch speaks of it, and it has news.
    fn is_publishable(&self) -> bool {
        let is_alone = self.others.is_empty() && self.table.is_empty() && self.doomed.is_empty();
        let is_whole = self.shrunk.is_none() && self.lost.is_none();
        let is_known = self.record.links_count > 0 && self.journalled.links_count > 0;
        let is_new = self.progress.stored < self.progress.made || self.stored < self.journalled.namespace;
        self.record.kind == Kind::File && is_alone && is_whole && is_known && is_new
    }

    /// Whether chunk files and batches have it all. Of a directory, batches have the entries.
    fn is_durable(&self) -> bool {
        let wanted = match self.record.kind {
            Kind::Directory => self.progress.attributes,
            _ => self.progress.made,
        };
        self.record.links_count == 0 || self.lost.is_some() || self.progress.durable >= wanted
    }
}
