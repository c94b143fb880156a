//! What only this device's journal has of a folder that another device deleted meanwhile: a crash came before it was stored, and a
//! client took the folder's file away. What was put into it gets a name in the root.

use super::Merge;
use super::pinned::Copies;
use crate::chunk::{ChunkId, DeviceId, InodeId};
use crate::volume::format::batch::{Item, parse};
use crate::volume::format::directory_log::{LogRecord, records};
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Malformed, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An inode, and the name of its entry.
type Added = (InodeId, Box<[u8]>);

impl Merge {
    /// Names what is withheld of folders of which a file was here and none is. Whether there was any.
    pub(super) fn name_withheld(&self, copies: &Copies) -> Result<bool> {
        if mutants::is_active(Mutant::WithheldUnnamed) {
            return Ok(false);
        }
        let mut any = false;
        let directories = self.base.withheld.lock().directories();
        for (id, batch) in directories {
            let first = ChunkId::first(id);
            let is_here = self.catalog.is_there(first)? || copies.iter().any(|(of, _)| *of == first);
            // What was never here may be on its way.
            if is_here || self.base.context.recall.known(first).is_none() {
                continue;
            }
            match self.name_all_of(id, &batch) {
                Ok(()) => {
                    log::warn!(
                        "{id:?} was deleted on another device: what was put into it here is in the root"
                    );
                    // The next batch has the names, and none repeats this any more.
                    self.base.withheld.lock().remove(id);
                    any = true;
                }
                Err(error) if error.is_damage() => {
                    log::info!("{id:?}: what was put into it before a crash has no name yet: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(any)
    }

    fn name_all_of(&self, directory: InodeId, batch: &[u8]) -> Result<()> {
        let malformed = |what: Malformed| Error::Damaged(ChunkId::first(directory), what.0.into());
        let root = self.cache.inode(InodeId::ROOT)?;
        let added = added(batch).map_err(malformed)?;
        let there = added.into_iter().filter(|(id, _)| self.tombstone(*id).is_none());
        let there: Vec<_> =
            there.map(|(id, name)| Ok((self.cache.inode(id)?, name))).collect::<Result<_>>()?;
        for (inode, name) in there {
            let is_deleted = inode.view(|record| record.links_count == 0);
            if !is_deleted && !self.has_name_beside(&inode, directory) {
                self.adopt(&inode, &root, &name)?;
            }
        }
        Ok(())
    }

    /// Whether an inode has a name in another directory than this one.
    fn has_name_beside(&self, inode: &Arc<Inode>, directory: InodeId) -> bool {
        let links = inode.view(|record| record.extension.links.clone());
        links.iter().filter(|link| link.parent != directory).any(|link| {
            let places = self.cache.inode(link.parent).and_then(|parent| self.places(&parent, inode));
            places.is_ok_and(|places| !places.is_empty())
        })
    }
}

/// What the directory logs of a batch add and do not remove again.
fn added(batch: &[u8]) -> std::result::Result<Vec<Added>, Malformed> {
    let mut left = BTreeMap::<(u64, DeviceId), Added>::new();
    for item in parse(batch)?.iter().flat_map(|batch| &batch.items) {
        let Item::Directory { devices, log, .. } = item else { continue };
        let by = |device: u8| devices.get(usize::from(device)).copied().ok_or(Malformed("no known device"));
        for record in records(log) {
            match record? {
                LogRecord::Add { dot, inode, name, .. } => {
                    left.insert((dot.counter, by(dot.device)?), (inode, name.into()));
                }
                LogRecord::Remove(dot) => _ = left.remove(&(dot.counter, by(dot.device)?)),
            }
        }
    }
    Ok(left.into_values().collect())
}
