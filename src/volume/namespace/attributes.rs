//! Attributes: what a record says of an inode besides its names and content.

use super::Namespace;
use super::operations::{NewInode, new_record};
use crate::chunk::{BLOCK, Wish};
use crate::volume::format::record::{EXTENSION_SPARE, Record};
use crate::volume::inode::state::Inode;
use crate::volume::{Error, Result};
use std::sync::Arc;

impl NewInode<'_> {
    /// Whether a record has room for its target and xattrs, and for names beside them.
    pub fn has_room(self) -> bool {
        new_record(self, 1).is_ok()
    }
}

impl Namespace {
    /// Changes attributes, xattrs among them.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], [`Error::Stopped`]; those of `change`; [`Error::NoSpace`] if the record or the disk has
    /// no room for more; [`Error::Damaged`] or [`Error::NotArrived`] if something of the inode is lost; those of an
    /// fsync, where it is stored at once.
    pub fn update<R>(&self, inode: &Arc<Inode>, change: impl FnOnce(&mut Record) -> Result<R>) -> Result<R> {
        self.writeback.admit_change()?;
        let mut state = inode.state.write();
        state.check_whole()?;
        let mut record = state.record.clone();
        let result = change(&mut record)?;
        let more = record.extension_length().saturating_sub(state.record.extension_length());
        if more > 0 && !record.has_room(EXTENSION_SPARE) {
            return Err(Error::NoSpace);
        }
        if more > 0 {
            let blocks = more.div_ceil(BLOCK);
            state.hold_room(&self.base.context.headroom, blocks, 0, Wish::Takes)?;
        }
        state.set_attributes(self.base.stamp(), record);
        // Of what takes no more space it need not be certain.
        let _ = state.hold_room(&self.base.context.headroom, 0, 0, Wish::Regardless);
        drop(state);
        if more > 0 {
            // Of a new inode the next batch tells them too.
            self.journal.names().bytes += more;
        }
        self.cache.queue(inode);
        self.store_if_careful(inode)?;
        Ok(result)
    }

    /// The same for mode, owner and times, in place: a record may be long. `change` answers whether it changed an
    /// xattr, which must not get longer.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], [`Error::Stopped`]; [`Error::Damaged`] or [`Error::NotArrived`] if something of the inode
    /// is lost; those of an fsync, where it is stored at once.
    pub fn set_attributes(&self, inode: &Arc<Inode>, change: impl FnOnce(&mut Record) -> bool) -> Result<()> {
        self.base.check_writable()?;
        let mut state = inode.state.write();
        state.check_whole()?;
        state.change_attributes(self.base.stamp(), change);
        let _ = state.hold_room(&self.base.context.headroom, 0, 0, Wish::Regardless);
        drop(state);
        self.cache.queue(inode);
        self.store_if_careful(inode)
    }

    /// Stores changed attributes, where space could not be held.
    fn store_if_careful(&self, inode: &Arc<Inode>) -> Result<()> {
        if !self.base.context.headroom.is_careful() {
            return Ok(());
        }
        self.writeback.settle();
        self.writeback.sync(inode, false)
    }
}
