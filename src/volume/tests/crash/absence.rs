//! One file of the folder is gone, short, zeroed, corrupt or older, at any store call of a workload or after it, once the
//! daemon was killed or the power cut: what was acknowledged reads right or is an error, never empty, and nothing is
//! written over it. So it is for the device that wrote, with all that it remembers, with what it had written down, or with
//! nothing; for one that knows the volume as it was before; and for one that sees it for the first time.

use super::Start;
use super::check::{Found, read, said};
use super::model::{Model, Tree, Version};
use super::operation::Bench;
use super::operation::Operation::{self, *};
use super::recorder::Point;
use super::short::ACTIONS;
use super::spoil::{Case, SPOILS, Spoil, WHO, Who, all_names, bytes, spoil};
use super::workloads::{FILES, LARGE};
use crate::chunk::remembered::Snapshot;
use crate::chunk::{InodeId, mutants as of_chunks};
use crate::store::power::Power;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::mutants::{Mutant, plant};
use crate::volume::{Kind, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a volume that was spoilt shows.
struct Look<'a> {
    volume: &'a Volume,
    model: &'a Model,
    done: usize,
    case: Case,
    /// Inodes that were there, in their place, before the workload.
    settled: &'a BTreeSet<InodeId>,
}

impl Look<'_> {
    /// Checks all that can be reached; returns what is there and cannot be read.
    fn around(&self) -> Result<BTreeSet<InodeId>, String> {
        let (mut failed, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![InodeId::ROOT]);
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            match read(self.volume, id) {
                Ok((version, entries)) => {
                    self.check_version(id, &version)?;
                    if version.kind == Kind::Directory {
                        let entries = entries.into_iter().map(|(name, (child, _))| (name, child)).collect();
                        self.check_entries(id, &entries)?;
                        open.extend(entries.into_values());
                    }
                }
                Err(error) if error.is_damage() && self.may_fail(id) => drop(failed.insert(id)),
                Err(error) => return Err(format!("{id:?} was not touched: {error:?}")),
            }
        }
        Ok(failed)
    }

    fn may_fail(&self, id: InodeId) -> bool {
        id == self.case.inode
            || self.case.is_journal()
            // A name from before leads to what was deleted since.
            || self.case.is_lenient()
            || !self.case.is_own() && !self.settled.contains(&id)
    }

    fn check_version(&self, id: InodeId, found: &Version) -> Result<(), String> {
        if !self.case.is_lenient() {
            return self.model.check_file(self.done, id, found);
        }
        // A chunk file may have been stored with nothing in it yet; and who remembers nothing takes the state that an
        // older journal tells of, in which the file had a name and nothing else.
        let is_of_before = self.case.is_journal() && self.case.spoil == Spoil::Older;
        if is_of_before && self.model.was_named_before_content(id, self.done, found) {
            return Ok(());
        }
        let may_be_empty = id == self.case.inode && self.case.may_lack_content();
        self.model.check_any(self.done, id, found, may_be_empty)
    }

    fn check_entries(&self, id: InodeId, found: &BTreeMap<Vec<u8>, InodeId>) -> Result<(), String> {
        let is_there = |tree: &Tree| tree.get(&id) == Some(found);
        let is_right = match self.case.is_lenient() {
            true => self.model.all_trees(self.done).any(|tree| is_there(tree)) || self.is_patched(id, found),
            false => self.model.trees(self.done).any(|(_, tree)| is_there(tree)),
        };
        if is_right { Ok(()) } else { Err(format!("the directory {id:?} holds {found:?}")) }
    }

    /// Whether it is a directory of which an older chunk file is there, for somebody who has not seen the newer one, and
    /// what live batches say comes on top of it: then each name by itself is as it was at some time.
    fn is_patched(&self, id: InodeId, found: &BTreeMap<Vec<u8>, InodeId>) -> bool {
        let trees: Vec<_> = self.model.all_trees(self.done).filter_map(|tree| tree.get(&id)).collect();
        let names = trees.iter().flat_map(|tree| tree.keys()).chain(found.keys());
        let was_once = |name| trees.iter().any(|tree| tree.get(name) == found.get(name));
        self.case.may_be_older() && id == self.case.inode && names.into_iter().all(was_once)
    }
}

/// All that a workload left, with every state that it passed.
struct Run<'a> {
    start: &'a Start,
    model: Model,
    points: Vec<Point>,
    settled: BTreeSet<InodeId>,
}

impl Run<'_> {
    /// `left`: the store as the daemon left it there. `false`: the case changes nothing.
    fn check(&self, number: usize, left: &Power, case: Case, dice: &mut TestRng) -> Result<bool, String> {
        let Point { known, done, .. } = &self.points[number];
        let store = left.kill();
        let whole = bytes(&store, case.name);
        let earlier: Vec<&Power> = self.points[..number].iter().map(|point| &point.store).collect();
        if !spoil(&store, case, &earlier, dice) {
            return Ok(false);
        }
        let spoilt = bytes(&store, case.name);
        let other = self.start.fixture.another(*b"device 2");
        let fixture = if case.is_own() { &self.start.fixture } else { &other };
        let known: Snapshot = match case.who {
            Who::Writer => known.clone(),
            Who::Behind | Who::Acquainted => self.start.known.clone(),
            Who::Forgetful | Who::Stranger => Snapshot::default(),
        };
        fixture.remembered.restore(&known);
        let opened = fixture.try_open(Arc::new(store.clone()));
        let volume = match opened {
            Err(error) if error.is_damage() && (case.is_journal() || case.inode == InodeId::ROOT) => {
                return Ok(true);
            }
            opened => said("opening", opened)?,
        };
        let (model, done, settled) = (&self.model, *done, &self.settled);
        let failed = Look { volume: &volume, model, done, case, settled }.around()?;
        // Of a file that lacks blocks the record may be there.
        let is_closed = volume.inode(case.inode).is_err();
        said("a checkpoint", volume.checkpoint())?;
        said("closing", volume.close())?;
        drop(volume);
        let is_foreign_journal = case.is_journal() && !case.is_own();
        if (failed.contains(&case.inode) && is_closed || is_foreign_journal)
            && bytes(&store, case.name) != spoilt
        {
            return Err("something was written over it".into());
        }
        // What could be opened may have been written to: the names that a batch gives to it.
        if case.is_journal() || !failed.contains(&case.inode) || !is_closed {
            return Ok(true);
        }
        // It comes back.
        store.exchange(case.name, whole.as_deref());
        let volume = said("opening again", fixture.try_open(Arc::new(store)))?;
        let look = Look { volume: &volume, model, done, case, settled };
        if !look.around()?.contains(&case.inode) {
            return Ok(true);
        }
        drop(volume);
        // As it was it may have been a part of a file.
        fixture.remembered.restore(&known);
        let volume = said("opening", fixture.try_open(Arc::new(left.kill())))?;
        let look = Look { volume: &volume, model, done, case, settled };
        if look.around()?.contains(&case.inode) {
            Ok(true)
        } else {
            Err("it came back and cannot be read".into())
        }
    }

    /// Cases of one point; returns how many there were.
    fn explore(&self, number: usize, count: usize, dice: &mut TestRng) -> Result<usize, String> {
        let mut cases = 0;
        for _ in 0..count {
            let store = &self.points[number].store;
            let is_cut = dice.below(2) != 0;
            let left = match is_cut {
                false => store.kill(),
                true => store.enumerate_cuts(1, dice.below(usize::MAX) as u64).next().expect("one at least"),
            };
            let all = self.cases(&left, is_cut);
            if let Some(case) = dice.pick(&all) {
                cases += usize::from(self.check_told(number, &left, *case, dice)?);
            }
        }
        Ok(cases)
    }

    /// All cases of each point, after a kill; every `step`th of them.
    fn explore_all(&self, step: usize, dice: &mut TestRng) -> Result<usize, String> {
        let (mut cases, mut at) = (0, dice.below(step));
        for number in 0..self.points.len() {
            let left = self.points[number].store.kill();
            for case in self.cases(&left, false) {
                at += 1;
                if at % step == 0 {
                    cases += usize::from(self.check_told(number, &left, case, dice)?);
                }
            }
        }
        Ok(cases)
    }

    fn cases(&self, left: &Power, is_cut: bool) -> Vec<Case> {
        let context = self.start.fixture.context(Arc::new(left.kill()));
        let names =
            all_names(left).into_iter().filter_map(|name| Some((name, context.identify(name)?.inode)));
        // What a power cut left of two roots may be of before the workload, which the model does not know.
        let spoils =
            || SPOILS.into_iter().filter(move |spoil| !is_cut || !matches!(spoil, Spoil::Bit | Spoil::Hole));
        let spoilt = names.flat_map(|(name, inode)| spoils().map(move |spoil| (name, inode, spoil)));
        spoilt
            .flat_map(|(name, inode, spoil)| WHO.map(|who| Case { name, inode, spoil, who, is_cut }))
            .collect()
    }

    fn check_told(
        &self,
        number: usize,
        left: &Power,
        case: Case,
        dice: &mut TestRng,
    ) -> Result<bool, String> {
        self.check(number, left, case, dice).map_err(|error| {
            format!(
                "{case:?} at {number} of {} after {}: {error}",
                self.points.len(),
                self.points[number].done
            )
        })
    }
}

impl Start {
    /// Runs a workload, leaving out what makes no sense, and closes the volume.
    fn run(&self, operations: &[Operation]) -> Result<Run<'_>, String> {
        let (works, settled) = self.what_works(operations)?;
        let recorded = self.record(self.store.kill(), self.known.clone(), None, &works)?;
        let (model, mut points) = recorded.ok_or("it made sense before")?;
        let last = points.last().expect("the end is one");
        let (store, done) = (last.store.kill(), last.done);
        self.fixture.remembered.restore(&last.known);
        let volume = said("opening", self.fixture.try_open(Arc::new(store.clone())))?;
        said("closing", volume.close())?;
        drop(volume);
        points.push(Point { store, known: self.fixture.remembered.snapshot(), done });
        Ok(Run { start: self, model, points, settled })
    }

    fn what_works(&self, operations: &[Operation]) -> Result<(Vec<Operation>, BTreeSet<InodeId>), String> {
        self.fixture.remembered.restore(&self.known);
        let volume = said("opening", self.fixture.try_open(Arc::new(self.store.kill())))?;
        let found = Found::of(&volume)?;
        let settled = found.versions.keys().copied().collect();
        let mut model = Model::of(found);
        let mut bench = Bench { volume: &volume, model: &mut model, held: Vec::new() };
        let mut works = Vec::new();
        for operation in operations {
            if said("an operation", bench.run(*operation))? {
                works.push(*operation);
            }
        }
        Ok((works, settled))
    }
}

/// Actions and what asks for them to last, drawn from the dice.
fn draw(dice: &mut TestRng) -> Vec<Operation> {
    let lasting = [
        Sync("a"),
        Sync("b"),
        Sync("c"),
        Sync("n"),
        Sync("d/x"),
        SyncDirectory(""),
        SyncDirectory("d"),
        SyncDirectory("e/f"),
        Batch,
        Round,
        Flush("n"),
        Flush("b"),
    ];
    let length = 2 + dice.below(12);
    (0..length)
        .map(|at| match (at, dice.below(5)) {
            (0, _) => [Create("n"), MakeDirectory("e/f"), Rename("a", "m")][dice.below(3)],
            (_, 0 | 1) => lasting[dice.below(lasting.len())],
            (_, 2) => Append { path: "n", length: [300, 9000][dice.below(2)] },
            _ => ACTIONS[dice.below(ACTIONS.len())],
        })
        .collect()
}

/// Looks at cases of workloads as long as `goes_on`, which is told how many there were; returns how many cases.
fn explore(seed: u64, goes_on: impl Fn(u64) -> bool) -> Result<usize, String> {
    let begun = Instant::now();
    let prepare: Vec<Operation> = FILES.into_iter().chain(LARGE).collect();
    let start = Start::new(&prepare);
    let (mut cases, mut runs) = (0, 0);
    while goes_on(runs) {
        let mut dice = TestRng(seed.wrapping_add(runs));
        runs += 1;
        let operations = draw(&mut dice);
        let place = |error| format!("{operations:?}, seed {}: {error}", seed.wrapping_add(runs - 1));
        let run = start.run(&operations).map_err(place)?;
        for number in 0..run.points.len() {
            cases += run.explore(number, 2, &mut dice).map_err(place)?;
        }
        cases += run.explore(run.points.len() - 1, 20, &mut dice).map_err(place)?;
    }
    println!("absence: {cases} cases of {runs} workloads in {:?}", begun.elapsed());
    Ok(cases)
}

/// Short workloads in which a file, or a directory, comes to be durable in each way there is.
const SHORT: [&[Operation]; 9] = [
    &[Create("n"), Batch, Append { path: "n", length: 300 }, Sync("n")],
    &[Create("n"), Round, Append { path: "n", length: 9000 }, Sync("n")],
    &[Create("n"), Append { path: "n", length: 300 }, Sync("n")],
    &[Create("n"), Append { path: "n", length: 9000 }, Sync("n")],
    &[
        Create("n"),
        Batch,
        Append { path: "n", length: 9000 },
        Sync("n"),
        Append { path: "a", length: 30 },
        Sync("a"),
    ],
    &[
        Create("n"),
        Append { path: "n", length: 300 },
        Sync("n"),
        Append { path: "n", length: 9000 },
        Sync("n"),
    ],
    &[
        Create("n"),
        SyncDirectory(""),
        Append { path: "n", length: 300 },
        Round,
        Append { path: "n", length: 30 },
    ],
    &[MakeDirectory("e/f"), SyncDirectory("e"), Rename("a", "e/f/a"), SyncDirectory("e/f"), Round],
    &[Exchange("a", "d/x"), Batch, Append { path: "a", length: 30 }, Rename("d/x", "a"), Round],
];

/// All cases of short workloads; every `step`th of them.
fn explore_short(seed: u64, step: usize) -> Result<usize, String> {
    let begun = Instant::now();
    let start = Start::new(&FILES);
    let mut cases = 0;
    for operations in SHORT {
        let place = |error| format!("{operations:?}, seed {seed}: {error}");
        cases +=
            start.run(operations).and_then(|run| run.explore_all(step, &mut TestRng(seed))).map_err(place)?;
    }
    println!("absence: {cases} cases of {} short workloads in {:?}", SHORT.len(), begun.elapsed());
    Ok(cases)
}

/// `CRYPTFS_EVERY=1`: each of them.
#[test]
fn what_is_not_there_was_not_never_there_in_short_workloads() {
    let step = variable("CRYPTFS_EVERY").unwrap_or(23);
    assert!(explore_short(seed(), step).unwrap_or_else(|error| panic!("{error}")) > 50);
}

/// The long form, which `CRYPTFS_ABSENCE_SECONDS` asks for, draws its seed; the short form has seen its workloads before.
#[test]
fn what_is_not_there_was_not_never_there() {
    let (begun, seconds) = (Instant::now(), variable("CRYPTFS_ABSENCE_SECONDS"));
    let first = if seconds.is_some() { seed() } else { 5_793_335_052_690_457_144 };
    let seconds = seconds.unwrap_or(10);
    let cases = explore(first, |runs| runs < 3 || begun.elapsed() < Duration::from_secs(seconds));
    assert!(cases.unwrap_or_else(|error| panic!("{error}")) > 50);
}

/// Rules about absence, each broken once; the others are in `hostile::absence`.
#[test]
fn every_broken_rule_is_noticed() {
    let is_noticed = || explore_short(1, 3).is_err();
    for mutant in [
        Mutant::DurableNotTold,
        Mutant::StoodInForDurable,
        Mutant::StandInsKept,
        Mutant::WithheldNotRepeated,
        Mutant::FilledUnsettled,
    ] {
        plant(Some(mutant));
        let noticed = is_noticed();
        plant(None);
        assert!(noticed, "{mutant:?} is not noticed");
    }
    of_chunks::plant(Some(of_chunks::Mutant::BareUnsettled));
    let noticed = is_noticed();
    of_chunks::plant(None);
    assert!(noticed, "BareUnsettled is not noticed");
}
