//! What a filesystem operation can answer instead of success.

use crate::volume;

/// An operation's failure, in POSIX terms. `mount` turns it into a number with [`Error::errno`] and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    NotPermitted,
    NotFound,
    Io,
    NoSuchDeviceOrAddress,
    TooBig,
    BadDescriptor,
    OutOfMemory,
    AccessDenied,
    Exists,
    CrossDevice,
    NotDirectory,
    IsDirectory,
    Invalid,
    FileTooLarge,
    NoSpace,
    ReadOnly,
    TooManyLinks,
    Range,
    NameTooLong,
    NotImplemented,
    NotEmpty,
    TooManySymlinks,
    NoData,
    Overflow,
    NotSupported,
    Stale,
    QuotaExceeded,
    TooManyOpenFiles,
}

/// The result of a filesystem operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The Linux error number (positive).
    pub fn errno(self) -> i32 {
        match self {
            Error::NotPermitted => libc::EPERM,
            Error::NotFound => libc::ENOENT,
            Error::Io => libc::EIO,
            Error::NoSuchDeviceOrAddress => libc::ENXIO,
            Error::TooBig => libc::E2BIG,
            Error::BadDescriptor => libc::EBADF,
            Error::OutOfMemory => libc::ENOMEM,
            Error::AccessDenied => libc::EACCES,
            Error::Exists => libc::EEXIST,
            Error::CrossDevice => libc::EXDEV,
            Error::NotDirectory => libc::ENOTDIR,
            Error::IsDirectory => libc::EISDIR,
            Error::Invalid => libc::EINVAL,
            Error::FileTooLarge => libc::EFBIG,
            Error::NoSpace => libc::ENOSPC,
            Error::ReadOnly => libc::EROFS,
            Error::TooManyLinks => libc::EMLINK,
            Error::Range => libc::ERANGE,
            Error::NameTooLong => libc::ENAMETOOLONG,
            Error::NotImplemented => libc::ENOSYS,
            Error::NotEmpty => libc::ENOTEMPTY,
            Error::TooManySymlinks => libc::ELOOP,
            Error::NoData => libc::ENODATA,
            Error::Overflow => libc::EOVERFLOW,
            Error::NotSupported => libc::EOPNOTSUPP,
            Error::Stale => libc::ESTALE,
            Error::QuotaExceeded => libc::EDQUOT,
            Error::TooManyOpenFiles => libc::EMFILE,
        }
    }
}

impl From<volume::Error> for Error {
    fn from(error: volume::Error) -> Error {
        match error {
            volume::Error::NotFound => Error::NotFound,
            volume::Error::Exists => Error::Exists,
            volume::Error::NotDirectory => Error::NotDirectory,
            volume::Error::IsDirectory => Error::IsDirectory,
            volume::Error::NotEmpty => Error::NotEmpty,
            volume::Error::Invalid => Error::Invalid,
            volume::Error::NameTooLong => Error::NameTooLong,
            volume::Error::FileTooLarge => Error::FileTooLarge,
            volume::Error::TooManyLinks => Error::TooManyLinks,
            volume::Error::NoSpace => Error::NoSpace,
            volume::Error::ReadOnly => Error::ReadOnly,
            volume::Error::Damaged(..) | volume::Error::NotArrived(_) | volume::Error::Stopped => Error::Io,
            volume::Error::Store(error) => match error.raw_os_error() {
                Some(libc::EDQUOT) => Error::QuotaExceeded,
                Some(libc::EMFILE | libc::ENFILE) => Error::TooManyOpenFiles,
                Some(libc::ENOMEM) => Error::OutOfMemory,
                _ => Error::Io,
            },
        }
    }
}
