//! Each rule of order broken once in the real code: the oracle notices every time.

use super::operation::BORDER;
use super::operation::Operation::{self, *};
use super::workloads::{FILES, LARGE};
use super::{Effort, Start, Tally};
use crate::chunk;
use crate::volume::mutants::{Mutant, plant};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A mistake, and a workload in which it shows.
const MUTANTS: [(Mutant, &[Operation]); 18] = [
    (Mutant::ChunkZeroFirst, &[Write { path: "b", at: BORDER, length: 300 }, Sync("b")]),
    (Mutant::DataNotSynced, &[Append { path: "b", length: 9000 }, Sync("b")]),
    (
        Mutant::NamesNotSynced,
        &[Create("n"), Append { path: "n", length: 9000 }, Sync("n"), Round, Create("m"), Round],
    ),
    (Mutant::DeletedBeforeBatch, &[Unlink("b"), Round]),
    (Mutant::LinksBeforeBatch, &[Append { path: "b", length: 9000 }, Rename("b", "m"), Sync("m")]),
    (Mutant::VectorTooFar, &[Create("n"), Batch, Create("m"), Flush(""), Create("o"), Round]),
    (
        Mutant::BatchDroppedEarly,
        &[Create("n"), Append { path: "n", length: 50 }, Sync("n"), Create("m"), Round],
    ),
    (Mutant::ReplacedBeforeData, &[Create("n"), Append { path: "n", length: 300 }, Rename("n", "a"), Batch]),
    (
        Mutant::ReserveNotRecorded,
        &[
            Create("n"),
            Round,
            Create("m"),
            Append { path: "m", length: 9000 },
            Append { path: "m", length: 1 },
        ],
    ),
    (
        Mutant::OrphanNotRecorded,
        &[UnlinkHeld("b"), Round, Append { path: "a", length: 10 }, Sync("a"), Create("n"), Round],
    ),
    (
        Mutant::CheckpointRepeatsNothing,
        &[
            UnlinkHeld("b"),
            Round,
            Create("m"),
            Append { path: "m", length: 9000 },
            Append { path: "a", length: 1 },
            Round,
            Create("n"),
            Round,
        ],
    ),
    (Mutant::BatchInTwo, &[Rename("a", "d/a"), Round]),
    (Mutant::NameWithoutInode, &[Create("n"), Batch]),
    (Mutant::TrimmedEarly, &[Resize { path: "c", size: 10 }, Round]),
    (Mutant::UnlinkNotSynced, &[Unlink("c"), Round, Create("n"), Round, Create("m"), Round]),
    (
        Mutant::ReplayedOverNewer,
        &[
            Create("n"),
            Append { path: "n", length: 50 },
            Sync("n"),
            Append { path: "n", length: 9000 },
            Sync("n"),
        ],
    ),
    (Mutant::NoSweep, &[Write { path: "b", at: BORDER, length: 300 }, Sync("b")]),
    (Mutant::NotAnnounced, &[Write { path: "c", at: BORDER, length: 300 }, Sync("c")]),
];

#[test]
fn every_broken_rule_is_noticed() {
    let prepare: Vec<Operation> = FILES.into_iter().chain(LARGE).collect();
    let start = Start::new(&prepare);
    let effort = Effort { cuts: 12, kills: 6, seed: 1 };
    let explore = |operations| {
        let explored =
            catch_unwind(AssertUnwindSafe(|| start.explore(operations, effort, &mut Tally::default())));
        explored.unwrap_or_else(|_| Err("a panic".into()))
    };
    let mut missed = Vec::new();
    for (fault, operations) in MUTANTS {
        let sane = explore(operations);
        assert!(matches!(sane, Ok(true)), "without {fault:?}: {sane:?}");
        plant(Some(fault));
        let noticed = explore(operations).err();
        plant(None);
        let said = noticed.as_deref().unwrap_or("NOT NOTICED");
        println!("{fault:?}: {}\n", said.chars().take(400).collect::<String>());
        if noticed.is_none() {
            missed.push(fault);
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}

/// What is remembered before it is durable looks rolled back after a power cut.
#[test]
fn what_is_remembered_too_early_is_noticed() {
    let prepare: Vec<Operation> = FILES.into_iter().chain(LARGE).collect();
    let start = Start::new(&prepare);
    let effort = Effort { cuts: 40, kills: 0, seed: 1 };
    let mutants: [(chunk::mutants::Mutant, &[Operation]); 2] = [
        (chunk::mutants::Mutant::NotedAtCommit, &[Append { path: "b", length: 9000 }, Sync("b")]),
        (
            chunk::mutants::Mutant::NotedWithoutName,
            &[Create("n"), Batch, Append { path: "n", length: 9000 }, Sync("n")],
        ),
    ];
    for (fault, operations) in mutants {
        start.explore(operations, effort, &mut Tally::default()).unwrap();
        chunk::mutants::plant(Some(fault));
        let noticed = start.explore(operations, effort, &mut Tally::default()).err();
        chunk::mutants::plant(None);
        println!("{fault:?}: {noticed:?}\n");
        let said = noticed.unwrap_or_else(|| panic!("{fault:?} is not noticed"));
        assert!(said.contains("Damaged"), "{said}");
    }
}

/// Mistakes that one test each was made for.
#[test]
fn every_broken_rule_of_a_directed_test_is_noticed() {
    use super::directed::*;
    let mutants: [(Mutant, fn()); 7] = [
        (Mutant::NoSyncAtOpen, fsync_after_a_kill_covers_what_the_killed_process_wrote),
        (Mutant::ClosedUnsynced, no_chunk_is_closed_before_it_is_synced),
        (Mutant::JournalWithoutBackupRoot, a_closed_journal_says_the_same_in_both_roots),
        (Mutant::NamedLeftoverSwept, an_older_journal_put_in_place_deletes_nothing_that_has_a_name),
        (Mutant::CutForgotten, a_file_cut_between_the_stages_of_a_flush_is_whole_or_cut),
        (Mutant::TrimmedBetween, a_file_cut_between_the_stages_of_a_flush_is_whole_or_cut),
        (Mutant::NameForgotten, a_name_that_could_not_be_synced_is_synced_by_the_next_fsync),
    ];
    for (fault, test) in mutants {
        plant(Some(fault));
        let outcome = catch_unwind(test);
        plant(None);
        assert!(outcome.is_err(), "{fault:?} was not noticed");
    }
}
