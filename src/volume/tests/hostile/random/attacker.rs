//! What the attacker does to the backing files.

use super::*;
use crate::store::Area;

/// By number; the last four need something old.
const ACTS: [&str; 11] = [
    "flip",
    "flip",
    "swap",
    "cut",
    "move",
    "plant",
    "delete",
    "block of another",
    "older file",
    "older block",
    "older folder",
];

impl Scenario {
    /// Something an attacker does; bringing back what is old only where `old`.
    pub(super) fn mutate(&mut self, old: bool) {
        let mut names = self.store.names();
        names.retain(|name| !self.spares(*name));
        let (Some(&name), Some(&other)) = (self.rng.pick(&names), self.rng.pick(&names)) else { return };
        let mut content = bytes(&self.store, name);
        let act = self.rng.below(if old { 11 } else { 8 });
        self.attacks.push(format!("{} {}, {}", ACTS[act], self.describe(name), self.describe(other)));
        match act {
            0 | 1 if !content.is_empty() => {
                let at = self.rng.below(content.len().min(8 * BLOCK));
                content[at] ^= 1 << self.rng.below(8);
                // In place: a file that is open sees it.
                self.store.open(name).unwrap().write_at(0, &[IoSlice::new(&content)]).unwrap();
            }
            2 => {
                let theirs = bytes(&self.store, other);
                put(&self.store, other, &content);
                put(&self.store, name, &theirs);
            }
            3 => {
                let length = self.rng.below(content.len() + 1);
                self.store.open(name).unwrap().set_length(length as u64).unwrap();
            }
            4 => {
                self.store.remove(name).unwrap();
                put(&self.store, other, &content);
            }
            5 => {
                let area = if self.rng.below(2) == 0 { Area::Chunks } else { Area::Journals };
                put(&self.store, FileName { area, bytes: crate::crypto::random() }, &content);
            }
            6 => self.store.remove(name).unwrap(),
            7 => {
                let theirs = bytes(&self.store, other);
                let (from, to) = (self.rng.below(6) * BLOCK, self.rng.below(6) * BLOCK);
                if theirs.len() >= from + BLOCK && content.len() >= to + BLOCK {
                    content[to..to + BLOCK].copy_from_slice(&theirs[from..from + BLOCK]);
                    put(&self.store, name, &content);
                }
            }
            8 => self.roll_back(|store, past, _| store.restore_file(past, name)),
            9 => self.roll_back(|store, past, rng| {
                let now = store.snapshot();
                store.restore_file(past, name);
                if !store.names().contains(&name) {
                    return store.restore_file(&now, name);
                }
                // One slot of the old version in the present one.
                let (old, slot) = (bytes(store, name), rng.below(8) * BLOCK);
                if old.len() >= slot + BLOCK && content.len() >= slot + BLOCK {
                    content[slot..slot + BLOCK].copy_from_slice(&old[slot..slot + BLOCK]);
                }
                put(store, name, &content);
            }),
            10 => {
                let at = self.rng.below(self.past.len());
                let past = self.past[at].clone();
                let there = Memory::new();
                there.restore(&past);
                // One by one: what is spared stays open as it is.
                for name in names.into_iter().chain(there.names()).filter(|name| !self.spares(*name)) {
                    self.store.restore_file(&past, name);
                }
            }
            _ => {}
        }
    }

    fn roll_back(&mut self, act: impl FnOnce(&Memory, &Snapshot, &mut TestRng)) {
        let at = self.rng.below(self.past.len());
        act(&self.store, &self.past[at], &mut self.rng);
    }

    /// What a backing file is to the owner.
    fn describe(&self, name: FileName) -> String {
        let chunk = self.fixture.context(Arc::new(self.store.clone())).identify(name);
        let Some(chunk) = chunk else { return "nothing".to_owned() };
        let what = match self.contents.contains_key(&chunk.inode) {
            _ if chunk.inode.journal_of().is_some() => "the journal".to_owned(),
            _ if chunk.inode == InodeId::ROOT => "the root".to_owned(),
            true => format!("a file of {} bytes", self.contents[&chunk.inode].last().map_or(0, Vec::len)),
            false if self.entries.iter().any(|entry| entry.2 == chunk.inode) => "a directory".to_owned(),
            false => "what never was".to_owned(),
        };
        format!("chunk {} of {what}", chunk.index)
    }
}
