//! The workloads: short sequences, all of them; long ones drawn from a seed; patterns of known programs.

use super::operation::BORDER;
use super::operation::Operation::{self, *};
use super::{Effort, Start, Tally};
use crate::chunk::limits as chunk_limits;
use crate::volume::limits;
use crate::volume::tests::clock;
use std::time::{Duration, Instant};

/// What there is before a workload: an inline file, one of two blocks, one of two chunks, directories.
pub(super) const FILES: [Operation; 9] = [
    Create("a"),
    Write { path: "a", at: 0, length: 100 },
    Create("b"),
    Write { path: "b", at: 0, length: 5000 },
    MakeDirectory("d"),
    Create("d/x"),
    Write { path: "d/x", at: 0, length: 200 },
    MakeDirectory("e"),
    Round,
];

pub(super) const LARGE: [Operation; 3] = [Create("c"), Write { path: "c", at: BORDER, length: 300 }, Round];

const ACTIONS: [Operation; 35] = [
    Create("n"),
    Write { path: "a", at: 50, length: 200 },
    Write { path: "a", at: 0, length: 5000 },
    Write { path: "b", at: 10, length: 20 },
    Write { path: "b", at: 0, length: 9000 },
    Write { path: "b", at: BORDER, length: 300 },
    Write { path: "c", at: BORDER + 20, length: 200 },
    Append { path: "a", length: 30 },
    Append { path: "b", length: 5000 },
    Append { path: "n", length: 300 },
    Append { path: "n", length: 9000 },
    Resize { path: "b", size: 10 },
    Resize { path: "b", size: 0 },
    Resize { path: "c", size: 4000 },
    Resize { path: "c", size: BORDER + 150 },
    Punch { path: "b", at: 100, length: 4500 },
    Punch { path: "c", at: BORDER + 10, length: 200 },
    Link("a", "d/l"),
    Link("n", "e/l"),
    Unlink("a"),
    Unlink("c"),
    Unlink("d/x"),
    UnlinkHeld("b"),
    Rename("a", "m"),
    Rename("a", "d/a"),
    Rename("a", "b"),
    Rename("n", "d/x"),
    Rename("b", "d/x"),
    Rename("d", "e/d"),
    Exchange("a", "d/x"),
    MakeDirectory("e/f"),
    RemoveDirectory("e"),
    Symlink("s"),
    SetXattr("a", 20),
    SetMode("b", 0o600),
];

const NAMES: [Operation; 18] = [
    Create("n"),
    Create("d/n"),
    Unlink("a"),
    Unlink("d/x"),
    Rename("a", "m"),
    Rename("a", "d/a"),
    Rename("a", "d/x"),
    Rename("n", "a"),
    Rename("d/x", "a"),
    Link("a", "d/l"),
    Link("d/x", "m"),
    RemoveDirectory("e"),
    Rename("d", "e/d"),
    Rename("d", "e"),
    Rename("e", "d/e"),
    Exchange("a", "d/x"),
    Exchange("a", "e"),
    Exchange("d", "e"),
];

pub(super) fn seed() -> u64 {
    let seed = std::env::var("CRYPTFS_SEED").ok().map_or_else(
        || u64::from_le_bytes(crate::crypto::random()),
        |seed| seed.parse().expect("CRYPTFS_SEED is a decimal number"),
    );
    println!("CRYPTFS_SEED={seed}");
    seed
}

/// How far into its sequences a run came is told too: one that was cut short by the time has not looked at all.
fn report(what: &str, (done, all): (usize, usize), tally: &Tally, begun: Instant) -> usize {
    println!("{what}: {done} of {all} sequences");
    println!("{what}: {} states of {} runs in {:?}", tally.states.len(), tally.runs, begun.elapsed());
    tally.states.len()
}

/// Whatever of a sequence of actions a program may ask to last behind each of them.
fn syncs(action: Operation) -> [Option<Operation>; 4] {
    let (path, directory) = match action {
        Create(path) | Symlink(path) | Link(_, path) | Rename(_, path) | Exchange(_, path) => (path, ""),
        Write { path, .. } | Append { path, .. } | Resize { path, .. } | Punch { path, .. } => (path, ""),
        SetXattr(path, _) | SetMode(path, _) => (path, ""),
        MakeDirectory(_) => ("a", "e"),
        RemoveDirectory(_) => ("a", ""),
        _ => ("d/x", "d"),
    };
    [None, Some(Sync(path)), Some(SyncDirectory(directory)), Some(Round)]
}

/// All sequences of two actions, each followed by any of the syncs; every `step`th of them.
fn short_sequences(step: usize, effort: Effort, until: Duration) -> usize {
    let begun = Instant::now();
    let prepare: Vec<Operation> = FILES.into_iter().chain(LARGE).collect();
    let start = Start::new(&prepare);
    let mut tally = Tally::default();
    let (mut number, mut due, mut done) = (effort.seed as usize % step, 0, 0);
    for first in ACTIONS {
        for second in ACTIONS {
            for first_sync in syncs(first) {
                for second_sync in syncs(second) {
                    number += 1;
                    due += usize::from(number.is_multiple_of(step));
                    if !number.is_multiple_of(step) || begun.elapsed() > until {
                        continue;
                    }
                    done += 1;
                    let sequence: Vec<Operation> =
                        [Some(first), first_sync, Some(second), second_sync].into_iter().flatten().collect();
                    start.explore(&sequence, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
                }
            }
        }
    }
    report("short sequences", (done, due), &tally, begun)
}

/// Every sequence of that many changes of names, with every split into batches; every `step`th of them.
fn name_sequences(length: usize, step: usize, effort: Effort, until: Duration) -> usize {
    let (begun, mut done) = (Instant::now(), 0);
    let start = Start::new(&FILES);
    let mut tally = Tally::default();
    let all = NAMES.len().pow(length as u32) << (length - 1);
    let numbers = (effort.seed as usize % step..all).step_by(step);
    let due = numbers.len();
    for number in numbers {
        let (mut which, splits) = (number >> (length - 1), number & ((1 << (length - 1)) - 1));
        let mut sequence = Vec::new();
        for at in 0..length {
            sequence.push(NAMES[which % NAMES.len()]);
            which /= NAMES.len();
            if splits & (1 << at) != 0 && at + 1 < length {
                sequence.push(Batch);
            }
        }
        sequence.push(Round);
        if begun.elapsed() < until {
            done += 1;
            start.explore(&sequence, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    report("name sequences", (done, due), &tally, begun)
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

/// Long sequences drawn from the seed.
fn random_sequences(count: usize, length: usize, effort: Effort, until: Duration) -> usize {
    let begun = Instant::now();
    let prepare: Vec<Operation> = FILES.into_iter().chain(LARGE).collect();
    let start = Start::new(&prepare);
    let mut tally = Tally::default();
    let others = [
        Sync("a"),
        Sync("b"),
        Sync("c"),
        Sync("n"),
        Sync("d/x"),
        SyncDirectory(""),
        Batch,
        Round,
        Forget("a"),
        Forget("b"),
        Flush("a"),
        Flush("b"),
        Flush(""),
        Flush("d"),
        Flush("a"),
        Flush("b"),
        Flush(""),
        Flush("d"),
    ];
    let mut done = 0;
    for run in 0..count {
        if begun.elapsed() > until {
            break;
        }
        done += 1;
        let effort = Effort { seed: effort.seed.wrapping_add(run as u64), ..effort };
        let mut dice = Dice(effort.seed);
        let mut sequence = Vec::new();
        while sequence.len() < length {
            let next = match dice.below(4) {
                0 => others[dice.below(others.len())],
                1 => NAMES[dice.below(NAMES.len())],
                _ => ACTIONS[dice.below(ACTIONS.len())],
            };
            sequence.push(next);
        }
        start.explore_what_works(&sequence, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
    }
    report("random sequences", (done, count), &tally, begun)
}

/// Entries that come and go, with limits so low that logs are compacted, segments written, chunks rewritten and moved
/// down, and the journal fills up.
fn narrow_sequences(count: usize, effort: Effort, until: Duration) -> usize {
    const ENTRIES: [&str; 12] = ["n", "p", "q", "r", "d/n", "d/p", "d/q", "d/r", "e/n", "e/p", "e/q", "e/r"];
    let begun = Instant::now();
    chunk_limits::lower(9, 4);
    let start = Start::new(&FILES);
    let mut tally = Tally::default();
    let mut done = 0;
    for run in 0..count {
        if begun.elapsed() > until {
            break;
        }
        done += 1;
        // With a tail so short a log is compacted into segments too.
        limits::lower(16 << 10, [600, 150][run % 2], 300);
        let effort = Effort { seed: effort.seed.wrapping_add(run as u64), ..effort };
        let mut dice = Dice(effort.seed);
        let entry = |dice: &mut Dice| ENTRIES[dice.below(ENTRIES.len())];
        let sequence: Vec<Operation> = (0..80)
            .map(|_| match dice.below(14) {
                0 | 12 => Round,
                13 => Write { path: "b", at: dice.below(5) as u64 * 4096, length: 4096 },
                1 => Batch,
                2..5 => Unlink(entry(&mut dice)),
                5 => Rename(entry(&mut dice), entry(&mut dice)),
                6 => Append { path: entry(&mut dice), length: 300 },
                7 => Sync(entry(&mut dice)),
                _ => Create(entry(&mut dice)),
            })
            .collect();
        start.explore_what_works(&sequence, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
    }
    limits::lower(limits::JOURNAL, limits::TAIL, limits::COMPACT);
    chunk_limits::raise();
    report("narrow sequences", (done, count), &tally, begun)
}

/// What an editor does: a new file, synced, over the old one.
#[test]
fn atomic_saves_survive() {
    let start = Start::new(&FILES);
    let mut tally = Tally::default();
    let effort = Effort { cuts: 40, kills: 4, seed: seed() };
    for length in [300, 9000] {
        for with_sync in [false, true] {
            let mut save = vec![Create("n"), Append { path: "n", length }];
            save.extend(with_sync.then_some(Sync("n")));
            save.extend([Rename("n", "a"), SyncDirectory(""), Create("n"), Append { path: "n", length: 20 }]);
            save.extend([Rename("n", "a"), Round]);
            start.explore(&save, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// A file of several chunks that replaced another: of what was written to it since, any part may be there.
#[test]
fn a_large_file_that_replaced_another_survives() {
    let start = Start::new(&FILES);
    let mut tally = Tally::default();
    let effort = Effort { cuts: 40, kills: 4, seed: seed() };
    let across = Write { path: "b", at: 1_048_476, length: 300 };
    let hole = Punch { path: "b", at: 100, length: 4500 };
    let work =
        [Rename("a", "b"), across, Sync("b"), hole, SetXattr("b", 20), across, Flush("b"), hole, across];
    start.explore(&work, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn short_sequences_survive() {
    short_sequences(60, Effort { cuts: 4, kills: 1, seed: seed() }, Duration::from_secs(20));
}

#[test]
fn name_sequences_survive() {
    name_sequences(2, 3, Effort { cuts: 4, kills: 1, seed: seed() }, Duration::from_secs(20));
}

#[test]
fn random_sequences_survive() {
    random_sequences(40, 40, Effort { cuts: 3, kills: 1, seed: seed() }, Duration::from_secs(20));
}

#[test]
fn sequences_survive_a_clock_that_jumps() {
    clock::jump(true);
    random_sequences(15, 40, Effort { cuts: 3, kills: 1, seed: seed() }, Duration::from_secs(20));
    clock::jump(false);
}

#[test]
fn narrow_sequences_survive() {
    narrow_sequences(20, Effort { cuts: 2, kills: 0, seed: seed() }, Duration::from_secs(20));
}

/// By `scripts/crash`: CRYPTFS_SECONDS says how long (420 unless set), CRYPTFS_SEED which.
#[test]
#[ignore = "minutes: scripts/crash"]
fn a_hundred_thousand_states_survive() {
    let seconds = std::env::var("CRYPTFS_SECONDS").map_or(420, |text| text.parse().expect("seconds"));
    let until = Duration::from_secs(seconds);
    let effort = Effort { cuts: 5, kills: 2, seed: seed() };
    let states: usize = std::thread::scope(|scope| {
        let names = scope.spawn(|| {
            let pairs = name_sequences(2, 1, effort, until / 3);
            pairs + name_sequences(3, 1, Effort { kills: 0, ..effort }, until * 2 / 3)
        });
        let contents = scope.spawn(|| {
            let short = short_sequences(3, effort, until * 2 / 3);
            let random = random_sequences(100_000, 60, effort, until / 6);
            short + random + narrow_sequences(100_000, effort, until / 6)
        });
        [names, contents].map(|thread| thread.join().expect("a state failed")).iter().sum()
    });
    println!("{states} distinct states");
    assert!(states >= 100_000, "too few states in {seconds} seconds");
}
