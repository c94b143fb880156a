//! Damage under a live mount, and then a crash: another process exchanges, spoils or removes a chunk file at any moment
//! between write, fsync, batch and checkpoint. Whatever crash follows, nothing else is touched by it; what was corrupt is
//! an error, or as the model says; and what was synced after that, or only a batch had, is there.

use super::attack::{Attack, MORE, SUBJECTS, Subject};
use super::check::{Found, check_leftovers_but, read, said};
use super::model::Model;
use super::operation::Bench;
use super::operation::Operation::{self, *};
use super::recorder::{Point, Recorder};
use super::surgery::{Step, Surgery, Wound, in_memory, is_lost};
use super::workloads::{Covered, FILES, LARGE};
use super::{Effort, Start, Tally};
use crate::chunk::remembered::{Remembered, Snapshot};
use crate::store::Store;
use crate::store::power::Power;
use crate::test_rng::seed;
use crate::volume::Volume;
use crate::volume::format::limits;
use crate::volume::mutants::{Mutant, plant};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One run that was recorded: the points, and for each number of operations that had returned what holds of the wound.
struct Run {
    model: Model,
    points: Vec<Point>,
    wounds: Vec<Wound>,
}

impl Start {
    /// As `record`, with attacks.
    fn operate(
        &self,
        subject: &Subject,
        store: Power,
        known: Snapshot,
        base: Option<(Model, Wound)>,
        steps: &[Step],
        effort: Effort,
    ) -> Result<Option<Run>, String> {
        let recorder = Recorder::new(store.kill(), known);
        let store = recorder.power();
        let opened = self.fixture.try_open_with(Arc::new(recorder.clone()), &recorder.remembered);
        let volume = said("opening", opened)?;
        let (mut model, wound) = match base {
            Some(base) => base,
            None => (Model::of(Found::of(&volume)?), Wound::default()),
        };
        let mut wounds = vec![wound.clone()];
        let mut bench = Bench { volume: &volume, model: &mut model, held: Vec::new() };
        // Every other sequence: their seeds follow each other.
        let is_held = effort.seed.is_multiple_of(2);
        let mut surgery = Surgery { start: self, subject, volume: &volume, store: &store, wound, is_held };
        for step in steps {
            if !surgery.step(&mut bench, *step).map_err(|error| format!("{step:?}: {error}"))? {
                return Ok(None);
            }
            recorder.set_done(bench.model.done());
            wounds.push(surgery.wound.clone());
        }
        let wound = surgery.wound;
        let done = model.done();
        check_live(&volume, &model, done, &wound).map_err(|error| format!("alive: {error}"))?;
        said("closing", volume.close())?;
        let points = recorder.points();
        Ok(Some(Run { model, points, wounds }))
    }

    /// Looks at what crashes leave behind an attack; false if the sequence makes no sense.
    fn explore_wound(
        &self,
        subject: &Subject,
        steps: &[Step],
        effort: Effort,
        tally: &mut Tally,
    ) -> Result<bool, String> {
        let run = self.operate(subject, self.store.kill(), self.known.clone(), None, steps, effort);
        let Some(Run { model, points, wounds }) = run.map_err(|error| format!("{steps:?}: {error}"))? else {
            return Ok(false);
        };
        tally.runs += 1;
        let many = points.len();
        for (number, Point { store, known, done }) in points.into_iter().enumerate() {
            let wound = &wounds[done];
            if wound.id.is_none() {
                continue;
            }
            let seed = effort.seed.wrapping_add(number as u64);
            let place = |error, what| {
                format!("{steps:?}: {what} {number} of {many} after {done}, seed {seed}: {error}")
            };
            for cut in store.enumerate_cuts(effort.cuts, seed) {
                if tally.is_new(&cut, &known, done) {
                    check_wound(self, Arc::new(cut), known.clone(), &model, done, wound)
                        .map_err(|error| place(error, "cut"))?;
                }
            }
            if effort.kills > 0 && (number as u64 + effort.seed).is_multiple_of(5) {
                let point = Point { store, known, done };
                self.kill_wounded(subject, &point, &model, wound, effort, tally)
                    .map_err(|error| place(error, "kill"))?;
            }
        }
        Ok(true)
    }

    /// The process is killed, the next one goes on, also with what was corrupt, and then the power is cut.
    fn kill_wounded(
        &self,
        subject: &Subject,
        Point { store, known, done }: &Point,
        model: &Model,
        wound: &Wound,
        effort: Effort,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let remembered = Remembered::of(known.clone());
        let volume = said("opening", self.fixture.try_open_with(Arc::new(store.kill()), &remembered))?;
        let found = check_found(&volume, model, *done, wound)?;
        drop(volume);
        let is_whole = found.unreadable.is_none();
        let model = model.after_crash(*done, found);
        // Who opened it anew and read it all knows of it.
        let is_in_place = wound.is_in_place && !is_whole;
        let wound = Wound { is_in_place, is_blind: !is_whole, ..wound.clone() };
        let it = wound.id.filter(|id| is_whole && model.find(subject.path) == Some(*id));
        let it = it.map(|_| [subject.changes[0], subject.sync()]);
        let others = [Create("after"), Append { path: "after", length: 10 }, SyncDirectory(""), Round];
        let steps: Vec<Step> = it.into_iter().flatten().chain(others).map(Step::Do).collect();
        let run = self.operate(subject, store.kill(), known.clone(), Some((model, wound)), &steps, effort);
        let Some(Run { model, points, wounds }) = run? else { return Ok(()) };
        let step = points.len().div_ceil(effort.kills).max(1);
        let skip = (effort.seed as usize + done) % step;
        for (number, Point { store, known, done }) in points.into_iter().enumerate().skip(skip).step_by(step)
        {
            for cut in store.enumerate_cuts(3, effort.seed.wrapping_add(number as u64)) {
                if tally.is_new(&cut, &known, done) {
                    check_wound(self, Arc::new(cut), known.clone(), &model, done, &wounds[done])
                        .map_err(|error| format!("then cut {number} after {done}: {error}"))?;
                }
            }
        }
        Ok(())
    }
}

/// Holds what is found against the model, and what was corrupt against what holds of it.
fn check_found(volume: &Volume, model: &Model, done: usize, wound: &Wound) -> Result<Found, String> {
    let found = Found::around(volume, wound.id)?;
    if let Some(id) = wound.id.filter(|_| wound.is_blind) {
        let mut tree = found.tree.clone();
        tree.get_mut(&id).into_iter().for_each(|entries| entries.clear());
        model.check(done, &tree, &found.versions)?;
        if found.unreadable.is_some() && !wound.may_fail {
            return Err("what was stored again is lost".into());
        }
        return Ok(found);
    }
    let Some(id) = found.unreadable else {
        model.check(done, &found.tree, &found.versions)?;
        return Ok(found);
    };
    if !wound.may_fail {
        return Err(format!("{:?}: what was corrupt is lost", read(volume, id).err()));
    }
    model.without_entries(id).check(done, &found.tree, &found.versions)?;
    for child in model.entries(id, done).1 {
        let (version, _) = said("reading what stood in the corrupt directory", read(volume, child))?;
        model.check_file(done, child, &version)?;
    }
    Ok(found)
}

/// The same while the mount lives: what it gave up it does not show.
fn check_live(volume: &Volume, model: &Model, done: usize, wound: &Wound) -> Result<(), String> {
    let may_fail =
        wound.may_fail || wound.id.and_then(|id| in_memory(volume, id)).is_some_and(|inode| is_lost(&inode));
    check_found(volume, model, done, &Wound { may_fail, ..wound.clone() }).map(drop)
}

/// Opens what a crash left, checks it, goes on working, and opens it again.
fn check_wound(
    start: &Start,
    store: Arc<dyn Store>,
    known: Snapshot,
    model: &Model,
    done: usize,
    wound: &Wound,
) -> Result<(), String> {
    let remembered = Remembered::of(known);
    let volume = said("opening", start.fixture.try_open_with(store.clone(), &remembered))?;
    let found = check_found(&volume, model, done, wound)?;
    let (unreadable, tree) = (found.unreadable, found.tree.clone());
    let mut after = Model::of(found);
    let mut bench = Bench { volume: &volume, model: &mut after, held: Vec::new() };
    for operation in [
        Create("after"),
        Append { path: "after", length: 100 },
        Append { path: "a", length: 10 },
        Append { path: "b", length: 10 },
        Round,
    ] {
        match operation {
            Append { path, .. } if unreadable.is_some() && bench.model.find(path) == unreadable => {}
            operation => drop(said("going on", bench.run(operation))?),
        }
    }
    let mut but = BTreeSet::new();
    if wound.may_fail
        && (unreadable.is_some()
            || !tree.values().any(|names| names.values().any(|id| wound.id == Some(*id))))
    {
        but.extend(wound.id);
        but.extend(&wound.hidden);
    }
    check_leftovers_but(&volume, &*store, wound.id, &but)?;
    said("closing", volume.close())?;
    drop(volume);
    let volume = said("opening again", start.fixture.try_open_with(store.clone(), &remembered))?;
    after.promise_all();
    after.advance();
    let found = Found::around(&volume, wound.id)?;
    if found.unreadable != unreadable {
        return Err(format!("{:?} cannot be read, {unreadable:?} could not before", found.unreadable));
    }
    after.check(after.done(), &found.tree, &found.versions)?;
    check_leftovers_but(&volume, &*store, wound.id, &but)
}

/// An attack with what stands before and behind it, and a checkpoint at last and what comes after.
fn around(before: &[Operation], attack: Attack, after: &[Operation]) -> Vec<Step> {
    let work = |operations: &[Operation]| operations.iter().copied().map(Step::Do).collect();
    let tail = [Round, Create("z"), Sync("z"), Round];
    [work(before), vec![Step::Spoil(attack)], work(after), work(&tail)].concat()
}

/// Every `step`th sequence around every attack on every subject.
fn wounds(subjects: &[Subject], step: usize, effort: Effort, until: Duration) -> Covered {
    let (begun, mut tally) = (Instant::now(), Tally::default());
    let (mut number, mut done, mut due) = (effort.seed as usize % step, 0, 0);
    for subject in subjects {
        let start = start_with(subject);
        for (before, attack, after) in subject.sequences() {
            number += 1;
            if !number.is_multiple_of(step) {
                continue;
            }
            due += 1;
            if begun.elapsed() > until {
                continue;
            }
            done += 1;
            let seed = effort.seed.wrapping_add(number as u64);
            start
                .explore_wound(
                    subject,
                    &around(&before, attack, &after),
                    Effort { seed, ..effort },
                    &mut tally,
                )
                .unwrap_or_else(|error| panic!("{} {}: {error}", subject.path, subject.index));
        }
        limits::lower(limits::JOURNAL, limits::TAIL, limits::COMPACT);
    }
    Covered::report("chunk files that are corrupt", done, due, &tally, begun)
}

fn start_with(subject: &Subject) -> Start {
    if subject.is_narrow {
        limits::lower(limits::JOURNAL, 100, 80);
    }
    let prepare: Vec<Operation> = FILES.into_iter().chain(LARGE).chain(MORE).collect();
    Start::new(&prepare)
}

#[test]
fn what_is_corrupt_costs_nothing_else() {
    wounds(&SUBJECTS, 401, Effort { cuts: 4, kills: 1, seed: seed() }, Duration::from_secs(20));
}

/// By `scripts/crash --whole`.
#[test]
#[ignore = "many minutes: scripts/crash --whole"]
fn whatever_is_corrupt_costs_nothing_else() {
    let effort = Effort { cuts: 4, kills: 1, seed: seed() };
    std::thread::scope(|scope| {
        let halves = SUBJECTS.chunks(SUBJECTS.len() / 2);
        let threads: Vec<_> =
            halves.map(|subjects| scope.spawn(move || wounds(subjects, 1, effort, Duration::MAX))).collect();
        for covered in threads.into_iter().map(|thread| thread.join().expect("a state failed")) {
            assert!(covered.is_whole(), "{} of {}", covered.done, covered.due);
        }
    });
}

/// Each rule of `mend` broken once, and a workload in which it shows after a crash only.
#[test]
fn every_broken_rule_is_noticed() {
    // With a further chunk: such a file is not rebuilt.
    let carried: &[Operation] =
        &[Create("n"), Append { path: "n", length: 300 }, Sync("n"), Append { path: "n", length: 300_000 }];
    let two_names: &[Operation] = &[Write { path: "c", at: 10, length: 20 }, Link("c", "e/l")];
    let [_, new, _, large, ..] = &SUBJECTS;
    let mutants = [
        (Mutant::KeptNotSynced, new, carried, Attack::Gone),
        (Mutant::KeptWithoutName, new, carried, Attack::Gone),
        (Mutant::KeptNotSynced, new, carried, Attack::Garbage),
        (Mutant::AcknowledgedAbandoned, new, carried, Attack::Gone),
        (Mutant::NamesAbandoned, large, two_names, Attack::Same),
    ];
    let mut missed = Vec::new();
    for (fault, subject, before, attack) in mutants {
        let start = start_with(subject);
        let steps = around(before, attack, &[]);
        let effort = Effort { cuts: 12, kills: 2, seed: 2 };
        let explore = || start.explore_wound(subject, &steps, effort, &mut Tally::default());
        let sane = explore();
        assert!(matches!(sane, Ok(true)), "without {fault:?}: {sane:?}");
        plant(Some(fault));
        let noticed = explore().err();
        plant(None);
        println!("{fault:?}: {noticed:?}\n");
        if noticed.is_none() {
            missed.push((fault, attack));
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}

/// An empty file that batches speak of, and no chunk 0: what it is written and not stored may be lost, it may not.
#[test]
fn a_file_that_no_chunk_0_ever_told_of_is_kept_empty() {
    let subject = SUBJECTS.iter().find(|subject| (subject.path, subject.index) == ("n", 0)).unwrap();
    let before = [Create("n"), Batch, Append { path: "n", length: 5000 }];
    let effort = Effort { cuts: 4, kills: 1, seed: seed() };
    let steps = around(&before, Attack::Same, &[]);
    assert!(start_with(subject).explore_wound(subject, &steps, effort, &mut Tally::default()).unwrap());
}
