//! A directory whose entries come and go, against a set of names: with limits drawn at random, so that its log is
//! compacted, moved into segments and back, and the journal fills up, at every size there is.

use super::hostile::told::Told;
use super::*;
use crate::store::memory::Memory;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::Rename;
use crate::volume::format::limits;
use std::collections::BTreeSet;

impl TestRng {
    fn name(&mut self, pool: usize, longest: usize) -> Vec<u8> {
        let number = self.below(pool);
        format!("{number:0>width$}", width = 4 + number % longest).into_bytes()
    }
}

/// Nothing is ever found damaged, or salvaged: what is compared after a remount was read from what was written.
fn churn(seed: u64) {
    let mut rng = TestRng(seed);
    limits::lower((2 << 20) << rng.below(3), 100 << rng.below(9), 100 << rng.below(9));
    let (fixture, store, told) = (Fixture::new(), Arc::new(Memory::new()), Told::default());
    drop(fixture.format(store.clone()));
    let (pool, longest, grows) = (10 << rng.below(8), 1 + rng.below(200), 1 + rng.below(4));
    let mut expected = BTreeSet::new();
    for _ in 0..3 {
        let volume = fixture.open(store.clone());
        assert_eq!(told.at_open(&volume), []);
        let root = volume.root().unwrap();
        for _ in 0..rng.below(3000) {
            let (name, other) = (rng.name(pool, longest), rng.name(pool, longest));
            match rng.below(6) {
                0 if rng.below(20) == 0 => volume.checkpoint().unwrap(),
                1 if rng.below(20) == 0 => volume.sync_directory(&root).unwrap(),
                2 if expected.remove(&name) => {
                    let moved = volume.rename((&root, &name), (&root, &other), Rename::Replace, None, now());
                    moved.unwrap().into_iter().for_each(|replaced| volume.release(replaced));
                    expected.insert(other);
                }
                which if which > grows && expected.remove(&name) => {
                    let gone = volume.unlink(&root, &name, now()).unwrap();
                    gone.into_iter().for_each(|gone| volume.release(gone));
                }
                _ if !expected.contains(&name) => {
                    volume.create(&root, &name, new(Kind::File)).unwrap();
                    expected.insert(name);
                }
                _ => {}
            }
        }
        volume.close().unwrap();
        drop((root, volume));
        let volume = fixture.open(store.clone());
        let found: BTreeSet<Vec<u8>> =
            names(&volume, &volume.root().unwrap()).into_iter().map(String::into_bytes).collect();
        assert!(found == expected, "{} names instead of {}", found.len(), expected.len());
        volume.close().unwrap();
        assert_eq!(told.found(), []);
    }
}

/// CRYPTFS_SEED says which, CRYPTFS_ROUNDS how many.
#[test]
fn directories_that_change_all_the_time_are_read_back() {
    let seed = seed();
    for round in 0..variable("CRYPTFS_ROUNDS").unwrap_or(30) {
        churn(seed.wrapping_add(round));
    }
}
