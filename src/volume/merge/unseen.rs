//! Overwriting files: whoever does it means the content that he was shown. What another device made of a small file since, and is not
//! shown yet, is saved before.

use super::Merge;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Result, Timestamp};
use std::sync::Arc;

impl Merge {
    /// Writes, and saves what came unseen before.
    ///
    /// # Errors
    ///
    /// As [`Data::write`](crate::volume::data::Data::write).
    pub fn write(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        data: &[u8],
        now: impl Into<Option<Timestamp>>,
        clear_mode: u32,
    ) -> Result<()> {
        self.spare_unseen(inode, offset);
        self.data.write(inode, offset, data, now, clear_mode)
    }

    /// Sets the size, and saves what came unseen before.
    ///
    /// # Errors
    ///
    /// As [`Data::resize`](crate::volume::data::Data::resize).
    pub fn resize(
        &self,
        inode: &Arc<Inode>,
        size: u64,
        now: impl Into<Option<Timestamp>>,
        clear_mode: u32,
    ) -> Result<()> {
        self.spare_unseen(inode, size);
        self.data.resize(inode, size, now, clear_mode)
    }

    /// Makes a range read as zeros, and saves what came unseen before.
    ///
    /// # Errors
    ///
    /// As [`Data::punch`](crate::volume::data::Data::punch).
    pub fn punch(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        length: u64,
        now: impl Into<Option<Timestamp>>,
    ) -> Result<()> {
        self.spare_unseen(inode, offset);
        self.data.punch(inode, offset, length, now)
    }

    /// Of a small file: before somebody overwrites it from `at` on. What cannot be saved is overwritten.
    fn spare_unseen(&self, inode: &Arc<Inode>, at: u64) {
        if !self.base.tells_arrivals()
            || mutants::is_active(Mutant::UnseenOverwritten)
            || !inode.takes_unseen(at, self.base.context.device)
        {
            return;
        }
        if let Err(error) = self.save_unseen(inode) {
            log::warn!("{:?}: another device's version is overwritten: {error}", inode.id());
        }
    }

    fn save_unseen(&self, inode: &Arc<Inode>) -> Result<()> {
        let found = Arc::new(Inode::new(inode.id(), self.cache.load_anew(inode, false)?, true));
        log::info!("{:?}: what came and is overwritten unseen is saved beside it", inode.id());
        if self.save_beside(inode, &found)? {
            self.writeback.sync_all()?;
            // Whoever shows the volume is told after that.
            self.base.schedule.merge();
        }
        Ok(())
    }
}
