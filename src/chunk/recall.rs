//! What is remembered of chunks outside of the backing folder, so that one that is older than it was is noticed.
//!
//! Chunks tell what becomes durable and ask when they are opened; where it is kept is `trust`'s affair. Only what is
//! durable counts, name included: what a power cut may undo would be taken for a rollback afterwards.

use super::{ChunkId, Commit, DeviceId, InodeId, Version};

/// What this device knew of an inode when it removed its last name: whatever is in a version that comes back and is not
/// in this one, somebody else made without knowing of the removal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tombstone {
    /// Of chunk 0.
    pub version: Version,
    /// Of a directory: the vector of its entries.
    pub entries: Vec<(DeviceId, Commit)>,
}

impl Tombstone {
    /// Of what had not arrived when this device removed a name of it: it may have others.
    pub fn unread(device: DeviceId) -> Tombstone {
        Tombstone { version: Version(vec![(device, Commit(0))]), entries: Vec::new() }
    }

    /// Whether it is such a one of this device.
    pub fn is_unread(&self, device: DeviceId) -> bool {
        *self == Tombstone::unread(device)
    }

    /// Whether an entry of this counter and device was known.
    pub fn covers(&self, (counter, device): (u64, DeviceId)) -> bool {
        self.entries.iter().any(|&(known, largest)| known == device && largest.0 >= counter)
    }
}

/// The newest durable version of each chunk of a volume. Whatever it forgets is not suspicious.
pub trait Recall: Send + Sync {
    /// The newest version known to have been durable.
    fn known(&self, id: ChunkId) -> Option<Version>;
    /// The chunk has this version, durably, and so has the file its name.
    fn durable(&self, id: ChunkId, version: &Version);
    /// The same of what was found so: who comes after a dead daemon finds it again.
    fn found_durable(&self, id: ChunkId, version: &Version) {
        self.durable(id, version);
    }
    /// The journals that are known, as far as they were written down.
    fn journals(&self) -> Vec<ChunkId>;
    /// The inodes of which the first chunk is known, or was seen, and whose ids begin so.
    fn inodes_beginning(&self, _: [u8; 8]) -> Vec<InodeId> {
        Vec::new()
    }
    /// This version was read, but it may lie in the page cache only: it counts from `seen_is_durable` on.
    fn seen(&self, id: ChunkId, version: &Version);
    /// Whether anything was seen that does not count yet.
    fn has_seen(&self) -> bool;
    /// Since it was seen, everything in the backing folder was made durable.
    fn seen_is_durable(&self);
    /// The chunk's file was removed on purpose.
    fn gone(&self, id: ChunkId);
    /// The same of chunk 0 of an inode that has no name any more.
    fn deleted(&self, id: ChunkId, tombstone: &Tombstone);
    /// What was known of an inode, by its chunk 0, when it was deleted here.
    fn tombstone(&self, id: ChunkId) -> Option<Tombstone>;
    /// An inode that was deleted here has a name again.
    fn revived(&self, id: ChunkId);
    /// An inode may have no name, and nobody deleted it: of two devices each may have taken away the name that the other one left.
    fn may_be_nameless(&self, _: InodeId) {}
    /// Inodes of which that was noted.
    fn maybe_nameless(&self) -> Vec<InodeId> {
        Vec::new()
    }
    /// It has a name, or is gone.
    fn not_nameless(&self, _: InodeId) {}
    /// Writes down what was noted since the last time. A crash may lose what was not.
    fn keep(&self);
    /// Whether `keep_attributes` keeps anything.
    fn keeps_attributes(&self) -> bool {
        false
    }
    /// What `keep_attributes` was given of an inode.
    fn attributes(&self, _: InodeId) -> Option<Vec<u8>> {
        None
    }
    /// Writes down what is sealed of inodes, as far as there is room.
    fn keep_attributes(&self, _: &[(InodeId, Vec<u8>)]) {}
}

/// Remembers nothing.
pub struct Forgetful;

impl Recall for Forgetful {
    fn known(&self, _: ChunkId) -> Option<Version> {
        None
    }

    fn durable(&self, _: ChunkId, _: &Version) {}

    fn journals(&self) -> Vec<ChunkId> {
        Vec::new()
    }

    fn seen(&self, _: ChunkId, _: &Version) {}

    fn has_seen(&self) -> bool {
        false
    }

    fn seen_is_durable(&self) {}

    fn gone(&self, _: ChunkId) {}

    fn deleted(&self, _: ChunkId, _: &Tombstone) {}

    fn tombstone(&self, _: ChunkId) -> Option<Tombstone> {
        None
    }

    fn revived(&self, _: ChunkId) {}

    fn keep(&self) {}
}

/// What another one remembers, and nothing new.
pub struct ReadOnly(pub std::sync::Arc<dyn Recall>);

impl Recall for ReadOnly {
    fn known(&self, id: ChunkId) -> Option<Version> {
        self.0.known(id)
    }

    fn durable(&self, _: ChunkId, _: &Version) {}

    fn journals(&self) -> Vec<ChunkId> {
        self.0.journals()
    }

    fn inodes_beginning(&self, first: [u8; 8]) -> Vec<InodeId> {
        self.0.inodes_beginning(first)
    }

    fn seen(&self, _: ChunkId, _: &Version) {}

    fn has_seen(&self) -> bool {
        false
    }

    fn seen_is_durable(&self) {}

    fn gone(&self, _: ChunkId) {}

    fn deleted(&self, _: ChunkId, _: &Tombstone) {}

    fn tombstone(&self, id: ChunkId) -> Option<Tombstone> {
        self.0.tombstone(id)
    }

    fn attributes(&self, id: InodeId) -> Option<Vec<u8>> {
        self.0.attributes(id)
    }

    fn revived(&self, _: ChunkId) {}

    fn keep(&self) {}
}
