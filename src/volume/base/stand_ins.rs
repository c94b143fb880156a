//! Which chunk 0s the durable journal would make from a batch if they were gone (docs/FORMAT.md section 9).
//!
//! An inode record of a batch stands in for a chunk 0 that is not there yet. As soon as chunk 0 is durable it must not
//! any more, or what only chunk 0 has could be taken away and nobody would notice: a later batch says so, before
//! anything is acknowledged, unless the record has left the journal by then.

use crate::chunk::{Commit, InodeId};
use hashbrown::HashMap;

/// Guarded by a lock that is taken last, below an inode's state. Positions are in bytes of the journal's stream.
#[derive(Default)]
pub struct StandIns {
    live: HashMap<InodeId, StandIn>,
    /// Chunk 0 is durable by this commit, and no durable batch says so.
    untold: HashMap<InodeId, Commit>,
    /// Where the durable journal starts.
    head: u64,
}

/// The last inode record that a batch, durable or under way, has of an inode.
struct StandIn {
    /// Where the batch starts in the journal's stream.
    at: u64,
    /// Of the content that it carries; 0 if it carries none.
    commit: Commit,
}

impl StandIns {
    /// A batch that starts there has an inode record. Under the inode's state lock, so that it is in order with
    /// `is_durable`.
    pub fn put(&mut self, id: InodeId, at: u64, commit: Commit) {
        self.live.insert(id, StandIn { at, commit });
    }

    /// Chunk 0 of this inode is durable, with its name.
    pub fn is_durable(&mut self, id: InodeId, commit: Commit) {
        if self.live.get(&id).is_some_and(|stand_in| stand_in.commit < commit) {
            self.untold.insert(id, commit);
        }
    }

    /// Whether the durable journal may stand in for this chunk 0 although it is durable.
    pub fn is_untold(&self, id: InodeId) -> bool {
        self.untold.contains_key(&id)
    }

    pub fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// What the next batch has to say; it stays untold until that is durable.
    pub fn untold(&self) -> Vec<(InodeId, Commit)> {
        self.untold.iter().map(|(id, commit)| (*id, *commit)).collect()
    }

    /// The batch is durable that starts there and says this.
    pub fn told(&mut self, at: u64, durable: &[(InodeId, Commit)]) {
        for (id, commit) in durable {
            if self.untold.get(id) != Some(commit) {
                continue;
            }
            self.untold.remove(id);
            // One in the same batch may have been put there after that.
            if self.live.get(id).is_some_and(|stand_in| stand_in.at < at) {
                self.live.remove(id);
            }
        }
    }

    /// The durable journal starts there.
    pub fn dropped_until(&mut self, head: u64) {
        if std::mem::replace(&mut self.head, head) != head {
            self.live.retain(|_, stand_in| stand_in.at >= head);
            self.untold.retain(|id, _| self.live.contains_key(id));
        }
    }

    /// Whether anything before that place stands in for something.
    pub fn any_before(&self, position: u64) -> bool {
        self.live.values().any(|stand_in| stand_in.at < position)
    }
}
