//! The journals of other devices while the volume is in use: what they say by now is applied in memory.

use super::Journal;
use super::file::read;
use super::replay::Replay;
use crate::chunk::InodeId;
use crate::volume::format::batch::{Item, parse};
use crate::volume::{Error, Result};
use hashbrown::HashSet;
use std::cell::RefCell;

impl Journal {
    /// Applies them, but to what has changes of its own. `before` is shown each inode that they speak of. One that is not
    /// whole is left out until it is.
    ///
    /// # Errors
    ///
    /// The store's, if the journals cannot be listed or read.
    pub fn apply_others(&self, before: &mut dyn FnMut(InodeId)) -> Result<()> {
        let mut lives = Vec::new();
        for id in self.catalog.other_journals()? {
            match read(&self.base.context, id) {
                Ok(Some(live)) => {
                    self.cache.journal_read(id);
                    lives.push((id, live));
                }
                Ok(None) => {}
                Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => {
                    log::debug!("a journal that arrived cannot be read yet: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        lives.retain(|(_, live)| parse(&live.stream).is_ok_and(|batches| !batches.is_empty()));
        if lives.is_empty() {
            return Ok(());
        }
        let _names = self.names.lock();
        let mut told = HashSet::new();
        for (_, live) in &lives {
            let items = parse(&live.stream).unwrap_or_default().into_iter().flat_map(|batch| batch.items);
            items.filter_map(|item| subject(&item)).filter(|id| told.insert(*id)).for_each(&mut *before);
        }
        let replay = Replay {
            base: &self.base,
            cache: &self.cache,
            catalog: &self.catalog,
            is_live: true,
            dropped: RefCell::default(),
            renewed: RefCell::default(),
        };
        replay.apply_all(&lives).map(drop)
    }
}

/// The inode that a record changes.
fn subject(item: &Item<'_>) -> Option<InodeId> {
    match item {
        Item::Directory { inode, .. } | Item::Namespace { inode, .. } | Item::Inode { inode, .. } => {
            Some(*inode)
        }
        _ => None,
    }
}
