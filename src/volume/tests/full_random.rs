//! Work at random on a disk that others fill and empty: what an operation said is true, after a clean end and after a kill.

use super::full::Shared;
use super::*;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::{Error, Rename, Result};
use std::collections::BTreeMap;

const NAMES: usize = 40;
/// Blocks: as good as empty.
const AMPLE: usize = 200_000;

/// What a name may hold: each state since the last that no kill takes away, the newest at the end.
struct Held {
    states: Vec<Option<Vec<u8>>>,
    /// A write failed in it: any part may have been done.
    is_unsure: bool,
}

struct Bench {
    disk: Shared,
    fixture: Fixture,
    volume: Arc<Volume>,
    files: BTreeMap<String, Held>,
    rng: TestRng,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        let (disk, fixture) = (Shared::new(AMPLE), Fixture::new());
        let volume = fixture.format(disk.store.clone());
        let held = || Held { states: vec![None], is_unsure: false };
        let files = (0..NAMES).map(|n| (format!("f{n}"), held())).collect();
        Bench { disk, fixture, volume, files, rng: TestRng(seed) }
    }

    fn inode(&self, name: &str) -> Arc<Inode> {
        self.volume.lookup(&self.volume.root().unwrap(), name.as_bytes()).unwrap().expect("it is there")
    }

    /// Notes that a name holds something else now, if the operation says so; whether it does.
    fn note(&mut self, name: &str, state: Option<Vec<u8>>, outcome: Result<()>) -> bool {
        let held = self.files.get_mut(name).expect("one of the names");
        match outcome {
            Ok(()) => {
                held.is_unsure &= state.is_some();
                held.states.push(state);
                true
            }
            Err(Error::NoSpace) => false,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// No kill takes away what there is now.
    fn secure(&mut self) {
        self.files.values_mut().for_each(|held| drop(held.states.drain(..held.states.len() - 1)));
    }

    fn act(&mut self) {
        let name = format!("f{}", self.rng.below(NAMES));
        let state = self.files[&name].states.last().expect("there is always one").clone();
        match (self.rng.below(20), state) {
            (0, _) => {
                if self.volume.publish().is_ok() {
                    self.secure();
                }
            }
            (1, _) => {
                if self.volume.note_space(self.volume.round()).is_ok() {
                    self.secure();
                }
            }
            (2, _) => self.disk.fill_but([0, 1, 5, 40, 400][self.rng.below(5)]),
            (3, _) => self.disk.fill_but(AMPLE),
            (_, None) => self.make(&name),
            (4..7, Some(_)) => self.remove(&name),
            (7, Some(content)) => self.rename(&name, content),
            (8, Some(content)) => {
                let size = self.rng.below(content.len() + 3000);
                let resized = self.volume.resize(&self.inode(&name), size as u64, now(), 0);
                let mut content = content;
                content.resize(size, 0);
                if !self.note(&name, Some(content), resized) {
                    self.files.get_mut(&name).unwrap().is_unsure = true;
                }
            }
            (9..11, Some(content)) => {
                let synced = self.volume.sync(&self.inode(&name), false);
                if self.note(&name, Some(content), synced) {
                    let held = self.files.get_mut(&name).unwrap();
                    held.states.drain(..held.states.len() - 1);
                }
            }
            (_, Some(content)) => self.write(&name, content),
        }
    }

    fn make(&mut self, name: &str) {
        let made = self.volume.create(&self.volume.root().unwrap(), name.as_bytes(), new(Kind::File));
        if self.note(name, Some(Vec::new()), made.map(drop)) {
            self.write(name, Vec::new());
        }
    }

    fn write(&mut self, name: &str, mut content: Vec<u8>) {
        let length = [1, 700, 1500, 3900, 5000, 30_000, 600_000][self.rng.below(7)];
        let data = pattern(1 + self.rng.below(length), self.rng.0);
        let at = [0, content.len(), self.rng.below(content.len() + 1)][self.rng.below(3)];
        let at = at.min(CHUNK as usize - data.len());
        let written = self.volume.write(&self.inode(name), at as u64, &data, now(), 0);
        content.resize(content.len().max(at + data.len()), 0);
        content[at..at + data.len()].copy_from_slice(&data);
        if !self.note(name, Some(content), written) {
            self.files.get_mut(name).unwrap().is_unsure = true;
        }
    }

    fn remove(&mut self, name: &str) {
        let removed = self.volume.unlink(&self.volume.root().unwrap(), name.as_bytes(), now());
        let removed = removed.map(|gone| gone.into_iter().for_each(|gone| self.volume.release(gone)));
        self.note(name, None, removed);
    }

    fn rename(&mut self, name: &str, content: Vec<u8>) {
        let to = format!("f{}", self.rng.below(NAMES));
        if to == name {
            return;
        }
        let root = self.volume.root().unwrap();
        let renamed = self.volume.rename(
            (&root, name.as_bytes()),
            (&root, to.as_bytes()),
            Rename::Replace,
            None,
            now(),
        );
        let renamed = renamed.map(|gone| gone.into_iter().for_each(|gone| self.volume.release(gone)));
        let is_unsure = self.files[name].is_unsure;
        let earlier = self.files[name].states.clone();
        if self.note(name, None, renamed) {
            let target = self.files.get_mut(&to).unwrap();
            target.states.extend(earlier);
            target.states.push(Some(content));
            target.is_unsure = is_unsure;
        }
    }

    /// Ends the mount, begins another on the same disk, full or not, and looks at what there is.
    fn remount(&mut self) {
        let is_killed = self.rng.below(2) == 0;
        if !is_killed && self.volume.close().is_err() {
            self.disk.fill_but(AMPLE);
            self.volume.close().expect("there is room again");
        }
        self.volume = self.fixture.open(self.disk.store.clone());
        for (name, held) in &mut self.files {
            let found = look(&self.volume, name);
            let states = if is_killed { &held.states[..] } else { &held.states[held.states.len() - 1..] };
            let is_there = found.is_some();
            let is_one =
                states.contains(&found) || held.is_unsure && states.iter().any(|s| s.is_some() == is_there);
            let lengths: Vec<_> = states.iter().map(|state| state.as_ref().map(Vec::len)).collect();
            let length = found.as_ref().map(Vec::len);
            assert!(is_one, "{name}: {length:?}, killed {is_killed}, should be of {lengths:?}");
            *held = Held { states: vec![found], is_unsure: false };
        }
    }
}

fn rounds(count: usize) {
    let seed = seed();
    let mut bench = Bench::new(seed);
    for _ in 0..count {
        for _ in 0..bench.rng.below(120) {
            bench.act();
        }
        bench.remount();
    }
}

#[test]
fn what_was_said_on_a_full_disk_is_true() {
    rounds(100);
}

/// CRYPTFS_ROUNDS says how many, 10,000 unless set.
#[test]
#[ignore = "minutes"]
fn what_was_said_on_a_full_disk_is_true_for_long() {
    rounds(variable("CRYPTFS_ROUNDS").unwrap_or(10_000));
}
