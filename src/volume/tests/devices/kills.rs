//! Devices that are killed, with all they did durable, before what other devices did meanwhile arrives.

use super::fleet::{kill, make};
use super::*;
use crate::chunk::remembered::Remembered;

/// The deleting device is killed before it removes the file, and another device's version arrives before it is back.
#[test]
fn a_version_that_arrives_after_a_kill_in_a_deletion_is_not_deleted() {
    for is_seen_before in [false, true] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.make(0, "f");
        fleet.judge();
        fleet.at(1, |_, volume| edit(volume, "f", "edited").unwrap());
        fleet.made.insert("edited".into());
        if is_seen_before {
            fleet.sync_all(1);
            fleet.sync_all(0);
        }
        let volume = fleet.mount(0);
        let first = ChunkId::first(find(&volume, "f").unwrap().id());
        remove(&volume, "f").unwrap();
        volume.sync_directory(&volume.root().unwrap()).unwrap();
        drop(volume);
        assert_eq!(fleet.devices[0].keys.remembered.tombstone(first).is_some(), is_seen_before);
        fleet.removed.insert("f of AAAAAAA".into());
        if is_seen_before {
            fleet.removed.insert("edited".into());
        }
        fleet.sync_all(1);
        let tree = fleet.judge();
        assert_eq!(tree.keys().collect::<Vec<_>>(), if is_seen_before { vec![] } else { vec!["f"] });
    }
}

/// A device that deletes what another one wrote, and loses its memory with the power: whether the other one changed it since,
/// it cannot tell. So the file is there again, whole and under its name, and can be deleted as any other.
#[test]
fn what_is_deleted_and_no_more_remembered_comes_back() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "f");
    deliver(&mut fleet, [0, 1]);
    killed(&mut fleet, 1, |volume| remove(volume, "f"));
    let keys = &mut fleet.devices[1].keys;
    *keys = keys.remembering(Remembered::default());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["f"]);
    fleet.at(1, |_, volume| remove(volume, "f").unwrap());
    fleet.removed.insert("f of AAAAAAA".into());
    assert!(fleet.judge().is_empty());
}

/// A killed device finds another one's directory in the place of its own, and its own aside.
#[test]
fn a_journal_hides_nothing_of_a_directory_that_was_put_aside() {
    let mut fleet = FleetFixture::new(2, &[BOTH[0]; 2]);
    fleet.make(0, "of a");
    fleet.make(1, "of b");
    killed(&mut fleet, 1, |volume| make(volume, "later", "later"));
    fleet.made.insert("later".into());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["later", "of a", "of b"]);
}

/// The same of a removal: what it removed does not come back with the directory that was put aside.
#[test]
fn what_was_removed_before_a_kill_stays_removed() {
    let mut fleet = FleetFixture::new(2, &[BOTH[0]; 2]);
    fleet.make(0, "f");
    fleet.make(1, "of b");
    fleet.sync_all(1);
    killed(&mut fleet, 0, |volume| remove(volume, "f"));
    fleet.removed.insert("f of AAAAAAA".into());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["of b"]);
}

/// A file that only the other device's journal has is not written by who syncs it.
#[test]
fn what_another_journal_told_of_is_no_work_of_this_device() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    killed(&mut fleet, 0, |volume| make(volume, "f", "first"));
    deliver(&mut fleet, [0, 1]);
    fleet.at(0, |_, volume| edit(volume, "f", "second").unwrap());
    fleet.made.insert("second".into());
    killed(&mut fleet, 1, |volume| make(volume, "g", "g"));
    let tree = fleet.judge();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["f", "g"]);
    assert_eq!(tree["f"].as_deref(), Some("second"));
}

/// Content that only the journal has, of a file that another device changed meanwhile.
#[test]
fn of_two_versions_of_which_one_is_in_a_journal_both_are_there() {
    for late in [false, true] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.make(0, "f");
        deliver(&mut fleet, [0, 1]);
        let here = |fleet: &mut FleetFixture| {
            killed(fleet, 1, |volume| edit(volume, "f", "here").and_then(|()| rename(volume, "f", "g")));
        };
        if !late {
            here(&mut fleet);
        }
        fleet.at(0, |_, volume| edit(volume, "f", "there").unwrap());
        if late {
            here(&mut fleet);
        }
        fleet.made.extend(["here", "there"].map(String::from));
        fleet.removed.insert("f of AAAAAAA".into());
        let tree = fleet.judge();
        let names: Vec<_> = tree.keys().collect();
        assert!(names.len() == 2 && names[0] == "g" && names[1].starts_with("g (conflict"), "{names:?}");
    }
}

/// Content that only the journal has, and that could not be saved when its file was removed, goes with that, whether or not the device ends well:
/// the journal becomes empty, and no mount has it come back. What another device writes after that does.
#[test]
fn content_set_aside_goes_with_its_file() {
    for is_killed in [false, true] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.make(0, "f");
        deliver(&mut fleet, [0, 1]);
        killed(&mut fleet, 1, |volume| edit(volume, "f", "here").and_then(|()| rename(volume, "f", "g")));
        fleet.at(0, |_, volume| edit(volume, "f", "there").unwrap());
        deliver(&mut fleet, [0, 1]);
        let device = &fleet.devices[1];
        let volume = device.keys.open(Arc::new(device.store.clone()));
        let is_empty = |volume: &Volume| volume.base.withheld.lock().is_empty();
        assert!(!is_empty(&volume), "nothing is set aside");
        let removed = volume.namespace.unlink(&volume.root().unwrap(), b"g", now()).unwrap();
        removed.into_iter().for_each(|inode| volume.release(inode));
        volume.checkpoint().unwrap();
        // The batch that deletes it is dropped.
        make(&volume, "h", "h").unwrap();
        volume.checkpoint().unwrap();
        assert!(is_empty(&volume));
        if is_killed {
            kill(volume)
        } else {
            volume.close().unwrap()
        }
        let (files, volume) = (fleet.devices[1].store.items().len(), fleet.mount(1));
        assert!(is_empty(&volume));
        volume.close().unwrap();
        assert!(fleet.devices[1].store.items().len() <= files, "something came back");
        fleet.at(0, |_, volume| edit(volume, "f", "later").unwrap());
        fleet.made = ["h", "later"].map(String::from).into();
        let tree = fleet.judge();
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["f", "h"]);
        assert_eq!(tree["f"].as_deref(), Some("later"));
    }
}

/// The folder's own file is as the other device knew it: only the journal has what was put into it.
#[test]
fn what_was_put_into_a_folder_before_a_kill_and_a_deletion_elsewhere_is_there() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    make_directories(&mut fleet, 0, &["d", "d/below"]);
    fleet.make(0, "f");
    deliver(&mut fleet, [0, 1]);
    killed(&mut fleet, 1, |volume| {
        make(volume, "d/new", "new")?;
        make(volume, "d/gone", "gone")?;
        remove(volume, "d/gone")?;
        rename(volume, "d/new", "d/newer")?;
        rename(volume, "f", "d/below/f")
    });
    fleet.made.insert("new".into());
    fleet.at(0, |_, volume| remove_all(volume, "d").unwrap());
    fleet.devices[1].store.wait(std::time::Duration::from_secs(60));
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["f", "newer"]);
}

/// As long as a folder that the journal speaks of is not here.
#[test]
fn what_waits_in_a_journal_is_not_written_anew_by_each_mount() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    make_directories(&mut fleet, 0, &["d"]);
    deliver(&mut fleet, [0, 1]);
    killed(&mut fleet, 1, |volume| rename(volume, "d", "e"));
    let name =
        |volume: &Volume| volume.base.context.file_name(ChunkId::first(find(volume, "d").unwrap().id()));
    let item = Item::File(fleet.at(0, |_, volume| name(volume)));
    let store = fleet.devices[1].store.clone();
    let image = store.take(&item);
    store.put(&item, None);
    fleet.at(1, |_, _| ());
    let before = fleet.images(1);
    fleet.at(1, |_, volume| assert!(!volume.base.withheld.lock().is_empty()));
    assert!(before == fleet.images(1), "something was written");
    store.put(&item, image);
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["e"]);
}

/// What was deleted was known from another device's journal only, and nothing of it was here.
#[test]
fn what_is_deleted_before_a_kill_and_changed_elsewhere_comes_back() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    killed(&mut fleet, 1, |volume| {
        make_directory(volume, "d")?;
        make(volume, "f", "f")
    });
    deliver(&mut fleet, [1, 0]);
    killed(&mut fleet, 1, |volume| {
        make(volume, "d/new", "new")?;
        edit(volume, "f", "f edited")
    });
    fleet.made.extend(["new", "f edited"].map(String::from));
    killed(&mut fleet, 0, |volume| ["d", "f"].iter().try_for_each(|path| remove_all(volume, path)));
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["d", "d/new", "f"]);
}

#[test]
fn link_counts_of_directories_are_those_of_their_entries() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    killed(&mut fleet, 0, |volume| make_directory(volume, "d"));
    fleet.make(1, "f");
    killed(&mut fleet, 1, |volume| rename(volume, "f", "g"));
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["d", "g"]);
}

/// The journal of the one who was killed does not know the name that the other gave.
#[test]
fn a_file_that_was_renamed_on_both_sides_of_a_kill_has_both_names() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "f");
    deliver(&mut fleet, [0, 1]);
    fleet.at(0, |_, volume| rename(volume, "f", "g").unwrap());
    killed(&mut fleet, 1, |volume| rename(volume, "f", "h"));
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["g", "h"]);
    fleet.at(0, |_, volume| remove(volume, "h").unwrap());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["g"]);
}

fn deliver(fleet: &mut FleetFixture, order: [usize; 2]) {
    for at in order {
        fleet.sync_all(at);
    }
}

fn killed(fleet: &mut FleetFixture, at: usize, work: impl FnOnce(&Volume) -> crate::volume::Result<()>) {
    let volume = fleet.mount(at);
    work(&volume).unwrap();
    kill(volume);
}

/// The rules that this needs, each broken once.
#[test]
fn every_broken_rule_is_noticed() {
    for fault in [
        Mutant::GapIgnored,
        Mutant::LearntCarried,
        Mutant::AsideDropped,
        Mutant::AsideKept,
        Mutant::NoTombstone,
        Mutant::ReplacedRemoved,
        Mutant::NameNotKept,
        Mutant::WithheldUnnamed,
        Mutant::WithheldAnew,
    ] {
        mutants::plant(Some(fault));
        let noticed = catch_unwind(AssertUnwindSafe(|| {
            what_is_deleted_and_no_more_remembered_comes_back();
            a_journal_hides_nothing_of_a_directory_that_was_put_aside();
            what_another_journal_told_of_is_no_work_of_this_device();
            of_two_versions_of_which_one_is_in_a_journal_both_are_there();
            content_set_aside_goes_with_its_file();
            what_was_put_into_a_folder_before_a_kill_and_a_deletion_elsewhere_is_there();
            what_waits_in_a_journal_is_not_written_anew_by_each_mount();
            what_is_deleted_before_a_kill_and_changed_elsewhere_comes_back();
            a_file_that_was_renamed_on_both_sides_of_a_kill_has_both_names();
        }));
        mutants::plant(None);
        assert!(noticed.is_err(), "{fault:?}");
    }
}
