//! A client replaces a file that was written to and is not stored.

use super::super::hostile::told::Told;
use super::live::Live;
use super::misplaced::{put, take};
use super::*;
use crate::volume::{Rename, Result, Volume};

/// What happens on the device between the write and the client, and behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Batch,
    Fsync,
    /// Something that is stored, and then more.
    Stored,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    Noticed,
    Checkpoint,
    Fsync,
    Unmount,
}

/// From here on a file has further chunks.
const LARGE: usize = 256 << 10;

fn fsync(volume: &Volume) -> Result<()> {
    volume.sync(&find(volume, "f").unwrap(), false)
}

fn check(length: usize, before: Before, after: After, style: Style) {
    let version = |who: &str| who.to_owned() + &" ".repeat(length - who.len());
    let mut fleet = FleetFixture::new(2, &[style; 2]);
    fleet.at(0, |_, volume| super::fleet::make(volume, "f", &version("first")).unwrap());
    fleet.settle();
    fleet.at(1, |_, volume| edit(volume, "f", &version("by b")).unwrap());
    fleet.sync_all(1);
    let mut live = Live::mount(fleet);
    if before == Before::Stored {
        edit(live.at(0), "f", "stored").unwrap();
        live.at(0).sync_all().unwrap();
    }
    edit(live.at(0), "f", &version("by a")).unwrap();
    match before {
        Before::Batch => live.at(0).writeback.commit(&[]).unwrap(),
        Before::Fsync => fsync(live.at(0)).unwrap(),
        Before::Nothing | Before::Stored => {}
    }
    live.fleet.sync_all(0);
    match after {
        After::Noticed => live.arrive(0),
        After::Checkpoint => live.at(0).checkpoint().unwrap(),
        // What only memory has is not durable.
        After::Fsync => assert!(fsync(live.at(0)).is_ok() || length > 4096, "{length} {before:?} {style:?}"),
        After::Unmount => {}
    }
    // Where nothing was written to the file itself the client has nothing to choose.
    if after == After::Noticed && length < 4096 && matches!(before, Before::Nothing | Before::Batch) {
        let inode = find(live.at(0), "f").unwrap();
        let mut shown = vec![0; length];
        live.at(0).read(&inode, 0, &mut shown).unwrap();
        assert!(shown.starts_with(b"by b"), "{length} {before:?} {style:?}");
    }
    let told = Told::default().at_open(live.at(0));
    assert_eq!(told, [], "{length} {before:?} {after:?} {style:?}");
    let mut fleet = live.unmount();
    fleet.made = [version("by a"), version("by b")].into();
    let judged = catch_unwind(AssertUnwindSafe(|| match length > LARGE {
        // What the client kept of a large file may be of no version any more.
        true => {
            fleet.settle();
            (0..2).for_each(|at| fleet.at(at, |fleet, volume| fleet.check_made(&tree(volume))));
            fleet.at(0, |_, volume| tree(volume))
        }
        false => fleet.judge(),
    }));
    let shown = judged.unwrap_or_else(|_| panic!("{length} {before:?} {after:?} {style:?}"));
    assert!(shown.len() <= 3, "{:?}", shown.keys());
}

fn check_all() {
    for length in [10, 6_000, 300_000] {
        for before in [Before::Nothing, Before::Batch, Before::Fsync, Before::Stored] {
            for after in [After::Noticed, After::Checkpoint, After::Fsync, After::Unmount] {
                BOTH.into_iter().for_each(|style| check(length, before, after, style));
            }
        }
    }
}

#[test]
fn what_was_written_to_a_file_that_a_client_replaces_is_saved_beside() {
    check_all();
}

/// Two mounts; the second device changed `f`, which the client is about to bring to the first.
fn changed_elsewhere(styles: &[Style]) -> Live {
    let mut fleet = FleetFixture::new(2, styles);
    fleet.make(0, "f");
    fleet.settle();
    fleet.at(1, |_, volume| edit(volume, "f", "by b").unwrap());
    fleet.sync_all(1);
    Live::mount(fleet)
}

/// Ends a mount without anything more of it becoming durable.
fn cut(mut live: Live, at: usize) -> Live {
    let (volume, watch) = live.volumes.remove(at);
    drop(watch);
    drop(volume);
    let watch = live.fleet.devices[at].store.watch().unwrap().unwrap();
    live.volumes.insert(at, (live.fleet.mount(at), watch));
    live
}

/// What an fsync had a batch carry, of a file that became too large for a batch before it gave way.
#[test]
fn what_a_batch_carried_outlives_a_checkpoint_in_which_the_file_gives_way() {
    let mut live = changed_elsewhere(&BOTH);
    let inode = find(live.at(0), "f").unwrap();
    rename(live.at(0), "f", "h").unwrap();
    edit(live.at(0), "h", "by a").unwrap();
    live.at(0).sync(&inode, false).unwrap();
    assert!(inode.state.read().progress.carried > 0);
    live.at(0).write(&inode, 4, &[b' '; 6000], now(), 0).unwrap();
    drop(inode);
    live.fleet.sync_all(0);
    live.at(0).checkpoint().unwrap();
    super::fleet::make(live.at(0), "g", "g").unwrap();
    live.at(0).writeback.commit(&[]).unwrap();
    let mut fleet = cut(live, 0).unmount();
    fleet.made.clear();
    let shown = fleet.judge();
    let contents: Vec<_> = shown.values().flatten().map(|content| content.trim_end()).collect();
    assert!(contents.contains(&"by a") && contents.contains(&"by b"), "{contents:?}");
}

/// The client had looked for changes before it was written, and copies what it found then. What was written is still open.
#[test]
fn what_was_stored_just_now_and_is_replaced_without_a_copy_is_saved() {
    for length in [10, 6_000] {
        for is_noticed in [false, true] {
            let mut live = changed_elsewhere(&BOTH);
            let by_a = "by a".to_owned() + &" ".repeat(length);
            edit(live.at(0), "f", &by_a).unwrap();
            rename(live.at(0), "f", "g").unwrap();
            live.at(0).sync_all().unwrap();
            let inode = find(live.at(0), "g").unwrap();
            let name = live.at(0).base.context.file_name(ChunkId::first(inode.id()));
            put(&live.fleet.devices[0].store, name, take(&live.fleet.server, name));
            if is_noticed {
                live.arrive(0);
            } else {
                let to = |mode: &mut u32| std::mem::replace(mode, 0o600) == 0o600;
                live.at(0).set_attributes(&inode, |record| to(&mut record.mode)).unwrap();
                live.at(0).checkpoint().unwrap();
            }
            drop(inode);
            live.at(0).merge().unwrap();
            let mut fleet = live.unmount();
            fleet.made = [by_a, "by b".into()].into();
            let tree = fleet.judge();
            assert_eq!(tree.len(), 2, "{length} {is_noticed} {:?}", tree.keys());
            let links = fleet.at(0, |_, volume| find(volume, "g").unwrap().view(|record| record.links_count));
            assert_eq!(links, 1);
        }
    }
}

/// The client comes between a write and the fsync of it.
#[test]
fn an_fsync_after_what_was_written_gave_way_makes_that_durable_or_fails() {
    for length in [10, 6_000] {
        let mut live = changed_elsewhere(&BOTH);
        let text = format!("{:<length$}", "by a");
        edit(live.at(0), "f", &text).unwrap();
        live.fleet.sync_all(0);
        live.arrive(0);
        let is_durable = fsync(live.at(0)).is_ok();
        assert!(is_durable || length > 4096);
        let mut fleet = cut(live, 0).unmount();
        fleet.made = std::iter::once("by b".to_owned()).chain(is_durable.then_some(text)).collect();
        fleet.judge();
    }
}

/// A second version gives way while the first one is not merged yet.
#[test]
fn a_second_version_that_a_batch_carried_outlives_a_checkpoint() {
    let mut fleet = FleetFixture::new(2, &BOTH);
    fleet.make(0, "f");
    fleet.settle();
    let mut live = Live::mount(fleet);
    for round in 0..2 {
        edit(live.at(1), "f", &format!("by b {round}")).unwrap();
        live.at(1).checkpoint().unwrap();
        live.fleet.sync_all(1);
        let inode = find(live.at(0), ["f", "h"][round]).unwrap();
        rename(live.at(0), ["f", "h"][round], ["h", "i"][round]).unwrap();
        edit(live.at(0), ["h", "i"][round], &format!("by a {round}")).unwrap();
        live.at(0).sync(&inode, false).unwrap();
        assert!(inode.state.read().progress.carried > 0);
        drop(inode);
        live.fleet.sync_all(0);
        live.arrive(0);
        live.at(0).checkpoint().unwrap();
    }
    super::fleet::make(live.at(0), "g", "g").unwrap();
    live.at(0).writeback.commit(&[]).unwrap();
    let mut fleet = cut(live, 0).unmount();
    fleet.made = ["by a 0", "by a 1", "by b 1"].map(str::to_owned).into();
    fleet.removed.clear();
    fleet.judge();
}

/// A mode that was set and is not stored is no version of the content, whatever is pinned.
#[test]
fn attributes_that_are_not_stored_are_no_version() {
    for is_noticed in [false, true] {
        let content = |who: &str| who.to_owned() + &" ".repeat(300_000 - who.len());
        let mut fleet = FleetFixture::new(2, &BOTH);
        fleet.at(0, |_, volume| super::fleet::make(volume, "f", &content("first")).unwrap());
        fleet.settle();
        let mut live = Live::mount(fleet);
        edit(live.at(0), "f", &content("by a")).unwrap();
        live.at(0).sync_all().unwrap();
        live.at(0).write(&find(live.at(0), "f").unwrap(), 0, b"by a!", now(), 0).unwrap();
        live.at(0).sync_all().unwrap();
        live.fleet.sync_all(0);
        live.fleet.sync_all(1);
        live.arrive(1);
        live.at(1).write(&find(live.at(1), "f").unwrap(), 0, b"by b!", now(), 0).unwrap();
        live.at(1).sync_all().unwrap();
        live.fleet.sync_all(1);
        let inode = find(live.at(0), "f").unwrap();
        live.at(0).set_attributes(&inode, |record| std::mem::replace(&mut record.mode, 0o600) == 0).unwrap();
        live.fleet.sync_all(0);
        if is_noticed {
            live.arrive(0);
        }
        live.at(0).checkpoint().unwrap();
        drop(inode);
        let mut fleet = live.unmount();
        fleet.settle();
        let shown = fleet.at(0, |_, volume| tree(volume));
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["f"], "{is_noticed}");
        let mode = |volume: &Volume| find(volume, "f").unwrap().view(|record| record.mode);
        (0..2).for_each(|at| assert_eq!(fleet.at(at, |_, volume| mode(volume)), 0o600, "{is_noticed}"));
    }
}

/// Whatever the device does before it is saved, and however it ends: it was acknowledged.
#[test]
fn what_was_acknowledged_and_gave_way_outlives_a_kill() {
    for steps in 0..8 {
        let mut live = changed_elsewhere(&[BOTH[0]; 2]);
        edit(live.at(0), "f", "by a").unwrap();
        // In a batch only.
        let inode = find(live.at(0), "f").unwrap();
        live.at(0).writeback.commit(std::slice::from_ref(&inode)).unwrap();
        drop(inode);
        live.fleet.sync_all(0);
        if steps & 1 > 0 {
            live.arrive(0);
        }
        if steps & 2 > 0 {
            live.at(0).checkpoint().unwrap();
        }
        if steps & 4 > 0 {
            // This device's work again, which knows nothing of what gave way.
            let inode = find(live.at(0), "f").unwrap();
            live.at(0)
                .set_attributes(&inode, |record| std::mem::replace(&mut record.mode, 0o600) == 0)
                .unwrap();
            live.at(0).checkpoint().unwrap();
        }
        let Live { mut fleet, volumes } = live;
        drop(volumes);
        fleet.made = ["by a", "by b"].map(str::to_owned).into();
        let judged = catch_unwind(AssertUnwindSafe(|| fleet.judge()));
        judged.unwrap_or_else(|_| panic!("{steps}"));
    }
}

/// Whoever removes the file has not seen it: another device's version has the place, and nothing was merged since.
#[test]
fn what_gave_way_is_saved_before_its_file_is_removed() {
    for case in 0..8 {
        let (length, replaces, is_cut) = ([10, 6_000][case & 1], case & 2 > 0, case & 4 > 0);
        let mut live = changed_elsewhere(&BOTH);
        let by_a = "by a".to_owned() + &" ".repeat(length);
        edit(live.at(0), "f", &by_a).unwrap();
        live.at(0).writeback.commit(&[]).unwrap();
        live.fleet.sync_all(0);
        live.arrive(0);
        let (volume, root) = (live.at(0), live.at(0).root().unwrap());
        assert_eq!(content(volume, &find(volume, "f").unwrap()), b"by b");
        if replaces {
            super::fleet::make(volume, "g", "g").unwrap();
            let replaced = volume.rename((&root, b"g"), (&root, b"f"), Rename::Replace, None, now()).unwrap();
            replaced.into_iter().for_each(|inode| volume.release(inode));
        } else {
            remove(volume, "f").unwrap();
        }
        volume.sync_directory(&root).unwrap();
        drop(root);
        let mut fleet = if is_cut { cut(live, 0) } else { live }.unmount();
        fleet.made = [by_a].into();
        let tree = catch_unwind(AssertUnwindSafe(|| fleet.judge())).unwrap_or_else(|_| panic!("{case}"));
        let is_back = |content: &String| content == "by b" || content.starts_with("f of");
        assert!(!tree.values().flatten().any(is_back), "{case}: {tree:?}");
    }
}

/// The second of two devices wrote to this file just now when the client brought the first one's version. Its journal alone has what it
/// wrote.
fn gave_way(path: &str) -> Live {
    let mut fleet = FleetFixture::new(2, &BOTH[..1]);
    make_directories(&mut fleet, 0, &["d"]);
    fleet.make(0, path);
    fleet.settle();
    fleet.removed.extend(std::mem::take(&mut fleet.made));
    let mut live = Live::mount(fleet);
    edit(live.at(1), path, "by b").unwrap();
    live.at(1).writeback.commit(&[]).unwrap();
    edit(live.at(0), path, "by a").unwrap();
    live.at(0).sync_all().unwrap();
    live.fleet.sync_all(0);
    live.fleet.sync_all(1);
    live.arrive(1);
    live.at(1).writeback.commit_checkpoint_batch().unwrap();
    live.fleet.made.insert("by b".into());
    live
}

/// The client takes that away, and its folder, before anything is merged.
#[test]
fn what_gave_way_is_there_although_another_device_removes_the_file() {
    for path in ["f", "d/f"] {
        let mut live = gave_way(path);
        remove_all(live.at(0), &path[..1]).unwrap();
        live.at(0).sync_all().unwrap();
        live.at(0).checkpoint().unwrap();
        live.fleet.sync_all(0);
        live.fleet.sync_all(1);
        let tree = live.unmount().judge();
        assert_eq!(tree.values().flatten().count(), 1, "{path}: {tree:?}");
    }
}

/// What is left for the next mount may have lost its folder by then.
#[test]
fn what_gave_way_is_saved_before_an_unmount_ends() {
    let fleet = gave_way("d/f").unmount();
    let Device { keys, store, .. } = &fleet.devices[1];
    let volume = keys.open(Arc::new(store.clone()));
    let tree = tree(&volume);
    volume.close().unwrap();
    assert!(tree.values().flatten().any(|content| content == "by b"), "{tree:?}");
}

#[test]
fn each_rule_about_what_is_not_stored_is_needed() {
    let cases: [(Mutant, fn()); 8] = [
        (Mutant::GoneAsideLeft, what_gave_way_is_there_although_another_device_removes_the_file),
        (Mutant::AsideLeftAtEnd, what_gave_way_is_saved_before_an_unmount_ends),
        // What is not stored yet makes a client's copy of what it is written upon.
        (Mutant::KnownCopyLeft, what_gave_way_is_saved_before_its_file_is_removed),
        (Mutant::RemovedUnsaved, what_gave_way_is_saved_before_its_file_is_removed),
        (Mutant::UnstoredDropped, check_all),
        (Mutant::DisplacedIsDurable, an_fsync_after_what_was_written_gave_way_makes_that_durable_or_fails),
        (Mutant::ReplacedDropped, what_was_stored_just_now_and_is_replaced_without_a_copy_is_saved),
        (Mutant::AcknowledgedGaveWay, what_a_batch_carried_outlives_a_checkpoint_in_which_the_file_gives_way),
    ];
    each_is_noticed(&cases);
}
