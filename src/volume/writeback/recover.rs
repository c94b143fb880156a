//! Going on after the backing folder failed: what it may have lost is written again before an inode is flushed, or written
//! to, once more.

use super::Writeback;
use crate::volume::Result;
use crate::volume::inode::state::Inode;
use std::sync::Arc;

impl Writeback {
    /// Goes on after the volume stopped, and stores everything; whether what stopped it is over that shows.
    ///
    /// # Errors
    /// What keeps everything from being stored; if it is not one that passes, the volume has stopped again.
    pub fn restart(&self) -> Result<()> {
        self.journal.file().restart(&self.base.context)?;
        self.base.resume()?;
        log::warn!("the volume goes on");
        let done = self.commit_checkpoint_batch().and_then(|()| self.sync_all());
        self.base.note_checkpoint(&done);
        done
    }

    /// Readies the chunks of an inode that the store failed, for another try.
    ///
    /// # Errors
    ///
    /// The store's, as long as it fails; damage, where something is lost.
    pub fn recover(&self, inode: &Arc<Inode>) -> Result<()> {
        let _serial = inode.serial.lock();
        inode.state.write().recover()
    }
}
