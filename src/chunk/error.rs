//! What can be wrong with a chunk.

use super::{ChunkId, Commit};
use std::io;

/// A failure of a chunk, with the chunk it is about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no file of that name, nor is one known to have been there.
    #[error("{0:?} is missing")]
    Missing(ChunkId),
    /// There is no file of that name any more.
    #[error("{0:?} was deleted")]
    Deleted(ChunkId),
    /// It is older than a version known to have been durable.
    #[error("{id:?} is older than it was: {} instead of {}", found.0, known.0)]
    RolledBack { id: ChunkId, found: Commit, known: Commit },
    /// A creation or a copy is under way, or a client shows a placeholder for it: not all of it is there.
    #[error("{0:?} is incomplete")]
    Incomplete(ChunkId),
    /// Bytes that do not authenticate or make no sense.
    #[error("{0:?} is damaged: {1}")]
    Damaged(ChunkId, &'static str),
    /// The path names another file now than the one that is held open.
    #[error("{0:?} was replaced while it was open")]
    Replaced(ChunkId),
    /// An earlier fdatasync failed: nothing more can be promised of this chunk until it was recovered.
    #[error("{0:?}: an earlier write failed")]
    Failed(ChunkId),
    /// All slots are in use until the next durable commit: commit, sync, try again.
    #[error("{0:?} has no free slot before its next durable commit")]
    SlotsExhausted(ChunkId),
    /// Record, inline content and tables do not fit a root together.
    #[error("{0:?}: record, inline content and tables do not fit in the root")]
    TooLarge(ChunkId),
    /// The store's error.
    #[error("{0:?}: {1}")]
    Io(ChunkId, #[source] io::Error),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the disk is full, or a quota is used up.
    pub(super) fn is_lack_of_space(&self) -> bool {
        matches!(self, Error::Io(_, error) if Error::is_lack(error))
    }

    /// Whether the store failed for another reason than that something is used up.
    pub(super) fn is_of_the_store(&self) -> bool {
        let is_scarce = |number| matches!(number, libc::EMFILE | libc::ENFILE | libc::ENOMEM);
        matches!(self, Error::Io(_, error)
            if !Error::is_lack(error) && !error.raw_os_error().is_some_and(is_scarce))
    }

    pub(super) fn is_lack(error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
    }
}
