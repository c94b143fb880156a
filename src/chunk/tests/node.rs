//! One state of the small model: a chunk in memory, the disk below it, what was promised; and its fingerprint, equal
//! for states that differ only in the values of nonces, commit numbers and blocks.

use super::super::blocks::Key;
use super::super::chunk::Chunk;
use super::super::entry::{Entry, GROUP, StoredEntry, number_at};
use super::super::root::Decoded;
use super::super::slots::State as SlotState;
use super::super::table::Table;
use super::super::{BlockNumber, Commit, Section};
use super::disk::{BlockId, Disk};
use crate::crypto::Tag;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use zerocopy::FromBytes as _;

/// What the logical blocks hold: the number of the block on disk, `None` for a hole.
pub type Content = Vec<Option<BlockId>>;

pub struct Node {
    pub chunk: Chunk,
    pub disk: Disk,
    /// Largest commit number that the process has seen.
    pub newest: u64,
    /// The commit that an fdatasync under way will make durable.
    pub syncing: Option<Commit>,
    /// The newest commit acknowledged as durable.
    pub synced: Commit,
    /// What each commit holds, as far as a root on the disk still says it.
    pub committed: BTreeMap<Commit, Content>,
    /// What the chunk must read as.
    pub content: Content,
    pub crashes: u32,
    pub failures: u32,
    /// Nothing was promised of it, and nothing is there.
    pub dead: bool,
}

/// What a block names: (number, slot, block).
type Names = Vec<(BlockNumber, u16, BlockId)>;

/// Added to the numbers of metadata blocks, to tell them from data blocks.
const METADATA: u16 = 10_000;

/// What is known about blocks from when they were written.
#[derive(Default)]
pub struct Registry {
    tags: HashMap<Tag, BlockId>,
    pub roots: HashMap<BlockId, RootWords>,
    pub maps: HashMap<BlockId, Names>,
}

#[derive(Clone)]
pub struct RootWords {
    pub commit: Commit,
    pub settled: bool,
    /// How many of the names are map blocks; the first ones.
    pub maps: usize,
    pub names: Names,
}

impl Registry {
    /// Takes note of what the chunk's tables and the roots on the disk name.
    pub fn learn(&mut self, chunk: &Chunk, disk: &Disk) {
        for (_, entry) in chunk.data.present().into_iter().chain(chunk.metadata.present()) {
            self.block_of(&entry, disk);
        }
        for which in 0..2 {
            let live = disk.slots[which].live();
            if live.id > 1 && !self.roots.contains_key(&live.id) {
                let key = chunk.key.as_ref().expect("a root was sealed");
                let plain = key.open_root(chunk.id, which as u8, &live.bytes);
                let root =
                    Decoded::decode(&plain.expect("roots are sealed as such"), chunk.data.limit).unwrap();
                let mut names = Names::new();
                for (k, map) in &root.data.maps {
                    let block = self.block_of(map, disk);
                    self.learn_map(key, *k, map, block, disk);
                    names.push((*k, map.slot.0, block));
                }
                for (number, entry) in &root.data.entries {
                    let block = if entry.is_hole() { 0 } else { self.block_of(entry, disk) };
                    names.push((*number, entry.slot.0, block));
                }
                for (number, entry) in &root.metadata.entries {
                    names.push((number.after(METADATA), entry.slot.0, self.block_of(entry, disk)));
                }
                let (commit, settled) = (root.version.commit(), root.settled);
                self.roots.insert(live.id, RootWords { commit, settled, maps: root.data.maps.len(), names });
            }
        }
    }

    /// The block that an entry names; one not seen before is the live one in its slot.
    pub fn block_of(&mut self, entry: &Entry, disk: &Disk) -> BlockId {
        *self.tags.entry(entry.tag).or_insert_with(|| disk.slots[entry.slot.index()].live().id)
    }

    fn learn_map(&mut self, key: &Key, k: BlockNumber, entry: &Entry, block: BlockId, disk: &Disk) {
        if self.maps.contains_key(&block) {
            return;
        }
        let mut plain = *disk.slots[entry.slot.index()].live().bytes;
        key.open(Section::Data.map_kind(), k, entry, &mut plain).expect("map blocks are sealed as such");
        let mut names = Vec::new();
        let (stored, _) = <[StoredEntry]>::ref_from_prefix_with_elems(&plain, GROUP).unwrap();
        for (i, entry) in stored.iter().map(Entry::from).enumerate() {
            if !entry.is_hole() {
                names.push((number_at(k.index(), i), entry.slot.0, self.block_of(&entry, disk)));
            }
        }
        self.maps.insert(block, names);
    }
}

impl Node {
    pub fn fork(&self) -> Node {
        Node {
            chunk: fork(&self.chunk),
            disk: self.disk.clone(),
            newest: self.newest,
            syncing: self.syncing,
            synced: self.synced,
            committed: self.committed.clone(),
            content: self.content.clone(),
            crashes: self.crashes,
            failures: self.failures,
            dead: self.dead,
        }
    }

    /// Forgets commits that no root on the disk speaks of any more, and blocks that nobody names.
    pub fn prune(&mut self, registry: &Registry) {
        self.prune_blocks(registry);
        let versions = self.disk.slots[..2].iter().flat_map(|slot| &slot.versions);
        let alive: Vec<Commit> =
            versions.filter_map(|block| registry.roots.get(&block.id)).map(|root| root.commit).collect();
        self.committed.retain(|commit, _| alive.contains(commit));
    }

    /// What nobody names is as good as torn; and until an fdatasync begins, which versions there are matters, not how
    /// often and in what order they were written.
    fn prune_blocks(&mut self, registry: &Registry) {
        let roots = self.disk.slots[..2].iter().flat_map(|slot| &slot.versions);
        let roots = roots.filter_map(|block| registry.roots.get(&block.id)).flat_map(|root| &root.names);
        let mut named: Vec<BlockId> = roots.map(|name| name.2).collect();
        let stored = self.chunk.data.groups().iter().map(|group| group.stored);
        let metadata = self.chunk.metadata.present();
        let entries =
            self.chunk.data.present().into_iter().chain(metadata).map(|(_, entry)| entry).chain(stored);
        named.extend(entries.filter_map(|entry| registry.tags.get(&entry.tag)));
        let mapped: Vec<_> = named.iter().filter_map(|block| registry.maps.get(block)).flatten().collect();
        named.extend(mapped.into_iter().map(|name| name.2));
        for slot in &mut self.disk.slots[2..] {
            for block in slot.versions.iter_mut().filter(|block| block.id != 0 && !named.contains(&block.id))
            {
                *block = Disk::torn();
            }
        }
        if self.syncing.is_none() {
            for slot in &mut self.disk.slots {
                let versions = std::mem::take(&mut slot.versions);
                let later = |i: usize| versions[i + 1..].iter().any(|other| other.id == versions[i].id);
                let mut kept: Vec<_> =
                    (0..versions.len()).filter(|&i| !later(i)).map(|i| versions[i].clone()).collect();
                let live = kept.pop();
                kept.sort_by_key(|block| block.id);
                slot.versions = kept.into_iter().chain(live).collect();
            }
        }
    }

    pub fn fingerprint(&self, registry: &Registry) -> u64 {
        let mut words = Words { registry, numbers: HashMap::new(), out: Vec::new(), commits: Vec::new() };
        self.describe(&mut words);
        let mut ranks = words.commits.clone();
        ranks.sort_unstable();
        ranks.dedup();
        words.out.extend(self.chunk.unsynced.slots().into_iter().map(|slot| u64::from(slot.0)));
        let mut hasher = DefaultHasher::new();
        words.out.hash(&mut hasher);
        for commit in words.commits {
            ranks.binary_search(&commit).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn describe(&self, words: &mut Words) {
        words.out.extend([u64::from(self.crashes), u64::from(self.failures), u64::from(self.dead)]);
        for slot in &self.disk.slots {
            words.out.push(slot.versions.len() as u64);
            words.out.push(u64::from(slot.is_stuck));
            slot.versions.iter().for_each(|block| words.block(block.id));
        }
        words.out.extend(self.disk.syncing.iter().flatten().map(|&count| count as u64));
        words.commits.extend(self.syncing.map(|commit| commit.0));
        words.commits.extend([self.newest, self.synced.0]);
        for (commit, content) in &self.committed {
            words.commits.push(commit.0);
            words.content(content);
        }
        words.content(&self.content);
        self.describe_chunk(words);
    }

    fn describe_chunk(&self, words: &mut Words) {
        let chunk = &self.chunk;
        let state = &chunk.state;
        let flags = [
            state.dirty,
            state.anchored,
            state.unsynced,
            state.syncing,
            state.in_doubt,
            state.failed,
            state.suspect,
            state.name_new,
            chunk.slots.is_some(),
            self.syncing.is_some(),
            chunk.newest.is_some(),
            chunk.durable.is_some(),
        ];
        words.out.extend(flags.map(u64::from));
        for root in [chunk.newest, chunk.durable].into_iter().flatten() {
            words.out.extend([u64::from(root.which), u64::from(root.settled)]);
            words.commits.push(root.commit.0);
        }
        words.commits.extend([chunk.version.commit().0, chunk.attempted.0]);
        words.table(&chunk.data);
        words.out.push(chunk.version.0.len() as u64);
        if !chunk.others.is_empty() {
            words.table(&chunk.metadata);
        }
        if let Some(slots) = &chunk.slots {
            let state = |state: &SlotState| match state {
                SlotState::Free => 0,
                SlotState::Fresh => 1,
                SlotState::Named => 2,
            };
            words.out.extend(slots.state.iter().map(state));
            for list in [slots.free.iter().copied().collect(), slots.dropped.clone(), slots.waiting.clone()] {
                words.out.push(list.len() as u64);
                words.out.extend(list.into_iter().map(|slot| u64::from(slot.0)));
            }
        }
    }
}

/// A state in words: blocks by order of appearance, commits apart, to be ranked.
struct Words<'a> {
    registry: &'a Registry,
    numbers: HashMap<BlockId, u64>,
    out: Vec<u64>,
    commits: Vec<u64>,
}

impl Words<'_> {
    fn block(&mut self, block: BlockId) {
        if block <= 1 {
            return self.out.push(block);
        }
        let next = self.numbers.len() as u64 + 2;
        if let Some(&number) = self.numbers.get(&block) {
            return self.out.push(number);
        }
        self.numbers.insert(block, next);
        self.out.push(next);
        let registry = self.registry;
        if let Some(root) = registry.roots.get(&block) {
            self.commits.push(root.commit.0);
            self.out.extend([u64::from(root.settled), root.maps as u64]);
            self.names(&root.names);
        }
        if let Some(names) = registry.maps.get(&block) {
            self.names(names);
        }
    }

    fn names(&mut self, names: &Names) {
        self.out.push(names.len() as u64);
        for &(number, slot, block) in names {
            self.out.extend([u64::from(number.0), u64::from(slot)]);
            self.block(block);
        }
    }

    fn content(&mut self, content: &Content) {
        content.iter().for_each(|block| self.block(block.unwrap_or(0)));
    }

    fn table(&mut self, table: &Table) {
        for group in table.groups() {
            let of = |entry: &Entry| self.registry.tags.get(&entry.tag).copied().unwrap_or(0);
            let stored = of(&group.stored);
            let entries: Vec<_> = group.loaded().map_or(Vec::new(), |entries| {
                let used = entries.list().iter().enumerate().filter(|(_, entry)| !entry.is_hole());
                used.map(|(i, entry)| (BlockNumber(i as u16), entry.slot.0, of(entry))).collect()
            });
            self.out.extend([
                u64::from(group.stale),
                u64::from(group.is_changed()),
                u64::from(group.loaded().is_some()),
                group.stored.slot.0.into(),
            ]);
            self.block(stored);
            self.names(&entries);
            if let Some(entries) = group.loaded() {
                entries.each_changed(|i| self.out.push(i as u64));
            }
        }
    }
}

/// A second chunk in the same state, over the same file.
fn fork(chunk: &Chunk) -> Chunk {
    let context = Arc::clone(&chunk.context);
    Chunk {
        key: chunk.key.clone(),
        context,
        id: chunk.id,
        file: chunk.file.clone(),
        seals: chunk.seals,
        data: chunk.data.clone(),
        metadata: chunk.metadata.clone(),
        slots: chunk.slots.clone(),
        record: chunk.record.clone(),
        inline: chunk.inline.clone(),
        version: chunk.version.clone(),
        others: chunk.others.clone(),
        included: Default::default(),
        newest: chunk.newest,
        durable: chunk.durable,
        attempted: chunk.attempted,
        state: chunk.state.clone(),
        unsynced: chunk.unsynced.fork(),
        hold: crate::chunk::Hold::default(),
        rejected: chunk.rejected,
        lacks_own: chunk.lacks_own,
    }
}
