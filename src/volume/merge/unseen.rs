//! Overwriting files: whoever does it means the content that he was shown. What another device made of a small file since, and is not
//! shown yet, is saved before.

use super::Merge;
use crate::volume::Result;
use crate::volume::data::Data;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use std::sync::Arc;

impl Merge {
    /// The content of files, for who overwrites this one from `at` on: what came unseen to a small file is saved before. What cannot be saved
    /// is overwritten.
    pub fn to_overwrite(&self, inode: &Arc<Inode>, at: u64) -> &Data {
        if !self.base.tells_arrivals() || mutants::is_active(Mutant::UnseenOverwritten) {
            return &self.data;
        }
        let (is_open, may_be_unseen) = {
            let state = inode.state.read();
            (state.first_chunk.is_some() || mutants::is_active(Mutant::TakenByChange), state.may_be_unseen())
        };
        // What took the place of a chunk 0 that is closed is taken as that is opened.
        if !is_open && let Err(error) = self.cache.open_first_chunk(inode, &mut inode.state.write()) {
            log::debug!("{:?} cannot be opened now: {error}", inode.id());
        }
        let is_due = (!is_open || may_be_unseen) && inode.takes_unseen(at, self.base.context.device);
        if is_due && let Err(error) = self.save_unseen(inode) {
            log::warn!("{:?}: another device's version is overwritten: {error}", inode.id());
        }
        &self.data
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
