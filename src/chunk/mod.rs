//! The chunk file: a small copy-on-write store of 4096-byte blocks (docs/FORMAT.md sections 5 and 6).
//!
//! Knows roots, maps, slots, commits and recovery; not what the bytes mean. Above: `volume`. Below: `crypto`, `store`.

mod blocks;
mod cache;
#[allow(clippy::module_inception)]
mod chunk;
mod commit;
mod context;
mod entry;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod headroom;
mod ids;
mod kept;
#[cfg(test)]
pub(crate) mod limits;
#[cfg(not(test))]
mod limits;
pub(crate) mod mutants;
mod open;
mod recall;
mod reclaim;
mod recover;
#[cfg(test)]
pub(crate) mod remembered;
mod room;
mod root;
mod slots;
mod table;
#[cfg(test)]
mod tests;
mod unsynced;
mod vector;
mod write;

/// What tells whether the file of a chunk was changed.
pub use crate::store::Marks;
pub use chunk::Chunk;
pub use commit::Sync;
pub use context::Context;
pub use error::{Error, Result};
pub use headroom::{Headroom, Hold, Wish};
pub use ids::{
    BlockCount, BlockNumber, ChunkCount, ChunkId, ChunkIndex, Commit, DeviceId, InodeId, Relation,
    StoredVersion, Version,
};
pub use recall::{Forgetful, ReadOnly, Recall, Tombstone};
pub use room::{NEW_FILE, room_for};

/// Bytes of a block.
pub const BLOCK: usize = 4096;

/// A logical space of a chunk; its blocks are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// The content of a file, a directory or a journal.
    Data,
    /// Whatever of an inode outgrows the root.
    Metadata,
}
