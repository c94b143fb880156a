//! Large files that several devices change in place: each needs chunks that it did not change, and of those a client makes no
//! conflict copies.

use super::misplaced::{put, take};
use super::*;
use crate::chunk::ChunkIndex;
use crate::test_rng::{TestRng, seed, variable};
use std::time::Duration;

/// Where the three chunks of the file begin.
const STARTS: [u64; 3] = [0, FIRST, FIRST + CHUNK];

/// As many bytes as a part has.
pub(super) fn part(text: &str) -> String {
    format!("{text:<16}")
}

/// The parts of a file that has several chunks.
pub(super) fn parts(volume: &Volume, path: &str) -> crate::volume::Result<String> {
    let inode = find(volume, path).ok_or(crate::volume::Error::NotFound)?;
    let mut all = String::new();
    for start in STARTS {
        let mut bytes = [0; 16];
        volume.read(&inode, start, &mut bytes)?;
        all.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    Ok(all)
}

pub(super) fn change(volume: &Volume, path: &str, part_of: usize, text: &str) -> crate::volume::Result<()> {
    let inode = find(volume, path).ok_or(crate::volume::Error::NotFound)?;
    volume.write(&inode, STARTS[part_of], part(text).as_bytes(), now(), 0)
}

/// A file of three chunks that both devices have.
pub(super) fn fleet(styles: &[Style]) -> (FleetFixture, [String; 3]) {
    let (mut fleet, texts) = (FleetFixture::new(2, styles), ["zero", "one", "two"].map(part));
    fleet.at(0, |_, volume| {
        drop(file(volume, "g", b""));
        (0..3).for_each(|at| change(volume, "g", at, &texts[at]).unwrap());
    });
    fleet.settle();
    (fleet, texts)
}

/// What all devices show once all has come to rest. A copy that belongs to nothing any more may stay.
pub(super) fn shown_beside_copies(fleet: &mut FleetFixture) -> Vec<(String, String)> {
    fleet.settle();
    // What nobody tells of is waited for.
    fleet.devices.iter().for_each(|device| device.store.wait(Duration::from_secs(3600)));
    fleet.settle();
    let count = fleet.devices.len();
    let all = (0..count).map(|at| {
        fleet.at(at, |_, volume| {
            let names = names(volume, &volume.root().unwrap());
            names.into_iter().map(|name| (name.clone(), parts(volume, &name).unwrap())).collect::<Vec<_>>()
        })
    });
    let all: Vec<_> = all.collect();
    all.iter().for_each(|shown| assert_eq!(*shown, all[0]));
    all[0].clone()
}

/// The same some days later; copies are gone then.
pub(super) fn rest_without_copies(fleet: &mut FleetFixture) -> Vec<String> {
    fleet.devices.iter().for_each(|device| device.store.wait(Duration::from_secs(3 * 24 * 3600)));
    let shown = shown(fleet);
    shown.into_iter().map(|(_, content)| content).collect()
}

/// What is shown, and no copy is left beside it.
pub(super) fn shown(fleet: &mut FleetFixture) -> Vec<(String, String)> {
    let shown = shown_beside_copies(fleet);
    fleet.devices.iter().for_each(|device| assert!(device.store.copies().is_empty()));
    shown
}

#[test]
fn of_a_large_file_that_two_devices_changed_in_place_both_versions_are_there() {
    for styles in [[BOTH[0]; 2], [BOTH[1]; 2], BOTH, [BOTH[1], BOTH[0]]] {
        let (mut fleet, [zero, one, two]) = fleet(&styles);
        fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
        fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
        let shown = shown(&mut fleet);
        let mut contents: Vec<_> = shown.iter().map(|(_, content)| content.clone()).collect();
        contents.sort();
        let mut whole = [[&*zero, &part("by a"), &two].concat(), [&*zero, &one, &part("by b")].concat()];
        whole.sort();
        assert_eq!(contents, whole, "{styles:?}");
    }
}

/// A client that keeps no copies leaves the loser's chunk 0 nowhere but in its pin.
#[test]
fn a_version_of_which_no_copy_is_left_is_saved_from_its_pins() {
    let (mut fleet, [zero, one, _]) = fleet(&[BOTH[0]; 2]);
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
    [0, 1].into_iter().for_each(|at| assert!(fleet.sync_all(at)));
    for device in [&fleet.devices[0].store, &fleet.devices[1].store, &fleet.server] {
        device.copies().into_iter().for_each(|copy| device.put(&Item::Copy(copy), None));
    }
    let contents: Vec<_> = shown(&mut fleet).into_iter().map(|(_, content)| content).collect();
    assert!(
        contents.len() == 2 && contents.contains(&[&*zero, &one, &part("by b")].concat()),
        "{contents:?}"
    );
}

/// Somebody writes to what a client has just put there before it is merged.
#[test]
fn a_version_that_lost_its_place_outlives_what_is_written_to_the_other() {
    for inexact in [false, true] {
        let (mut fleet, [zero, one, two]) = fleet(&[BOTH[1]; 2]);
        fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
        fleet.at(1, |_, volume| change(volume, "g", 0, "by b").unwrap());
        [0, 1, 0].into_iter().for_each(|at| assert!(fleet.sync_all(at) || at == 0));
        // The server's version is there, the device's own is a copy; that a client may leave out.
        let store = fleet.devices[0].store.clone();
        for at in 0..2 {
            let copies = fleet.devices[at].store.copies();
            copies.into_iter().for_each(|copy| fleet.devices[at].store.put(&Item::Copy(copy), None));
        }
        let volume = fleet.devices[0].keys.open(Arc::new(store));
        change(&volume, "g", 0, "later").unwrap();
        if inexact {
            volume.sync(&find(&volume, "g").unwrap(), true).unwrap();
        }
        volume.close().unwrap();
        let contents: Vec<_> = shown(&mut fleet).into_iter().map(|(_, content)| content).collect();
        let of_a = [&*zero, &part("by a"), &two].concat();
        assert!(contents.contains(&of_a), "{contents:?}");
        assert!(contents.iter().any(|content| content.starts_with(&part("later"))), "{contents:?}");
        assert!(contents.iter().all(|content| content.contains(&one) || content.contains("by a")));
    }
}

/// The client brings the chunk before the chunk 0 that names it.
#[test]
fn a_chunk_of_a_version_on_its_way_is_left_alone() {
    let (mut fleet, [zero, one, _]) = fleet(&BOTH);
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    fleet.settle();
    let id = fleet.at(1, |_, volume| {
        change(volume, "g", 2, "by b").unwrap();
        find(volume, "g").unwrap().id()
    });
    fleet.sync_all(1);
    let name =
        fleet.at(1, |_, volume| volume.base.context.file_name(ChunkId { inode: id, index: ChunkIndex(2) }));
    let Device { store, client, .. } = &mut fleet.devices[0];
    assert!(client.sync(&Item::File(name), store, &fleet.server));
    let before = fleet.images(0);
    let read = fleet.at(0, |_, volume| parts(volume, "g"));
    assert!(read.is_err(), "{read:?}");
    assert!(before == fleet.images(0), "something was written");
    assert_eq!(
        shown(&mut fleet),
        [("g".to_owned(), [&*zero, &*part("by a"), &*part("by b")].concat())],
        "{one}"
    );
}

/// The client takes away the chunks that were not changed here.
#[test]
fn what_somebody_else_deleted_comes_back_whole_where_it_was_changed() {
    let (mut fleet, [zero, _, two]) = fleet(&BOTH);
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    fleet.at(1, |_, volume| remove(volume, "g").unwrap());
    fleet.settle();
    assert_eq!(shown(&mut fleet), [("g".to_owned(), [&*zero, &*part("by a"), &*two].concat())]);
}

/// Whoever deletes it has seen the change: its space is free again everywhere, after a while.
#[test]
fn what_was_deleted_is_not_pinned_for_ever() {
    for deletes in [0, 1] {
        let (mut fleet, _) = fleet(&BOTH);
        fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
        fleet.settle();
        let pinned = |fleet: &FleetFixture| fleet.devices[0].store.pins().unwrap().all_pins().unwrap().len();
        assert_eq!(pinned(&fleet), 3);
        fleet.at(deletes, |_, volume| remove(volume, "g").unwrap());
        fleet.settle();
        fleet.devices[0].store.wait(Duration::from_secs(3 * 24 * 3600));
        assert!(shown(&mut fleet).is_empty());
        assert_eq!(pinned(&fleet), 0, "{deletes}");
    }
}

/// It was pinned before all of it had arrived, and the rest never did. Whoever made it keeps it.
#[test]
fn what_is_pinned_of_another_devices_version_that_is_not_whole_goes() {
    let mut fleet = FleetFixture::new(3, &BOTH[..1]);
    fleet.at(0, |_, volume| {
        drop(file(volume, "g", b""));
        (0..3).for_each(|at| change(volume, "g", at, "before").unwrap());
    });
    fleet.settle();
    let [a, b, c] = [0, 1, 2].map(|at| fleet.devices[at].store.clone());
    let chunks = fleet.at(1, |_, volume| {
        let inode = find(volume, "g").unwrap().id();
        [0, 1, 2].map(|at| volume.base.context.file_name(ChunkId { inode, index: ChunkIndex(at) }))
    });
    fleet.at(0, |_, volume| [0, 2].iter().for_each(|at| change(volume, "g", *at, "by a").unwrap()));
    put(&b, chunks[0], take(&a, chunks[0]));
    fleet.at(1, |_, volume| {
        let change = |record: &mut crate::volume::Record| std::mem::replace(&mut record.mode, 0o600) != 0o600;
        volume.set_attributes(&find(volume, "g").unwrap(), change).unwrap();
    });
    fleet.at(2, |_, volume| change(volume, "g", 1, "by c").unwrap());
    chunks.iter().for_each(|name| put(&b, *name, take(&c, *name)));
    for (days, pinned) in [(0, 3), (2, 0)] {
        b.wait(Duration::from_secs(days * 24 * 3600));
        fleet.at(1, |_, volume| assert_eq!(parts(volume, "g").unwrap()[16..32], part("by c")));
        assert_eq!(b.pins().unwrap().all_pins().unwrap().len(), pinned, "{days}");
    }
}

/// Changes in place by several devices, in any order, with some of the files copied in between.
fn walk(seed: u64) {
    let mut random = TestRng(seed);
    let styles: Vec<Style> = (0..3).map(|_| BOTH[random.below(2)]).collect();
    let mut fleet = FleetFixture::new(2 + random.below(2), &styles);
    fleet.at(0, |_, volume| {
        drop(file(volume, "g", b""));
        (0..3).for_each(|at| change(volume, "g", at, &format!("part {at}")).unwrap());
    });
    fleet.settle();
    for step in 0..2 + random.below(8) {
        let at = random.below(fleet.devices.len());
        match random.below(4) {
            0 => fleet.sync_some(at, &mut random),
            1 => drop(fleet.sync_all(at)),
            _ => {
                let (part_of, text) = (random.below(3), format!("{step} of {at}"));
                let done = fleet.at(at, |fleet, volume| {
                    let before = parts(volume, "g").ok()?;
                    change(volume, "g", part_of, &text).ok()?;
                    fleet.removed.insert(before);
                    let after = parts(volume, "g").unwrap();
                    fleet.made.insert(after.clone());
                    Some(after)
                });
                fleet.log.extend(done.map(|done| format!("{at}: {done}")));
                continue;
            }
        }
        fleet.log.push(format!("{at} copies"));
    }
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let there: Vec<_> = shown_beside_copies(&mut fleet).into_iter().map(|(_, content)| content).collect();
        let mut lost = fleet.made.difference(&fleet.removed).filter(|made| !there.contains(made));
        assert_eq!(lost.next(), None, "lost; there is {there:?}");
        for content in &there {
            assert!(fleet.made.contains(content) || content.starts_with("part 0"), "a mixture: {content}");
        }
    }));
    if let Err(why) = judged {
        println!("CRYPTFS_SEED={seed}\n{}", fleet.log.join("\n"));
        resume_unwind(why);
    }
}

#[test]
fn devices_that_change_a_large_file_in_place_lose_nothing() {
    let mut random = TestRng(seed());
    for _ in 0..variable("CRYPTFS_WALKS").unwrap_or(20) {
        walk(random.0);
        random.below(2);
    }
}

#[test]
fn each_rule_about_pins_is_needed() {
    let cases: [(Mutant, fn()); 6] = [
        (Mutant::ForeignKept, what_is_pinned_of_another_devices_version_that_is_not_whole_goes),
        (Mutant::NotPinned, of_a_large_file_that_two_devices_changed_in_place_both_versions_are_there),
        (Mutant::NotRestored, of_a_large_file_that_two_devices_changed_in_place_both_versions_are_there),
        (Mutant::PinnedForgotten, a_version_of_which_no_copy_is_left_is_saved_from_its_pins),
        (Mutant::LostNotKept, a_version_that_lost_its_place_outlives_what_is_written_to_the_other),
        (Mutant::RestoredEarly, a_chunk_of_a_version_on_its_way_is_left_alone),
    ];
    each_is_noticed(&cases);
}

/// Other devices may have it by the time that it is changed.
#[test]
fn a_file_that_was_made_in_this_mount_is_pinned_once_it_is_at_rest() {
    let (mut fleet, texts) = (FleetFixture::new(2, &[BOTH[1]; 2]), ["zero", "one", "two"].map(part));
    let pinned = |fleet: &FleetFixture| fleet.devices[0].store.pins().unwrap().all_pins().unwrap().len();
    let volume = fleet.mount(0);
    // It stays in memory, as what the kernel knows does.
    let inode = file(&volume, "g", b"");
    (0..3).for_each(|at| change(&volume, "g", at, &texts[at]).unwrap());
    volume.sync_all().unwrap();
    assert_eq!((pinned(&fleet), inode.state.read().first_chunk.is_some()), (0, true));
    [0, 1].into_iter().for_each(|at| assert!(fleet.sync_all(at)));
    change(&volume, "g", 1, "by a").unwrap();
    volume.sync(&inode, false).unwrap();
    assert_eq!(pinned(&fleet), 3);
    drop(inode);
    volume.close().unwrap();
    fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
    let contents: Vec<_> = shown(&mut fleet).into_iter().map(|(_, content)| content).collect();
    assert!(contents.contains(&[&*texts[0], &part("by a"), &texts[2]].concat()), "{contents:?}");
}
