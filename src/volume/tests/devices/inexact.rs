//! Large files whose chunk 0 says that further chunks may be newer, of which a client puts other ones in the place of some.

use super::large::{change, fleet, part, parts, rest_without_copies};
use super::misplaced::{chunk_files, put, put_copy, take};
use super::*;
use crate::store::image::Image;
use std::time::Duration;

fn set_mode(volume: &Volume) {
    let change = |record: &mut crate::volume::Record| std::mem::replace(&mut record.mode, 0o600) != 0o600;
    volume.set_attributes(&find(volume, "g").unwrap(), change).unwrap();
}

/// What the second device's chunk files are while it writes to one part after the other, and at the end at rest.
fn written(fleet: &mut FleetFixture, writes: &[(usize, &str)]) -> Vec<[Option<Image>; 3]> {
    let (names, b) = (chunk_files(fleet), fleet.devices[1].store.clone());
    let volume = fleet.mount(1);
    let taken = writes.iter().map(|&(part_of, text)| {
        change(&volume, "g", part_of, text).unwrap();
        volume.sync(&find(&volume, "g").unwrap(), true).unwrap();
        names.map(|name| take(&b, name))
    });
    let taken = taken.collect();
    volume.close().unwrap();
    taken
}

/// What all show at the end.
fn rest(fleet: &mut FleetFixture) -> Vec<String> {
    let mut contents = rest_without_copies(fleet);
    contents.sort();
    contents
}

/// The client put the same chunk 0 there once more, and beside it a chunk of another version.
#[test]
fn what_is_pinned_is_not_let_go_of_where_the_version_in_place_lacks_it() {
    let (mut fleet, [zero, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    fleet.at(0, |_, volume| change(volume, "g", 0, "by a").unwrap());
    fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
    put(&a, names[0], take(&a, names[0]));
    put(&a, names[2], take(&b, names[2]));
    fleet.at(0, |_, volume| set_mode(volume));
    let all = [[&*part("by a"), &*one, &*two].concat(), [&*zero, &*one, &*part("by b")].concat()];
    assert_eq!(rest(&mut fleet), all);
}

/// The chunk is that of another version of this device's, which lost its place.
#[test]
fn a_version_that_was_being_written_gets_a_chunk_back_from_what_it_displaced() {
    let (mut fleet, [zero, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let a = fleet.devices[0].store.clone();
    let taken = written(&mut fleet, &[(2, "by b"), (0, "later"), (1, "later")]);
    fleet.at(0, |_, volume| change(volume, "g", 0, "by a").unwrap());
    for (at, when) in [(0, 0), (1, 2), (2, 0)] {
        put(&a, names[at], taken[when][at].clone());
    }
    fleet.at(0, |_, volume| drop(parts(volume, "g").unwrap_err()));
    a.wait(Duration::from_secs(3600));
    let shown = fleet.at(0, |_, volume| parts(volume, "g").unwrap());
    assert_eq!(shown, [&*zero, &*one, &*part("by b")].concat());
    let (by_a, later) = (part("by a"), part("later"));
    let all = [[&*by_a, &*one, &*two].concat(), [&*later, &*later, &*part("by b")].concat()];
    assert_eq!(rest(&mut fleet), all);
}

/// A chunk that is pinned belongs to it, too, but is older than the copy.
#[test]
fn of_a_version_that_was_being_written_the_newest_chunk_counts_be_it_a_copy() {
    let (mut fleet, [zero, _, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let a = fleet.devices[0].store.clone();
    let taken = written(&mut fleet, &[(1, "first"), (1, "second")]);
    [0, 1].iter().for_each(|at| put(&a, names[*at], taken[0][*at].clone()));
    // For a moment, so that nothing can be made exact.
    let last = take(&a, names[2]);
    put(&a, names[2], None);
    fleet.at(0, |_, volume| set_mode(volume));
    put(&a, names[2], last);
    put_copy(&a, names[1], taken[1][1].clone(), 2);
    for _ in 0..2 {
        fleet.at(0, |_, volume| drop(parts(volume, "g")));
        a.wait(Duration::from_secs(3600));
    }
    let before = fleet.images(0);
    let all = [&*zero, &*part("second"), &*two].concat();
    assert_eq!(fleet.at(0, |_, volume| parts(volume, "g").unwrap()), all);
    assert!(before == fleet.images(0), "something was written");
    assert_eq!(rest(&mut fleet), [all]);
}

/// The chunk that is on its way may be a later one than chunk 0 names, and the one that it names be nowhere any more.
#[test]
fn nothing_is_written_upon_a_version_of_which_a_chunk_is_on_its_way() {
    let (mut fleet, [zero, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let a = fleet.devices[0].store.clone();
    let taken = written(&mut fleet, &[(1, "by b")]).pop().unwrap();
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    let own = [0, 1].map(|at| take(&a, names[at]));
    put_copy(&a, names[0], own[0].clone(), 1);
    put(&a, names[0], taken[0].clone());
    let before = fleet.images(0);
    fleet.at(0, |_, volume| {
        let inode = find(volume, "g").unwrap();
        for refused in [
            change(volume, "g", 2, "later"),
            volume.resize(&inode, inode.view(|record| record.size) + 5, now(), 0),
            volume.resize(&inode, inode.view(|record| record.size) - 5, now(), 0),
            volume.punch(&inode, 0, 5, now()),
        ] {
            assert!(refused.is_err());
        }
    });
    assert!(before == fleet.images(0), "something was written");

    // A client may take it away when something was written already.
    put(&a, names[1], taken[1].clone());
    let volume = fleet.mount(0);
    change(&volume, "g", 2, "later").unwrap();
    put(&a, names[1], own[1].clone());
    let inode = find(&volume, "g").unwrap();
    volume.sync(&inode, false).unwrap_err();
    put(&a, names[1], taken[1].clone());
    volume.sync(&inode, false).unwrap();
    drop(inode);
    volume.close().unwrap();
    let later = [&*zero, &*part("by b"), &*part("later")].concat();
    let contents = rest(&mut fleet);
    assert!(
        contents.contains(&later) && contents.contains(&[&*zero, &*part("by a"), &*two].concat()),
        "{contents:?}, {one}"
    );
}

/// Its writer goes on, and overwrites what the other one has of it.
#[test]
fn a_mode_that_is_set_while_another_device_writes_makes_no_version() {
    let (mut fleet, [_, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let a = fleet.devices[0].store.clone();
    let taken = written(&mut fleet, &[(0, "by b"), (1, "first"), (1, "second")]);
    [0, 1].iter().for_each(|at| put(&a, names[*at], taken[1][*at].clone()));
    fleet.at(0, |_, volume| {
        assert_eq!(parts(volume, "g").unwrap(), [&*part("by b"), &*part("first"), &*two].concat(), "{one}");
        set_mode(volume);
    });
    assert_eq!(rest(&mut fleet), [[&*part("by b"), &*part("second"), &*two].concat()]);
    for at in 0..2 {
        let mode = fleet.at(at, |_, volume| find(volume, "g").unwrap().view(|record| record.mode));
        assert_eq!(mode, 0o600, "{at}");
    }
}

/// What it was set upon is nowhere any more: the client had brought a further chunk of what the other device made of it.
#[test]
fn a_mode_that_is_set_while_a_later_version_arrives_does_not_keep_the_place_of_that() {
    for styles in [&BOTH[..1], &BOTH[1..]] {
        let (mut fleet, [_, one, two]) = fleet(styles);
        let names = chunk_files(&mut fleet);
        let a = fleet.devices[0].store.clone();
        let taken = written(&mut fleet, &[(0, "by b"), (2, "by b")]).pop().unwrap();
        put(&a, names[2], taken[2].clone());
        fleet.at(0, |_, volume| set_mode(volume));
        assert_eq!(rest(&mut fleet), [[&*part("by b"), &*one, &*part("by b")].concat()], "{two}");
        for at in 0..2 {
            let mode = fleet.at(at, |_, volume| find(volume, "g").unwrap().view(|record| record.mode));
            assert_eq!(mode, 0o600, "{at}");
        }
    }
}

/// What is not there of it goes with the rest.
#[test]
fn a_version_of_which_a_chunk_is_on_its_way_can_be_cut_off_before_that() {
    let (mut fleet, [zero, ..]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let a = fleet.devices[0].store.clone();
    let taken = written(&mut fleet, &[(1, "by b")]).pop().unwrap();
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    put(&a, names[0], taken[0].clone());
    fleet.at(0, |_, volume| {
        let inode = find(volume, "g").unwrap();
        volume.resize(&inode, 16, now(), 0).unwrap();
        volume.sync(&inode, false).unwrap();
        assert_eq!(content(volume, &inode), zero.as_bytes());
    });
}

#[test]
fn each_rule_about_what_is_being_written_is_needed() {
    each_is_noticed(&[
        (Mutant::NeededLetGo, what_is_pinned_is_not_let_go_of_where_the_version_in_place_lacks_it),
        (Mutant::TornNotRestored, a_version_that_was_being_written_gets_a_chunk_back_from_what_it_displaced),
        (Mutant::OlderRestored, of_a_version_that_was_being_written_the_newest_chunk_counts_be_it_a_copy),
        (Mutant::AnothersMadeExact, a_mode_that_is_set_while_another_device_writes_makes_no_version),
        (
            Mutant::AttributesKeepPlace,
            a_mode_that_is_set_while_a_later_version_arrives_does_not_keep_the_place_of_that,
        ),
        (Mutant::WrittenUponAbsent, nothing_is_written_upon_a_version_of_which_a_chunk_is_on_its_way),
    ]);
}
