//! A round: what is pending becomes a batch, what changed goes to its chunks, and the batch can be dropped.

use crate::chunk::{self, Chunk, ChunkId, Commit};
use crate::volume::inode::extra_chunks::Others;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Result, Volume};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Volume {
    /// Makes everything durable in its place. After an error what is not done yet waits for the next round, which goes
    /// on from the same anchor: on a full disk the journal must not fill up with anchors. Deleted files go whether or
    /// not there was room for the rest: they are what makes room.
    pub fn round(&self) -> Result<()> {
        let mut unfinished = self.round.lock();
        self.check_live()?;
        if !self.has_work() {
            return Ok(());
        }
        if mutants::is_active(Mutant::BatchDroppedEarly) {
            let mut journal = self.journal.lock();
            let tail = journal.tail();
            journal.replace_until(tail)?;
        }
        let commit = || match *unfinished {
            Some(anchor) => self.commit_behind(anchor),
            None => self.commit_anchor_from(),
        };
        let anchor = match commit() {
            Err(error) if error.is_passing() && !self.removals.lock().is_empty() => {
                self.remove_deleted()?;
                commit()?
            }
            anchor => anchor?,
        };
        *unfinished = Some(anchor);
        let stored = self.store_all()?;
        self.journal.lock().drop_until(anchor)?;
        *unfinished = None;
        self.is_short.store(false, Ordering::Relaxed);
        self.look_at_space();
        for inode in stored {
            self.tidy(&inode);
            self.forget_if_clean(&inode);
        }
        self.context.recall.keep();
        Ok(())
    }

    /// Makes what batches say so far durable in its place. Within a round. What cannot be done and will not pass is
    /// the end of the volume: the journal would fill up.
    pub(in crate::volume) fn store_all(&self) -> Result<Vec<Arc<Inode>>> {
        let named = self.take_queue();
        let flushed = self.store(&named);
        let outcome = flushed.and(self.remove_deleted());
        let outcome = outcome.and_then(|()| self.sweep()).and_then(|()| self.sync_removed());
        if let Err(error) = outcome {
            self.notice(&error, || None);
            named.iter().for_each(|inode| self.queue(inode));
            if !error.is_passing() {
                self.stop(&error);
            }
            return Err(error);
        }
        Ok(named)
    }

    /// Whether a round has anything to do. Takes one lock at a time.
    fn has_work(&self) -> bool {
        let queued = !self.queue.lock().is_empty();
        let pending = !self.namespace.lock().is_empty();
        let removals = !self.removals.lock().is_empty();
        let removed = !self.removed.lock().is_empty();
        let leftovers = self.leftovers.lock().is_some();
        queued || pending || removals || removed || leftovers
    }

    /// What this round is to store: no inode without a name, and none that no batch speaks of yet.
    fn take_queue(&self) -> Vec<Arc<Inode>> {
        let mut inodes = std::mem::take(&mut *self.queue.lock());
        inodes.retain(|inode| {
            inode.queued.store(false, Ordering::Release);
            let state = inode.state.read();
            let (named, heard_of) = (state.record.links_count > 0, state.heard_of);
            drop(state);
            if named && !heard_of {
                self.queue(inode);
            }
            named && heard_of
        });
        inodes
    }

    /// Makes everything durable and leaves an empty journal behind; or, where there is no room to store what batches say,
    /// them. After an error that passes it can be tried again.
    pub fn close(&self) -> Result<()> {
        self.end_ahead();
        self.end_flusher();
        let closed = match if self.read_only { Ok(()) } else { self.close_journal() } {
            Err(error) if error.is_passing() && self.is_kept() => {
                log::warn!("the journal keeps what there is no room for elsewhere: {error}");
                Ok(())
            }
            closed => closed,
        };
        self.report();
        if !mutants::is_active(Mutant::NotKeptAtClose) {
            self.keep_seen();
        }
        closed
    }

    /// What was only read counts from now on.
    fn keep_seen(&self) {
        let recall = &self.context.recall;
        if recall.has_seen() && !self.read_only && self.context.store.sync_all().is_ok() {
            recall.seen_is_durable();
        }
        recall.keep();
    }

    fn close_journal(&self) -> Result<()> {
        self.delete_orphans();
        match self.round() {
            Err(error) if !error.is_passing() => return Err(error),
            Err(_) => self.round()?,
            Ok(()) if self.has_work() => self.round()?,
            Ok(()) => {}
        }
        self.journal.lock().clear(&self.context)?;
        self.in_use.store(false, Ordering::Release);
        Ok(())
    }

    /// Nobody will use the inodes without a name any more.
    fn delete_orphans(&self) {
        let mut pending = self.namespace.lock();
        let orphans: Vec<Arc<Inode>> = pending.orphans.drain().map(|(_, inode)| inode).collect();
        pending.deleted.extend(orphans);
    }

    /// Removes the chunk files of inodes whose deletion is durable.
    fn remove_deleted(&self) -> Result<()> {
        let removals = std::mem::take(&mut *self.removals.lock());
        for (at, inode) in removals.iter().enumerate() {
            if let Err(error) = self.remove_files(inode) {
                self.removals.lock().extend_from_slice(&removals[at..]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes all chunk files of an inode, chunk 0 last: it says which others there are.
    pub(in crate::volume) fn remove_files(&self, inode: &Arc<Inode>) -> Result<()> {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        let mut chunks: BTreeSet<u32> = state.others.from(0).chain(state.doomed.iter().copied()).collect();
        let mut made = state.heard_of || !chunks.is_empty();
        match self.table_of(inode, &mut state) {
            Ok(named) => chunks.extend(named),
            Err(error) if error.is_damage() => chunks.extend(self.files_of(inode.id())?),
            Err(error) => return Err(error),
        }
        // A chunk 0 that was closed is there.
        let is_there = |head: &Chunk| head.is_name_new() || head.version().commit() != Commit(0);
        made |= state.head.as_deref().is_none_or(is_there);
        state.doomed.extend(&chunks);
        if made {
            chunks.insert(0);
        }
        for index in chunks.into_iter().rev() {
            let id = ChunkId { inode: inode.id(), index };
            self.remove_file(id)?;
            self.open.remove(id);
        }
        state.others = Others::default();
        state.head = None;
        drop(state);
        self.inodes.lock().remove(&inode.id());
        Ok(())
    }

    /// The further chunks that chunk 0 names, which need not be read to learn that there are none.
    fn table_of(&self, inode: &Arc<Inode>, state: &mut State) -> Result<Vec<u32>> {
        state.check_whole()?;
        if state.table.is_empty() {
            return Ok(Vec::new());
        }
        self.open_head(inode, state)?;
        let State { head, table, .. } = state;
        table.all(head.as_ref().expect("it was opened"))
    }

    /// What can wait until an inode is durable: settled roots, space given back.
    pub(in crate::volume) fn tidy(&self, inode: &Arc<Inode>) {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        if state.is_dirty() {
            return;
        }
        let State { head, others, .. } = &mut *state;
        for chunk in head.as_deref_mut().into_iter().chain(others.all_mut()) {
            let tidied = if chunk.needs_tidying() { tidy(chunk) } else { Ok(()) };
            if let Err(error) = tidied.and_then(|()| chunk.settle().map(|_| ())) {
                log::warn!("a chunk could not be tidied up: {error}");
            }
        }
    }
}

/// What tidying changed is committed at once: no flush would come for it.
fn tidy(chunk: &mut Chunk) -> chunk::Result<()> {
    chunk.tidy()?;
    if chunk.is_dirty() {
        chunk.commit()?;
        chunk.sync()?;
    }
    Ok(())
}
