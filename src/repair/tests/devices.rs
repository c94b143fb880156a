//! Several devices and a sync client: what is on its way, stands beside another version or was deleted is no damage, and a
//! repair at any moment costs nothing of what another device did. `CRYPTFS_WALKS=n` is the long form.

use super::super::Choices;
use super::fixture::{check, repair};
use crate::check::{Class, Finding, Trouble, What};
use crate::chunk::{ChunkId, InodeId};
use crate::store::Store;
use crate::store::image::Image;
use crate::store::memory::Item;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::tests::devices::client::Style;
use crate::volume::tests::devices::fleet::{
    FleetFixture, edit, find, kill, make, make_directories, make_directory, remove, remove_all, rename, tree,
};
use crate::volume::tests::devices::walks::walk;
use crate::volume::{Damage, Timestamp, Volume};
use hashbrown::HashSet;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn found(fleet: &FleetFixture, at: usize) -> Vec<Finding> {
    let device = &fleet.devices[at];
    let store: Arc<dyn Store> = Arc::new(device.store.clone());
    check(&device.keys, &store, true).0
}

fn repair_at(fleet: &FleetFixture, at: usize) {
    let device = &fleet.devices[at];
    let store: Arc<dyn Store> = Arc::new(device.store.clone());
    repair(&device.keys, &store, &Mutex::new(HashSet::new()), Choices::default());
}

/// A chunk file that this device knew and that is gone was deleted on another device, or is lost: nobody can tell.
fn is_deleted(finding: &Finding) -> bool {
    matches!(finding.what, What::Dangling { trouble: Trouble::Damage(Damage::Deleted), .. })
}

#[test]
fn what_is_on_its_way_is_no_damage() {
    let mut random = TestRng(seed());
    for _ in 0..variable("CRYPTFS_WALKS").unwrap_or(40) {
        let (here, many, kills) = (random.0, 2 + random.below(2), random.below(2) == 0);
        let told = |fleet: &FleetFixture, at: usize, found: &[&Finding]| {
            assert!(
                found.is_empty(),
                "CRYPTFS_SEED={here}, device {at}\n{}\n{found:#?}",
                fleet.log.join("\n")
            );
        };
        let mut looks = |fleet: &mut FleetFixture, at: usize| {
            let found = found(fleet, at);
            let is_wrong = |finding: &&Finding| finding.class() == Class::Damage && !is_deleted(finding);
            told(fleet, at, &found.iter().filter(is_wrong).collect::<Vec<_>>());
        };
        let mut fleet = walk(here, many, kills, &mut looks);
        // Once all is delivered, and what was deleted and came back is removed again, nothing at all is found.
        fleet.wait(Duration::from_secs(2 * 86_400));
        if fleet.look(tree) {
            fleet.wait(Duration::from_secs(3600));
        }
        for at in 0..many {
            told(&fleet, at, &found(&fleet, at).iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_repair_at_any_moment_costs_no_device_anything() {
    let mut random = TestRng(seed());
    for _ in 0..variable("CRYPTFS_WALKS").unwrap_or(40) {
        let (here, many, kills) = (random.0, 2 + random.below(2), random.below(2) == 0);
        walk(here, many, kills, &mut |fleet, at| repair_at(fleet, at));
    }
}

type Work = fn(&Volume);
type Files = BTreeMap<Item, Image>;

fn link(volume: &Volume) {
    let (file, folder) = (find(volume, "p/f").unwrap(), find(volume, "q").unwrap());
    volume.link(&file, &folder, b"linked", Timestamp::now()).unwrap();
}

const WORKS: &[(&str, Work)] = &[
    ("a file is moved", |volume| rename(volume, "p/f", "q/f").unwrap()),
    ("a folder is moved", |volume| rename(volume, "p/d", "q/d").unwrap()),
    ("a file gets a second name", link),
    ("a file is made", |volume| make(volume, "p/new", "new").unwrap()),
    ("a file is changed", |volume| edit(volume, "p/f", "changed").unwrap()),
    ("a folder is made with a file in it", |volume| {
        make_directory(volume, "p/made").unwrap();
        make(volume, "p/made/inner", "inner").unwrap();
    }),
    ("folders are moved into each other", |volume| {
        rename(volume, "p", "q/p").unwrap();
        rename(volume, "q/p/d", "d").unwrap();
        rename(volume, "q", "d/q").unwrap();
    }),
    ("a file is removed", |volume| remove(volume, "p/f").unwrap()),
    ("a folder is removed with all that is in it", |volume| remove_all(volume, "p").unwrap()),
];

/// A fleet of two devices that have the same, and the files as they are before and after one of them does something.
fn done(work: Work) -> (FleetFixture, Files, Files) {
    let mut fleet = FleetFixture::new(2, &[Style::OursAside]);
    make_directories(&mut fleet, 0, &["p", "q", "p/d"]);
    fleet.make(0, "p/f");
    fleet.make(0, "p/d/g");
    fleet.judge();
    let before = fleet.images(0).into_iter().collect();
    fleet.at(0, |_, volume| work(volume));
    let after = fleet.images(0).into_iter().collect();
    (fleet, before, after)
}

/// Every set of the files that something changed arrives without the others.
#[test]
fn whichever_files_of_a_change_arrive_first_it_is_no_damage() {
    for (what, work) in WORKS {
        let (fleet, before, after) = done(*work);
        let changed: Vec<&Item> =
            before.keys().chain(after.keys()).filter(|item| before.get(*item) != after.get(*item)).collect();
        let changed: Vec<&Item> =
            changed.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        assert!((1..10).contains(&changed.len()), "{what}: {changed:?}");
        for arrived in 0..1u32 << changed.len() {
            for (at, item) in changed.iter().enumerate() {
                let from = if arrived & (1 << at) == 0 { &before } else { &after };
                fleet.devices[1].store.put(item, from.get(*item).cloned());
            }
            let found = found(&fleet, 1);
            let is_wrong = |finding: &&Finding| finding.class() == Class::Damage && !is_deleted(finding);
            let wrong: Vec<_> = found.iter().filter(is_wrong).collect();
            assert!(wrong.is_empty(), "{what}, files {arrived:b} have arrived: {wrong:#?}");
            let is_whole = arrived == 0 || arrived + 1 == 1 << changed.len();
            assert!(!is_whole || found.is_empty(), "{what}: {found:#?}");
        }
    }
}

/// A file's record has them until somebody looks at the file.
#[test]
fn names_that_another_device_took_away_are_no_damage() {
    let mut fleet = FleetFixture::new(2, &[Style::OursAside]);
    make_directories(&mut fleet, 0, &["p", "q"]);
    fleet.make(0, "f");
    fleet.judge();
    fleet.at(0, |_, volume| rename(volume, "f", "p/x").unwrap());
    fleet.at(1, |_, volume| rename(volume, "f", "q/y").unwrap());
    fleet.judge();
    fleet.at(0, |_, volume| remove(volume, "p/x").unwrap());
    fleet.at(1, |_, volume| rename(volume, "q/y", "q/z").unwrap());
    fleet.devices.iter().for_each(|device| device.store.be_young());
    fleet.settle();
    for at in 0..2 {
        let found = found(&fleet, at);
        assert!(found.len() == 1 && found[0].what == What::FormerNames, "{at}: {found:#?}");
    }
    fleet.judge();
    (0..2).for_each(|at| assert!(found(&fleet, at).is_empty()));
}

/// A journal tells of a name in a directory that has not arrived as it was before.
#[test]
fn a_name_that_only_a_journal_can_have_may_come() {
    let mut fleet = FleetFixture::new(2, &[Style::OursAside]);
    fleet.make(1, "before");
    let volume = fleet.mount(1);
    make(&volume, "f", "f").unwrap();
    kill(volume);
    let device = &fleet.devices[1];
    let root = device.keys.context(Arc::new(device.store.clone())).file_name(ChunkId::first(InodeId::ROOT));
    for (item, image) in fleet.images(1).into_iter().filter(|(item, _)| *item != Item::File(root)) {
        fleet.devices[0].store.put(&item, Some(image));
    }
    let found = found(&fleet, 0);
    let is_on_its_way = |finding: &Finding| matches!(finding.what, What::Unnamed { may_come: true, .. });
    assert!(found.len() == 2 && found.iter().all(is_on_its_way), "{found:#?}");
}

/// What was removed here and comes back is left to the next mount.
#[test]
fn what_was_removed_here_and_comes_back_is_left_alone() {
    for work in [WORKS[WORKS.len() - 2].1, WORKS[WORKS.len() - 1].1] {
        let (mut fleet, before, after) = done(work);
        for (item, image) in before.iter().filter(|(item, _)| !after.contains_key(*item)) {
            fleet.devices[0].store.put(item, Some(image.clone()));
        }
        let returned = found(&fleet, 0);
        assert!(
            !returned.is_empty() && returned.iter().all(|finding| finding.what == What::Returned),
            "{returned:#?}"
        );
        let files = fleet.images(0);
        repair_at(&fleet, 0);
        assert!(files == fleet.images(0), "a repair changed something");
        fleet.at(0, |_, _| ());
        assert_eq!(found(&fleet, 0).len(), returned.len());
    }
}
