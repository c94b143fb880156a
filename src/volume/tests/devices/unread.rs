//! A folder that was given another name by a device that does not have it yet: its record says the former one when it comes.

use super::live::Live;
use super::misplaced::take;
use super::*;
use crate::store::FileName;
use crate::volume::{Error, Link, Volume};
use std::time::Duration;

const DAYS: Duration = Duration::from_secs(2 * 86_400);

/// Two devices, of which the first one has a folder of the second under a name that it gave it unread, as it renamed the file that
/// had its name. The chunk 0 of the folder is here by now, and the name of that file.
fn named_unread(within: &[&str]) -> (FleetFixture, FileName) {
    let mut fleet = FleetFixture::new(2, &BOTH);
    make_directories(&mut fleet, 1, &["n"]);
    within.iter().for_each(|path| fleet.make(1, path));
    fleet.make(0, "n");
    let (root, folder) = fleet.at(1, |_, volume| {
        let name = |path| volume.base.context.file_name(ChunkId::first(find(volume, path).unwrap().id()));
        (name(""), name("n"))
    });
    assert!(fleet.sync_all(1));
    let Device { store, client, .. } = &mut fleet.devices[0];
    assert!(client.sync(&Item::File(root), store, &fleet.server));
    fleet.at(0, |_, volume| rename(volume, "n", "m").unwrap());
    assert!(fleet.sync_all(0) && take(&fleet.devices[0].store, folder).is_some());
    (fleet, folder)
}

fn beside(volume: &Volume) -> String {
    let names = names(volume, &volume.root().unwrap());
    names.into_iter().find(|name| name.starts_with("n (conflict")).unwrap()
}

fn links_of(volume: &Volume, path: &str) -> Vec<Link> {
    find(volume, path).unwrap().view(|record| record.extension.links.clone())
}

/// Once somebody looked at it, and nothing that is on its way can tell of another one.
#[test]
fn a_folder_says_the_name_that_it_was_given_unread() {
    for within in [&["n/f"][..], &[]] {
        let (mut fleet, _) = named_unread(within);
        fleet.judge();
        for at in 0..2 {
            let (name, links) = fleet.at(at, |_, volume| {
                let name = beside(volume);
                let links = links_of(volume, &name);
                (name, links)
            });
            assert!(links.len() == 1 && *links[0].name == *name.as_bytes(), "at {at}: {links:?} of {name}");
        }
    }
}

/// By somebody who finds it under the name that it does not say, at once.
#[test]
fn a_folder_that_is_moved_has_no_name_but_the_new_one() {
    let (mut fleet, _) = named_unread(&["n/f"]);
    make_directories(&mut fleet, 0, &["p", "q"]);
    fleet.at(0, |_, volume| {
        rename(volume, &beside(volume), "p/x").unwrap();
        let links = links_of(volume, "p/x");
        assert!(links.len() == 1 && *links[0].name == *b"x", "{links:?}");
        assert!(matches!(rename(volume, "p", "p/x/p"), Err(Error::Invalid)), "it would lie in itself");
        rename(volume, "p/x", "q/y").unwrap();
        assert_eq!(links_of(volume, "q/y").len(), 1);
    });
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["m", "p", "q", "q/y", "q/y/f"]);
}

#[test]
fn a_folder_that_is_removed_by_the_name_that_it_was_given_unread_goes() {
    for is_live in [false, true] {
        let (mut fleet, folder) = named_unread(&[]);
        if is_live {
            let live = Live::mount(fleet);
            remove_all(live.at(0), &beside(live.at(0))).unwrap();
            fleet = live.unmount();
        } else {
            fleet.at(0, |_, volume| remove_all(volume, &beside(volume)).unwrap());
        }
        fleet.wait(DAYS);
        assert!(fleet.devices.iter().all(|device| take(&device.store, folder).is_none()), "{is_live}");
        assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["m"]);
    }
}

/// A device gave it a name unread, as it renamed the file that had its name, and another one had deleted it by then: the latter is
/// brought the folder with that name as one that is newer than its own, so nothing is joined.
#[test]
fn a_name_that_was_given_unread_to_what_is_deleted_goes() {
    for case in 0..5 {
        let (is_live, is_young, is_met) = (case > 0, case & 1 > 0, case & 2 > 0);
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.make(1, "n");
        fleet.make(0, "n");
        let root = fleet
            .at(1, |_, volume| volume.base.context.file_name(ChunkId::first(volume.root().unwrap().id())));
        assert!(fleet.sync_all(1));
        let Device { store, client, .. } = &mut fleet.devices[0];
        assert!(client.sync(&Item::File(root), store, &fleet.server));
        fleet.at(0, |_, volume| rename(volume, "n", "m").unwrap());
        fleet.at(1, |_, volume| remove(volume, "n").unwrap());
        fleet.removed.insert("n of BBBBBBB".into());
        assert!(fleet.sync_all(1) && fleet.sync_all(0));
        fleet.at(0, |_, _| ());
        assert!(fleet.sync_all(0));
        if is_live {
            let mut live = Live::mount(fleet);
            if !is_young {
                live.fleet.devices[1].store.wait(Duration::from_secs(60));
            }
            tree(live.at(1));
            live.fleet.sync_all(1);
            live.arrive(1);
            if is_met {
                tree(live.at(1));
            }
            live.at(1).merge().unwrap();
            let root = live.at(1).root().unwrap();
            assert_eq!(names(live.at(1), &root).len(), if is_young { 2 } else { 1 });
            drop(root);
            live.fleet.devices[1].store.wait(Duration::from_secs(60));
            live.at(1).merge().unwrap();
            fleet = live.unmount();
        }
        assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["m"]);
        for at in 0..2 {
            let names = fleet.at(at, |_, volume| names(volume, &volume.root().unwrap()));
            assert_eq!(names, ["m"], "{case} at {at}");
        }
    }
}

#[test]
fn each_rule_about_what_was_not_here_is_needed() {
    each_is_noticed(&[
        (Mutant::UnreadKept, a_name_that_was_given_unread_to_what_is_deleted_goes),
        (Mutant::FolderBelieved, a_folder_says_the_name_that_it_was_given_unread),
        (Mutant::FormerNameKept, a_folder_that_is_moved_has_no_name_but_the_new_one),
        (Mutant::FolderLeft, a_folder_that_is_removed_by_the_name_that_it_was_given_unread_goes),
    ]);
}
