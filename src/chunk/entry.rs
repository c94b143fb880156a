//! Block entries, alone, in the groups that map blocks hold, and as a root lists them: values and their bytes.

use super::{BLOCK, BlockNumber};
use crate::crypto::{NONCE, Nonce, TAG, Tag};
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an entry.
pub(super) const ENTRY: usize = size_of::<StoredEntry>();
/// Entries of a map block.
pub(super) const GROUP: usize = 136;

const _: () = assert!(GROUP * ENTRY + 16 == BLOCK);

/// A bit for each entry of a group.
pub(super) type Places = [u64; GROUP.div_ceil(64)];

pub(super) const EVERY: Places = {
    let mut places = [!0; _];
    places[GROUP / 64] = (1 << (GROUP % 64)) - 1;
    places
};

/// A place of 4096 bytes in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub u16);

impl Slot {
    /// Stands where a hole has no slot: the first root's, which no block has.
    pub const NONE: Slot = Slot(0);
    /// The second root's.
    pub const SECOND_ROOT: Slot = Slot(1);

    /// The slot so many behind this one.
    pub fn after(self, count: u16) -> Slot {
        Slot(self.0 + count)
    }

    /// Bytes before it.
    pub fn offset(self) -> u64 {
        u64::from(self.0) * BLOCK as u64
    }

    /// Slots before it.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// A block's place and what authenticates it. Slot 0: no block, a hole.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub slot: Slot,
    pub nonce: Nonce,
    pub tag: Tag,
}

impl Entry {
    pub const HOLE: Entry = Entry { slot: Slot::NONE, nonce: [0; NONCE], tag: [0; TAG] };

    pub fn is_hole(&self) -> bool {
        self.slot == Slot::NONE
    }
}

/// An entry as it is stored (docs/FORMAT.md section 6.1).
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub(super) struct StoredEntry {
    slot: U16,
    nonce: Nonce,
    tag: Tag,
}

impl From<Entry> for StoredEntry {
    fn from(Entry { slot, nonce, tag }: Entry) -> StoredEntry {
        StoredEntry { slot: slot.0.into(), nonce, tag }
    }
}

impl From<&StoredEntry> for Entry {
    fn from(stored: &StoredEntry) -> Entry {
        Entry { slot: Slot(stored.slot.get()), nonce: stored.nonce, tag: stored.tag }
    }
}

/// The entries of one group.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Entries {
    pub list: [Entry; GROUP],
    pub used: usize,
    /// Those that the map block does not tell, or not so.
    pub changed: Places,
}

impl Entries {
    pub fn empty() -> Box<Entries> {
        Box::new(Entries { list: [Entry::HOLE; GROUP], used: 0, changed: [0; _] })
    }

    /// From an authenticated map block.
    ///
    /// # Errors
    ///
    /// What is wrong, if it names the slot of a root.
    pub fn decode(block: &[u8; BLOCK]) -> std::result::Result<Box<Entries>, &'static str> {
        let mut entries = Entries::empty();
        let stored = <[StoredEntry]>::ref_from_prefix_with_elems(block, GROUP);
        let (stored, _) = stored.expect("a block has room for a group");
        for (entry, stored) in entries.list.iter_mut().zip(stored) {
            *entry = Entry::from(stored);
            match entry.slot {
                Slot::NONE => *entry = Entry::HOLE,
                Slot::SECOND_ROOT => return Err("a map block names a slot of the roots"),
                _ => entries.used += 1,
            }
        }
        Ok(entries)
    }

    pub fn encode(&self, block: &mut [u8]) {
        block.fill(0);
        for (entry, bytes) in self.list.iter().zip(block.chunks_exact_mut(ENTRY)) {
            bytes.copy_from_slice(StoredEntry::from(*entry).as_bytes());
        }
    }

    pub fn list(&self) -> &[Entry; GROUP] {
        &self.list
    }

    pub fn replace(&mut self, i: usize, entry: Entry) -> Entry {
        let former = std::mem::replace(&mut self.list[i], entry);
        self.used += usize::from(!entry.is_hole());
        self.used -= usize::from(!former.is_hole());
        self.changed[i / 64] |= 1 << (i % 64);
        former
    }

    /// Visits the places of the entries that the map block does not tell.
    pub fn each_changed(&self, mut visit: impl FnMut(usize)) {
        for (word, &bits) in self.changed.iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                visit(64 * word + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

/// A table as it stands in a root.
#[derive(Default)]
pub(super) struct RootTable {
    /// Map blocks by the group they hold; none: the table is direct.
    pub maps: Vec<(BlockNumber, Entry)>,
    /// Blocks by number: all there are, or what counts instead of what map blocks say, holes included.
    pub entries: Vec<(BlockNumber, Entry)>,
}

impl RootTable {
    /// The two numbers that the root's header has of it: entries of the table, and entries beside it.
    pub fn counts(&self) -> [usize; 2] {
        match self.maps.len() {
            0 => [self.entries.len(), 0],
            maps => [maps, self.entries.len()],
        }
    }
}

/// The group of a number, and the place in it.
pub(super) fn position(number: BlockNumber) -> (usize, usize) {
    (number.index() / GROUP, number.index() % GROUP)
}

/// The number with this position.
pub(super) fn number_at(k: usize, i: usize) -> BlockNumber {
    BlockNumber((k * GROUP + i) as u16)
}
