//! What all chunks of a volume share: the store, the keys, the device and its clock.

use super::cache::Cache;
use super::kept::KeptKey;
use super::unsynced::Unsynced;
use super::{ChunkId, Commit, DeviceId, Error, Forgetful, Headroom, InodeId, Recall, Version};
use crate::crypto::{self, Cipher, NameCipher, Secret};
use crate::store::{Area, FileName, Store, placeholder_for};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of decrypted blocks that are kept unless it is said otherwise.
const CACHE: usize = 16 << 20;
/// Bytes that are kept until an fdatasync covers them, about.
const KEPT_MOST: usize = 64 << 20;

/// Shared by every chunk of a volume.
pub struct Context {
    pub store: Arc<dyn Store>,
    pub device: DeviceId,
    /// What people call this device.
    pub label: String,
    pub recall: Arc<dyn Recall>,
    pub headroom: Arc<Headroom>,
    pub(super) cipher: Cipher,
    /// Content roots, newest epoch first; never empty.
    pub(super) content: Vec<Secret>,
    names: NameCipher,
    pub(super) cache: Cache,
    pub(super) kept: KeptKey,
    /// The largest commit number seen.
    pub(super) newest: AtomicU64,
    /// Bytes that are kept as no fdatasync covers them yet; none if they need not be.
    pub(super) uncovered: Option<Arc<AtomicUsize>>,
    /// µs since 1970.
    pub(super) clock: fn() -> u64,
}

impl Context {
    /// `content`: the content roots, newest epoch first, at least one. Remembers nothing unless told to.
    pub fn new(
        store: Arc<dyn Store>,
        device: DeviceId,
        cipher: Cipher,
        name_key: &Secret,
        content: Vec<Secret>,
    ) -> Context {
        assert!(!content.is_empty(), "a keyring has at least one epoch");
        let names = NameCipher::new(name_key);
        let (recall, cache) = (Arc::new(Forgetful), Cache::new(CACHE));
        let (label, newest) = (String::new(), AtomicU64::new(0));
        let headroom = Arc::new(Headroom::new(store.clone()));
        let uncovered = (!store.sync_all_is_complete()).then(Arc::default);
        let kept = KeptKey::default();
        Context {
            store,
            device,
            label,
            recall,
            headroom,
            cipher,
            content,
            names,
            cache,
            kept,
            uncovered,
            newest,
            clock,
        }
    }

    /// The same with what this device remembers of the volume's chunks.
    pub fn remembering(self, recall: Arc<dyn Recall>) -> Context {
        Context { recall, ..self }
    }

    /// The same of a device that people call so.
    pub fn labelled(self, label: String) -> Context {
        Context { label, ..self }
    }

    /// The same with another clock.
    #[cfg(test)]
    pub fn with_clock(self, clock: fn() -> u64) -> Context {
        Context { clock, ..self }
    }

    /// Keeps decrypted blocks of so many bytes at most, 16 MiB if it is not said.
    pub fn keep_blocks(&self, bytes: usize) {
        self.cache.limit(bytes);
    }

    /// Of a chunk, none of which is unsynced.
    pub(super) fn unsynced(&self) -> Unsynced {
        Unsynced::new(self.uncovered.clone())
    }

    /// Whether so much is kept in memory, as no fdatasync covers it yet, that one is due.
    pub fn keeps_much(&self) -> bool {
        self.uncovered.as_ref().is_some_and(|bytes| bytes.load(Ordering::Relaxed) > KEPT_MOST)
    }

    /// Takes note of an error that says that there was no space.
    pub(super) fn note_lack(&self, error: &Error) {
        if error.is_lack_of_space() {
            self.headroom.lacked();
        }
    }

    /// Where a chunk lies.
    pub fn file_name(&self, id: ChunkId) -> FileName {
        let area = if id.inode.journal_of().is_some() { Area::Journals } else { Area::Chunks };
        FileName { area, bytes: self.names.encrypt(id.block()) }
    }

    /// Whether a client shows a placeholder for a chunk's file.
    pub fn has_placeholder(&self, id: ChunkId) -> bool {
        self.store.has_placeholder(self.file_name(id))
    }

    /// Which chunk a file is, from its name.
    pub fn identify(&self, name: FileName) -> Option<ChunkId> {
        let id = ChunkId::from_block(self.names.decrypt(name.bytes));
        let in_journals = id.inode.journal_of().is_some();
        (in_journals == (name.area == Area::Journals)).then_some(id)
    }

    /// The journals of all devices, this one's too, and those that a client shows a placeholder for.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn journals(&self) -> io::Result<Vec<ChunkId>> {
        let mut found = Vec::new();
        self.store.list(Area::Journals, &mut |name, is_file| {
            let name = placeholder_for(name).unwrap_or(name);
            let name = FileName::parse(Area::Journals, name).filter(|_| is_file);
            found.extend(name.and_then(|name| self.identify(name)).filter(|id| id.index.is_first()));
        })?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// A commit number that never named anything: the clock in µs, or one more than any seen.
    pub fn next_commit(&self) -> Commit {
        let clock = (self.clock)();
        let next = |newest: u64| Some(clock.max(newest + 1));
        let before = self.newest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        Commit(clock.max(before.unwrap_or_default() + 1))
    }

    /// Takes note of a commit number read from disk.
    pub fn saw(&self, commit: Commit) {
        self.newest.fetch_max(commit.0, Ordering::Relaxed);
    }

    /// Takes note of the commit numbers of a former life of a chunk that is about to be made: after a clock was set back,
    /// its next one must not look older.
    pub fn saw_known(&self, id: ChunkId) {
        let known = self.recall.known(id).unwrap_or_default();
        known.0.iter().for_each(|entry| self.saw(entry.1));
    }

    /// Has it remembered that this device made a commit of the chunk durable, if nothing newer is. Where other devices
    /// wrote to it too, only a root tells what of theirs is in that commit.
    pub fn was_durable(&self, id: ChunkId, commit: Commit) {
        let known = self.recall.known(id).unwrap_or_default();
        if known.0.iter().all(|entry| entry.0 == self.device && entry.1 < commit) {
            self.recall.found_durable(id, &Version(vec![(self.device, commit)]));
        }
    }

    /// Seals what this device keeps of an inode outside of the backing folder.
    pub fn seal_kept(&self, id: InodeId, plain: Vec<u8>) -> Vec<u8> {
        self.kept.of(self.cipher, &self.content[0]).seal(id, plain)
    }

    /// Opens it; `None` if it was not sealed so.
    pub fn open_kept(&self, id: InodeId, sealed: Vec<u8>) -> Option<Vec<u8>> {
        self.kept.of(self.cipher, &self.content[0]).open(id, sealed)
    }

    /// A random number, for what two devices had better not choose alike.
    pub fn random_byte(&self) -> u8 {
        crypto::random::<1>()[0]
    }

    /// How many epochs there are.
    pub fn epochs(&self) -> usize {
        self.content.len()
    }

    /// The journal of this device.
    pub fn own_journal(&self) -> ChunkId {
        ChunkId::first(InodeId::journal(self.device))
    }
}

fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros() as u64)
}
