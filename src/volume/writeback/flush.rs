//! Making an inode's content durable, in the order that docs/FORMAT.md section 7 wants.
//!
//! Growing: the extra chunks are durable before chunk 0 says so. Shrinking: chunk 0 is durable before the others are
//! trimmed or removed. While the fdatasync of what it wrote runs no state lock is held, so reads and writes go on; what
//! they change is left to the next flush. (Before the first write to a chunk that was opened one runs under the lock.)

use super::Writeback;
use crate::chunk::{Chunk, ChunkId, ChunkIndex};
use crate::locks::MutexGuard;
use crate::volume::format::kinds::Kind;
use crate::volume::format::limits;
use crate::volume::inode::entries::Unstored;
use crate::volume::inode::segments;
use crate::volume::inode::state::{Inode, State};
use crate::volume::inode::table::check_index;
use crate::volume::mutants::{self, Mutant};
use crate::volume::stream::TAIL;
use crate::volume::writeback::durable::Unsynced;
use crate::volume::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// Inodes flushed in one go: bounds the descriptors held open.
const GROUP: usize = 512;

/// What a flush is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A checkpoint: chunk 0 names every extra chunk as it is afterwards.
    AtRest,
    /// More is likely to follow.
    Busy,
    /// More is likely to follow at once, and chunk 0 need not tell of times of which an extra chunk tells.
    Synced,
    /// The same, and nobody need tell of times: databases ask for that.
    ButTimes,
}

/// One inode on its way to the disk.
pub(super) struct Flush<'a> {
    pub(super) inode: &'a Arc<Inode>,
    _serial: MutexGuard<'a, ()>,
    /// What chunk 0 may say at most: the size up to which the extra chunks are durable.
    size: u64,
    made: u64,
    unstored: Option<Unstored>,
    /// Segments that are to hold what is unstored, and the tail with it; none if the tail has room.
    segments: Range<ChunkIndex>,
    /// Segments whose log is in those, too.
    joined: Vec<ChunkIndex>,
    mode: Mode,
    failed: Option<Error>,
}

impl Writeback {
    /// Makes the content and attributes of these inodes durable, each as of now or later. Goes on after a failure
    /// with the other inodes.
    ///
    /// # Errors
    ///
    /// As [`Writeback::flush_each`]; [`Error::Damaged`] or [`Error::NotArrived`]: the first damage that kept one from
    /// it.
    pub fn flush(&self, inodes: &[Arc<Inode>]) -> Result<()> {
        self.flush_each(inodes, Mode::Busy)?.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// The same for one inode; times that an extra chunk tells of are left to that.
    ///
    /// # Errors
    ///
    /// As [`Writeback::flush`].
    pub fn flush_synced(&self, inode: &Arc<Inode>) -> Result<()> {
        let damaged = self.flush_each(std::slice::from_ref(inode), Mode::Synced)?;
        damaged.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Flushes inodes. Returns those that damage to their own chunk files kept from it. What it opened counts among the
    /// open chunks group by group: a checkpoint of thousands of new files must not run out of descriptors.
    ///
    /// # Errors
    ///
    /// The first failure but damage: [`Error::NoSpace`], the store's. Failed inodes are queued again. One of making
    /// durable that does not pass stops the volume.
    pub fn flush_each(&self, inodes: &[Arc<Inode>], mode: Mode) -> Result<Vec<(Arc<Inode>, Error)>> {
        // In one order everywhere: two that wait for each other's inodes would wait for ever.
        let mut inodes: Vec<&Arc<Inode>> = inodes.iter().collect();
        inodes.sort_unstable_by_key(|inode| inode.id());
        let (mut outcome, mut damaged) = (Ok(()), Vec::new());
        for group in inodes.chunks(GROUP.min(self.cache.open_limit() / 2)) {
            match self.run_again(group, mode) {
                Ok(failed) => {
                    for (inode, error) in failed {
                        self.cache.queue(&inode);
                        match error.is_damage() {
                            true => damaged.push((inode, error)),
                            false => {
                                if error.is_refusal() {
                                    let name = self.base.context.file_name(ChunkId::first(inode.id()));
                                    log::warn!("{name:?}, or a file that belongs to it: {error}");
                                }
                                outcome = outcome.and(Err(error));
                            }
                        }
                    }
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
            group.iter().for_each(|inode| self.cache.all_opened(inode));
        }
        outcome.map(|()| damaged)
    }

    /// The same for one inode, but times may be lost: chunk 0 is left alone where it has nothing else to tell.
    ///
    /// # Errors
    ///
    /// As [`Writeback::flush`].
    pub fn flush_but_times(&self, inode: &Arc<Inode>) -> Result<()> {
        let failed = self.run_again(&[inode], Mode::ButTimes)?;
        failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// The same, once more for those that the store failed: it may answer again, or through another connection.
    fn run_again(&self, inodes: &[&Arc<Inode>], mode: Mode) -> Result<Vec<(Arc<Inode>, Error)>> {
        let begun = inodes.iter().map(|inode| Flush::begin(inode, mode));
        let (again, mut failed): (Vec<_>, Vec<_>) =
            self.run(begun.collect())?.into_iter().partition(|(_, error)| error.is_of_the_store());
        if !again.is_empty() {
            let begun = again.iter().map(|(inode, _)| Flush::begin(inode, mode));
            failed.extend(self.run(begun.collect())?);
        }
        Ok(failed)
    }

    /// Returns what failed by itself; an error is the end of all.
    fn run(&self, mut flushes: Vec<Flush<'_>>) -> Result<Vec<(Arc<Inode>, Error)>> {
        if mutants::is_active(Mutant::ChunkZeroFirst) {
            flushes.iter_mut().for_each(|flush| {
                let state = flush.inode.state.read();
                (flush.size, flush.made) = (state.record.size, state.progress.made);
            });
            self.stage(&mut flushes, Self::commit_first_chunk)?;
        }
        self.stage(&mut flushes, Self::prepare)?;
        self.stage(&mut flushes, Self::commit_extra_chunks)?;
        self.stage(&mut flushes, Self::commit_first_chunk)?;
        self.stage(&mut flushes, Self::trim)?;
        let failed = |flush: Flush<'_>| Some((flush.inode.clone(), flush.failed?));
        Ok(flushes.into_iter().filter_map(failed).collect())
    }

    /// Runs one stage on all, then makes durable what it wrote. What may pass, a failed fdatasync among it, fails this flush
    /// only.
    fn stage<'a>(
        &self,
        flushes: &mut [Flush<'a>],
        stage: impl Fn(&Self, &mut Flush<'a>, &mut State, &mut Vec<Unsynced<'a>>) -> Result<()>,
    ) -> Result<()> {
        let mut unsynced = Vec::new();
        for flush in flushes.iter_mut().filter(|flush| flush.failed.is_none()) {
            let inode = flush.inode;
            let mut state = inode.state.write();
            let outcome = stage(self, flush, &mut state, &mut unsynced);
            if let Err(error) = outcome {
                flush.fail(error, &mut state);
            }
        }
        match self.make_durable(unsynced) {
            Err(error) if error.is_passing() => {
                for flush in flushes.iter_mut().filter(|flush| flush.failed.is_none()) {
                    flush.fail(error.again(), &mut flush.inode.state.write());
                }
                Ok(())
            }
            Err(error) => {
                self.base.stop_for_good(&error);
                Err(error)
            }
            Ok(damaged) => {
                for (id, error) in damaged {
                    let at =
                        flushes.iter_mut().find(|flush| flush.inode.id() == id && flush.failed.is_none());
                    if let Some(flush) = at {
                        flush.fail(error, &mut flush.inode.state.write());
                    }
                }
                Ok(())
            }
        }
    }

    /// Before anything is written: chunks that the store failed are readied, and what is there of a file stays here,
    /// whatever a sync client puts in its place.
    fn prepare<'a>(
        &self,
        flush: &mut Flush<'a>,
        state: &mut State,
        unsynced: &mut Vec<Unsynced<'a>>,
    ) -> Result<()> {
        state.recover()?;
        if state.is_dirty() {
            self.catalog.pin(flush.inode, state)?;
        }
        self.announce(flush, state, unsynced)
    }

    /// The chunks beyond chunk 0. Of a file that shrank only those that chunk 0 does not name yet: with the others it
    /// goes first.
    fn commit_extra_chunks<'a>(
        &self,
        flush: &mut Flush<'a>,
        state: &mut State,
        unsynced: &mut Vec<Unsynced<'a>>,
    ) -> Result<()> {
        (flush.size, flush.made) = (state.record.size, state.progress.made);
        if mutants::is_active(Mutant::TrimmedEarly) {
            self.remove_doomed(flush.inode, state)?;
        }
        if state.record.kind == Kind::Directory {
            self.go_on_anew(flush.inode, state)?;
            self.store_segments(flush, state)?;
        }
        let busy = state.busy_chunks();
        if busy.iter().any(|&index| state.chunk(index).is_some_and(Chunk::is_dirty)) {
            self.cache.open_first_chunk(flush.inode, state)?;
        }
        for index in busy {
            if !state.commit_extra_chunk(index, self.base.stamp())? {
                continue;
            }
            let chunk = state.chunk_mut(index).expect("it is busy");
            let sync = chunk.start_sync()?;
            if sync.is_some() || chunk.is_name_new() && !mutants::is_active(Mutant::NameForgotten) {
                unsynced.push(Unsynced { inode: flush.inode, index, sync });
            }
        }
        Ok(())
    }

    /// Chunk 0, with what is durable of the rest.
    fn commit_first_chunk<'a>(
        &self,
        flush: &mut Flush<'a>,
        state: &mut State,
        unsynced: &mut Vec<Unsynced<'a>>,
    ) -> Result<()> {
        let is_told = state.is_told_by_chunks(flush.made);
        let may_wait = match flush.mode {
            Mode::ButTimes => state.progress.durable >= state.progress.first_chunk,
            Mode::Synced => is_told,
            Mode::AtRest | Mode::Busy => false,
        };
        if may_wait && state.is_first_chunk_stored() {
            if is_told {
                state.timed(flush.made);
            }
            return Ok(());
        }
        // It was closed once it was committed, synced and named (`Cache::close_chunk`): what it has is durable.
        if state.first_chunk.is_none() && !state.is_dirty() && flush.unstored.is_none() {
            state.first_chunk_durable();
            return Ok(());
        }
        self.cache.open_first_chunk(flush.inode, state)?;
        let alone = state.extra_chunks.is_empty() && state.table.is_empty();
        let is_directory = state.record.kind == Kind::Directory;
        if alone && !is_directory {
            (flush.size, flush.made) = (state.record.size, state.progress.made);
        }
        let at_rest = state.is_inexact() && flush.mode == Mode::AtRest;
        let news = at_rest || state.progress.stored < flush.made || state.stored < state.journalled.namespace;
        if news || flush.unstored.is_some() || !state.table.is_stored() {
            state.spend_hold();
            if let Some(unstored) = &flush.unstored {
                state.store_tail(unstored, &flush.segments, &flush.joined)?;
            }
            // From here on chunk 0 in memory has it: should the commit fail, the next flush only repeats that.
            if let Some(unstored) = flush.unstored.take() {
                let too_far = mutants::is_active(Mutant::VectorTooFar);
                state.was_stored(unstored, too_far.then(|| state.directory().vector().to_vec()));
            }
            let size = match is_directory {
                true => state.record.size,
                false if mutants::is_active(Mutant::CutForgotten) => flush.size,
                false => flush.size.min(state.record.size),
            };
            self.stamp_content(flush.inode, state)?;
            state.choose_exactness(flush.mode == Mode::AtRest);
            state.store_all(size)?;
            state.first_chunk_mut().commit()?;
            if flush.mode == Mode::ButTimes {
                state.first_chunk_mut().allocate_other_root();
            }
            state.first_chunk_committed(flush.made);
            state.hold_rest(&self.base.context.headroom);
        }
        match state.first_chunk_mut().start_sync()? {
            sync @ Some(_) => unsynced.push(Unsynced { inode: flush.inode, index: ChunkIndex::FIRST, sync }),
            None => state.first_chunk_durable(),
        }
        Ok(())
    }

    /// What chunk 0, durable now, does not speak of any more.
    fn trim<'a>(
        &self,
        flush: &mut Flush<'a>,
        state: &mut State,
        unsynced: &mut Vec<Unsynced<'a>>,
    ) -> Result<()> {
        let is_early = state.shrunk.is_some_and(|shrunk| shrunk > state.progress.durable);
        if is_early && !mutants::is_active(Mutant::TrimmedBetween) {
            return Ok(());
        }
        self.remove_doomed(flush.inode, state)?;
        if state.take_cut() {
            for index in state.busy_chunks() {
                let is_named = state.table.stamp(index).is_some();
                if is_named && state.chunk(index).is_some_and(Chunk::is_dirty) {
                    state.commit_stamped(index, self.base.stamp())?;
                    let chunk = state.chunk_mut(index).expect("it is busy");
                    let sync = chunk.start_sync()?;
                    unsynced.push(Unsynced { inode: flush.inode, index, sync });
                }
            }
        }
        if state.is_inexact() {
            self.cache.queue(flush.inode);
        }
        state.secured(flush.made);
        state.drop_idle_hold();
        Ok(())
    }

    fn remove_doomed(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        while let Some(&index) = state.doomed.first() {
            let id = ChunkId { inode: inode.id(), index };
            self.catalog.remove_file(id)?;
            self.cache.closed(id);
            state.removed(index);
        }
        Ok(())
    }

    /// Moves a directory's log into new segments where chunk 0 has no room for it.
    fn store_segments(&self, flush: &mut Flush<'_>, state: &mut State) -> Result<()> {
        self.cache.open_first_chunk(flush.inode, state)?;
        let Some(unstored) = state.take_unstored() else { return Ok(()) };
        let unstored = flush.unstored.insert(unstored);
        let kept = if unstored.replacement.is_some() { 0 } else { state.record.size };
        let replaced = unstored.replacement.as_ref().map_or(0, Vec::len);
        if kept as usize + replaced + unstored.log.len() <= limits::tail() {
            return Ok(());
        }
        let mut log = TAIL.read(state.first_chunk_mut(), 0, kept)?;
        log.extend_from_slice(unstored.replacement.as_deref().unwrap_or_default());
        log.extend_from_slice(&unstored.log);
        if unstored.replacement.is_none() {
            flush.joined = self.join_segments(flush.inode, state, &mut log)?;
        }
        let first = state.next_segment(self.base.context.random_byte())?;
        flush.segments = first..first;
        for part in log.chunks(segments::room(self.base.geometry.capacity(first))) {
            let id = ChunkId { inode: flush.inode.id(), index: check_index(flush.segments.end)? };
            let mut chunk = Chunk::new(&self.base.context, id, self.base.geometry.blocks(id.index));
            state.write_segment(&mut chunk, &segments::encode(part))?;
            state.hold(id.index, chunk);
            flush.segments.end = id.index.next();
        }
        Ok(())
    }

    /// Puts the log of the last segments before what is to follow it, as far as that is worth while. Returns which.
    fn join_segments(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        log: &mut Vec<u8>,
    ) -> Result<Vec<ChunkIndex>> {
        let mut joined = Vec::new();
        for index in state.named_chunks(ChunkIndex::FIRST_EXTRA)?.into_iter().rev() {
            let (id, capacity) = (ChunkId { inode: inode.id(), index }, self.base.geometry.capacity(index));
            let named = state.table.stamp(index).unwrap_or_default();
            let (segment, _) = self.cache.open_extra(id, named, &state.record)?;
            let length = segments::length(&segment, capacity)?;
            let joins = segments::joins(length, log.len(), capacity);
            if !joins || state.hold_for_segments(&self.base.context.headroom, length).is_err() {
                break;
            }
            let mut before = segments::read(&segment, capacity)?;
            before.append(log);
            *log = before;
            joined.push(index);
        }
        Ok(joined)
    }
}

impl<'a> Flush<'a> {
    fn begin(inode: &'a Arc<Inode>, mode: Mode) -> Flush<'a> {
        Flush {
            inode,
            _serial: inode.serial.lock(),
            size: 0,
            made: 0,
            mode,
            unstored: None,
            segments: ChunkIndex::FIRST..ChunkIndex::FIRST,
            joined: Vec::new(),
            failed: None,
        }
    }

    /// Leaves everything to the next flush. Segments that were made in vain are removed once chunk 0 is durable.
    fn fail(&mut self, error: Error, state: &mut State) {
        state.was_not_stored(self.unstored.take(), self.segments.clone());
        self.failed = Some(error);
    }
}
