//! The workloads: long sequences drawn from a seed, patterns of known programs, and all that runs for minutes.

use super::beyond::sequences_beyond_chunk_0;
use super::operation::BORDER;
use super::operation::Operation::{self, *};
use super::short::{ACTIONS, NAMES, name_sequences, short_sequences};
use super::{Effort, Start, Tally};
use crate::chunk::limits as chunk_limits;
use crate::chunk::remembered::Snapshot;
use crate::test_rng::{TestRng, seed};
use crate::volume::format::limits;
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

/// How far a family of sequences was looked at: one that was cut short by the time has not been looked at all.
pub(super) struct Covered {
    pub states: usize,
    pub done: usize,
    pub due: usize,
}

impl Covered {
    pub fn report(what: &str, done: usize, due: usize, tally: &Tally, begun: Instant) -> Covered {
        let (states, cut) = (tally.states.len(), if done < due { ", cut short by the time" } else { "" });
        println!("{what}: {done} of {due} sequences{cut}");
        println!("{what}: {states} states of {} runs in {:?}", tally.runs, begun.elapsed());
        Covered { states, done, due }
    }

    pub fn is_whole(&self) -> bool {
        self.done == self.due
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
        Save,
        Save,
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
        let mut rng = TestRng(effort.seed);
        let mut sequence = Vec::new();
        while sequence.len() < length {
            let next = match rng.below(4) {
                0 => others[rng.below(others.len())],
                1 => NAMES[rng.below(NAMES.len())],
                _ => ACTIONS[rng.below(ACTIONS.len())],
            };
            sequence.push(next);
        }
        start.explore_what_works(&sequence, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
    }
    Covered::report("random sequences", done, count, &tally, begun).states
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
        let mut rng = TestRng(effort.seed);
        let entry = |rng: &mut TestRng| ENTRIES[rng.below(ENTRIES.len())];
        let sequence: Vec<Operation> = (0..80)
            .map(|_| match rng.below(15) {
                0 | 12 => Round,
                14 => Save,
                13 => Write { path: "b", at: rng.below(5) as u64 * 4096, length: 4096 },
                1 => Batch,
                2..5 => Unlink(entry(&mut rng)),
                5 => Rename(entry(&mut rng), entry(&mut rng)),
                6 => Append { path: entry(&mut rng), length: 300 },
                7 => Sync(entry(&mut rng)),
                _ => Create(entry(&mut rng)),
            })
            .collect();
        start.explore_what_works(&sequence, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
    }
    limits::lower(limits::JOURNAL, limits::TAIL, limits::COMPACT);
    chunk_limits::raise();
    Covered::report("narrow sequences", done, count, &tally, begun).states
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

/// Files that get their name last: inline, in blocks, and in several chunks, which are stored before the name is.
#[test]
fn files_that_are_linked_when_they_are_whole_survive() {
    let start = Start::new(&FILES);
    let mut tally = Tally::default();
    let effort = Effort { cuts: 12, kills: 1, seed: seed() };
    for length in [100, 5000, BORDER as usize + 2000] {
        for last in [SyncDirectory(""), Sync("n"), Batch, Round, Save] {
            let made = [CreateNameless(length), LinkNameless("n"), last];
            assert!(start.explore(&made, effort, &mut tally).unwrap(), "{made:?}");
        }
        let between = [CreateNameless(length), Round, LinkNameless("n"), Batch, Unlink("n"), Round];
        assert!(start.explore(&between, effort, &mut tally).unwrap());
        // And those that never get one.
        let never =
            [CreateNameless(length), Write { path: "a", at: 0, length: 50 }, Round, Create("m"), Batch];
        assert!(start.explore(&never, effort, &mut tally).unwrap());
    }
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

/// By `scripts/crash`: CRYPTFS_SECONDS says how long (420 unless set), CRYPTFS_SEED which. Pairs and triples of changes of
/// names are looked at to the last one, however long that takes, unless there are fewer seconds than that.
#[test]
#[ignore = "minutes: scripts/crash"]
fn a_hundred_thousand_states_survive() {
    let seconds = std::env::var("CRYPTFS_SECONDS").map_or(420, |text| text.parse().expect("seconds"));
    let until = Duration::from_secs(seconds);
    let names_until = |part: Duration| if seconds < 420 { part } else { Duration::MAX };
    let effort = Effort { cuts: 5, kills: 2, seed: seed() };
    let states: usize = std::thread::scope(|scope| {
        let names = scope.spawn(|| {
            let pairs = name_sequences(2, 1, effort, names_until(until / 3));
            let triples = name_sequences(3, 1, Effort { kills: 0, ..effort }, names_until(until * 2 / 3));
            assert!(seconds < 420 || pairs.is_whole() && triples.is_whole(), "not all names were looked at");
            pairs.states + triples.states
        });
        let contents = scope.spawn(|| {
            let short = short_sequences(3, effort, until * 2 / 3).states;
            let random = random_sequences(100_000, 60, effort, until / 12);
            let beyond = sequences_beyond_chunk_0(100_000, effort, until / 12);
            short + random + beyond + narrow_sequences(100_000, effort, until / 6)
        });
        [names, contents].map(|thread| thread.join().expect("a state failed")).iter().sum()
    });
    println!("{states} distinct states");
    assert!(states >= 100_000, "too few states in {seconds} seconds");
}

/// A device's first work on a volume: its journal does not exist until then. It deletes only what it has seen before: what
/// becomes of the rest, `devices::kills` says.
#[test]
fn a_crash_in_a_devices_first_work_keeps_nobody_out() {
    let begun = Start::new(&FILES);
    let mut tally = Tally::default();
    let effort = Effort { cuts: 40, kills: 4, seed: seed() };
    let makes = &[Create("n"), Sync("n")][..];
    let changes = &[Append { path: "b", length: 5000 }][..];
    let deletes = &[Rename("a", "b"), Round][..];
    let nothing = Snapshot::default();
    for (known, first) in
        [(&nothing, makes), (&nothing, changes), (&begun.known, changes), (&begun.known, deletes)]
    {
        let fixture = begun.fixture.another(*b"device 2");
        let start = Start { fixture, store: begun.store.kill(), known: known.clone() };
        let explored = start.explore(first, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
        assert!(explored);
    }
}
