//! Chunks that are found by how their ids begin, and not by all of them.

use super::super::tables::VERSIONS;
use super::Versions;
use crate::chunk::{ChunkId, DeviceId, InodeId, Recall};
use redb::{ReadableDatabase, TableError};

/// Journals that are looked for, at most.
const JOURNALS_MOST: usize = 10_000;
/// Chunks that are looked at for an inode whose id begins so.
const BEGINNING_MOST: usize = 16;

impl Versions {
    pub(super) fn read_journals(&self) -> Result<Vec<ChunkId>, redb::Error> {
        let table = match self.store.begin_read()?.open_table(VERSIONS) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            opened => opened?,
        };
        // Their ids are the last of all.
        let first = ChunkId::first(InodeId::journal(DeviceId([0; 8])));
        let range = table.range::<&[u8; 16]>(&first.block()..)?.take(JOURNALS_MOST);
        Ok(range
            .map(|entry| Ok(ChunkId::from_block(*entry?.0.value())))
            .collect::<Result<_, redb::StorageError>>()?)
    }

    /// The inodes whose first chunk is known, or was seen, and whose ids begin so.
    pub(super) fn beginning(&self, first: [u8; 8]) -> Vec<InodeId> {
        let mut found = self.read_beginning(first).unwrap_or_else(|error| {
            self.warn(&error);
            Vec::new()
        });
        let notes = self.notes.lock();
        let leaving = notes.leaving.versions.keys().map(|key| ChunkId::from_block(*key));
        found.extend(leaving.chain(notes.new.keys().copied()).chain(notes.seen.keys().copied()));
        drop(notes);
        found.retain(|id| id.index.is_first() && id.inode.0.starts_with(&first));
        found.sort_unstable();
        found.dedup();
        found.retain(|id| {
            let is_known = || self.known(*id).is_some() || self.notes.lock().seen.contains_key(id);
            id.inode.journal_of().is_none() && is_known()
        });
        found.into_iter().map(|id| id.inode).collect()
    }

    /// Of what was written down.
    fn read_beginning(&self, first: [u8; 8]) -> Result<Vec<ChunkId>, redb::Error> {
        let bound = |rest: u8| {
            let mut key = [rest; 16];
            key[..8].copy_from_slice(&first);
            key
        };
        self.read(|tables| {
            let Some(table) = &tables.versions else { return Ok(Vec::new()) };
            // Of a file of many chunks the first comes first.
            let range = table.range::<&[u8; 16]>(&bound(0)..=&bound(u8::MAX))?.take(BEGINNING_MOST);
            let ids = range.map(|entry| Ok(ChunkId::from_block(*entry?.0.value())));
            Ok(ids.collect::<Result<_, redb::StorageError>>()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{ChunkIndex, Commit, Version};

    /// Written down or not yet, known or seen; not what is gone, nor chunks behind the first.
    #[test]
    fn inodes_are_found_by_the_beginning_of_their_ids() {
        let folder = tempfile::tempdir().unwrap();
        let versions = Versions::open(&folder.path().join("versions")).unwrap();
        let version = Version(vec![(DeviceId([1; 8]), Commit(1))]);
        let inode = |first: u8, rest: u8| {
            let mut id = [rest; 12];
            id[..8].copy_from_slice(&[first; 8]);
            InodeId(id)
        };
        let first = |a, b| ChunkId::first(inode(a, b));
        (2..=6).for_each(|n| versions.durable(first(n, 1), &version));
        versions.durable(ChunkId { inode: inode(5, 2), index: ChunkIndex(1) }, &version);
        versions.durable(first(5, 9), &version);
        versions.gone(first(6, 1));
        versions.seen(first(7, 1), &version);
        for _ in 0..2 {
            let found = [2, 5, 6, 7, 8].map(|n| versions.beginning([n; 8]));
            let wanted =
                [vec![inode(2, 1)], vec![inode(5, 1), inode(5, 9)], vec![], vec![inode(7, 1)], vec![]];
            assert_eq!(found, wanted);
            versions.keep();
        }
    }
}
