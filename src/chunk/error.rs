//! What can be wrong with a chunk.

use super::{ChunkId, Commit};
use std::{fmt, io};

/// A failure of a chunk, with the chunk it is about.
#[derive(Debug)]
pub enum Error {
    /// There is no file of that name, nor is one known to have been there.
    Missing(ChunkId),
    /// There is no file of that name any more.
    Deleted(ChunkId),
    /// It is older than a version known to have been durable.
    RolledBack { id: ChunkId, found: Commit, known: Commit },
    /// A creation or a copy is under way: not all of it is there.
    Incomplete(ChunkId),
    /// Bytes that do not authenticate or make no sense.
    Damaged(ChunkId, &'static str),
    /// The path names another file now than the one that is held open.
    Replaced(ChunkId),
    /// An earlier write or fdatasync failed: nothing more can be promised of this chunk.
    Failed(ChunkId),
    /// All slots are in use until the next durable commit: commit, sync, try again.
    SlotsExhausted(ChunkId),
    /// Record, inline content and tables do not fit a root together.
    TooLarge(ChunkId),
    /// The store's error.
    Io(ChunkId, io::Error),
}

pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing(id) => write!(f, "{id:?} is missing"),
            Error::Deleted(id) => write!(f, "{id:?} was deleted"),
            Error::RolledBack { id, found, known } => {
                write!(f, "{id:?} is older than it was: {} instead of {}", found.0, known.0)
            }
            Error::Incomplete(id) => write!(f, "{id:?} is incomplete"),
            Error::Damaged(id, what) => write!(f, "{id:?} is damaged: {what}"),
            Error::Replaced(id) => write!(f, "{id:?} was replaced while it was open"),
            Error::Failed(id) => write!(f, "{id:?} failed before"),
            Error::SlotsExhausted(id) => write!(f, "{id:?} has no free slot before its next durable commit"),
            Error::TooLarge(id) => write!(f, "{id:?} has more in its root than fits"),
            Error::Io(id, error) => write!(f, "{id:?}: {error}"),
        }
    }
}

impl std::error::Error for Error {}
