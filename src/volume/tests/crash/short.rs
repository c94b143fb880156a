//! Short sequences, all of them.

use super::operation::BORDER;
use super::operation::Operation::{self, *};
use super::workloads::{Covered, FILES, LARGE};
use super::{Effort, Start, Tally};
use crate::test_rng::seed;
use std::time::{Duration, Instant};

pub(super) const ACTIONS: [Operation; 42] = [
    Create("n"),
    Write { path: "a", at: 50, length: 200 },
    Write { path: "a", at: 0, length: 5000 },
    Write { path: "b", at: 10, length: 20 },
    Write { path: "b", at: 0, length: 9000 },
    Write { path: "b", at: BORDER, length: 300 },
    Write { path: "c", at: BORDER + 20, length: 200 },
    Append { path: "a", length: 30 },
    Append { path: "b", length: 5000 },
    Append { path: "c", length: 5000 },
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
    Unlink("n"),
    Unlink("d/x"),
    UnlinkHeld("b"),
    Rename("a", "m"),
    Rename("a", "d/a"),
    Rename("a", "b"),
    Rename("n", "d/x"),
    Rename("b", "d/x"),
    Rename("s", "a"),
    Rename("d", "e/d"),
    Rename("d", "e/f"),
    Rename("d/x", "d/y"),
    Exchange("a", "d/x"),
    MakeDirectory("e/f"),
    RemoveDirectory("e"),
    RemoveDirectory("e/f"),
    Symlink("s"),
    SetXattr("a", 20),
    SetXattr("d", 20),
    SetMode("b", 0o600),
];

pub(super) const NAMES: [Operation; 20] = [
    Create("n"),
    Create("d/n"),
    Symlink("n"),
    MakeDirectory("e/f"),
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

/// Those that are ever directories.
const DIRECTORIES: [&str; 4] = ["d", "e", "e/d", "e/f"];

fn parent(path: &'static str) -> &'static str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Whatever a program may ask to last behind an action: nothing, what it worked with, each directory that it changed,
/// everything. Behind one that leaves no file of its own, a file that it has nothing to do with.
fn syncs(action: Operation) -> Vec<Operation> {
    let (from, to) = match action {
        Rename(from, to) | Exchange(from, to) => (from, to),
        Create(path) | Symlink(path) | Link(_, path) | SetXattr(path, _) | SetMode(path, _) => (path, path),
        Write { path, .. } | Append { path, .. } | Resize { path, .. } | Punch { path, .. } => (path, path),
        MakeDirectory(path) | RemoveDirectory(path) | Unlink(path) | UnlinkHeld(path) => (path, path),
        _ => ("", ""),
    };
    let is_gone = matches!(action, RemoveDirectory(_) | Unlink(_) | UnlinkHeld(_));
    let mut syncs = Vec::new();
    if DIRECTORIES.contains(&to) && !is_gone {
        syncs.push(SyncDirectory(to));
    } else if is_gone {
        syncs.push(Sync(if to == "d/x" { "a" } else { "d/x" }));
    } else {
        syncs.push(Sync(to));
    }
    syncs.push(SyncDirectory(parent(to)));
    if parent(from) != parent(to) {
        syncs.push(SyncDirectory(parent(from)));
    }
    syncs.extend([Publish, Round]);
    syncs
}

/// All sequences of two actions, each followed by nothing or any of the syncs; every `step`th of them.
pub(super) fn short_sequences(step: usize, effort: Effort, until: Duration) -> Covered {
    let begun = Instant::now();
    let prepare: Vec<Operation> = FILES.into_iter().chain(LARGE).collect();
    let start = Start::new(&prepare);
    let with_syncs = |action: Operation| {
        let synced = syncs(action).into_iter().map(move |sync| vec![action, sync]);
        std::iter::once(vec![action]).chain(synced)
    };
    let parts: Vec<Vec<Operation>> = ACTIONS.into_iter().flat_map(with_syncs).collect();
    let mut tally = Tally::default();
    let (mut done, due) = (0, (effort.seed as usize % step..parts.len().pow(2)).step_by(step));
    for number in due.clone() {
        if begun.elapsed() > until {
            break;
        }
        let sequence = [&parts[number / parts.len()][..], &parts[number % parts.len()]].concat();
        start.explore(&sequence, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
        done += 1;
    }
    Covered::report("short sequences", done, due.len(), &tally, begun)
}

/// Every sequence of that many changes of names, with every split into batches; every `step`th of them.
pub(super) fn name_sequences(length: usize, step: usize, effort: Effort, until: Duration) -> Covered {
    let begun = Instant::now();
    let start = Start::new(&FILES);
    let mut tally = Tally::default();
    let all = NAMES.len().pow(length as u32) << (length - 1);
    let (mut done, due) = (0, (effort.seed as usize % step..all).step_by(step));
    for number in due.clone() {
        if begun.elapsed() > until {
            break;
        }
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
        start.explore(&sequence, effort, &mut tally).unwrap_or_else(|error| panic!("{error}"));
        done += 1;
    }
    Covered::report(&format!("sequences of {length} names"), done, due.len(), &tally, begun)
}

#[test]
fn short_sequences_survive() {
    short_sequences(101, Effort { cuts: 4, kills: 1, seed: seed() }, Duration::from_secs(20));
}

#[test]
fn name_sequences_survive() {
    name_sequences(2, 3, Effort { cuts: 4, kills: 1, seed: seed() }, Duration::from_secs(20));
}

/// By `scripts/crash --whole`: every pair of actions with all syncs, and every sequence of up to three changes of names in
/// every split into batches, however long that takes.
#[test]
#[ignore = "many minutes: scripts/crash --whole"]
fn every_short_sequence_survives() {
    let effort = Effort { cuts: 5, kills: 2, seed: seed() };
    std::thread::scope(|scope| {
        let contents = scope.spawn(|| vec![short_sequences(1, effort, Duration::MAX)]);
        let names =
            scope.spawn(|| [1, 2, 3].map(|length| name_sequences(length, 1, effort, Duration::MAX)).into());
        for covered in [contents, names].into_iter().flat_map(|thread| thread.join().expect("a state failed"))
        {
            assert!(covered.is_whole(), "{} of {}", covered.done, covered.due);
        }
    });
}
