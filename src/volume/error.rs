//! What can go wrong in a volume.

use crate::chunk::{self, ChunkId, Commit};
use crate::volume::inode::directory::Refused;
use std::{fmt, io};

/// A failure of a volume's operation.
#[derive(Debug)]
pub enum Error {
    NotFound,
    Exists,
    NotDirectory,
    IsDirectory,
    NotEmpty,
    Invalid,
    NameTooLong,
    FileTooLarge,
    TooManyLinks,
    NoSpace,
    ReadOnly,
    /// Something that should be there is missing, was changed, or makes no sense.
    Damaged(ChunkId, Damage),
    /// A copy of the backing folder is under way: this part has not arrived yet, or is gone without this device ever
    /// having seen it.
    NotArrived(ChunkId),
    /// An earlier error made it impossible to keep promises: the volume answers nothing but reads any more.
    Stopped,
    /// The store's error.
    Store(io::Error),
}

/// What was done to a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Its file was there, and is gone.
    Deleted,
    /// It is older than it was on this device, or than what refers to it says.
    RolledBack { found: Commit, known: Commit },
    /// Its file was exchanged while it was open.
    Replaced,
    /// It does not authenticate, or makes no sense.
    Spoilt(String),
}

/// The result of a volume's operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The chunk that is damaged or has not arrived.
    pub(in crate::volume) fn chunk(&self) -> Option<ChunkId> {
        match self {
            Error::Damaged(id, _) | Error::NotArrived(id) => Some(*id),
            _ => None,
        }
    }

    /// Whether the same call may succeed later, with nothing lost in between.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::NoSpace => true,
            Error::Store(error) => {
                let number = error.raw_os_error();
                let scarce =
                    matches!(number, Some(libc::EDQUOT | libc::EMFILE | libc::ENFILE | libc::ENOMEM));
                scarce || self.is_refusal()
            }
            _ => false,
        }
    }

    /// Whether the disk or a quota is full.
    pub(in crate::volume) fn is_lack_of_space(&self) -> bool {
        match self {
            Error::NoSpace => true,
            Error::Store(error) => error.raw_os_error() == Some(libc::EDQUOT),
            _ => false,
        }
    }

    /// Whether the owner of a file or folder, or its modes, are in the way.
    pub(in crate::volume) fn is_refusal(&self) -> bool {
        let Error::Store(error) = self else { return false };
        matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
    }

    /// Whether it speaks of one chunk, and of nothing else.
    pub(in crate::volume) fn is_damage(&self) -> bool {
        self.chunk().is_some()
    }

    /// A passing error, or damage, once more for each of those that it keeps from something.
    pub(in crate::volume) fn again(&self) -> Error {
        match self {
            Error::Damaged(chunk, damage) => Error::Damaged(*chunk, damage.clone()),
            Error::NotArrived(chunk) => Error::NotArrived(*chunk),
            Error::Store(error) => match error.raw_os_error() {
                Some(number) => Error::Store(io::Error::from_raw_os_error(number)),
                None => Error::Store(error.kind().into()),
            },
            _ => Error::NoSpace,
        }
    }
}

impl From<chunk::Error> for Error {
    fn from(error: chunk::Error) -> Error {
        match error {
            chunk::Error::Deleted(id) => Error::Damaged(id, Damage::Deleted),
            chunk::Error::RolledBack { id, found, known } => {
                Error::Damaged(id, Damage::RolledBack { found, known })
            }
            chunk::Error::Missing(id) | chunk::Error::Incomplete(id) => Error::NotArrived(id),
            chunk::Error::Damaged(id, what) => Error::Damaged(id, what.into()),
            chunk::Error::Replaced(id) => Error::Damaged(id, Damage::Replaced),
            chunk::Error::Failed(_) => Error::Stopped,
            chunk::Error::SlotsExhausted(_) | chunk::Error::TooLarge(_) => Error::NoSpace,
            chunk::Error::Io(_, error) => error.into(),
        }
    }
}

impl From<&str> for Damage {
    fn from(what: &str) -> Damage {
        Damage::Spoilt(what.into())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::Exists => Error::Exists,
            Refused::NotAName => Error::Invalid,
            Refused::Full => Error::NoSpace,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.raw_os_error() {
            Some(libc::ENOSPC) => Error::NoSpace,
            Some(libc::EROFS) => Error::ReadOnly,
            _ => Error::Store(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotFound => f.write_str("no such name"),
            Error::Exists => f.write_str("the name exists"),
            Error::NotDirectory => f.write_str("not a directory"),
            Error::IsDirectory => f.write_str("a directory"),
            Error::NotEmpty => f.write_str("the directory is not empty"),
            Error::Invalid => f.write_str("invalid"),
            Error::NameTooLong => f.write_str("the name is too long"),
            Error::FileTooLarge => f.write_str("the file would be too large"),
            Error::TooManyLinks => f.write_str("too many links"),
            Error::NoSpace => f.write_str("no space left in the backing folder"),
            Error::ReadOnly => f.write_str("the volume is read-only"),
            Error::Damaged(id, what) => write!(f, "{id:?}: {what}"),
            Error::NotArrived(id) => write!(f, "{id:?} has not arrived yet"),
            Error::Stopped => f.write_str("the volume stopped after an error it could not recover from"),
            Error::Store(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Deleted => f.write_str("its chunk file is gone"),
            Damage::RolledBack { found, known } => {
                write!(f, "it is older than it was: commit {} instead of {}", found.0, known.0)
            }
            Damage::Replaced => f.write_str("its chunk file was replaced while it was open"),
            Damage::Spoilt(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}
