//! Who may do what, as the kernel decides it.
//!
//! With `check_permissions` every handler asks here; without (the kernel checks, mount option default_permissions) only
//! the rules that FUSE leaves to the filesystem do. Root means uid 0: a caller's capabilities are not visible here.

use super::acl::{self, Acl};
use super::filesystem::Filesystem;
use super::ops::{Caller, Kind};
use super::{Error, Result};
use crate::volume::{Inode, Record};
use std::sync::Arc;

pub(super) const READ: u32 = libc::R_OK as u32;
pub(super) const WRITE: u32 = libc::W_OK as u32;
pub(super) const EXECUTE: u32 = libc::X_OK as u32;

/// Whether mode bits, ACL and root's privilege grant all of `want`.
pub(super) fn allows(fs: &Filesystem, record: &Record, caller: Caller, want: u32) -> bool {
    if caller.uid == 0 {
        let executable = record.kind == Kind::Directory || fs.options.mode(record) & 0o111 != 0;
        return want & EXECUTE == 0 || executable;
    }
    let mode = fs.options.mode(record);
    let granted = |bits: u32| bits & want == want;
    if caller.uid == fs.options.uid(record) {
        return granted(mode >> 6);
    }
    if mode & 0o070 != 0
        && let Some(acl) = fs.acl(record, acl::ACCESS)
    {
        return acl_allows(fs, &acl, record, caller, want);
    }
    if fs.groups.contain(caller, fs.options.gid(record)) { granted(mode >> 3) } else { granted(mode) }
}

/// POSIX 1003.1e: the first matching user decides, then any matching group, else others.
fn acl_allows(fs: &Filesystem, acl: &Acl, record: &Record, caller: Caller, want: u32) -> bool {
    let granted = |bits: u16| u32::from(bits) & want == want;
    let mask = acl.mask.unwrap_or(7);
    if let Some(&(_, bits)) = acl.users.iter().find(|&&(uid, _)| uid == caller.uid) {
        return granted(bits & mask);
    }
    let owning = std::iter::once((fs.options.gid(record), acl.group));
    let mut in_a_group = false;
    for (gid, bits) in owning.chain(acl.groups.iter().copied()) {
        if fs.groups.contain(caller, gid) {
            in_a_group = true;
            if granted(bits & mask) {
                return true;
            }
        }
    }
    !in_a_group && granted(acl.other)
}

/// Whether the caller owns the inode or is root.
pub(super) fn owns(fs: &Filesystem, record: &Record, caller: Caller) -> bool {
    caller.uid == 0 || caller.uid == fs.options.uid(record)
}

impl Filesystem {
    /// An inode's ACL of one type, where there are ACLs.
    pub(super) fn acl(&self, record: &Record, name: &[u8]) -> Option<Acl> {
        if self.options.no_acls { None } else { acl::stored(record, name) }
    }

    /// Whether the caller may keep or set the setgid bit of an inode of this group.
    pub(super) fn may_set_gid(&self, caller: Caller, gid: u32) -> bool {
        caller.uid == 0 || self.groups.contain(caller, gid)
    }

    /// `AccessDenied` if permissions are checked here and do not grant `want`.
    pub(super) fn require(&self, caller: Caller, inode: &Inode, want: u32) -> Result<()> {
        if self.options.check_permissions && !inode.view(|record| allows(self, record, caller, want)) {
            return Err(Error::AccessDenied);
        }
        Ok(())
    }

    /// `NotPermitted` if permissions are checked here and the caller is neither the owner nor root.
    pub(super) fn require_owner(&self, caller: Caller, inode: &Inode) -> Result<()> {
        if self.options.check_permissions && !inode.view(|record| owns(self, record, caller)) {
            return Err(Error::NotPermitted);
        }
        Ok(())
    }

    /// Permission to take a name out of a directory; in a sticky one only the owners of either may.
    pub(super) fn require_removal(&self, caller: Caller, directory: &Arc<Inode>, name: &[u8]) -> Result<()> {
        self.require(caller, directory, WRITE | EXECUTE)?;
        let sticky = |record: &Record| record.mode & libc::S_ISVTX != 0 && !owns(self, record, caller);
        if !self.options.check_permissions || !directory.view(sticky) {
            return Ok(());
        }
        match self.volume.lookup(directory, name)? {
            Some(victim) => self.require_owner(caller, &victim),
            None => Err(Error::NotFound),
        }
    }
}
