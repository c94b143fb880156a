//! Going on after the backing folder failed: what it may have lost is written again before an inode is flushed, or written
//! to, once more.

use super::Writeback;
use super::durable::Unsynced;
use super::flush::Flush;
use crate::volume::Result;
use crate::volume::inode::state::{Inode, State};
use std::sync::Arc;

impl Writeback {
    /// Readies the chunks of an inode that the store failed, for another try.
    ///
    /// # Errors
    ///
    /// The store's, as long as it fails; damage, where something is lost.
    pub fn recover(&self, inode: &Arc<Inode>) -> Result<()> {
        let _serial = inode.serial.lock();
        inode.state.write().recover()
    }

    /// The same as the first stage of a flush.
    pub(super) fn recover_first<'a>(
        &self,
        _: &mut Flush<'a>,
        state: &mut State,
        _: &mut Vec<Unsynced<'a>>,
    ) -> Result<()> {
        state.recover()
    }
}
