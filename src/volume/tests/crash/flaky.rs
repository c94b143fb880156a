//! The torturer, in memory: work at random on a store that is full, read-only, failing or not connected from time to time,
//! whose failed fdatasyncs lose what they cover, and whose power fails in between. Whatever was said is true afterwards,
//! and the volume goes on every time by itself.

use super::Start;
use super::check::{Found, check, check_leftovers, said};
use super::faults::fail_when;
use super::model::Model;
use super::operation::{Bench, Operation, Operation::*};
use super::short::{ACTIONS, NAMES};
use super::workloads::{FILES, LARGE};
use crate::chunk::mutants::{self, Mutant};
use crate::chunk::remembered::Remembered;
use crate::store::faulty::{Call, Event, Fault, Faulty};
use crate::store::power::Seeded;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::Error;
use std::sync::Arc;

/// Rounds of a short run; CRYPTFS_TORTURE is how many there are otherwise.
const ROUNDS: u64 = 60;
const OPERATIONS: usize = 40;
/// How often an operation is tried: no spell of failures lasts for so many.
const TRIES: usize = 40;

const SYNCS: [Operation; 8] =
    [Sync("a"), Sync("b"), Sync("c"), Sync("n"), SyncDirectory(""), SyncDirectory("d"), Batch, Round];

/// What fails at a time, and with which error.
#[derive(Clone, Copy)]
struct Spell {
    number: i32,
    hits: fn(Call) -> bool,
}

const SPELLS: [Spell; 8] = [
    Spell { number: libc::EIO, hits: |_| true },
    Spell { number: libc::ENOTCONN, hits: |_| true },
    Spell { number: libc::ETIMEDOUT, hits: |call| !matches!(call, Call::Open | Call::IsCurrent) },
    Spell { number: libc::EIO, hits: |call| matches!(call, Call::Sync | Call::SyncAll) },
    Spell { number: libc::EIO, hits: |call| call == Call::Write },
    Spell { number: libc::EIO, hits: |call| call == Call::Read },
    Spell { number: libc::EROFS, hits: takes_space },
    Spell { number: libc::ENOSPC, hits: takes_space },
];

fn takes_space(call: Call) -> bool {
    matches!(
        call,
        Call::Write | Call::Create | Call::Allocate | Call::SetLength | Call::SyncNames | Call::Sync
    )
}

/// Spells of a length drawn at random, about every sixty calls.
fn spells(mut rng: TestRng) -> impl FnMut(&Event) -> Option<Fault> + Send {
    let (mut begins, mut ends, mut spell) = (rng.below(60) as u64, 0, SPELLS[0]);
    move |event| {
        if event.number >= begins {
            spell = SPELLS[rng.below(SPELLS.len())];
            ends = event.number + 1 + [0, 3, 20][rng.below(3)] * rng.below(2) as u64;
            begins = ends + 20 + rng.below(80) as u64;
        }
        (event.number < ends && (spell.hits)(event.call)).then_some(Fault::Error(spell.number))
    }
}

fn some_operation(rng: &mut TestRng) -> Operation {
    match rng.below(4) {
        0 => SYNCS[rng.below(SYNCS.len())],
        1 => NAMES[rng.below(NAMES.len())],
        _ => ACTIONS[rng.below(ACTIONS.len())],
    }
}

fn round(start: &Start, seed: u64) -> Result<(), String> {
    let mut rng = TestRng(seed);
    let power = start.store.kill();
    let store = Arc::new(Faulty::new(Arc::new(power.clone())));
    let remembered = Remembered::of(start.known.clone());
    let volume = said("opening", start.fixture.try_open_with(store.clone(), &remembered))?;
    let mut model = Model::of(Found::of(&volume)?);
    let mut bench = Bench { volume: &volume, model: &mut model, held: Vec::new() };
    fail_when(&store, &power, seed, spells(TestRng(!seed)));
    for at in 0..OPERATIONS {
        let operation = some_operation(&mut rng);
        let mut tries = 0;
        while let Err(error) = bench.run(operation) {
            tries += 1;
            if tries == TRIES || matches!(error, Error::Stopped | Error::Damaged(..) | Error::NotArrived(_)) {
                return Err(format!("{operation:?}, the {at}th, fails for ever: {error:?}"));
            }
        }
        if rng.below(8) == 0 {
            let (done, known) = (bench.model.done(), remembered.snapshot());
            let cut = Arc::new(power.cut(&mut Seeded::new(rng.0)));
            let cut = check(&start.fixture, cut, known, bench.model, done);
            cut.map_err(|error| format!("the power failed after the {at}th, {operation:?}: {error}"))?;
        }
    }
    store.heal();
    std::mem::take(&mut bench.held).into_iter().for_each(|inode| volume.release(inode));
    said("a checkpoint", volume.checkpoint())?;
    bench.model.promise_all();
    bench.model.advance();
    drop(bench);
    check_leftovers(&volume, &*store)?;
    said("closing", volume.close())?;
    let (done, known) = (model.done(), remembered.snapshot());
    check(&start.fixture, Arc::new(power.cut(&mut Seeded::new(seed))), known, &model, done)
}

fn torture(rounds: u64) -> Result<(), String> {
    let prepare: Vec<Operation> = FILES.into_iter().chain(LARGE).collect();
    let start = Start::new(&prepare);
    let seed = seed();
    for number in 0..rounds {
        let seed = seed.wrapping_add(number);
        round(&start, seed).map_err(|error| format!("CRYPTFS_SEED={seed} fails: {error}"))?;
    }
    Ok(())
}

#[test]
fn nothing_that_was_said_is_untrue_on_a_store_that_fails_at_times() {
    torture(variable("CRYPTFS_TORTURE").unwrap_or(ROUNDS)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_recovery_that_writes_nothing_again_is_noticed() {
    mutants::plant(Some(Mutant::RecoveredUnwritten));
    let noticed = torture(10 * ROUNDS);
    mutants::plant(None);
    println!("{}", noticed.expect_err("it was not noticed"));
}
