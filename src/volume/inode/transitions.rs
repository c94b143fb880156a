//! How an inode's state changes: chunks opened and closed, what a flush stored, what a batch made durable, names taken and
//! given, what is salvaged and what is lost.

use super::entries::{Entries, Unstored};
use super::extra_chunks::ExtraChunks;
use super::state::{Facts, Journalled, Standing, State};
use super::table::ChunkTable;
use crate::chunk::{Chunk, ChunkIndex, Commit, DeviceId, InodeId, Version};
use crate::volume::format::batch::Builder;
use crate::volume::format::kinds::Timestamp;
use crate::volume::format::limits::LAST_INDEX;
use crate::volume::format::record::Record;
use crate::volume::format::stamp::Stamp;
use crate::volume::format::wire::TooLarge;
use crate::volume::{Error, Result};
use std::ops::Range;
use std::time::Instant;

/// Indexes of segments are used up one by one from here on.
const SPREAD_UNTIL: ChunkIndex = ChunkIndex(LAST_INDEX.0 / 2);

/// Chunks.
impl State {
    /// Holds a chunk that was opened or made.
    pub fn hold(&mut self, index: ChunkIndex, chunk: Chunk) {
        match index {
            ChunkIndex::FIRST => self.0.first_chunk = Some(Box::new(chunk)),
            _ => self.0.extra_chunks.insert(index, chunk),
        }
    }

    /// Has what the store may have lost of the chunks written again.
    ///
    /// # Errors
    ///
    /// The store's, if it fails still; damage, where that cannot be read any more.
    pub fn recover(&mut self) -> Result<()> {
        let Facts { first_chunk, extra_chunks, .. } = &mut self.0;
        first_chunk.as_deref_mut().map_or(Ok(()), Chunk::recover)?;
        for index in extra_chunks.failed() {
            extra_chunks.get_mut(index).map_or(Ok(()), Chunk::recover)?;
        }
        Ok(())
    }

    /// Closes a chunk.
    pub fn close(&mut self, index: ChunkIndex) {
        match index {
            ChunkIndex::FIRST => self.close_first_chunk(),
            _ => self.0.extra_chunks.remove(index),
        }
    }

    /// Closes all chunks; returns the indexes of those that were open, and 0.
    pub fn close_all(&mut self) -> Vec<ChunkIndex> {
        self.close_first_chunk();
        std::mem::take(&mut self.0.extra_chunks).from(ChunkIndex::FIRST).chain([ChunkIndex::FIRST]).collect()
    }

    fn close_first_chunk(&mut self) {
        if let Some(first_chunk) = self.0.first_chunk.take() {
            self.0.held = first_chunk.version().clone();
            self.0.held_marks = first_chunk.marks();
            self.0.is_pinned = false;
        }
    }

    /// Its chunk files are pinned.
    pub fn were_pinned(&mut self) {
        (self.0.is_pinned, self.0.has_new_chunks) = (true, false);
    }

    /// Has the next commit of chunk 0, which is open, include another version.
    pub fn include(&mut self, version: &Version) {
        self.first_chunk_mut().include(version);
        self.change();
    }

    /// Chunk 0, which was opened.
    pub fn first_chunk_mut(&mut self) -> &mut Chunk {
        self.0.first_chunk.as_deref_mut().expect("chunk 0 was opened")
    }

    /// All that are open, to be changed.
    pub fn chunks_mut(&mut self) -> impl Iterator<Item = &mut Chunk> {
        let Facts { first_chunk, extra_chunks, .. } = &mut self.0;
        first_chunk.as_deref_mut().into_iter().chain(extra_chunks.all_mut())
    }

    /// Chunks beyond chunk 0 that are not durable, in order.
    pub fn busy_chunks(&mut self) -> Vec<ChunkIndex> {
        self.0.extra_chunks.busy()
    }

    /// Whether more than so many chunks beyond chunk 0 are dirty.
    pub fn are_dirty_above(&mut self, count: usize) -> bool {
        self.0.extra_chunks.are_dirty_above(count)
    }

    /// Reads what the chunk table says of a chunk. Needs chunk 0 to be open, if there is anything to read.
    ///
    /// # Errors
    ///
    /// As [`ChunkTable::load`].
    pub fn load_table(&mut self, index: ChunkIndex) -> Result<()> {
        let Facts { first_chunk, table, .. } = &mut self.0;
        table.load(first_chunk.as_ref().expect("chunk 0 was opened"), index)
    }

    /// Every chunk from `first` on that the chunk table names. Needs chunk 0 to be open.
    ///
    /// # Errors
    ///
    /// As [`ChunkTable::all_from`].
    pub fn named_chunks(&mut self, first: ChunkIndex) -> Result<Vec<ChunkIndex>> {
        let Facts { first_chunk, table, .. } = &mut self.0;
        table.all_from(first_chunk.as_ref().expect("chunk 0 was opened"), first)
    }

    /// Has chunk files removed that chunk 0 does not name.
    pub fn doom_unnamed(&mut self, chunks: impl IntoIterator<Item = ChunkIndex>) {
        self.0.doomed.extend(chunks);
    }

    /// A doomed chunk's file was removed.
    pub fn removed(&mut self, index: ChunkIndex) {
        self.0.extra_chunks.remove(index);
        self.0.doomed.remove(&index);
    }
}

/// Content.
impl State {
    /// Whether nothing but zeros lies beyond the size.
    pub fn set_tail_clean(&mut self, is_clean: bool) {
        self.0.tail_clean = is_clean;
    }

    /// Notes that the change under way cuts the size over extra chunks.
    pub fn begin_cut(&mut self) {
        self.0.shrunk = Some(self.progress.made + 1);
    }

    /// The bytes beyond chunk 0 that hold data, as a hint.
    pub fn set_allocated(&mut self, bytes: u64) {
        self.0.record.allocated = bytes;
    }
}

/// A flush.
impl State {
    /// Commits a chunk beyond chunk 0, if it is dirty, under `stamp` if its content changed. False: chunk 0 goes first,
    /// which names it, as the file shrank.
    ///
    /// # Errors
    ///
    /// As [`State::load_table`] and [`State::commit_stamped`].
    pub fn commit_extra_chunk(&mut self, index: ChunkIndex, stamp: Stamp) -> Result<bool> {
        if !self.extra_chunks.get(index).is_some_and(Chunk::is_dirty) {
            return Ok(true);
        }
        self.load_table(index)?;
        if self.shrunk.is_some() && self.table.stamp(index).is_some() {
            return Ok(false);
        }
        self.commit_stamped(index, stamp)?;
        Ok(true)
    }

    /// Takes what is durable of a directory's entries in batches only, to be stored.
    pub fn take_unstored(&mut self) -> Option<Unstored> {
        let entries = self.0.entries.as_mut().filter(|entries| entries.has_journalled())?;
        Some(entries.take_unstored())
    }

    /// The index of the next segment of a directory's log. `spread`: random, so that two devices hardly ever take the same
    /// one. Needs chunk 0 to be open.
    ///
    /// # Errors
    ///
    /// As [`State::named_chunks`].
    pub fn next_segment(&mut self, spread: u8) -> Result<ChunkIndex> {
        let named = self.named_chunks(ChunkIndex::FIRST_EXTRA)?;
        let last = named.iter().chain(self.doomed.iter()).max().copied().unwrap_or(ChunkIndex::FIRST);
        Ok(last.next().after(if last < SPREAD_UNTIL { u32::from(spread) } else { 0 }))
    }

    /// Chunk 0 in memory holds what was taken. `vector`: what it says of it, if not what that covers.
    pub fn was_stored(&mut self, unstored: Unstored, vector: Option<Vec<(DeviceId, u64)>>) {
        if let Some(entries) = &mut self.0.entries {
            entries.was_stored(&unstored);
            self.0.record.extension.vector = vector.unwrap_or(unstored.vector);
        }
    }

    /// A flush failed: what was taken has yet to be stored, and segments that were made for it go.
    pub fn was_not_stored(&mut self, unstored: Option<Unstored>, segments: Range<ChunkIndex>) {
        if let (Some(unstored), Some(entries)) = (unstored, &mut self.0.entries) {
            entries.was_not_stored(unstored);
            for index in ChunkIndex::each(segments) {
                self.0.extra_chunks.remove(index);
                self.0.table.set(index, Commit(0));
                self.0.doomed.insert(index);
            }
        }
        self.change();
    }

    /// Chunk 0 was committed with the changes up to `made`, and all names that are durable in batches.
    pub fn first_chunk_committed(&mut self, made: u64) {
        self.0.progress.stored = made;
        self.0.stored = self.journalled.namespace;
    }

    /// What chunk 0's newest root says is durable.
    pub fn first_chunk_durable(&mut self) {
        self.0.progress.durable = self.progress.durable.max(self.progress.stored);
    }

    /// So is its name.
    pub fn first_chunk_named(&mut self) {
        self.0.named = true;
        // What is at rest may have gone to other devices.
        self.0.is_pinned &= !(self.has_new_chunks && self.record.is_exact);
        self.first_chunk_durable();
        self.stamps_durable();
        if self.progress.stored >= self.progress.carried {
            self.0.progress.carried = 0;
        }
    }

    /// Chunk 0 is durable with the size, and what it does not name is removed; whether the file had shrunk.
    pub fn take_cut(&mut self) -> bool {
        self.0.shrunk.take().is_some()
    }

    /// Everything up to a change is durable, with times that extra chunks have.
    pub fn timed(&mut self, made: u64) {
        self.0.progress.timed = self.progress.timed.max(made);
    }

    /// Everything up to a change is durable but for times.
    pub fn secured(&mut self, made: u64) {
        self.0.progress.secured = self.progress.secured.max(made);
    }
}

/// Batches.
impl State {
    /// A batch under way speaks of the inode; whether one did before.
    pub fn freeze(&mut self) -> bool {
        self.0.standing = Standing::Frozen;
        std::mem::replace(&mut self.0.recorded, true)
    }

    /// Runs with the record as a batch has it which carries the content of this version.
    pub fn with_version<R>(&mut self, version: Version, run: impl FnOnce(&State) -> R) -> R {
        let former = std::mem::replace(&mut self.0.record.extension.version, version.0);
        let outcome = run(self);
        self.0.record.extension.version = former;
        outcome
    }

    /// Puts the pending changes of a directory's entries into a batch.
    ///
    /// # Errors
    ///
    /// As [`Entries::freeze`].
    pub fn freeze_entries(
        &mut self,
        id: InodeId,
        device: DeviceId,
        batch: &mut Builder,
    ) -> std::result::Result<(), TooLarge> {
        self.0.entries.as_mut().map_or(Ok(()), |entries| entries.freeze(id, device, batch))
    }

    /// The batch is durable. `carried`: the change up to which it carries the inode; `told`: the change up to which only it
    /// has what is not in chunk 0.
    pub fn batch_durable(&mut self, journalled: Journalled, carried: u64, told: u64) {
        self.0.record.namespace = journalled.namespace;
        self.0.journalled = journalled;
        if self.standing == Standing::Frozen {
            self.0.standing = Standing::Durable;
        }
        self.0.progress.durable = self.progress.durable.max(carried);
        self.0.progress.carried = self.progress.carried.max(told);
        if let Some(entries) = &mut self.0.entries {
            entries.thaw();
        }
    }

    /// The batch was not written. `recorded`: whether some other batch speaks of the inode, or its id is durable.
    pub fn batch_failed(&mut self, recorded: bool) {
        self.0.standing = Standing::Pending;
        self.0.recorded = recorded;
        if let Some(entries) = &mut self.0.entries {
            entries.refreeze();
        }
    }
}

/// Names and attributes.
impl State {
    /// Holds a directory's entries.
    pub fn entries_loaded(&mut self, entries: Entries) {
        self.0.entries = Some(Box::new(entries));
    }

    /// Changes attributes in place, and notes that, as `change` answers: whether it changed more than the record without
    /// its extension and times shows.
    pub fn change_attributes(&mut self, stamp: Stamp, change: impl FnOnce(&mut Record) -> bool) {
        let before = self.record.without_times();
        let only_times = !change(&mut self.0.record) && before == self.record.without_times();
        self.changed_attributes(only_times, stamp);
    }

    /// Takes another record with the same names.
    pub fn set_attributes(&mut self, stamp: Stamp, record: Record) {
        let only_times = record.extension == self.record.extension
            && record.without_times() == self.record.without_times();
        self.0.record = record;
        self.changed_attributes(only_times, stamp);
    }

    /// Notes a change of names.
    pub fn renamed(&mut self, now: Timestamp) {
        self.0.record.changed = now;
        self.change_names();
    }

    fn change_names(&mut self) {
        let beyond_names = self.progress.beyond_names;
        self.change();
        self.0.progress.beyond_names = beyond_names;
    }

    /// Notes that one of several names was removed now.
    pub fn lost_name(&mut self) {
        self.0.lost_name = Some(Instant::now());
    }

    /// The next batch has to speak of the inode.
    pub fn names_changed(&mut self) {
        self.change_names();
        self.0.standing = Standing::Pending;
    }
}

/// Salvage.
impl State {
    /// Takes another chunk 0, of which the table names these chunks.
    pub fn replace_first_chunk(&mut self, first_chunk: Chunk, table: ChunkTable) {
        (self.0.first_chunk, self.0.table) = (Some(Box::new(first_chunk)), table);
    }

    /// Has all of a directory's entries stored again, where each change of them is durable in a batch; whether that is so.
    pub fn begin_rebuild(&mut self) -> bool {
        self.0.entries.as_mut().is_some_and(|entries| entries.begin_rebuild())
    }

    /// Nothing lies in a directory's new chunk 0 yet; segments that it had go.
    pub fn rebuilt_directory(&mut self, segments: impl IntoIterator<Item = ChunkIndex>) {
        self.0.record.size = 0;
        self.0.doomed.extend(segments);
        self.change();
    }

    /// What only batches had is kept elsewhere.
    pub fn kept(&mut self) {
        self.0.progress.carried = 0;
    }

    /// Takes the names that durable batches give to the inode from another state of it.
    pub fn adopt_names(&mut self, state: &State) {
        self.0.journalled = state.journalled.clone();
    }

    /// Answers with an error until it is loaded anew.
    pub fn hold_back(&mut self, error: Error) {
        self.0.lost = Some(Box::new(error));
    }

    /// Forgets what was not stored: from now on the inode answers with `lost`.
    pub fn abandon(&mut self, lost: Option<Error>) {
        self.0.lost = lost.map(Box::new);
        (self.0.first_chunk, self.0.table, self.0.entries, self.0.shrunk) =
            (None, ChunkTable::empty(), None, None);
        self.0.extra_chunks = ExtraChunks::default();
        self.0.doomed.clear();
        self.0.progress.stored = self.progress.made;
        self.0.stored = self.journalled.namespace;
    }
}
