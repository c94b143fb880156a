//! Block entries, alone, in the groups that map blocks hold, and as a root lists them: values and their bytes.

use super::BLOCK;
use crate::crypto::{NONCE, Nonce, TAG, Tag};

/// Bytes of an entry.
pub(super) const ENTRY: usize = 2 + NONCE + TAG;
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

/// A block's place and what authenticates it. Slot 0: no block, a hole.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub slot: u16,
    pub nonce: Nonce,
    pub tag: Tag,
}

impl Entry {
    pub const HOLE: Entry = Entry { slot: 0, nonce: [0; NONCE], tag: [0; TAG] };

    pub fn is_hole(&self) -> bool {
        self.slot == 0
    }

    pub fn encode(&self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        out[..2].copy_from_slice(&self.slot.to_le_bytes());
        out[2..][..NONCE].copy_from_slice(&self.nonce);
        out[2 + NONCE..].copy_from_slice(&self.tag);
        out
    }

    pub fn decode(bytes: &[u8; ENTRY]) -> Entry {
        let mut entry = Entry { slot: u16::from_le_bytes([bytes[0], bytes[1]]), ..Entry::HOLE };
        entry.nonce.copy_from_slice(&bytes[2..][..NONCE]);
        entry.tag.copy_from_slice(&bytes[2 + NONCE..]);
        entry
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
    pub fn decode(block: &[u8; BLOCK]) -> std::result::Result<Box<Entries>, &'static str> {
        let mut entries = Entries::empty();
        let (bytes, _) = block.as_chunks::<ENTRY>();
        for (entry, bytes) in entries.list.iter_mut().zip(bytes) {
            *entry = Entry::decode(bytes);
            match entry.slot {
                0 => *entry = Entry::HOLE,
                1 => return Err("a map block names a slot of the roots"),
                _ => entries.used += 1,
            }
        }
        Ok(entries)
    }

    pub fn encode(&self, block: &mut [u8]) {
        block.fill(0);
        for (entry, bytes) in self.list.iter().zip(block.chunks_exact_mut(ENTRY)) {
            bytes.copy_from_slice(&entry.encode());
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
    /// Map blocks by group; none: the table is direct.
    pub maps: Vec<(u16, Entry)>,
    /// Blocks by number: all there are, or what counts instead of what map blocks say, holes included.
    pub entries: Vec<(u16, Entry)>,
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
pub(super) fn position(number: u16) -> (usize, usize) {
    (usize::from(number) / GROUP, usize::from(number) % GROUP)
}
