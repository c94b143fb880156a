//! What chunks are called and how their versions compare (docs/FORMAT.md sections 5 and 6.2).

use super::mutants::{self, Mutant};

/// Names an inode for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(pub [u8; 12]);

/// Names a device that writes to volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub [u8; 8]);

/// A chunk: which inode's, and which of its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId {
    pub inode: InodeId,
    pub index: u32,
}

/// A commit number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Commit(pub u64);

/// A version vector: for each device its last commit; the writer's comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version(pub Vec<(DeviceId, Commit)>);

impl InodeId {
    /// The root directory.
    pub const ROOT: InodeId = InodeId([0; 12]);

    /// The journal of a device.
    pub fn journal(device: DeviceId) -> InodeId {
        let mut id = [0xff; 12];
        id[4..].copy_from_slice(&device.0);
        InodeId(id)
    }

    /// The device whose journal this is, if it is one.
    pub fn journal_of(self) -> Option<DeviceId> {
        let (prefix, device) = self.0.split_at(4);
        (prefix == [0xff; 4]).then(|| DeviceId(device.try_into().expect("eight bytes follow the prefix")))
    }

    /// A fresh id for a new inode.
    pub fn random() -> InodeId {
        loop {
            let id = InodeId(crate::crypto::random());
            if id != InodeId::ROOT && id.journal_of().is_none() {
                return id;
            }
        }
    }
}

impl ChunkId {
    /// The block whose encryption is the chunk file's name.
    pub fn block(self) -> [u8; 16] {
        let mut block = [0; 16];
        block[..12].copy_from_slice(&self.inode.0);
        block[12..].copy_from_slice(&self.index.to_le_bytes());
        block
    }

    pub fn from_block(block: [u8; 16]) -> ChunkId {
        let (inode, index) = block.split_at(12);
        ChunkId {
            inode: InodeId(inode.try_into().expect("twelve bytes")),
            index: u32::from_le_bytes(index.try_into().expect("four bytes")),
        }
    }
}

impl Version {
    /// The number of the commit that made this version; zero for none.
    pub fn commit(&self) -> Commit {
        self.0.first().map_or(Commit(0), |&(_, commit)| commit)
    }

    /// Whether this version includes everything that `other` does.
    pub fn dominates(&self, other: &Version) -> bool {
        other.0.iter().all(|(device, theirs)| self.0.iter().any(|(d, ours)| d == device && ours >= theirs))
    }

    /// Whether this version lacks something that `other` includes, and includes nothing that `other` lacks.
    pub fn is_older_than(&self, other: &Version) -> bool {
        let (ours, theirs) = (self.dominates(other), other.dominates(self));
        if mutants::is_active(Mutant::DominatesReversed) { ours && !theirs } else { theirs && !ours }
    }
}
