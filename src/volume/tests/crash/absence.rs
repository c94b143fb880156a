//! One file of the folder is gone, short, zeroed, spoilt or older, at any moment of a workload or after it, once the
//! daemon was killed: what was acknowledged reads right or is an error, never empty, and nothing is written over it. So it
//! is for the device that wrote, with all that it remembers, with what it had written down, or with nothing; for one that
//! knows the volume as it was before; and for one that sees it for the first time.

use super::Start;
use super::check::{Found, read, said};
use super::model::{Model, Tree, Version};
use super::operation::Bench;
use super::operation::Operation::{self, *};
use super::recorder::Point;
use super::short::ACTIONS;
use super::workloads::{FILES, LARGE};
use crate::chunk::remembered::Snapshot;
use crate::chunk::{BLOCK, InodeId};
use crate::store::power::Power;
use crate::store::{Area, FileName, Store};
use crate::test_rng::{TestRng, seed};
use crate::volume::mutants::{Mutant, plant};
use crate::volume::{Kind, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Spoil {
    Gone,
    Empty,
    /// Its first block alone.
    Short,
    Zeros,
    /// A bit of each root.
    Roots,
    /// A bit of each block.
    Blocks,
    /// As it was at some time before.
    Older,
}

const SPOILS: [Spoil; 7] =
    [Spoil::Gone, Spoil::Empty, Spoil::Short, Spoil::Zeros, Spoil::Roots, Spoil::Blocks, Spoil::Older];

/// Who looks.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Who {
    Writer,
    /// Its memory is as it was before the workload.
    Behind,
    /// It has lost its memory.
    Forgetful,
    /// Another device that knows the volume as it was before the workload.
    Acquainted,
    Stranger,
}

const WHO: [Who; 5] = [Who::Writer, Who::Behind, Who::Forgetful, Who::Acquainted, Who::Stranger];

/// One file, what became of it, and who finds it.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: FileName,
    inode: InodeId,
    spoil: Spoil,
    who: Who,
}

impl Case {
    fn is_journal(&self) -> bool {
        self.inode.journal_of().is_some()
    }

    fn is_own(&self) -> bool {
        matches!(self.who, Who::Writer | Who::Behind | Who::Forgetful)
    }

    /// An older state that is authentic: who cannot know better may take it.
    fn is_lenient(&self) -> bool {
        self.who != Who::Writer && (self.is_journal() || self.spoil == Spoil::Older)
    }
}

fn bytes(store: &Power, name: FileName) -> Option<Vec<u8>> {
    let file = store.open(name).ok()?;
    let mut bytes = vec![0; file.length().expect("it is in memory") as usize];
    file.read_at(0, &mut bytes).expect("it is in memory");
    Some(bytes)
}

fn all_names(store: &Power) -> Vec<FileName> {
    let mut names = Vec::new();
    for area in [Area::Chunks, Area::Journals] {
        store.list(area, &mut |name, _| names.extend(FileName::parse(area, name))).expect("it is in memory");
    }
    names
}

/// `earlier`: how the folder was before. `false`: that changes nothing.
fn spoil(store: &Power, case: Case, earlier: &[&Power], dice: &mut TestRng) -> bool {
    let Some(mut now) = bytes(store, case.name) else { return false };
    let flip = |bytes: &mut [u8], blocks: usize| {
        bytes.chunks_mut(BLOCK).take(blocks).for_each(|block| block[block.len() / 2] ^= 1);
    };
    match case.spoil {
        Spoil::Gone => {
            store.exchange(case.name, None);
            return true;
        }
        Spoil::Empty => now.clear(),
        Spoil::Short => now.truncate(BLOCK),
        Spoil::Zeros => now.fill(0),
        Spoil::Roots => flip(&mut now, 2),
        Spoil::Blocks => flip(&mut now, usize::MAX),
        Spoil::Older => {
            let Some(older) = dice.pick(earlier).and_then(|store| bytes(store, case.name)) else {
                return false;
            };
            now = older;
        }
    }
    if bytes(store, case.name).as_ref() == Some(&now) {
        return false;
    }
    store.exchange(case.name, Some(&now));
    true
}

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
            || self.case.spoil == Spoil::Older
            || !self.case.is_own() && !self.settled.contains(&id)
    }

    fn check_version(&self, id: InodeId, found: &Version) -> Result<(), String> {
        if !self.case.is_lenient() {
            return self.model.check_file(self.done, id, found);
        }
        self.model.check_any(self.done, id, found)
    }

    fn check_entries(&self, id: InodeId, found: &BTreeMap<Vec<u8>, InodeId>) -> Result<(), String> {
        let is_there = |tree: &Tree| tree.get(&id) == Some(found);
        let is_right = match self.case.is_lenient() {
            true => self.model.all_trees(self.done).any(|tree| is_there(tree)),
            false => self.model.trees(self.done).any(|(_, tree)| is_there(tree)),
        };
        if is_right { Ok(()) } else { Err(format!("the directory {id:?} holds {found:?}")) }
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
    fn check(&self, number: usize, case: Case, dice: &mut TestRng) -> Result<bool, String> {
        let Point { store, known, done } = &self.points[number];
        let store = store.kill();
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
        said("a checkpoint", volume.checkpoint())?;
        said("closing", volume.close())?;
        drop(volume);
        let left = bytes(&store, case.name);
        let is_foreign_journal = case.is_journal() && !case.is_own();
        if (failed.contains(&case.inode) || is_foreign_journal) && left != spoilt {
            return Err("something was written over it".into());
        }
        if case.is_journal() || !failed.contains(&case.inode) {
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
        let volume = said("opening", fixture.try_open(Arc::new(self.points[number].store.kill())))?;
        let look = Look { volume: &volume, model, done, case, settled };
        if look.around()?.contains(&case.inode) {
            Ok(true)
        } else {
            Err("it came back and cannot be read".into())
        }
    }

    /// Cases of one point.
    fn explore(&self, number: usize, count: usize, dice: &mut TestRng) -> Result<usize, String> {
        let names = all_names(&self.points[number].store);
        let context = self.start.fixture.context(Arc::new(self.points[number].store.kill()));
        let mut cases = 0;
        for _ in 0..count {
            let name = names[dice.below(names.len())];
            let Some(id) = context.identify(name) else { continue };
            let (spoil, who) = (SPOILS[dice.below(SPOILS.len())], WHO[dice.below(WHO.len())]);
            let case = Case { name, inode: id.inode, spoil, who };
            cases += usize::from(self.check(number, case, dice).map_err(|error| {
                format!("{case:?} at {number} after {}: {error}", self.points[number].done)
            })?);
        }
        Ok(cases)
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

#[test]
fn what_is_not_there_was_not_never_there() {
    let begun = Instant::now();
    let cases = explore(seed(), |runs| runs < 3 || begun.elapsed() < Duration::from_secs(20));
    assert!(cases.unwrap_or_else(|error| panic!("{error}")) > 50);
}

/// By `scripts/crash`, for a third of its time.
#[test]
#[ignore = "minutes: scripts/crash"]
fn what_is_not_there_was_not_never_there_for_long() {
    let seconds = std::env::var("CRYPTFS_SECONDS").map_or(420, |text| text.parse().expect("seconds"));
    let (begun, until, seed) = (Instant::now(), Duration::from_secs(seconds / 3), seed());
    std::thread::scope(|scope| {
        let explore_part = move |part: u64| explore(seed ^ part, |_| begun.elapsed() < until);
        let threads = [0, 1 << 32].map(|part| scope.spawn(move || explore_part(part)));
        for thread in threads {
            thread.join().expect("no panic").unwrap_or_else(|error| panic!("{error}"));
        }
    });
}

/// The rules about absence, each broken once.
#[test]
fn every_broken_rule_is_noticed() {
    for mutant in [
        Mutant::MadeFromAnothersJournal,
        Mutant::DurableNotTold,
        Mutant::StoodInForDurable,
        Mutant::WithheldNotRepeated,
    ] {
        plant(Some(mutant));
        let outcome = explore(1, |runs| runs < 1000);
        plant(None);
        println!("{mutant:?}: {outcome:?}\n");
        assert!(outcome.is_err(), "{mutant:?} is not noticed");
    }
}
