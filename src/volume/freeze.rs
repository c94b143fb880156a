//! Freezing what is pending into a batch and committing it: the moment at which it happened.
//!
//! Locks, in this order: an inode's `serial` (never held when a batch is committed), the journal, the namespace, an
//! inode's `state`. A rename that replaces has its source's data durable, or carried whole, before its batch is.

use super::batch::Builder;
use super::inode::{Inode, Standing};
use super::journal::Journal;
use super::kinds::Kind;
use super::pending::Pending;
use super::wire::TooLarge;
use super::{Error, Result, Volume};
use crate::chunk::{Commit, InodeId};
use hashbrown::HashSet;
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
}

struct FrozenInode {
    inode: Arc<Inode>,
    journalled: super::inode::Journalled,
    /// The change up to which the batch carries all of the inode.
    carried: u64,
}

impl Volume {
    /// Commits everything pending as one batch; returns when it is durable. Content of `carry` goes with it, if it can.
    pub(super) fn commit_batch(&self, carry: Option<&Arc<Inode>>) -> Result<()> {
        self.commit_batch_from(carry, false).map(|_| ())
    }

    /// As `commit_batch`. An anchor repeats whatever older batches say that has not come to its end yet: orphans and
    /// reserved ids; everything before it can be dropped once it is stored elsewhere. Returns where the batch starts.
    pub(super) fn commit_batch_from(&self, carry: Option<&Arc<Inode>>, anchor: bool) -> Result<u64> {
        self.check_live()?;
        let (mut journal, mut pending) = self.freezable()?;
        let start = journal.tail();
        if pending.is_empty() && carry.is_none() && !anchor {
            return Ok(start);
        }
        let frozen = match self.freeze(&mut pending, carry, anchor) {
            Ok(frozen) => frozen,
            Err(error) => {
                self.stop(&error);
                return Err(error);
            }
        };
        drop(pending);
        let outcome = match journal.has_room(frozen.bytes.len()) {
            true => journal.append(&self.context, &frozen.bytes),
            false => Err(Error::NoSpace),
        };
        match outcome {
            Ok(()) => {
                self.believe(frozen);
                if journal.is_filling() {
                    self.flusher.hurry();
                }
                Ok(start)
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
                    state.progress.durable < state.progress.substantial && !(few && state.is_carryable())
                })
                .cloned()
                .collect();
            if unready.is_empty() {
                return Ok((journal, pending));
            }
            drop(pending);
            drop(journal);
            self.flush(&unready)?;
        }
    }

    fn freeze(&self, pending: &mut Pending, carry: Option<&Arc<Inode>>, anchor: bool) -> Result<Frozen> {
        let number = self.context.next_commit();
        let mut batch = Builder::default();
        let mut frozen =
            Frozen { number, bytes: Vec::new(), inodes: Vec::new(), deleted: Vec::new(), fresh: Vec::new() };
        if let Some(inode) = carry {
            pending.add(inode);
        }
        let mut unnamed = HashSet::new();
        let inodes: Vec<Arc<Inode>> = pending.inodes.drain().map(|(_, inode)| inode).collect();
        for inode in &inodes {
            let wanted = carry.is_some_and(|carry| carry.id() == inode.id())
                || pending.replacing.contains_key(&inode.id());
            if inode.view(|record| record.links_count == 0) {
                unnamed.insert(inode.id());
            }
            frozen.inodes.push(freeze_inode(&mut batch, inode, number, wanted).map_err(too_large)?);
            pending.reserve.settle(inode.id());
        }
        for inode in inodes.iter().filter(|inode| inode.is_directory()) {
            let mut state = inode.state.write();
            if let Some(listing) = &mut state.listing {
                listing.freeze(inode.id(), &mut batch).map_err(too_large)?;
            }
        }
        pending.replacing.clear();
        frozen.deleted = std::mem::take(&mut pending.deleted);
        for inode in &frozen.deleted {
            batch.delete(inode.id(), chunks_of(inode, self.chunk_size)).map_err(too_large)?;
        }
        let orphans = pending.orphans.values().filter(|inode| anchor || unnamed.contains(&inode.id()));
        for inode in orphans {
            batch.orphan(inode.id(), chunks_of(inode, self.chunk_size)).map_err(too_large)?;
        }
        frozen.fresh = pending.reserve.fresh();
        let mut reserved = frozen.fresh.clone();
        if anchor {
            reserved.extend(pending.reserve.all());
        }
        if !reserved.is_empty() {
            batch.reserve(&reserved).map_err(too_large)?;
        }
        frozen.bytes = batch.finish(number);
        Ok(frozen)
    }

    /// The batch is durable.
    fn believe(&self, frozen: Frozen) {
        for FrozenInode { inode, journalled, carried } in frozen.inodes {
            inode.grounded.store(true, Ordering::Release);
            let mut state = inode.state.write();
            state.journalled = journalled;
            state.record.namespace = frozen.number;
            if state.standing == Standing::Frozen {
                state.standing = Standing::Settled;
            }
            state.progress.durable = state.progress.durable.max(carried);
            if let Some(listing) = &mut state.listing {
                listing.thaw();
            }
            drop(state);
            self.queue(&inode);
        }
        self.namespace.lock().reserve.add(frozen.fresh);
        self.removals.lock().extend(frozen.deleted);
    }

    /// The batch came to nothing.
    fn disbelieve(&self, frozen: Frozen) {
        let mut pending = self.namespace.lock();
        for FrozenInode { inode, .. } in frozen.inodes {
            let mut state = inode.state.write();
            state.standing = Standing::Pending;
            if let Some(listing) = &mut state.listing {
                listing.refreeze();
            }
            drop(state);
            pending.add(&inode);
        }
        pending.deleted.extend(frozen.deleted);
    }
}

fn freeze_inode(
    batch: &mut Builder,
    inode: &Arc<Inode>,
    number: Commit,
    carry: bool,
) -> std::result::Result<FrozenInode, TooLarge> {
    let mut state = inode.state.write();
    let record = &state.record;
    let mut carried = 0;
    if record.links_count == 0 {
        // Its deletion, or that it is an orphan, is all that the batch says of it.
    } else if carry && state.is_carryable() {
        let content = state.head.as_ref().map_or(&[][..], |head| head.inline());
        batch.inode(inode.id(), number, record, Some(content))?;
        carried = state.progress.made;
    } else if !state.named {
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
    let journalled = super::inode::Journalled {
        links_count: state.record.links_count,
        links: state.record.extension.links.clone(),
        namespace: number,
    };
    state.standing = Standing::Frozen;
    state.heard_of = true;
    Ok(FrozenInode { inode: inode.clone(), journalled, carried })
}

/// How many chunks an inode may have: one more than the highest index.
fn chunks_of(inode: &Inode, chunk_size: u64) -> u32 {
    let state = inode.state.read();
    let open = state.others.keys().next_back().map_or(0, |last| last + 1);
    let sized = u32::try_from(state.record.size.div_ceil(chunk_size)).unwrap_or(u32::MAX);
    open.max(sized).max(1)
}

fn too_large(_: TooLarge) -> Error {
    Error::NoSpace
}
