//! The tables of the store of versions, and what their entries are made of.

use crate::chunk::{Commit, DeviceId, InodeId, StoredVersion, Tombstone, Version};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableError,
    WriteTransaction,
};
use std::collections::{BTreeMap, BTreeSet};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// By `ChunkId::block`: the version vector, its writer first, each entry as device id ‖ commit number.
pub const VERSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("versions");
/// By inode id, sealed: what `chunk::Context::seal_kept` made.
pub const ATTRIBUTES: TableDefinition<'_, &[u8; 12], &[u8]> = TableDefinition::new("attributes");
/// Inodes of which attributes are kept.
pub const ATTRIBUTES_MOST: u64 = if cfg!(test) { 1000 } else { 200_000 };
/// By `ChunkId::block` of chunk 0: the number of entries of its version (u16), those, and those of a directory's own vector.
pub const TOMBSTONES: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("tombstones");
/// Deleted inodes that are remembered. Where there are as many some of them are forgotten, whichever.
pub const TOMBSTONES_MOST: u64 = if cfg!(test) { 100 } else { 200_000 };
/// Inodes that may have no name.
pub const NAMELESS: TableDefinition<'_, &[u8; 12], ()> = TableDefinition::new("nameless");
/// Those, at most: of further ones nothing is noted.
pub const NAMELESS_MOST: usize = 10_000;
/// The number of the newest note in `recent` that the other tables have, too, with all before it.
pub const RECENT: TableDefinition<'_, (), u64> = TableDefinition::new("recent");

/// Notes tombstones; `None`: the inode has a name again.
///
/// # Errors
///
/// What the database says, such as that of a full disk. `write` is to be aborted then.
pub fn write_tombstones(
    write: &WriteTransaction,
    tombstones: &BTreeMap<[u8; 16], Option<Tombstone>>,
) -> Result<(), redb::Error> {
    if tombstones.is_empty() {
        return Ok(());
    }
    let mut table = write.open_table(TOMBSTONES)?;
    for (key, tombstone) in tombstones {
        match tombstone {
            Some(tombstone) => drop(table.insert(key, encode_tombstone(tombstone).as_slice())?),
            None => drop(table.remove(key)?),
        }
    }
    // Ids are random, so these are any of them.
    for _ in TOMBSTONES_MOST..table.len()? {
        table.pop_first()?;
    }
    Ok(())
}

/// The inodes that may have no name.
///
/// # Errors
///
/// What the database says.
pub fn read_nameless(store: &Database) -> Result<BTreeSet<InodeId>, redb::Error> {
    match store.begin_read()?.open_table(NAMELESS) {
        Err(TableError::TableDoesNotExist(_)) => Ok(BTreeSet::new()),
        table => Ok(table?
            .iter()?
            .map(|entry| Ok(InodeId(*entry?.0.value())))
            .collect::<Result<_, redb::StorageError>>()?),
    }
}

/// Those may have no name, and no others.
///
/// # Errors
///
/// What the database says, such as that of a full disk. `write` is to be aborted then.
pub fn write_nameless(write: &WriteTransaction, nameless: &BTreeSet<InodeId>) -> Result<(), redb::Error> {
    write.delete_table(NAMELESS)?;
    let mut table = write.open_table(NAMELESS)?;
    for id in nameless {
        table.insert(&id.0, ())?;
    }
    Ok(())
}

/// What [`RECENT`] says, 0 where nothing was written down.
///
/// # Errors
///
/// What the database says.
pub fn kept_number(store: &Database) -> Result<u64, redb::Error> {
    match store.begin_read()?.open_table(RECENT) {
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        table => Ok(table?.get(())?.map_or(0, |number| number.value())),
    }
}

fn encode_tombstone(tombstone: &Tombstone) -> Vec<u8> {
    let count = tombstone.version.0.len() as u16;
    [count.to_le_bytes().to_vec(), encode(&tombstone.version.0), encode(&tombstone.entries)].concat()
}

pub fn decode_tombstone(bytes: &[u8]) -> Option<Tombstone> {
    let (count, entries) = bytes.split_first_chunk()?;
    let count = usize::from(u16::from_le_bytes(*count));
    let (version, entries) = entries.split_at_checked(count * size_of::<StoredVersion>())?;
    Some(Tombstone { version: decode(version)?, entries: decode(entries)?.0 })
}

/// Keeps sealed attributes, of as many inodes as there is room for.
///
/// # Errors
///
/// What the database says, such as that of a full disk. Nothing is kept then.
pub fn write_attributes(store: &Database, kept: &[(InodeId, Vec<u8>)]) -> Result<(), redb::Error> {
    let write = store.begin_write()?;
    let mut table = write.open_table(ATTRIBUTES)?;
    let mut count = table.len()?;
    for (id, sealed) in kept {
        if count < ATTRIBUTES_MOST || table.get(&id.0)?.is_some() {
            count += u64::from(table.insert(&id.0, sealed.as_slice())?.is_none());
        }
    }
    drop(table);
    Ok(write.commit()?)
}

pub fn encode(entries: &[(DeviceId, Commit)]) -> Vec<u8> {
    let entries: Vec<StoredVersion> = entries.iter().copied().map(StoredVersion::from).collect();
    entries.as_bytes().to_vec()
}

pub fn decode(bytes: &[u8]) -> Option<Version> {
    let entries = <[StoredVersion]>::ref_from_bytes(bytes).ok()?;
    Some(Version(entries.iter().copied().map(<(DeviceId, Commit)>::from).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Recall;
    use crate::trust::versions::Versions;
    use crate::trust::versions::tests::{chunk, open, version};

    #[test]
    fn what_was_deleted_is_known_until_it_has_a_name_again() {
        let folder = tempfile::tempdir().unwrap();
        let tombstone = |n: u64| Tombstone {
            version: version(&[(9, n), (1, 3)]),
            entries: if n == 1 { Vec::new() } else { version(&[(9, 1 << 62)]).0 },
        };
        let versions = open(&folder);
        versions.durable(chunk(1), &version(&[(1, 5)]));
        [1, 2, 3].into_iter().for_each(|n| versions.deleted(chunk(n), &tombstone(n.into())));
        let known = |versions: &Versions| [1, 2, 3].map(|n| versions.tombstone(chunk(n)));
        assert_eq!(known(&versions), [1, 2, 3].map(|n| Some(tombstone(n))));
        assert_eq!(versions.known(chunk(1)), None);
        versions.keep();
        versions.revived(chunk(3));
        versions.keep();
        drop(versions);
        let versions = open(&folder);
        assert_eq!(known(&versions), [Some(tombstone(1)), Some(tombstone(2)), None]);

        let many = 2 * TOMBSTONES_MOST as u32;
        (0..many).for_each(|n| versions.deleted(chunk(n), &tombstone(1)));
        versions.keep();
        let left = (0..many).filter(|n| versions.tombstone(chunk(*n)).is_some()).count();
        assert_eq!(left as u64, TOMBSTONES_MOST);
    }
}
