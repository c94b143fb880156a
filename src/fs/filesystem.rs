//! The filesystem: what all operations share. It turns node numbers into inodes and inodes into entries; which operation
//! lives where is in `operations`.
//! No lock is held across operations: what has to be atomic is one call of
//! the volume. Reading does not change atime: each read would make a chunk that a sync client must upload.

use super::ending::Ending;
use super::groups::Groups;
use super::lost::LostWrites;
use super::nodes::{self, Node, Nodes};
use super::numbers::Numbers;
use super::ops::{Attributes, Entry, Kind, NodeId, Times, Timestamp};
use super::options::Options;
use super::seen::{Listener, Seen};
use super::stat;
use super::stored::{CAPABILITY, find, take};
use super::{Error, Result};
use crate::chunk::InodeId;
use crate::volume::{self, Damage, Inode, Volume};
use std::sync::Arc;

/// POSIX semantics over a volume.
pub struct Filesystem {
    pub(super) volume: Arc<Volume>,
    pub(super) options: Options,
    pub(super) groups: Groups,
    pub(super) clock: fn() -> Timestamp,
    pub(super) lost: LostWrites,
    pub(super) ending: Ending,
    pub(super) listener: Listener,
    nodes: Arc<Nodes>,
    numbers: Numbers,
}

impl Filesystem {
    /// The filesystem of an open volume.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the root directory cannot be read; other of the volume's, such as
    /// [`Error::TooManyOpenFiles`].
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
        let (nodes, listener) = (Arc::new(Nodes::new(volume.root()?)), Listener::default());
        volume.observe(Box::new(Seen { nodes: nodes.clone(), listener: listener.clone() }));
        let numbers = Numbers::new(options.small_numbers);
        let (groups, lost, ending) = (Groups::new(), LostWrites::default(), Ending::default());
        Ok(Filesystem { volume, options, groups, clock, lost, ending, listener, nodes, numbers })
    }

    /// The inode of a node. `Stale` if the transport should not know it, or has to look it up again since it can be read,
    /// `Io` if it cannot.
    pub(super) fn inode(&self, node: NodeId) -> Result<Arc<Inode>> {
        match self.nodes.get(node).ok_or(Error::Stale)? {
            Node::Inode(inode) => Ok(inode),
            Node::Unreadable(id) => Err(self.volume.inode(id).map_or_else(Error::from, |_| Error::Stale)),
        }
    }

    /// An inode by its node number, if it is a directory.
    pub(super) fn directory(&self, node: NodeId) -> Result<Arc<Inode>> {
        let inode = self.inode(node)?;
        if inode.view(|record| record.kind) == Kind::Directory { Ok(inode) } else { Err(Error::NotDirectory) }
    }

    /// An inode by its node number, if it is a regular file.
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
        let attributes = stat::of(&self.options, self.number(inode.id()), &inode);
        self.entered(Node::Inode(inode), attributes)
    }

    fn entered(&self, node: Node, attributes: Attributes) -> Entry {
        let id = node.id();
        let node = self.nodes.enter(node);
        Entry { node, generation: nodes::generation(node, id), attributes }
    }

    /// Counts a lookup of a node that the transport perhaps forgot, by its number. Of an inode that lost its last name
    /// somebody knows it, or it is gone.
    pub(super) fn find_node(&self, number: NodeId) -> Result<Option<Entry>> {
        match self.nodes.get(number) {
            Some(Node::Inode(inode)) => return Ok(Some(self.enter(inode))),
            Some(Node::Unreadable(_)) => return Err(Error::Stale),
            None => {}
        }
        for id in self.volume.inodes_beginning(nodes::beginning(number)?) {
            let inode = match self.volume.inode(id) {
                Err(volume::Error::Damaged(_, Damage::Deleted)) => continue,
                inode => inode?,
            };
            if inode.view(|record| record.links_count) > 0 {
                return Ok(Some(self.enter(inode)));
            }
        }
        Ok(None)
    }

    /// Counts a lookup of an inode whose record cannot be read, so that its name can be unlinked: the kernel sends no
    /// UNLINK before a LOOKUP has succeeded.
    pub(super) fn enter_unreadable(&self, id: InodeId, kind: Kind) -> Entry {
        let attributes = stat::unreadable(self.number(id), kind);
        self.entered(Node::Unreadable(id), attributes)
    }

    /// st_ino.
    pub(super) fn number(&self, id: InodeId) -> u64 {
        self.numbers.of(id)
    }

    /// Takes away what a file may do beyond who executes it, as every change of its content does.
    pub(super) fn clear_capability(&self, inode: &Arc<Inode>) -> Result<()> {
        if inode.view(|record| find(record, CAPABILITY).is_some()) {
            self.volume.update(inode, |record| Ok(take(record, CAPABILITY)))?;
        }
        Ok(())
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
