//! What a mount is asked to be.

use crate::volume::Record;

/// Choices of a mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether to check permissions in every operation, for a transport whose kernel does not (default_permissions).
    /// Wants a transport that asks OPEN and has no writeback cache, since neither reads nor writes name their caller
    /// and a flusher's SETATTR does not tell who wrote.
    pub check_permissions: bool,
    /// Everything seems to belong to this user, whoever it belongs to.
    pub uid: Option<u32>,
    /// The group, likewise.
    pub gid: Option<u32>,
}

impl Options {
    /// The user that an inode seems to belong to.
    pub(super) fn uid(&self, record: &Record) -> u32 {
        self.uid.unwrap_or(record.uid)
    }

    /// The group that an inode seems to belong to.
    pub(super) fn gid(&self, record: &Record) -> u32 {
        self.gid.unwrap_or(record.gid)
    }
}
