//! What may be in no folder, as each of two devices took away the name that the other one left: nobody deleted it.

use super::Merge;
use super::pinned::{Copies, KEPT_FOR, PATIENCE};
use crate::chunk::InodeId;
use crate::volume::Result;
use crate::volume::mutants::{self, Mutant};
use std::sync::atomic::Ordering;

impl Merge {
    /// Names what has no name, once nothing of it came for ten minutes. Of which that need not be remembered any more, once everything
    /// is durable: what has a name, and nothing of it came for a day; what was deleted.
    pub(super) fn name_nameless(&self, copies: &Copies) -> Result<Vec<InodeId>> {
        let mut done_with = Vec::new();
        for id in self.base.context.recall.maybe_nameless() {
            let is_coming = || copies.iter().any(|(copy, _)| copy.inode == id);
            match self.name_if_nameless(id) {
                Ok(true) => done_with.push(id),
                Ok(false) => {}
                Err(error) if error.is_absence() && !is_coming() => done_with.push(id),
                Err(error) if error.is_damage() => log::debug!("{id:?} may have no name: {error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(done_with)
    }

    /// Whether nothing more is to be done.
    fn name_if_nameless(&self, id: InodeId) -> Result<bool> {
        let inode = self.cache.inode(id)?;
        if self.tombstone(id).is_some() || inode.state.read().is_going() {
            return Ok(true);
        }
        let age = self.age_of(id);
        if age < PATIENCE {
            self.waits.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        if mutants::is_active(Mutant::NamelessLeft) {
            return Ok(false);
        }
        let is_named = self.is_named_unless(&inode, |error| error.is_taken_away());
        if is_named == Some(false) && self.name_again(&inode, 0, &mut Vec::new())? {
            log::warn!("{id:?}: other devices took away the names that were left here: it has one again");
        }
        Ok(is_named == Some(true) && age >= KEPT_FOR)
    }
}
