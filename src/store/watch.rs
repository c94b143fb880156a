//! Noticing what becomes of files that others write, too.

use super::{CopyName, FileName};
use std::io;
use std::time::Duration;

/// What a watch tells of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    File(FileName),
    /// It has the name of a sync client's copy.
    Copy(CopyName),
}

/// Tells of files that came, went or were written. It may tell of one to which nothing happened, and of this process's own.
pub trait Watch: Send {
    /// Notices from now on; until then nothing is told. It may take a while.
    ///
    /// # Errors
    ///
    /// ENOSPC where this user watches too many folders; that of opening one.
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }
    /// Waits for news, at most so long, or until it is ended; appends the names.
    ///
    /// # Errors
    ///
    /// That of inotify(7), or of looking at a folder; news may be lost then.
    fn wait(&mut self, at_most: Option<Duration>, seen: &mut Vec<Seen>) -> io::Result<()>;
    /// What ends a wait, now or the next one.
    fn ender(&self) -> Ender;
}

/// Ends a wait.
pub type Ender = Box<dyn Fn() + Send + Sync>;
