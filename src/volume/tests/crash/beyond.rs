//! Changes beyond chunk 0: while they go on an fsync leaves chunk 0 alone, and the chunks tell of the times
//! (docs/FORMAT.md section 7). What is told of so must survive whatever comes after it, and a second crash.

use super::super::FIRST;
use super::operation::Operation::{self, *};
use super::workloads::{Covered, FILES};
use super::{Effort, Start, Tally};
use crate::chunk::remembered::Remembered;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::mutants::{Mutant, plant};
use crate::volume::tests::CHUNK;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const FURTHER: u64 = FIRST + CHUNK;

/// A file of three chunks, each with some blocks that hold data.
const LONG: [Operation; 5] = [
    Create("c"),
    Write { path: "c", at: 0, length: 300 },
    Write { path: "c", at: FIRST, length: 5000 },
    Write { path: "c", at: FURTHER, length: 600 },
    Round,
];

const OVER: Operation = Write { path: "c", at: FIRST + 20, length: 100 };
const OVER_FURTHER: Operation = Write { path: "c", at: FURTHER + 20, length: 100 };
const INTO_A_HOLE: Operation = Write { path: "c", at: FIRST + 20_000, length: 100 };

const CHANGES: [Operation; 12] = [
    OVER,
    OVER,
    OVER_FURTHER,
    OVER_FURTHER,
    INTO_A_HOLE,
    Write { path: "c", at: 10, length: 20 },
    Append { path: "c", length: 50 },
    Punch { path: "c", at: FIRST + 10, length: 4500 },
    Resize { path: "c", size: FURTHER + 300 },
    SetTime("c"),
    SetMode("c", 0o600),
    Rename("c", "e/c"),
];

const SYNCS: [Operation; 8] =
    [Sync("c"), Sync("c"), Sync("c"), DataSync("c"), Flush("c"), Save, Round, Forget("c")];

fn start() -> Start {
    let prepare: Vec<Operation> = FILES.into_iter().chain(LONG).collect();
    Start::new(&prepare)
}

fn sequence(rng: &mut TestRng, length: usize) -> Vec<Operation> {
    let mut next = |turn: usize| match turn % 2 {
        0 => CHANGES[rng.below(CHANGES.len())],
        _ => SYNCS[rng.below(SYNCS.len())],
    };
    (0..length).map(&mut next).collect()
}

/// Random changes and syncs, cut anywhere; upon some of what that leaves the same once more.
pub(super) fn sequences_beyond_chunk_0(count: usize, effort: Effort, until: Duration) -> usize {
    let (begun, start, mut tally, mut done) = (Instant::now(), start(), Tally::default(), 0);
    while done < count && begun.elapsed() < until {
        let seed = effort.seed.wrapping_add(done as u64);
        let mut rng = TestRng(seed);
        let effort = Effort { seed, ..effort };
        let first = sequence(&mut rng, 8);
        let explored = start.explore_what_works(&first, effort, &mut tally);
        explored.unwrap_or_else(|error| panic!("CRYPTFS_SEED={seed}: {error}"));
        if let Some(left) = start.crashed(&first, &mut rng) {
            let then = sequence(&mut rng, 6);
            let explored = left.explore_what_works(&then, effort, &mut tally);
            explored.unwrap_or_else(|error| panic!("CRYPTFS_SEED={seed}: {first:?}, then {error}"));
        }
        done += 1;
    }
    Covered::report("sequences beyond chunk 0", done, count, &tally, begun).states
}

impl Start {
    /// One state that a crash of this workload leaves.
    fn crashed(&self, operations: &[Operation], rng: &mut TestRng) -> Option<Start> {
        let (_, mut points) =
            self.record(self.store.kill(), self.known.clone(), None, operations).ok().flatten()?;
        let point = points.swap_remove(rng.below(points.len()));
        let store = point.store.enumerate_cuts(3, rng.0).last()?;
        let fixture = self.fixture.remembering(Remembered::of(point.known.clone()));
        Some(Start { fixture, store, known: point.known })
    }
}

#[test]
fn changes_beyond_chunk_0_survive() {
    let effort = Effort { cuts: 4, kills: 1, seed: seed() };
    let seconds = variable("CRYPTFS_SECONDS").unwrap_or(15);
    sequences_beyond_chunk_0(100_000, effort, Duration::from_secs(seconds));
}

/// Every two changes with a sync behind each, every cut: by `scripts/crash --whole`.
#[test]
#[ignore = "many minutes: scripts/crash --whole"]
fn every_short_sequence_beyond_chunk_0_survives() {
    let (begun, start, mut tally) = (Instant::now(), start(), Tally::default());
    let effort = Effort { cuts: 64, kills: 2, seed: seed() };
    let steps =
        || CHANGES.iter().skip(1).flat_map(|change| SYNCS.iter().skip(2).map(|sync| [*change, *sync]));
    for first in steps() {
        for then in steps() {
            let operations = [first, then].concat();
            start.explore(&operations, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    Covered::report("short sequences beyond chunk 0", 1, 1, &tally, begun);
}

#[test]
fn every_broken_rule_is_noticed() {
    let mutants: [(Mutant, &[Operation]); 2] = [
        (Mutant::ChunkTimesIgnored, &[OVER, Sync("c")]),
        (Mutant::ToldTimesForgotten, &[OVER, Sync("c"), OVER, Append { path: "c", length: 50 }, Sync("c")]),
    ];
    let (start, effort) = (start(), Effort { cuts: 12, kills: 0, seed: 1 });
    let explore = |operations| {
        let explored =
            catch_unwind(AssertUnwindSafe(|| start.explore(operations, effort, &mut Tally::default())));
        explored.unwrap_or_else(|_| Err("a panic".into()))
    };
    for (fault, operations) in mutants {
        assert!(matches!(explore(operations), Ok(true)), "without {fault:?}");
        plant(Some(fault));
        let noticed = explore(operations);
        plant(None);
        assert!(noticed.is_err(), "{fault:?} is not noticed");
    }
}
