//! Version vectors of more devices than a root lists (docs/FORMAT.md section 6.2): the others stand in a metadata block.

use std::borrow::Cow;

use super::{BLOCK, BlockNumber, Commit, DeviceId, StoredVersion, Version};
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The metadata block, behind all that are an inode's.
pub(super) const NUMBER: BlockNumber = BlockNumber(4160);
/// Most devices of a vector; with one more the entry with the smallest commit number is dropped.
pub(super) const MOST: usize = 255;

/// The beginning of the block.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
struct Header {
    count: U16,
    zeros: [u8; 14],
}

const _: () = assert!(size_of::<Header>() + (MOST - 1) * size_of::<StoredVersion>() <= BLOCK);

/// What the block holds: in increasing order of device, none for a root that lists everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Others(Vec<(DeviceId, Commit)>);

impl Others {
    /// Of a version that a root cannot list: all but the writer's entry.
    pub fn of(version: &Version) -> Others {
        Others(version.0[1..].to_vec())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a root has to list of a version: the writer's entry, and what the block does not say or not so.
    pub fn listed<'a>(&self, version: &'a Version) -> Cow<'a, [(DeviceId, Commit)]> {
        if self.is_empty() {
            return Cow::Borrowed(&version.0);
        }
        let is_told = |entry: &(DeviceId, Commit)| {
            self.0.binary_search_by_key(&entry.0, |(device, _)| *device).is_ok_and(|at| self.0[at] == *entry)
        };
        version
            .0
            .iter()
            .enumerate()
            .filter(|(at, entry)| *at == 0 || !is_told(entry))
            .map(|(_, e)| *e)
            .collect()
    }

    /// Whether the version has all of these devices.
    pub fn is_part_of(&self, version: &Version) -> bool {
        let has = |device: DeviceId| version.0.iter().any(|(known, _)| *known == device);
        self.0.iter().all(|(device, _)| has(*device))
    }

    /// The version of a root that lists these.
    pub fn join(&self, listed: Version) -> Version {
        let is_listed = |device: DeviceId| listed.0.iter().any(|(listed, _)| *listed == device);
        let more: Vec<_> = self.0.iter().filter(|(device, _)| !is_listed(*device)).copied().collect();
        let mut version = listed;
        version.0.extend(more);
        version.0[1..].sort_unstable();
        version
    }

    pub fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let (header, entries) = block.split_at_mut(size_of::<Header>());
        let count = U16::new(self.0.len() as u16);
        header.copy_from_slice(Header { count, zeros: [0; 14] }.as_bytes());
        for (entry, out) in self.0.iter().zip(entries.chunks_exact_mut(size_of::<StoredVersion>())) {
            out.copy_from_slice(StoredVersion::from(*entry).as_bytes());
        }
        block
    }

    /// From an authenticated block.
    ///
    /// # Errors
    ///
    /// What is wrong: it lists no device, or more than there may be, or not in increasing order, or what follows is
    /// not zero.
    pub fn decode(block: &[u8; BLOCK]) -> Result<Others, &'static str> {
        const UNFIT: &str = "the block of its version vector does not fit";
        let (header, rest) = Header::ref_from_prefix(block).map_err(|_| UNFIT)?;
        let count = usize::from(header.count.get());
        if !(1..MOST).contains(&count) {
            return Err(UNFIT);
        }
        let (entries, rest) =
            <[StoredVersion]>::ref_from_prefix_with_elems(rest, count).map_err(|_| UNFIT)?;
        let others = Others(entries.iter().copied().map(<(DeviceId, Commit)>::from).collect());
        let in_order = others.0.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let is_zero = header.zeros.iter().chain(rest).all(|byte| *byte == 0);
        if in_order && is_zero { Ok(others) } else { Err(UNFIT) }
    }
}

/// The version that a commit of `device` makes that includes all these entries, of each other device the largest.
pub(super) fn next(
    known: impl Iterator<Item = (DeviceId, Commit)>,
    device: DeviceId,
    number: Commit,
) -> Version {
    let mut others: Vec<_> = known.filter(|entry| entry.0 != device).collect();
    others.sort_unstable_by_key(|entry| (entry.0, std::cmp::Reverse(entry.1)));
    others.dedup_by_key(|entry| entry.0);
    while others.len() >= MOST
        && let Some(oldest) = (0..others.len()).min_by_key(|&i| others[i].1)
    {
        others.remove(oldest);
    }
    Version([(device, number)].into_iter().chain(others).collect())
}
