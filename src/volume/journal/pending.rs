//! What the next batch has to say: collected under the namespace lock by every operation that changes names.

use crate::chunk::InodeId;
use crate::volume::inode::state::Inode;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// Ids reserved at a time: a new file's first write wants one. A batch that reserves is small, and crashes are rare.
const RESERVE: usize = 256;

/// Guarded by the namespace lock, which every operation that changes names holds, and a freeze too.
#[derive(Default)]
pub(in crate::volume) struct Pending {
    /// Inodes whose namespace part changed, directories whose entries did.
    pub inodes: HashMap<InodeId, Arc<Inode>>,
    /// Inodes that replaced another by rename: their data has to be durable before the batch is.
    pub replacing: HashMap<InodeId, Arc<Inode>>,
    /// Without a name, and nobody knows them any more: to be deleted.
    pub deleted: Vec<Arc<Inode>>,
    /// Without a name, but somebody knows them.
    pub orphans: HashMap<InodeId, Arc<Inode>>,
    pub reserve: Reserve,
    /// What the next batch takes at the most, about.
    pub bytes: usize,
}

/// Inode ids of which durable batches say that chunk files may exist.
#[derive(Default)]
pub(in crate::volume) struct Reserve {
    unused: Vec<InodeId>,
    /// Used, but no batch names the inode yet.
    outstanding: HashSet<InodeId>,
}

impl Pending {
    /// Whether the next batch has anything to say.
    pub fn is_empty(&self) -> bool {
        self.inodes.is_empty() && self.deleted.is_empty()
    }

    pub fn add(&mut self, inode: &Arc<Inode>) {
        self.inodes.entry(inode.id()).or_insert_with(|| inode.clone());
    }
}

impl Reserve {
    /// An id for a new inode, and whether it is reserved durably.
    pub fn take(&mut self) -> (InodeId, bool) {
        match self.unused.pop() {
            Some(id) => {
                self.outstanding.insert(id);
                (id, true)
            }
            None => (InodeId::random(), false),
        }
    }

    /// The inode is gone without a batch that named it.
    pub fn settle(&mut self, id: InodeId) {
        self.outstanding.remove(&id);
    }

    /// Fresh ids for the next batch to reserve, if they are running out.
    pub fn fresh(&self) -> Vec<InodeId> {
        let wanted = if self.unused.len() < RESERVE / 2 { RESERVE } else { 0 };
        (0..wanted).map(|_| InodeId::random()).collect()
    }

    /// The batch is durable that names some inodes and reserves fresh ids.
    pub fn made_durable(&mut self, named: &[InodeId], fresh: Vec<InodeId>) {
        named.iter().for_each(|id| self.settle(*id));
        self.unused.extend(fresh);
    }

    /// All that is reserved and not settled.
    pub fn all(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.unused.iter().chain(&self.outstanding).copied()
    }
}
