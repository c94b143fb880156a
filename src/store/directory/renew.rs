//! Descriptors of a connection that is gone, of a network's or another FUSE filesystem, no longer work, though the
//! path leads to the folder again: they are opened anew.

use super::{Directory, DirectoryFile};
use crate::sys::files::OFlags;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Directory {
    /// Calls once more where the folder's own descriptor was of a connection that is gone.
    pub(super) fn again<T>(&self, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match self.settled(&call) {
            Err(error) if is_gone(&error) && self.folder.renew() => self.settled(call),
            outcome => outcome,
        }
    }

    /// A call by a path.
    pub(super) fn settled<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.settling.wait()?;
        self.settling.note(self.settling.losses(), call())
    }

    /// For calls that say that something is durable: what they were to cover may be lost with the connection, so their error
    /// stands, and only what comes next goes to the renewed folder.
    pub(super) fn renewing<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.settled(call).inspect_err(|error| {
            if is_gone(error) {
                self.folder.renew();
            }
        })
    }
}

impl DirectoryFile {
    /// A call that changes something, or by the path.
    pub(super) fn settled<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.settling.wait()?;
        self.settling.note(self.since, call())
    }

    /// Reads past a descriptor that no longer works. What is read is authenticated, so it need not be known who
    /// wrote it; but what took the file's place is left to whoever looks for that.
    pub(super) fn read_anew(&self, offset: u64, out: &mut [u8], error: io::Error) -> io::Result<usize> {
        let mut renewed = self.renewed.lock();
        if let Some(file) = &*renewed
            && let Ok(read) = file.read_at(out, offset)
        {
            return Ok(read);
        }
        *renewed = None;
        self.settling.wait()?;
        match self.open_anew() {
            Some(file) => {
                let read = file.read_at(out, offset)?;
                *renewed = Some(Arc::new(file));
                Ok(read)
            }
            None => Err(error),
        }
    }

    fn open_anew(&self) -> Option<File> {
        let open = || self.folder.open_file(&self.path, OFlags::RDONLY);
        let opened = match open() {
            Err(error) if is_gone(&error) && self.folder.renew() => open(),
            opened => opened,
        };
        let (file, status) = opened.ok()?;
        let is_anew = self.folder.renewals.load(Ordering::Acquire) != self.renewals;
        (is_anew || status.identity == self.identity).then_some(file)
    }
}

/// Whether a descriptor may no longer work.
pub(super) fn is_lost(error: &io::Error) -> bool {
    is_gone(error) || matches!(error.raw_os_error(), Some(libc::EIO | libc::EBADF | libc::ETIMEDOUT))
}

pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ESTALE | libc::ECONNABORTED | libc::ENODEV))
}
