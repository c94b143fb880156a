//! A seeded attacker: between sessions and within them the backing files are changed at random, and whatever is read
//! is right or an error.
//!
//! Right after an honest session, and as long as the attacker brings nothing old back, right means the state that was
//! left. Otherwise it means, for each file and each name by itself, that state or what the owner made of it since, in
//! sessions that were attacked: nothing from before, which the device remembers to be older. Every other epoch has a
//! bystander. CRYPTFS_SEED replays the choices (nonces and ids are new each time), CRYPTFS_LONG=1 plays 20,000 rounds.

mod attacker;
mod bystander;

use super::*;
use crate::chunk::remembered;
use crate::test_rng::{TestRng, seed};
use crate::volume::Rename;
use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc;
use std::time::Duration;

const NAMES: [&[u8]; 6] = [b"a", b"b", b"c", b"long name of a file", b"d", b"e"];
const HISTORY: usize = 12;
const BIG: usize = FIRST as usize + 5 * BLOCK;

/// The scenario after an honest session.
struct Mark {
    store: Snapshot,
    known: remembered::Snapshot,
    past: VecDeque<Snapshot>,
    contents: BTreeMap<InodeId, Vec<u8>>,
}

/// An entry of a directory: directory, name, inode, kind.
type Entry = (InodeId, Vec<u8>, InodeId, Kind);

/// What a volume shows: its entries, the contents of its files, and the directories that could be listed.
#[derive(Default)]
struct Shown {
    entries: BTreeSet<(InodeId, Vec<u8>, InodeId)>,
    contents: BTreeMap<InodeId, Vec<u8>>,
    listed: Vec<InodeId>,
}

/// What the last honest session left.
#[derive(Default)]
struct Honest {
    entries: BTreeSet<(InodeId, Vec<u8>, InodeId)>,
    /// How many contents of each file are older.
    older: BTreeMap<InodeId, usize>,
    /// Names that were worked with since.
    touched: BTreeSet<(InodeId, Vec<u8>)>,
    /// Entries that were made since.
    made: BTreeSet<(InodeId, Vec<u8>, InodeId)>,
}

struct Scenario {
    fixture: Fixture,
    store: Memory,
    rng: TestRng,
    /// All that ever was: entries, and the contents of each file.
    entries: BTreeSet<(InodeId, Vec<u8>, InodeId)>,
    contents: BTreeMap<InodeId, Vec<Vec<u8>>>,
    honest: Honest,
    past: VecDeque<Snapshot>,
    met: usize,
    bystander: bystander::Bystander,
    /// What was done to the folder since it was last as its owner left it.
    attacks: Vec<String>,
}

impl Scenario {
    fn new(seed: u64) -> Scenario {
        let (fixture, store) = (Fixture::new(), Memory::new());
        let volume = fixture.format(Arc::new(store.clone()));
        let (entries, contents, honest, past) = Default::default();
        let root = volume.root().unwrap();
        let bystander = bystander::Bystander::new(&volume);
        let (rng, met, attacks) = (TestRng(seed), 0, Vec::new());
        let mut scenario =
            Scenario { fixture, store, rng, entries, contents, honest, past, met, bystander, attacks };
        scenario.know_bystander();
        for name in [b"dir 1", b"dir 2"] {
            let directory = volume.create(&root, name, new(Kind::Directory)).unwrap();
            scenario.entries.insert((root.id(), name.to_vec(), directory.id()));
        }
        let big = volume.create(&root, b"big", new(Kind::File)).unwrap();
        volume.write(&big, 0, &pattern(BIG, seed), now(), 0).unwrap();
        scenario.entries.insert((root.id(), b"big".to_vec(), big.id()));
        scenario.contents.insert(big.id(), vec![Vec::new(), pattern(BIG, seed)]);
        volume.close().unwrap();
        scenario
    }

    fn open(&self) -> Result<Arc<Volume>> {
        self.fixture.try_open(Arc::new(self.store.clone()))
    }

    /// One honest session, then attacked ones from what it left.
    fn epoch(&mut self, attacks: usize) {
        self.honest = Honest::default();
        self.bystander.is_spared = !self.bystander.is_spared;
        let volume = self.open().unwrap();
        (0..6).for_each(|_| self.operate(&volume));
        let left = self.look(&volume);
        assert_eq!(
            left.contents.len(),
            left.entries.iter().filter(|(.., id)| self.contents.contains_key(id)).count()
        );
        volume.close().unwrap();
        drop(volume);
        for (id, content) in &left.contents {
            assert!(self.contents[id].last() == Some(content), "{id:?} is not what was written last");
        }
        let newest = |contents: &Vec<Vec<u8>>| contents.len() - 1;
        let older = self.contents.iter().map(|(id, contents)| (*id, newest(contents))).collect();
        self.honest = Honest { entries: left.entries.clone(), older, ..Honest::default() };
        let mark = Mark {
            store: self.remember(),
            known: self.fixture.remembered.snapshot(),
            past: self.past.clone(),
            contents: left.contents.clone(),
        };
        for attack in 0..attacks {
            if attack % 2 == 0 {
                self.go_back(&mark);
                (0..=self.rng.below(3)).for_each(|_| self.mutate(false));
                let Some(volume) = self.try_open() else { continue };
                let shown = self.look(&volume);
                check_strictly(&left, &shown);
            } else {
                (0..=self.rng.below(3)).for_each(|_| self.mutate(true));
            }
            let Some(volume) = self.try_open() else { continue };
            self.session(&volume);
        }
        self.go_back(&mark);
    }

    /// Undoes what happened since an honest session. The attacker has not seen it either: to a device that forgot it,
    /// it would be news.
    fn go_back(&mut self, mark: &Mark) {
        self.store.restore(&mark.store);
        self.fixture.remembered.restore(&mark.known);
        self.past = mark.past.clone();
        self.attacks.clear();
        for (id, content) in &mark.contents {
            self.contents.get_mut(id).expect("a known file").push(content.clone());
        }
    }

    fn try_open(&mut self) -> Option<Arc<Volume>> {
        match self.open() {
            Ok(volume) => Some(volume),
            Err(error) => {
                assert_damage(&error, "opening");
                assert!(!self.bystander.is_spared, "it does not open: {error}; {:?}", self.attacks);
                self.met += 1;
                None
            }
        }
    }

    /// Work on an attacked volume, which is attacked meanwhile as well.
    fn session(&mut self, volume: &Volume) {
        self.look(volume);
        self.check_bystander(volume);
        for _ in 0..4 {
            match self.rng.below(5) {
                0 => self.mutate(true),
                1 => drop(volume.checkpoint()),
                _ => self.operate(volume),
            }
            self.check_bystander(volume);
        }
        self.look(volume);
        if self.rng.below(2) == 0 {
            let _ = volume.close();
        }
        self.remember();
    }

    fn remember(&mut self) -> Snapshot {
        let snapshot = self.store.snapshot();
        self.past.push_back(snapshot.clone());
        if self.past.len() > HISTORY {
            self.past.pop_front();
        }
        snapshot
    }

    /// Reads all there is; each piece of it was made by the owner once.
    fn look(&mut self, volume: &Volume) -> Shown {
        let mut shown = Shown::default();
        for (directory, name, id, kind) in self.walk(volume, &mut shown.listed) {
            let entry = (directory, name, id);
            assert!(self.entries.contains(&entry), "{entry:?} never was");
            let honest = &self.honest;
            let fresh = honest.entries.contains(&entry) || honest.made.contains(&entry);
            assert!(fresh || honest.entries.is_empty(), "{entry:?} had been removed");
            shown.entries.insert(entry);
            if kind == Kind::Directory {
                continue;
            }
            match volume.inode(id).and_then(|inode| read_all(volume, &inode)) {
                Ok(content) => {
                    self.check_content(id, &content);
                    shown.contents.insert(id, content);
                }
                Err(error) => {
                    assert!(is_damage(&error) || matches!(error, Error::Stopped), "{error}");
                    self.met += 1;
                }
            }
        }
        for entry in &self.honest.entries {
            let gone =
                self.honest.touched.contains(&(entry.0, entry.1.clone())) || shown.entries.contains(entry);
            assert!(gone || !shown.listed.contains(&entry.0), "{entry:?} is missing");
        }
        shown
    }

    fn check_content(&self, id: InodeId, content: &[u8]) {
        let older = self.honest.older.get(&id).copied().unwrap_or(0);
        let past = &self.contents[&id][older..];
        if past.iter().all(|state| state.len() <= FIRST as usize) {
            let all = &self.contents[&id];
            let held = all.iter().rposition(|state| state == content);
            let wanted = older..all.len();
            assert!(held.is_some_and(|held| held >= older), "{id:?} held this as {held:?} of {wanted:?}");
            return;
        }
        for (number, block) in content.chunks(BLOCK).enumerate() {
            let is_in = |state: &Vec<u8>| {
                let old = state.get(number * BLOCK..).unwrap_or_default();
                (0..block.len()).all(|at| block[at] == old.get(at).copied().unwrap_or(0))
            };
            assert!(past.iter().any(is_in), "block {number} of {id:?} was never like this");
        }
    }

    /// All entries below the root, each directory once.
    fn walk(&mut self, volume: &Volume, listed: &mut Vec<InodeId>) -> Vec<Entry> {
        let (mut entries, mut waiting) = (Vec::new(), vec![InodeId::ROOT]);
        let mut seen = BTreeSet::from([InodeId::ROOT]);
        while let Some(id) = waiting.pop() {
            let mut visit = |_: u64, name: &[u8], inode, kind| {
                entries.push((id, name.to_vec(), inode, kind));
                if kind == Kind::Directory && seen.insert(inode) {
                    waiting.push(inode);
                }
                true
            };
            match volume.inode(id).and_then(|inode| volume.read_directory(&inode, 0, &mut visit)) {
                Ok(()) => listed.push(id),
                Err(error) => {
                    assert_damage(&error, "a directory");
                    self.met += 1;
                }
            }
        }
        entries
    }

    /// Something an owner does; what cannot be done on a damaged volume is not.
    fn operate(&mut self, volume: &Volume) {
        let mut entries = self.walk(volume, &mut Vec::new());
        entries.retain(|entry| !self.bystander.has(entry));
        let (directories, files): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(.., kind)| *kind == Kind::Directory);
        let places: Vec<InodeId> =
            [InodeId::ROOT].into_iter().chain(directories.iter().map(|e| e.2)).collect();
        let place = *self.rng.pick(&places).expect("the root");
        let name = *self.rng.pick(&NAMES).expect("names");
        let Ok(place) = volume.inode(place) else { return };
        match self.rng.below(8) {
            0 | 1 => {
                self.touch(place.id(), name);
                if let Ok(inode) = volume.create(&place, name, new(Kind::File)) {
                    self.made((place.id(), name.to_vec(), inode.id()));
                    self.contents.insert(inode.id(), vec![Vec::new()]);
                    self.write(volume, &inode);
                }
            }
            2..5 => {
                let Some((.., id, _)) = self.rng.pick(&files) else { return };
                let Ok(inode) = volume.inode(*id) else { return };
                self.write(volume, &inode);
            }
            5 => {
                let Some((from, old, id, _)) = self.rng.pick(&files).cloned() else { return };
                let Ok(from) = volume.inode(from) else { return };
                self.touch(place.id(), name);
                self.touch(from.id(), &old);
                self.made((place.id(), name.to_vec(), id));
                if let Ok(Some(gone)) =
                    volume.rename((&from, &old), (&place, name), Rename::Replace, None, now())
                {
                    volume.release(gone);
                }
            }
            6 => {
                let Some((from, old, ..)) = self.rng.pick(&files).cloned() else { return };
                let Ok(from) = volume.inode(from) else { return };
                self.touch(from.id(), &old);
                if let Ok(Some(gone)) = volume.unlink(&from, &old, now()) {
                    volume.release(gone);
                }
            }
            _ => {
                let Some((.., id, _)) = self.rng.pick(&files) else { return };
                let Ok(inode) = volume.inode(*id) else { return };
                let _ = volume.sync(&inode, false);
            }
        }
    }

    fn touch(&mut self, directory: InodeId, name: &[u8]) {
        self.honest.touched.insert((directory, name.to_vec()));
    }

    fn made(&mut self, entry: (InodeId, Vec<u8>, InodeId)) {
        self.honest.made.insert(entry.clone());
        self.entries.insert(entry);
    }

    /// Writes within one block, or cuts; a file that cannot be read as a whole is left alone.
    fn write(&mut self, volume: &Volume, inode: &Arc<Inode>) {
        let Ok(mut content) = read_all(volume, inode) else { return };
        if content.len() < FIRST as usize && self.rng.below(4) == 0 {
            let size = self.rng.below(6 * BLOCK);
            content.resize(size, 0);
            self.contents.get_mut(&inode.id()).expect("a known file").push(content);
            let _ = volume.resize(inode, size as u64, now(), 0);
            return;
        }
        let blocks = if content.len() > FIRST as usize { content.len() / BLOCK } else { 6 };
        let (block, within) = (self.rng.below(blocks), self.rng.below(BLOCK));
        let data = pattern(1 + self.rng.below(BLOCK - within), self.rng.0);
        let at = block * BLOCK + within;
        content.resize(content.len().max(at + data.len()), 0);
        content[at..at + data.len()].copy_from_slice(&data);
        self.contents.get_mut(&inode.id()).expect("a known file").push(content);
        let _ = volume.write(inode, at as u64, &data, now(), 0);
    }
}

/// Directories that can be listed show exactly what was left, and files hold it.
fn check_strictly(left: &Shown, shown: &Shown) {
    for directory in &shown.listed {
        let of = |shown: &Shown| -> Vec<_> {
            shown.entries.iter().filter(|entry| entry.0 == *directory).cloned().collect()
        };
        assert_eq!(of(left), of(shown), "names came or went");
    }
    for (id, content) in &shown.contents {
        assert!(left.contents[id] == *content, "{id:?} is not what was left");
    }
}

#[test]
fn a_random_attacker() {
    let seed = seed();
    let rounds = if std::env::var_os("CRYPTFS_LONG").is_some() { 20_000 } else { 1_000 };
    let (progress, watch) = mpsc::channel();
    let play = std::thread::spawn(move || {
        let mut scenario = Scenario::new(seed);
        for _ in 0..rounds / 5 {
            scenario.epoch(5);
            progress.send(()).expect("somebody watches");
        }
        scenario.met
    });
    loop {
        match watch.recv_timeout(Duration::from_secs(60)) {
            Ok(()) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs; CRYPTFS_SEED={seed}"),
        }
    }
    let met = play.join().unwrap_or_else(|_| panic!("CRYPTFS_SEED={seed}"));
    println!("{met} errors met in {rounds} rounds");
    assert!(met > rounds / 20, "the attacks were hardly noticed");
}
