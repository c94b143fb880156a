//! Chunk files and journals in the store: listing, identifying and removing them.

mod copies;
mod pins;
mod sweep;

pub use copies::{ABSENT_FOR, Brought};

use crate::chunk::{Chunk, ChunkId, ChunkIndex, Commit, DeviceId, InodeId, Tombstone, Version};
use crate::locks::{Mutex, Rank};
use crate::store::{Area, FileName};
use crate::volume::base::Base;
use crate::volume::cache::Cache;
use crate::volume::findings::Findings;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use hashbrown::HashSet;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Inodes of which a crash may have left files.
pub struct Leftovers {
    pub deleted: HashSet<InodeId>,
    /// Their ids were reserved, and nothing named them.
    pub reserved: HashSet<InodeId>,
}

pub struct Catalog {
    base: Arc<Base>,
    findings: Arc<Findings>,
    cache: Arc<Cache>,
    /// Inodes whose deletion is durable; their chunk files are still to be removed.
    pending_deletes: Mutex<Vec<Arc<Inode>>>,
    /// Chunk files that were removed, but a power cut may bring them back.
    unsynced_unlinks: Mutex<Vec<FileName>>,
    /// Inodes of which a crash may have left chunk files, if the journal was in use when the volume was opened.
    leftovers: Mutex<Option<Leftovers>>,
}

impl Catalog {
    pub fn new(base: &Arc<Base>, findings: &Arc<Findings>, cache: &Arc<Cache>) -> Catalog {
        Catalog {
            base: base.clone(),
            findings: findings.clone(),
            cache: cache.clone(),
            pending_deletes: Mutex::new(Rank::Deletes, Vec::new()),
            unsynced_unlinks: Mutex::new(Rank::UnsyncedUnlinks, Vec::new()),
            leftovers: Mutex::new(Rank::Leftovers, None),
        }
    }

    /// Whether a checkpoint has something to remove, or a removal to make durable. Takes one lock at a time.
    pub fn has_work(&self) -> bool {
        let pending_deletes = !self.pending_deletes.lock().is_empty();
        let unsynced_unlinks = !self.unsynced_unlinks.lock().is_empty();
        let leftovers = self.leftovers.lock().is_some();
        pending_deletes || unsynced_unlinks || leftovers
    }

    /// Has the next checkpoint remove the chunk files of inodes whose deletion is durable.
    pub fn delete(&self, inodes: impl IntoIterator<Item = Arc<Inode>>) {
        self.pending_deletes.lock().extend(inodes);
    }

    /// How many inodes wait for their chunk files to be removed.
    pub fn pending_deletes(&self) -> usize {
        self.pending_deletes.lock().len()
    }

    /// Has the next checkpoint look for what a crash before this mount left behind.
    pub fn expect_leftovers(&self, leftovers: Leftovers) {
        *self.leftovers.lock() = Some(leftovers);
    }

    /// Whether the next checkpoint looks for what a crash left behind.
    pub fn expects_leftovers(&self) -> bool {
        self.leftovers.lock().is_some()
    }

    /// Every chunk that a file stands for by its name, those of an inode together.
    ///
    /// # Errors
    ///
    /// The store's, if they cannot be listed.
    pub fn all_chunks(&self) -> Result<Vec<ChunkId>> {
        let mut found = Vec::new();
        self.base.context.store.list(Area::Chunks, &mut |name, is_file| {
            let name = FileName::parse(Area::Chunks, name).filter(|_| is_file);
            found.extend(name.and_then(|name| self.base.context.identify(name)));
        })?;
        found.sort_unstable();
        Ok(found)
    }

    /// Journals of other devices.
    ///
    /// # Errors
    ///
    /// The store's, if they cannot be listed.
    pub fn other_journals(&self) -> Result<Vec<ChunkId>> {
        let mut found = self.base.context.journals()?;
        found.retain(|id| *id != self.base.context.own_journal());
        Ok(found)
    }

    /// Deletes another device's journal, with whatever it says.
    ///
    /// # Errors
    ///
    /// The store's, after which it may be deleted, but not durably.
    pub fn discard_journal(&self, device: DeviceId) -> Result<()> {
        let id = ChunkId::first(InodeId::journal(device));
        let name = self.base.context.file_name(id);
        self.base.context.store.remove(name)?;
        self.base.context.recall.gone(id);
        Ok(self.base.context.store.sync_names(&[name])?)
    }

    /// Removes a chunk file; the next checkpoint makes that durable. What was put in its place and is no file stays.
    ///
    /// # Errors
    ///
    /// The store's, if it cannot be removed.
    pub fn remove_file(&self, id: ChunkId) -> Result<()> {
        let name = self.base.context.file_name(id);
        match self.base.context.store.remove(name) {
            Err(error) if is_in_the_way(&error) => {
                log::warn!("{} cannot be removed: {error}", name.path())
            }
            unsynced_unlinks => unsynced_unlinks?,
        }
        if !id.index.is_first() {
            self.unpin_removed(id);
        }
        self.base.context.recall.gone(id);
        self.findings.heal_gone(id);
        self.unsynced_unlinks.lock().push(name);
        Ok(())
    }

    /// Nothing leads to a chunk any more: damage to it is no matter.
    pub fn wanted_no_more(&self, id: ChunkId) {
        self.findings.heal_gone(id);
    }

    /// The chunks of an inode of which there are files.
    ///
    /// # Errors
    ///
    /// As [`Catalog::all_chunks`].
    pub fn files_of(&self, inode: InodeId) -> Result<Vec<ChunkIndex>> {
        let all = self.all_chunks()?.into_iter();
        Ok(all.filter(|id| id.inode == inode).map(|id| id.index).collect())
    }

    /// Makes all removals so far durable.
    ///
    /// # Errors
    ///
    /// The store's; the next call makes them durable.
    pub fn sync_unlinks(&self) -> Result<()> {
        let names = std::mem::take(&mut *self.unsynced_unlinks.lock());
        if mutants::is_active(Mutant::UnlinkNotSynced) {
            return Ok(());
        }
        self.base.sync_names(&names).inspect_err(|_| self.unsynced_unlinks.lock().extend(names))
    }

    /// Removes the chunk files of inodes whose deletion is durable.
    ///
    /// # Errors
    ///
    /// As [`Catalog::remove_files`]; what is left waits for the next call.
    pub fn remove_deleted(&self) -> Result<()> {
        let pending_deletes = std::mem::take(&mut *self.pending_deletes.lock());
        for (at, inode) in pending_deletes.iter().enumerate() {
            if let Err(error) = self.remove_files(inode) {
                self.pending_deletes.lock().extend_from_slice(&pending_deletes[at..]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes all chunk files of an inode, chunk 0 last: it says which others there are.
    ///
    /// # Errors
    ///
    /// The store's, if chunk 0 cannot be read for another reason than damage, or files not be listed or removed. Some
    /// may be gone then.
    pub fn remove_files(&self, inode: &Arc<Inode>) -> Result<()> {
        let _serial = inode.serial.lock();
        let is_unknown = self.holds_unknown(inode);
        let mut state = inode.state.write();
        let mut chunks: BTreeSet<ChunkIndex> =
            state.extra_chunks.from(ChunkIndex::FIRST).chain(state.doomed.iter().copied()).collect();
        let mut made = state.recorded || !chunks.is_empty();
        match self.table_of(inode, &mut state) {
            Ok(named) => chunks.extend(named),
            Err(error) if error.is_damage() => chunks.extend(self.files_of(inode.id())?),
            Err(error) => return Err(error),
        }
        let first = ChunkId::first(inode.id());
        let tombstone = self.tombstone_of(first, &state);
        // A chunk 0 that was closed is there.
        let is_there =
            |first_chunk: &Chunk| first_chunk.is_name_new() || first_chunk.version().commit() != Commit(0);
        made |= state.first_chunk.as_deref().is_none_or(is_there);
        state.doom_unnamed(chunks.iter().copied());
        let is_large = !chunks.is_empty();
        if made {
            chunks.insert(ChunkIndex::FIRST);
        }
        // What another device put there is for merging.
        let is_replaced = is_unknown || self.is_replaced(first, &state);
        if made && is_replaced && !mutants::is_active(Mutant::ReplacedRemoved) {
            chunks.clear();
            if !mutants::is_active(Mutant::SparedUnmerged) {
                self.base.schedule.merge();
            }
        }
        for index in chunks.into_iter().rev() {
            let id = ChunkId { inode: inode.id(), index };
            self.remove_file(id)?;
            self.cache.closed(id);
        }
        if is_large {
            self.unpin_removed(first);
        }
        if made && !mutants::is_active(Mutant::NoTombstone) {
            self.base.context.recall.deleted(first, &tombstone);
        }
        state.close_all();
        drop(state);
        self.cache.remove(inode.id());
        Ok(())
    }

    /// Notes what is known of an inode whose deletion is durable, if other devices wrote to it: after a crash that tells
    /// whether they did so again. What only this device wrote needs no note, as any other device's work is news. Whether
    /// there was a note to make, which is to be kept.
    pub fn note_deletion(&self, id: InodeId, state: &State) -> bool {
        let context = &self.base.context;
        let others = || state.version().0.iter().any(|entry| entry.0 != context.device);
        let is_noted = state.record.links_count == 0 && others() && !mutants::is_active(Mutant::NoTombstone);
        if is_noted {
            let first = ChunkId::first(id);
            context.recall.deleted(first, &self.tombstone_of(first, state));
        }
        is_noted
    }

    /// The same of one whose last name that can be seen was removed. It says that it has others: whether they are gone or on their way
    /// shows later.
    pub fn note_unshown(&self, inode: &Inode) {
        if !mutants::is_active(Mutant::UnshownForgotten) {
            let first = ChunkId::first(inode.id());
            let tombstone = self.tombstone_of(first, &inode.state.read());
            self.base.context.recall.deleted(first, &tombstone);
        }
    }

    /// The name was removed of what is not here. If it comes after all, whatever it says is more than was known then, but nothing older
    /// than what was.
    pub fn note_absent(&self, id: InodeId) {
        let (recall, first) = (&self.base.context.recall, ChunkId::first(id));
        if recall.tombstone(first).is_some() || mutants::is_active(Mutant::AbsentForgotten) {
            return;
        }
        let known = recall.known(first).filter(|_| !mutants::is_active(Mutant::AbsentUnknown));
        recall.deleted(first, &Tombstone::unread(self.base.context.device));
        known.into_iter().for_each(|version| recall.found_durable(first, &version));
    }

    /// What is known of an inode by whoever deletes it: not what arrived and is not shown yet.
    fn tombstone_of(&self, first: ChunkId, state: &State) -> Tombstone {
        let tombstone = state.tombstone(self.known(first));
        match self.shown(state) {
            Some(version) => Tombstone { version: version.clone(), ..tombstone },
            None => tombstone,
        }
    }

    /// The version of a file that is shown, if memory has another one. Entries of a directory keep it from being removed.
    fn shown<'a>(&self, state: &'a State) -> Option<&'a Version> {
        let is_told = self.base.tells_arrivals() && !mutants::is_active(Mutant::UnseenDeleted);
        state.shown_version().filter(|version| is_told && !version.0.is_empty())
    }

    /// What was last known of a chunk 0, be its inode deleted since.
    fn known(&self, first: ChunkId) -> Option<Version> {
        let recall = &self.base.context.recall;
        recall.known(first).or_else(|| Some(recall.tombstone(first)?.version))
    }

    /// Whether the file of chunk 0 was replaced by something that memory does not know.
    fn is_replaced(&self, id: ChunkId, state: &State) -> bool {
        let context = &self.base.context;
        if let Some(shown) = self.shown(state) {
            return self.is_news(id, shown);
        }
        let is_same = match (state.first_chunk.as_deref(), state.marks()) {
            (Some(chunk), _) => chunk.is_current().unwrap_or(true),
            (None, Some(marks)) => {
                context.store.marks(context.file_name(id)).is_ok_and(|now| now == Some(marks))
            }
            (None, None) => false,
        };
        if is_same {
            return false;
        }
        let known = if state.version().0.is_empty() { self.known(id) } else { None };
        let known = known.as_ref().unwrap_or(state.version());
        self.is_news(id, known)
    }

    /// Whether what stands in the place of chunk 0 says more than was known when its inode was deleted here. Of one that has a
    /// file here its version tells that: this is for one that a journal alone told of.
    fn holds_unknown(&self, inode: &Inode) -> bool {
        if !self.cache.has_met_others() {
            return false;
        }
        let id = ChunkId::first(inode.id());
        let tombstone = {
            let state = inode.state.read();
            let is_stored = state.first_chunk.as_deref().is_none_or(Chunk::has_file);
            (!is_stored).then(|| self.tombstone_of(id, &state))
        };
        let Some(tombstone) = &tombstone else { return false };
        let found = Chunk::open(&self.base.context, id, self.base.geometry.blocks(id.index));
        let found = found.map_err(Error::from).and_then(|found| self.cache.read_other(id.inode, found));
        found.is_ok_and(|found| match found.entries {
            Some(_) => found.directory().has_entries_beyond(tombstone),
            None => tombstone.version.of(found.record.content.device) < found.record.content.commit,
        })
    }

    /// Whether another device wrote to a chunk what is not known. This one may have given up what memory has, and gone on
    /// with what was put there.
    fn is_news(&self, id: ChunkId, known: &Version) -> bool {
        let context = &self.base.context;
        Chunk::open(context, id, self.base.geometry.blocks(id.index)).is_ok_and(|found| {
            let mut others = found.version().0.iter().filter(|(device, _)| *device != context.device);
            others.any(|(device, commit)| known.of(*device) < *commit)
        })
    }

    /// The extra chunks that chunk 0 names, which need not be read to learn that there are none.
    fn table_of(&self, inode: &Arc<Inode>, state: &mut State) -> Result<Vec<ChunkIndex>> {
        state.check_whole()?;
        if state.table.is_empty() {
            return Ok(Vec::new());
        }
        self.cache.open_first_chunk(inode, state)?;
        state.named_chunks(ChunkIndex::FIRST_EXTRA)
    }

    /// Whether this device wrote a chunk last.
    fn wrote(&self, id: ChunkId) -> bool {
        let chunk = Chunk::open(&self.base.context, id, self.base.geometry.blocks(id.index));
        chunk.is_ok_and(|chunk| {
            chunk.version().0.first().is_some_and(|entry| entry.0 == self.base.context.device)
        })
    }
}

/// Something that is no file stands in a file's place, or above it.
fn is_in_the_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
        || matches!(error.raw_os_error(), Some(libc::EISDIR | libc::EPERM))
}
