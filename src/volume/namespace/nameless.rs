//! Files that are made without a name, and may be given one by a link (`O_TMPFILE`).
//!
//! Until then no batch speaks of them, and their ids stay reserved: a crash leaves nothing of them behind, and a close
//! deletes them. With its first name comes all of the content, as with a rename that replaces.

use super::Namespace;
use super::operations::{NewInode, new_record};
use crate::chunk::InodeId;
use crate::locks::MutexGuard;
use crate::volume::inode::state::Inode;
use crate::volume::journal::Pending;
use crate::volume::{Error, Result};
use std::sync::Arc;

impl Namespace {
    /// Makes a file without a name, for a directory that is there. It lives until it is released.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the directory was removed; [`Error::NoSpace`]; [`Error::ReadOnly`], [`Error::Stopped`];
    /// those of a commit that reserves ids. The file is not there then.
    pub fn create_nameless(&self, directory: &Arc<Inode>, new: NewInode<'_>) -> Result<Arc<Inode>> {
        self.writeback.admit_change()?;
        let record = new_record(new, 0)?;
        let (mut pending, id) = self.reserved()?;
        let made = match directory.view(|record| record.links_count) {
            0 => Err(Error::NotFound),
            _ => self.new_state(id, record),
        };
        let state = made.inspect_err(|_| pending.reserve.forget(id))?;
        let inode = Arc::new(Inode::new(id, state, true));
        self.cache.insert(&inode);
        pending.nameless.insert(id, inode.clone());
        Ok(inode)
    }

    /// The namespace lock, and an id that is reserved durably: chunk files of it may come before a batch names it.
    fn reserved(&self) -> Result<(MutexGuard<'_, Pending>, InodeId)> {
        loop {
            let mut pending = self.journal.names();
            if let Some(id) = pending.reserve.take_durable() {
                return Ok((pending, id));
            }
            drop(pending);
            self.writeback.commit(&[])?;
        }
    }

    /// Before a nameless file gets a name: with little space its content is stored first, as a rename's source is.
    pub(super) fn prepare_nameless(&self, inode: &Arc<Inode>) -> Result<()> {
        let is_nameless = self.journal.names().nameless.contains_key(&inode.id());
        if is_nameless && self.writeback.is_low_on_space() {
            self.writeback.flush(std::slice::from_ref(inode))?;
        }
        Ok(())
    }

    /// The name could not be stored, and was taken back.
    pub(super) fn make_nameless_again(&self, inode: &Arc<Inode>) {
        let mut pending = self.journal.names();
        let is_unknown = {
            let has_no_name = inode.state.read().record.links_count == 0;
            // As long as no durable batch named it.
            has_no_name && pending.reserve.all().any(|id| id == inode.id())
        };
        if is_unknown && pending.orphans.remove(&inode.id()).is_some() {
            pending.inodes.remove(&inode.id());
            pending.nameless.insert(inode.id(), inode.clone());
        }
    }
}

/// It has a name now, which comes with all of its content.
pub(super) fn named(pending: &mut Pending, inode: &Arc<Inode>) {
    pending.nameless.remove(&inode.id());
    pending.replacing.insert(inode.id(), inode.clone());
}
