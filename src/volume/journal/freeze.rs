//! Freezing what is pending into a batch and committing it: the moment at which it happened.
//!
//! Locks, in this order: an inode's `serial` (never held when a batch is committed), the journal, the namespace, an
//! inode's `state`. A rename that replaces has its source's data durable, or carried whole, before its batch is.

use super::Journal;
use crate::chunk::{ChunkCount, ChunkIndex, Commit, Context, Hold, InodeId};
use crate::volume::format::batch::Builder;
use crate::volume::format::geometry::Geometry;
use crate::volume::format::kinds::Kind;
use crate::volume::format::wire::TooLarge;
use crate::volume::inode::state::{Inode, Journalled};
use crate::volume::journal::file::JournalFile;
use crate::volume::journal::pending::Pending;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sources of replacing renames whose content a batch carries, at most: the others are flushed one by one.
const CARRIED_MOST: usize = 512;

/// What came of a commit, and what is demanded of the caller before it is tried again.
pub enum Commitment {
    /// The batch is durable.
    Durable,
    /// The journal has no room for it: something has to be stored, and dropped.
    Full,
    /// Sources of replacing renames that have to be stored first, and are too large or too many to be carried.
    Unready(Vec<Arc<Inode>>),
}

/// What a batch under way holds.
struct Frozen {
    /// Where it starts in the journal's stream.
    start: u64,
    bytes: Vec<u8>,
    inodes: Vec<FrozenInode>,
    deleted: Vec<Arc<Inode>>,
    fresh: Vec<InodeId>,
    replacing: HashMap<InodeId, Arc<Inode>>,
    /// Whose chunk 0 it says to be durable.
    durable: Vec<(InodeId, Commit)>,
    /// How often something was set aside until then, if it repeats that.
    aside: u64,
    /// Space for it.
    hold: Hold,
}

struct FrozenInode {
    inode: Arc<Inode>,
    journalled: Journalled,
    /// The change up to which the batch carries all of the inode.
    carried: u64,
    /// The change up to which it has to come from the batch if it is not in chunk 0: of a directory the entries.
    told: u64,
    was_recorded: bool,
    /// The batch has the first content of a file that another batch has without any.
    fills: bool,
}

impl Journal {
    /// Commits everything pending as one batch. Content of `carry` goes with it, where it can. A checkpoint batch, which is
    /// committed whether or not something is pending, repeats whatever older batches say that has not come to its end
    /// yet: orphans and reserved ids; everything before it can be dropped once it is stored elsewhere.
    ///
    /// # Errors
    ///
    /// Those of the journal's file. One that does not pass stops the volume.
    pub fn commit(&self, carry: &[Arc<Inode>], checkpoint: bool) -> Result<Commitment> {
        self.base.check_live()?;
        let (mut file, mut pending) = (self.file.lock(), self.names.lock());
        let unready = unready_sources(&pending);
        if !unready.is_empty() {
            return Ok(Commitment::Unready(unready));
        }
        let start = file.tail();
        let has_untold = self.base.stand_ins.lock().has_untold();
        if pending.is_empty() && carry.is_empty() && !checkpoint && !has_untold {
            return Ok(Commitment::Durable);
        }
        let checkpoint = checkpoint || file.wants_checkpoint_batch();
        let mut frozen = match self.freeze(&mut pending, carry, checkpoint, start) {
            Ok(frozen) => frozen,
            Err(error) => {
                self.base.stop_for_good(&error);
                return Err(error);
            }
        };
        drop(pending);
        if !file.has_room(frozen.bytes.len()) {
            self.commit_failed(frozen);
            return Ok(Commitment::Full);
        }
        if mutants::is_active(Mutant::DeletedBeforeBatch) {
            frozen.deleted.iter().try_for_each(|inode| self.catalog.remove_files(inode))?;
        }
        match self.append(&mut file, &mut frozen) {
            Ok(()) => {
                self.in_use.store(true, Ordering::Release);
                if frozen.inodes.iter().any(|frozen| frozen.fills)
                    && !mutants::is_active(Mutant::FilledUnsettled)
                {
                    file.settle();
                }
                self.commit_succeeded(frozen);
                self.base.stand_ins.lock().dropped_until(file.head());
                if file.is_filling() {
                    self.base.schedule.hurry();
                }
                Ok(Commitment::Durable)
            }
            Err(error) => {
                self.commit_failed(frozen);
                if !error.is_passing() {
                    self.base.stop(&error);
                }
                Err(error)
            }
        }
    }

    /// Where a client gave the journal another name, or put an older one there, it is written anew.
    fn append(&self, file: &mut JournalFile, frozen: &mut Frozen) -> Result<()> {
        let context = &self.base.context;
        let appended = file.append(context, &frozen.bytes, &mut frozen.hold);
        let is_taken = |error: &Error| error.is_exchange() || error.is_absence();
        if !appended.as_ref().is_err_and(is_taken)
            || mutants::is_active(Mutant::StoppedByClient)
            || file.restart(context).is_err()
        {
            return appended;
        }
        log::warn!(
            "this device's journal was taken away or replaced while it was in use: it is written anew"
        );
        file.append(context, &frozen.bytes, &mut frozen.hold)
    }

    /// `start`: where the batch starts.
    fn freeze(
        &self,
        pending: &mut Pending,
        carry: &[Arc<Inode>],
        checkpoint: bool,
        start: u64,
    ) -> Result<Frozen> {
        let number = self.base.context.next_commit();
        let mut batch = Builder::default();
        let mut frozen = Frozen {
            start,
            bytes: Vec::new(),
            inodes: Vec::new(),
            deleted: Vec::new(),
            fresh: Vec::new(),
            replacing: HashMap::new(),
            durable: Vec::new(),
            aside: 0,
            hold: std::mem::take(&mut pending.hold),
        };
        pending.bytes = 0;
        let repeat = checkpoint && !mutants::is_active(Mutant::CheckpointRepeatsNothing);
        self.freeze_inodes(&mut batch, &mut frozen, pending, carry, number).map_err(too_large)?;
        self.freeze_unnamed(&mut batch, &mut frozen, pending, repeat).map_err(too_large)?;
        self.freeze_reserved(&mut batch, &mut frozen, pending, repeat).map_err(too_large)?;
        if repeat && !mutants::is_active(Mutant::WithheldNotRepeated) {
            let withheld = self.base.withheld.lock();
            withheld.repeat(&mut batch).map_err(too_large)?;
            frozen.aside = withheld.count();
        }
        if !mutants::is_active(Mutant::DurableNotTold) {
            frozen.durable = self.base.stand_ins.lock().untold();
        }
        if !frozen.durable.is_empty() {
            batch.durable(&frozen.durable).map_err(too_large)?;
        }
        frozen.bytes = batch.finish(number);
        Ok(frozen)
    }

    /// What changed of inodes, and of directories' entries.
    fn freeze_inodes(
        &self,
        batch: &mut Builder,
        frozen: &mut Frozen,
        pending: &mut Pending,
        carry: &[Arc<Inode>],
        number: Commit,
    ) -> std::result::Result<(), TooLarge> {
        carry.iter().for_each(|inode| pending.add(inode));
        let carry: HashSet<InodeId> = carry.iter().map(|inode| inode.id()).collect();
        let inodes: Vec<Arc<Inode>> = pending.inodes.drain().map(|(_, inode)| inode).collect();
        for inode in &inodes {
            let wanted = carry.contains(&inode.id())
                || pending.replacing.contains_key(&inode.id())
                    && !mutants::is_active(Mutant::ReplacedBeforeData);
            let stand_in = |commit| self.base.stand_ins.lock().put(inode.id(), frozen.start, commit);
            let carry = wanted.then_some(&*self.base.context);
            frozen.inodes.push(freeze_inode(batch, inode, number, carry, stand_in)?);
        }
        for (at, inode) in inodes.iter().filter(|inode| inode.is_directory()).enumerate() {
            if at > 0 && mutants::is_active(Mutant::BatchInTwo) {
                pending.add(inode);
                continue;
            }
            inode.state.write().freeze_entries(inode.id(), self.base.context.device, batch)?;
        }
        frozen.replacing = std::mem::take(&mut pending.replacing);
        Ok(())
    }

    /// What was deleted, and orphans: those that lost their last name, or with `repeat` all.
    fn freeze_unnamed(
        &self,
        batch: &mut Builder,
        frozen: &mut Frozen,
        pending: &mut Pending,
        repeat: bool,
    ) -> std::result::Result<(), TooLarge> {
        frozen.deleted = std::mem::take(&mut pending.deleted);
        for inode in &frozen.deleted {
            batch.delete(inode.id(), chunks_of(inode, self.base.geometry))?;
        }
        let unnamed = frozen.inodes.iter().filter(|frozen| frozen.journalled.links_count == 0);
        let unnamed: HashSet<InodeId> = unnamed.map(|frozen| frozen.inode.id()).collect();
        let orphans = pending.orphans.values().filter(|inode| repeat || unnamed.contains(&inode.id()));
        for inode in orphans.filter(|_| !mutants::is_active(Mutant::OrphanNotRecorded)) {
            batch.orphan(inode.id(), chunks_of(inode, self.base.geometry))?;
        }
        Ok(())
    }

    /// Ids whose chunk files may exist: fresh ones, or with `repeat` all that the batch does not name.
    fn freeze_reserved(
        &self,
        batch: &mut Builder,
        frozen: &mut Frozen,
        pending: &mut Pending,
        repeat: bool,
    ) -> std::result::Result<(), TooLarge> {
        if repeat {
            pending.reserve.rest();
        }
        frozen.fresh = pending.reserve.fresh();
        let mut reserved = frozen.fresh.clone();
        if repeat {
            let named: HashSet<InodeId> = frozen.inodes.iter().map(|frozen| frozen.inode.id()).collect();
            reserved.extend(pending.reserve.all().filter(|id| !named.contains(id)));
        }
        if !reserved.is_empty() && !mutants::is_active(Mutant::ReserveNotRecorded) {
            batch.reserve(&reserved)?;
        }
        Ok(())
    }

    /// The batch is durable: what it says counts as journalled.
    fn commit_succeeded(&self, frozen: Frozen) {
        let deleted = frozen.deleted.iter().map(|inode| inode.id());
        let named: Vec<InodeId> =
            frozen.inodes.iter().map(|frozen| frozen.inode.id()).chain(deleted).collect();
        self.base.withheld.lock().was_repeated(frozen.aside);
        let mut is_noted = false;
        for FrozenInode { inode, journalled, carried, told, .. } in frozen.inodes {
            inode.id_durable.store(true, Ordering::Release);
            let mut state = inode.state.write();
            is_noted |= self.catalog.note_deletion(inode.id(), &state);
            state.batch_durable(journalled, carried, told);
            drop(state);
            self.cache.queue(&inode);
        }
        for inode in &frozen.deleted {
            is_noted |= self.catalog.note_deletion(inode.id(), &inode.state.read());
            if !mutants::is_active(Mutant::AsideKept) {
                self.base.withheld.lock().forget(inode.id());
            }
        }
        if is_noted {
            self.base.context.recall.keep();
        }
        self.base.stand_ins.lock().told(frozen.start, &frozen.durable);
        self.names.lock().reserve.made_durable(&named, frozen.fresh);
        self.catalog.delete(frozen.deleted);
    }

    /// The batch was not written: all that it says is pending again.
    fn commit_failed(&self, frozen: Frozen) {
        let mut pending = self.names.lock();
        pending.bytes += frozen.bytes.len();
        pending.hold.absorb(frozen.hold);
        for FrozenInode { inode, was_recorded, .. } in frozen.inodes {
            let mut state = inode.state.write();
            // Its chunk files may come nevertheless, where its id is reserved: that makes room in a full journal.
            state.batch_failed(was_recorded || inode.id_durable.load(Ordering::Acquire));
            drop(state);
            pending.add(&inode);
        }
        pending.deleted.extend(frozen.deleted);
        for (id, inode) in frozen.replacing {
            if inode.view(|record| record.links_count > 0) {
                pending.replacing.insert(id, inode);
            }
        }
    }
}

/// Sources of replacing renames that are not durable and cannot be carried.
fn unready_sources(pending: &Pending) -> Vec<Arc<Inode>> {
    let few = pending.replacing.len() <= CARRIED_MOST;
    let is_unready = |inode: &&Arc<Inode>| {
        let state = inode.state.read();
        // Chunks that chunk 0 named before it was cut are committed last.
        let ready = state.progress.durable >= state.progress.substantial && state.shrunk.is_none()
            || state.lost.is_some()
            || mutants::is_active(Mutant::ReplacedBeforeData);
        !(ready || few && state.is_carryable())
    };
    pending.replacing.values().filter(is_unready).cloned().collect()
}

/// `carry`: with its content, if it can be. `stand_in` is told if the batch stands in for its chunk 0, with the commit of
/// the content that it has.
fn freeze_inode(
    batch: &mut Builder,
    inode: &Arc<Inode>,
    number: Commit,
    carry: Option<&Context>,
    stand_in: impl FnOnce(Commit),
) -> std::result::Result<FrozenInode, TooLarge> {
    let mut state = inode.state.write();
    let record = &state.record;
    let (mut carried, mut fills, mut is_empty) = (0, false, state.journalled.is_empty);
    if record.links_count == 0 {
        // Its deletion, or that it is an orphan, is all that the batch says of it.
    } else if let Some(context) = carry.filter(|_| state.is_carryable()) {
        // A number of its own, under the lock: a flush may have committed an older content since the batch has one.
        let commit = context.next_commit();
        let version = state.first_chunk.as_deref().map(|first_chunk| first_chunk.next_version(commit));
        state.with_version(version.unwrap_or_default(), |state| {
            let content = state.first_chunk.as_deref().map_or(&[][..], |first_chunk| first_chunk.inline());
            fills = is_empty && !content.is_empty();
            is_empty = content.is_empty();
            batch.inode(inode.id(), commit, &state.record, Some(content))
        })?;
        stand_in(commit);
        carried = state.progress.made;
    } else if !state.named && state.lost.is_none() && !mutants::is_active(Mutant::NameWithoutInode) {
        let mut record = record.clone();
        if record.kind != Kind::Symlink {
            record.size = 0;
        }
        record.extension.vector.clear();
        batch.inode(inode.id(), Commit(0), &record, None)?;
        stand_in(Commit(0));
        is_empty = true;
    } else {
        batch.namespace(
            inode.id(),
            record.links_count,
            record.modified,
            record.changed,
            &record.extension.links,
        )?;
    }
    let journalled = Journalled {
        links_count: state.record.links_count,
        links: state.record.extension.links.clone(),
        namespace: number,
        is_empty,
    };
    let was_recorded = state.freeze();
    let told = if state.record.kind == Kind::Directory { state.progress.made } else { carried };
    Ok(FrozenInode { inode: inode.clone(), journalled, carried, told, was_recorded, fills })
}

/// How many chunks an inode may have: one more than the highest index.
fn chunks_of(inode: &Inode, geometry: Geometry) -> ChunkCount {
    let state = inode.state.read();
    let open = state.extra_chunks.from(ChunkIndex::FIRST).next_back().max(state.doomed.last().copied());
    let behind = geometry.behind(state.record.size.min(geometry.size_limit()));
    ChunkCount(open.map_or(behind, |last| behind.max(last.next())).0)
}

fn too_large(_: TooLarge) -> Error {
    Error::NoSpace
}
