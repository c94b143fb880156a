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

#[test]
fn each_rule_about_folders_that_were_not_here_is_needed() {
    each_is_noticed(&[
        (Mutant::FolderBelieved, a_folder_says_the_name_that_it_was_given_unread),
        (Mutant::FormerNameKept, a_folder_that_is_moved_has_no_name_but_the_new_one),
        (Mutant::FolderLeft, a_folder_that_is_removed_by_the_name_that_it_was_given_unread_goes),
    ]);
}
