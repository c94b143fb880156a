//! What a journal's batches amount to in the end: which inodes they delete, reserve, and know to have been durable.

use crate::chunk::{Commit, InodeId};
use crate::volume::format::batch::{Batch, Item};
use hashbrown::{HashMap, HashSet};

/// What is true at the end of a journal.
pub struct Ended {
    pub ids: HashSet<InodeId>,
    /// Reserved, but no batch names them.
    pub reserved: HashSet<InodeId>,
    /// Whose chunk 0 was durable, and by which commit.
    pub durable: HashMap<InodeId, Commit>,
}

impl Ended {
    pub fn of(batches: &[Batch<'_>]) -> Ended {
        let mut gone = Ended { ids: HashSet::new(), reserved: HashSet::new(), durable: HashMap::new() };
        for item in batches.iter().flat_map(|batch| &batch.items) {
            match item {
                Item::Delete { inode, .. } | Item::Orphan { inode, .. } => {
                    gone.ids.insert(*inode);
                    gone.reserved.remove(inode);
                }
                Item::Inode { inode, .. } | Item::Namespace { inode, .. } => {
                    gone.reserved.remove(inode);
                }
                Item::Reserve(ids) => gone.reserved.extend(ids),
                Item::Durable(inodes) => inodes.iter().for_each(|(inode, commit)| {
                    let durable = gone.durable.entry(*inode).or_insert(*commit);
                    *durable = (*durable).max(*commit);
                }),
                Item::Directory { .. } | Item::Aside { .. } | Item::Deletion(_) => {}
            }
        }
        gone
    }

    pub fn has(&self, id: InodeId) -> bool {
        self.ids.contains(&id)
    }
}
