//! An older version in the place of a newer one that is a copy beside it.

use super::large::{change, part, parts};
use super::misplaced::{put, put_copy, take};
use super::*;
use crate::chunk::InodeId;
use crate::volume::Record;

/// Of two versions of which one includes the other a client may keep the older one; the device that made the newer one would be left
/// with what it knows to be older, and any other one with what nobody else has.
#[test]
fn a_copy_takes_the_place_of_an_older_version_that_it_includes() {
    for (changed, at) in [("f", 0), ("f", 1), ("d", 1)] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        make_directories(&mut fleet, 0, &["d"]);
        ["f", "d/old"].iter().for_each(|path| fleet.make(0, path));
        fleet.judge();
        let name = fleet.at(1, |_, volume| {
            volume.base.context.file_name(ChunkId::first(find(volume, changed).unwrap().id()))
        });
        let [here, maker] = [at, 1].map(|at| fleet.devices[at].store.clone());
        let older = take(&maker, name);
        match changed {
            "f" => fleet.at(1, |_, volume| rename(volume, "f", "g").unwrap()),
            _ => fleet.make(1, "d/new"),
        }
        let newer = take(&maker, name);
        assert!(newer != older);
        put_copy(&here, name, newer.clone(), 1);
        put(&here, name, older);
        fleet.at(at, |_, _| ());
        assert!(take(&here, name) == newer, "{changed} at {at}");
        let tree = fleet.judge();
        let names: Vec<_> = tree.keys().collect();
        assert_eq!(
            names,
            if changed == "f" { ["d", "d/old", "g"].to_vec() } else { vec!["d", "d/new", "d/old", "f"] }
        );
    }
}

/// It may have been written upon another one that this device does not have any more.
#[test]
fn a_copy_takes_no_place_that_lacks_what_is_known_here() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "f");
    fleet.judge();
    let name = fleet
        .at(1, |_, volume| volume.base.context.file_name(ChunkId::first(find(volume, "f").unwrap().id())));
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    let older = take(&b, name);
    fleet.at(0, |_, volume| edit(volume, "f", "by a").unwrap());
    fleet.at(1, |_, volume| edit(volume, "f", "by b").unwrap());
    put_copy(&b, name, take(&a, name), 1);
    put(&b, name, older.clone());
    let is_refused = |volume: &Volume| volume.lookup(&volume.root().unwrap(), b"f").is_err();
    assert!(fleet.at(1, |_, volume| is_refused(volume)));
    assert!(take(&b, name) == older);
}

/// A version that this device made lost its place to one that knows nothing of it, and is in a file beside that. Then the client
/// takes the version that it was made upon, for another device has that in place.
#[test]
fn what_lacks_own_work_that_is_saved_is_no_older_version() {
    for is_large in [false, true] {
        let mut fleet = FleetFixture::new(3, &BOTH[..1]);
        fleet.at(0, |_, volume| {
            drop(file(volume, "f", b""));
            (0..if is_large { 3 } else { 1 }).for_each(|at| change(volume, "f", at, "before").unwrap());
        });
        fleet.settle();
        let name = fleet.at(1, |_, volume| {
            volume.base.context.file_name(ChunkId::first(find(volume, "f").unwrap().id()))
        });
        let [a, b, c] = [0, 1, 2].map(|at| fleet.devices[at].store.clone());
        fleet.at(2, |_, volume| change(volume, "f", 0, "by c").unwrap());
        assert!(fleet.sync_all(2) && fleet.sync_all(1));
        fleet.at(1, |_, volume| change(volume, "f", 0, "by b").unwrap());
        fleet.at(0, |_, volume| change(volume, "f", 0, "by a").unwrap());
        let shown = |fleet: &mut FleetFixture| {
            fleet.at(1, |_, volume| {
                let read = |name: &String| match is_large {
                    true => parts(volume, name).unwrap()[..16].to_owned(),
                    false => String::from_utf8(content(volume, &find(volume, name).unwrap())).unwrap(),
                };
                let names = names(volume, &volume.root().unwrap());
                names.iter().map(read).collect::<std::collections::BTreeSet<_>>()
            })
        };
        put_copy(&b, name, take(&b, name), 1);
        put(&b, name, take(&a, name));
        assert_eq!(shown(&mut fleet), ["by a", "by b"].map(part).into(), "{is_large}");
        put_copy(&b, name, take(&b, name), 2);
        put(&b, name, take(&c, name));
        assert_eq!(shown(&mut fleet), ["by a", "by b", "by c"].map(part).into(), "{is_large}");
    }
}

/// The client put aside this device's version of a directory, in which it then takes a name away, or of which it changes the mode,
/// unmounts, and makes another name.
#[test]
fn names_that_wait_in_a_copy_outlive_what_is_done_without_them() {
    for is_removal in [true, false] {
        let mut fleet = FleetFixture::new(2, &BOTH[..1]);
        fleet.make(1, "x");
        fleet.judge();
        fleet.removed.extend(fleet.made.clone());
        let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
        let root = fleet.at(0, |_, volume| volume.base.context.file_name(ChunkId::first(InodeId::ROOT)));
        fleet.make(0, "f");
        fleet.make(1, "h");
        put_copy(&b, root, take(&a, root), 1);
        put(&a, root, take(&b, root));
        fleet.at(0, |_, volume| match is_removal {
            true => remove(volume, "x").unwrap(),
            false => {
                let root = volume.root().unwrap();
                let change = |record: &mut Record| std::mem::replace(&mut record.mode, 0o700) != 0o700;
                volume.set_attributes(&root, change).unwrap();
            }
        });
        fleet.make(0, "g");
        let expected = if is_removal { ["f", "g", "h"].to_vec() } else { vec!["f", "g", "h", "x"] };
        assert_eq!(fleet.judge().into_keys().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_rules_are_needed() {
    each_is_noticed(&[
        (Mutant::OlderKept, a_copy_takes_the_place_of_an_older_version_that_it_includes),
        (Mutant::AnewForgotten, names_that_wait_in_a_copy_outlive_what_is_done_without_them),
        (Mutant::OwnExpected, what_lacks_own_work_that_is_saved_is_no_older_version),
    ]);
}
