//! Whether what names and inodes say differently may only be on its way: sync clients copy single files, in any order, so
//! that a folder may be here without the file that was moved out of it, or the other way round.

use crate::chunk::{Chunk, ChunkId, InodeId, Version};
use crate::volume::{Error, Node, Reader};
use hashbrown::{HashMap, HashSet};

pub struct Underway<'a> {
    reader: &'a Reader,
    /// Inodes of which a sync client's copy waits to be merged.
    copied: &'a HashSet<InodeId>,
    /// Directories that were looked at.
    directories: HashMap<InodeId, State>,
}

/// What a directory is like that something says it is in.
enum State {
    NotArrived,
    /// It is lost, and so does not come any more.
    Lost,
    There {
        version: Version,
        /// Work of this device was missing in it once: it was written before it was merged.
        lacked_own: bool,
    },
}

impl<'a> Underway<'a> {
    pub fn new(reader: &'a Reader, copied: &'a HashSet<InodeId>) -> Underway<'a> {
        Underway { reader, copied, directories: HashMap::new() }
    }

    /// Whether the names of an inode in these directories may come to agree with it by themselves: one of the directories
    /// has not arrived, waits to be merged or lacks work of this device, or another device wrote one of the files since the
    /// inode was last given its names, or its journal says those. What only this device wrote does not come from anywhere.
    pub fn may_come(&mut self, node: &Node, directories: impl IntoIterator<Item = InodeId>) -> bool {
        let (own, named) = (self.reader.context().device, node.record.namespace);
        let is_news =
            |version: &Version| version.0.iter().any(|&(device, commit)| device != own && commit > named);
        let is_told =
            node.head().is_some_and(|head| is_news(head.version())) || self.reader.is_named_by_another(node);
        if is_told || self.copied.contains(&node.id) {
            return true;
        }
        directories.into_iter().any(|id| {
            self.copied.contains(&id)
                || match self.state(id) {
                    State::NotArrived => true,
                    State::Lost => false,
                    State::There { version, lacked_own } => *lacked_own || is_news(version),
                }
        })
    }

    fn state(&mut self, id: InodeId) -> &State {
        let (reader, own) = (self.reader, self.reader.context().device);
        self.directories.entry(id).or_insert_with(|| {
            let node = match reader.node(id) {
                Err(Error::NotArrived(_)) => return State::NotArrived,
                Err(_) => return State::Lost,
                Ok(node) => node,
            };
            match reader.entries(&node) {
                Err(Error::NotArrived(_)) => State::NotArrived,
                Err(_) => State::Lost,
                Ok(entries) => State::There {
                    version: node.head().map(|head| head.version().clone()).unwrap_or_default(),
                    lacked_own: node.head().is_some_and(Chunk::lacks_own)
                        || entries.vector().iter().any(|(device, _)| device.stands_in_for(own)),
                },
            }
        })
    }
}

/// Whether the last name of an inode was removed on this device: its next mount decides what becomes of it.
pub fn was_deleted_here(reader: &Reader, inode: InodeId) -> bool {
    reader.context().recall.tombstone(ChunkId::first(inode)).is_some()
}
