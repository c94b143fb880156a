//! A round: what is pending becomes a batch, what changed goes to its chunks, and the batch can be dropped.

use super::inode::Inode;
use super::{Error, Result, Volume};
use crate::chunk::{ChunkId, Commit, Space};
use crate::store::FileName;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Volume {
    /// Makes everything durable in its place. After an error what is not done yet waits for the next round.
    pub fn round(&self) -> Result<()> {
        let _one = self.round.lock();
        self.check_live()?;
        if !self.has_work() {
            return Ok(());
        }
        let anchor = self.commit_batch_from(None, true)?;
        let named = self.take_queue();
        let outcome = self.flush(&named).and_then(|()| self.remove_deleted());
        if let Err(error) = outcome {
            named.iter().for_each(|inode| self.queue(inode));
            return Err(error);
        }
        self.journal.lock().drop_until(anchor)?;
        for inode in named {
            self.tidy(&inode);
            self.forget_if_clean(&inode);
        }
        Ok(())
    }

    /// Whether a round has anything to do. Takes one lock at a time.
    fn has_work(&self) -> bool {
        let queued = !self.queue.lock().is_empty();
        let pending = !self.namespace.lock().is_empty();
        let removals = !self.removals.lock().is_empty();
        queued || pending || removals
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

    /// Makes everything durable and leaves an empty journal behind.
    pub fn close(&self) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.end_flusher();
        self.delete_orphans();
        self.round()?;
        if self.has_work() {
            self.round()?;
        }
        self.journal.lock().clear(&self.context)
    }

    /// Nobody will use the inodes without a name any more.
    fn delete_orphans(&self) {
        let mut pending = self.namespace.lock();
        let orphans: Vec<Arc<Inode>> = pending.orphans.drain().map(|(_, inode)| inode).collect();
        pending.deleted.extend(orphans);
    }

    /// Removes the chunk files of inodes whose deletion is durable; durably, so that the batch can be dropped.
    fn remove_deleted(&self) -> Result<()> {
        let removals = std::mem::take(&mut *self.removals.lock());
        let mut names = Vec::new();
        for (at, inode) in removals.iter().enumerate() {
            if let Err(error) = self.remove_files(inode, &mut names) {
                self.removals.lock().extend_from_slice(&removals[at..]);
                return Err(error);
            }
        }
        self.sync_names(&names)
    }

    /// Removes an inode that no batch ever spoke of.
    pub(super) fn discard(&self, inode: &Arc<Inode>) {
        if let Err(error) = self.remove_files(inode, &mut Vec::new()) {
            log::warn!("chunk files of a deleted file are left behind: {error}");
        }
    }

    /// Removes all chunk files of an inode, chunk 0 last: it says which others there are.
    fn remove_files(&self, inode: &Arc<Inode>, names: &mut Vec<FileName>) -> Result<()> {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        let mut chunks: BTreeSet<u32> = state.others.keys().copied().collect();
        chunks.extend(std::mem::take(&mut state.doomed));
        match self.open_head(inode, &mut state) {
            Ok(()) => {
                let head = state.head.take().expect("it was opened");
                chunks.extend(state.table.all(&head)?);
                let made = head.version().commit() != Commit(0) || head.data_blocks()? > 0;
                let made = made || head.next_present(Space::Metadata, 0)?.is_some();
                if made || !chunks.is_empty() {
                    chunks.insert(0);
                }
            }
            Err(Error::Damaged(..) | Error::NotArrived(_)) => drop(chunks.insert(0)),
            Err(error) => return Err(error),
        }
        state.others.clear();
        for index in chunks.into_iter().rev() {
            let name = self.context.file_name(ChunkId { inode: inode.id(), index });
            self.context.store.remove(name)?;
            names.push(name);
        }
        drop(state);
        self.inodes.lock().remove(&inode.id());
        Ok(())
    }

    /// What can wait until an inode is durable: settled roots, space given back.
    fn tidy(&self, inode: &Arc<Inode>) {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        let super::inode::State { head, others, .. } = &mut *state;
        for chunk in head.iter_mut().chain(others.values_mut()) {
            let tidied = if chunk.needs_tidying() { chunk.tidy() } else { Ok(()) };
            if let Err(error) = tidied.and_then(|()| chunk.settle().map(|_| ())) {
                log::warn!("a chunk could not be tidied up: {error}");
            }
        }
    }
}
