//! What chunks and their blocks are called, and how versions compare (docs/FORMAT.md sections 5, 6.1 and 6.2).

use super::BLOCK;
use super::mutants::{self, Mutant};
use crate::crypto::sha256;
use data_encoding::HEXLOWER;
use std::fmt;
use std::ops::Range;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Names an inode for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(pub [u8; 12]);

/// Names a device that writes to volumes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub [u8; 8]);

/// A chunk: which inode's, and which of its chunks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId {
    pub inode: InodeId,
    pub index: ChunkIndex,
}

/// Which chunk of its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkIndex(pub u32);

/// How many chunks an inode may have, chunk 0 among them: their indices are less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkCount(pub u32);

/// Which block of its section; of a map block, which of those that the section has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockNumber(pub u16);

/// How many blocks a section may have: their numbers are less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCount(pub u16);

/// A commit number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Commit(pub u64);

/// A version vector: for each device its last commit; the writer's comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version(pub Vec<(DeviceId, Commit)>);

/// An entry of a version as it is stored (docs/FORMAT.md section 6.1).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct StoredVersion {
    device: [u8; 8],
    commit: U64,
}

impl From<(DeviceId, Commit)> for StoredVersion {
    fn from((device, commit): (DeviceId, Commit)) -> StoredVersion {
        StoredVersion { device: device.0, commit: commit.0.into() }
    }
}

impl From<StoredVersion> for (DeviceId, Commit) {
    fn from(stored: StoredVersion) -> (DeviceId, Commit) {
        (DeviceId(stored.device), Commit(stored.commit.get()))
    }
}

impl DeviceId {
    /// Whether that device writes dots under this id, which it took where work of its own was missing (section 8).
    pub fn stands_in_for(self, device: DeviceId) -> bool {
        self != device && self.0[3..] == device.0[3..]
    }
}

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

impl InodeId {
    /// Of the file that a lost version of another one becomes, the same on every device: the first 12 bytes of SHA-256 of
    /// a label, the file's id, the stamp of that version and a number (docs/FORMAT.md section 8). `None`: that id is
    /// reserved.
    pub fn of_lost_version(file: InodeId, device: DeviceId, commit: Commit, number: u8) -> Option<InodeId> {
        let digest =
            sha256(&[b"cryptfs v2 conflict", &file.0, &device.0, &commit.0.to_le_bytes(), &[number]]);
        let id = InodeId(*digest.first_chunk().expect("32 bytes"));
        (id != InodeId::ROOT && id.journal_of().is_none()).then_some(id)
    }
}

impl ChunkIndex {
    /// The chunk that holds the inode's record.
    pub const FIRST: ChunkIndex = ChunkIndex(0);
    /// The first of the extra chunks.
    pub const FIRST_EXTRA: ChunkIndex = ChunkIndex(1);

    pub fn is_first(self) -> bool {
        self == ChunkIndex::FIRST
    }

    pub fn next(self) -> ChunkIndex {
        self.after(1)
    }

    /// The chunk so many behind this one.
    pub fn after(self, count: u32) -> ChunkIndex {
        ChunkIndex(self.0 + count)
    }

    /// The chunks of a range, in order.
    pub fn each(range: Range<ChunkIndex>) -> impl Iterator<Item = ChunkIndex> {
        (range.start.0..range.end.0).map(ChunkIndex)
    }
}

impl BlockNumber {
    pub const FIRST: BlockNumber = BlockNumber(0);

    /// The block in which a byte of its section lies.
    pub fn of_byte(position: u64) -> BlockNumber {
        BlockNumber((position / BLOCK as u64) as u16)
    }

    pub fn next(self) -> BlockNumber {
        self.after(1)
    }

    /// The block so many behind this one.
    pub fn after(self, count: u16) -> BlockNumber {
        BlockNumber(self.0 + count)
    }

    /// Bytes of its section before it.
    pub fn start(self) -> u64 {
        u64::from(self.0) * BLOCK as u64
    }

    /// Blocks of its section before it.
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// This one and those behind it, in order.
    pub fn onward(self) -> impl Iterator<Item = BlockNumber> {
        (self.0..).map(BlockNumber)
    }
}

impl BlockCount {
    /// Behind the last block.
    pub fn end(self) -> BlockNumber {
        BlockNumber(self.0)
    }

    pub fn all(self) -> Range<BlockNumber> {
        BlockNumber::FIRST..self.end()
    }
}

// People meet these three in the log and in `cryptfs status`.

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for InodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.journal_of() {
            Some(device) => write!(f, "the journal of {device:?}"),
            None => write!(f, "inode {}", HEXLOWER.encode(&self.0)),
        }
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk {} of {:?}", self.index, self.inode)
    }
}

impl fmt::Display for ChunkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ChunkId {
    /// Chunk 0 of an inode.
    pub fn first(inode: InodeId) -> ChunkId {
        ChunkId { inode, index: ChunkIndex::FIRST }
    }

    /// The block whose encryption is the chunk file's name.
    pub fn block(self) -> [u8; 16] {
        let mut block = [0; 16];
        block[..12].copy_from_slice(&self.inode.0);
        block[12..].copy_from_slice(&self.index.0.to_le_bytes());
        block
    }

    pub fn from_block(block: [u8; 16]) -> ChunkId {
        let (inode, index) = block.split_at(12);
        ChunkId {
            inode: InodeId(inode.try_into().expect("twelve bytes")),
            index: ChunkIndex(u32::from_le_bytes(index.try_into().expect("four bytes"))),
        }
    }
}

/// How one version of a chunk stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    /// It lacks something that the other includes, and includes nothing that the other lacks.
    Older,
    /// The other is older.
    Newer,
    /// Each includes something that the other lacks: two devices wrote.
    Concurrent,
}

impl Version {
    /// The number of the commit that made this version; zero for none.
    pub fn commit(&self) -> Commit {
        self.0.first().map_or(Commit(0), |&(_, commit)| commit)
    }

    /// The last commit of a device; zero for none.
    pub fn of(&self, device: DeviceId) -> Commit {
        self.0.iter().find(|entry| entry.0 == device).map_or(Commit(0), |entry| entry.1)
    }

    /// Whether this version includes everything that `other` does.
    pub fn dominates(&self, other: &Version) -> bool {
        other.0.iter().all(|(device, theirs)| self.0.iter().any(|(d, ours)| d == device && ours >= theirs))
    }

    /// How this version stands to another one.
    pub fn compare(&self, other: &Version) -> Relation {
        let (ours, theirs) = (self.dominates(other), other.dominates(self));
        match if mutants::is_active(Mutant::DominatesReversed) { (theirs, ours) } else { (ours, theirs) } {
            (true, true) => Relation::Equal,
            (true, false) => Relation::Newer,
            (false, true) => Relation::Older,
            (false, false) => Relation::Concurrent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_in_messages_can_be_read() {
        let device = DeviceId([0x5a; 8]);
        let second = ChunkId { inode: InodeId([0x0c; 12]), index: ChunkIndex(1) };
        assert_eq!(format!("{second:?}"), "chunk 1 of inode 0c0c0c0c0c0c0c0c0c0c0c0c");
        let journal = ChunkId::first(InodeId::journal(device));
        assert_eq!(format!("{journal:?}"), "chunk 0 of the journal of device 5a5a5a5a5a5a5a5a");
    }
}
