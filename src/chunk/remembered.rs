//! What a device remembers of a volume's chunks, in memory: a copy of it can be taken at any moment and brought back.

use super::{ChunkId, InodeId, Recall, Tombstone, Version};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Clones share what is remembered. Everything counts the moment it is noted: the most that could be written down.
#[derive(Clone, Default)]
pub(crate) struct Remembered(Arc<Mutex<State>>);

/// What was remembered at one moment.
pub(crate) type Snapshot = Arc<Noted>;

#[derive(Clone, Default, Hash)]
pub(crate) struct Noted {
    versions: BTreeMap<ChunkId, Version>,
    tombstones: BTreeMap<ChunkId, Tombstone>,
    maybe_nameless: BTreeSet<InodeId>,
}

impl FromIterator<(ChunkId, Version)> for Noted {
    fn from_iter<I: IntoIterator<Item = (ChunkId, Version)>>(known: I) -> Noted {
        Noted { versions: known.into_iter().collect(), ..Noted::default() }
    }
}

#[derive(Default)]
struct State {
    noted: Snapshot,
    seen: BTreeMap<ChunkId, Version>,
    /// As of the last `keep`.
    kept: Snapshot,
    attributes: BTreeMap<InodeId, Vec<u8>>,
}

impl Remembered {
    pub fn of(known: Snapshot) -> Remembered {
        let remembered = Remembered::default();
        remembered.restore(&known);
        remembered
    }

    pub fn snapshot(&self) -> Snapshot {
        self.0.lock().noted.clone()
    }

    pub fn restore(&self, known: &Snapshot) {
        *self.0.lock() = State { noted: known.clone(), kept: known.clone(), ..State::default() };
    }

    /// As after the end of the program: only what was written down is left.
    pub fn restart(&self) {
        let kept = self.0.lock().kept.clone();
        self.restore(&kept);
    }
}

impl Recall for Remembered {
    fn known(&self, id: ChunkId) -> Option<Version> {
        self.0.lock().noted.versions.get(&id).cloned()
    }

    fn durable(&self, id: ChunkId, version: &Version) {
        let mut state = self.0.lock();
        state.seen.remove(&id);
        Arc::make_mut(&mut state.noted).versions.insert(id, version.clone());
    }

    fn journals(&self) -> Vec<ChunkId> {
        let is_journal = |id: &&ChunkId| id.inode.journal_of().is_some();
        self.0.lock().kept.versions.keys().filter(is_journal).copied().collect()
    }

    fn inodes_beginning(&self, first: [u8; 8]) -> Vec<InodeId> {
        let state = self.0.lock();
        let known = state.noted.versions.keys().chain(state.seen.keys());
        known.filter(|id| id.index.is_first() && id.inode.0.starts_with(&first)).map(|id| id.inode).collect()
    }

    fn seen(&self, id: ChunkId, version: &Version) {
        self.0.lock().seen.insert(id, version.clone());
    }

    fn has_seen(&self) -> bool {
        !self.0.lock().seen.is_empty()
    }

    fn seen_is_durable(&self) {
        let mut state = self.0.lock();
        let seen = std::mem::take(&mut state.seen);
        Arc::make_mut(&mut state.noted).versions.extend(seen);
    }

    fn gone(&self, id: ChunkId) {
        let mut state = self.0.lock();
        state.seen.remove(&id);
        Arc::make_mut(&mut state.noted).versions.remove(&id);
    }

    fn deleted(&self, id: ChunkId, tombstone: &Tombstone) {
        self.gone(id);
        Arc::make_mut(&mut self.0.lock().noted).tombstones.insert(id, tombstone.clone());
    }

    fn tombstone(&self, id: ChunkId) -> Option<Tombstone> {
        self.0.lock().noted.tombstones.get(&id).cloned()
    }

    fn revived(&self, id: ChunkId) {
        Arc::make_mut(&mut self.0.lock().noted).tombstones.remove(&id);
    }

    fn may_be_nameless(&self, id: InodeId) {
        Arc::make_mut(&mut self.0.lock().noted).maybe_nameless.insert(id);
    }

    fn maybe_nameless(&self) -> Vec<InodeId> {
        self.0.lock().noted.maybe_nameless.iter().copied().collect()
    }

    fn not_nameless(&self, id: InodeId) {
        Arc::make_mut(&mut self.0.lock().noted).maybe_nameless.remove(&id);
    }

    fn keep(&self) {
        let mut state = self.0.lock();
        state.kept = state.noted.clone();
    }

    fn keeps_attributes(&self) -> bool {
        true
    }

    fn attributes(&self, id: InodeId) -> Option<Vec<u8>> {
        self.0.lock().attributes.get(&id).cloned()
    }

    fn keep_attributes(&self, kept: &[(InodeId, Vec<u8>)]) {
        self.0.lock().attributes.extend(kept.iter().cloned());
    }
}
