//! The newest durable version of each chunk, in an embedded store beside the rest of what this device knows.
//!
//! Notes are collected in memory, where every open finds them, and written down together when the volume says so; those of what
//! became durable meanwhile also lie in `recent`. Losing them is harmless: what is not known is not suspicious. At most [`MOST`]
//! chunks are remembered.

mod ranges;
mod recent;
#[cfg(test)]
pub(super) mod tests;

use super::tables::{
    self, ATTRIBUTES, NAMELESS_MOST, RECENT, TOMBSTONES, VERSIONS, decode, decode_tombstone, encode,
};
use crate::chunk::{ChunkId, InodeId, Recall, Tombstone, Version};
use crate::locks::{Mutex, Rank, RwLock};
use recent::Recent;
use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableError,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Chunks that are remembered.
const MOST: u64 = if cfg!(test) { 1000 } else { 4_000_000 };
/// Chunks that were read and not counted yet, at most; further ones wait for another mount.
const SEEN_MOST: usize = 1 << 20;
/// Bytes of the store that are kept in memory.
const CACHE: usize = 16 << 20;

/// Why versions cannot be remembered.
#[derive(Debug, thiserror::Error)]
pub enum VersionsUnavailable {
    /// Another program has them open: a mount of another copy of the folder.
    #[error("another mount of the same volume has it open")]
    InUse,
    #[error("{0}")]
    Store(#[source] Box<redb::Error>),
}

/// What is remembered of a volume's chunks.
pub struct Versions {
    store: Database,
    /// The newest state of the tables, once they were read: to open one costs more than to look one chunk up.
    tables: RwLock<Option<Tables>>,
    notes: Mutex<Notes>,
    recent: Option<Recent>,
    /// One `keep` at a time.
    keeping: Mutex<()>,
    /// Something could not be written down, or there was no room: said once.
    failed: AtomicBool,
}

/// `None`: there is none yet.
struct Tables {
    versions: Option<ReadOnlyTable<&'static [u8; 16], &'static [u8]>>,
    attributes: Option<ReadOnlyTable<&'static [u8; 12], &'static [u8]>>,
    tombstones: Option<ReadOnlyTable<&'static [u8; 16], &'static [u8]>>,
}

#[derive(Default)]
struct Notes {
    /// Since the last `keep`; `None` for what is gone.
    new: HashMap<ChunkId, Option<Version>>,
    /// Inodes that were deleted since; `None` for those that have a name again.
    buried: HashMap<ChunkId, Option<Tombstone>>,
    /// All inodes that may have no name, and whether others were written down.
    nameless: BTreeSet<InodeId>,
    are_others: bool,
    /// The number of the newest one in `recent`.
    number: u64,
    /// Being written down.
    leaving: Arc<Leaving>,
    seen: HashMap<ChunkId, Version>,
}

#[derive(Default)]
struct Leaving {
    /// Of the newest of them in `recent`.
    number: u64,
    nameless: Option<BTreeSet<InodeId>>,
    versions: BTreeMap<[u8; 16], Option<Version>>,
    tombstones: BTreeMap<[u8; 16], Option<Tombstone>>,
}

impl Notes {
    fn add(&mut self, id: ChunkId, version: &Version) {
        if !self.seen.is_empty() {
            self.seen.remove(&id);
        }
        self.new.insert(id, Some(version.clone()));
    }
}

impl Versions {
    /// Opens the store, or makes it. Nobody else can open it meanwhile.
    ///
    /// # Errors
    ///
    /// `InUse` while another program has it open, `Store` where the file is damaged or cannot be opened.
    pub fn open(path: &Path) -> Result<Versions, VersionsUnavailable> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let store = Builder::new().set_cache_size(CACHE).create_file(file.map_err(redb::Error::from)?);
        let store = store.map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => VersionsUnavailable::InUse,
            error => redb::Error::from(error).into(),
        })?;
        let kept = tables::kept_number(&store)?;
        let (recent, left) = match Recent::open(&path.with_file_name("recent"), kept) {
            Ok((recent, left)) => (Some(recent), left),
            Err(error) => {
                log::debug!("what becomes durable is noted some seconds later only: {error}");
                (None, Vec::new())
            }
        };
        let number = left.last().map_or(kept, |last| last.number);
        let new = left.into_iter().map(|note| (note.id, Some(note.version))).collect();
        let notes = Notes { new, number, nameless: tables::read_nameless(&store)?, ..Notes::default() };
        Ok(Versions {
            store,
            tables: RwLock::new(Rank::VersionsTable, None),
            notes: Mutex::new(Rank::VersionsNotes, notes),
            recent,
            keeping: Mutex::new(Rank::VersionsWriter, ()),
            failed: AtomicBool::new(false),
        })
    }

    /// How many chunks are remembered.
    #[cfg(test)]
    fn count(&self) -> Result<u64, VersionsUnavailable> {
        let read = self.store.begin_read().map_err(redb::Error::from)?;
        match read.open_table(VERSIONS) {
            Err(TableError::TableDoesNotExist(_)) => Ok(0),
            table => Ok(table.and_then(|table| Ok(table.len()?)).map_err(redb::Error::from)?),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Tables) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        loop {
            if let Some(tables) = &*self.tables.read() {
                return look(tables);
            }
            let mut tables = self.tables.write();
            if tables.is_none() {
                let read = self.store.begin_read()?;
                *tables = Some(Tables {
                    versions: if_there(read.open_table(VERSIONS))?,
                    attributes: if_there(read.open_table(ATTRIBUTES))?,
                    tombstones: if_there(read.open_table(TOMBSTONES))?,
                });
            }
        }
    }

    fn version(&self, id: ChunkId) -> Result<Option<Version>, redb::Error> {
        self.read(|tables| {
            let Some(table) = &tables.versions else { return Ok(None) };
            Ok(table.get(&id.block())?.and_then(|value| decode(value.value())))
        })
    }

    fn kept_tombstone(&self, id: ChunkId) -> Result<Option<Tombstone>, redb::Error> {
        self.read(|tables| {
            let Some(table) = &tables.tombstones else { return Ok(None) };
            Ok(table.get(&id.block())?.and_then(|value| decode_tombstone(value.value())))
        })
    }

    fn sealed(&self, id: InodeId) -> Result<Option<Vec<u8>>, redb::Error> {
        self.read(|tables| {
            let Some(table) = &tables.attributes else { return Ok(None) };
            Ok(table.get(&id.0)?.map(|value| value.value().to_vec()))
        })
    }

    fn write_attributes(&self, kept: &[(InodeId, Vec<u8>)]) -> Result<(), redb::Error> {
        tables::write_attributes(&self.store, kept)?;
        *self.tables.write() = None;
        Ok(())
    }

    /// In increasing order of key, which costs the least.
    fn write(&self, leaving: &Leaving) -> Result<(), redb::Error> {
        let write = self.store.begin_write()?;
        let mut table = write.open_table(VERSIONS)?;
        let mut attributes = write.open_table(ATTRIBUTES)?;
        let mut count = table.len()?;
        for (key, version) in &leaving.versions {
            match version {
                Some(version) if count < MOST || table.get(key)?.is_some() => {
                    count += u64::from(table.insert(key, encode(&version.0).as_slice())?.is_none());
                }
                Some(_) => self.warn(&"no more chunks can be remembered"),
                None => {
                    count -= u64::from(table.remove(key)?.is_some());
                    let id = ChunkId::from_block(*key);
                    if id.index.is_first() {
                        attributes.remove(&id.inode.0)?;
                    }
                }
            }
        }
        drop((table, attributes));
        write.open_table(RECENT)?.insert((), leaving.number)?;
        tables::write_tombstones(&write, &leaving.tombstones)?;
        leaving.nameless.as_ref().map_or(Ok(()), |nameless| tables::write_nameless(&write, nameless))?;
        write.commit()?;
        // Whoever opens it from now on finds what was written.
        *self.tables.write() = None;
        Ok(())
    }

    fn warn(&self, why: &dyn std::fmt::Display) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            log::warn!(
                "some changes of the volume are not recorded, so some older states will not be detected: {why}"
            );
        }
    }
}

impl Recall for Versions {
    fn known(&self, id: ChunkId) -> Option<Version> {
        let leaving = {
            let notes = self.notes.lock();
            if let Some(note) = notes.new.get(&id) {
                return note.clone();
            }
            notes.leaving.clone()
        };
        match leaving.versions.get(&id.block()) {
            Some(note) => note.clone(),
            None => self.version(id).unwrap_or_else(|error| {
                self.warn(&error);
                None
            }),
        }
    }

    fn durable(&self, id: ChunkId, version: &Version) {
        let number = {
            let mut notes = self.notes.lock();
            notes.add(id, version);
            notes.number += 1;
            notes.number
        };
        if let Some(recent) = &self.recent {
            recent.write(number, id, version);
        }
    }

    fn found_durable(&self, id: ChunkId, version: &Version) {
        self.notes.lock().add(id, version);
    }

    fn journals(&self) -> Vec<ChunkId> {
        self.read_journals().unwrap_or_else(|error| {
            self.warn(&error);
            Vec::new()
        })
    }

    fn inodes_beginning(&self, first: [u8; 8]) -> Vec<InodeId> {
        self.beginning(first)
    }

    fn seen(&self, id: ChunkId, version: &Version) {
        let mut notes = self.notes.lock();
        if notes.seen.len() < SEEN_MOST {
            notes.seen.insert(id, version.clone());
        }
    }

    fn has_seen(&self) -> bool {
        !self.notes.lock().seen.is_empty()
    }

    fn seen_is_durable(&self) {
        let mut notes = self.notes.lock();
        let seen = std::mem::take(&mut notes.seen);
        notes.new.extend(seen.into_iter().map(|(id, version)| (id, Some(version))));
    }

    fn gone(&self, id: ChunkId) {
        let mut notes = self.notes.lock();
        notes.seen.remove(&id);
        notes.new.insert(id, None);
    }

    fn deleted(&self, id: ChunkId, tombstone: &Tombstone) {
        self.gone(id);
        self.notes.lock().buried.insert(id, Some(tombstone.clone()));
    }

    fn tombstone(&self, id: ChunkId) -> Option<Tombstone> {
        let leaving = {
            let notes = self.notes.lock();
            if let Some(note) = notes.buried.get(&id) {
                return note.clone();
            }
            notes.leaving.clone()
        };
        match leaving.tombstones.get(&id.block()) {
            Some(note) => note.clone(),
            None => self.kept_tombstone(id).unwrap_or_else(|error| {
                self.warn(&error);
                None
            }),
        }
    }

    fn revived(&self, id: ChunkId) {
        self.notes.lock().buried.insert(id, None);
    }

    fn may_be_nameless(&self, id: InodeId) {
        let mut notes = self.notes.lock();
        notes.are_others |= notes.nameless.len() < NAMELESS_MOST && notes.nameless.insert(id);
    }

    fn maybe_nameless(&self) -> Vec<InodeId> {
        self.notes.lock().nameless.iter().copied().collect()
    }

    fn not_nameless(&self, id: InodeId) {
        let mut notes = self.notes.lock();
        notes.are_others |= notes.nameless.remove(&id);
    }

    fn keep(&self) {
        let _alone = self.keeping.lock();
        let leaving = {
            let mut notes = self.notes.lock();
            if notes.new.is_empty() && notes.buried.is_empty() && !notes.are_others {
                return;
            }
            let nameless = std::mem::take(&mut notes.are_others).then(|| notes.nameless.clone());
            let (new, buried) = (std::mem::take(&mut notes.new), std::mem::take(&mut notes.buried));
            notes.leaving = Arc::new(Leaving {
                number: notes.number,
                nameless,
                versions: new.into_iter().map(|(id, note)| (id.block(), note)).collect(),
                tombstones: buried.into_iter().map(|(id, note)| (id.block(), note)).collect(),
            });
            notes.leaving.clone()
        };
        if let Err(error) = self.write(&leaving) {
            self.warn(&error);
        }
        self.notes.lock().leaving = Arc::default();
    }

    fn keeps_attributes(&self) -> bool {
        true
    }

    fn attributes(&self, id: InodeId) -> Option<Vec<u8>> {
        self.sealed(id).unwrap_or_else(|error| {
            log::debug!("no attributes are known: {error}");
            None
        })
    }

    fn keep_attributes(&self, kept: &[(InodeId, Vec<u8>)]) {
        if !kept.is_empty()
            && let Err(error) = self.write_attributes(kept)
        {
            log::debug!("attributes are not kept: {error}");
        }
    }
}

/// What `recent` tells was written down: nothing of it is read when the volume is opened again.
impl Drop for Versions {
    fn drop(&mut self) {
        let is_kept = self.notes.lock().new.is_empty() && !self.failed.load(Ordering::Relaxed);
        if let Some(recent) = self.recent.as_ref().filter(|_| is_kept) {
            recent.clear();
        }
    }
}

fn if_there<T>(opened: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

impl From<redb::Error> for VersionsUnavailable {
    fn from(error: redb::Error) -> VersionsUnavailable {
        VersionsUnavailable::Store(Box::new(error))
    }
}
