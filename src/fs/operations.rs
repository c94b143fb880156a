//! Which operation lives where: each is in the file of its group, as a function that takes the filesystem first.

use super::filesystem::Filesystem;
use super::ops::*;
use super::{Result, attributes, data, listing, namespace, stat, xattrs};
use std::sync::Arc;

impl Operations for Filesystem {
    fn notify(&self, notifier: Option<Arc<dyn Notifier>>) {
        let is_served = notifier.is_some();
        *self.listener.write() = notifier;
        if is_served {
            self.volume.follow();
        }
    }

    fn lookup(&self, caller: Caller, parent: NodeId, name: &[u8]) -> Result<Option<Entry>> {
        namespace::lookup(self, caller, parent, name)
    }

    fn find(&self, node: NodeId) -> Result<Option<Entry>> {
        self.find_node(node)
    }

    fn parent(&self, node: NodeId) -> Result<Entry> {
        Ok(self.enter(self.volume.parent(&self.directory(node)?)?))
    }

    fn forget(&self, node: NodeId, count: u64) {
        self.leave(node, count);
    }

    fn attributes(&self, node: NodeId) -> Result<Attributes> {
        self.inode(node).map(|inode| stat::of(&self.options, self.number(inode.id()), &inode))
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

    fn make_nameless(&self, caller: Caller, parent: NodeId, mode: u32, umask: u32) -> Result<Entry> {
        namespace::make_nameless(self, caller, parent, mode, umask)
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

    fn sync_all(&self) -> Result<()> {
        Ok(self.volume.sync_all()?)
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

    fn copy_range(
        &self,
        caller: Caller,
        from: (NodeId, u64),
        to: (NodeId, u64),
        length: u64,
        times: Times,
    ) -> Result<u64> {
        data::copy_range(self, caller, from, to, length, times)
    }

    fn statistics(&self) -> Result<Statistics> {
        attributes::statistics(self)
    }

    fn condition(&self) -> Result<Condition> {
        Ok(self.volume.condition())
    }

    fn restart(&self) -> Result<()> {
        Ok(self.volume.restart()?)
    }

    fn flush(&self, node: NodeId) -> Result<()> {
        self.lost.error(self.inode(node)?.id()).map_or(Ok(()), Err)
    }

    fn tell_lost(&self, node: NodeId) -> Result<()> {
        self.lost.news(self.inode(node)?.id()).map_or(Ok(()), Err)
    }

    fn give_up(&self) {
        self.ending.give_up();
    }

    fn shut_down(&self) -> Result<()> {
        self.ending.shut_down(&self.volume)
    }
}
