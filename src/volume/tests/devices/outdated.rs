//! Names that a file says it has and that somebody took away: its directory knows of their entries (docs/FORMAT.md section 7).

use super::fleet::{kill, make};
use super::live::Live;
use super::misplaced::take;
use super::*;
use crate::volume::reader::Reader;
use crate::volume::{Link, Volume};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn links(volume: &Volume, path: &str) -> Vec<Link> {
    find(volume, path).unwrap().view(|record| record.extension.links.clone())
}

/// Two devices and a file that each of them gave a name.
fn renamed_twice(styles: [Style; 2]) -> FleetFixture {
    let mut fleet = FleetFixture::new(2, &styles);
    make_directories(&mut fleet, 0, &["p", "q"]);
    fleet.make(0, "f");
    fleet.judge();
    fleet.at(0, |_, volume| rename(volume, "f", "p/x").unwrap());
    fleet.at(1, |_, volume| rename(volume, "f", "q/y").unwrap());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["p", "p/x", "q", "q/y"]);
    fleet
}

/// One takes away the name that the other one gave, who changes the file meanwhile: each version of the file has a name that is
/// gone, and directories are not joined.
#[test]
fn a_name_that_was_taken_away_does_not_come_back_with_another_version_of_the_file() {
    for styles in [[BOTH[0]; 2], [BOTH[1]; 2], BOTH] {
        let mut fleet = renamed_twice(styles);
        fleet.at(0, |_, volume| remove(volume, "p/x").unwrap());
        fleet.at(1, |_, volume| rename(volume, "q/y", "q/z").unwrap());
        assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["p", "q", "q/z"]);
        for at in 0..2 {
            assert_eq!(fleet.at(at, |_, volume| links(volume, "q/z").len()), 1, "{styles:?} at {at}");
        }
    }
}

/// One moves a name of the file to another directory. The directory that had it arrives, and that is all when the other one
/// removes the other name.
#[test]
fn a_file_whose_name_was_moved_elsewhere_does_not_go_with_another_name() {
    let mut fleet = renamed_twice([BOTH[0]; 2]);
    make_directories(&mut fleet, 0, &["r"]);
    fleet.judge();
    let (p, f) = fleet.at(0, |_, volume| {
        let name = |path| volume.base.context.file_name(ChunkId::first(find(volume, path).unwrap().id()));
        let names = (name("p"), name("p/x"));
        rename(volume, "p/x", "r/z").unwrap();
        names
    });
    fleet.sync_all(0);
    let Device { store, client, .. } = &mut fleet.devices[1];
    // As the age of files is here that of all.
    store.be_young();
    assert!(client.sync(&Item::File(p), store, &fleet.server));
    fleet.at(1, |_, volume| remove(volume, "q/y").unwrap());
    assert!(take(&fleet.devices[1].store, f).is_some());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["p", "q", "r", "r/z"]);
}

/// The entry that is gone arrives after the file, whose versions are one by then: whoever looks at it puts that right.
#[test]
fn a_name_that_was_there_when_versions_became_one_goes_once_its_directory_lacks_it() {
    for is_live in [false, true] {
        let mut fleet = renamed_twice([BOTH[0]; 2]);
        fleet.at(0, |_, volume| remove(volume, "p/x").unwrap());
        fleet.at(1, |_, volume| rename(volume, "q/y", "q/z").unwrap());
        fleet.sync_all(1);
        let p = fleet.at(0, |_, volume| {
            volume.base.context.file_name(ChunkId::first(find(volume, "p").unwrap().id()))
        });
        // All but the directory arrives at the other one, and is merged there.
        let Device { store, client, .. } = &mut fleet.devices[0];
        let items = client.items(store, &fleet.server);
        for _ in 0..2 {
            items.iter().for_each(|item| _ = client.sync(item, store, &fleet.server));
        }
        let (held, before) = (fleet.server.take(&Item::File(p)), take(&fleet.devices[1].store, p));
        fleet.server.put(&Item::File(p), before);
        fleet.sync_all(1);
        fleet.at(1, |_, volume| assert_eq!(links(volume, "q/z").len(), 2, "its directory has it still"));
        fleet.server.put(&Item::File(p), held);
        if is_live {
            let mut live = Live::mount(fleet);
            let file = find(live.at(1), "q/z").unwrap();
            assert!(find(live.at(1), "p/x").is_some());
            live.fleet.sync_all(1);
            live.arrive(1);
            live.at(1).merge().unwrap();
            assert_eq!(file.view(|record| record.links_count), 1);
            drop(file);
            fleet = live.unmount();
        }
        assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["p", "q", "q/z"]);
        assert_eq!(fleet.at(1, |_, volume| links(volume, "q/z").len()), 1);
    }
}

/// Nobody waits a day for a name that is known to be gone.
#[test]
fn a_file_goes_with_its_last_name_if_the_others_are_known_to_be_gone() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.make(0, "f");
    fleet.judge();
    let name = fleet.at(1, |_, volume| {
        let (inode, directory) = (find(volume, "f").unwrap(), find(volume, "d").unwrap());
        volume.link(&inode, &directory, b"gone", now()).unwrap();
        let links = links(volume, "f");
        remove(volume, "d/gone").unwrap();
        volume.correct_links(&inode, links).unwrap();
        volume.base.context.file_name(ChunkId::first(inode.id()))
    });
    fleet.at(1, |_, volume| remove(volume, "f").unwrap());
    fleet.removed.extend(fleet.made.clone());
    fleet.wait(HOUR);
    assert!(fleet.devices.iter().all(|device| take(&device.store, name).is_none()));
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["d"]);
}

fn links_without_a_mount(device: &Device, path: &str) -> Vec<Link> {
    let context = device.keys.context(Arc::new(device.store.clone()));
    let (reader, unread) = Reader::new(context, CHUNK).with_journals().unwrap();
    assert!(unread.is_empty());
    let (id, _) = reader.find(path.as_bytes()).unwrap();
    reader.node(id).unwrap().record.extension.links
}

/// What changes in a folder is told with its name in the same batch, be that the former one: the dot of its entry tells.
#[test]
fn a_folder_says_the_name_that_it_was_given_last() {
    for is_killed in [false, true] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        make_directories(&mut fleet, 0, &["d"]);
        fleet.judge();
        fleet.at(0, |_, volume| rename(volume, "d", "e").unwrap());
        let volume = fleet.mount(1);
        make(&volume, "d/f", "f").unwrap();
        if is_killed {
            kill(volume);
            fleet.sync_all(0);
            fleet.sync_all(1);
            let links = links_without_a_mount(&fleet.devices[1], "e");
            assert!(links.len() == 1 && *links[0].name == *b"e", "without a mount: {links:?}");
        } else {
            volume.close().unwrap();
        }
        fleet.made.insert("f".into());
        // Before anybody looks at it.
        fleet.settle();
        for at in 0..2 {
            let links = links_without_a_mount(&fleet.devices[at], "e");
            assert!(links.len() == 1 && *links[0].name == *b"e", "{is_killed} at {at}: {links:?}");
        }
        assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["e", "e/f"]);
    }
}

/// Entries that only a journal has are added under another dot where what the device did before is not here: links are told.
#[test]
fn names_have_the_dots_of_their_entries_after_a_crash() {
    let mut fleet = FleetFixture::new(2, &[BOTH[0]; 2]);
    fleet.make(0, "of a");
    fleet.make(1, "of b");
    let volume = fleet.mount(1);
    make(&volume, "later", "later").unwrap();
    kill(volume);
    fleet.made.insert("later".into());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["later", "of a", "of b"]);
    fleet.at(0, |_, volume| {
        let (root, inode) = (volume.root().unwrap(), find(volume, "later").unwrap());
        let entry =
            |dot| root.state.read().directory().all_places().iter().any(|place| Some(place.2.rank) == dot);
        volume.entry(&root, b"later").unwrap();
        assert!(entry(links(volume, "later")[0].dot), "{:?}", inode.id());
    });
}

/// Others may have a name with the dot that the journal tells: once what was missing is here, too, that entry is known to be gone.
#[test]
fn a_name_with_the_former_dot_of_its_entry_goes_with_the_entry() {
    super::walks::walk(10_009_277_524_958_642_679, 2, true, &mut |_, _| ());
}

/// The same of a file that was deleted before the crash: it is not there again.
#[test]
fn what_was_deleted_before_a_crash_gets_no_dots() {
    for is_stored in [false, true] {
        let mut fleet = FleetFixture::new(2, &[BOTH[0]; 2]);
        fleet.make(0, "of a");
        let volume = fleet.mount(1);
        make(&volume, "f", "f").unwrap();
        kill(volume);
        if is_stored {
            [0, 1].into_iter().for_each(|at| _ = fleet.sync_all(at));
        }
        let volume = fleet.mount(1);
        rename(&volume, "f", "g").unwrap();
        volume.sync_directory(&volume.root().unwrap()).unwrap();
        remove(&volume, "g").unwrap();
        kill(volume);
        assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["of a"], "{is_stored}");
    }
}

#[test]
fn each_rule_about_names_that_are_gone_is_needed() {
    each_is_noticed(&[
        (
            Mutant::OutdatedKept,
            a_name_that_was_taken_away_does_not_come_back_with_another_version_of_the_file,
        ),
        (Mutant::OutdatedKept, a_file_goes_with_its_last_name_if_the_others_are_known_to_be_gone),
        (
            Mutant::OutdatedUnseen,
            a_name_that_was_there_when_versions_became_one_goes_once_its_directory_lacks_it,
        ),
        (
            Mutant::ComingDropped,
            super::unshown::a_file_whose_new_name_is_on_its_way_does_not_go_with_the_old_one,
        ),
        (Mutant::MovedForgotten, a_file_whose_name_was_moved_elsewhere_does_not_go_with_another_name),
        (Mutant::FormerNameTaken, a_folder_says_the_name_that_it_was_given_last),
        (Mutant::GoneLoaded, what_was_deleted_before_a_crash_gets_no_dots),
        (Mutant::RenewedUncovered, a_name_with_the_former_dot_of_its_entry_goes_with_the_entry),
        (Mutant::AnewUnnamed, names_have_the_dots_of_their_entries_after_a_crash),
    ]);
}
