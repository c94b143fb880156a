//! Where the blocks of one logical space lie: entries in groups of 136, as map blocks hold them.
//!
//! A group is loaded when it is first read from; before anything is changed, all are. What changed since its map block
//! was written stands beside it in the root, where there is none all of it. Only authenticated map blocks get in here.
//! Below: `blocks`.

use super::blocks::Blocks;
use super::root::Listing;
use super::{BLOCK, Result, Space};
use crate::crypto::{NONCE, Nonce, TAG, Tag};
use std::sync::OnceLock;
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an entry.
pub(super) const ENTRY: usize = size_of::<StoredEntry>();
/// Entries of a map block.
pub(super) const GROUP: usize = 136;

const _: () = assert!(GROUP * ENTRY + 16 == BLOCK);

/// A bit for each entry of a group.
type Places = [u64; GROUP.div_ceil(64)];

const EVERY: Places = {
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
        StoredEntry { slot: slot.into(), nonce, tag }
    }
}

impl From<&StoredEntry> for Entry {
    fn from(stored: &StoredEntry) -> Entry {
        Entry { slot: stored.slot.get(), nonce: stored.nonce, tag: stored.tag }
    }
}

/// The entries of one group.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Entries {
    list: [Entry; GROUP],
    used: usize,
    /// Those that the map block does not tell, or not so.
    changed: Places,
}

impl Entries {
    fn empty() -> Box<Entries> {
        Box::new(Entries { list: [Entry::HOLE; GROUP], used: 0, changed: [0; _] })
    }

    /// From an authenticated map block.
    pub fn decode(block: &[u8; BLOCK]) -> std::result::Result<Box<Entries>, &'static str> {
        let mut entries = Entries::empty();
        let stored = <[StoredEntry]>::ref_from_prefix_with_elems(block, GROUP);
        let (stored, _) = stored.expect("a block has room for a group");
        for (entry, stored) in entries.list.iter_mut().zip(stored) {
            *entry = Entry::from(stored);
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
            bytes.copy_from_slice(StoredEntry::from(*entry).as_bytes());
        }
    }

    pub fn list(&self) -> &[Entry; GROUP] {
        &self.list
    }

    fn replace(&mut self, i: usize, entry: Entry) -> Entry {
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

/// One group: its map block, if it has one, and its entries, once they are loaded.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Group {
    /// The map block that the newest written root names; a hole if none.
    pub stored: Entry,
    /// What the root, as it was found, lists beside the map block, or without one.
    beside: Vec<(usize, Entry)>,
    entries: OnceLock<Box<Entries>>,
    /// Whether the map block has to be written anew, whatever it says.
    pub stale: bool,
}

impl Group {
    pub fn is_empty(&self) -> bool {
        self.loaded().map_or(self.stored.is_hole() && self.beside.is_empty(), |entries| entries.used == 0)
    }

    /// Whether a root that lists what changed beside the map blocks still names one for this group.
    pub fn is_mapped(&self) -> bool {
        !self.is_empty() && (self.stale || !self.stored.is_hole())
    }

    /// Whether the map block does not tell everything.
    pub fn is_changed(&self) -> bool {
        self.loaded().is_some_and(|entries| entries.changed != [0; _])
    }

    /// The newest written root now names this map block, and beside it nothing.
    pub fn map_written(&mut self, map: Entry) {
        self.stored = map;
        self.stale = false;
        if let Some(entries) = self.entries.get_mut() {
            entries.changed = [0; _];
        }
    }

    /// The newest written root now names no map block of this group.
    pub fn map_dropped(&mut self) {
        self.stale = false;
        if !std::mem::replace(&mut self.stored, Entry::HOLE).is_hole()
            && let Some(entries) = self.entries.get_mut()
        {
            entries.changed = EVERY;
        }
    }

    /// What this root, as it was found, tells of the group that the other one does not; `None` if a map block has to be
    /// asked. One that both name is no difference, and of two roots of one writer the newer tells more beside it.
    pub fn told_since<'a>(&'a self, other: &'a Group) -> Option<impl Iterator<Item = (usize, Entry)> + 'a> {
        let tells = |i: usize| self.beside.binary_search_by_key(&i, |(i, _)| *i).is_ok();
        let tells_all = self.stored == other.stored && other.beside.iter().all(|(i, _)| tells(*i));
        let told = self.beside.iter().filter(|told| !told.1.is_hole() && !other.beside.contains(told));
        tells_all.then(|| told.copied())
    }

    /// The entries of a group that is loaded.
    pub fn loaded(&self) -> Option<&Entries> {
        self.entries.get().map(|entries| &**entries)
    }
}

/// The entries of one space.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Table {
    pub space: Space,
    /// One more than the largest number.
    pub limit: u16,
    groups: Vec<Group>,
}

impl Table {
    pub fn new(space: Space, limit: u16) -> Table {
        Table { space, limit, groups: Vec::new() }
    }

    /// The table that a checked root lists.
    pub fn from_listing(space: Space, limit: u16, listing: &Listing) -> Table {
        let mut table = Table::new(space, limit);
        for &(k, map) in &listing.maps {
            table.group(usize::from(k)).stored = map;
        }
        for &(number, entry) in &listing.entries {
            let (k, i) = position(number);
            table.group(k).beside.push((i, entry));
        }
        table
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub fn groups_mut(&mut self) -> &mut [Group] {
        &mut self.groups
    }

    /// The entries of group `k`, loaded if need be; `None` where there are none.
    pub fn entries(&self, k: usize, blocks: &Blocks) -> Result<Option<&Entries>> {
        let Some(group) = self.groups.get(k) else { return Ok(None) };
        if group.entries.get().is_none() && !group.is_empty() {
            let mut entries = match group.stored.is_hole() {
                true => Entries::empty(),
                false => blocks.read_map(self.space, k, &group.stored)?,
            };
            for &(i, entry) in &group.beside {
                entries.replace(i, entry);
            }
            group.entries.get_or_init(|| entries);
        }
        Ok(group.loaded())
    }

    pub fn load_all(&self, blocks: &Blocks) -> Result<()> {
        (0..self.groups.len()).try_for_each(|k| self.entries(k, blocks).map(drop))
    }

    pub fn get(&self, number: u16, blocks: &Blocks) -> Result<Entry> {
        let (k, i) = position(number);
        // What stands beside a map block that cannot be read is there all the same.
        if let Some(group) = self.groups.get(k).filter(|group| group.loaded().is_none())
            && let Ok(at) = group.beside.binary_search_by_key(&i, |(i, _)| *i)
        {
            return Ok(group.beside[at].1);
        }
        Ok(self.entries(k, blocks)?.map_or(Entry::HOLE, |entries| entries.list[i]))
    }

    /// Sets an entry and returns the former one. Everything is loaded.
    pub fn replace(&mut self, number: u16, entry: Entry) -> Entry {
        let (k, i) = position(number);
        let group = self.group(k);
        if group.is_empty() {
            group.entries.get_or_init(Entries::empty);
        }
        group.entries.get_mut().expect("all groups are loaded before a change").replace(i, entry)
    }

    /// The first number from `from` on that has a block (or has none), up to the limit.
    pub fn next(&self, from: u16, present: bool, blocks: &Blocks) -> Result<u16> {
        let mut number = from;
        while number < self.limit {
            let (k, i) = position(number);
            let until = ((k + 1) * GROUP).min(usize::from(self.limit)) as u16;
            match self.entries(k, blocks)? {
                None if !present => return Ok(number),
                None => {}
                Some(entries) => {
                    let wanted = |entry: &Entry| entry.is_hole() != present;
                    if let Some(after) = entries.list[i..].iter().position(wanted) {
                        return Ok((usize::from(number) + after).min(usize::from(self.limit)) as u16);
                    }
                }
            }
            number = until;
        }
        Ok(self.limit)
    }

    /// Blocks present. Everything is loaded.
    pub fn count(&self) -> usize {
        self.groups.iter().filter_map(Group::loaded).map(|entries| entries.used).sum()
    }

    /// Map blocks that it takes with what changed beside them.
    pub fn mapped(&self) -> usize {
        self.groups.iter().filter(|group| group.is_mapped()).count()
    }

    /// Map blocks that it takes alone.
    pub fn maps(&self) -> usize {
        self.groups.iter().filter(|group| !group.is_empty()).count()
    }

    /// Visits the entries that a root lists which names map blocks where there are some: of groups without one, and what
    /// changed beside one. Of a group that is not loaded nothing has changed but what the root said so.
    pub fn each_beside_maps(&self, mut visit: impl FnMut(u16, Entry)) {
        let groups = self.groups.iter().enumerate();
        for (k, group) in groups.filter(|(_, group)| !group.is_empty() && !group.stale) {
            let mut tell = |i: usize, entry: Entry| visit((k * GROUP + i) as u16, entry);
            match group.loaded() {
                None => group.beside.iter().for_each(|&(i, entry)| tell(i, entry)),
                Some(entries) => entries.each_changed(|i| {
                    let entry = entries.list[i];
                    if !entry.is_hole() || !group.stored.is_hole() {
                        tell(i, entry);
                    }
                }),
            }
        }
    }

    /// Every block that is present, in order. Everything is loaded.
    pub fn present(&self) -> Vec<(u16, Entry)> {
        let mut present = Vec::with_capacity(self.count());
        for (k, group) in self.groups.iter().enumerate().filter(|(_, group)| !group.is_empty()) {
            let Some(entries) = group.loaded() else { continue };
            let mut tell = |i: usize| {
                if !entries.list[i].is_hole() {
                    present.push(((k * GROUP + i) as u16, entries.list[i]));
                }
            };
            // Without a map block everything that is there changed since.
            if group.stored.is_hole() { entries.each_changed(tell) } else { (0..GROUP).for_each(&mut tell) }
        }
        present
    }

    /// Group `k`, made if need be.
    fn group(&mut self, k: usize) -> &mut Group {
        if self.groups.len() <= k {
            self.groups.resize_with(k + 1, Group::default);
        }
        &mut self.groups[k]
    }
}

/// The group of a number, and the place in it.
pub(super) fn position(number: u16) -> (usize, usize) {
    (usize::from(number) / GROUP, usize::from(number) % GROUP)
}
