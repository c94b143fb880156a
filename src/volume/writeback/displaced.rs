//! Content that gives way: a sync client put another device's version in the place of a file that was written here and is
//! not stored yet. That version is shown from then on, and what was written is saved beside it, as merging does with every
//! version that lost its place.

use super::Writeback;
use crate::chunk::{ChunkId, ChunkIndex, Commit, Relation};
use crate::volume::base::Aside;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Kind, Result};
use std::sync::Arc;

/// What became of content that was to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaveWay {
    /// Nothing that could take its place is there.
    Not,
    /// It waits in memory to be saved.
    InMemory,
    /// Nothing of it is unsaved once the next batch is durable, which has it.
    WithNextBatch,
}

impl Writeback {
    /// Goes on with what a client put in the place of a file, directories aside. A checkpoint batch is to follow within a
    /// checkpoint that has committed its own already.
    pub fn give_way(&self, inode: &Arc<Inode>) -> Result<GaveWay> {
        let id = ChunkId::first(inode.id());
        let _serial = inode.serial.lock();
        // An operation that changes names counts on what it loaded.
        let _names = self.journal.names();
        let mut state = inode.state.write();
        let is_wanted = state.lost.is_none() && state.recorded && state.record.links_count > 0;
        if !is_wanted || state.record.kind == Kind::Directory || mutants::is_active(Mutant::UnstoredDropped) {
            return Ok(GaveWay::Not);
        }
        let found = match self.cache.load_anew(inode, false) {
            Err(error) if error.is_damage() => return Ok(GaveWay::Not),
            found => found?,
        };
        // What is known already is no other device's work: an attacker may put it there.
        let is_news =
            matches!(found.version().compare(state.version()), Relation::Newer | Relation::Concurrent);
        if found.record.kind != state.record.kind || !is_news {
            return Ok(GaveWay::Not);
        }
        let open: Vec<ChunkIndex> = state.extra_chunks.from(ChunkIndex::FIRST).collect();
        let stamp = self.base.stamp();
        let own = state.give_way(found, stamp);
        drop(state);
        open.into_iter().for_each(|index| self.cache.closed(ChunkId { index, ..id }));
        self.cache.gave_way(id);
        let Some(own) = own else { return Ok(GaveWay::WithNextBatch) };
        log::info!(
            "{id:?}: another device's version takes the place of what was not stored yet, which is saved beside it"
        );
        let outcome = self.keep_displaced(inode, own, stamp.commit);
        self.base.schedule.merge();
        Ok(outcome)
    }

    /// In the next batch, if a batch can carry it.
    fn keep_displaced(&self, inode: &Arc<Inode>, own: State, commit: Commit) -> GaveWay {
        let mut withheld = self.base.withheld.lock();
        let carried =
            own.first_chunk.as_deref().filter(|_| own.is_carryable() && !withheld.has_aside(inode.id()));
        match carried {
            Some(first_chunk) => {
                let content = first_chunk.inline().to_vec();
                withheld.set_aside(inode.id(), Aside { commit, record: own.record.clone(), content });
                GaveWay::WithNextBatch
            }
            None => {
                drop(withheld);
                self.displaced.lock().push(Arc::new(Inode::new(inode.id(), own, true)));
                GaveWay::InMemory
            }
        }
    }

    /// What waits in memory to be saved.
    pub fn displaced(&self) -> Vec<Arc<Inode>> {
        self.displaced.lock().clone()
    }

    /// It is saved.
    pub fn displaced_is_saved(&self, saved: &Arc<Inode>) {
        self.displaced.lock().retain(|inode| !Arc::ptr_eq(inode, saved));
    }
}
