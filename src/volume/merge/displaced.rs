//! Content that memory alone has: another device's version took its place before it was stored.

use super::Merge;
use super::files::Beside;
use crate::chunk::{ChunkId, InodeId};
use crate::store::{CopyName, PinName};
use crate::volume::Result;
use crate::volume::inode::state::Inode;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Merge {
    /// Saves it beside what is in its place; what of it that is done for once everything is durable.
    pub(super) fn merge_displaced(
        &self,
        copies: &[(ChunkId, CopyName)],
        pins: &BTreeMap<InodeId, Vec<(ChunkId, PinName)>>,
    ) -> Result<Vec<Arc<Inode>>> {
        let mut saved = Vec::new();
        for lost in self.writeback.displaced() {
            let pins = pins.get(&lost.id()).map_or(&[][..], Vec::as_slice);
            match self.save_displaced(&lost, Beside { copies, pins, is_pinned: true }) {
                Ok(true) => saved.push(lost),
                Ok(false) => {}
                Err(error) if error.is_damage() => {
                    log::warn!("{:?}: what was written here is not saved yet: {error}", lost.id());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(saved)
    }

    fn save_displaced(&self, lost: &Arc<Inode>, beside: Beside<'_>) -> Result<bool> {
        self.hold_chunks(lost.id(), &mut lost.state.write(), beside, &mut Vec::new())?;
        let inode = self.cache.inode(lost.id())?;
        let is_equal = match self.are_equal(&inode, lost) {
            Err(error) if error.is_damage() => false,
            is_equal => is_equal?,
        };
        Ok(is_equal || self.save_beside(&inode, lost)?)
    }
}
