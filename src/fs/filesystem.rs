//! The filesystem: what all operations share, and which of them lives where.
//!
//! Every operation is in the file of its group, as a function that takes the filesystem first. What is here turns node
//! numbers into inodes and inodes into entries. No lock is held across operations: what has to be atomic is one call of
//! the volume. Reading does not change atime: each read would make a chunk that a sync client must upload.

use super::ending::{self, Ending};
use super::lost::LostWrites;
use super::nodes::{Node, Nodes, inode_number};
use super::ops::*;
use super::permission::Groups;
use super::{Error, Result, attributes, data, listing, namespace, xattrs};
use crate::chunk::InodeId;
use crate::volume::{Inode, Record, Volume};
use std::sync::Arc;

/// Choices of a mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether to check permissions in every operation, for a transport whose kernel does not (default_permissions).
    /// Wants a transport that asks OPEN and has no writeback cache, since neither reads nor writes name their caller
    /// and a flusher's SETATTR does not tell who wrote.
    pub check_permissions: bool,
    /// Everything seems to belong to this user, whoever it belongs to.
    pub uid: Option<u32>,
    /// The same for the group.
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

/// POSIX semantics over a volume.
pub struct Filesystem {
    pub(super) volume: Arc<Volume>,
    pub(super) options: Options,
    pub(super) groups: Groups,
    pub(super) clock: fn() -> Timestamp,
    pub(super) lost: LostWrites,
    pub(super) ending: Ending,
    nodes: Nodes,
}

impl Filesystem {
    pub fn new(volume: Arc<Volume>, options: Options) -> Result<Filesystem> {
        Filesystem::with_clock(volume, options, Timestamp::now)
    }

    /// Whether nothing can be changed: it was asked for, or the backing folder allows no more.
    pub fn is_read_only(&self) -> bool {
        self.volume.is_read_only()
    }

    /// With another clock than the system's, for tests that compare times.
    pub(super) fn with_clock(
        volume: Arc<Volume>,
        options: Options,
        clock: fn() -> Timestamp,
    ) -> Result<Filesystem> {
        let nodes = Nodes::new(volume.root()?);
        Ok(Filesystem {
            volume,
            options,
            groups: Groups::new(),
            clock,
            lost: LostWrites::default(),
            ending: Ending::default(),
            nodes,
        })
    }

    /// The inode of a node. `Stale` if the transport should not know it, or has to look it up again since it can be read,
    /// `Io` if it cannot.
    pub(super) fn inode(&self, node: NodeId) -> Result<Arc<Inode>> {
        match self.nodes.get(node).ok_or(Error::Stale)? {
            Node::Inode(inode) => Ok(inode),
            Node::Unreadable(id) => Err(self.volume.inode(id).map_or_else(Error::from, |_| Error::Stale)),
        }
    }

    /// The same, if it is a directory.
    pub(super) fn directory(&self, node: NodeId) -> Result<Arc<Inode>> {
        let inode = self.inode(node)?;
        if inode.view(|record| record.kind) == Kind::Directory { Ok(inode) } else { Err(Error::NotDirectory) }
    }

    /// The same, if it is a regular file.
    pub(super) fn file(&self, node: NodeId) -> Result<Arc<Inode>> {
        let inode = self.inode(node)?;
        match inode.view(|record| record.kind) {
            Kind::File => Ok(inode),
            Kind::Directory => Err(Error::IsDirectory),
            Kind::Symlink | Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice => {
                Err(Error::Invalid)
            }
        }
    }

    /// Counts a lookup.
    pub(super) fn enter(&self, inode: Arc<Inode>) -> Entry {
        let attributes = attributes::of(self, &inode);
        Entry { node: self.nodes.enter(Node::Inode(inode)), attributes }
    }

    /// Counts a lookup of an inode whose record cannot be read, so that its name can be unlinked: the kernel sends no
    /// UNLINK before a LOOKUP has succeeded.
    pub(super) fn enter_unreadable(&self, id: InodeId, kind: Kind) -> Entry {
        let attributes = attributes::unreadable(inode_number(id), kind);
        Entry { node: self.nodes.enter(Node::Unreadable(id)), attributes }
    }

    /// Takes back lookups. With the last one the volume may drop the inode.
    pub(super) fn leave(&self, node: NodeId, count: u64) {
        if let Some(Node::Inode(inode)) = self.nodes.forget(node, count) {
            self.lost.forget(inode.id());
            self.volume.release(inode);
        }
    }

    /// After a name of it went: an inode that the transport does not know will never be forgotten by it.
    pub(super) fn release_if_unknown(&self, inode: Option<Arc<Inode>>) {
        if let Some(inode) = inode.filter(|inode| !self.nodes.knows(inode.id())) {
            self.volume.release(inode);
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) fn new_times(&self, times: Times) -> Option<Timestamp> {
        (times == Times::Set).then(|| self.now())
    }
}

impl Operations for Filesystem {
    fn lookup(&self, caller: Caller, parent: NodeId, name: &[u8]) -> Result<Option<Entry>> {
        namespace::lookup(self, caller, parent, name)
    }

    fn forget(&self, node: NodeId, count: u64) {
        self.leave(node, count);
    }

    fn attributes(&self, node: NodeId) -> Result<Attributes> {
        self.inode(node).map(|inode| attributes::of(self, &inode))
    }

    fn set_attributes(&self, caller: Caller, node: NodeId, change: &SetAttributes) -> Result<Attributes> {
        attributes::set(self, caller, node, change)
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        namespace::read_link(self, node)
    }

    fn make_node(&self, caller: Caller, parent: NodeId, name: &[u8], new: &NewNode) -> Result<Entry> {
        namespace::make_node(self, caller, parent, name, new)
    }

    fn make_directory(
        &self,
        caller: Caller,
        parent: NodeId,
        name: &[u8],
        mode: u32,
        umask: u32,
    ) -> Result<Entry> {
        namespace::make_directory(self, caller, parent, name, mode, umask)
    }

    fn make_symlink(&self, caller: Caller, parent: NodeId, name: &[u8], target: &[u8]) -> Result<Entry> {
        namespace::make_symlink(self, caller, parent, name, target)
    }

    fn link(&self, caller: Caller, node: NodeId, parent: NodeId, name: &[u8]) -> Result<Entry> {
        namespace::link(self, caller, node, parent, name)
    }

    fn unlink(&self, caller: Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        namespace::unlink(self, caller, parent, name)
    }

    fn remove_directory(&self, caller: Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        namespace::remove_directory(self, caller, parent, name)
    }

    fn rename(
        &self,
        caller: Caller,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        flags: RenameFlags,
    ) -> Result<()> {
        namespace::rename(self, caller, from, to, flags)
    }

    fn open(&self, caller: Caller, node: NodeId, flags: i32) -> Result<()> {
        attributes::open(self, caller, node, flags)
    }

    fn access(&self, caller: Caller, node: NodeId, mask: i32) -> Result<()> {
        attributes::access(self, caller, node, mask)
    }

    fn read(&self, node: NodeId, offset: u64, out: &mut [u8]) -> Result<usize> {
        data::read(self, node, offset, out)
    }

    fn write(&self, node: NodeId, offset: u64, data: &[u8], how: WriteHow) -> Result<usize> {
        data::write(self, node, offset, data, how)
    }

    fn sync(&self, node: NodeId, data_only: bool) -> Result<()> {
        Ok(self.volume.sync(&self.inode(node)?, data_only)?)
    }

    fn sync_directory(&self, node: NodeId, _data_only: bool) -> Result<()> {
        Ok(self.volume.sync_directory(&self.directory(node)?)?)
    }

    fn read_directory(
        &self,
        node: NodeId,
        cookie: u64,
        plus: bool,
        sink: &mut dyn FnMut(&DirectoryEntry<'_>) -> bool,
    ) -> Result<()> {
        listing::read(self, node, cookie, plus, sink)
    }

    fn set_xattr(
        &self,
        caller: Caller,
        node: NodeId,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<()> {
        xattrs::set(self, caller, node, name, value, how)
    }

    fn get_xattr(&self, caller: Caller, node: NodeId, name: &[u8]) -> Result<Vec<u8>> {
        xattrs::get(self, caller, node, name)
    }

    fn list_xattrs(&self, caller: Caller, node: NodeId) -> Result<Vec<u8>> {
        xattrs::list(self, caller, node)
    }

    fn remove_xattr(&self, caller: Caller, node: NodeId, name: &[u8]) -> Result<()> {
        xattrs::remove(self, caller, node, name)
    }

    fn allocate(
        &self,
        caller: Caller,
        node: NodeId,
        offset: u64,
        length: u64,
        how: Allocate,
        times: Times,
    ) -> Result<()> {
        data::allocate(self, caller, node, offset, length, how, times)
    }

    fn seek(&self, node: NodeId, offset: u64, whence: Seek) -> Result<u64> {
        data::seek(self, node, offset, whence)
    }

    fn copy_range(&self, from: (NodeId, u64), to: (NodeId, u64), length: u64, times: Times) -> Result<u64> {
        data::copy_range(self, from, to, length, times)
    }

    fn statistics(&self) -> Result<Statistics> {
        attributes::statistics(self)
    }

    fn flush(&self, node: NodeId) -> Result<()> {
        self.lost.error(self.inode(node)?.id()).map_or(Ok(()), Err)
    }

    fn store(&self) -> Result<()> {
        Ok(self.volume.store_now()?)
    }

    fn give_up(&self) {
        self.ending.give_up();
    }

    fn shut_down(&self) -> Result<()> {
        ending::shut_down(self)
    }
}
