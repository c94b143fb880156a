//! The lock of a volume: what keeps other processes on this machine out.

use super::{Folder, MARK};
use crate::sys::files::{self, OFlags};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another process holds the lock")]
    Held,
    #[error("{0}")]
    Io(#[source] io::Error),
}

/// An exclusive lock on a file or folder, given back on drop.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Folder {
    /// This process has the lock of the volume: what was taken through a connection ends with that, so that it is taken anew
    /// where the folder was mounted anew.
    pub(in crate::store) fn keep_locked(&self) {
        self.locks.store(true, Ordering::Relaxed);
    }

    /// Whether this process has the lock of the volume in this folder.
    pub(super) fn is_locked_here(&self) -> bool {
        let Ok((_, status)) = self.open_file(&CString::new(MARK).expect("no zeros"), OFlags::RDONLY) else {
            return false;
        };
        let (process, inode) = (std::process::id().to_string(), format!(":{}", status.identity.inode));
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let mut locks = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        locks.any(|lock| {
            matches!(lock[..], [_, "FLOCK", _, _, by, file, ..] if by == process && file.ends_with(&inode))
        })
    }

    /// Takes the exclusive lock of the folder itself; none where its filesystem has no locks for folders, as NFS.
    ///
    /// # Errors
    ///
    /// `Held` by another process.
    pub fn lock_whole(&self) -> Result<Option<Lock>, LockError> {
        let folder = self.root.try_clone().map_err(LockError::Io)?;
        match files::lock(&folder) {
            Ok(()) => Ok(Some(Lock { _file: folder })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LockError::Held),
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOLCK | libc::EOPNOTSUPP)) =>
            {
                Ok(None)
            }
            Err(error) => Err(LockError::Io(error)),
        }
    }

    /// Takes the exclusive lock of a file without writing to it.
    ///
    /// # Errors
    ///
    /// `Held` by another process; `Io` where the file is missing or no regular file.
    pub fn lock(&self, path: &str) -> Result<Lock, LockError> {
        let path = CString::new(path).map_err(|error| LockError::Io(error.into()))?;
        // NFS grants an exclusive lock only to a descriptor that may write; it answers EBADF otherwise.
        for flags in [OFlags::RDONLY, OFlags::RDWR] {
            let (file, _) = self.open_file(&path, flags).map_err(LockError::Io)?;
            match files::lock(&file) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(LockError::Held),
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
                Err(error) => return Err(LockError::Io(error)),
            }
        }
        Err(LockError::Io(io::Error::from_raw_os_error(libc::EBADF)))
    }
}
