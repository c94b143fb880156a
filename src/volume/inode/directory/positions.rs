//! Positions of entries in the order in which they were made, for whoever guesses at what is wanted next: they change as entries are
//! removed.

use super::{Directory, Entry};
use std::ops::Range;

impl Directory {
    pub fn position_of(&self, name: &[u8]) -> Option<usize> {
        self.find(name)
    }

    /// The entries at these positions, those that there are.
    pub fn entries_at(&self, positions: Range<usize>) -> impl Iterator<Item = Entry<'_>> {
        let end = positions.end.min(self.slots.len());
        self.slots[positions.start.min(end)..end].iter().filter_map(|slot| self.entry(slot))
    }
}
