//! What the next batch has to say: collected under the namespace lock by every operation that changes names.

use crate::chunk::{BLOCK, Headroom, Hold, InodeId, Wish, room_for};
use crate::volume::Result;
use crate::volume::inode::state::Inode;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// Ids reserved at a time, at least and at most: twice as many as before each time that they ran out. Few, because each
/// checkpoint batch repeats them, and a sync client copies it.
const RESERVE: std::ops::RangeInclusive<usize> = 32..=256;

/// What one change takes in a batch, and what a batch begins and repeats with.
const CHANGE_MOST: usize = 4 * BLOCK;

/// Guarded by the namespace lock, which every operation that changes names holds, and a freeze too.
#[derive(Default)]
pub struct Pending {
    /// Inodes whose namespace part changed, directories whose entries did.
    pub inodes: HashMap<InodeId, Arc<Inode>>,
    /// Inodes that replaced another by rename: their data has to be durable before the batch is.
    pub replacing: HashMap<InodeId, Arc<Inode>>,
    /// Without a name, and nobody knows them any more: to be deleted.
    pub deleted: Vec<Arc<Inode>>,
    /// Without a name, but somebody knows them.
    pub orphans: HashMap<InodeId, Arc<Inode>>,
    /// Made without a name and not given one yet: no batch speaks of them, and their ids stay reserved.
    pub nameless: HashMap<InodeId, Arc<Inode>>,
    pub reserve: Reserve,
    /// What the next batch takes at the most, about.
    pub bytes: usize,
    /// Space for it.
    pub hold: Hold,
}

/// Inode ids of which durable batches say that chunk files may exist.
pub struct Reserve {
    /// How many are reserved at a time.
    step: usize,
    /// One was taken since the last checkpoint batch.
    is_used: bool,
    /// Somebody waits for more.
    is_short: bool,
    unused: Vec<InodeId>,
    /// Used, but no batch names the inode yet.
    outstanding: HashSet<InodeId>,
}

impl Pending {
    /// Whether the next batch has anything to say.
    pub fn is_empty(&self) -> bool {
        self.inodes.is_empty() && self.deleted.is_empty() && !self.reserve.is_short
    }

    /// Holds space for the next batch with one change more; `more` blocks if that is the first.
    ///
    /// # Errors
    ///
    /// The store's, if there is none.
    pub fn hold_room(&mut self, headroom: &Arc<Headroom>, more: u64, wish: Wish) -> Result<()> {
        let blocks = room_for((self.bytes + CHANGE_MOST).div_ceil(BLOCK) as u64);
        Ok(self.hold.grow_to(headroom, blocks + more, wish)?)
    }

    /// Nobody will use the inodes without a name any more.
    pub fn delete_orphans(&mut self) {
        self.deleted.extend(self.orphans.drain().chain(self.nameless.drain()).map(|(_, inode)| inode));
    }

    pub fn add(&mut self, inode: &Arc<Inode>) {
        self.inodes.entry(inode.id()).or_insert_with(|| inode.clone());
    }
}

impl Default for Reserve {
    fn default() -> Reserve {
        let (unused, outstanding) = (Vec::new(), HashSet::new());
        Reserve { step: *RESERVE.start(), is_used: false, is_short: false, unused, outstanding }
    }
}

impl Reserve {
    /// An id for a new inode, and whether it is reserved durably.
    pub fn take(&mut self) -> (InodeId, bool) {
        self.is_used = true;
        match self.unused.pop() {
            Some(id) => {
                self.outstanding.insert(id);
                (id, true)
            }
            None => {
                self.step = (2 * self.step).min(*RESERVE.end());
                (InodeId::random(), false)
            }
        }
    }

    /// The same of an id that is reserved durably; none if they ran out: the next batch reserves more.
    pub fn take_durable(&mut self) -> Option<InodeId> {
        self.is_short = self.unused.is_empty();
        if self.is_short {
            self.step = (2 * self.step).min(*RESERVE.end());
        }
        let id = self.unused.pop()?;
        self.is_used = true;
        self.outstanding.insert(id);
        Some(id)
    }

    /// The inode is gone without a batch that named it.
    pub fn forget(&mut self, id: InodeId) {
        self.outstanding.remove(&id);
    }

    /// Fresh ids for the next batch to reserve, if they are running out.
    pub fn fresh(&self) -> Vec<InodeId> {
        let wanted = if self.unused.len() < self.step / 2 { self.step } else { 0 };
        (0..wanted).map(|_| InodeId::random()).collect()
    }

    /// The batch is durable that names some inodes and reserves fresh ids.
    pub fn made_durable(&mut self, named: &[InodeId], fresh: Vec<InodeId>) {
        named.iter().for_each(|id| self.forget(*id));
        self.unused.extend(fresh);
        self.is_short &= self.unused.is_empty();
    }

    /// Before a checkpoint batch, which repeats them: lets go of most of those that nobody wants.
    pub fn rest(&mut self) {
        if !std::mem::replace(&mut self.is_used, false) {
            self.step = *RESERVE.start();
            self.unused.truncate(self.step);
        }
    }

    /// All that is reserved and not yet known to be unused.
    pub fn all(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.unused.iter().chain(&self.outstanding).copied()
    }
}
