//! Each rule of docs/FORMAT.md section 6.3 and 6.4 broken once in the real code: the exploration notices every time.

use super::super::mutants::{Mutant, plant};
use super::super::root::PLAIN;
use super::explore::{Size, explore};
use super::{Bench, Error};

pub const ONE: Size =
    Size { blocks: 1, slots: 3, depth: 11, crashes: 2, failures: 0, inline: 0, filled: 0, devices: 0 };
pub const FAILING: Size = Size { failures: 1, ..ONE };
pub const MAPPED: Size = Size { blocks: 2, slots: 5, depth: 9, inline: PLAIN - 24 - 16 - 32, ..ONE };
pub const BESIDE: Size = Size { blocks: 3, slots: 7, depth: 7, inline: MAPPED.inline - 32, filled: 3, ..ONE };

/// Sixty-three others join: the first commit after that moves them into a block of their own.
pub const MANY: Size = Size { slots: 5, depth: 8, filled: 1, blocks: 2, devices: 63, ..ONE };

/// A mistake, and the exploration that is to notice it.
const MUTANTS: [(Mutant, Size); 21] = [
    (Mutant::NoSyncAfterOpen, ONE),
    (Mutant::FreeAtCommit, ONE),
    (Mutant::FreeAtSyncStart, ONE),
    (Mutant::ReuseLiveSlot, ONE),
    (Mutant::RootOverDurable, ONE),
    (Mutant::RootDuringSync, ONE),
    (Mutant::BackupRootBeforeDurable, ONE),
    (Mutant::FallBackOnReadError, ONE),
    (Mutant::FallBackFromSettled, ONE),
    (Mutant::FallBackFromKnown, ONE),
    (Mutant::ReuseRejectedNumber, ONE),
    (Mutant::NoBlockCheck, ONE),
    (Mutant::NoMapCheck, MAPPED),
    (Mutant::NoCheckBesideMaps, BESIDE),
    (Mutant::MapsAlone, BESIDE),
    (Mutant::NoFallback, ONE),
    (Mutant::TakeOlderRoot, ONE),
    (Mutant::DurableBeforeSync, ONE),
    (Mutant::DurableAfterFailedSync, FAILING),
    (Mutant::RecoveredUnwritten, FAILING),
    (Mutant::OthersIgnored, MANY),
];

#[test]
fn every_broken_rule_is_noticed() {
    for (fault, size) in MUTANTS {
        let noticed = explore(size, Some(fault)).err();
        println!("{fault:?}: {}\n", noticed.as_deref().unwrap_or("NOT NOTICED"));
        assert!(noticed.is_some(), "{fault:?} was not noticed");
    }
}

#[test]
fn a_root_that_was_perhaps_written_is_not_forgotten() {
    let noticed = explore(FAILING, Some(Mutant::MaybeWrittenRootForgotten)).err();
    println!("{noticed:?}");
    assert!(noticed.is_some());
}

#[test]
fn without_the_look_at_the_path_a_replaced_file_would_be_acknowledged() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(1);
    bench.memory.restore(&bench.memory.snapshot());
    chunk.commit().unwrap();
    assert!(matches!(chunk.sync(), Err(Error::Replaced(_))));
    plant(Some(Mutant::NotCurrentIgnored));
    let acknowledged = chunk.commit().and_then(|_| chunk.sync());
    plant(None);
    acknowledged.unwrap();
}
