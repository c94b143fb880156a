//! Devices that are mounted while the client works.

use super::fleet::{make, make_directories};
use super::walks::act;
use super::*;
use crate::store::{Store, Watch};
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::Volume;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Devices that are mounted, each with what its store tells.
pub(super) struct Live {
    pub fleet: FleetFixture,
    pub volumes: Vec<(Arc<Volume>, Box<dyn Watch>)>,
}

impl Live {
    pub fn mount(fleet: FleetFixture) -> Live {
        let mounted = |at: usize| {
            let volume = fleet.mount(at);
            volume.base.tell_arrivals();
            (volume, fleet.devices[at].store.watch().unwrap().unwrap())
        };
        let volumes = (0..fleet.devices.len()).map(mounted).collect();
        Live { fleet, volumes }
    }

    pub fn at(&self, at: usize) -> &Volume {
        &self.volumes[at].0
    }

    /// What the client did since is noticed.
    pub fn arrive(&mut self, at: usize) {
        let (volume, watch) = &mut self.volumes[at];
        let mut seen = Vec::new();
        watch.wait(Some(Duration::ZERO), &mut seen).unwrap();
        volume.arrivals.take_in(&seen);
    }

    /// The same, with merges before and after it, or not.
    pub fn arrive_between(&mut self, at: usize, random: &mut TestRng) {
        if random.below(2) == 0 {
            self.at(at).merge().unwrap();
        }
        self.arrive(at);
        if random.below(2) == 0 {
            self.at(at).merge().unwrap();
        }
    }

    /// Ends a mount without a checkpoint, with all of it durable, and mounts anew.
    fn kill(&mut self, at: usize) {
        self.kill_by(at, super::fleet::kill);
    }

    /// The same by what `kill` does before.
    pub fn kill_by(&mut self, at: usize, kill: impl FnOnce(Arc<Volume>)) {
        let (volume, watch) = self.volumes.remove(at);
        drop(watch);
        kill(volume);
        let watch = self.fleet.devices[at].store.watch().unwrap().unwrap();
        let volume = self.fleet.mount(at);
        volume.base.tell_arrivals();
        self.volumes.insert(at, (volume, watch));
        self.fleet.log.push(format!("{at} is killed"));
    }

    pub fn unmount(mut self) -> FleetFixture {
        self.volumes.drain(..).for_each(|(volume, _)| volume.close().unwrap());
        self.fleet
    }
}

/// Whether the merge comes before what the client put in its place is noticed, or there at all, or after that.
#[test]
fn a_version_that_a_client_puts_aside_under_a_mount_is_not_lost() {
    for moment in 0..3 {
        for is_open in [true, false] {
            let mut fleet = FleetFixture::new(2, &[BOTH[0]; 2]);
            if moment > 0 {
                // No copy counts as young.
                fleet.devices.iter().for_each(|device| device.store.wait(Duration::from_secs(3600)));
            }
            fleet.make(0, "f");
            fleet.settle();
            fleet.at(1, |_, volume| edit(volume, "f", "by b").unwrap());
            fleet.sync_all(1);
            let mut live = Live::mount(fleet);
            edit(live.at(0), "f", "by a").unwrap();
            live.at(0).checkpoint().unwrap();
            let inode = find(live.at(0), "f").unwrap();
            if !is_open {
                inode.state.write().close(ChunkIndex::FIRST);
            }
            let name = live.at(0).base.context.file_name(ChunkId::first(inode.id()));
            let store = live.fleet.devices[0].store.clone();
            live.fleet.sync_all(0);
            match moment {
                0 => {
                    let item = Item::File(name);
                    let theirs = store.take(&item);
                    store.put(&item, None);
                    live.at(0).merge().unwrap();
                    store.put(&item, theirs);
                }
                1 => live.at(0).merge().unwrap(),
                _ => {}
            }
            live.arrive(0);
            live.at(0).merge().unwrap();
            let shown = tree(live.at(0));
            assert_eq!(shown.len(), 2, "{moment}, {is_open}: {shown:?}");
            drop(inode);
            let mut fleet = live.unmount();
            fleet.made = ["by a", "by b"].map(str::to_owned).into();
            fleet.removed.clear();
            fleet.judge();
        }
    }
}

/// Elsewhere another version has the place, which the client brings here without seeing a change of what it replaces.
#[test]
fn a_copy_of_the_version_in_place_is_left_until_the_other_version_is_here() {
    let mut fleet = FleetFixture::new(2, &[BOTH[1]; 2]);
    fleet.make(0, "f");
    make_directories(&mut fleet, 0, &["e"]);
    fleet.settle();
    for (at, content) in [(0, "by a"), (1, "by b")] {
        fleet.at(at, |_, volume| {
            edit(volume, "f", content).unwrap();
            make(volume, &format!("e/{content}"), content).unwrap();
        });
        fleet.sync_all(at);
    }
    let (store, server) = (fleet.devices[0].store.clone(), fleet.server.clone());
    let copies = server.copies().into_iter().map(Item::Copy).collect::<Vec<_>>();
    assert!(copies.len() >= 2, "{copies:?}");
    assert!(copies.iter().all(|copy| fleet.devices[0].client.sync(copy, &store, &server)));
    fleet.at(0, |_, _| ());
    for copy in &copies {
        assert!(!fleet.devices[0].client.sync(copy, &store, &server), "{copy:?} went");
    }
    fleet.made = ["by a", "by b"].map(str::to_owned).into();
    fleet.judge();
}

/// What a batch has that chunk 0 lacks, when another chunk 0 takes its place.
#[test]
fn a_name_that_only_a_batch_has_outlives_a_directory_that_arrives() {
    for steps in 0..16 {
        let mut live = Live::mount(FleetFixture::new(2, &BOTH));
        make(live.at(0), "a", "of a").unwrap();
        live.at(0).checkpoint().unwrap();
        live.fleet.sync_all(0);
        make(live.at(1), "b", "of b").unwrap();
        if steps & 1 > 0 {
            live.at(1).sync_all().unwrap();
        }
        live.fleet.sync_all(1);
        if steps & 2 > 0 {
            live.at(1).merge().unwrap();
        }
        if steps & 4 > 0 {
            live.arrive(1);
        }
        if steps & 8 > 0 {
            live.at(1).merge().unwrap();
        }
        let mut fleet = live.unmount();
        fleet.made = ["of a", "of b"].map(str::to_owned).into();
        fleet.judge();
    }
}

/// Who gives it a name wants it, also where nobody has it open: the client may remove it before that is stored.
#[test]
fn a_file_that_is_named_anew_outlives_its_removal_elsewhere() {
    for how in ["renamed", "moved", "linked"] {
        let mut fleet = FleetFixture::new(2, &[BOTH[0]; 2]);
        make_directories(&mut fleet, 1, &["d"]);
        fleet.make(0, "f");
        fleet.settle();
        let mut live = Live::mount(fleet);
        live.at(0).cache.start_readahead();
        let inode = find(live.at(0), "f").unwrap();
        inode.state.write().close(ChunkIndex::FIRST);
        remove(live.at(1), "f").unwrap();
        live.at(1).checkpoint().unwrap();
        live.fleet.sync_all(1);
        match how {
            "renamed" => super::fleet::rename(live.at(0), "f", "g"),
            "moved" => super::fleet::rename(live.at(0), "f", "d/g"),
            _ => live.at(0).link(&inode, &live.at(0).root().unwrap(), b"g", now()),
        }
        .unwrap();
        let patience = if mutants::is_active(Mutant::RenamedClosed) { 0 } else { 30 };
        let deadline = Instant::now() + Duration::from_secs(patience);
        while inode.state.read().first_chunk.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        live.fleet.sync_all(0);
        live.arrive(0);
        live.at(0).checkpoint().unwrap();
        drop(inode);
        let shown = live.unmount().judge();
        assert!(shown.contains_key(if how == "moved" { "d/g" } else { "g" }), "{how}: {shown:?}");
    }
}

/// Whatever becomes of the copy that the client made.
#[test]
fn what_was_joined_in_its_place_is_stored() {
    let mut live = Live::mount(FleetFixture::new(2, &[BOTH[0]; 2]));
    for at in [0, 1] {
        make(live.at(at), ["a", "b"][at], "x").unwrap();
        live.at(at).checkpoint().unwrap();
        live.fleet.sync_all(at);
    }
    live.arrive(1);
    live.at(1).checkpoint().unwrap();
    let store = live.fleet.devices[1].store.clone();
    store.copies().into_iter().for_each(|copy| store.put(&Item::Copy(copy), None));
    let mut fleet = live.unmount();
    assert_eq!(fleet.at(1, |_, volume| tree(volume)).keys().collect::<Vec<_>>(), ["a", "b"]);
}

/// As Syncthing, rclone, Unison and Nextcloud call what they are still writing: it takes the place of what it is newer than.
#[test]
fn what_is_on_its_way_is_no_copy() {
    let live = Live::mount(FleetFixture::new(2, &BOTH));
    let inode = file(live.at(0), "f", b"before");
    let name = live.at(0).base.context.file_name(ChunkId::first(inode.id()));
    let digits = name.path().rsplit('/').next().unwrap().to_owned();
    let folder = name.path().strip_prefix("chunks/").unwrap()[..3].to_owned();
    let called = |name: &str| CopyName::parse(format!("{folder}{name}").as_bytes());
    for name in ["", ".conflict1", " (1)", "~", ".sync-conflict-20261128-101530-ABCDEFG"] {
        assert_eq!(called(&format!("{digits}{name}")).is_some(), !name.is_empty());
    }
    for (before, after) in
        [(".syncthing.", ".tmp"), ("", ".5f3a21bc.partial"), (".unison.", ".unison.tmp"), (".", ".~5f3a")]
    {
        assert_eq!(called(&format!("{before}{digits}{after}")), None);
    }
    drop(inode);
    live.unmount();
}

/// As `rclone bisync --conflict-resolve none` does, and Unison with what one side deleted.
#[test]
fn what_is_nowhere_but_in_copies_takes_its_place_again() {
    let mut fleet = FleetFixture::new(2, &[Style::NoneStays; 2]);
    fleet.devices.iter().for_each(|device| device.store.wait(Duration::from_secs(3600)));
    fleet.make(0, "f");
    fleet.make(0, "deleted");
    fleet.judge();
    fleet.at(0, |_, volume| edit(volume, "f", "by a").unwrap());
    fleet.at(1, |_, volume| edit(volume, "f", "by b").unwrap());
    fleet.at(0, |_, volume| remove(volume, "deleted").unwrap());
    fleet.at(1, |_, volume| edit(volume, "deleted", "changed").unwrap());
    fleet.make(0, "of a");
    fleet.make(1, "of b");
    fleet.made = ["by a", "by b", "changed"].map(str::to_owned).into();
    let tree = fleet.judge();
    assert!(tree.contains_key("f") && tree.contains_key("deleted") && tree.len() == 5, "{tree:?}");
}

/// Each mounted device puts a copy in the place of the root directory by itself: no event tells of that.
#[test]
fn what_takes_its_place_again_under_a_mount_is_shown() {
    let mut fleet = FleetFixture::new(2, &[Style::NoneStays; 2]);
    fleet.make(0, "f");
    fleet.judge();
    let mut live = Live::mount(fleet);
    for at in [0, 1] {
        assert_eq!(tree(live.at(at)).len(), 1);
        make(live.at(at), ["of a", "of b"][at], "new").unwrap();
        live.at(at).sync_all().unwrap();
    }
    assert!([0, 1, 0].into_iter().all(|at| live.fleet.sync_all(at)));
    for at in [0, 1] {
        live.arrive(at);
        live.fleet.devices[at].store.wait(Duration::from_secs(3600));
        // It is in its place, and then merged.
        [0; 2].iter().for_each(|_| live.at(at).merge().unwrap());
        assert_eq!(tree(live.at(at)).keys().collect::<Vec<_>>(), ["f", "of a", "of b"], "{at}");
    }
    live.unmount();
}

/// Devices work, the client copies some files or all, and what it did is noticed, or merged first.
fn walk(seed: u64, kills: bool) {
    let mut random = TestRng(seed);
    let styles: Vec<Style> = (0..3).map(|_| BOTH[random.below(2)]).collect();
    let mut live = Live::mount(FleetFixture::new(2 + random.below(2), &styles));
    for step in 0..4 + random.below(16) {
        let at = random.below(live.volumes.len());
        if kills && random.below(8) == 0 {
            live.kill(at);
            continue;
        }
        match random.below(5) {
            0 => live.fleet.sync_some(at, &mut random),
            1 => drop(live.fleet.sync_all(at)),
            _ => {
                let Live { fleet, volumes } = &mut live;
                let done = act(fleet, &volumes[at].0, (at, step * 10), &mut random);
                fleet.log.extend(done.map(|done| format!("{at}: {done}")));
                match random.below(3) {
                    0 => {}
                    1 => volumes[at].0.writeback.commit(&[]).unwrap(),
                    _ => volumes[at].0.sync_all().unwrap(),
                }
                continue;
            }
        }
        live.fleet.log.push(format!("{at} copies"));
        live.arrive_between(at, &mut random);
    }
    let log = live.fleet.log.join("\n");
    let judged = catch_unwind(AssertUnwindSafe(|| drop(live.unmount().judge())));
    if let Err(why) = judged {
        println!("CRYPTFS_SEED={seed}\n{log}");
        resume_unwind(why);
    }
}

#[test]
fn devices_that_are_mounted_all_the_time_lose_nothing() {
    let mut random = TestRng(seed());
    for _ in 0..variable("CRYPTFS_WALKS").unwrap_or(60) {
        walk(random.0, random.below(2) == 0);
    }
}

/// A folder that became one with another, and was deleted for that, is back on the device that deleted it, with the name of what
/// was moved out of it.
#[test]
fn a_name_in_a_folder_that_was_deleted_here_does_not_count() {
    walk(8_120_360_139_943_963_059, true);
}

#[test]
fn each_rule_about_what_is_in_place_is_needed() {
    let cases: [(Mutant, fn()); 6] = [
        (Mutant::RenamedClosed, a_file_that_is_named_anew_outlives_its_removal_elsewhere),
        (Mutant::DeletedNamed, a_name_in_a_folder_that_was_deleted_here_does_not_count),
        (Mutant::EqualCopyRemoved, a_copy_of_the_version_in_place_is_left_until_the_other_version_is_here),
        (Mutant::AbsentLeft, what_is_nowhere_but_in_copies_takes_its_place_again),
        (Mutant::MergedAbsent, a_version_that_a_client_puts_aside_under_a_mount_is_not_lost),
        (Mutant::JoinedUnstored, what_was_joined_in_its_place_is_stored),
    ];
    each_is_noticed(&cases);
}
