//! An older version in the place of a newer one that is a copy beside it.

use super::misplaced::{put, put_copy, take};
use super::*;

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

#[test]
fn the_rule_is_needed() {
    each_is_noticed(&[(Mutant::OlderKept, a_copy_takes_the_place_of_an_older_version_that_it_includes)]);
}
