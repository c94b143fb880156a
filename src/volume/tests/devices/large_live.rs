//! Large files of devices that are mounted while the client works: it copies chunk file by chunk file, and of each another one
//! may have its place.

use super::large::{change, part, parts, rest_without_copies, shown_beside_copies};
use super::live::Live;
use super::*;
use crate::test_rng::{TestRng, seed, variable};

/// Changes in place under mounts; the client copies some of the files or all, and what it did is noticed, or merged first.
fn walk(seed: u64, is_harsh: bool) {
    let mut random = TestRng(seed);
    let styles: Vec<Style> = (0..3).map(|_| BOTH[random.below(2)]).collect();
    let mut fleet = FleetFixture::new(2 + random.below(2), &styles);
    fleet.at(0, |_, volume| {
        drop(file(volume, "g", b""));
        (0..3).for_each(|at| change(volume, "g", at, &format!("part {at}")).unwrap());
    });
    fleet.made.insert(["part 0", "part 1", "part 2"].map(part).concat());
    fleet.removed.extend(fleet.made.clone());
    fleet.settle();
    // What was not acknowledged may be there, in the place of what was before.
    let mut failed = Vec::new();
    let mut live = Live::mount(fleet);
    for step in 0..4 + random.below(14) {
        let at = random.below(live.volumes.len());
        if is_harsh && random.below(8) == 0 {
            // What was acknowledged is durable.
            live.kill_by(at, drop);
            continue;
        }
        if is_harsh && random.below(8) == 0 {
            let mode = 0o600 + step as u32;
            let changed = set_mode(live.at(at), "g", mode);
            live.fleet.log.push(format!("{at}: mode {mode:o}: {changed:?}"));
            continue;
        }
        match random.below(5) {
            0 => live.fleet.sync_some(at, &mut random),
            1 => drop(live.fleet.sync_all(at)),
            _ => {
                let Live { fleet, volumes } = &mut live;
                let volume = &volumes[at].0;
                let (part_of, text) = (random.below(3), format!("{step} of {at}"));
                let but_times = random.below(2) == 0;
                let Ok(before) = parts(volume, "g") else { continue };
                let done = change(volume, "g", part_of, &text)
                    .and_then(|()| parts(volume, "g"))
                    .and_then(|after| volume.sync(&find(volume, "g").unwrap(), but_times).map(|()| after));
                fleet.log.push(format!("{at}: {part_of} becomes {text}: {done:?}"));
                match done {
                    Ok(after) => {
                        fleet.removed.insert(before);
                        fleet.made.insert(after);
                    }
                    Err(_) => failed.push(part(&text)),
                }
                continue;
            }
        }
        live.fleet.log.push(format!("{at} copies"));
        live.arrive_between(at, &mut random);
    }
    let log = live.fleet.log.join("\n");
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let mut fleet = live.unmount();
        let shown = shown_beside_copies(&mut fleet);
        let there: Vec<_> = shown.into_iter().map(|(_, content)| content).collect();
        let is_one = |content: &String, made: &String| {
            (0..3).map(|at| at * 16..at * 16 + 16).all(|range| {
                content[range.clone()] == made[range.clone()]
                    || failed.iter().any(|text| *text == content[range.clone()])
            })
        };
        // What failed may have been there, and been overwritten with the rest.
        let is_gone = |made: &String| fleet.removed.iter().any(|gone| is_one(gone, made));
        let is_there = |made: &String| there.iter().any(|content| is_one(content, made));
        let lost: Vec<_> = fleet.made.iter().filter(|made| !is_gone(made) && !is_there(made)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}; there is {there:?}");
        for content in &there {
            assert!(fleet.made.iter().any(|made| is_one(content, made)), "a mixture: {content}");
        }
        assert_eq!(rest_without_copies(&mut fleet), there);
    }));
    if let Err(why) = judged {
        println!("CRYPTFS_SEED={seed}\n{log}");
        resume_unwind(why);
    }
}

fn set_mode(volume: &Volume, path: &str, mode: u32) -> crate::volume::Result<()> {
    let inode = find(volume, path).ok_or(crate::volume::Error::NotFound)?;
    volume.set_attributes(&inode, |record| std::mem::replace(&mut record.mode, mode) != mode)
}

/// What is pinned is not the file that is written to: another device changed the mode since.
#[test]
fn what_is_written_after_a_change_of_mode_and_gives_way_spoils_nothing() {
    let (mut fleet, [zero, one, two]) = super::large::fleet(&BOTH);
    fleet.at(0, |_, volume| change(volume, "g", 0, "zero").unwrap());
    fleet.settle();
    fleet.at(1, |_, volume| {
        let change = |record: &mut crate::volume::Record| std::mem::replace(&mut record.mode, 0o600) != 0o600;
        volume.set_attributes(&find(volume, "g").unwrap(), change).unwrap();
    });
    fleet.settle();
    fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
    fleet.sync_all(1);
    let mut live = Live::mount(fleet);
    change(live.at(0), "g", 1, "by a").unwrap();
    live.fleet.sync_all(0);
    live.arrive(0);
    live.at(0).merge().unwrap();
    let by_b = [&*zero, &*one, &part("by b")].concat();
    assert_eq!(parts(live.at(0), "g").unwrap(), by_b);
    let mut fleet = live.unmount();
    let by_a = [&*zero, &part("by a"), &two].concat();
    let there: Vec<_> = shown_beside_copies(&mut fleet).into_iter().map(|(_, content)| content).collect();
    assert!(there.contains(&by_b) && there.contains(&by_a), "{there:?}");
}

/// A version that lost its place has a later chunk than the one that has it, and both are this device's last work.
#[test]
fn what_was_written_to_another_version_is_not_put_into_one_that_is_being_written() {
    let (mut fleet, [zero, ..]) = super::large::fleet(&BOTH[..1]);
    fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
    fleet.sync_all(1);
    let mut live = Live::mount(fleet);
    change(live.at(0), "g", 2, "by a").unwrap();
    live.at(0).sync_all().unwrap();
    live.fleet.sync_all(0);
    live.arrive(0);
    change(live.at(0), "g", 1, "later").unwrap();
    live.at(0).sync(&find(live.at(0), "g").unwrap(), true).unwrap();
    live.at(0).merge().unwrap();
    assert_eq!(parts(live.at(0), "g").unwrap(), [&*zero, &part("later"), &part("by b")].concat());
    live.unmount();
}

/// Nothing of the file is pinned, and a chunk that the version in memory needs was replaced before anything opened it.
#[test]
fn a_version_in_memory_that_cannot_be_whole_does_not_keep_the_file_from_being_read() {
    let (mut fleet, [zero, one, _]) = super::large::fleet(&BOTH);
    fleet.at(0, |_, volume| change(volume, "g", 2, "by a").unwrap());
    fleet.sync_all(0);
    let mut live = Live::mount(fleet);
    change(live.at(1), "g", 1, "by b").unwrap();
    live.fleet.sync_all(1);
    live.arrive(1);
    live.at(1).merge().unwrap();
    live.fleet.devices[1].store.wait(std::time::Duration::from_secs(3600));
    live.at(1).merge().unwrap();
    let shown = parts(live.at(1), "g");
    assert_eq!(shown.unwrap(), [&*zero, &*one, &part("by a")].concat());
    live.unmount();
}

#[test]
fn the_rule_about_what_cannot_be_whole_is_needed() {
    each_is_noticed(&[(
        Mutant::HeldBackForEver,
        a_version_in_memory_that_cannot_be_whole_does_not_keep_the_file_from_being_read,
    )]);
}

#[test]
fn devices_that_are_mounted_lose_nothing_of_large_files() {
    let mut random = TestRng(seed());
    for _ in 0..variable("CRYPTFS_WALKS").unwrap_or(10) {
        walk(random.0, false);
        random.below(2);
    }
}

#[test]
fn devices_that_are_killed_or_change_modes_lose_nothing_of_large_files() {
    let mut random = TestRng(seed());
    for _ in 0..variable("CRYPTFS_WALKS").unwrap_or(10) {
        walk(random.0, true);
        random.below(2);
    }
}
