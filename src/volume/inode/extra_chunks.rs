//! The chunks of an inode beyond chunk 0 that are open.
//!
//! A large file has hundreds of them, and an operation touches one. What it touched is *busy* until it is found durable,
//! so that a write or a flush does not look at all of them.

use crate::chunk::{Chunk, ChunkIndex};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct ExtraChunks {
    chunks: BTreeMap<ChunkIndex, Chunk>,
    /// Every chunk that is not durable or that the store failed, and perhaps some others.
    busy: BTreeSet<ChunkIndex>,
}

impl ExtraChunks {
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub fn contains(&self, index: ChunkIndex) -> bool {
        self.chunks.contains_key(&index)
    }

    pub fn get(&self, index: ChunkIndex) -> Option<&Chunk> {
        self.chunks.get(&index)
    }

    /// For changing it.
    pub fn get_mut(&mut self, index: ChunkIndex) -> Option<&mut Chunk> {
        let chunk = self.chunks.get_mut(&index)?;
        self.busy.insert(index);
        Some(chunk)
    }

    pub fn insert(&mut self, index: ChunkIndex, chunk: Chunk) {
        self.chunks.insert(index, chunk);
        self.busy.insert(index);
    }

    pub fn remove(&mut self, index: ChunkIndex) {
        self.chunks.remove(&index);
        self.busy.remove(&index);
    }

    /// The indexes from one on, in order.
    pub fn from(&self, first: ChunkIndex) -> impl DoubleEndedIterator<Item = ChunkIndex> + '_ {
        self.chunks.range(first..).map(|(index, _)| *index)
    }

    /// Those that the store failed.
    pub fn failed(&self) -> Vec<ChunkIndex> {
        let failed = |index: &ChunkIndex| self.chunks.get(index).is_some_and(Chunk::wants_recovery);
        self.busy.iter().copied().filter(failed).collect()
    }

    /// Those whose files are open.
    pub fn with_files(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        self.chunks.iter().filter(|(_, chunk)| chunk.has_file()).map(|(index, _)| *index)
    }

    /// All of them, for changing them.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Chunk> {
        self.busy.extend(self.chunks.keys());
        self.chunks.values_mut()
    }

    /// Those that are not durable, or failed, in order.
    pub fn busy(&mut self) -> Vec<ChunkIndex> {
        let is_busy = |chunk: &Chunk| !chunk.is_all_durable() || chunk.wants_recovery();
        self.busy.retain(|index| self.chunks.get(index).is_some_and(is_busy));
        self.busy.iter().copied().collect()
    }

    /// How many are not durable, at most.
    pub fn busy_most(&self) -> usize {
        self.busy.len()
    }

    /// Whether there are more than so many dirty ones.
    pub fn are_dirty_above(&mut self, count: usize) -> bool {
        self.busy.len() > count && self.busy().len() > count && {
            let dirty = |index: &&ChunkIndex| self.chunks.get(index).is_some_and(Chunk::is_dirty);
            self.busy.iter().filter(dirty).count() > count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{BlockCount, ChunkId, Context, DeviceId, InodeId};
    use crate::crypto::{Cipher, Secret};
    use crate::store::memory::Memory;
    use std::sync::Arc;

    #[test]
    fn only_what_was_touched_since_it_was_durable_is_busy() {
        let secret = || vec![Secret::random()];
        let store = Arc::new(Memory::new());
        let context = Context::new(store, DeviceId([1; 8]), Cipher::Aes256Gcm, &Secret::random(), secret());
        let context = Arc::new(context);
        let mut extra_chunks = ExtraChunks::default();
        for index in (1..=100).map(ChunkIndex) {
            extra_chunks.insert(
                index,
                Chunk::new(&context, ChunkId { inode: InodeId([1; 12]), index }, BlockCount(1024)),
            );
        }
        assert_eq!(extra_chunks.busy(), Vec::from_iter((1..=100).map(ChunkIndex)));
        assert!(extra_chunks.are_dirty_above(99) && !extra_chunks.are_dirty_above(100));
        for chunk in extra_chunks.all_mut() {
            chunk.commit().unwrap();
        }
        assert!(extra_chunks.busy().len() == 100 && !extra_chunks.are_dirty_above(0));
        for chunk in extra_chunks.all_mut() {
            chunk.sync().unwrap();
        }
        assert_eq!(extra_chunks.busy().len(), 100, "their names are new");
        extra_chunks.all_mut().for_each(Chunk::name_synced);
        assert!(extra_chunks.busy().is_empty());
        extra_chunks.get_mut(ChunkIndex(7)).unwrap().set_inline(vec![1]);
        extra_chunks.get_mut(ChunkIndex(8)).unwrap();
        assert_eq!(extra_chunks.busy, BTreeSet::from([7, 8].map(ChunkIndex)), "all that is looked at");
        assert_eq!(extra_chunks.busy(), [ChunkIndex(7)]);
        assert!(extra_chunks.are_dirty_above(0));
        extra_chunks.remove(ChunkIndex(7));
        assert!(extra_chunks.busy().is_empty());
        assert!(extra_chunks.from(ChunkIndex(6)).eq([6].into_iter().chain(8..=100).map(ChunkIndex)));
    }
}
