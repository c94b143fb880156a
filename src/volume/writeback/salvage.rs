//! Inodes that cannot be stored, because their own chunk files were exchanged, spoilt or removed under the mount: they must
//! not keep everything else from the disk.
//!
//! Where memory holds all of one, its chunk 0 is made anew, unless another device wrote what was put there. What stands
//! there is left until that is durable, if it can be read: a sync client may have put the same bytes there again, and
//! they are all that a crash would leave. Otherwise what was not stored yet is lost: it answers with the
//! damage until it leaves memory, for an older content must not stand in for what was written. What was acknowledged is
//! never given up: content that only a batch has goes into a chunk 0 made anew, and where even that cannot be, the volume
//! stops, and the next mount looks for it in the journal. The names that batches gave it since go into whatever chunk 0
//! there is.

use crate::chunk::{Chunk, ChunkId, Commit, Space};
use crate::volume::format::batch::{Item, parse};
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::Record;
use crate::volume::inode::state::{Inode, State};
use crate::volume::inode::table::Table;
use crate::volume::journal::file;
use crate::volume::mutants::{self, Mutant};
use crate::volume::writeback::flush::store_record;
use crate::volume::{Error, Result, Volume};
use std::sync::Arc;

/// How often a directory's changes are put into a batch, to find it with none under way.
const TRIES: usize = 20;

impl Volume {
    /// Flushes inodes, and mends or gives up those that damage to their own chunk files keeps from it. Directories are
    /// mended within a round only.
    pub(in crate::volume) fn store(&self, inodes: &[Arc<Inode>]) -> Result<()> {
        let (mut anew, mut lost) = (Vec::new(), Vec::new());
        for (inode, error) in self.flush_each(inodes)? {
            let is_anew = match inode.is_directory() {
                true => self.make_directory_anew(&inode)?,
                false => self.make_anew(&inode),
            };
            match is_anew {
                true => anew.push(inode.clone()),
                false => lost.push((inode.clone(), error.again())),
            }
            // It is told; what is done about it follows.
            let _ = self.notice_in::<()>(&inode, Err(error));
        }
        lost.extend(self.flush_each(&anew)?);
        lost.into_iter().try_for_each(|(inode, error)| self.give_up(&inode, error))
    }

    /// Has the next flush write a new chunk 0, if memory holds all that it would say; whether it does.
    fn make_anew(&self, inode: &Arc<Inode>) -> bool {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        let is_bare = state.others.is_empty() && state.doomed.is_empty() && state.table.is_empty();
        if !is_bare || !state.is_carryable() || !self.may_replace(inode, &state) {
            return false;
        }
        let content = state.head.as_deref().map_or(&[][..], |head| head.inline()).to_vec();
        self.put_new_head(inode, &mut state, content);
        state.change();
        true
    }

    /// The same for a directory: its entries are in memory, if any of them changed. Further chunks that it had go once
    /// chunk 0 is durable.
    fn make_directory_anew(&self, inode: &Arc<Inode>) -> Result<bool> {
        for _ in 0..TRIES {
            // Chunk 0 says no more than durable batches do.
            if self.try_batch(None, false)?.is_none() {
                return Ok(false);
            }
            let segments = self.files_of(inode.id())?;
            let _serial = inode.serial.lock();
            let (_journal, _names) = (self.journal.lock(), self.namespace.lock());
            let mut state = inode.state.write();
            if state.listing.is_none() || !self.may_replace(inode, &state) {
                return Ok(false);
            }
            if !state.listing.as_mut().is_some_and(|listing| listing.begin_anew()) {
                continue;
            }
            self.put_new_head(inode, &mut state, Vec::new());
            state.record.size = 0;
            state.doomed.extend(segments.into_iter().filter(|index| *index > 0));
            state.change();
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether what stands in the place of chunk 0 is nobody else's work.
    fn may_replace(&self, inode: &Arc<Inode>, state: &State) -> bool {
        if state.lost.is_some() {
            return false;
        }
        let found = Chunk::open(&self.context, ChunkId { inode: inode.id(), index: 0 }, self.blocks);
        let is_known = |found: Chunk| {
            // Our own may be what an earlier try left.
            let wrote = found.version().0.first().is_some_and(|entry| entry.0 == self.context.device);
            wrote || state.head.as_deref().is_some_and(|head| head.version().dominates(found.version()))
        };
        found.map_or(true, is_known)
    }

    /// A chunk 0 with nothing in it but inline content: that which stands there, or one without a file yet.
    fn put_new_head(&self, inode: &Arc<Inode>, state: &mut State, content: Vec<u8>) {
        let id = ChunkId { inode: inode.id(), index: 0 };
        for index in std::mem::take(&mut state.others).from(0).chain([0]) {
            self.open.remove(ChunkId { index, ..id });
        }
        let emptied = || -> Result<(Chunk, Table)> {
            let mut head = Chunk::open(&self.context, id, self.blocks)?;
            let mut table = Table::of(&head)?;
            table.all(&head)?.into_iter().for_each(|index| table.set(index, Commit(0)));
            head.clear(Space::Data, 0..self.blocks)?;
            Ok((head, table))
        };
        let (mut head, table) = emptied().unwrap_or_else(|_| {
            self.context.saw_known(id);
            (Chunk::new(&self.context, id, self.blocks), Table::empty())
        });
        head.set_inline(content);
        (state.head, state.table) = (Some(Box::new(head)), table);
    }

    /// Forgets what was not stored.
    fn give_up(&self, inode: &Arc<Inode>, error: Error) -> Result<()> {
        let _serial = inode.serial.lock();
        // An operation that changes names counts on directories that it loaded.
        let (_journal, _names) = (self.journal.lock(), self.namespace.lock());
        let mut state = inode.state.write();
        if !mutants::is_active(Mutant::AcknowledgedGivenUp) {
            self.keep_acknowledged(inode, &mut state, &error)?;
        }
        if !mutants::is_active(Mutant::NamesGivenUp) {
            self.keep_names(inode, &state)?;
        }
        if state.lost.is_none() {
            log::error!("{error}; what was written to it and not stored yet is lost");
        }
        for index in std::mem::take(&mut state.others).from(0).chain([0]) {
            self.open.remove(ChunkId { inode: inode.id(), index });
        }
        state.lost = (!mutants::is_active(Mutant::LostForgotten)).then(|| Box::new(error));
        (state.head, state.table, state.listing, state.shrunk) = (None, Table::empty(), None, None);
        state.doomed.clear();
        state.progress.stored = state.progress.made;
        state.stored = state.journalled.namespace;
        Ok(())
    }

    /// Puts content that only a batch has into a chunk 0 made anew, durably. Refuses where that cannot be.
    fn keep_acknowledged(&self, inode: &Arc<Inode>, state: &mut State, error: &Error) -> Result<()> {
        if state.listing.as_ref().is_some_and(|listing| !listing.is_stored()) {
            return Err(error.again());
        }
        let (is_carried, is_file) = (state.progress.carried > 0, state.record.kind == Kind::File);
        // A file that was made, and written to beyond what is durable: batches have it empty, and no chunk 0 ever was.
        let is_told = is_file && state.heard_of && !state.named;
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
        let (id, size) = (ChunkId { inode: inode.id(), index: 0 }, content.len() as u64);
        self.context.saw_known(id);
        let mut head = Chunk::new(&self.context, id, self.blocks);
        head.set_inline(content);
        // Apart from what memory has: should this fail and pass, the next round finds that as it was.
        let mut kept = State::fresh(record, head);
        let head = store_names(&mut kept, state, size)?;
        if !mutants::is_active(Mutant::KeptNotSynced) {
            head.sync()?;
        }
        if !mutants::is_active(Mutant::KeptWithoutName) {
            self.sync_names(&[self.context.file_name(id)])?;
            head.name_synced();
        }
        state.progress.carried = 0;
        Ok(())
    }

    /// Has what stands in the place of chunk 0 say the names that durable batches do, if it can be read: they are dropped,
    /// and one who takes a name away later counts on the others.
    fn keep_names(&self, inode: &Arc<Inode>, state: &State) -> Result<()> {
        let kept = self.load(inode.id()).and_then(|there| {
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
    fn told_by_batch(&self, inode: &Arc<Inode>, is_carried: bool) -> Result<Option<(Record, Vec<u8>)>> {
        let own = self.context.own_journal();
        let Some(live) = file::read(&self.context, own)? else { return Ok(None) };
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

/// Commits a chunk 0 with its own content and attributes, and the names that durable batches give to the inode.
fn store_names<'a>(there: &'a mut State, state: &State, size: u64) -> Result<&'a mut Chunk> {
    there.journalled = state.journalled.clone();
    store_record(there, size)?;
    let head = there.head.as_deref_mut().expect("it was just opened, or made");
    head.commit()?;
    Ok(head)
}
