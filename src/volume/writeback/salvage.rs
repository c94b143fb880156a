//! Inodes that cannot be stored, because their own chunk files were exchanged, corrupt or removed under the mount: they must
//! not keep everything else from the disk.
//!
//! Where memory holds all of one, or a file that is open does, its chunk 0 is rebuilt, unless another device wrote what was
//! put there: then that is taken, and what was not stored is saved beside it ([`Writeback::give_way`]). What stands there is left until that is durable, if it can be read: a sync client may have put the same bytes there again, and
//! they are all that a crash would leave. Otherwise what was not stored yet is lost: it answers with the
//! damage until it leaves memory, for an older content must not stand in for what was written. What was acknowledged is
//! never abandoned: content that only a batch has goes into a rebuilt chunk 0, and where even that cannot be, the volume
//! stops, and the next mount looks for it in the journal. The names that batches gave it since go into whatever chunk 0
//! there is.

use super::Writeback;
use crate::chunk::{BLOCK, BlockNumber, Chunk, ChunkId, ChunkIndex, Commit, Section};
use crate::volume::format::batch::{Item, parse};
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::Record;
use crate::volume::inode::state::{Inode, State};
use crate::volume::inode::table::ChunkTable;
use crate::volume::journal::file;
use crate::volume::mutants::{self, Mutant};
use crate::volume::writeback::displaced::GaveWay;
use crate::volume::writeback::flush::Mode;
use crate::volume::{Error, Result};
use std::sync::Arc;

/// How often a directory's changes are put into a batch, to find it with none under way.
const TRIES: usize = 20;

impl Writeback {
    /// Rebuilds or abandons inodes that damage to their own chunk files kept from the disk. Directories are rebuilt within
    /// a checkpoint only.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if what was acknowledged can be kept nowhere; as
    /// [`Writeback::flush_each`] and [`Writeback::try_commit`]; the store's. Those that are not done stay as they
    /// are.
    pub fn salvage(&self, damaged: Vec<(Arc<Inode>, Error)>) -> Result<()> {
        let (mut rebuilt, mut lost) = (Vec::new(), Vec::new());
        for (inode, error) in damaged {
            let is_rebuilt = match inode.is_directory() {
                true => self.rebuild_directory(&inode)?,
                false => self.rebuild(&inode)?,
            };
            // What another device wrote is no damage, nor what stands there again as it was durable.
            if !is_rebuilt && self.takes_place(&inode)? {
                if inode.state.read().check_whole().is_ok() {
                    rebuilt.push(inode);
                }
                continue;
            }
            if !is_rebuilt || self.in_place(&inode).is_err() {
                // It is told; what is done about it follows.
                let _ = self.cache.notice_in::<()>(&inode, Err(error.again()));
            }
            match is_rebuilt {
                true => rebuilt.push(inode),
                false => lost.push((inode, error)),
            }
        }
        let mut outcome = Ok(());
        for (inode, error) in self.flush_each(&rebuilt, Mode::AtRest)? {
            match error.is_exchange() && !mutants::is_active(Mutant::RebuiltAbandoned) {
                // The client was faster: the next checkpoint looks at what it put there.
                true => outcome = Err(error),
                false => lost.push((inode, error)),
            }
        }
        lost.into_iter().try_for_each(|(inode, error)| self.abandon(&inode, error)).and(outcome)
    }

    /// What stands in the place of chunk 0. No less than what is durable of it, as far as this device remembers that.
    fn in_place(&self, inode: &Inode) -> crate::chunk::Result<Chunk> {
        let blocks = self.base.geometry.blocks(ChunkIndex::FIRST);
        Chunk::open(&self.base.context, ChunkId::first(inode.id()), blocks)
    }

    /// Whether memory goes on with what another device wrote, and what it had is kept. Within a checkpoint.
    fn takes_place(&self, inode: &Arc<Inode>) -> Result<bool> {
        if inode.is_directory() {
            return self.join_in_place(inode);
        }
        let gave_way = self.give_way(inode)?;
        // The journal drops what only batches had of it.
        if gave_way == GaveWay::Aside && !self.try_commit(&[], true)? {
            return Err(Error::NoSpace);
        }
        Ok(gave_way != GaveWay::Not)
    }

    /// Has the next flush write a new chunk 0, if memory holds all that it would say; whether it does.
    fn rebuild(&self, inode: &Arc<Inode>) -> Result<bool> {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        let is_bare = state.extra_chunks.is_empty() && state.doomed.is_empty() && state.table.is_empty();
        if !is_bare || !self.may_replace(inode, &state) {
            return Ok(false);
        }
        let own = state.first_chunk.as_deref();
        // Blocks lie in a file that lives on as long as it is open.
        let Ok(blocks) = own.map_or(Ok(Vec::new()), read_blocks) else { return Ok(false) };
        if !state.is_carryable() && blocks.is_empty() {
            return Ok(false);
        }
        let inline = own.map_or(&[][..], |first_chunk| first_chunk.inline()).to_vec();
        let new = self.new_first_chunk(inode, inline, &blocks)?;
        self.put_first_chunk(inode, &mut state, new);
        state.change();
        Ok(true)
    }

    /// The same for a directory: its entries are in memory, if any of them changed. Further chunks that it had go once
    /// chunk 0 is durable.
    fn rebuild_directory(&self, inode: &Arc<Inode>) -> Result<bool> {
        for _ in 0..TRIES {
            // Chunk 0 says no more than durable batches do, and segments that a crash leaves are looked for.
            if !self.try_commit(&[], !self.journal.is_in_use())? {
                return Ok(false);
            }
            let segments = self.catalog.files_of(inode.id())?;
            let _serial = inode.serial.lock();
            let (_journal, _names) = (self.journal.file(), self.journal.names());
            let mut state = inode.state.write();
            if state.entries.is_none() || !self.may_replace(inode, &state) {
                return Ok(false);
            }
            if !state.begin_rebuild() {
                continue;
            }
            let new = self.new_first_chunk(inode, Vec::new(), &[])?;
            self.put_first_chunk(inode, &mut state, new);
            state.rebuilt_directory(segments.into_iter().filter(|index| !index.is_first()));
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether what stands in the place of chunk 0 is nobody else's work.
    fn may_replace(&self, inode: &Arc<Inode>, state: &State) -> bool {
        if state.lost.is_some() {
            return false;
        }
        let is_known = |found: Chunk| {
            // Our own may be what an earlier try left.
            let wrote = found.version().0.first().is_some_and(|entry| entry.0 == self.base.context.device);
            wrote
                || state
                    .first_chunk
                    .as_deref()
                    .is_some_and(|first_chunk| first_chunk.version().dominates(found.version()))
        };
        self.in_place(inode).map_or(true, is_known)
    }

    /// A chunk 0 with nothing in it but this content: that which stands there, or one without a file yet.
    fn new_first_chunk(
        &self,
        inode: &Arc<Inode>,
        inline: Vec<u8>,
        blocks: &[(BlockNumber, Vec<u8>)],
    ) -> Result<(Chunk, ChunkTable)> {
        let (id, count) = (ChunkId::first(inode.id()), self.base.geometry.blocks(ChunkIndex::FIRST));
        let emptied = || -> Result<(Chunk, ChunkTable)> {
            let mut first_chunk = self.in_place(inode)?;
            let mut table = ChunkTable::of(&first_chunk)?;
            table.all(&first_chunk)?.into_iter().for_each(|index| table.set(index, Commit(0)));
            first_chunk.clear(Section::Data, count.all())?;
            Ok((first_chunk, table))
        };
        let (mut first_chunk, table) = emptied().unwrap_or_else(|_| {
            self.base.context.saw_known(id);
            (Chunk::new(&self.base.context, id, count), ChunkTable::empty())
        });
        first_chunk.set_inline(inline);
        for (number, block) in blocks {
            first_chunk.write(Section::Data, *number, block)?;
        }
        Ok((first_chunk, table))
    }

    fn put_first_chunk(&self, inode: &Inode, state: &mut State, (first_chunk, table): (Chunk, ChunkTable)) {
        for index in state.close_all() {
            self.cache.closed(ChunkId { inode: inode.id(), index });
        }
        state.replace_first_chunk(first_chunk, table);
    }

    /// Forgets what was not stored.
    fn abandon(&self, inode: &Arc<Inode>, error: Error) -> Result<()> {
        let _serial = inode.serial.lock();
        // An operation that changes names counts on directories that it loaded.
        let (_journal, _names) = (self.journal.file(), self.journal.names());
        let mut state = inode.state.write();
        if !mutants::is_active(Mutant::AcknowledgedAbandoned) {
            self.keep_acknowledged(inode, &mut state, &error)?;
        }
        if !mutants::is_active(Mutant::NamesAbandoned) {
            self.keep_names(inode, &state)?;
        }
        // What was written to a file that is open may be nowhere else; of one at rest that is older now, all was stored.
        let is_open = state.first_chunk.is_some() || !state.extra_chunks.is_empty();
        let is_lost =
            is_open || state.record.kind == Kind::Directory || state.lost.is_some() || state.has_unstored();
        if state.lost.is_none() && is_lost {
            log::error!("{error}; what was written to it and not stored yet is lost");
        }
        for index in state.close_all() {
            self.cache.closed(ChunkId { inode: inode.id(), index });
        }
        state.abandon((is_lost && !mutants::is_active(Mutant::LostForgotten)).then_some(error));
        Ok(())
    }

    /// Puts content that only a batch has into a rebuilt chunk 0, durably. Refuses where that cannot be.
    fn keep_acknowledged(&self, inode: &Arc<Inode>, state: &mut State, error: &Error) -> Result<()> {
        if state.entries.as_ref().is_some_and(|entries| !entries.is_stored()) {
            return Err(error.again());
        }
        let (is_carried, is_file) = (state.progress.carried > 0, state.record.kind == Kind::File);
        // A file that was made, and written to beyond what is durable: batches have it empty, and no chunk 0 ever was.
        let is_told = is_file && state.recorded && !state.named;
        if !is_carried && !is_told {
            return Ok(());
        }
        let kept = if is_file && self.may_replace(inode, state) {
            self.told_by_batch(inode, is_carried)?
        } else {
            None
        };
        let (record, content) = match kept {
            Some(kept) => kept,
            None if is_carried => return Err(error.again()),
            None => return Ok(()),
        };
        let (id, size) = (ChunkId::first(inode.id()), content.len() as u64);
        self.base.context.saw_known(id);
        let mut first_chunk =
            Chunk::new(&self.base.context, id, self.base.geometry.blocks(ChunkIndex::FIRST));
        first_chunk.set_inline(content);
        // Apart from what memory has: should this fail and pass, the next checkpoint finds that as it was.
        let mut kept = State::fresh(record, first_chunk);
        let first_chunk = store_names(&mut kept, state, size)?;
        if !mutants::is_active(Mutant::KeptNotSynced) {
            first_chunk.sync()?;
        }
        if !mutants::is_active(Mutant::KeptWithoutName) {
            self.base.sync_names(&[self.base.context.file_name(id)])?;
            first_chunk.name_synced();
        }
        // No durable chunk 0 ever named further ones.
        let named = state.named_chunks(ChunkIndex::FIRST_EXTRA).unwrap_or_default();
        let open: Vec<ChunkIndex> = state.extra_chunks.from(ChunkIndex::FIRST_EXTRA).collect();
        named
            .into_iter()
            .chain(open)
            .try_for_each(|index| self.catalog.remove_file(ChunkId { index, ..id }))?;
        state.kept();
        Ok(())
    }

    /// Has what stands in the place of chunk 0 say the names that durable batches do, if it can be read: they are dropped,
    /// and one who takes a name away later counts on the others.
    fn keep_names(&self, inode: &Arc<Inode>, state: &State) -> Result<()> {
        let kept = self.cache.load(inode.id()).and_then(|there| {
            let mut there = there.state.write();
            if there.record.namespace >= state.journalled.namespace {
                return Ok(());
            }
            let size = there.record.size;
            Ok(store_names(&mut there, state, size)?.sync()?)
        });
        match kept {
            Err(error) if error.is_damage() => Ok(()),
            kept => kept,
        }
    }

    /// What the newest batch says of an inode, and its content: of those that carry it, or else of all, empty.
    pub(super) fn told_by_batch(
        &self,
        inode: &Arc<Inode>,
        is_carried: bool,
    ) -> Result<Option<(Record, Vec<u8>)>> {
        let own = self.base.context.own_journal();
        let Some(live) = file::read(&self.base.context, own)? else { return Ok(None) };
        let batches = parse(&live.stream).map_err(|what| Error::Damaged(own, what.0.into()))?;
        let carried = batches.iter().rev().flat_map(|batch| &batch.items).find_map(|item| match item {
            Item::Inode { inode: id, record, content, .. }
                if *id == inode.id() && (content.is_some() || !is_carried) =>
            {
                Some((Record::clone(record), content.as_ref().map_or(Vec::new(), |content| content.to_vec())))
            }
            _ => None,
        });
        Ok(carried)
    }
}

/// The blocks of a chunk that hold data.
fn read_blocks(chunk: &Chunk) -> crate::chunk::Result<Vec<(BlockNumber, Vec<u8>)>> {
    let (mut blocks, mut from) = (Vec::new(), BlockNumber::FIRST);
    while let Some(number) = chunk.next_present(Section::Data, from)? {
        let mut block = vec![0; BLOCK];
        chunk.read(Section::Data, number, &mut block)?;
        blocks.push((number, block));
        from = number.next();
    }
    Ok(blocks)
}

/// Commits a chunk 0 with its own content and attributes, and the names that durable batches give to the inode.
fn store_names<'a>(there: &'a mut State, state: &State, size: u64) -> Result<&'a mut Chunk> {
    there.adopt_names(state);
    there.store_all(size)?;
    let first_chunk = there.first_chunk_mut();
    first_chunk.commit()?;
    Ok(first_chunk)
}
