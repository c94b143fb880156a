//! Freezing what is pending into a batch and committing it: the moment at which it happened.
//!
//! Locks, in this order: an inode's `serial` (never held when a batch is committed), the journal, the namespace, an
//! inode's `state`. A rename that replaces has its source's data durable, or carried whole, before its batch is.

use crate::chunk::{Commit, Context, InodeId};
use crate::volume::format::batch::Builder;
use crate::volume::format::kinds::Kind;
use crate::volume::format::wire::TooLarge;
use crate::volume::inode::state::{Inode, Standing};
use crate::volume::journal::file::Journal;
use crate::volume::journal::pending::Pending;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result, Volume};
use hashbrown::{HashMap, HashSet};
use parking_lot::MutexGuard;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sources of replacing renames whose content a batch carries, at most: the others are flushed one by one.
const CARRIED_MOST: usize = 512;

/// What a batch under way holds, to be believed once it is durable.
struct Frozen {
    number: Commit,
    bytes: Vec<u8>,
    inodes: Vec<FrozenInode>,
    deleted: Vec<Arc<Inode>>,
    fresh: Vec<InodeId>,
    replacing: HashMap<InodeId, Arc<Inode>>,
}

struct FrozenInode {
    inode: Arc<Inode>,
    journalled: crate::volume::inode::state::Journalled,
    /// The change up to which the batch carries all of the inode.
    carried: u64,
    /// The change up to which it has to come from the batch if it is not in chunk 0: of a directory the entries.
    told: u64,
    was_heard_of: bool,
}

impl Volume {
    /// Commits everything pending as one batch; returns when it is durable. Content of `carry` goes with it, if it can.
    pub(in crate::volume) fn commit_batch(&self, carry: Option<&Arc<Inode>>) -> Result<()> {
        if self.try_batch(carry, false)?.is_none() {
            let mut unfinished = self.round.lock();
            // The round that was waited for may have made room.
            if self.try_batch(carry, false)?.is_none() {
                *unfinished = None;
                self.commit_in_room(carry)?;
            }
        }
        Ok(())
    }

    /// Commits an anchor, whether or not something is pending.
    pub(in crate::volume) fn commit_anchor(&self) -> Result<()> {
        let mut unfinished = self.round.lock();
        // It may be dropped here: no round can go on from it.
        *unfinished = None;
        self.commit_anchor_from().map(|_| ())
    }

    /// The same, within a round. Returns where the anchor starts.
    pub(in crate::volume) fn commit_anchor_from(&self) -> Result<u64> {
        match self.try_batch(None, true)? {
            Some(start) => Ok(start),
            None => self.commit_in_room(None),
        }
    }

    /// Commits what is pending in a round that goes on from the anchor of one that failed; returns the anchor to drop
    /// until.
    pub(in crate::volume) fn commit_behind(&self, anchor: u64) -> Result<u64> {
        match self.try_batch(None, false)? {
            Some(_) => Ok(anchor),
            None => self.commit_in_room(None),
        }
    }

    /// Commits an anchor that takes the place of everything in the journal, which is full. Within a round. Batches that
    /// others commit while it stores are not stored by it, and stay.
    fn commit_in_room(&self, carry: Option<&Arc<Inode>>) -> Result<u64> {
        let full = self.journal.lock().tail();
        self.store_all()?;
        self.journal.lock().replace_until(full)?;
        self.try_batch(carry, true)?.ok_or(Error::NoSpace)
    }

    /// As `commit_batch`; `None` if the journal has no room for it. An anchor repeats whatever older batches say that
    /// has not come to its end yet: orphans and reserved ids; everything before it can be dropped once it is stored
    /// elsewhere. Returns where the batch starts.
    pub(in crate::volume) fn try_batch(
        &self,
        carry: Option<&Arc<Inode>>,
        anchor: bool,
    ) -> Result<Option<u64>> {
        self.check_live()?;
        let (mut journal, mut pending) = self.freezable()?;
        let start = journal.tail();
        if pending.is_empty() && carry.is_none() && !anchor {
            return Ok(Some(start));
        }
        let anchor = anchor || journal.wants_anchor();
        let frozen = match self.freeze(&mut pending, carry, anchor) {
            Ok(frozen) => frozen,
            Err(error) => {
                self.stop(&error);
                return Err(error);
            }
        };
        drop(pending);
        if !journal.has_room(frozen.bytes.len()) {
            self.disbelieve(frozen);
            return Ok(None);
        }
        if mutants::is_active(Mutant::DeletedBeforeBatch) {
            frozen.deleted.iter().try_for_each(|inode| self.remove_files(inode))?;
        }
        match journal.append(&self.context, &frozen.bytes) {
            Ok(()) => {
                self.in_use.store(true, Ordering::Release);
                self.believe(frozen);
                if journal.is_filling() {
                    self.flusher.hurry();
                }
                Ok(Some(start))
            }
            Err(error) => {
                self.disbelieve(frozen);
                if !error.is_passing() {
                    self.stop(&error);
                }
                Err(error)
            }
        }
    }

    /// The journal and the namespace, once every source of a replacing rename is durable or can be carried.
    fn freezable(&self) -> Result<(MutexGuard<'_, Journal>, MutexGuard<'_, Pending>)> {
        loop {
            let journal = self.journal.lock();
            let pending = self.namespace.lock();
            let few = pending.replacing.len() <= CARRIED_MOST;
            let unready: Vec<Arc<Inode>> = pending
                .replacing
                .values()
                .filter(|inode| {
                    let state = inode.state.read();
                    // Chunks that chunk 0 named before it was cut are committed last.
                    let ready = state.progress.durable >= state.progress.substantial
                        && state.shrunk.is_none()
                        || state.lost.is_some()
                        || mutants::is_active(Mutant::ReplacedBeforeData);
                    !(ready || few && state.is_carryable())
                })
                .cloned()
                .collect();
            if unready.is_empty() {
                return Ok((journal, pending));
            }
            drop(pending);
            drop(journal);
            self.store_sources(&unready)?;
        }
    }

    /// On a full disk they get the room that the journal has ahead: what else waits for this batch may be what makes room.
    fn store_sources(&self, sources: &[Arc<Inode>]) -> Result<()> {
        match self.store(sources) {
            Ok(()) => Ok(()),
            Err(error) if error.is_passing() => {
                self.is_short.store(true, Ordering::Relaxed);
                if self.journal.lock().give_back()? { self.store(sources) } else { Err(error) }
            }
            Err(error) => {
                self.stop(&error);
                Err(error)
            }
        }
    }

    fn freeze(&self, pending: &mut Pending, carry: Option<&Arc<Inode>>, anchor: bool) -> Result<Frozen> {
        let number = self.context.next_commit();
        let mut batch = Builder::default();
        let mut frozen = Frozen {
            number,
            bytes: Vec::new(),
            inodes: Vec::new(),
            deleted: Vec::new(),
            fresh: Vec::new(),
            replacing: HashMap::new(),
        };
        if let Some(inode) = carry {
            pending.add(inode);
        }
        pending.bytes = 0;
        let mut unnamed = HashSet::new();
        let inodes: Vec<Arc<Inode>> = pending.inodes.drain().map(|(_, inode)| inode).collect();
        for inode in &inodes {
            let wanted = carry.is_some_and(|carry| carry.id() == inode.id())
                || pending.replacing.contains_key(&inode.id())
                    && !mutants::is_active(Mutant::ReplacedBeforeData);
            if inode.view(|record| record.links_count == 0) {
                unnamed.insert(inode.id());
            }
            let inode = freeze_inode(&mut batch, inode, number, wanted.then_some(&self.context));
            frozen.inodes.push(inode.map_err(too_large)?);
        }
        for (at, inode) in inodes.iter().filter(|inode| inode.is_directory()).enumerate() {
            if at > 0 && mutants::is_active(Mutant::BatchInTwo) {
                pending.add(inode);
                continue;
            }
            let mut state = inode.state.write();
            if let Some(listing) = &mut state.listing {
                listing.freeze(inode.id(), &mut batch).map_err(too_large)?;
            }
        }
        frozen.replacing = std::mem::take(&mut pending.replacing);
        frozen.deleted = std::mem::take(&mut pending.deleted);
        for inode in &frozen.deleted {
            batch.delete(inode.id(), chunks_of(inode, self.chunk_size)).map_err(too_large)?;
        }
        let repeat = anchor && !mutants::is_active(Mutant::AnchorRepeatsNothing);
        let orphans = pending.orphans.values().filter(|inode| repeat || unnamed.contains(&inode.id()));
        for inode in orphans.filter(|_| !mutants::is_active(Mutant::OrphanNotRecorded)) {
            batch.orphan(inode.id(), chunks_of(inode, self.chunk_size)).map_err(too_large)?;
        }
        frozen.fresh = pending.reserve.fresh();
        let mut reserved = frozen.fresh.clone();
        if repeat {
            let named: HashSet<InodeId> = inodes.iter().map(|inode| inode.id()).collect();
            reserved.extend(pending.reserve.all().filter(|id| !named.contains(id)));
        }
        if !reserved.is_empty() && !mutants::is_active(Mutant::ReserveNotRecorded) {
            batch.reserve(&reserved).map_err(too_large)?;
        }
        frozen.bytes = batch.finish(number);
        Ok(frozen)
    }

    /// The batch is durable.
    fn believe(&self, frozen: Frozen) {
        let named: Vec<InodeId> = frozen.inodes.iter().map(|frozen| frozen.inode.id()).collect();
        for FrozenInode { inode, journalled, carried, told, .. } in frozen.inodes {
            inode.grounded.store(true, Ordering::Release);
            let mut state = inode.state.write();
            state.journalled = journalled;
            state.record.namespace = frozen.number;
            if state.standing == Standing::Frozen {
                state.standing = Standing::Settled;
            }
            state.progress.durable = state.progress.durable.max(carried);
            state.progress.carried = state.progress.carried.max(told);
            if let Some(listing) = &mut state.listing {
                listing.thaw();
            }
            drop(state);
            self.queue(&inode);
        }
        self.namespace.lock().reserve.made_durable(&named, frozen.fresh);
        self.removals.lock().extend(frozen.deleted);
    }

    /// The batch came to nothing.
    fn disbelieve(&self, frozen: Frozen) {
        let mut pending = self.namespace.lock();
        pending.bytes += frozen.bytes.len();
        for FrozenInode { inode, was_heard_of, .. } in frozen.inodes {
            let mut state = inode.state.write();
            state.standing = Standing::Pending;
            // Its chunk files may come nevertheless, where its id is reserved: that makes room in a full journal.
            state.heard_of = was_heard_of || inode.grounded.load(Ordering::Acquire);
            if let Some(listing) = &mut state.listing {
                listing.refreeze();
            }
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

/// `carry`: with its content, if it can be.
fn freeze_inode(
    batch: &mut Builder,
    inode: &Arc<Inode>,
    number: Commit,
    carry: Option<&Context>,
) -> std::result::Result<FrozenInode, TooLarge> {
    let mut state = inode.state.write();
    let record = &state.record;
    let mut carried = 0;
    if record.links_count == 0 {
        // Its deletion, or that it is an orphan, is all that the batch says of it.
    } else if let Some(context) = carry.filter(|_| state.is_carryable()) {
        let content = state.head.as_deref().map_or(&[][..], |head| head.inline());
        // A number of its own, under the lock: a flush may have committed an older content since the batch has one.
        batch.inode(inode.id(), context.next_commit(), record, Some(content))?;
        carried = state.progress.made;
    } else if !state.named && !mutants::is_active(Mutant::NameWithoutInode) {
        let mut record = record.clone();
        if record.kind != Kind::Symlink {
            record.size = 0;
        }
        record.extension.vector.clear();
        batch.inode(inode.id(), Commit(0), &record, None)?;
    } else {
        batch.namespace(
            inode.id(),
            record.links_count,
            record.modified,
            record.changed,
            &record.extension.links,
        )?;
    }
    let journalled = crate::volume::inode::state::Journalled {
        links_count: state.record.links_count,
        links: state.record.extension.links.clone(),
        namespace: number,
    };
    state.standing = Standing::Frozen;
    let was_heard_of = std::mem::replace(&mut state.heard_of, true);
    let told = if state.record.kind == Kind::Directory { state.progress.made } else { carried };
    Ok(FrozenInode { inode: inode.clone(), journalled, carried, told, was_heard_of })
}

/// How many chunks an inode may have: one more than the highest index.
fn chunks_of(inode: &Inode, chunk_size: u64) -> u32 {
    let state = inode.state.read();
    let open = state.others.from(0).next_back().max(state.doomed.last().copied()).map_or(0, |last| last + 1);
    let sized = u32::try_from(state.record.size.div_ceil(chunk_size)).unwrap_or(u32::MAX);
    open.max(sized).max(1)
}

fn too_large(_: TooLarge) -> Error {
    Error::NoSpace
}
