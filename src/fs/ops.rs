//! The operation trait: what a transport asks of a filesystem.
//!
//! Synchronous and inode-based: no operation needs a file handle, so a transport may answer OPEN with ENOSYS. All
//! methods take `&self` and are called from any thread. Above: `mount` (its transports) and tests. Implemented by
//! [`Filesystem`](super::Filesystem) and, for the transport's own tests and ceilings, by a plain in-memory one.

mod values;

use super::Result;
use std::sync::Arc;

pub use crate::volume::{Condition, Kind, KnownDevice, Timestamp};
pub use values::{
    Allocate, Attributes, Caller, DirectoryEntry, Entry, NewNode, NodeId, RenameFlags, Seek, SetAttributes,
    SetTime, SetXattr, Statistics, Times, WriteHow,
};

/// Told of what other devices changed, from a thread that holds no lock: what the transport believes of it is no longer true.
pub trait Notifier: Send + Sync {
    /// A name came, or leads elsewhere.
    fn entry(&self, parent: NodeId, name: &[u8]);
    /// A name went that led to this node.
    fn removed(&self, parent: NodeId, node: NodeId, name: &[u8]);
    /// The attributes of a node are others.
    fn attributes(&self, node: NodeId);
    /// So is its content, or what a directory lists.
    fn content(&self, node: NodeId);
    /// Whether the transport keeps to the size that it was first told of a node.
    fn keeps_sizes(&self) -> bool;
}

/// A filesystem as a transport drives it. Offsets and sizes are bytes. Names are single components, never `.`, `..`
/// or empty, without `/` and NUL; a longer one than 255 bytes is answered with `NameTooLong`.
///
/// # Errors
///
/// Of all that ask for a node: `Stale` where the transport should not know it, `Io` where it cannot be read,
/// `TooManyOpenFiles`, `OutOfMemory`. Of those that change something: `ReadOnly`, `NoSpace`, `QuotaExceeded`, `Io`. Where
/// permissions are checked here, and a caller is given: `AccessDenied`, `NotPermitted`. Each says what else there is.
pub trait Operations: Send + Sync + 'static {
    /// From now on tells this one of what changes without having been asked for here; nobody with `None`.
    fn notify(&self, _notifier: Option<Arc<dyn Notifier>>) {}
    /// Finds a name. `None`: there is none (the transport may cache that).
    ///
    /// # Errors
    ///
    /// `NotDirectory`; `Io` where the directory cannot be read. An inode that cannot be read is found, so that its
    /// name can be removed.
    fn lookup(&self, caller: Caller, parent: NodeId, name: &[u8]) -> Result<Option<Entry>>;
    /// Looks up a node by its number, which the transport has from a handle: it may have forgotten it, or be another mount
    /// than the one that gave it out. `None`: there is none any more.
    ///
    /// # Errors
    ///
    /// `Io` where it cannot be read.
    fn find(&self, _node: NodeId) -> Result<Option<Entry>> {
        Ok(None)
    }
    /// Looks up the directory that a directory lies in.
    ///
    /// # Errors
    ///
    /// `Stale` for what is no directory that is known; `Io` where the one above cannot be read.
    fn parent(&self, _node: NodeId) -> Result<Entry> {
        Err(super::Error::Stale)
    }
    /// Takes back `count` lookups.
    fn forget(&self, node: NodeId, count: u64);
    /// stat(2).
    ///
    /// # Errors
    ///
    /// Only those that the trait names.
    fn attributes(&self, node: NodeId) -> Result<Attributes>;
    /// Sets what `change` names; answers with all attributes as they are then. Of `mode` the bits 0o7777 count.
    ///
    /// # Errors
    ///
    /// `NotPermitted`, or `AccessDenied` for a new size or the present time; of a new size `IsDirectory`, `Invalid`
    /// for what is no regular file, `FileTooLarge`.
    fn set_attributes(&self, caller: Caller, node: NodeId, change: &SetAttributes) -> Result<Attributes>;
    /// The target of a symlink.
    ///
    /// # Errors
    ///
    /// `Invalid` for what is none.
    fn read_link(&self, node: NodeId) -> Result<Vec<u8>>;
    /// Everything but directories and symlinks.
    ///
    /// # Errors
    ///
    /// `Exists`; `NotDirectory`; `NotFound` where the directory was removed; `Invalid` for a directory or a symlink.
    fn make_node(&self, caller: Caller, parent: NodeId, name: &[u8], new: &NewNode) -> Result<Entry>;
    /// Makes a directory; of `mode` the bits 0o7777 count, `umask` is taken off.
    ///
    /// # Errors
    ///
    /// `Exists`; `NotDirectory`; `NotFound` where the parent was removed; `TooManyLinks`.
    fn make_directory(
        &self,
        caller: Caller,
        parent: NodeId,
        name: &[u8],
        mode: u32,
        umask: u32,
    ) -> Result<Entry>;
    /// Makes a symlink to `target`, of at most 4095 bytes.
    ///
    /// # Errors
    ///
    /// As for `make_node`; `NotFound` for an empty target, `NameTooLong` for a longer one.
    fn make_symlink(&self, caller: Caller, parent: NodeId, name: &[u8], target: &[u8]) -> Result<Entry>;
    /// A file that no name of the directory leads to: `link` gives it one, or it goes when it is forgotten.
    ///
    /// # Errors
    ///
    /// `NotSupported` where there are no such files; else as for `make_node`.
    fn make_nameless(&self, _caller: Caller, _parent: NodeId, _mode: u32, _umask: u32) -> Result<Entry> {
        Err(super::Error::NotSupported)
    }
    /// Gives an inode another name.
    ///
    /// # Errors
    ///
    /// As for `make_node`; `NotPermitted` for a directory; `NotFound` where its last name was removed;
    /// `TooManyLinks`.
    fn link(&self, caller: Caller, node: NodeId, parent: NodeId, name: &[u8]) -> Result<Entry>;
    /// Removes a name that is no directory's.
    ///
    /// # Errors
    ///
    /// `NotFound`; `IsDirectory`.
    fn unlink(&self, caller: Caller, parent: NodeId, name: &[u8]) -> Result<()>;
    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// `NotFound`; `NotDirectory`; `NotEmpty`.
    fn remove_directory(&self, caller: Caller, parent: NodeId, name: &[u8]) -> Result<()>;
    /// renameat2(2).
    ///
    /// # Errors
    ///
    /// `NotFound` without the name, and for an exchange without the other; `Exists` with `no_replace`; `IsDirectory`,
    /// `NotDirectory` or `NotEmpty` where what is there cannot be replaced; `Invalid` for flags that exclude each
    /// other, and for a directory into itself; `TooManyLinks`.
    fn rename(
        &self,
        caller: Caller,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        flags: RenameFlags,
    ) -> Result<()>;
    /// Asked only by a transport that wants a permission check at open; `flags` as in open(2).
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `IsDirectory` for a directory that is to be written.
    fn open(&self, caller: Caller, node: NodeId, flags: i32) -> Result<()>;
    /// access(2); `mask` of R_OK, W_OK, X_OK.
    ///
    /// # Errors
    ///
    /// `AccessDenied`, whoever checks permissions.
    fn access(&self, caller: Caller, node: NodeId, mask: i32) -> Result<()>;
    /// Fills `out` from `offset`; fewer bytes than asked for means end of file. Returns their number.
    ///
    /// # Errors
    ///
    /// `IsDirectory`, `Invalid` for what is no regular file; `Io` where something cannot be read, or was lost out of
    /// the page cache.
    fn read(&self, node: NodeId, offset: u64, out: &mut [u8]) -> Result<usize>;
    /// Returns the number of bytes taken: all of them.
    ///
    /// # Errors
    ///
    /// `IsDirectory`, `Invalid` for what is no regular file; `FileTooLarge`. From the cache it is kept for `flush`,
    /// too.
    fn write(&self, node: NodeId, offset: u64, data: &[u8], how: WriteHow) -> Result<usize>;
    /// Returns when the file (and its name) would survive a power cut.
    ///
    /// # Errors
    ///
    /// What could not be stored: `NoSpace`, `QuotaExceeded`, `Io`.
    fn sync(&self, node: NodeId, data_only: bool) -> Result<()>;
    /// As `sync`, of a directory's entries.
    ///
    /// # Errors
    ///
    /// `NotDirectory`; else as for `sync`.
    fn sync_directory(&self, node: NodeId, data_only: bool) -> Result<()>;
    /// Returns when everything that was asked so far would survive a power cut.
    ///
    /// # Errors
    ///
    /// As for `sync`.
    fn sync_all(&self) -> Result<()>;
    /// Hands the entries that follow `cookie` (0: from the start) to `sink` until it answers false (that entry is not
    /// taken). What is added after a listing began does not show in it; an entry that stays, be it under another name or for
    /// another inode, shows once.
    ///
    /// # Errors
    ///
    /// `NotDirectory`; `Io` where the directory cannot be read. Entries of inodes that cannot be read are listed.
    fn read_directory(
        &self,
        node: NodeId,
        cookie: u64,
        plus: bool,
        sink: &mut dyn FnMut(&DirectoryEntry<'_>) -> bool,
    ) -> Result<()>;
    /// setxattr(2).
    ///
    /// # Errors
    ///
    /// `Range` for the name's length, `TooBig` for the value's; `NotSupported` for another namespace, or without
    /// ACLs; `Exists` and `NoData` of `how`; `NotPermitted`; `Invalid` for what is no ACL; `NoSpace` where all of
    /// them are too long.
    fn set_xattr(&self, caller: Caller, node: NodeId, name: &[u8], value: &[u8], how: SetXattr)
    -> Result<()>;
    /// getxattr(2).
    ///
    /// # Errors
    ///
    /// `NoData`; `Range` and `NotSupported` as for `set_xattr`.
    fn get_xattr(&self, caller: Caller, node: NodeId, name: &[u8]) -> Result<Vec<u8>>;
    /// Names, each followed by NUL.
    ///
    /// # Errors
    ///
    /// Only those that the trait names.
    fn list_xattrs(&self, caller: Caller, node: NodeId) -> Result<Vec<u8>>;
    /// removexattr(2).
    ///
    /// # Errors
    ///
    /// `NoData`; else as for `set_xattr`.
    fn remove_xattr(&self, caller: Caller, node: NodeId, name: &[u8]) -> Result<()>;
    /// fallocate(2), of `length` bytes.
    ///
    /// # Errors
    ///
    /// `Invalid` of no bytes, and for what is no regular file; `IsDirectory`; `FileTooLarge`.
    fn allocate(
        &self,
        caller: Caller,
        node: NodeId,
        offset: u64,
        length: u64,
        how: Allocate,
        times: Times,
    ) -> Result<()>;
    /// lseek(2): where data or a hole begins, in bytes.
    ///
    /// # Errors
    ///
    /// `NoSuchDeviceOrAddress` behind the end, or where no data follows; `IsDirectory`, `Invalid` for what is no
    /// regular file.
    fn seek(&self, node: NodeId, offset: u64, whence: Seek) -> Result<u64>;
    /// copy_file_range(2), of up to `length` bytes; how many were copied.
    ///
    /// # Errors
    ///
    /// Only where nothing was copied: else it answers with how much was. `Invalid` where the ranges overlap, and for
    /// what is no regular file; `IsDirectory`; `FileTooLarge`.
    fn copy_range(
        &self,
        caller: Caller,
        from: (NodeId, u64),
        to: (NodeId, u64),
        length: u64,
        times: Times,
    ) -> Result<u64>;
    /// statfs(2).
    ///
    /// # Errors
    ///
    /// `Io` where the backing filesystem does not say.
    fn statistics(&self) -> Result<Statistics>;
    /// How the filesystem is doing, for those who ask from outside.
    ///
    /// # Errors
    ///
    /// `NotSupported` where there is nothing to say.
    fn condition(&self) -> Result<Condition> {
        Err(super::Error::NotSupported)
    }
    /// Goes on after the filesystem stopped writing, if it did.
    ///
    /// # Errors
    ///
    /// `NotSupported` where it cannot; `Io` where what stopped it lasts.
    fn restart(&self) -> Result<()> {
        Err(super::Error::NotSupported)
    }
    /// close(2) under a writeback cache: the error of a write out of it that nobody could be told of.
    ///
    /// # Errors
    ///
    /// `NoSpace`, `QuotaExceeded`, `Io` or another one: why something of the file is lost, until it is written again.
    fn flush(&self, _node: NodeId) -> Result<()> {
        Ok(())
    }
    /// write(2) under a writeback cache: as `flush`, once for each such error. The kernel says nothing of it there, but asks
    /// for attributes that it does not know.
    ///
    /// # Errors
    ///
    /// As `flush`.
    fn tell_lost(&self, _node: NodeId) -> Result<()> {
        Ok(())
    }
    /// What cannot be stored when `shut_down` comes, or has come, is given up.
    fn give_up(&self) {}
    /// Unmounting: everything is made durable, however long it has to wait for space; unless it is given up, then the
    /// error. Called once, after the last other operation.
    ///
    /// # Errors
    ///
    /// What could not be stored, and is lost.
    fn shut_down(&self) -> Result<()>;
}
