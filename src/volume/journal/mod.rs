//! The journal: what is pending becomes a batch, is committed, and is replayed at mount (docs/FORMAT.md section 9).

pub mod devices;
mod ended;
pub mod file;
mod freeze;
mod others;
mod pending;
pub mod replay;
mod told;

pub use devices::Device;
pub use freeze::Commitment;
pub use pending::Pending;

use crate::chunk::{InodeId, NEW_FILE, Wish};
use crate::locks::{Mutex, MutexGuard, Rank};
use crate::volume::Result;
use crate::volume::base::Base;
use crate::volume::cache::Cache;
use crate::volume::catalog::Catalog;
use file::{JournalFile, ahead};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Locks, in this order: the file, the names.
pub struct Journal {
    base: Arc<Base>,
    cache: Arc<Cache>,
    catalog: Arc<Catalog>,
    file: Mutex<JournalFile>,
    /// What the next batch has to say.
    names: Mutex<Pending>,
    /// After a crash now, the next mount looks for what was left behind.
    in_use: AtomicBool,
}

impl Journal {
    /// Opens this device's journal, and applies all there are.
    ///
    /// # Errors
    ///
    /// As [`replay::Replay::run`].
    pub fn open(base: &Arc<Base>, cache: &Arc<Cache>, catalog: &Arc<Catalog>) -> Result<Journal> {
        let replayed = replay::Replay {
            base,
            cache,
            catalog,
            is_live: false,
            dropped: RefCell::default(),
            renewed: RefCell::default(),
        }
        .run()?;
        let in_use = replayed.leftovers.is_some();
        let stream = replayed.own.as_ref().map_or(&[][..], |live| &live.stream);
        base.withheld.lock().found_in(stream);
        if let Some(leftovers) = replayed.leftovers {
            catalog.expect_leftovers(leftovers);
        }
        Ok(Journal {
            base: base.clone(),
            cache: cache.clone(),
            catalog: catalog.clone(),
            file: Mutex::new(
                Rank::Journal,
                replayed.own.map_or_else(|| JournalFile::new(&base.context), JournalFile::resume),
            ),
            names: Mutex::new(Rank::Names, Pending::default()),
            in_use: AtomicBool::new(in_use),
        })
    }

    /// The namespace lock, which whoever changes names holds.
    pub fn names(&self) -> MutexGuard<'_, Pending> {
        self.names.lock()
    }

    /// Holds space for the next batch with one change more.
    ///
    /// # Errors
    ///
    /// The store's, if there is none.
    pub fn hold_room(&self, wish: Wish) -> Result<()> {
        let begun = if self.is_in_use() { 0 } else { u64::from(ahead(&self.base.context)) + NEW_FILE };
        self.names.lock().hold_room(&self.base.context.headroom, begun, wish)
    }

    /// Whether somebody holds that.
    #[cfg(test)]
    pub fn is_changing_names(&self) -> bool {
        self.names.is_locked()
    }

    /// The journal's file, which whoever commits or drops batches holds.
    pub fn file(&self) -> MutexGuard<'_, JournalFile> {
        self.file.lock()
    }

    /// Whether a batch has anything to say; without it, content and attributes go to their places alone.
    pub fn has_news(&self) -> bool {
        !self.names.lock().is_empty() || self.base.stand_ins.lock().has_untold()
    }

    /// Whether chunk files may come and go: after a crash, the next mount looks for them.
    pub fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Acquire)
    }

    /// The devices that write to the volume; of this one, whose journal may be being written, what the root directory tells.
    ///
    /// # Errors
    ///
    /// A journal could not be read for a reason of the machine's.
    pub fn devices(&self) -> Result<Vec<Device>> {
        let root = self.cache.inode(InodeId::ROOT)?.state.read().version().clone();
        devices::list(&self.base.context, &root, &self.catalog.other_journals()?)
    }

    /// Leaves an empty journal behind, durably.
    ///
    /// # Errors
    ///
    /// As [`JournalFile::clear`]; the journal is in use then.
    pub fn clear(&self) -> Result<()> {
        self.file.lock().clear(&self.base.context)?;
        self.in_use.store(false, Ordering::Release);
        Ok(())
    }
}
