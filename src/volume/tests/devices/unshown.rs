//! Files that no entry leads to: they say that they have a name which is gone, or on its way, or were deleted and came back.

use super::live::Live;
use super::misplaced::{put, take};
use super::*;
use crate::store::FileName;
use crate::volume::base::Merging;
use crate::volume::{Change, Observer, Rename};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAYS: Duration = Duration::from_secs(2 * 86_400);

/// Two devices and a file that both have, `f`.
fn fleet() -> (FleetFixture, FileName) {
    let mut fleet = FleetFixture::new(2, &BOTH);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.make(0, "f");
    fleet.judge();
    let name = fleet
        .at(1, |_, volume| volume.base.context.file_name(ChunkId::first(find(volume, "f").unwrap().id())));
    (fleet, name)
}

fn is_there(fleet: &FleetFixture, name: FileName) -> bool {
    fleet.devices.iter().any(|device| take(&device.store, name).is_some())
}

/// As it is left where two devices renamed it and one of the directories was replaced.
#[test]
fn a_file_goes_with_its_last_name_that_can_be_seen() {
    let (mut fleet, name) = fleet();
    fleet.at(1, |_, volume| {
        let inode = find(volume, "f").unwrap();
        let mut links = inode.view(|record| record.extension.links.clone());
        links.push(crate::volume::Link {
            parent: find(volume, "d").unwrap().id(),
            name: (*b"gone").into(),
            dot: None,
        });
        volume.correct_links(&inode, links).unwrap();
    });
    fleet.at(1, |_, volume| remove(volume, "f").unwrap());
    fleet.removed.extend(fleet.made.clone());
    fleet.wait(HOUR);
    assert!(is_there(&fleet, name), "the name may be on its way");
    fleet.wait(DAYS);
    assert!(!is_there(&fleet, name));
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["d"]);
}

/// The file arrives before the directory that names it now.
#[test]
pub(super) fn a_file_whose_new_name_is_on_its_way_does_not_go_with_the_old_one() {
    let (mut fleet, name) = fleet();
    fleet.at(0, |_, volume| rename(volume, "f", "d/g").unwrap());
    fleet.sync_all(0);
    let Device { store, client, .. } = &mut fleet.devices[1];
    assert!(client.sync(&Item::File(name), store, &fleet.server));
    fleet.at(1, |_, volume| remove(volume, "f").unwrap());
    fleet.devices[1].store.wait(HOUR);
    fleet.at(1, |_, _| ());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["d", "d/g"]);
    fleet.wait(DAYS);
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["d", "d/g"]);
}

/// The client brings the folder that has the new name, and neither the one that lost the old name nor what was renamed. Who removes the
/// new name sees the old one, and goes on with that.
#[test]
fn what_is_removed_by_its_new_name_alone_keeps_the_old_one() {
    for is_directory in [true, false] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        make_directories(&mut fleet, 0, &["d", "e", "d/x"]);
        fleet.make(0, "d/f");
        fleet.judge();
        let (old, new) = if is_directory { ("d/x", "e/x") } else { ("d/f", "e/f") };
        fleet.at(1, |_, volume| rename(volume, old, new).unwrap());
        fleet.sync_all(1);
        let name =
            |volume: &Volume| volume.base.context.file_name(ChunkId::first(find(volume, "e").unwrap().id()));
        let named = fleet.at(0, |_, volume| name(volume));
        put(&fleet.devices[0].store, named, take(&fleet.server, named));
        fleet.at(0, |_, volume| {
            assert!(find(volume, old).is_some() && find(volume, new).is_some(), "{new}");
            remove_all(volume, new).unwrap();
        });
        if is_directory {
            fleet.make(0, "d/x/new");
        } else {
            fleet.at(0, |_, volume| edit(volume, old, "edited").unwrap());
            fleet.removed.extend(std::mem::take(&mut fleet.made));
            fleet.made.insert("edited".into());
        }
        let tree = fleet.judge();
        assert!(tree.contains_key(old) && !tree.contains_key(new), "{tree:?}");
    }
}

struct Remover(std::sync::Weak<crate::volume::Volume>);

impl Observer for Remover {
    fn changed(&self, _: &[Change]) {
        self.0.upgrade().into_iter().for_each(|volume| remove(&volume, "f").unwrap());
    }
}

/// Both are mounted, and the first one's edit of `f` is on its way.
pub(super) fn edited_by_a() -> Live {
    let (mut fleet, _) = fleet();
    fleet.at(0, |_, volume| edit(volume, "f", "by a").unwrap());
    fleet.removed.extend(std::mem::take(&mut fleet.made));
    fleet.made.insert("by a".into());
    fleet.sync_all(0);
    Live::mount(fleet)
}

/// Whoever shows the volume is told a moment after memory has changed, and removes what he saw.
#[test]
fn what_arrived_and_is_not_shown_yet_does_not_go_with_what_is_shown() {
    for is_found_by_a_flush in [false, true] {
        let mut live = edited_by_a();
        let inode = find(live.at(1), "f").unwrap();
        content(live.at(1), &inode);
        live.fleet.sync_all(1);
        if is_found_by_a_flush {
            let to = |mode: &mut u32| std::mem::replace(mode, 0o600) == 0o600;
            live.at(1).set_attributes(&inode, |record| to(&mut record.mode)).unwrap();
            live.at(1).checkpoint().unwrap();
            drop(inode);
            remove(live.at(1), "f").unwrap();
        } else {
            drop(inode);
            live.at(1).observe(Box::new(Remover(Arc::downgrade(&live.volumes[1].0))));
        }
        live.arrive(1);
        assert!(find(live.at(1), "f").is_none(), "{is_found_by_a_flush}");
        assert_eq!(live.unmount().judge().keys().collect::<Vec<_>>(), ["d", "f"], "{is_found_by_a_flush}");
    }
}

/// Nothing else may arrive that would have it merged.
#[test]
fn what_is_spared_by_a_removal_is_merged_soon() {
    let mut live = edited_by_a();
    content(live.at(1), &find(live.at(1), "f").unwrap());
    live.fleet.sync_all(1);
    remove(live.at(1), "f").unwrap();
    let schedule = &live.at(1).base.schedule;
    let is_due = || {
        schedule.merge_names();
        matches!(schedule.wait_for_merge(None), Some(Merging::All))
    };
    is_due();
    assert!(!is_due());
    live.at(1).checkpoint().unwrap();
    assert!(is_due());
    live.arrive(1);
    assert_eq!(live.unmount().judge().keys().collect::<Vec<_>>(), ["d", "f"]);
}

/// Another device's file has the name since a checkpoint joined the directory, and whoever shows the volume was not told: who removes the
/// name, or gives it to something else, has not seen that file.
#[test]
fn a_file_that_came_under_a_name_does_not_go_with_what_that_is_shown_for() {
    for case in 0..16 {
        let (is_replaced, is_renamed, is_asked, is_late) =
            (case & 1 > 0, case & 2 > 0, case & 4 > 0, case & 8 > 0);
        let mut fleet = FleetFixture::new(2, &BOTH[..1]);
        fleet.make(0, "f");
        fleet.settle();
        let mut live = Live::mount(fleet);
        if is_renamed {
            rename(live.at(1), "f", "h").unwrap();
        } else {
            remove(live.at(1), "f").unwrap();
            super::fleet::make(live.at(0), "g", "g").unwrap();
            rename(live.at(0), "f", "e").unwrap();
            rename(live.at(0), "g", "f").unwrap();
            live.at(0).sync_all().unwrap();
        }
        super::fleet::make(live.at(1), "f", "by b").unwrap();
        live.at(1).sync_all().unwrap();
        super::fleet::make(live.at(0), "new", "new").unwrap();
        live.at(0).sync_all().unwrap();
        live.fleet.sync_all(1);
        let root = live.at(0).root().unwrap();
        let late = live.at(1).base.context.file_name(ChunkId::first(find(live.at(1), "f").unwrap().id()));
        let Device { store, client, .. } = &mut live.fleet.devices[0];
        let items = client.items(store, &live.fleet.server);
        let items = items.iter().filter(|item| !is_late || **item != Item::File(late));
        items.for_each(|item| _ = client.sync(item, store, &live.fleet.server));
        super::fleet::make(live.at(0), "more", "more").unwrap();
        live.at(0).checkpoint().unwrap();
        assert!(root.is_another_than_shown(), "{case}");
        if is_asked {
            root.was_asked_for(b"f");
        }
        if is_replaced {
            let how = Rename::Replace;
            let replaced = live.at(0).rename((&root, b"new"), (&root, b"f"), how, None, now()).unwrap();
            replaced.into_iter().for_each(|inode| live.at(0).release(inode));
        } else {
            let is_there = remove(live.at(0), "f").is_ok();
            assert!(is_there || is_renamed && !is_asked, "{case}");
        }
        drop(root);
        let tree = live.unmount().judge();
        let contents: Vec<&str> = tree.values().flatten().map(String::as_str).collect();
        // What was asked for was seen, if it was here.
        assert_eq!(contents.contains(&"by b"), is_replaced || !is_asked || is_late, "{case}: {tree:?}");
        assert!(contents.contains(&"new") && contents.contains(&"f of AAAAAAA"), "{case}: {tree:?}");
        assert_eq!(
            is_replaced,
            tree.get("f").is_some_and(|content| content.as_deref() == Some("new")),
            "{case}: {tree:?}"
        );
    }
}

/// Nobody waits for what entries tell of that: a version tells which of the other one's names it knew.
#[test]
fn of_a_file_that_was_edited_here_and_renamed_there_the_old_name_is_gone() {
    for styles in [[BOTH[0]; 2], [BOTH[1]; 2], BOTH] {
        let mut fleet = FleetFixture::new(2, &styles);
        fleet.make(0, "f");
        fleet.judge();
        fleet.at(0, |_, volume| edit(volume, "f", "edited").unwrap());
        fleet.at(1, |_, volume| rename(volume, "f", "g").unwrap());
        fleet.removed.extend(fleet.made.clone());
        fleet.made.insert("edited".into());
        fleet.devices.iter().for_each(|device| device.store.be_young());
        fleet.settle();
        for at in 0..2 {
            let links =
                fleet.at(at, |_, volume| find(volume, "g").unwrap().view(|record| record.links_count));
            assert_eq!(links, 1, "{styles:?} at {at}");
        }
        let tree = fleet.judge();
        assert!(tree.keys().any(|name| name == "g") && !tree.contains_key("f"), "{tree:?}");
    }
}

/// A client that was away brings it, or somebody who wants it back and has a day for that.
#[test]
fn what_was_deleted_and_comes_back_as_it_was_goes_again() {
    let (mut fleet, name) = fleet();
    let image = take(&fleet.devices[1].store, name);
    fleet.at(1, |_, volume| remove(volume, "f").unwrap());
    fleet.removed.extend(fleet.made.clone());
    fleet.judge();
    put(&fleet.devices[1].store, name, image);
    fleet.wait(HOUR);
    assert!(is_there(&fleet, name));
    fleet.wait(DAYS);
    assert!(!is_there(&fleet, name));
}

/// Whoever has it open goes on, and it is nothing new.
#[test]
fn what_is_written_to_it_while_it_is_open_does_not_bring_it_back() {
    let (mut fleet, name) = fleet();
    fleet.at(1, |fleet, volume| {
        let inode = find(volume, "f").unwrap();
        let mut links = inode.view(|record| record.extension.links.clone());
        links.push(crate::volume::Link {
            parent: find(volume, "d").unwrap().id(),
            name: (*b"gone").into(),
            dot: None,
        });
        volume.correct_links(&inode, links).unwrap();
        remove(volume, "f").unwrap();
        volume.write(&inode, 0, b"more", now(), 0).unwrap();
        volume.sync_all().unwrap();
        fleet.devices[1].store.wait(DAYS);
        volume.merge().unwrap();
        assert_eq!(content(volume, &inode)[..4], *b"more");
    });
    fleet.removed.extend(fleet.made.clone());
    fleet.wait(DAYS);
    assert!(!is_there(&fleet, name));
}

/// A directory that gets its name back in the root becomes one with one of that name, and what lies in it comes later.
#[test]
fn what_was_changed_in_a_directory_that_became_one_with_another_is_there() {
    for styles in [[BOTH[0]; 2], [BOTH[1]; 2]] {
        let mut fleet = FleetFixture::new(2, &styles);
        make_directories(&mut fleet, 0, &["x", "x/d", "d"]);
        fleet.make(0, "x/d/f");
        fleet.judge();
        fleet.removed.extend(std::mem::take(&mut fleet.made));
        fleet.at(0, |_, volume| edit(volume, "x/d/f", "by a").unwrap());
        fleet.made.insert("by a".into());
        fleet.make(0, "x/d/new");
        fleet.at(1, |_, volume| remove_all(volume, "x").unwrap());
        fleet.judge();
    }
}

/// Removed on a device that knew only its own one of two versions, which a client put aside both: the other device's is a copy,
/// and not the newest.
#[test]
fn a_copy_of_an_own_version_is_not_left_because_another_one_is_newer() {
    let mut fleet = FleetFixture::new(2, &[Style::NoneStays; 2]);
    fleet.make(0, "f");
    fleet.judge();
    fleet.removed.extend(fleet.made.clone());
    let mut live = Live::mount(fleet);
    for (at, content) in [(1, "by b"), (0, "by a")] {
        edit(live.at(at), "f", content).unwrap();
        live.at(at).sync_all().unwrap();
        live.fleet.made.insert(content.into());
    }
    live.fleet.sync_all(1);
    live.fleet.sync_all(0);
    remove(live.at(0), "f").unwrap();
    live.fleet.removed.insert("by a".into());
    live.unmount().judge();
}

/// The client brings the folder's parent as it was without the deletion, and what has that only later.
#[test]
fn a_folder_has_no_name_back_by_what_does_not_know_of_its_deletion() {
    let mut fleet = FleetFixture::new(2, &BOTH[1..]);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.make(0, "d/old");
    fleet.judge();
    fleet.devices.iter().for_each(|device| device.store.be_young());
    fleet.removed.extend(fleet.made.clone());
    fleet.at(0, |_, volume| remove_all(volume, "d").unwrap());
    fleet.sync_all(0);
    fleet.make(1, "d/new");
    fleet.make(1, "x");
    let sync = |fleet: &mut FleetFixture, at: usize| {
        let Device { store, client, .. } = &mut fleet.devices[at];
        let items = client.items(store, &fleet.server);
        let files = items.iter().filter(|item| matches!(item, Item::File(_)));
        files.for_each(|item| _ = client.sync(item, store, &fleet.server));
    };
    sync(&mut fleet, 1);
    sync(&mut fleet, 0);
    fleet.at(0, |_, _| ());
    fleet.settle();
    assert_eq!(fleet.at(0, |_, volume| tree(volume)).keys().collect::<Vec<_>>(), ["d", "d/new", "x"]);
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["d", "d/new", "x"]);
}

/// The version in its place has a name only in the folder that yielded, and that is gone.
#[test]
fn a_version_is_saved_beside_another_whose_folder_became_one_with_another() {
    let mut fleet = FleetFixture::new(2, &BOTH[..1]);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.make(0, "d/f");
    fleet.sync_all(0);
    make_directories(&mut fleet, 1, &["d"]);
    fleet.sync_all(1);
    fleet.at(1, |_, _| ());
    fleet.removed.extend(fleet.made.clone());
    fleet.at(0, |_, volume| edit(volume, "d/f", "edited").unwrap());
    fleet.made.insert("edited".into());
    [0, 1].into_iter().for_each(|at| assert!(fleet.sync_all(at)));
    let tree = fleet.judge();
    assert!(tree.contains_key("d/f") && tree.keys().all(|path| path.starts_with('d')), "{tree:?}");
}

/// Nobody who has a directory knows that something in it changed; its own deletion the third device made.
#[test]
fn what_was_changed_in_a_directory_that_somebody_else_removed_is_there() {
    let mut fleet = FleetFixture::new(3, &BOTH[..1]);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.make(0, "d/f");
    fleet.judge();
    fleet.removed.extend(fleet.made.clone());
    fleet.at(0, |_, volume| edit(volume, "d/f", "by a").unwrap());
    fleet.made.insert("by a".into());
    fleet.at(1, |_, volume| remove(volume, "d/f").unwrap());
    [1, 2].into_iter().for_each(|at| assert!(fleet.sync_all(at)));
    fleet.at(2, |_, volume| remove_all(volume, "d").unwrap());
    fleet.judge();
}

#[test]
fn each_rule_about_what_is_not_shown_is_needed() {
    each_is_noticed(&[
        (Mutant::BesideNowhere, a_version_is_saved_beside_another_whose_folder_became_one_with_another),
        (Mutant::NamedByOlder, a_folder_has_no_name_back_by_what_does_not_know_of_its_deletion),
        (Mutant::UnseenReplaced, a_file_that_came_under_a_name_does_not_go_with_what_that_is_shown_for),
        (Mutant::LeftAsGiven, what_is_removed_by_its_new_name_alone_keeps_the_old_one),
        (Mutant::UnshownForgotten, a_file_goes_with_its_last_name_that_can_be_seen),
        (Mutant::NamesUnited, of_a_file_that_was_edited_here_and_renamed_there_the_old_name_is_gone),
        (Mutant::SparedUnmerged, what_is_spared_by_a_removal_is_merged_soon),
        (Mutant::UnseenDeleted, what_arrived_and_is_not_shown_yet_does_not_go_with_what_is_shown),
        (Mutant::ReturnedLeft, what_was_deleted_and_comes_back_as_it_was_goes_again),
        (Mutant::UnitedRevived, what_was_changed_in_a_directory_that_became_one_with_another_is_there),
        (Mutant::OwnCopyLeft, a_copy_of_an_own_version_is_not_left_because_another_one_is_newer),
    ]);
}
