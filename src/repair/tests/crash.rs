//! Power cuts over a repair: whatever of it reached the disk, another one ends it, and nothing is lost that was there.
//! `CRYPTFS_CUTS=n` looks at n states of each crash point, of all of them; unless it is said otherwise, of some.

use super::super::Choices;
use super::fixture::RepairFixture;
use crate::check::{Trouble, What};
use crate::chunk::InodeId;
use crate::chunk::remembered::Remembered;
use crate::store::Store;
use crate::store::power::Power;
use crate::test_rng::{seed, variable};
use crate::volume::tests::CHUNK;
use crate::volume::tests::crash::recorder::{Point, Recorder};
use std::sync::Arc;

/// Crash points of each damage that are looked at, unless it is said otherwise.
const POINTS: usize = 12;

/// What is damaged, and whose content that costs.
type Damage = (&'static str, fn(&RepairFixture), &'static [&'static str]);

const ALL: &[Damage] = &[
    ("the root directory is lost", |victim| victim.remove(InodeId::ROOT, 0), &[]),
    (
        "two folders are lost",
        |victim| {
            victim.remove(victim.id("a"), 0);
            victim.remove(victim.id("b"), 0);
        },
        &[],
    ),
    ("of a file a part is lost", |victim| victim.remove(victim.id("big"), 1), &["big"]),
    ("of a file the first chunk is lost", |victim| victim.spoil(victim.id("big"), 0, 0..8192), &["big"]),
    ("a file is lost", |victim| victim.spoil(victim.id("a/one"), 0, 0..8192), &["a/one"]),
    ("the journal is lost", |victim| victim.spoil(victim.context().own_journal().inode, 0, 0..8192), &[]),
    (
        "a name is lost",
        |victim| {
            let volume = victim.open();
            volume.forget_entry(&volume.inode(victim.id("b")).unwrap(), b"three", super::now()).unwrap();
            volume.close().unwrap();
        },
        &[],
    ),
];

#[test]
fn a_repair_that_a_power_cut_ends_is_ended_by_the_next() {
    let (seed, cuts) = (seed(), variable("CRYPTFS_CUTS"));
    for (what, damage, lost) in ALL {
        let power = Power::new();
        let victim = RepairFixture::on(Arc::new(power.clone()));
        damage(&victim);
        power.sync_all().unwrap();
        let recorder = Recorder::new(power.kill(), victim.fixture.remembered.snapshot());
        let repaired = victim.at(Arc::new(recorder.clone()), recorder.remembered.clone());
        repaired.repair(Choices::default());
        let points = recorder.points();
        let step = if cuts.is_some() { 1 } else { points.len().div_ceil(POINTS) };
        let many = points.len();
        for (number, Point { store, known, .. }) in points.into_iter().enumerate().step_by(step) {
            let seed = seed.wrapping_add(number as u64);
            for cut in store.enumerate_cuts(cuts.unwrap_or(1), seed) {
                let victim = victim.at(Arc::new(cut), Remembered::of(known.clone()));
                ends(&victim, lost, &format!("{what}: cut {number} of {many}, CRYPTFS_SEED={seed}"));
            }
        }
    }
}

fn ends(victim: &RepairFixture, lost: &[&str], what: &str) {
    let big = &victim.expected["big"];
    let is_rest = |found: &Result<Vec<u8>, String>| {
        found.as_ref().is_ok_and(|found| {
            found.len() >= big.len() && found[2 * CHUNK as usize..big.len()] == big[2 * CHUNK as usize..]
        })
    };
    // What was left of a file has a name once all of it is there.
    let half =
        victim.tree().into_iter().find(|(path, found)| path.ends_with("big.partial") && !is_rest(found));
    assert!(half.is_none(), "{what}: a copy of the rest is there that is not whole");
    victim.repair(Choices::default());
    // A new one that was begun looks like one that is on its way.
    if victim.unsettled().iter().any(|finding| finding.what == What::Root(Trouble::NotArrived)) {
        victim.repair(Choices { missing_is_lost: true, ..Choices::default() });
    }
    let left = victim.unsettled();
    assert!(left.is_empty(), "{what}: {left:#?}");
    let tree = victim.tree();
    for (path, content) in victim.expected.iter().filter(|(path, _)| !lost.contains(&path.as_str())) {
        let is_there = tree.values().any(|found| found.as_ref() == Ok(content));
        assert!(is_there, "{what}: {path} is lost: {:?}", tree.keys());
    }
    if lost.contains(&"big") {
        assert!(tree.values().any(is_rest), "{what}: the rest of it is lost: {:?}", tree.keys());
    }
}
