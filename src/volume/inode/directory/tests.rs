use super::*;
use crate::volume::testing::{check, device, hex, inode, mangle};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Listing = Vec<(u64, Vec<u8>, InodeId, Kind)>;

fn list(directory: &Directory) -> Listing {
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
    /// Lists this many entries from where the listing stopped.
    Read(usize),
}

fn any_op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(Kind::File), Just(Kind::Directory)];
    prop_oneof![
        4 => (1..4u8, any::<u8>(), kind).prop_map(|(device, name, kind)| Op::Insert(device, name, kind)),
        4 => any::<u8>().prop_map(Op::Remove),
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
    /// Names since the listing began that were there all the time; those not listed yet, and those listed.
    awaited: BTreeMap<Vec<u8>, InodeId>,
    listed: Vec<u64>,
    serial: u8,
}

impl Model {
    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Insert(by, n, kind) => {
                self.serial = self.serial.wrapping_add(1);
                let inserted =
                    self.directory.insert(device(by), &name(n), inode(self.serial), kind, &mut self.log);
                let free = !self.map.contains_key(&name(n));
                prop_assert_eq!(inserted, if free { Ok(()) } else { Err(Refused::Exists) });
                self.map.entry(name(n)).or_insert((inode(self.serial), kind));
            }
            Op::Remove(n) => {
                let before = self.log.len();
                let removed = self.directory.remove(&name(n), &mut self.log);
                prop_assert_eq!(removed, self.map.remove(&name(n)));
                prop_assert_eq!(self.log.len() - before, if removed.is_some() { 12 } else { 0 });
                self.awaited.remove(&name(n));
            }
            Op::Read(count) => self.read(count)?,
        }
        prop_assert_eq!(self.directory.len(), self.map.len());
        let sub = self.map.values().filter(|(_, kind)| *kind == Kind::Directory).count();
        prop_assert_eq!(self.directory.directories(), sub);
        Ok(())
    }

    fn read(&mut self, count: usize) -> Result<(), TestCaseError> {
        let entries: Vec<_> = self.directory.iter_after(self.cookie).take(count).collect();
        for entry in &entries {
            prop_assert_eq!(self.map.get(entry.name), Some(&(entry.inode, entry.kind)));
            prop_assert!(entry.cookie > self.cookie && entry.cookie >= 256, "cookies grow");
            self.cookie = entry.cookie;
            self.awaited.remove(entry.name);
            self.listed.push(entry.cookie);
        }
        if entries.len() < count {
            prop_assert!(self.awaited.is_empty(), "the listing left out {:?}", self.awaited);
            self.cookie = 0;
            self.listed.clear();
            self.awaited = self.map.iter().map(|(name, (inode, _))| (name.clone(), *inode)).collect();
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
        prop_assert_eq!(list(&reloaded), list(&model.directory));
        let mut compacted = Vec::new();
        model.directory.write_compacted(&mut compacted);
        prop_assert_eq!(compacted.len() as u64, model.directory.live_log_bytes());
        prop_assert_eq!(reloaded.live_log_bytes(), model.directory.live_log_bytes());
        prop_assert_eq!(list(&loaded(vector, &compacted)), list(&model.directory));
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
            prop_assert_eq!(list(&directory), list(&model.directory));
            prop_assert_eq!(directory.vector(), model.directory.vector());
            prop_assert_eq!(list(&loaded(directory.vector(), &tail)), list(&model.directory));
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
    directory.insert(device(0xd1), b"a", inode(1), Kind::File, &mut log).expect("free");
    directory.insert(device(0xd2), b"bc", inode(2), Kind::Directory, &mut log).expect("free");
    assert!(directory.remove(b"a", &mut log).is_some());
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
        directory.insert(device(1), &name(n), inode(n), Kind::File, &mut log).expect("free");
    }
    let theirs =
        [add(0, 7, 200, b"x", Kind::File), add(0, 3, 201, b"y", Kind::File)].map(|log| (log, device(2)));
    let before = log.len();
    for (theirs, by) in theirs.iter().rev() {
        directory.apply(theirs, &[*by], &mut log).expect("a valid log");
    }
    let cookies: Vec<_> = directory.iter_after(0).map(|entry| entry.cookie).collect();
    assert!(cookies.is_sorted() && cookies.len() == 102);
    assert_eq!(directory.get(b"x").map(|entry| entry.cookie), Some(7 * 256 + 1));
    assert_eq!(log[before..][1], 1, "records in the tail refer to the directory's own vector");
    assert_eq!(list(&loaded(directory.vector(), &log)), list(&directory));
}

#[test]
fn of_two_entries_of_one_name_the_later_is_seen() {
    let vector = [(device(1), 9), (device(2), 9)];
    let log = [
        add(1, 5, 2, b"n", Kind::File),
        add(0, 3, 1, b"n", Kind::Directory),
        add(0, 4, 3, b"m", Kind::Directory),
    ]
    .concat();
    let mut directory = loaded(&vector, &log);
    assert_eq!(directory.get(b"n").map(|entry| entry.inode), Some(inode(2)));
    assert_eq!((directory.len(), directory.directories(), list(&directory).len()), (2, 1, 2));
    let mut tail = Vec::new();
    assert_eq!(directory.remove(b"n", &mut tail), Some((inode(2), Kind::File)));
    assert_eq!((directory.get(b"n"), directory.len(), tail.len()), (None, 1, 24));
    assert_eq!(list(&loaded(&vector, &[log.clone(), tail].concat())), list(&directory));

    let mut directory = loaded(&vector, &log);
    let mut gone = Vec::new();
    LogRecord::Remove(Dot { device: 1, counter: 5 }).encode(&mut gone);
    directory.load(&gone).expect("a valid log");
    assert_eq!(directory.get(b"n").map(|entry| entry.inode), Some(inode(1)), "the other comes to light");
    assert_eq!((directory.len(), directory.directories()), (2, 2));
}

#[test]
fn what_cannot_be_added_is_refused() {
    let mut log = Vec::new();
    let mut add = |directory: &mut Directory, by: DeviceId, name: &[u8]| {
        directory.insert(by, name, inode(1), Kind::File, &mut log)
    };
    let mut directory = Directory::default();
    for bad in [b"".as_slice(), b".", b"..", b"a/b", b"a\0", &[b'a'; 256]] {
        assert_eq!(add(&mut directory, device(1), bad), Err(Refused::NotAName));
    }
    assert_eq!(add(&mut directory, device(1), &[b'a'; 255]), Ok(()));
    let mut last = Directory::new(vec![(device(1), COUNTER_MAX - 1)]);
    assert_eq!(add(&mut last, device(1), b"a"), Ok(()));
    assert!(last.get(b"a").is_some_and(|entry| i64::try_from(entry.cookie).is_ok()));
    assert_eq!(add(&mut last, device(1), b"b"), Err(Refused::Full));
    let many = (0..255u64).map(|n| (DeviceId(n.to_le_bytes()), 0)).collect();
    let mut many = Directory::new(many);
    assert_eq!(add(&mut many, device(1), b"a"), Err(Refused::Full));
    assert_eq!(add(&mut many, DeviceId(254u64.to_le_bytes()), b"a"), Ok(()));
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
        directory.insert(device(1), name.as_bytes(), inode(1), Kind::File, &mut log).expect("free");
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
    names.iter().for_each(|name| assert!(other.remove(name.as_bytes(), &mut log).is_some()));
    took("remove", start);
    assert!(other.is_empty());
}
