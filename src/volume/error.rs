//! What can go wrong in a volume.

use crate::chunk::{self, ChunkId, Commit};
use std::io;

/// A failure of a volume's operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no such name")]
    NotFound,
    #[error("the name exists")]
    Exists,
    #[error("not a directory")]
    NotDirectory,
    #[error("a directory")]
    IsDirectory,
    #[error("the directory is not empty")]
    NotEmpty,
    #[error("invalid")]
    Invalid,
    #[error("the name is too long")]
    NameTooLong,
    #[error("the file would be too large")]
    FileTooLarge,
    #[error("too many links")]
    TooManyLinks,
    #[error("no space left in the backing folder")]
    NoSpace,
    #[error("the volume is read-only")]
    ReadOnly,
    /// Something that should be there is missing, was changed, or makes no sense.
    #[error("{0:?}: {1}")]
    Damaged(ChunkId, Damage),
    /// A copy of the backing folder is under way: this part has not arrived yet, or is gone without this device ever
    /// having seen it.
    #[error("{0:?} has not arrived yet")]
    NotArrived(ChunkId),
    /// An earlier error made it impossible to keep promises: the volume answers nothing but reads any more.
    #[error("the volume stopped after an error it could not recover from")]
    Stopped,
    /// The store's error.
    #[error("{0}")]
    Store(#[source] io::Error),
}

/// What was done to a chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its file was there, and is gone.
    #[error("its chunk file is gone")]
    Deleted,
    /// It is older than it was on this device, or than what refers to it says.
    #[error("it is older than it was: commit {} instead of {}", found.0, known.0)]
    RolledBack { found: Commit, known: Commit },
    /// Its file was exchanged while it was open.
    #[error("its chunk file was replaced while it was open")]
    Replaced,
    /// It does not authenticate, or makes no sense.
    #[error("{0}")]
    Corrupt(String),
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
            // A filesystem that went read-only may be mounted for writing again.
            Error::NoSpace | Error::ReadOnly => true,
            // Whatever the system has a number for: quota, descriptors, rights, a disk or a network that does not answer.
            Error::Store(error) => error.raw_os_error().is_some(),
            _ => false,
        }
    }

    /// Whether the store fails for another reason than that something is used up or in the way.
    pub fn is_of_the_store(&self) -> bool {
        let Error::Store(error) = self else { return false };
        let is_scarce = |number| matches!(number, libc::EDQUOT | libc::EMFILE | libc::ENFILE | libc::ENOMEM);
        !self.is_refusal() && error.raw_os_error().is_some_and(|number| !is_scarce(number))
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

    /// What damage keeps from being had is left out.
    ///
    /// # Errors
    ///
    /// Any other.
    pub(in crate::volume) fn unless_damage<T>(outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Err(error) if error.is_damage() => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// A sync client exchanged the file, and memory cannot go on with what is there now: something of it is on its way.
    pub(in crate::volume) fn is_exchange(&self) -> bool {
        matches!(self, Error::Damaged(_, Damage::Replaced))
    }

    /// No chunk file is there, whether or not this device has seen one.
    pub(in crate::volume) fn is_absence(&self) -> bool {
        matches!(self, Error::NotArrived(_)) || self.is_taken_away()
    }

    /// A chunk file was here, and is not any more: another device deleted it, or a client has not put its next version there yet.
    pub(in crate::volume) fn is_taken_away(&self) -> bool {
        matches!(self, Error::Damaged(_, Damage::Deleted))
    }

    /// What is there is older than what is known of it.
    pub(in crate::volume) fn is_rolled_back(&self) -> bool {
        matches!(self, Error::Damaged(_, Damage::RolledBack { .. }))
    }

    /// A passing error, or damage, once more for each of those that it keeps from something.
    pub(in crate::volume) fn again(&self) -> Error {
        match self {
            Error::Damaged(chunk, damage) => Error::Damaged(*chunk, damage.clone()),
            Error::NotArrived(chunk) => Error::NotArrived(*chunk),
            Error::ReadOnly => Error::ReadOnly,
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
            // It has to be recovered first; until the store lets that be, it is the store that fails.
            chunk::Error::Failed(_) => Error::Store(io::Error::from_raw_os_error(libc::EIO)),
            chunk::Error::SlotsExhausted(_) | chunk::Error::TooLarge(_) => Error::NoSpace,
            chunk::Error::Io(_, error) => error.into(),
        }
    }
}

impl From<&str> for Damage {
    fn from(what: &str) -> Damage {
        Damage::Corrupt(what.into())
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
