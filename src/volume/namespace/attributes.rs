//! Attributes: what a record says of an inode besides its names and content.

use super::Namespace;
use crate::volume::format::record::{EXTENSION_SPARE, Record};
use crate::volume::inode::state::Inode;
use crate::volume::{Error, Result};
use std::sync::Arc;

impl Namespace {
    /// Changes attributes, xattrs among them.
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
        state.set_attributes(self.base.stamp(), record);
        drop(state);
        if more > 0 {
            // Of a new inode the next batch tells them too.
            self.journal.names().bytes += more;
        }
        self.cache.queue(inode);
        Ok(result)
    }

    /// The same for mode, owner and times, in place: a record may be long. `change` answers whether it changed an
    /// xattr, which must not get longer.
    pub fn set_attributes(&self, inode: &Arc<Inode>, change: impl FnOnce(&mut Record) -> bool) -> Result<()> {
        self.base.check_writable()?;
        let mut state = inode.state.write();
        state.check_whole()?;
        state.change_attributes(self.base.stamp(), change);
        drop(state);
        self.cache.queue(inode);
        Ok(())
    }
}
