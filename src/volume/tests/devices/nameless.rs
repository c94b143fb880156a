//! Names that one device takes away, and another one another, neither of them the last one as far as it knows.

use super::fleet::{file_of, make, parent};
use super::live::Live;
use super::*;
use crate::volume::Volume;

fn link(volume: &Volume, from: &str, to: &str) {
    let (directory, name) = parent(volume, to).unwrap();
    volume.link(&find(volume, from).unwrap(), &directory, name, now()).unwrap();
}

/// Mounts devices that have a file of two names.
fn with_two_names() -> Live {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "a");
    fleet.at(0, |_, volume| link(volume, "a", "b"));
    fleet.judge();
    Live::mount(fleet)
}

#[test]
fn a_file_of_which_each_of_two_devices_removes_another_name_has_one() {
    let mut live = with_two_names();
    remove(live.at(0), "a").unwrap();
    edit(live.at(1), "a", "edited").unwrap();
    live.at(1).sync_all().unwrap();
    remove(live.at(1), "b").unwrap();
    live.fleet.made = ["edited".to_owned()].into();
    live.unmount().judge();
}

/// One of the devices had deleted it, and found that the other one had given it a name.
#[test]
fn what_was_deleted_and_has_another_name_keeps_one_if_that_is_taken_away() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "a");
    fleet.judge();
    fleet.devices.iter().for_each(|device| device.store.be_young());
    let mut live = Live::mount(fleet);
    remove(live.at(1), "a").unwrap();
    live.at(1).sync_all().unwrap();
    link(live.at(0), "a", "b");
    live.at(0).checkpoint().unwrap();
    [0, 1].iter().for_each(|at| _ = live.fleet.sync_all(*at));
    live.arrive(1);
    live.at(1).merge().unwrap();
    live.at(1).checkpoint().unwrap();
    assert_eq!(tree(live.at(1)).len(), 1, "it was deleted as far as this device knew");
    remove(live.at(0), "b").unwrap();
    edit(live.at(0), "a", "edited").unwrap();
    live.fleet.made = ["edited".to_owned()].into();
    live.unmount().judge();
}

/// What one of them put into it the same one removed, and a client keeps the other one's version.
#[test]
fn a_copy_of_a_folder_that_both_removed_goes() {
    let mut fleet = FleetFixture::new(2, &[BOTH[0]; 2]);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.judge();
    let mut live = Live::mount(fleet);
    rename(live.at(0), "d", "e").unwrap();
    live.at(0).checkpoint().unwrap();
    make(live.at(1), "d/f", "in it").unwrap();
    live.at(1).checkpoint().unwrap();
    remove_all(live.at(1), "d").unwrap();
    [1, 0].iter().for_each(|at| _ = live.fleet.sync_all(*at));
    assert!(!live.fleet.devices[0].store.copies().is_empty());
    remove_all(live.at(0), "e").unwrap();
    assert_eq!(live.unmount().judge().len(), 0);
}

/// If both gave the file both names at the same time, these would be two versions again.
#[test]
fn a_copy_with_other_names_is_for_the_device_that_wrote_it() {
    let mut fleet = FleetFixture::new(2, &[BOTH[0]; 2]);
    fleet.make(0, "f");
    fleet.settle();
    let file = fleet.at(0, |_, volume| file_of(volume, "f"));
    for (at, name) in [(0, "by a"), (1, "by b")] {
        fleet.at(at, |_, volume| rename(volume, "f", name).unwrap());
    }
    [0, 1, 0].iter().for_each(|at| _ = fleet.sync_all(*at));
    let has_copy =
        |fleet: &FleetFixture| fleet.devices[0].store.copies().into_iter().any(|copy| copy.of == file);
    assert!(has_copy(&fleet));
    fleet.at(0, |_, _| ());
    assert!(has_copy(&fleet));
    let tree = fleet.judge();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["by a", "by b"]);
}

/// It says that it is in a folder that another device took away.
#[test]
fn what_was_removed_here_and_says_a_name_in_a_folder_that_is_gone_goes() {
    let mut fleet = FleetFixture::new(1, &BOTH);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.make(0, "d/f");
    let [folder, file] = fleet.at(0, |_, volume| {
        volume.catalog.note_unshown(&find(volume, "d/f").unwrap());
        ["d", "d/f"].map(|path| Item::File(file_of(volume, path)))
    });
    let store = fleet.devices[0].store.clone();
    store.put(&folder, None);
    fleet.at(0, |_, _| ());
    assert!(store.take(&file).is_some(), "its folder may come back");
    fleet.wait(std::time::Duration::from_secs(2 * 86_400));
    assert!(store.take(&file).is_none());
}

/// Until that is put right a folder may have two places.
#[test]
fn a_folder_that_lies_in_its_twin_too_keeps_nobody_from_merging() {
    let mut fleet = FleetFixture::new(1, &BOTH);
    make_directories(&mut fleet, 0, &["d", "d/e"]);
    fleet.at(0, |_, volume| {
        let (root, inner) = (volume.root().unwrap(), find(volume, "d/e").unwrap());
        volume.namespace.adopt(&inner, &root, b"e", None, now()).unwrap();
        volume.merge.unite(&root, b"d", b"e").unwrap();
        assert!(find(volume, "d/e").is_some());
    });
}

#[test]
fn each_rule_about_names_that_each_takes_away_is_needed() {
    each_is_noticed(&[
        (Mutant::NamelessLeft, a_file_of_which_each_of_two_devices_removes_another_name_has_one),
        (Mutant::RevivedForgotten, what_was_deleted_and_has_another_name_keeps_one_if_that_is_taken_away),
        (Mutant::ReturnedHomeless, what_was_removed_here_and_says_a_name_in_a_folder_that_is_gone_goes),
        (Mutant::BothDeletedLeft, a_copy_of_a_folder_that_both_removed_goes),
        (Mutant::BothUnite, a_copy_with_other_names_is_for_the_device_that_wrote_it),
        (Mutant::TwinInTwin, a_folder_that_lies_in_its_twin_too_keeps_nobody_from_merging),
    ]);
}
