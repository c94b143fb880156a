//! A directory in memory: its entries, and how far each change of them has come.
//!
//! A change waits in `pending`, stands in a batch under way (`frozen`), is durable in a batch (`journalled`), and at
//! last lies in the directory's own chunks. Chunk 0 never says more than durable batches do: its vector would hide what
//! a later batch has to add.

use crate::chunk::{DeviceId, InodeId};
use crate::volume::format::batch::Builder;
use crate::volume::format::limits;
use crate::volume::format::wire::TooLarge;
use crate::volume::inode::directory::Directory;
use crate::volume::mutants::{self, Mutant};

/// The entries of a directory and their changes.
pub struct Entries {
    pub directory: Directory,
    pending: Vec<u8>,
    frozen: Frozen,
    journalled: Vec<u8>,
    vector: Vec<(DeviceId, u64)>,
    /// A log that is to take the place of all that is stored; `journalled` goes behind it.
    replacement: Option<Vec<u8>>,
    /// Log bytes in the directory's chunks.
    stored: u64,
    /// The device id of entries that are added here, once one was.
    pub author: Option<DeviceId>,
    renewed: Vec<Renewed>,
}

/// Entries of this device's journal that are here under another id, as earlier ones were missing.
struct Renewed {
    device: DeviceId,
    /// The newest counter of the earlier ones.
    before: u64,
    /// The newest one of those.
    last: u64,
}

#[derive(Default)]
struct Frozen {
    log: Vec<u8>,
    vector: Vec<(DeviceId, u64)>,
    compacted: Option<Vec<u8>>,
}

impl Entries {
    /// Of a new directory.
    pub fn empty() -> Entries {
        Entries::loaded(Directory::new(Vec::new()), 0)
    }

    /// Of a directory whose log took `stored` bytes.
    pub fn loaded(directory: Directory, stored: u64) -> Entries {
        Entries {
            vector: directory.vector().to_vec(),
            directory,
            pending: Vec::new(),
            frozen: Frozen::default(),
            journalled: Vec::new(),
            replacement: None,
            stored,
            author: None,
            renewed: Vec::new(),
        }
    }

    /// Notes that entries which this device's journal has under an id are here under another one.
    pub fn note_renewed(&mut self, device: DeviceId, before: u64, last: u64) {
        match self.renewed.iter_mut().find(|renewed| renewed.device == device) {
            Some(renewed) => {
                (renewed.before, renewed.last) = (renewed.before.min(before), renewed.last.max(last));
            }
            None => self.renewed.push(Renewed { device, before, last }),
        }
    }

    /// Has the vector cover those, too, where all that was missing is here by now: whoever has them under the former id has what
    /// became others. Whether there were any.
    pub fn cover_renewed(&mut self) -> bool {
        let is_back = |renewed: &Renewed| self.directory.covers(renewed.device, renewed.before);
        let (back, missing) = std::mem::take(&mut self.renewed).into_iter().partition(is_back);
        self.renewed = missing;
        let back: Vec<Renewed> = back;
        back.iter().for_each(|renewed| self.directory.cover(renewed.device, renewed.last));
        !back.is_empty()
    }

    /// The entries, and where their changes are to be noted.
    pub fn change(&mut self) -> (&mut Directory, &mut Vec<u8>) {
        (&mut self.directory, &mut self.pending)
    }

    /// Applies the log of a durable batch. What is in no durable batch yet stays uncovered.
    ///
    /// # Errors
    ///
    /// As [`Directory::apply`].
    pub fn replay(&mut self, log: &[u8], devices: &[DeviceId]) -> Result<(), crate::volume::Malformed> {
        let before = self.directory.vector().to_vec();
        self.directory.apply(log, devices, &mut self.journalled)?;
        let counter = |vector: &[(DeviceId, u64)], device| {
            vector.iter().find(|entry| entry.0 == device).map_or(0, |entry| entry.1)
        };
        let covered = |&(device, newest): &(DeviceId, u64)| {
            let is_news = newest > counter(&before, device) || mutants::is_active(Mutant::PendingCovered);
            (device, if is_news { newest } else { counter(&self.vector, device) })
        };
        self.vector = self.directory.vector().iter().map(covered).collect();
        Ok(())
    }

    /// Puts the pending changes into a batch of this device's journal.
    ///
    /// # Errors
    ///
    /// As [`Builder::directory`]; the changes stay pending then.
    pub fn freeze(&mut self, inode: InodeId, device: DeviceId, batch: &mut Builder) -> Result<(), TooLarge> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let device = self.author.unwrap_or(device);
        let before =
            self.vector.iter().find(|(known, _)| *known == device).map_or(0, |(_, counter)| *counter);
        batch.directory(inode, before, self.directory.vector(), &self.pending)?;
        let logged = self.stored + (self.journalled.len() + self.pending.len()) as u64;
        let live = self.directory.live_log_bytes();
        if logged > limits::compact() && logged > 2 * live && self.replacement.is_none() {
            let mut compacted = Vec::with_capacity(live as usize);
            self.directory.write_compacted(&mut compacted);
            self.frozen.compacted = Some(compacted);
        }
        self.frozen.log = std::mem::take(&mut self.pending);
        self.frozen.vector = self.directory.vector().to_vec();
        Ok(())
    }

    /// The batch is durable.
    pub fn thaw(&mut self) {
        let frozen = std::mem::take(&mut self.frozen);
        if frozen.vector.is_empty() {
            return;
        }
        self.vector = frozen.vector;
        match frozen.compacted {
            Some(compacted) => {
                self.replacement = Some(compacted);
                self.journalled.clear();
            }
            None => self.journalled.extend_from_slice(&frozen.log),
        }
    }

    /// The batch came to nothing: its changes are pending again.
    pub fn refreeze(&mut self) {
        let mut log = std::mem::take(&mut self.frozen).log;
        log.append(&mut self.pending);
        self.pending = log;
    }

    /// Whether something is durable in batches only.
    pub fn has_journalled(&self) -> bool {
        self.replacement.is_some() || !self.journalled.is_empty()
    }

    /// Whether all changes of the directory lie in its own chunks.
    pub fn is_stored(&self) -> bool {
        self.pending.is_empty() && self.frozen.log.is_empty() && !self.has_journalled()
    }

    /// Whether no change is on its way into a batch.
    pub fn is_at_rest(&self) -> bool {
        self.pending.is_empty() && self.frozen.log.is_empty()
    }

    /// Has all entries stored again, where each change of them is durable in a batch; whether that is so.
    pub fn begin_rebuild(&mut self) -> bool {
        if !self.is_at_rest() {
            return false;
        }
        let mut whole = Vec::new();
        self.directory.write_compacted(&mut whole);
        self.replacement = Some(whole);
        self.journalled.clear();
        self.vector = self.directory.vector().to_vec();
        true
    }

    /// Log bytes that the directory's chunks lack, and those that they have and that are to be written again.
    pub fn bytes_to_store(&self) -> u64 {
        let log = (self.pending.len() + self.frozen.log.len() + self.journalled.len()) as u64;
        let whole = [&self.replacement, &self.frozen.compacted];
        let rewritten: usize = whole.into_iter().flatten().map(Vec::len).sum();
        let (logged, live) = (self.stored + log, self.directory.live_log_bytes());
        let compacted = if log > 0 && logged > limits::compact() && logged > 2 * live { live } else { 0 };
        log + rewritten as u64 + compacted
    }

    /// Takes what the directory's chunks lack, to be stored now.
    pub fn take_unstored(&mut self) -> Unstored {
        let replacement = self.replacement.take();
        let log = std::mem::take(&mut self.journalled);
        let kept = replacement.as_ref().map_or(self.stored, |log| log.len() as u64);
        Unstored { stored: kept + log.len() as u64, replacement, log, vector: self.vector.clone() }
    }

    /// Chunk 0 says what was taken.
    pub fn was_stored(&mut self, unstored: &Unstored) {
        self.stored = unstored.stored;
    }

    /// Storing failed: what was taken still has to be stored, unless a newer replacement holds it all.
    pub fn was_not_stored(&mut self, mut unstored: Unstored) {
        if self.replacement.is_none() {
            self.replacement = unstored.replacement;
            unstored.log.append(&mut self.journalled);
            self.journalled = unstored.log;
        }
    }
}

/// Log bytes on their way from durable batches into the directory's chunks.
pub struct Unstored {
    /// Takes the place of all that is stored.
    pub replacement: Option<Vec<u8>>,
    /// Goes behind it.
    pub log: Vec<u8>,
    /// Covers what durable batches say, and no more.
    pub vector: Vec<(DeviceId, u64)>,
    /// Log bytes stored once this is.
    stored: u64,
}
