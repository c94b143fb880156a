//! Several devices in turns, each with a copy of its own of one volume, and a client that copies single files: whatever
//! the order, in the end all show the same, nothing that was made is lost, and nothing is written any more.
//!
//! `CRYPTFS_WALKS=100000` is the long form.

pub mod client;
mod displaced;
pub mod fleet;
mod inexact;
mod kills;
mod large;
mod large_live;
mod live;
mod misplaced;
mod nameless;
mod newer;
mod outdated;
mod overwritten;
mod shrunk;
mod twins;
mod unmounted;
mod unnamed;
mod unread;
mod unshown;
pub mod walks;

use super::*;
use crate::chunk::{ChunkId, ChunkIndex};
use crate::store::CopyName;
use crate::store::memory::Item;
use crate::volume::Rename;
use crate::volume::mutants::{self, Mutant};
use client::Style;
use fleet::{
    Device, FleetFixture, edit, find, make_directories, make_directory, remove, remove_all, rename, tree,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const BOTH: [Style; 2] = [Style::OursAside, Style::TheirsAside];

/// Plants each mistake once: the test beside it fails then.
fn each_is_noticed(cases: &[(Mutant, fn())]) {
    for (mutant, test) in cases {
        mutants::plant(Some(*mutant));
        let noticed = catch_unwind(test).is_err();
        mutants::plant(None);
        assert!(noticed, "{mutant:?}");
    }
}

#[test]
fn names_that_two_devices_make_in_one_directory_are_both_there() {
    for styles in [[BOTH[0], BOTH[0]], [BOTH[1], BOTH[1]], [BOTH[0], BOTH[1]]] {
        let mut fleet = FleetFixture::new(2, &styles);
        fleet.make(0, "of a");
        fleet.make(1, "of b");
        let tree = fleet.judge();
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["of a", "of b"]);
    }
}

#[test]
fn of_two_files_of_one_name_both_are_there_on_both_devices() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "report.odt");
    fleet.make(1, "report.odt");
    let tree = fleet.judge();
    let names: Vec<_> = tree.keys().collect();
    assert!(
        names.len() == 2 && names[0].starts_with("report (conflict 20") && names[1] == "report.odt",
        "{names:?}"
    );
    // Whoever removes one of them leaves the other.
    fleet.at(1, |_, volume| remove(volume, "report.odt").unwrap());
    fleet.removed.insert(tree["report.odt"].clone().unwrap());
    assert_eq!(fleet.judge().into_iter().collect::<Vec<_>>(), [(names[0].clone(), tree[names[0]].clone())]);
}

/// With the name that it yielded the one that it was shown under would be one entry.
#[test]
fn a_file_that_gets_the_name_that_it_yielded_keeps_its_other_ones() {
    for exchanges in [true, false] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        (0..2).for_each(|at| fleet.make(at, "n"));
        let mut tree = fleet.judge();
        let (derived, content) = tree.pop_last().map(|(name, content)| (name, content.unwrap())).unwrap();
        let named = tree.remove("n").flatten().unwrap();
        fleet.at(0, |_, volume| {
            let root = volume.root().unwrap();
            let from = if exchanges { derived.as_bytes() } else { b"m" };
            if !exchanges {
                volume.link(&find(volume, &derived).unwrap(), &root, from, now()).unwrap();
            }
            let how = if exchanges { Rename::Exchange } else { Rename::Replace };
            let removed = volume.rename((&root, from), (&root, b"n"), how, None, now()).unwrap();
            removed.into_iter().for_each(|inode| volume.release(inode));
        });
        if !exchanges {
            fleet.removed.insert(named.clone());
        }
        let left = [("n", &content), (&*derived, if exchanges { &named } else { &content })];
        let left = left.map(|(name, content)| (name.to_owned(), Some(content.clone())));
        assert_eq!(fleet.judge().into_iter().collect::<Vec<_>>(), left);
    }
}

#[test]
fn a_file_that_was_renamed_on_both_sides_has_both_names_and_lives_as_long_as_one() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "f");
    fleet.judge();
    fleet.at(0, |_, volume| rename(volume, "f", "by a").unwrap());
    fleet.at(1, |_, volume| rename(volume, "f", "by b").unwrap());
    let tree = fleet.judge();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["by a", "by b"]);
    fleet.at(0, |_, volume| remove(volume, "by a").unwrap());
    let tree = fleet.judge();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["by b"]);
}

#[test]
fn a_directory_that_was_renamed_on_both_sides_stands_in_one_place() {
    for (to_a, to_b) in [("by a", "by b"), ("p/by a", "by b"), ("p/by a", "q/by b")] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.at(0, |_, volume| {
            ["d", "p", "q"].iter().try_for_each(|name| make_directory(volume, name)).unwrap()
        });
        fleet.make(0, "d/f");
        fleet.judge();
        fleet.at(0, |_, volume| rename(volume, "d", to_a).unwrap());
        fleet.at(1, |_, volume| rename(volume, "d", to_b).unwrap());
        let tree = fleet.judge();
        assert!(tree.contains_key(&format!("{to_b}/f")) && !tree.contains_key(to_a), "{:?}", tree.keys());
    }
}

#[test]
fn of_two_versions_of_a_file_both_are_there() {
    for (styles, length) in
        [([BOTH[0]; 2], 10), ([BOTH[1]; 2], 10), ([BOTH[0]; 2], 700_000), ([BOTH[1]; 2], 700_000)]
    {
        let mut fleet = FleetFixture::new(2, &styles);
        fleet.make(0, "report.odt");
        let original = "report.odt of AAAAAAA".to_owned();
        fleet.judge();
        let version = |name: &str| name.repeat(length / name.len());
        for (at, name) in [(0, "of a "), (1, "of b ")] {
            fleet.at(at, |_, volume| edit(volume, "report.odt", &version(name)).unwrap());
            fleet.made.insert(version(name));
        }
        fleet.removed.insert(original);
        let tree = fleet.judge();
        let names: Vec<_> = tree.keys().collect();
        assert!(
            names.len() == 2 && names[0].starts_with("report (conflict 20") && names[1] == "report.odt",
            "{names:?}"
        );
    }
}

/// For as long as the other version stands beside it.
#[test]
fn a_conflict_is_counted_where_it_was_resolved() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "report.odt");
    fleet.judge();
    for (at, name) in [(0, "of a"), (1, "of b")] {
        fleet.at(at, |_, volume| edit(volume, "report.odt", name).unwrap());
    }
    (0..2).for_each(|at| assert!(fleet.sync_all(at)));
    let counted = (0..2).map(|at| {
        let volume = fleet.mount(at);
        let count = volume.condition().conflicts;
        let names = names(&volume, &volume.root().unwrap());
        if let Some(beside) = names.iter().find(|name| name.starts_with("report (conflict")) {
            remove(&volume, beside).unwrap();
            assert_eq!(volume.condition().conflicts, 0);
        }
        volume.close().unwrap();
        count
    });
    assert_eq!(counted.sum::<usize>(), 1);
}

#[test]
fn what_both_wrote_alike_is_no_conflict_and_attributes_are_the_later_ones() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "f");
    fleet.judge();
    for at in 0..2 {
        fleet.at(at, |_, volume| edit(volume, "f", "the same").unwrap());
    }
    let set_mode = |volume: &Volume, mode| {
        let inode = find(volume, "f").unwrap();
        volume.set_attributes(&inode, |record| std::mem::replace(&mut record.mode, mode) == mode).unwrap();
    };
    fleet.at(1, |_, volume| set_mode(volume, 0o600));
    fleet.at(0, |_, volume| set_mode(volume, 0o640));
    fleet.removed.extend(fleet.made.clone());
    let tree = fleet.judge();
    assert_eq!(tree.into_iter().collect::<Vec<_>>(), [("f".to_owned(), Some("the same".to_owned()))]);
    for at in 0..2 {
        let mode = fleet.at(at, |_, volume| find(volume, "f").unwrap().view(|record| record.mode));
        assert_eq!(mode, 0o640);
    }
}

/// Backups and editors make such copies, and a provider can: what was overwritten does not come back.
#[test]
fn an_older_version_that_somebody_kept_beside_is_no_conflict() {
    let mut fleet = FleetFixture::new(1, &BOTH);
    fleet.make(0, "f");
    let name = fleet.at(0, |_, volume| {
        let first_chunk = ChunkId::first(find(volume, "f").unwrap().id());
        volume.base.context.file_name(first_chunk)
    });
    let store = fleet.devices[0].store.clone();
    let below = name.path().strip_prefix("chunks/").unwrap().to_owned() + "~";
    let copy = Item::Copy(CopyName::parse(below.as_bytes()).unwrap());
    let older = store.take(&Item::File(name));
    fleet.at(0, |_, volume| edit(volume, "f", "newer").unwrap());
    store.put(&copy, older);
    let shown = fleet.at(0, |_, volume| tree(volume));
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), [("f".to_owned(), Some("newer".to_owned()))]);
    assert!(store.take(&copy).is_some(), "it is nobody's here, and stays");
}

/// The client brings another device's directory before the copy of this one's: what is added meanwhile must not hide what
/// this device had made.
#[test]
fn names_that_are_elsewhere_for_a_while_do_not_count_as_removed() {
    for only_looks in [false, true] {
        let mut fleet = FleetFixture::new(2, &[Style::TheirsAside; 2]);
        fleet.make(0, "of a");
        fleet.sync_all(0);
        fleet.make(1, "of b");
        fleet.sync_all(1);
        let Device { store, client, .. } = &mut fleet.devices[0];
        let files =
            client.items(store, &fleet.server).into_iter().filter(|item| matches!(item, Item::File(_)));
        for item in files.collect::<Vec<_>>() {
            client.sync(&item, store, &fleet.server);
        }
        if only_looks {
            fleet.at(0, |_, _| ());
        }
        fleet.make(0, "later");
        fleet.make(0, "later still");
        let tree = fleet.judge();
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["later", "later still", "of a", "of b"]);
    }
}

/// Whoever takes the name away gives the directory that yielded the name under which it was shown: both do here, and of
/// the two equal names neither takes the other along.
#[test]
fn a_directory_that_two_devices_gave_its_derived_name_stays() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.at(1, |_, volume| make_directory(volume, "n").unwrap());
    fleet.make(1, "n/within");
    fleet.make(0, "n");
    fleet.judge();
    fleet.at(0, |_, volume| rename(volume, "n", "by a").unwrap());
    fleet.at(1, |_, volume| rename(volume, "n", "by b").unwrap());
    let tree = fleet.judge();
    assert!(tree.len() == 4 && tree.keys().any(|path| path.ends_with(")/within")), "{:?}", tree.keys());
}

/// The client takes one of two versions; the names that the other was given are in a directory that only came.
#[test]
fn a_file_that_was_edited_here_and_renamed_there_has_all_its_names() {
    for styles in [[BOTH[0]; 2], [BOTH[1]; 2]] {
        let mut fleet = FleetFixture::new(2, &styles);
        fleet.make(0, "n");
        fleet.judge();
        fleet.at(1, |_, volume| edit(volume, "n", "edited").unwrap());
        fleet.at(1, |_, volume| rename(volume, "n", "by b").unwrap());
        fleet.at(0, |_, volume| make_directory(volume, "d").unwrap());
        fleet.at(0, |_, volume| rename(volume, "n", "d/by a").unwrap());
        fleet.made.insert("edited".into());
        fleet.judge();
    }
}

/// Nobody has seen the edit who removes the file, or the new name who removes the folder.
#[test]
fn what_was_changed_without_knowing_of_its_deletion_comes_back() {
    for styles in [[BOTH[0]; 2], [BOTH[1]; 2]] {
        let mut fleet = FleetFixture::new(2, &styles);
        fleet.at(0, |_, volume| {
            ["d", "e"].iter().try_for_each(|path| make_directory(volume, path)).unwrap();
        });
        ["f", "d/old", "d/edited", "e/old"].iter().for_each(|path| fleet.make(0, path));
        fleet.judge();
        fleet.at(1, |_, volume| {
            edit(volume, "f", "f edited").unwrap();
            edit(volume, "d/edited", "d/edited edited").unwrap();
        });
        fleet.make(1, "d/new");
        fleet.made.extend(["f edited", "d/edited edited"].map(String::from));
        fleet.at(0, |_, volume| ["f", "d", "e"].iter().for_each(|path| remove_all(volume, path).unwrap()));
        fleet.removed.extend(["f", "d/old", "d/edited", "e/old"].map(|path| format!("{path} of AAAAAAA")));
        let tree = fleet.judge();
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["d", "d/edited", "d/new", "f"]);
    }
}

#[test]
fn a_name_given_without_knowing_of_the_deletion_counts() {
    for names_first in [false, true] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.make(0, "f");
        make_directories(&mut fleet, 0, &["d", "e"]);
        fleet.make(0, "d/within");
        fleet.judge();
        fleet.at(1, |_, volume| {
            rename(volume, "f", "e/g").unwrap();
            rename(volume, "d", "e/d").unwrap();
        });
        fleet.at(0, |_, volume| ["f", "d"].iter().for_each(|path| remove_all(volume, path).unwrap()));
        fleet.removed.insert("d/within of AAAAAAA".into());
        fleet.sync_all(1);
        if names_first {
            // The folder that has the new names comes before what they stand for.
            let Device { store, client, .. } = &mut fleet.devices[0];
            let e = client.items(store, &fleet.server).into_iter().filter(|item| store.take(item).is_some());
            for item in e.collect::<Vec<_>>() {
                client.sync(&item, store, &fleet.server);
            }
            fleet.at(0, |_, _| ());
        }
        assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["e", "e/d", "e/g"], "{names_first}");
    }
}

/// Another device's version arrives between the removal and the checkpoint that removes the file.
#[test]
fn a_version_that_arrives_while_its_file_is_being_deleted_is_not_deleted() {
    for is_closed in [false, true] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.make(0, "f");
        fleet.judge();
        fleet.at(1, |_, volume| edit(volume, "f", "edited").unwrap());
        fleet.made.insert("edited".into());
        fleet.removed.insert("f of AAAAAAA".into());
        let name = fleet.at(1, |_, volume| {
            volume.base.context.file_name(ChunkId::first(find(volume, "f").unwrap().id()))
        });
        fleet.sync_all(1);
        fleet.at(0, |fleet, volume| {
            let inode = find(volume, "f").unwrap();
            content(volume, &inode);
            if is_closed {
                inode.state.write().close(ChunkIndex::FIRST);
            }
            drop(inode);
            remove(volume, "f").unwrap();
            let Device { store, client, .. } = &mut fleet.devices[0];
            assert!(client.sync(&Item::File(name), store, &fleet.server));
        });
        assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["f"]);
    }
}

#[test]
fn two_directories_of_one_name_become_one() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    for at in 0..2 {
        make_directories(&mut fleet, at, &["d", "d/e"]);
    }
    for (at, path) in [(0, "d/of a"), (1, "d/of b"), (0, "d/e/of a"), (1, "d/e/of b"), (0, "d/n"), (1, "d/n")]
    {
        fleet.make(at, path);
    }
    let tree = fleet.judge();
    let names: Vec<_> = tree.keys().collect();
    assert!(names.len() == 8 && names[5].starts_with("d/n (conflict"), "{names:?}");
}

/// Both gave it the name in a directory that becomes one with another: there are two entries, which are one.
#[test]
fn a_file_that_two_devices_gave_one_name_is_moved_with_its_directory() {
    let mut fleet = FleetFixture::new(3, &BOTH);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.make(0, "d/f");
    [0, 1].into_iter().for_each(|at| assert!(fleet.sync_all(at)));
    make_directories(&mut fleet, 2, &["d"]);
    fleet.make(2, "d/x");
    (0..2).for_each(|at| fleet.at(at, |_, volume| rename(volume, "d/f", "d/x").unwrap()));
    let tree = fleet.judge();
    let names: Vec<_> = tree.keys().collect();
    assert!(names.len() == 3 && names[1] == "d/x" && names[2].starts_with("d/x (conflict"), "{names:?}");
}

#[test]
fn directories_that_were_moved_into_each_other_are_there() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    make_directories(&mut fleet, 0, &["p", "q"]);
    ["p/f", "q/g"].iter().for_each(|path| fleet.make(0, path));
    fleet.judge();
    fleet.at(0, |_, volume| rename(volume, "p", "q/p").unwrap());
    fleet.at(1, |_, volume| rename(volume, "q", "p/q").unwrap());
    let tree = fleet.judge();
    // The move that came last is undone.
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["q", "q/g", "q/p", "q/p/f"]);
}

/// The rules that this needs, each broken once.
#[test]
fn every_broken_rule_is_noticed() {
    let faults = [
        Mutant::JoinTakesOne,
        Mutant::LinksNotPutRight,
        Mutant::CopyRemovedUnmerged,
        Mutant::LostVersionDropped,
        Mutant::OlderCopySaved,
        Mutant::OwnWorkCovered,
        Mutant::NoTombstone,
        Mutant::DeletionWins,
        Mutant::ReplacedRemoved,
        Mutant::RingLeft,
        Mutant::TwinsLeft,
        Mutant::OneEntryTwice,
    ];
    for fault in faults {
        mutants::plant(Some(fault));
        let noticed = catch_unwind(AssertUnwindSafe(|| {
            names_that_two_devices_make_in_one_directory_are_both_there();
            a_file_that_was_renamed_on_both_sides_has_both_names_and_lives_as_long_as_one();
            of_two_versions_of_a_file_both_are_there();
            an_older_version_that_somebody_kept_beside_is_no_conflict();
            names_that_are_elsewhere_for_a_while_do_not_count_as_removed();
            what_was_changed_without_knowing_of_its_deletion_comes_back();
            a_version_that_arrives_while_its_file_is_being_deleted_is_not_deleted();
            two_directories_of_one_name_become_one();
            a_file_that_two_devices_gave_one_name_is_moved_with_its_directory();
            directories_that_were_moved_into_each_other_are_there();
        }));
        mutants::plant(None);
        assert!(noticed.is_err(), "{fault:?}");
    }
}
