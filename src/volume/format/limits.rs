//! The limits of docs/FORMAT.md section 10 that concern inodes, directories and the journal, and sizes at which something
//! that is rare otherwise happens: tests lower those.

use crate::chunk::{BlockCount, ChunkIndex};

/// Bytes of a name.
pub const NAME_MAX: usize = 255;
/// Bytes of a symlink's target.
pub const TARGET_MAX: usize = 4095;
/// Bytes of an xattr's name.
pub const XATTR_NAME_MAX: usize = 255;
/// Bytes of an xattr's value.
pub const XATTR_VALUE_MAX: usize = 65_536;
/// Bytes of a record that the root of a chunk has room for.
pub const ROOT_MAX: usize = 1024;
/// Bytes of a record's extension: xattrs, links and whatever else varies in length.
pub const EXTENSION_MAX: usize = 262_144;
/// Devices in a directory's vector.
pub const DEVICES_MAX: usize = 255;
/// Bytes of a device's label.
pub const LABEL_MAX: usize = 64;
/// Data blocks of a journal.
pub const JOURNAL_BLOCKS: BlockCount = BlockCount(4096);
/// Bytes of a batch: all of the journal's data blocks.
pub const BATCH_MAX: usize = JOURNAL_BLOCKS.0 as usize * 4096;
/// Entries of a page of the chunk table.
pub const PER_PAGE: u32 = 512;
/// Pages of a chunk table at most.
pub const PAGES: u32 = 4096;
/// The highest chunk index a table can name.
pub const LAST_INDEX: ChunkIndex = ChunkIndex(PAGES * PER_PAGE);

/// Live bytes of the journal at most, with room to spare for the partial blocks at both ends.
pub const JOURNAL: u64 = (JOURNAL_BLOCKS.0 as u64 - 2) * 4096;
/// A directory's tail in chunk 0: beyond this it moves into a segment.
pub const TAIL: usize = 16 << 10;
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
