//! What a crash leaves: workloads over a store whose power can be cut, and an oracle for every state that is left.
//!
//! `recorder` keeps every crash point of one run, with what the device remembers of the chunks by then, `model` says what
//! may be found there, `check` looks.

mod absence;
mod attack;
mod beyond;
mod check;
mod directed;
mod faults;
mod flaky;
mod model;
mod mutants;
mod operation;
pub(crate) mod recorder;
mod salvage;
mod short;
mod spoil;
mod surgery;
mod traces;
mod workloads;

use super::Fixture;
use crate::chunk::remembered::{Remembered, Snapshot};
use crate::store::power::Power;
use crate::volume::Kind;
use check::{Found, check, said};
use model::Model;
use operation::Operation::*;
use operation::{Bench, Operation};
use recorder::{Point, Recorder};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A volume with a few files, from which workloads start.
struct Start {
    fixture: Fixture,
    store: Power,
    known: Snapshot,
}

/// How many states are looked at.
#[derive(Clone, Copy)]
struct Effort {
    /// States of each crash point.
    cuts: usize,
    /// Points of the recovery after a kill at which the power is cut, of every crash point that is `step` further.
    kills: usize,
    seed: u64,
}

/// How many distinct states were looked at.
#[derive(Default)]
struct Tally {
    states: HashSet<u64>,
    runs: usize,
}

impl Tally {
    /// Counts a state: what is in the store, what the device remembers, and how much was done.
    fn is_new(&mut self, store: &Power, known: &Snapshot, done: usize) -> bool {
        let mut hasher = DefaultHasher::new();
        (store.fingerprint(), known, done).hash(&mut hasher);
        self.states.insert(hasher.finish())
    }
}

impl Start {
    fn new(prepare: &[Operation]) -> Start {
        let (fixture, store) = (Fixture::new(), Power::new());
        let volume = fixture.format(Arc::new(store.clone()));
        let mut model = Model::of(Found::of(&volume).unwrap());
        let mut bench = Bench { volume: &volume, model: &mut model, held: Vec::new() };
        for operation in prepare {
            assert!(bench.run(*operation).unwrap(), "{operation:?}");
        }
        volume.close().unwrap();
        let known = fixture.remembered.snapshot();
        Start { fixture, store, known }
    }

    /// Runs the operations; `None` if one of them makes no sense. Gives all crash points.
    fn record(
        &self,
        store: Power,
        known: Snapshot,
        model: Option<Model>,
        operations: &[Operation],
    ) -> Result<Option<(Model, Vec<Point>)>, String> {
        let recorder = Recorder::new(store, known);
        let opened = self.fixture.try_open_with(Arc::new(recorder.clone()), &recorder.remembered);
        let volume = said("opening", opened)?;
        let mut model = match model {
            Some(model) => model,
            None => Model::of(Found::of(&volume)?),
        };
        let mut bench = Bench { volume: &volume, model: &mut model, held: Vec::new() };
        for operation in operations {
            if !said("an operation", bench.run(*operation))? {
                return Ok(None);
            }
            recorder.set_done(bench.model.done());
        }
        let points = recorder.points();
        Ok(Some((model, points)))
    }

    /// The same, leaving out operations that make no sense.
    fn explore_what_works(
        &self,
        operations: &[Operation],
        effort: Effort,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let remembered = Remembered::of(self.known.clone());
        let opened = self.fixture.try_open_with(Arc::new(self.store.kill()), &remembered);
        let volume = said("opening", opened)?;
        let mut model = Model::of(Found::of(&volume)?);
        let mut bench = Bench { volume: &volume, model: &mut model, held: Vec::new() };
        let mut works = Vec::new();
        for operation in operations {
            if said("an operation", bench.run(*operation))? {
                works.push(*operation);
            }
        }
        self.explore(&works, effort, tally).map(|_| ())
    }

    /// Looks at what crashes of this workload leave; false if it makes no sense.
    fn explore(&self, operations: &[Operation], effort: Effort, tally: &mut Tally) -> Result<bool, String> {
        let Some((model, points)) = self.record(self.store.kill(), self.known.clone(), None, operations)?
        else {
            return Ok(false);
        };
        tally.runs += 1;
        let many = points.len();
        for (number, Point { store, known, done }) in points.into_iter().enumerate() {
            let seed = effort.seed.wrapping_add(number as u64);
            for cut in store.enumerate_cuts(effort.cuts, seed) {
                if tally.is_new(&cut, &known, done) {
                    check(&self.fixture, Arc::new(cut), known.clone(), &model, done).map_err(|error| {
                        format!("{operations:?}: cut {number} of {many} after {done}, seed {seed}: {error}")
                    })?;
                }
            }
            if effort.kills > 0 && (number as u64 + effort.seed).is_multiple_of(5) {
                self.explore_kill(&store, &known, &model, done, effort, tally).map_err(|error| {
                    format!("{operations:?}: kill {number} of {many} after {done}, seed {seed}: {error}")
                })?;
            }
        }
        Ok(true)
    }

    /// The process is killed, the next one goes on, and then the power is cut.
    fn explore_kill(
        &self,
        store: &Power,
        known: &Snapshot,
        model: &Model,
        done: usize,
        effort: Effort,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let remembered = Remembered::of(known.clone());
        let volume = said("opening", self.fixture.try_open_with(Arc::new(store.kill()), &remembered))?;
        let found = Found::of(&volume)?;
        model.check(done, &found.tree, &found.versions)?;
        drop(volume);
        let model = model.after_crash(done, found);
        let synced = model.find("b").filter(|id| model.file(*id).kind == Kind::File).map(|_| Sync("b"));
        let after = [Create("after"), Append { path: "after", length: 10 }, SyncDirectory(""), Round];
        let after: Vec<Operation> = synced.into_iter().chain(after).collect();
        let Some((model, points)) = self.record(store.kill(), known.clone(), Some(model), &after)? else {
            return Ok(());
        };
        let step = points.len().div_ceil(effort.kills).max(1);
        let skip = (effort.seed as usize + done) % step;
        for (number, Point { store, known, done }) in points.into_iter().enumerate().skip(skip).step_by(step)
        {
            for cut in store.enumerate_cuts(3, effort.seed.wrapping_add(number as u64)) {
                if tally.is_new(&cut, &known, done) {
                    check(&self.fixture, Arc::new(cut), known.clone(), &model, done)
                        .map_err(|error| format!("then cut {number} after {done}: {error}"))?;
                }
            }
        }
        Ok(())
    }
}
