use super::*;
use crate::chunk::Commit;
use crate::volume::format::record::EntryDot;
use crate::volume::testing::{check, device, hex, inode, mangle};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

mod stored;

/// Counters as small as they were: a clock that stands at the beginning.
fn author(n: u8) -> Author {
    Author { device: device(n), now: Commit(0) }
}

type Entries = Vec<(u64, Vec<u8>, InodeId, Kind)>;

/// Entries that were renamed have other cookies once they are loaded.
fn by_name(mut listing: Entries) -> Vec<(Vec<u8>, InodeId, Kind)> {
    listing.sort_by(|a, b| a.1.cmp(&b.1));
    listing.into_iter().map(|(_, name, inode, kind)| (name, inode, kind)).collect()
}

fn list(directory: &Directory) -> Entries {
    directory.iter_after(0).map(|e| (e.cookie, e.name.to_vec(), e.inode, e.kind)).collect()
}

fn devices(directory: &Directory) -> Vec<DeviceId> {
    directory.vector().iter().map(|&(device, _)| device).collect()
}

fn loaded(vector: &[(DeviceId, u64)], log: &[u8]) -> Directory {
    let mut directory = Directory::new(vector.to_vec());
    directory.load(log).expect("a valid log");
    directory
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u8, u8, Kind),
    Remove(u8),
    Rename(u8, u8),
    /// Has a name stand for another inode.
    Replace(u8, Kind),
    /// Lists this many entries from where the listing stopped.
    Read(usize),
}

fn any_op() -> impl Strategy<Value = Op> {
    let kind = || prop_oneof![Just(Kind::File), Just(Kind::Directory)];
    prop_oneof![
        4 => (1..4u8, any::<u8>(), kind()).prop_map(|(device, name, kind)| Op::Insert(device, name, kind)),
        4 => any::<u8>().prop_map(Op::Remove),
        4 => any::<(u8, u8)>().prop_map(|(from, to)| Op::Rename(from, to)),
        1 => (any::<u8>(), kind()).prop_map(|(name, kind)| Op::Replace(name, kind)),
        1 => (1..20usize).prop_map(Op::Read),
    ]
}

fn name(n: u8) -> Vec<u8> {
    format!("{:0width$}", n, width = 1 + usize::from(n) % 60).into_bytes()
}

/// A directory beside a plain map, and a listing under way while both change.
#[derive(Default)]
struct Model {
    directory: Directory,
    log: Vec<u8>,
    map: BTreeMap<Vec<u8>, (InodeId, Kind)>,
    cookie: u64,
    /// The names of entries that were there when the listing began and were not listed yet.
    awaited: BTreeSet<Vec<u8>>,
    serial: u8,
}

impl Model {
    fn dot(&self, n: u8) -> Option<EntryDot> {
        self.directory.dot_of(&self.directory.get(&name(n))?)
    }

    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Insert(by, n, kind) => {
                self.serial = self.serial.wrapping_add(1);
                let inserted =
                    self.directory.insert(author(by), &name(n), inode(self.serial), kind, &mut self.log);
                let free = !self.map.contains_key(&name(n));
                let dot = self.dot(n).ok_or(Refused::Missing);
                prop_assert_eq!(inserted, if free { dot } else { Err(Refused::Exists) });
                self.map.entry(name(n)).or_insert((inode(self.serial), kind));
            }
            Op::Remove(n) => {
                let before = self.log.len();
                let removed = self.directory.remove(author(1), &name(n), &mut self.log).expect("room");
                let removed = removed.map(|removed| (removed.inode, removed.kind));
                prop_assert_eq!(removed, self.map.remove(&name(n)));
                prop_assert_eq!(self.log.len() - before, if removed.is_some() { 12 } else { 0 });
                self.awaited.remove(&name(n));
            }
            Op::Rename(from, to) => {
                let renamed = self.directory.rename(author(1), &name(from), &name(to), &mut self.log);
                let expected = match (self.map.contains_key(&name(to)), self.map.remove(&name(from))) {
                    (true, there) => {
                        self.map.extend(there.map(|there| (name(from), there)));
                        Err(Refused::Exists)
                    }
                    (false, None) => Err(Refused::Missing),
                    (false, Some(there)) => {
                        self.map.insert(name(to), there);
                        self.dot(to).ok_or(Refused::Missing)
                    }
                };
                let renamed = renamed.map(|(_, dot)| dot);
                prop_assert_eq!(renamed, expected);
                if renamed.is_ok() && self.awaited.remove(&name(from)) {
                    self.awaited.insert(name(to));
                }
            }
            Op::Replace(n, kind) => {
                self.serial = self.serial.wrapping_add(1);
                let by = (inode(self.serial), kind);
                let replaced = self.directory.replace(author(2), &name(n), by, &mut self.log);
                prop_assert_eq!(replaced.map(|replaced| replaced.dot), self.dot(n).ok_or(Refused::Missing));
                let there = self.map.get_mut(&name(n));
                there.into_iter().for_each(|there| *there = by);
            }
            Op::Read(count) => self.read(count)?,
        }
        prop_assert_eq!(self.directory.len(), self.map.len());
        let sub = self.map.values().filter(|(_, kind)| *kind == Kind::Directory).count();
        prop_assert_eq!(self.directory.directories(), sub);
        Ok(())
    }

    fn read(&mut self, count: usize) -> Result<(), TestCaseError> {
        if self.cookie == 0 {
            self.awaited = self.map.keys().cloned().collect();
        }
        let entries: Vec<_> = self.directory.iter_after(self.cookie).take(count).collect();
        for entry in &entries {
            prop_assert_eq!(self.map.get(entry.name), Some(&(entry.inode, entry.kind)));
            prop_assert!(entry.cookie < self.cookie || self.cookie == 0, "the newest come first");
            prop_assert!(entry.cookie >= 256);
            self.cookie = entry.cookie;
            prop_assert!(self.awaited.remove(entry.name), "it was there and is listed once");
        }
        if entries.len() < count {
            prop_assert!(self.awaited.is_empty(), "the listing left out {:?}", self.awaited);
            self.cookie = 0;
        }
        Ok(())
    }

    fn compare(&self, directory: &Directory) -> Result<(), TestCaseError> {
        let listing = list(directory);
        let found: BTreeMap<_, _> =
            listing.iter().map(|(_, name, inode, kind)| (name.clone(), (*inode, *kind))).collect();
        prop_assert_eq!((&found, listing.len()), (&self.map, self.map.len()));
        for n in 0..=255 {
            let got = directory.get(&name(n)).map(|entry| (entry.inode, entry.kind));
            prop_assert_eq!(got, self.map.get(&name(n)).copied());
        }
        Ok(())
    }
}

#[test]
fn directories_do_as_maps_do() {
    check(64, prop::collection::vec(any_op(), 0..1500), |ops| {
        let mut model = Model::default();
        ops.iter().try_for_each(|op| model.step(op))?;
        model.compare(&model.directory)?;
        let vector = model.directory.vector();
        let reloaded = loaded(vector, &model.log);
        model.compare(&reloaded)?;
        prop_assert_eq!(by_name(list(&reloaded)), by_name(list(&model.directory)));
        let mut compacted = Vec::new();
        model.directory.write_compacted(&mut compacted);
        prop_assert_eq!(compacted.len() as u64, model.directory.live_log_bytes());
        prop_assert_eq!(reloaded.live_log_bytes(), model.directory.live_log_bytes());
        prop_assert_eq!(list(&loaded(vector, &compacted)), list(&reloaded));
        Ok(())
    });
}

#[test]
fn batches_may_be_applied_again_and_onto_any_state_since() {
    let ops = prop::collection::vec(prop::collection::vec(any_op(), 0..60), 1..6);
    check(64, (ops, any::<prop::sample::Index>()), |(batches, stored)| {
        let mut model = Model::default();
        let mut logs = Vec::new();
        let mut states = vec![(Vec::new(), Vec::new())];
        for ops in &batches {
            ops.iter().try_for_each(|op| model.step(op))?;
            logs.push((std::mem::take(&mut model.log), devices(&model.directory)));
            let mut compacted = Vec::new();
            model.directory.write_compacted(&mut compacted);
            states.push((model.directory.vector().to_vec(), compacted));
        }
        let (vector, log) = stored.get(&states);
        let mut directory = loaded(vector, log);
        let mut tail = log.clone();
        for _ in 0..2 {
            let before = tail.len();
            for (log, devices) in &logs {
                directory.apply(log, devices, &mut tail).expect("a valid log");
            }
            prop_assert_eq!(by_name(list(&directory)), by_name(list(&model.directory)));
            prop_assert_eq!(directory.vector(), model.directory.vector());
            prop_assert_eq!(list(&loaded(directory.vector(), &tail)), list(&directory));
            let all_stored = vector == model.directory.vector() && *log == states[states.len() - 1].1;
            prop_assert!(!all_stored || tail.len() == before, "nothing new, nothing appended");
        }
        let before = tail.len();
        for (log, devices) in &logs {
            directory.apply(log, devices, &mut tail).expect("a valid log");
        }
        prop_assert_eq!(tail.len(), before, "a second time appends nothing");
        Ok(())
    });
}

fn sample() -> (Directory, Vec<u8>) {
    let (mut directory, mut log) = (Directory::default(), Vec::new());
    directory.insert(author(0xd1), b"a", inode(1), Kind::File, &mut log).expect("free");
    directory.insert(author(0xd2), b"bc", inode(2), Kind::Directory, &mut log).expect("free");
    assert!(directory.remove(author(1), b"a", &mut log).is_ok_and(|removed| removed.is_some()));
    (directory, log)
}

/// FORMAT section 8, by hand.
const GOLDEN: &str = concat!(
    "01000101",
    "0100000000000000",
    "010101010101010101010101",
    "61",
    "01010202",
    "0200000000000000",
    "020202020202020202020202",
    "6263",
    "02000000",
    "0100000000000000",
);

#[test]
fn a_log_is_these_bytes() {
    let (directory, log) = sample();
    assert_eq!(hex(&log), GOLDEN);
    assert_eq!(list(&directory), [(0x0201, b"bc".to_vec(), inode(2), Kind::Directory)]);
    assert_eq!(directory.vector(), [(device(0xd1), 1), (device(0xd2), 2)]);
}

#[test]
fn mangled_logs_are_refused_or_read() {
    let (directory, log) = sample();
    mangle(&log, |bytes| {
        let mut stored = Directory::new(directory.vector().to_vec());
        let _ = stored.load(bytes);
        let (mut other, mut applied) = (Directory::default(), Vec::new());
        if other.apply(bytes, &devices(&directory), &mut applied).is_ok() {
            assert_eq!(list(&loaded(other.vector(), &applied)), list(&other));
        }
    });
}

/// One defect each, and the reason that must be found.
#[test]
fn each_defect_is_found() {
    let (directory, log) = sample();
    let refused = |at: usize, value: u8, reason| {
        let mut bad = log.clone();
        bad[at] = value;
        assert_eq!(Directory::new(directory.vector().to_vec()).load(&bad), Err(Malformed(reason)));
    };
    refused(0, 3, "not a record of a directory's log");
    refused(53, 1, "not a record of a directory's log");
    refused(1, 2, "a dot of no known device");
    refused(2, 0, "unknown kind of inode");
    refused(4, 0, "a dot's counter out of range");
    refused(11, 0x80, "a dot's counter out of range");
    refused(4, 2, "a dot that the directory vector does not cover");
    refused(24, b'/', "not a name");
    let twice = [&log[..25], &log[..25]].concat();
    assert_eq!(Directory::new(directory.vector().to_vec()).load(&twice), Err(Malformed("a dot twice")));
}

fn add(device: u8, counter: u64, n: u8, name: &[u8], kind: Kind) -> Vec<u8> {
    let mut log = Vec::new();
    LogRecord::Add { dot: Dot { device, counter }, kind, inode: inode(n), name }.encode(&mut log);
    log
}

#[test]
fn another_devices_dots_find_their_place() {
    let (mut directory, mut log) = (Directory::default(), Vec::new());
    for n in 0..100 {
        directory.insert(author(1), &name(n), inode(n), Kind::File, &mut log).expect("free");
    }
    let theirs =
        [add(0, 7, 200, b"x", Kind::File), add(0, 3, 201, b"y", Kind::File)].map(|log| (log, device(2)));
    let before = log.len();
    for (theirs, by) in theirs.iter().rev() {
        directory.apply(theirs, &[*by], &mut log).expect("a valid log");
    }
    let cookies: Vec<_> = directory.iter_after(0).map(|entry| entry.cookie).collect();
    assert!(cookies.iter().rev().is_sorted() && cookies.len() == 102);
    assert_eq!(directory.get(b"x").map(|entry| entry.cookie), Some(7 * 256 + 1));
    assert_eq!(log[before..][1], 1, "records in the tail refer to the directory's own vector");
    assert_eq!(list(&loaded(directory.vector(), &log)), list(&directory));
}

#[test]
fn of_two_entries_of_one_name_the_later_has_it_and_both_are_seen() {
    let vector = [(device(1), 9), (device(2), 9)];
    let log = [
        add(1, 5, 2, b"n", Kind::File),
        add(0, 3, 1, b"n", Kind::Directory),
        add(0, 4, 3, b"m", Kind::Directory),
    ]
    .concat();
    let mut directory = loaded(&vector, &log);
    let derived = b"n (conflict 3 0101)";
    assert_eq!(directory.get(b"n").map(|entry| entry.inode), Some(inode(2)));
    assert_eq!(directory.get(derived).map(|entry| (entry.inode, entry.stored)), Some((inode(1), &b"n"[..])));
    assert_eq!((directory.len(), directory.directories(), list(&directory).len()), (3, 2, 3));
    let mut tail = Vec::new();
    let removed = directory.remove(author(1), b"n", &mut tail).expect("room").expect("there");
    assert_eq!((removed.inode, removed.kind, removed.named.len()), (inode(2), Kind::File, 1));
    assert_eq!((directory.get(b"n"), directory.len()), (None, 2));
    let again = loaded(directory.vector(), &[log.clone(), tail].concat());
    assert_eq!(by_name(list(&again)), by_name(list(&directory)));

    let mut directory = loaded(&vector, &log);
    let mut gone = Vec::new();
    LogRecord::Remove(Dot { device: 1, counter: 5 }).encode(&mut gone);
    directory.load(&gone).expect("a valid log");
    assert_eq!(directory.get(b"n").map(|entry| entry.inode), Some(inode(1)), "it has its name back");
    assert_eq!((directory.len(), directory.directories()), (2, 2));
}

/// Whatever device has which place in the vector.
#[test]
fn of_equal_counters_the_greater_device_has_the_name() {
    for (devices, indexes) in [([1, 2], [0, 1]), ([2, 1], [1, 0])] {
        let vector = devices.map(|n| (device(n), 9));
        let log = [add(indexes[0], 5, 1, b"n", Kind::File), add(indexes[1], 5, 2, b"n", Kind::File)].concat();
        assert_eq!(loaded(&vector, &log).get(b"n").map(|entry| entry.inode), Some(inode(2)));
    }
}

#[test]
fn no_counter_is_below_the_clock_nor_one_that_is_there() {
    let (mut directory, mut log) = (Directory::default(), Vec::new());
    let mut counter = |now: u64, name: &[u8]| {
        let author = Author { device: device(1), now: Commit(now) };
        directory.insert(author, name, inode(1), Kind::File, &mut log).expect("free");
        directory.vector()[0].1
    };
    assert_eq!(counter(1000, b"a"), 1000);
    assert_eq!(counter(1000, b"b"), 1001, "a clock that stands still");
    assert_eq!(counter(5, b"c"), 1002, "or was set back");
    assert_eq!(counter(COUNTER_MAX + 1, b"d"), 1003, "or is far ahead");
}

#[test]
fn what_cannot_be_added_is_refused() {
    let mut log = Vec::new();
    let mut add = |directory: &mut Directory, by: DeviceId, name: &[u8]| {
        directory.insert(Author { device: by, now: Commit(0) }, name, inode(1), Kind::File, &mut log)
    };
    let mut directory = Directory::default();
    for bad in [b"".as_slice(), b".", b"..", b"a/b", b"a\0", &[b'a'; 256]] {
        assert_eq!(add(&mut directory, device(1), bad), Err(Refused::NotAName));
    }
    assert_eq!(add(&mut directory, device(1), &[b'a'; 255]), Ok((1, device(1))));
    let mut last = Directory::new(vec![(device(1), COUNTER_MAX - 1)]);
    assert_eq!(add(&mut last, device(1), b"a"), Ok((COUNTER_MAX, device(1))));
    assert!(last.get(b"a").is_some_and(|entry| i64::try_from(entry.cookie).is_ok()));
    assert_eq!(add(&mut last, device(1), b"b"), Err(Refused::Full));
    let many = (0..255u64).map(|n| (DeviceId(n.to_le_bytes()), 0)).collect();
    let mut many = Directory::new(many);
    assert_eq!(add(&mut many, device(1), b"a"), Err(Refused::Full));
    assert!(add(&mut many, DeviceId(254u64.to_le_bytes()), b"a").is_ok());
}

/// A file that is written anew under another name and put in place again and again.
#[test]
fn renaming_back_and_forth_takes_no_more_memory() {
    let (mut directory, mut log) = (Directory::default(), Vec::new());
    directory.insert(author(1), &name(200), inode(1), Kind::File, &mut log).expect("free");
    for _ in 0..10_000 {
        directory.rename(author(1), &name(200), &name(201), &mut log).expect("free");
        directory.rename(author(1), &name(201), &name(200), &mut log).expect("free");
        directory.replace(author(1), &name(200), (inode(2), Kind::File), &mut log).expect("there");
    }
    assert!(directory.names.len() < 20_000 && directory.renewed.len() == 1, "{}", directory.names.len());
}

#[cfg(target_os = "linux")]
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    4096 * statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number")
}

/// Prints what a million entries cost; run alone, with `--release --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_million_entries() {
    const COUNT: usize = 1_000_000;
    let names: Vec<String> = (0..COUNT).map(|n| format!("some-file-name-{n:08}.dat")).collect();
    let mut log = Vec::with_capacity(64 * COUNT);
    let (before, start) = (resident_bytes(), std::time::Instant::now());
    let took = |what: &str, start: std::time::Instant| println!("{what}: {:?}", start.elapsed());
    let mut directory = Directory::default();
    for name in &names {
        directory.insert(author(1), name.as_bytes(), inode(1), Kind::File, &mut log).expect("free");
    }
    took("insert", start);
    println!(
        "resident growth (log included): {} MB, log {} MB",
        (resident_bytes() - before) >> 20,
        log.len() >> 20
    );
    let (before, start) = (resident_bytes(), std::time::Instant::now());
    let mut other = loaded(directory.vector(), &log);
    took("load", start);
    println!("resident growth: {} bytes an entry", (resident_bytes() - before) / COUNT);
    let start = std::time::Instant::now();
    assert!(names.iter().all(|name| other.get(name.as_bytes()).is_some()));
    took("get", start);
    let start = std::time::Instant::now();
    assert_eq!(other.iter_after(0).count(), COUNT);
    took("iterate", start);
    let start = std::time::Instant::now();
    names.iter().for_each(|name| assert!(other.remove(author(1), name.as_bytes(), &mut log).is_ok()));
    took("remove", start);
    assert!(other.is_empty());
}
