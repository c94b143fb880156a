//! Random walks of devices in turns.

use super::fleet::{kill, make, make_directory, readable};
use super::*;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::Volume;

/// Called with the device that had its turn.
pub type Between<'a> = &'a mut dyn FnMut(&mut FleetFixture, usize);

/// One device after the other is mounted, does a few things, and is unmounted, or killed with all of it durable; in between
/// some files are copied.
pub fn walk(seed: u64, devices: usize, kills: bool, between: Between<'_>) -> FleetFixture {
    let mut random = TestRng(seed);
    let styles: Vec<Style> = (0..devices).map(|_| BOTH[random.below(2)]).collect();
    let mut fleet = FleetFixture::new(devices, &styles);
    for step in 0..2 + random.below(10) {
        let at = random.below(devices);
        if random.below(3) == 0 {
            fleet.sync_some(at, &mut random);
            fleet.log.push(format!("some is copied at {at}"));
        } else if random.below(6) == 0 {
            fleet.sync_all(at);
            fleet.log.push(format!("all is copied at {at}"));
        } else {
            let volume = fleet.mount(at);
            for turn in 0..1 + random.below(3) {
                let done = act(&mut fleet, &volume, (at, step * 10 + turn), &mut random);
                fleet.log.extend(done.map(|done| format!("{at}: {done}")));
            }
            if kills && random.below(3) == 0 {
                kill(volume);
                fleet.log.push(format!("{at} is killed"));
            } else {
                volume.close().unwrap();
            }
        }
        between(&mut fleet, at);
    }
    let judged = catch_unwind(AssertUnwindSafe(|| fleet.judge()));
    if let Err(why) = judged {
        println!("CRYPTFS_SEED={seed}\n{}", fleet.log.join("\n"));
        resume_unwind(why);
    }
    fleet
}

/// One random change.
pub(super) fn act(
    fleet: &mut FleetFixture,
    volume: &Volume,
    (at, turn): (usize, usize),
    random: &mut TestRng,
) -> Option<String> {
    let tree = readable(volume);
    let mut directories: Vec<String> =
        tree.iter().filter(|(_, what)| what.is_none()).map(|(p, _)| p.clone()).collect();
    directories.push(String::new());
    let files: Vec<(String, String)> =
        tree.iter().filter_map(|(p, what)| Some((p.clone(), what.clone()?))).collect();
    let directory = random.pick(&directories)?.clone();
    let name = format!("{directory}/n{}", random.below(4));
    let name = name.trim_start_matches('/').to_owned();
    match random.below(12) {
        0..4 => {
            let content = format!("{turn} of {at}");
            make(volume, &name, &content).ok()?;
            fleet.made.insert(content.clone());
            Some(format!("makes {name}: {content}"))
        }
        4..6 => make_directory(volume, &name).ok().map(|()| format!("makes directory {name}")),
        6..8 => {
            let (from, content) = random.pick(&files)?.clone();
            rename(volume, &from, &name).ok()?;
            Some(format!("renames {from} to {name}: {content}"))
        }
        8 => {
            let from = random.pick(&directories)?.clone();
            rename(volume, &from, &name).ok()?;
            Some(format!("renames directory {from} to {name}"))
        }
        9 => {
            let (path, content) = random.pick(&files)?.clone();
            let new = format!("{turn} of {at}");
            edit(volume, &path, &new).ok()?;
            fleet.removed.insert(content);
            fleet.made.insert(new.clone());
            Some(format!("edits {path}: {new}"))
        }
        10 => {
            let (path, content) = random.pick(&files)?.clone();
            remove(volume, &path).ok()?;
            fleet.removed.insert(content.clone());
            Some(format!("removes {path}: {content}"))
        }
        _ => {
            let path = Some(directory).filter(|path| !path.is_empty())?;
            // Where something has not arrived a part may be left.
            let done = remove_all(volume, &path);
            let left = readable(volume);
            let below = files.iter().filter(|(file, _)| file.starts_with(&format!("{path}/")));
            let gone = below.filter(|(file, _)| !left.contains_key(file));
            fleet.removed.extend(gone.map(|(_, content)| content.clone()));
            Some(format!("removes all of {path}: {done:?}"))
        }
    }
}

#[test]
fn devices_in_turns_lose_nothing_and_come_to_rest() {
    let mut random = TestRng(seed());
    for _ in 0..variable("CRYPTFS_WALKS").unwrap_or(60) {
        let walk_seed = random.0;
        walk(walk_seed, 2 + random.below(2), random.below(2) == 0, &mut |_, _| ());
    }
}

/// A folder that became one with another, and is about to go, gets a name that another device gave it meanwhile. Which of the
/// two folders yields, and so whether it happens, hangs on random ids: in two of five runs without the rule.
#[test]
fn a_name_for_a_folder_that_was_removed_just_now_comes_too_late() {
    (0..12).for_each(|_| drop(walk(1_005_590_889_182_458_877, 2, false, &mut |_, _| ())));
}
