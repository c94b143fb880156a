//! Chunk files that no name leads to, once all has come to rest.

use super::fleet::file_of;
use super::live::Live;
use super::walks::act;
use super::*;
use crate::chunk::InodeId;
use crate::store::FileName;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::{Rename, Volume};
use std::collections::BTreeSet;
use std::time::Duration;

const DAYS: Duration = Duration::from_secs(2 * 86_400);

/// Brings a device one chunk file.
fn bring(fleet: &mut FleetFixture, at: usize, name: FileName) {
    let Device { store, client, .. } = &mut fleet.devices[at];
    assert!(client.sync(&Item::File(name), store, &fleet.server));
}

/// Whether this device remembers that it removed an inode.
pub(super) fn is_removed(volume: &Volume, id: InodeId) -> bool {
    volume.base.context.recall.tombstone(ChunkId::first(id)).is_some()
}

/// A name that answers with an error can be removed; what it stands for comes later.
#[test]
fn what_arrives_after_its_name_was_removed_has_it_back() {
    for is_directory in [false, true] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        if is_directory {
            make_directories(&mut fleet, 0, &["n"]);
        }
        let path = if is_directory { "n/f" } else { "n" };
        fleet.make(0, path);
        let root = fleet.at(0, |_, volume| file_of(volume, ""));
        assert!(fleet.sync_all(0));
        bring(&mut fleet, 1, root);
        fleet.at(1, |_, volume| {
            let root = volume.root().unwrap();
            let removed = match is_directory {
                true => volume.remove_directory(&root, b"n", now()),
                false => volume.unlink(&root, b"n", now()),
            };
            assert!(removed.unwrap().is_none());
        });
        let tree = fleet.judge();
        assert!(tree.contains_key(path), "{tree:?}");
        assert_eq!(unnamed(&mut fleet, 1), Vec::<String>::new());
    }
}

/// Who removes a name of what has not arrived deletes nothing that has another one, be it given meanwhile.
#[test]
fn what_was_never_here_keeps_its_other_names() {
    for (is_linked, is_noticed) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.make(0, "n");
        let root = fleet.at(0, |_, volume| file_of(volume, ""));
        let give = |fleet: &mut FleetFixture| {
            fleet.at(0, |_, volume| match is_linked {
                true => {
                    volume.link(&find(volume, "n").unwrap(), &volume.root().unwrap(), b"m", now()).unwrap()
                }
                false => rename(volume, "n", "m").unwrap(),
            });
        };
        if is_linked {
            give(&mut fleet);
        }
        assert!(fleet.sync_all(0));
        bring(&mut fleet, 1, root);
        fleet.at(1, |_, volume| {
            assert!(volume.unlink(&volume.root().unwrap(), b"n", now()).unwrap().is_none())
        });
        if !is_linked {
            give(&mut fleet);
            assert!(fleet.sync_all(0));
        }
        bring(&mut fleet, 1, root);
        for _ in 0..3 {
            fleet.devices[1].store.wait(Duration::from_secs(60));
            fleet.at(1, |_, volume| {
                if is_noticed {
                    tree(volume);
                }
                volume.merge().unwrap();
            });
        }
        fleet.sync_all(1);
        fleet.sync_all(0);
        assert!(fleet.judge().contains_key("m"), "{is_linked} {is_noticed}");
    }
}

/// Somebody who deletes the file, and brings back what it once was, has it refused as ever.
#[test]
fn what_was_known_of_what_has_its_name_back_counts() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "n");
    fleet.judge();
    let file = Item::File(fleet.at(1, |_, volume| file_of(volume, "n")));
    let store = fleet.devices[1].store.clone();
    let older = store.take(&file);
    fleet.at(1, |_, volume| edit(volume, "n", "newer").unwrap());
    let newer = store.take(&file);
    store.put(&file, None);
    fleet.at(1, |_, volume| remove(volume, "n").unwrap());
    for (image, shown) in [(older, None), (newer, Some("newer"))] {
        store.put(&file, image);
        let tree = fleet.at(1, |_, volume| tree(volume));
        assert_eq!(tree.get("n").map(Option::as_deref), shown.map(Some));
    }
}

/// Only the file has come when it gets the name here, too.
#[test]
fn a_name_that_two_devices_gave_a_file_is_one() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "n");
    fleet.judge();
    let file = fleet.at(0, |_, volume| file_of(volume, "n"));
    fleet.at(0, |_, volume| rename(volume, "n", "m").unwrap());
    fleet.sync_all(0);
    bring(&mut fleet, 1, file);
    fleet.at(1, |_, volume| rename(volume, "n", "m").unwrap());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["m"]);
}

/// One device removes a folder, the other one puts something into it and removes the folder above.
#[test]
fn what_lost_its_folder_there_and_the_one_above_here_is_in_the_root() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    make_directories(&mut fleet, 0, &["d", "d/e"]);
    fleet.judge();
    let above = fleet.at(1, |_, volume| file_of(volume, "d"));
    fleet.make(0, "d/e/f");
    fleet.at(1, |_, volume| remove_all(volume, "d/e").unwrap());
    assert!(fleet.sync_all(1));
    bring(&mut fleet, 0, above);
    fleet.at(0, |_, volume| remove_all(volume, "d").unwrap());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["e", "e/f"]);
}

/// The client brings the file under its former name here, too. It has none but the one that another file is about to get.
#[test]
fn a_file_that_is_replaced_by_a_name_that_it_does_not_say_comes_back_with_an_edit() {
    let mut fleet = FleetFixture::new(2, &BOTH[..1]);
    fleet.make(0, "f");
    fleet.judge();
    let file = fleet.at(0, |_, volume| file_of(volume, "f"));
    let set_mode = |volume: &Volume| {
        let inode = find(volume, "f").unwrap();
        volume.set_attributes(&inode, |record| std::mem::replace(&mut record.mode, 0o600) == 0o600).unwrap();
    };
    fleet.at(0, |_, volume| set_mode(volume));
    assert!(fleet.sync_all(0));
    let mut live = Live::mount(fleet);
    rename(live.at(1), "f", "g").unwrap();
    live.at(1).checkpoint().unwrap();
    bring(&mut live.fleet, 1, file);
    live.arrive(1);
    live.fleet.devices[1].store.wait(Duration::from_secs(3600));
    let (volume, root) = (live.at(1), live.at(1).root().unwrap());
    super::fleet::make(volume, "new", "by b").unwrap();
    let old = find(volume, "g").unwrap().id();
    let replaced = volume.rename((&root, b"new"), (&root, b"g"), Rename::Replace, None, now()).unwrap();
    replaced.into_iter().for_each(|inode| volume.release(inode));
    drop(root);
    volume.checkpoint().unwrap();
    assert!(is_removed(volume, old));
    edit(live.at(0), "f", "edited").unwrap();
    live.fleet.made = ["edited", "by b"].map(str::to_owned).into();
    live.unmount().judge();
}

/// Both remove a folder, one of them while the client has put aside what it has there.
#[test]
fn a_folder_that_both_removed_is_there_with_what_neither_saw_then() {
    let mut fleet = FleetFixture::new(2, &BOTH[..1]);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.judge();
    fleet.make(1, "d/of b");
    assert!(fleet.sync_all(1));
    fleet.make(0, "d/of a");
    assert!(fleet.sync_all(0));
    let store = fleet.devices[0].store.clone();
    let copies = store.copies().into_iter().map(Item::Copy).map(|copy| (copy.clone(), store.take(&copy)));
    let copies = copies.collect::<Vec<_>>();
    assert!(!copies.is_empty());
    copies.iter().for_each(|(copy, _)| store.put(copy, None));
    for at in [1, 0] {
        fleet.at(at, |_, volume| remove_all(volume, "d").unwrap());
    }
    copies.into_iter().for_each(|(copy, image)| store.put(&copy, image));
    fleet.removed.insert("d/of b of BBBBBBB".into());
    assert_eq!(fleet.judge().keys().collect::<Vec<_>>(), ["d", "d/of a"]);
}

/// The other device's journal alone tells of the move, and that the folder is gone: what was edited there comes back.
#[test]
fn what_was_moved_out_of_a_folder_that_is_gone_and_is_removed_here_comes_back_with_an_edit() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    make_directories(&mut fleet, 0, &["d", "e"]);
    fleet.make(0, "d/f");
    fleet.judge();
    let mut live = Live::mount(fleet);
    let file = find(live.at(0), "d/f").unwrap().id();
    rename(live.at(1), "d/f", "e/f").unwrap();
    remove_all(live.at(1), "d").unwrap();
    live.at(1).writeback.commit(&[]).unwrap();
    [1, 0].iter().for_each(|at| assert!(live.fleet.sync_all(*at)));
    live.arrive(0);
    remove(live.at(0), "e/f").unwrap();
    assert!(is_removed(live.at(0), file));
    edit(live.at(1), "e/f", "edited").unwrap();
    live.at(1).sync_all().unwrap();
    live.at(1).checkpoint().unwrap();
    [1, 0].iter().for_each(|at| assert!(live.fleet.sync_all(*at)));
    live.arrive(0);
    live.fleet.made = ["edited".to_owned()].into();
    let tree = live.unmount().judge();
    assert_eq!(tree.values().flatten().collect::<Vec<_>>(), ["edited"], "{tree:?}");
}

/// A client brings the renamed file while the name that it was given here is not stored. Whoever takes that away again leaves the other.
#[test]
fn a_file_that_was_renamed_here_just_now_has_the_name_from_elsewhere_too() {
    for (is_journalled, removes) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.make(0, "f");
        fleet.judge();
        fleet.at(1, |_, volume| rename(volume, "f", "by b").unwrap());
        let file = fleet.at(1, |_, volume| file_of(volume, "by b"));
        assert!(fleet.sync_all(1));
        let mut live = Live::mount(fleet);
        rename(live.at(0), "f", "by a").unwrap();
        if is_journalled {
            live.at(0).writeback.commit(&[]).unwrap();
        }
        bring(&mut live.fleet, 0, file);
        live.arrive(0);
        if removes {
            remove(live.at(0), "by a").unwrap();
        }
        let tree = live.unmount().judge();
        let both = ["by a", "by b"];
        assert_eq!(tree.keys().collect::<Vec<_>>(), both[usize::from(removes)..], "{is_journalled}");
    }
}

/// What this device wrote lost its place while it was open, and is saved; then the other version is removed, before the client's copy
/// of the first one is merged.
#[test]
fn a_copy_of_an_own_version_whose_file_was_deleted_here_goes() {
    let mut fleet = FleetFixture::new(2, &[BOTH[0]; 2]);
    fleet.make(0, "f");
    fleet.judge();
    fleet.at(1, |_, volume| edit(volume, "f", "by b").unwrap());
    assert!(fleet.sync_all(1));
    let mut live = Live::mount(fleet);
    edit(live.at(0), "f", "by a").unwrap();
    live.at(0).sync_all().unwrap();
    assert!(live.fleet.sync_all(0));
    live.arrive(0);
    live.at(0).sync_all().unwrap();
    remove(live.at(0), "f").unwrap();
    live.at(0).sync_all().unwrap();
    let mut fleet = live.unmount();
    fleet.made = ["by a", "by b"].map(str::to_owned).into();
    fleet.removed = ["by b".to_owned()].into();
    let tree = fleet.judge();
    assert_eq!(tree.len(), 1, "{tree:?}");
}

/// As editors save: a new file takes the name of the old one.
fn save(fleet: &mut FleetFixture, volume: &Volume, by: &str, random: &mut TestRng) -> Option<String> {
    let tree = super::fleet::readable(volume);
    let files: Vec<(String, String)> =
        tree.into_iter().filter_map(|(path, what)| Some((path, what?))).collect();
    let (path, content) = random.pick(&files)?.clone();
    let (parent, name) = super::fleet::parent(volume, &path)?;
    let new = format!("{by}, saved");
    let temporary = format!(".saved {by}");
    let inode = volume.create(&parent, temporary.as_bytes(), super::super::new(Kind::File)).ok()?;
    volume.write(&inode, 0, new.as_bytes(), now(), 0).ok()?;
    fleet.made.insert(new.clone());
    let how = Rename::Replace;
    let replaced = volume.rename((&parent, temporary.as_bytes()), (&parent, name), how, None, now()).ok()?;
    replaced.into_iter().for_each(|inode| volume.release(inode));
    fleet.removed.insert(content.clone());
    Some(format!("saves {path}: {new} over {content}"))
}

/// The inodes that names lead to.
fn named(volume: &Volume) -> BTreeSet<InodeId> {
    let (mut found, mut todo) = (BTreeSet::new(), vec![InodeId::ROOT]);
    while let Some(id) = todo.pop() {
        if !found.insert(id) {
            continue;
        }
        let Ok(inode) = volume.inode(id) else { continue };
        if inode.is_directory() {
            for name in names(volume, &inode) {
                todo.extend(volume.entry(&inode, name.as_bytes()).unwrap().map(|entry| entry.0));
            }
        }
    }
    found
}

/// Chunk files of inodes without a name.
pub(super) fn unnamed(fleet: &mut FleetFixture, at: usize) -> Vec<String> {
    fleet.at(at, |_, volume| {
        let named = named(volume);
        let all = volume.catalog.all_chunks().unwrap();
        let unnamed = all.into_iter().filter(|id| !named.contains(&id.inode));
        let describe = |id: ChunkId| {
            let links =
                volume.inode(id.inode).map(|inode| inode.view(|record| record.extension.links.clone()));
            format!("{id:?}, {links:?}, {:?}", volume.base.context.recall.tombstone(ChunkId::first(id.inode)))
        };
        unnamed.map(describe).collect()
    })
}

fn walk(seed: u64) {
    let mut random = TestRng(seed);
    let styles: Vec<Style> = (0..2).map(|_| BOTH[random.below(2)]).collect();
    let most = if random.below(4) == 0 { 60 } else { 16 };
    shrunk::walk(seed, 4 + random.below(most), |steps| take(steps, &styles));
}

fn take(steps: &shrunk::Steps<'_>, styles: &[Style]) {
    let mut live = Live::mount(FleetFixture::new(2, styles));
    for (step, mut random) in steps.each() {
        let at = random.below(live.volumes.len());
        let what = match random.below(5) {
            which @ 0..2 => {
                match which {
                    0 => live.fleet.sync_some(at, &mut random),
                    _ => _ = live.fleet.sync_all(at),
                }
                live.arrive_between(at, &mut random);
                Some("copies".to_owned())
            }
            _ => {
                let Live { fleet, volumes } = &mut live;
                let volume = &volumes[at].0;
                let done = match random.below(4) {
                    0 => save(fleet, volume, &format!("{} of {at}", step * 10), &mut random),
                    _ => act(fleet, volume, (at, step * 10), &mut random),
                };
                match random.below(3) {
                    0 => {}
                    1 => volume.writeback.commit(&[]).unwrap(),
                    _ => volume.sync_all().unwrap(),
                }
                done
            }
        };
        steps.tell(&live.fleet, &format!("{step}: {at} {}", what.as_deref().unwrap_or("does nothing")));
    }
    let mut fleet = live.unmount();
    steps.tell(&fleet, "unmounted");
    let judged = catch_unwind(AssertUnwindSafe(|| {
        fleet.judge();
        fleet.wait(DAYS);
        fleet.wait(DAYS);
        fleet.judge();
    }));
    steps.tell(&fleet, "judged");
    judged.unwrap_or_else(|why| resume_unwind(why));
    let left = [0, 1].map(|at| unnamed(&mut fleet, at));
    assert!(left.iter().all(Vec::is_empty), "left: {left:#?}");
}

#[test]
fn what_has_no_name_goes() {
    let mut random = TestRng(seed());
    for _ in 0..variable("CRYPTFS_WALKS").unwrap_or(60) {
        walk(random.0);
        random.below(2);
    }
}

#[test]
fn each_rule_about_what_has_no_name_is_needed() {
    each_is_noticed(&[
        (Mutant::AbsentForgotten, what_arrives_after_its_name_was_removed_has_it_back),
        (Mutant::AbsentUnknown, what_was_known_of_what_has_its_name_back_counts),
        (Mutant::OwnBesideDeletedLeft, a_copy_of_an_own_version_whose_file_was_deleted_here_goes),
        (Mutant::OtherNamesForgotten, a_file_that_was_renamed_here_just_now_has_the_name_from_elsewhere_too),
        (Mutant::HomelessLeft, what_lost_its_folder_there_and_the_one_above_here_is_in_the_root),
        (
            Mutant::UnreachedShows,
            what_was_moved_out_of_a_folder_that_is_gone_and_is_removed_here_comes_back_with_an_edit,
        ),
        (Mutant::DeletedFolderLeft, a_folder_that_both_removed_is_there_with_what_neither_saw_then),
        (
            Mutant::LostBeforeReplaced,
            a_file_that_is_replaced_by_a_name_that_it_does_not_say_comes_back_with_an_edit,
        ),
        (Mutant::NameGivenTwice, a_name_that_two_devices_gave_a_file_is_one),
        (Mutant::UnreadDeleted, what_was_never_here_keeps_its_other_names),
    ]);
}
