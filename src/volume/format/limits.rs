//! Sizes at which something that is rare otherwise happens: tests lower them.

/// Live bytes of the journal at most, with room to spare for the partial blocks at both ends.
pub(in crate::volume) const JOURNAL: u64 = (4096 - 2) * 4096;
/// A directory's tail in chunk 0: beyond this it moves into a segment.
pub(in crate::volume) const TAIL: usize = 256 << 10;
/// Log bytes beyond which a directory's log is compacted once twice as long as it need be.
pub(in crate::volume) const COMPACT: u64 = 64 << 10;

#[cfg(not(test))]
pub(in crate::volume) fn journal() -> u64 {
    JOURNAL
}

#[cfg(not(test))]
pub(in crate::volume) fn tail() -> usize {
    TAIL
}

#[cfg(not(test))]
pub(in crate::volume) fn compact() -> u64 {
    COMPACT
}

#[cfg(test)]
pub(in crate::volume) use lowered::{compact, journal, lower, tail};

#[cfg(test)]
mod lowered {
    use super::{COMPACT, JOURNAL, TAIL};
    use std::cell::Cell;

    thread_local!(static LIMITS: Cell<(u64, usize, u64)> = const { Cell::new((JOURNAL, TAIL, COMPACT)) });

    pub(in crate::volume) fn journal() -> u64 {
        LIMITS.get().0
    }

    pub(in crate::volume) fn tail() -> usize {
        LIMITS.get().1
    }

    pub(in crate::volume) fn compact() -> u64 {
        LIMITS.get().2
    }

    /// The limits of this thread from now on: of the journal, of a tail, of a log.
    pub(in crate::volume) fn lower(journal: u64, tail: usize, compact: u64) {
        LIMITS.set((journal, tail, compact));
    }
}
