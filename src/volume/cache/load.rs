//! Reading an inode from its chunks: chunk 0 and its record, extra chunks, a directory's entries.

use super::Cache;
use crate::chunk::{BLOCK, Chunk, ChunkId, ChunkIndex, Commit, InodeId, Relation};
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::Record;
use crate::volume::inode::directory::Directory;
use crate::volume::inode::entries::Entries;
use crate::volume::inode::segments;
use crate::volume::inode::stamps::{NewestTimes, check_fit};
use crate::volume::inode::state::{Facts, Inode, State};
use crate::volume::inode::stored::read_record;
use crate::volume::inode::table::ChunkTable;
use crate::volume::mutants::{self, Mutant};
use crate::volume::stream::TAIL;
use crate::volume::{Damage, Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Cache {
    /// Opens chunk 0 of an inode, if it is not.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if it cannot be opened, is older than what memory has, or took the
    /// place of what the entries in memory are from; the same if something of the inode is lost; the store's.
    pub fn open_first_chunk(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        state.check_whole()?;
        if state.first_chunk.is_none() {
            let id = ChunkId::first(inode.id());
            let found = self.open_file(id)?;
            let is_unknown = state.version().0.is_empty() || mutants::is_active(Mutant::OtherOpened);
            match found.version().compare(state.version()) {
                Relation::Newer | Relation::Concurrent if !is_unknown => {
                    self.take_found(inode, state, found)?
                }
                Relation::Older if !is_unknown => {
                    let (found, known) = (found.version().commit(), state.version().commit());
                    return Err(Error::Damaged(id, Damage::RolledBack { found, known }));
                }
                _ => state.hold(ChunkIndex::FIRST, found),
            }
            self.opened(inode, ChunkIndex::FIRST);
        }
        Ok(())
    }

    /// Goes on with what took the place of chunk 0's file while that was closed.
    fn take_found(&self, inode: &Arc<Inode>, state: &mut State, found: Chunk) -> Result<()> {
        if state.entries.is_some() {
            return Err(Error::Damaged(found.id(), Damage::Replaced));
        }
        let found = self.state_of(inode.id(), found)?;
        self.close_replaced(inode, state);
        let beside = state.take_found(found);
        self.base.note_other_names(inode.id(), beside);
        self.doubt(inode.id(), state);
        self.base.note_untold(inode.id());
        Ok(())
    }

    /// Opens chunk 0's file.
    fn open_file(&self, id: ChunkId) -> Result<Chunk> {
        let chunk = Chunk::open(&self.base.context, id, self.base.geometry.blocks(id.index))?;
        self.findings.heal_opened(id);
        let own = self.base.context.device;
        if chunk.version().0.iter().any(|(device, _)| *device != own) {
            self.has_met_others.store(true, Ordering::Relaxed);
        }
        Ok(chunk)
    }

    /// Opens the file of an extra chunk, if it belongs to what chunk 0 says: `named` is the chunk table's entry,
    /// `record` chunk 0's. Only then its findings are over. Also returns the number of the chunk's stamp.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if it cannot be opened, or does not belong to what chunk 0 says
    /// ([`check_fit`]); the store's.
    pub fn open_extra(&self, id: ChunkId, named: Commit, record: &Record) -> Result<(Chunk, Commit)> {
        let chunk = Chunk::open(&self.base.context, id, self.base.geometry.blocks(id.index))?;
        let found = check_fit(&chunk, named, record)?;
        self.findings.heal_opened(id);
        Ok((chunk, found))
    }

    /// Opens a chunk if it exists.
    ///
    /// # Errors
    ///
    /// As [`Cache::open_first_chunk`] and [`Cache::open_extra`]; those of reading the chunk table.
    pub fn open_chunk(&self, inode: &Arc<Inode>, state: &mut State, index: ChunkIndex) -> Result<()> {
        self.open_first_chunk(inode, state)?;
        if index.is_first() || state.extra_chunks.contains(index) {
            return Ok(());
        }
        state.load_table(index)?;
        let Some(named) = state.table.stamp(index) else { return Ok(()) };
        let id = ChunkId { inode: inode.id(), index };
        let (chunk, _) = self.open_extra(id, named, &state.record)?;
        state.hold(index, chunk);
        self.opened(inode, index);
        Ok(())
    }

    /// The next chunk behind `index` that exists.
    ///
    /// # Errors
    ///
    /// As [`State::named_chunks`].
    pub fn next_chunk(&self, state: &mut State, index: ChunkIndex) -> Result<Option<ChunkIndex>> {
        let stored = state.named_chunks(index.next())?.first().copied();
        let open = state.extra_chunks.from(index.next()).next();
        Ok(stored.into_iter().chain(open).min())
    }

    /// Reads an inode from its chunk 0, whatever memory has of it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if chunk 0 cannot be opened, makes no sense, or lacks what batches
    /// say of it; the store's.
    pub fn load(&self, id: InodeId) -> Result<Arc<Inode>> {
        Ok(Arc::new(Inode::new(id, self.load_state(id)?, true)))
    }

    fn load_state(&self, id: InodeId) -> Result<State> {
        self.state_of(id, self.open_file(ChunkId::first(id))?)
    }

    fn state_of(&self, id: InodeId, first_chunk: Chunk) -> Result<State> {
        let chunk = ChunkId::first(id);
        self.check_not_withheld(id)?;
        let record = read_record(&first_chunk).map_err(|error| match error {
            Error::Damaged(_, what) => Error::Damaged(chunk, what),
            error => error,
        })?;
        self.check_size_of(&record, &first_chunk)?;
        let table = ChunkTable::of(&first_chunk)?;
        let mut state = State::stored(record, first_chunk, table);
        self.take_times(id, &mut state)?;
        Ok(state)
    }

    /// Takes the times of a file whose chunk 0 was not written with the last change.
    fn take_times(&self, inode: InodeId, state: &mut State) -> Result<()> {
        if state.record.is_exact || state.record.kind != Kind::File {
            return Ok(());
        }
        let mut newest = NewestTimes::default();
        // What is damaged or on its way is told when it is read.
        for index in Error::unless_damage(state.named_chunks(ChunkIndex::FIRST_EXTRA))?.unwrap_or_default() {
            let named = state.table.stamp(index).unwrap_or_default();
            let opened = self.open_extra(ChunkId { inode, index }, named, &state.record);
            Error::unless_damage(opened)?.inspect(|(chunk, _)| newest.see(chunk, named));
        }
        state.take_times(newest);
        Ok(())
    }

    /// An inode as it is in the folder now, whatever memory has of it. `entries`: a directory's entries, too.
    ///
    /// # Errors
    ///
    /// As [`Cache::load`]; with `entries` also as [`Cache::load_entries`].
    pub fn load_anew(&self, inode: &Arc<Inode>, entries: bool) -> Result<State> {
        let mut state = self.load_state(inode.id())?;
        if entries {
            let read = self.read_entries(inode, &mut state)?;
            state.entries_loaded(read);
        }
        Ok(state)
    }

    /// Takes what was loaded anew in the place of what memory has. [`Cache::all_opened`] is to follow, without the lock.
    pub fn put_loaded(&self, inode: &Arc<Inode>, state: &mut State, loaded: State) {
        self.close_replaced(inode, state);
        state.replace(loaded);
        self.doubt(inode.id(), state);
        self.base.note_untold(inode.id());
    }

    /// Closes what memory has open of an inode, and goes on with what stands in its place.
    fn close_replaced(&self, inode: &Arc<Inode>, state: &mut State) {
        for index in state.close_all() {
            let id = ChunkId { inode: inode.id(), index };
            self.closed(id);
            self.findings.heal_loaded(id);
        }
    }

    /// Refuses what came back without what batches say of it.
    pub(super) fn check_not_withheld(&self, id: InodeId) -> Result<()> {
        let is_withheld =
            self.base.withheld.lock().has(id) && !mutants::is_active(Mutant::WithheldNotApplied);
        if is_withheld { Err(Error::NotArrived(ChunkId::first(id))) } else { Ok(()) }
    }

    /// Refuses a size that cannot be, or that is not the inline content's.
    pub(super) fn check_size_of(&self, record: &Record, first_chunk: &Chunk) -> Result<()> {
        let (most, inline) = match record.kind {
            Kind::File => (self.base.geometry.size_limit(), record.size),
            Kind::Directory => (TAIL.limit(), record.size % BLOCK as u64),
            _ => return Ok(()),
        };
        let is_inline = first_chunk.inline().is_empty() || first_chunk.inline().len() as u64 == inline;
        if record.size <= most && is_inline {
            return Ok(());
        }
        Err(Error::Damaged(first_chunk.id(), "its size is not that of its content".into()))
    }

    /// Loads a directory's entries, if they are not.
    ///
    /// # Errors
    ///
    /// [`Error::NotDirectory`]; [`Error::Damaged`] or [`Error::NotArrived`] if any part of its log cannot be read, of
    /// which note is taken; the store's.
    pub fn load_entries(&self, directory: &Arc<Inode>) -> Result<()> {
        {
            let state = directory.state.read();
            if state.record.kind != Kind::Directory {
                return Err(Error::NotDirectory);
            }
            if state.entries.is_some() {
                return Ok(());
            }
        }
        let mut state = directory.state.write();
        let outcome = match state.entries {
            Some(_) => Ok(()),
            None => self.read_entries(directory, &mut state).map(|entries| state.entries_loaded(entries)),
        };
        drop(state);
        self.notice_in(directory, outcome)
    }

    /// The entries of a directory, as its chunks have them.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if any of them cannot be read, or makes no sense; the store's.
    pub fn read_entries(&self, directory: &Arc<Inode>, state: &mut State) -> Result<Entries> {
        self.open_first_chunk(directory, state)?;
        let named = state.named_chunks(ChunkIndex::FIRST_EXTRA)?;
        let Facts { first_chunk, table, record, .. } = &**state;
        let first_chunk = first_chunk.as_ref().expect("it was opened");
        let mut entries = Directory::new(record.extension.vector.clone());
        // An entry may begin in one segment and end in the next.
        let mut log = Vec::new();
        for index in named {
            let id = ChunkId { inode: directory.id(), index };
            let (segment, _) = self.open_extra(id, table.stamp(index).unwrap_or_default(), record)?;
            log.append(&mut segments::read(&segment, self.base.geometry.capacity(index))?);
        }
        log.extend_from_slice(&TAIL.read(first_chunk, 0, record.size)?);
        entries.load(&log).map_err(|what| Error::Damaged(first_chunk.id(), what.0.into()))?;
        Ok(Entries::loaded(entries, log.len() as u64))
    }
}
