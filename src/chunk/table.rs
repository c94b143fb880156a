//! Where the blocks of one logical space lie: entries in groups of 136, as map blocks hold them.
//!
//! A group is loaded when it is first read from; before anything is changed, all are. What changed since its map block
//! was written stands beside it in the root, where there is none all of it. Only authenticated map blocks get in here.
//! Below: `blocks`.

use super::blocks::Blocks;
use super::entry::{EVERY, Entries, Entry, GROUP, RootTable, number_at, position};
use super::{BlockCount, BlockNumber, Result, Section};
use std::sync::OnceLock;

/// So many slots apart, map blocks are worth one read of a disk.
const NEAR: u16 = 16;

/// One group: its map block, if it has one, and its entries, once they are loaded.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Group {
    /// The map block that the newest written root names; a hole if none.
    pub stored: Entry,
    /// What the root, as it was found, lists beside the map block, or without one.
    beside: Vec<(usize, Entry)>,
    entries: OnceLock<Box<Entries>>,
    /// Whether the map block has to be written again, whatever it says.
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

    /// Entries beside the map block; without one, all there are.
    fn beside_map(&self) -> usize {
        match self.loaded() {
            None => self.beside.len(),
            Some(entries) if self.stored.is_hole() => entries.used,
            Some(entries) => entries.changed.iter().map(|bits| bits.count_ones() as usize).sum(),
        }
    }

    /// The entries of a group that is loaded.
    pub fn loaded(&self) -> Option<&Entries> {
        self.entries.get().map(|entries| &**entries)
    }
}

/// The entries of one space.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Table {
    pub section: Section,
    pub limit: BlockCount,
    groups: Vec<Group>,
}

impl Table {
    pub fn new(section: Section, limit: BlockCount) -> Table {
        Table { section, limit, groups: Vec::new() }
    }

    /// The table that a checked root lists.
    pub fn from_root(section: Section, limit: BlockCount, listed: &RootTable) -> Table {
        let mut table = Table::new(section, limit);
        for &(k, map) in &listed.maps {
            table.group(k.index()).stored = map;
        }
        for &(number, entry) in &listed.entries {
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
    ///
    /// # Errors
    ///
    /// As [`Blocks::read_map`].
    pub fn entries(&self, k: usize, blocks: &Blocks) -> Result<Option<&Entries>> {
        let Some(group) = self.groups.get(k) else { return Ok(None) };
        if group.entries.get().is_none() && !group.is_empty() {
            let mut entries = match group.stored.is_hole() {
                true => Entries::empty(),
                false => {
                    self.expect_others(k, blocks);
                    blocks.read_map(self.section, k, &group.stored)?
                }
            };
            for &(i, entry) in &group.beside {
                entries.replace(i, entry);
            }
            group.entries.get_or_init(|| entries);
        }
        Ok(group.loaded())
    }

    /// Before the first map block is read: those that lie near it, as in a file written in one go all do, are asked for soon by whoever
    /// reads at random.
    fn expect_others(&self, k: usize, blocks: &Blocks) {
        if self.groups.iter().any(|group| group.loaded().is_some()) {
            return;
        }
        let own = self.groups[k].stored.slot;
        let maps = self.groups.iter().map(|group| &group.stored).filter(|map| !map.is_hole());
        let near = maps.map(|map| map.slot).filter(|slot| slot.0.abs_diff(own.0) <= NEAR);
        let (first, last) = near.fold((own, own), |(first, last), slot| (first.min(slot), last.max(slot)));
        if first < last {
            blocks.expect(first..=last);
        }
    }

    /// Loads every group that is not.
    ///
    /// # Errors
    ///
    /// As [`Blocks::read_map`].
    pub fn load_all(&self, blocks: &Blocks) -> Result<()> {
        (0..self.groups.len()).try_for_each(|k| self.entries(k, blocks).map(drop))
    }

    /// The entry of a block, or a hole.
    ///
    /// # Errors
    ///
    /// As [`Blocks::read_map`]; not of a block that stands beside the map block.
    pub fn get(&self, number: BlockNumber, blocks: &Blocks) -> Result<Entry> {
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
    pub fn replace(&mut self, number: BlockNumber, entry: Entry) -> Entry {
        let (k, i) = position(number);
        let group = self.group(k);
        if group.is_empty() {
            group.entries.get_or_init(Entries::empty);
        }
        group.entries.get_mut().expect("all groups are loaded before a change").replace(i, entry)
    }

    /// The first number from `from` on that has a block (or has none), up to the limit.
    ///
    /// # Errors
    ///
    /// As [`Blocks::read_map`].
    pub fn next(&self, from: BlockNumber, present: bool, blocks: &Blocks) -> Result<BlockNumber> {
        let (mut number, end) = (from, self.limit.end());
        while number < end {
            let (k, i) = position(number);
            let until = ((k + 1) * GROUP).min(end.index());
            match self.entries(k, blocks)? {
                None if !present => return Ok(number),
                None => {}
                Some(entries) => {
                    let wanted = |entry: &Entry| entry.is_hole() != present;
                    if let Some(after) = entries.list[i..].iter().position(wanted) {
                        return Ok(number.after(after as u16).min(end));
                    }
                }
            }
            number = BlockNumber(until as u16);
        }
        Ok(end)
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

    /// How many entries `each_beside_maps` visits.
    pub fn beside_maps(&self) -> usize {
        let groups = self.groups.iter().filter(|group| !group.is_empty() && !group.stale);
        groups.map(Group::beside_map).sum()
    }

    /// Visits the entries that a root lists which names map blocks where there are some: of groups without one, and what
    /// changed beside one. Of a group that is not loaded nothing has changed but what the root said so.
    pub fn each_beside_maps(&self, mut visit: impl FnMut(BlockNumber, Entry)) {
        let groups = self.groups.iter().enumerate();
        for (k, group) in groups.filter(|(_, group)| !group.is_empty() && !group.stale) {
            let mut tell = |i: usize, entry: Entry| visit(number_at(k, i), entry);
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
    pub fn present(&self) -> Vec<(BlockNumber, Entry)> {
        let mut present = Vec::with_capacity(self.count());
        for (k, group) in self.groups.iter().enumerate().filter(|(_, group)| !group.is_empty()) {
            let Some(entries) = group.loaded() else { continue };
            let mut tell = |i: usize| {
                if !entries.list[i].is_hole() {
                    present.push((number_at(k, i), entries.list[i]));
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
