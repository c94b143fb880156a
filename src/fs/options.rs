//! What a mount is asked to be.

use crate::volume::{Kind, Record};

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
    /// Permission bits that everything seems to lack.
    pub umask: u32,
    /// Only this user and root may enter: the root directory seems to be theirs and closed to others, so that a kernel
    /// that checks permissions lets nobody else pass.
    pub only_for: Option<u32>,
    /// There are no ACLs: none can be set, and those that are stored count for nothing.
    pub no_acls: bool,
    /// Inode numbers of 32 bits, in the order in which inodes are met: another one at each mount.
    pub small_numbers: bool,
}

impl Options {
    /// The user that an inode seems to belong to.
    pub(super) fn uid(&self, record: &Record) -> u32 {
        self.uid.unwrap_or(record.uid)
    }

    /// The mode that an inode seems to have.
    pub(super) fn mode(&self, record: &Record) -> u32 {
        match record.kind {
            Kind::Symlink => record.mode,
            _ => record.mode & !self.umask,
        }
    }

    /// The group that an inode seems to belong to.
    pub(super) fn gid(&self, record: &Record) -> u32 {
        self.gid.unwrap_or(record.gid)
    }
}
