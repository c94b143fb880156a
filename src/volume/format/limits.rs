//! Sizes at which something that is rare otherwise happens: tests lower them.

/// Entries of a page of the chunk table.
pub const PER_PAGE: u32 = 512;
/// Pages of a chunk table at most.
pub const PAGES: u32 = 4096;
/// The highest chunk index a table can name.
pub const LAST_INDEX: u32 = PAGES * PER_PAGE;

/// Live bytes of the journal at most, with room to spare for the partial blocks at both ends.
pub const JOURNAL: u64 = (4096 - 2) * 4096;
/// A directory's tail in chunk 0: beyond this it moves into a segment.
pub const TAIL: usize = 256 << 10;
/// Log bytes beyond which a directory's log is compacted once twice as long as it need be.
pub const COMPACT: u64 = 64 << 10;

#[cfg(not(test))]
pub fn journal() -> u64 {
    JOURNAL
}

#[cfg(not(test))]
pub fn tail() -> usize {
    TAIL
}

#[cfg(not(test))]
pub fn compact() -> u64 {
    COMPACT
}

#[cfg(test)]
pub use lowered::{compact, journal, lower, tail};

#[cfg(test)]
mod lowered {
    use super::{COMPACT, JOURNAL, TAIL};
    use std::cell::Cell;

    thread_local!(static LIMITS: Cell<(u64, usize, u64)> = const { Cell::new((JOURNAL, TAIL, COMPACT)) });

    pub fn journal() -> u64 {
        LIMITS.get().0
    }

    pub fn tail() -> usize {
        LIMITS.get().1
    }

    pub fn compact() -> u64 {
        LIMITS.get().2
    }

    /// The limits of this thread from now on: of the journal, of a tail, of a log.
    pub fn lower(journal: u64, tail: usize, compact: u64) {
        LIMITS.set((journal, tail, compact));
    }
}
