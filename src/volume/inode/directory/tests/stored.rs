//! What is in memory is what is stored and read again, whatever changed it: with names that stand twice, links, and devices whose
//! derived names are the same.

use super::*;
use crate::volume::mutants::{self, Mutant};

const NOW: u64 = 1_795_860_930_000_000;

/// Three devices, two of which mark a derived name alike.
fn by(at: usize, step: usize) -> Author {
    let mut id = [at as u8 + 1; 8];
    (id[0], id[1]) = if at == 2 { (9, 9) } else { (1, 1) };
    // Clocks that stand still make equal counters, all in one second.
    Author { device: DeviceId(id), now: Commit(NOW + step as u64 / 4) }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(usize, u8),
    Link(usize, u8, u8),
    Remove(usize, u8),
    Rename(usize, u8, u8),
    /// Over another name.
    Over(usize, u8, u8),
    Exchange(usize, u8, u8),
    Join(usize, usize),
    /// All that another device did since this one took what it has.
    Apply(usize, usize),
    Reload(usize),
}

fn any_op() -> impl Strategy<Value = Op> {
    let at = || 0..3usize;
    let n = any::<u8>;
    prop_oneof![
        4 => (at(), n()).prop_map(|(at, n)| Op::Insert(at, n)),
        2 => (at(), n(), n()).prop_map(|(at, n, to)| Op::Link(at, n, to)),
        3 => (at(), n()).prop_map(|(at, n)| Op::Remove(at, n)),
        3 => (at(), n(), n()).prop_map(|(at, n, to)| Op::Rename(at, n, to)),
        3 => (at(), n(), n()).prop_map(|(at, n, to)| Op::Over(at, n, to)),
        2 => (at(), n(), n()).prop_map(|(at, n, to)| Op::Exchange(at, n, to)),
        4 => (at(), at()).prop_map(|(to, from)| Op::Join(to, from)),
        2 => (at(), at()).prop_map(|(to, from)| Op::Apply(to, from)),
        1 => at().prop_map(Op::Reload),
    ]
}

/// Each name with the one in the log and what it stands for.
type Shown = BTreeMap<String, (String, InodeId)>;

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into()
}

fn shown(directory: &Directory) -> Shown {
    let entries = directory.iter_after(0);
    entries.map(|entry| (text(entry.name), (text(entry.stored), entry.inode))).collect()
}

fn compacted(directory: &Directory) -> Vec<u8> {
    let mut log = Vec::new();
    directory.write_compacted(&mut log);
    log
}

fn reloaded(directory: &Directory) -> Directory {
    loaded(directory.vector(), &compacted(directory))
}

fn same(directory: &Directory, stored: &Directory) -> Result<(), TestCaseError> {
    let [here, there] = [directory, stored].map(|directory| {
        let mut hidden: Vec<_> = directory.hidden().map(|entry| (text(entry.name), entry.inode)).collect();
        hidden.sort();
        (shown(directory), directory.len(), directory.directories(), directory.live_log_bytes(), hidden)
    });
    prop_assert_eq!(here.0.len(), here.1, "names are unique");
    prop_assert_eq!(here, there, "it is stored as it is shown");
    Ok(())
}

/// A device's directory, and what it did there, batch by batch: log, devices, and the counter that it had before.
#[derive(Default)]
struct Replica {
    directory: Directory,
    batches: Vec<(Vec<u8>, Vec<DeviceId>, u64, u64)>,
}

fn counter(directory: &Directory, device: DeviceId) -> u64 {
    directory.vector().iter().find(|known| known.0 == device).map_or(0, |known| known.1)
}

struct Fleet {
    replicas: [Replica; 3],
    step: usize,
}

impl Fleet {
    /// One of the names that are shown anywhere, or a plain one.
    fn name(&self, n: u8) -> Vec<u8> {
        let all: BTreeSet<String> =
            self.replicas.iter().flat_map(|replica| shown(&replica.directory).into_keys()).collect();
        let all: Vec<_> = ["a", "b"].into_iter().map(String::from).chain(all).collect();
        all[usize::from(n) % all.len()].clone().into()
    }

    fn pick(&self, at: usize, n: u8) -> Option<(Vec<u8>, InodeId)> {
        let all: Vec<_> = shown(&self.replicas[at].directory).into_iter().collect();
        let at = usize::from(n) % all.len().max(1);
        all.get(at).map(|(name, (_, inode))| (name.clone().into(), *inode))
    }

    /// A change that one device makes: nothing but these names is shown otherwise, what is told to have another name in the log
    /// has it and nothing else does, and the batch makes the same of what was stored before.
    fn change(
        &mut self,
        at: usize,
        names: &[&[u8]],
        change: impl FnOnce(&mut Directory, Author, &mut Vec<u8>) -> Vec<Named>,
    ) -> Result<(), TestCaseError> {
        let by = by(at, self.step);
        let Replica { directory, batches } = &mut self.replicas[at];
        let (mut stored, mut before) = (reloaded(directory), shown(directory));
        let (mut log, has_hidden) = (Vec::new(), directory.hidden().next().is_some());
        let (newest, places) = (counter(directory, by.device), directory.all_places());
        let named = change(directory, by, &mut log);
        let mut after = shown(directory);
        if !has_hidden {
            for Named { inode, from, to, .. } in named {
                let is_it = |place: &Place| place.shown == to && place.stored == from;
                let was = places.iter().any(|(of, _, place)| *of == inode && is_it(place));
                prop_assert!(was || names.contains(&&*to), "{}", text(&to));
                before.entry(text(&to)).and_modify(|entry| entry.0 = text(&to));
            }
            for name in names {
                before.remove(&text(name));
                after.remove(&text(name));
            }
            prop_assert_eq!(before, after, "only what was changed is another");
        }
        let devices = devices(directory);
        stored.apply(&log, &devices, &mut Vec::new()).expect("a valid log");
        same(directory, &stored)?;
        batches.push((log, devices, newest, counter(directory, by.device)));
        Ok(())
    }

    fn run(&mut self, op: &Op) -> Result<(), TestCaseError> {
        self.step += 1;
        let new = inode(self.step as u8);
        match *op {
            Op::Insert(at, n) => {
                let name = self.name(n);
                self.change(at, &[&name], |directory, by, log| {
                    _ = directory.insert(by, &name, new, Kind::File, log);
                    Vec::new()
                })?;
            }
            Op::Link(at, n, to) => {
                let (Some((_, inode)), name) = (self.pick(at, n), self.name(to)) else { return Ok(()) };
                self.change(at, &[&name], |directory, by, log| {
                    _ = directory.insert(by, &name, inode, Kind::File, log);
                    Vec::new()
                })?;
            }
            Op::Remove(at, n) => {
                let Some((name, _)) = self.pick(at, n) else { return Ok(()) };
                self.change(at, &[&name], |directory, by, log| {
                    directory.remove(by, &name, log).expect("room").expect("there").named
                })?;
            }
            Op::Rename(at, n, to) => {
                let (Some((from, _)), to) = (self.pick(at, n), self.name(to)) else { return Ok(()) };
                if self.replicas[at].directory.get(&to).is_some() {
                    return Ok(());
                }
                self.change(at, &[&from, &to], |directory, by, log| {
                    directory.rename(by, &from, &to, log).expect("free").0.named
                })?;
            }
            Op::Over(at, n, to) => {
                let (Some(from), Some(to)) = (self.pick(at, n), self.pick(at, to)) else { return Ok(()) };
                if from.1 == to.1 {
                    return Ok(());
                }
                self.change(at, &[&from.0, &to.0], |directory, by, log| {
                    let mut named = directory.remove(by, &from.0, log).expect("room").expect("there").named;
                    named.extend(
                        directory.replace(by, &to.0, (from.1, Kind::File), log).expect("there").named,
                    );
                    named
                })?;
            }
            Op::Exchange(at, n, to) => {
                let (Some(from), Some(to)) = (self.pick(at, n), self.pick(at, to)) else { return Ok(()) };
                if from.1 == to.1 {
                    return Ok(());
                }
                self.change(at, &[&from.0, &to.0], |directory, by, log| {
                    let mut named =
                        directory.replace(by, &to.0, (from.1, Kind::File), log).expect("there").named;
                    named.extend(
                        directory.replace(by, &from.0, (to.1, Kind::File), log).expect("there").named,
                    );
                    named
                })?;
            }
            Op::Join(to, from) => {
                let from = reloaded(&self.replicas[from].directory);
                self.replicas[to].directory.join(&from).expect("valid");
            }
            Op::Apply(to, from) if to != from => {
                let device = by(from, 0).device;
                let batches = self.replicas[from].batches.clone();
                let directory = &mut self.replicas[to].directory;
                for (log, devices, before, after) in batches {
                    // Nothing of it may be missing, nor, here, be there: what is there came with what the other device knew.
                    if counter(directory, device) == before && before < after {
                        let mut tail = compacted(directory);
                        directory.apply(&log, &devices, &mut tail).expect("a valid log");
                        same(directory, &loaded(directory.vector(), &tail))?;
                    }
                }
            }
            Op::Apply(..) => {}
            Op::Reload(at) => self.replicas[at].directory = reloaded(&self.replicas[at].directory),
        }
        self.replicas.iter().try_for_each(|replica| same(&replica.directory, &reloaded(&replica.directory)))
    }
}

#[test]
fn what_is_in_memory_is_what_is_stored() {
    check(300, prop::collection::vec(any_op(), 1..60), |ops| {
        let mut fleet = Fleet { replicas: Default::default(), step: 0 };
        ops.iter().try_for_each(|op| fleet.run(op))?;
        for (to, from) in [(1, 0), (2, 1), (0, 2), (1, 2)] {
            fleet.run(&Op::Join(to, from))?;
        }
        let all = fleet.replicas.each_ref().map(|replica| shown(&replica.directory));
        prop_assert_eq!(&all[0], &all[1]);
        prop_assert_eq!(&all[0], &all[2]);
        Ok(())
    });
}

/// Counters of one second, so that all derived names are the same.
fn of_one_second(names: &[(u8, u64, u8, &[u8])]) -> Directory {
    let log: Vec<u8> = names
        .iter()
        .flat_map(|&(device, counter, n, name)| add(device, NOW + counter, n, name, Kind::File))
        .collect();
    loaded(&[(by(0, 0).device, NOW + 99), (by(1, 0).device, NOW + 99)], &log)
}

const DERIVED: &str = "n (conflict 2026-11-28 101530 0101)";
const TWICE: &str = "n (conflict 2026-11-28 101530 0101) (conflict 2026-11-28 101530 0101)";

/// Inode 3 has the name, 2 the derived one, and 1 found both taken.
fn three() -> Directory {
    let directory = of_one_second(&[(0, 1, 1, b"n"), (0, 2, 2, b"n"), (1, 3, 3, b"n")]);
    let shown = shown(&directory).into_iter().map(|(name, (_, inode))| (name, inode));
    let all = [("n", 3), (DERIVED, 2), (TWICE, 1)].map(|(name, n)| (name.into(), inode(n)));
    assert_eq!(shown.collect::<BTreeMap<_, _>>(), BTreeMap::from(all));
    directory
}

fn told(named: &[Named]) -> Vec<(InodeId, String, String)> {
    named.iter().map(|named| (named.inode, text(&named.from), text(&named.to))).collect()
}

fn entries(directory: &Directory) -> Vec<(String, InodeId)> {
    assert_eq!(shown(&reloaded(directory)), shown(directory));
    shown(directory).into_iter().map(|(name, (_, inode))| (name, inode)).collect()
}

/// One that yielded twice would move to the derived name that came free, once the directory is read again.
#[test]
fn a_derived_name_that_comes_free_is_given_to_nobody() {
    let mut directory = three();
    let removed = directory.remove(by(0, 9), DERIVED.as_bytes(), &mut Vec::new()).unwrap().unwrap();
    assert_eq!(told(&removed.named), [(inode(1), "n".into(), TWICE.into())]);
    assert_eq!(entries(&directory), [("n".into(), inode(3)), (TWICE.into(), inode(1))]);
    let mut directory = three();
    let (renamed, _) = directory.rename(by(0, 9), DERIVED.as_bytes(), b"m", &mut Vec::new()).unwrap();
    assert_eq!(told(&renamed.named), [(inode(1), "n".into(), TWICE.into())]);
    let all = [("m", 2), ("n", 3), (TWICE, 1)].map(|(name, n)| (name.into(), inode(n)));
    assert_eq!(entries(&directory), all);
    // Nobody yielded to the last.
    let mut directory = three();
    let removed = directory.remove(by(0, 9), TWICE.as_bytes(), &mut Vec::new()).unwrap().unwrap();
    assert_eq!(told(&removed.named), []);
    assert_eq!(entries(&directory), [("n".into(), inode(3)), (DERIVED.into(), inode(2))]);
}

/// The name and the one that yielded to it would be one entry.
#[test]
fn what_had_yielded_to_a_name_that_stands_for_it_now_keeps_its_own() {
    let mut directory = three();
    let replaced = directory.replace(by(0, 9), b"n", (inode(2), Kind::File), &mut Vec::new()).unwrap();
    assert_eq!(told(&replaced.named), [(inode(2), "n".into(), DERIVED.into())]);
    let all = [("n", 2), (DERIVED, 2), (TWICE, 1)].map(|(name, n)| (name.into(), inode(n)));
    assert_eq!(entries(&directory), all);
    let mut directory = three();
    let name = DERIVED.as_bytes();
    let replaced = directory.replace(by(0, 9), name, (inode(1), Kind::File), &mut Vec::new()).unwrap();
    assert_eq!(told(&replaced.named), [(inode(1), "n".into(), TWICE.into())]);
    let all = [("n", 3), (DERIVED, 1), (TWICE, 1)].map(|(name, n)| (name.into(), inode(n)));
    assert_eq!(entries(&directory), all);
}

/// Of ten entries of one name nine can be shown: the last one goes with none of them, and is shown once one is gone.
#[test]
fn what_could_not_be_shown_is_not_removed_with_what_has_its_name() {
    let many: Vec<(u8, u64, u8, &[u8])> = (1..=10).map(|n| (0, u64::from(n), n, &b"n"[..])).collect();
    let hidden = |directory: &Directory| directory.hidden().map(|entry| entry.inode).collect::<Vec<_>>();
    type Change = fn(&mut Directory);
    let changes: [(Change, &str); 4] = [
        (|directory| drop(directory.remove(by(0, 99), b"n", &mut Vec::new())), "n"),
        (|directory| drop(directory.remove(by(0, 99), DERIVED.as_bytes(), &mut Vec::new())), DERIVED),
        (|directory| drop(directory.rename(by(0, 99), b"n", b"m", &mut Vec::new())), "n"),
        (|directory| drop(directory.replace(by(0, 99), b"n", (inode(1), Kind::File), &mut Vec::new())), "n"),
    ];
    for (change, name) in changes {
        let mut directory = of_one_second(&many);
        assert_eq!((directory.len(), hidden(&directory)), (9, vec![inode(1)]));
        change(&mut directory);
        assert_eq!(directory.get(name.as_bytes()).map(|entry| entry.inode), Some(inode(1)));
        assert_eq!(hidden(&directory), []);
        assert_eq!(shown(&reloaded(&directory)), shown(&directory));
    }
}

/// Names out of use make room, also while others are given theirs.
#[test]
fn names_that_are_derived_again_and_again_take_no_more_room() {
    let name = [b'n'; 200];
    let names: Vec<(u8, u64, u8, &[u8])> =
        (1..=40).map(|n| (n % 2, u64::from(n) * 1_000_000, n, &name[..])).collect();
    let log: Vec<u8> = names
        .iter()
        .flat_map(|&(device, counter, n, name)| add(device, NOW + counter, n, name, Kind::File))
        .collect();
    let vector = [(by(0, 0).device, NOW + 99_000_000), (by(1, 0).device, NOW + 99_000_000)];
    let mut directory = loaded(&vector, &log);
    let other = reloaded(&directory);
    (0..100).for_each(|_| drop(directory.join(&other)));
    assert!(directory.names.len() < 5 * 40 * 255, "{}", directory.names.len());
    let (mut renamed, was) = (reloaded(&directory), shown(&directory));
    renamed.rename(by(0, 9), &name, b"m", &mut Vec::new()).unwrap();
    assert_eq!(renamed.get(b"m").map(|entry| entry.inode), Some(inode(40)));
    let names =
        |shown: Shown| shown.into_keys().filter(|name| name.contains("(conflict")).collect::<Vec<_>>();
    assert_eq!(names(shown(&renamed)), names(was));
    assert_eq!(shown(&reloaded(&renamed)), shown(&renamed));
}

#[test]
fn each_rule_about_what_yielded_is_needed() {
    let cases: [(Mutant, fn()); 2] = [
        (Mutant::PassedUnnamed, a_derived_name_that_comes_free_is_given_to_nobody),
        (Mutant::ReplacedUnnamed, what_had_yielded_to_a_name_that_stands_for_it_now_keeps_its_own),
    ];
    for (mutant, test) in cases {
        mutants::plant(Some(mutant));
        let noticed = std::panic::catch_unwind(test).is_err();
        mutants::plant(None);
        assert!(noticed, "{mutant:?}");
    }
}
