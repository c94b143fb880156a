//! Inodes that cannot be stored, because their own chunk files were exchanged, spoilt or removed under the mount: they must
//! not keep everything else from the disk.
//!
//! Where memory holds all of one, its chunk 0 is made anew. Otherwise what was not stored yet is lost: it answers with the
//! damage until it leaves memory, for an older content must not stand in for what was written. What was acknowledged is
//! never given up: where only batches have it, the volume stops instead, and the next mount looks for it there.

use super::faults::{self, Fault};
use super::inode::{Inode, State};
use super::kinds::Kind;
use super::table::Table;
use super::{Error, Result, Volume};
use crate::chunk::{Chunk, ChunkId};
use std::sync::Arc;

impl Volume {
    /// Flushes inodes, and mends or gives up those that damage to their own chunk files keeps from it.
    pub(super) fn store(&self, inodes: &[Arc<Inode>]) -> Result<()> {
        let (mut anew, mut lost) = (Vec::new(), Vec::new());
        for (inode, error) in self.flush_each(inodes)? {
            match self.make_anew(&inode) {
                true => anew.push(inode.clone()),
                false => lost.push((inode.clone(), error.again())),
            }
            let _ = self.notice_in::<()>(&inode, Err(error));
        }
        lost.extend(self.flush_each(&anew)?);
        lost.into_iter().try_for_each(|(inode, error)| self.give_up(&inode, error))
    }

    /// Has the next flush write a new chunk 0, if memory holds all that it would say; whether it does.
    fn make_anew(&self, inode: &Arc<Inode>) -> bool {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        let is_bare = state.others.is_empty() && state.doomed.is_empty() && state.table.is_empty();
        if state.lost.is_some() || !is_bare || !state.is_carryable() {
            return false;
        }
        let id = ChunkId { inode: inode.id(), index: 0 };
        self.context.saw_known(id);
        let content = state.head.as_deref().map_or(&[][..], |head| head.inline()).to_vec();
        let mut head = Chunk::new(&self.context, id, self.blocks);
        head.set_inline(content);
        state.head = Some(Box::new(head));
        state.change();
        self.open.remove(id);
        true
    }

    /// Forgets what was not stored.
    fn give_up(&self, inode: &Arc<Inode>, error: Error) -> Result<()> {
        let _serial = inode.serial.lock();
        // An operation that changes names counts on directories that it loaded.
        let _names = self.namespace.lock();
        let mut state = inode.state.write();
        if state.has_acknowledged() && !faults::makes(Fault::AcknowledgedGivenUp) {
            return Err(error);
        }
        if state.lost.is_none() {
            log::error!("{error}; what was written to it and not stored yet is lost");
        }
        for index in std::mem::take(&mut state.others).into_keys().chain([0]) {
            self.open.remove(ChunkId { inode: inode.id(), index });
        }
        state.lost = (!faults::makes(Fault::LostForgotten)).then(|| Box::new(error));
        (state.head, state.table, state.listing, state.shrunk) = (None, Table::empty(), None, None);
        state.doomed.clear();
        state.progress.stored = state.progress.made;
        state.stored = state.journalled.namespace;
        Ok(())
    }
}

impl State {
    /// Whether batches alone have something that was acknowledged: content, or entries of a directory.
    fn has_acknowledged(&self) -> bool {
        self.progress.carried > 0
            || self.record.kind == Kind::Directory
                && self.listing.as_ref().is_some_and(|listing| !listing.is_stored())
    }
}
