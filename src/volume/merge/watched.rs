//! Files that may be in no folder, as each of two devices took away the name that the other one left: nobody deleted them.

use super::Merge;
use super::pinned::{Copies, KEPT_FOR, PATIENCE};
use crate::chunk::InodeId;
use crate::volume::Result;
use crate::volume::mutants::{self, Mutant};
use std::sync::atomic::Ordering;

impl Merge {
    /// Names those that have no name, once nothing came for ten minutes. Which need not be watched any more, once everything is
    /// durable: those that have a name, and of which nothing came for a day.
    pub(super) fn see_to_watched(&self, copies: &Copies) -> Result<Vec<InodeId>> {
        let mut seen_to = Vec::new();
        for id in self.base.context.recall.watched() {
            let is_coming = || copies.iter().any(|(copy, _)| copy.inode == id);
            match self.is_seen_to(id, &mut seen_to) {
                Err(error) if error.is_absence() && !is_coming() => seen_to.push(id),
                Err(error) if error.is_damage() => log::debug!("{id:?} may have no name: {error}"),
                done => done?,
            }
        }
        Ok(seen_to)
    }

    fn is_seen_to(&self, id: InodeId, seen_to: &mut Vec<InodeId>) -> Result<()> {
        let inode = self.cache.inode(id)?;
        if self.tombstone(id).is_some() || inode.state.read().is_going() {
            seen_to.push(id);
            return Ok(());
        }
        let age = self.age_of(id);
        if age < PATIENCE {
            self.waits.store(true, Ordering::Relaxed);
        } else if !mutants::is_active(Mutant::NamelessLeft) {
            match self.is_named_unless(&inode, |error| error.is_taken_away()) {
                Some(true) if age >= KEPT_FOR => seen_to.push(id),
                Some(false) if self.name_again(&inode, 0, &mut Vec::new())? => {
                    log::warn!("{id:?}: two devices took away one of its names each: it has one again");
                }
                _ => {}
            }
        }
        Ok(())
    }
}
