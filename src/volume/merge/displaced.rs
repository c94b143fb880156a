//! Content that memory alone has: another device's version took its place before it was stored.

use super::Merge;
use super::files::Beside;
use crate::chunk::{ChunkId, InodeId};
use crate::store::{CopyName, PinName};
use crate::volume::catalog::ABSENT_FOR;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

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

    pub(super) fn save_displaced(&self, lost: &Arc<Inode>, beside: Beside<'_>) -> Result<bool> {
        let held = self.hold_chunks(lost.id(), &mut lost.state.write(), beside, &mut Vec::new());
        if let Err(error) = held {
            return self.give_up_displaced(lost, error).map(|()| false);
        }
        let inode = self.cache.inode(lost.id())?;
        let is_equal = match self.are_equal(&inode, lost) {
            Err(error) if error.is_damage() => false,
            is_equal => is_equal?,
        };
        let is_saved = is_equal || self.save_beside(&inode, lost)?;
        if is_saved {
            let (version, record) = {
                let state = lost.state.read();
                (state.version().clone(), state.record.clone())
            };
            self.unite_links(&inode, &version, &record)?;
        }
        Ok(is_saved)
    }

    /// Nothing pinned a chunk that it did not change, and the client replaced that: what took its place can be used again, once
    /// the client is done with it.
    fn give_up_displaced(&self, lost: &Arc<Inode>, error: Error) -> Result<()> {
        let file = self.base.context.file_name(ChunkId::first(lost.id()));
        let is_over = self.base.context.store.age_of_file(file).is_ok_and(|age| age >= ABSENT_FOR);
        if !error.is_damage() || !is_over || mutants::is_active(Mutant::HeldBackForEver) {
            self.waits_briefly.fetch_or(error.is_damage(), Ordering::Relaxed);
            return Err(error);
        }
        log::error!(
            "{:?}: what was written to it and gave way to another device's version is lost: {error}",
            lost.id()
        );
        self.writeback.give_up_displaced(lost)
    }
}
