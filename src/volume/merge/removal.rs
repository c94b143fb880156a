//! Removing files: whoever does it saw the version in its place. What was written to it here and gave way to that, and is not saved
//! yet, nobody has seen there, so it is saved before.

use super::Merge;
use super::files::Beside;
use crate::chunk::InodeId;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use crate::volume::namespace::rename::Rename;
use crate::volume::{Kind, NewInode, Result, Timestamp};
use std::sync::Arc;

impl Merge {
    /// Removes a name, and saves what gave way of its file before.
    ///
    /// # Errors
    ///
    /// As [`Namespace::unlink`](crate::volume::namespace::Namespace::unlink).
    pub fn unlink(&self, directory: &Arc<Inode>, name: &[u8], now: Timestamp) -> Result<Option<Arc<Inode>>> {
        self.save_before_removal(directory, name);
        self.namespace.unlink(directory, name, now)
    }

    /// Moves a name, and saves what gave way of the file that it replaces before.
    ///
    /// # Errors
    ///
    /// As [`Namespace::rename`](crate::volume::namespace::Namespace::rename).
    pub fn rename(
        &self,
        from: (&Arc<Inode>, &[u8]),
        to: (&Arc<Inode>, &[u8]),
        how: Rename,
        whiteout: Option<NewInode<'_>>,
        now: Timestamp,
    ) -> Result<Option<Arc<Inode>>> {
        if how == Rename::Replace {
            self.save_before_removal(to.0, to.1);
        }
        self.namespace.rename(from, to, how, whiteout, now)
    }

    /// Saves what gave way of the file that has a name. Where that cannot be, it goes with the file: a removal makes room, and must not
    /// fail for want of it.
    fn save_before_removal(&self, directory: &Arc<Inode>, name: &[u8]) {
        let has_any = self.base.withheld.lock().has_any_aside() || !self.writeback.displaced().is_empty();
        if !has_any || mutants::is_active(Mutant::RemovedUnsaved) {
            return;
        }
        let Ok(Some((id, Kind::File))) = self.cache.entry(directory, name) else { return };
        if let Err(error) = self.save_all_of(id) {
            log::warn!(
                "{id:?}: what was written to it and gave way to another device's version goes with it: {error}"
            );
        }
    }

    /// Of a large one the further chunks may be anywhere: that is for merging.
    fn save_all_of(&self, id: InodeId) -> Result<()> {
        let aside = self.merge_aside(Some(id), &[])?;
        let mut saved = Vec::new();
        for lost in self.writeback.displaced().into_iter().filter(|lost| lost.id() == id) {
            let is_small = lost.state.read().table.is_empty();
            if is_small && self.save_displaced(&lost, Beside { copies: &[], pins: &[], is_pinned: true })? {
                saved.push(lost);
            }
        }
        if aside.is_empty() && saved.is_empty() {
            return Ok(());
        }
        self.writeback.sync_all()?;
        self.are_saved(aside);
        saved.iter().try_for_each(|lost| self.writeback.displaced_is_saved(lost))?;
        // Whoever shows the volume is told after that.
        self.base.schedule.merge();
        Ok(())
    }
}
