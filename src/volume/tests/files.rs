//! Files and directories to which everything is done at random, against what they should hold: with limits drawn at
//! random, on a store that is full at times, closed and opened again, by one device and another, while keys rotate.

use super::churn::{Dice, Told};
use super::*;
use crate::chunk::{InodeId, limits as chunk_limits};
use crate::store::faulty::{Call, Fault, Faulty};
use crate::store::memory::Memory;
use crate::volume::{Error, Rename, Result, limits};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Sizes at which something changes.
const BORDERS: [usize; 22] = [
    0,
    1,
    700,
    1024,
    2900,
    3850,
    3950,
    4000,
    4095,
    4096,
    4097,
    8192,
    135 * 4096,
    136 * 4096,
    137 * 4096,
    CHUNK as usize - 4096,
    CHUNK as usize - 1,
    CHUNK as usize,
    CHUNK as usize + 1,
    2 * CHUNK as usize - 1,
    2 * CHUNK as usize,
    3 * CHUNK as usize + 5000,
];

/// What an inode should be.
#[derive(Default)]
struct Node {
    id: Option<InodeId>,
    content: Vec<u8>,
    /// Where a write failed.
    unsure: Vec<(usize, usize)>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    entries: BTreeMap<Vec<u8>, usize>,
    is_directory: bool,
    links: usize,
}

impl Node {
    fn is_sure_within(&mut self, from: usize, until: usize) {
        let outside = |&(a, b): &(usize, usize)| [(a, b.min(from)), (a.max(until), b)];
        self.unsure = self.unsure.iter().flat_map(outside).filter(|(a, b)| a < b).collect();
    }
}

struct World {
    store: Arc<Faulty>,
    fixture: Fixture,
    others: Vec<Fixture>,
    epochs: Vec<Secret>,
    volume: Option<Arc<Volume>>,
    /// The first is the root.
    nodes: Vec<Node>,
    orphans: Vec<(Arc<Inode>, usize)>,
    told: Told,
    dice: Dice,
    fails: bool,
}

impl World {
    fn new(seed: u64, fails: bool) -> World {
        let (fixture, store) = (Fixture::new(), Arc::new(Faulty::new(Arc::new(Memory::new()))));
        drop(fixture.format(store.clone()));
        let others = vec![fixture.another(*b"device 2"), fixture.another(*b"device 3")];
        let epochs = vec![fixture.content.duplicate()];
        let root = Node { id: Some(InodeId::ROOT), is_directory: true, links: 1, ..Node::default() };
        let (nodes, orphans) = (vec![root], Vec::new());
        let (told, dice, volume) = (Told::default(), Dice(seed), None);
        World { store, fixture, others, epochs, volume, nodes, orphans, told, dice, fails }
    }

    fn open(&mut self) {
        let fixture = match self.dice.below(6) {
            which @ 0..2 => &self.others[which],
            _ => &self.fixture,
        };
        let content = self.epochs.iter().map(Secret::duplicate).collect();
        let context =
            Context::new(self.store.clone(), fixture.device, Cipher::Aes256Gcm, &fixture.name, content);
        let context = context.remembering(Arc::new(fixture.remembered.clone()));
        let open_files = NonZeroUsize::new(48 << self.dice.below(4)).unwrap();
        let options = Options { chunk_size: CHUNK, read_only: false, open_files };
        let volume = Volume::open(Arc::new(context), options).unwrap();
        volume.report_to(Box::new(self.told.clone()), std::iter::empty());
        self.volume = Some(volume);
    }

    fn volume(&self) -> &Arc<Volume> {
        self.volume.as_ref().unwrap()
    }

    /// An outcome, unless it failed for a lack of room.
    fn check<T>(&self, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) if self.fails && (error.is_passing() || matches!(error, Error::NoSpace)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn inode(&self, at: usize) -> Option<Arc<Inode>> {
        if let Some((inode, _)) = self.orphans.iter().find(|orphan| orphan.1 == at) {
            return Some(inode.clone());
        }
        self.check(self.volume().inode(self.nodes[at].id.unwrap()))
    }

    fn some(&mut self, wanted: impl Fn(&Node) -> bool) -> Option<usize> {
        let held = |at: &usize| self.orphans.iter().any(|orphan| orphan.1 == *at);
        let found: Vec<usize> = (0..self.nodes.len())
            .filter(|at| (self.nodes[*at].links > 0 || held(at)) && wanted(&self.nodes[*at]))
            .collect();
        if found.is_empty() { None } else { Some(found[self.dice.below(found.len())]) }
    }

    fn some_directory(&mut self) -> usize {
        self.some(|node| node.is_directory && node.links > 0).unwrap()
    }

    fn some_entry(&mut self) -> Option<(usize, Vec<u8>)> {
        let at = self.some(|node| node.links > 0 && !node.entries.is_empty())?;
        let names: Vec<Vec<u8>> = self.nodes[at].entries.keys().cloned().collect();
        Some((at, names[self.dice.below(names.len())].clone()))
    }

    fn some_name(&mut self) -> Vec<u8> {
        let number = self.dice.below(12);
        format!("{number:0>width$}", width = [2, 2, 60, 250][number % 4]).into_bytes()
    }

    fn some_size(&mut self) -> usize {
        let border = BORDERS[self.dice.below(BORDERS.len())];
        (border + self.dice.below(3) * self.dice.below(50)).saturating_sub(self.dice.below(2) * 30)
    }

    fn write(&mut self) -> Option<()> {
        let at = self.some(|node| !node.is_directory)?;
        let inode = self.inode(at)?;
        let offset = match self.dice.below(3) {
            0 => self.nodes[at].content.len(),
            1 => self.dice.below(self.nodes[at].content.len() + 1),
            _ => self.some_size(),
        };
        let length = [1, 100, 3000, 4096, 5000, 20_000, 700_000][self.dice.below(7)];
        let data = pattern(1 + self.dice.below(length), self.dice.0);
        let done = self.check(self.volume().write(&inode, offset as u64, &data, now(), 0));
        let (node, end) = (&mut self.nodes[at], offset + data.len());
        match done {
            Some(()) => {
                node.content.resize(node.content.len().max(end), 0);
                node.content[offset..end].copy_from_slice(&data);
                node.is_sure_within(offset, end);
            }
            None => node.unsure.push((offset.min(node.content.len()), end.min(node.content.len()))),
        }
        Some(())
    }

    fn resize(&mut self) -> Option<()> {
        let at = self.some(|node| !node.is_directory)?;
        let inode = self.inode(at)?;
        let size = match self.dice.below(2) {
            0 => self.dice.below(self.nodes[at].content.len() + 1),
            _ => self.some_size(),
        };
        self.check(self.volume().resize(&inode, size as u64, now(), 0))?;
        self.nodes[at].content.resize(size, 0);
        self.nodes[at].is_sure_within(size, usize::MAX);
        Some(())
    }

    fn punch(&mut self) -> Option<()> {
        let at = self.some(|node| !node.is_directory && !node.content.is_empty())?;
        let inode = self.inode(at)?;
        let size = self.nodes[at].content.len();
        let from = self.dice.below(size);
        let until = (from + self.some_size()).min(size);
        let done = self.check(self.volume().punch(&inode, from as u64, (until - from) as u64, now()));
        let node = &mut self.nodes[at];
        match done {
            Some(()) => {
                node.content[from..until].fill(0);
                node.is_sure_within(from, until);
            }
            None => node.unsure.push((from, until)),
        }
        Some(())
    }

    fn set_xattr(&mut self) -> Option<()> {
        let at = self.some(|node| node.links > 0)?;
        let inode = self.inode(at)?;
        let name = format!("user.{}", self.dice.below(4)).into_bytes();
        let value = (self.dice.below(3) > 0).then(|| {
            let length = [10, 500, 900, 1000, 3000, 4100, 20_000][self.dice.below(7)];
            pattern(length + self.dice.below(40), self.dice.0)
        });
        self.check(self.volume().update(&inode, |record| {
            record.extension.xattrs.retain(|xattr| *xattr.0 != *name);
            record.extension.xattrs.extend(value.iter().map(|value| (name.clone().into(), value.clone())));
            record.extension.xattrs.sort();
            Ok(())
        }))?;
        self.nodes[at].xattrs.remove(&name);
        self.nodes[at].xattrs.extend(value.map(|value| (name, value)));
        Some(())
    }

    fn create(&mut self) -> Option<()> {
        let (directory, name) = (self.some_directory(), self.some_name());
        if self.nodes[directory].entries.contains_key(&name) {
            return None;
        }
        let is_directory = self.dice.below(5) == 0;
        let kind = if is_directory { Kind::Directory } else { Kind::File };
        let parent = self.inode(directory)?;
        let inode = self.check(self.volume().create(&parent, &name, new(kind)))?;
        self.nodes.push(Node { id: Some(inode.id()), is_directory, links: 1, ..Node::default() });
        let at = self.nodes.len() - 1;
        self.nodes[directory].entries.insert(name, at);
        Some(())
    }

    fn link(&mut self) -> Option<()> {
        let (directory, name) = (self.some_directory(), self.some_name());
        let at = self.some(|node| !node.is_directory && node.links > 0)?;
        if self.nodes[directory].entries.contains_key(&name) {
            return None;
        }
        let (inode, parent) = (self.inode(at)?, self.inode(directory)?);
        self.check(self.volume().link(&inode, &parent, &name, now()))?;
        self.nodes[directory].entries.insert(name, at);
        self.nodes[at].links += 1;
        Some(())
    }

    fn lost_name(&mut self, at: usize, inode: Arc<Inode>) {
        self.nodes[at].links -= 1;
        if self.nodes[at].links == 0 && self.dice.below(3) == 0 && !self.nodes[at].is_directory {
            self.orphans.push((inode, at));
        } else {
            self.volume().release(inode);
        }
    }

    fn remove(&mut self) -> Option<()> {
        let (directory, name) = self.some_entry()?;
        let at = self.nodes[directory].entries[&name];
        let parent = self.inode(directory)?;
        let gone = match (self.nodes[at].is_directory, self.nodes[at].entries.is_empty()) {
            (true, false) => return None,
            (true, true) => self.volume().remove_directory(&parent, &name, now()),
            (false, _) => self.volume().unlink(&parent, &name, now()),
        };
        let gone = self.check(gone)?.unwrap();
        self.nodes[directory].entries.remove(&name);
        self.lost_name(at, gone);
        Some(())
    }

    fn is_inside(&self, at: usize, moved: usize) -> bool {
        at == moved || self.nodes[moved].entries.values().any(|&below| self.is_inside(at, below))
    }

    fn rename(&mut self) -> Option<()> {
        let (from, name) = self.some_entry()?;
        let (to, other) = match self.dice.below(2) {
            0 => self.some_entry()?,
            _ => (self.some_directory(), self.some_name()),
        };
        let moved = self.nodes[from].entries[&name];
        let target = self.nodes[to].entries.get(&other).copied();
        let how =
            if target.is_some() && self.dice.below(2) == 0 { Rename::Exchange } else { Rename::Replace };
        let kind = |at: usize| self.nodes[at].is_directory;
        let fits = |target: usize| kind(target) == kind(moved) && self.nodes[target].entries.is_empty();
        let is_exchange = how == Rename::Exchange;
        if target == Some(moved)
            || self.is_inside(to, moved)
            || target.is_some_and(|target| is_exchange && self.is_inside(from, target))
            || target.is_some_and(|target| !is_exchange && !fits(target))
        {
            return None;
        }
        let (source, place) = (self.inode(from)?, self.inode(to)?);
        let gone = self.volume().rename((&source, &name), (&place, &other), how, None, now());
        let gone = self.check(gone)?;
        self.nodes[from].entries.remove(&name);
        self.nodes[to].entries.insert(other, moved);
        match (target, gone) {
            (Some(target), Some(gone)) => self.lost_name(target, gone),
            (Some(target), None) => drop(self.nodes[from].entries.insert(name, target)),
            (None, gone) => assert!(gone.is_none()),
        }
        Some(())
    }

    fn store(&mut self) -> Option<()> {
        let volume = self.volume().clone();
        match self.dice.below(8) {
            0 | 1 => self.check(volume.round())?,
            2 => {
                let (at, data_only) = (self.some(|_| true)?, self.dice.below(2) == 0);
                self.check(volume.sync(&self.inode(at)?, data_only))?
            }
            3 => {
                let at = self.some(|node| node.links > 0)?;
                self.check(volume.flush(&[self.inode(at)?]))?
            }
            4 if !self.fails => {
                let until = self.dice.below(40) as u64;
                volume.reencrypt(&mut |done, _| done < until).map(drop).unwrap()
            }
            5 if !self.orphans.is_empty() => {
                let which = self.dice.below(self.orphans.len());
                let (inode, _) = self.orphans.swap_remove(which);
                volume.release(inode)
            }
            _ => {
                let at = self.some(|node| node.links > 0)?;
                volume.release(self.inode(at)?)
            }
        }
        Some(())
    }

    fn look(&mut self, at: usize) {
        let volume = self.volume().clone();
        let inode = self.inode(at).unwrap();
        let node = &mut self.nodes[at];
        let found: Vec<_> = inode.view(|record| record.extension.xattrs.clone());
        let wanted: Vec<_> =
            node.xattrs.iter().map(|(n, v)| (n.clone().into_boxed_slice(), v.clone())).collect();
        assert!(found == wanted, "xattrs of {at}");
        if node.is_directory {
            let names: Vec<Vec<u8>> = names(&volume, &inode).into_iter().map(String::into_bytes).collect();
            assert_eq!(names.len(), node.entries.len(), "entries of {at}");
            for (name, &below) in &self.nodes[at].entries {
                let found = volume.lookup(&inode, name).unwrap().map(|inode| inode.id());
                assert_eq!(found, self.nodes[below].id, "an entry of {at}");
            }
            return;
        }
        let links = inode.view(|record| (record.links_count as usize, record.extension.links.len()));
        assert_eq!(links, (node.links, node.links), "links of {at}");
        assert_eq!(inode.view(|record| record.size) as usize, node.content.len(), "size of {at}");
        let found = content(&volume, &inode);
        for &(from, until) in &node.unsure {
            node.content[from..until].copy_from_slice(&found[from..until]);
        }
        let first = (0..found.len()).find(|&i| found[i] != node.content[i]);
        assert!(first.is_none(), "content of {at} of {} bytes from {first:?}", found.len());
        let from = self.dice.below(found.len() + 1);
        let data = volume.seek(&inode, from as u64, true).unwrap().map_or(found.len(), |data| data as usize);
        assert!(found[from..data].iter().all(|byte| *byte == 0), "data of {at} in a hole");
    }

    fn look_at_all(&mut self) {
        self.store.heal();
        let mut at = 0;
        while at < self.nodes.len() {
            if self.nodes[at].links > 0 || self.orphans.iter().any(|orphan| orphan.1 == at) {
                self.look(at);
            }
            at += 1;
        }
        assert!(self.told.0.lock().is_empty(), "{:?}", self.told.0.lock());
    }

    fn step(&mut self) {
        if self.fails {
            match self.dice.below(4) {
                0 => {
                    let mut dice = Dice(self.dice.0);
                    let (of, short) = (1 + dice.below(8), dice.below(2) == 0);
                    self.store.fail_when(move |event| match event.call {
                        Call::Write if short && dice.below(of) == 0 => Some(Fault::Short(libc::ENOSPC)),
                        Call::Write | Call::Allocate if dice.below(of) == 0 => {
                            Some(Fault::Error(libc::ENOSPC))
                        }
                        Call::Open | Call::Create if dice.below(of) == 0 => Some(Fault::Error(libc::EMFILE)),
                        _ => None,
                    });
                }
                1 => {}
                _ => self.store.heal(),
            }
        }
        let _ = match self.dice.below(16) {
            0..5 => self.write(),
            5 | 6 => self.resize(),
            7 => self.punch(),
            8 => self.set_xattr(),
            9 => self.create(),
            10 => self.link(),
            11 => self.remove(),
            12 => self.rename(),
            _ => self.store(),
        };
    }

    fn end(&mut self) {
        self.look_at_all();
        let volume = self.volume().clone();
        if self.fails || self.dice.below(2) == 0 {
            volume.round().unwrap();
        }
        let ends_well = self.dice.below(2) == 0;
        if !ends_well {
            for at in 0..self.nodes.len() {
                if self.nodes[at].links > 0 {
                    volume.sync(&self.inode(at).unwrap(), false).unwrap();
                }
            }
            volume.sync_directory(&volume.root().unwrap()).unwrap();
        } else if self.dice.below(3) == 0 && volume.reencrypt(&mut |_, _| true).unwrap().is_empty() {
            self.epochs.truncate(1);
            volume.close().unwrap();
        } else {
            volume.close().unwrap();
        }
        self.orphans.clear();
        (self.volume, _) = (None, drop(volume));
        if self.dice.below(4) == 0 {
            self.epochs.insert(0, Secret::random());
        }
    }
}

/// Stores all the time, and seals anew what is under an older epoch, with the same limits as the thread that began it.
fn beside(volume: &Arc<Volume>, limits: (u64, usize, u64), chunk: (u64, usize), end: &AtomicBool) {
    limits::lower(limits.0, limits.1, limits.2);
    chunk_limits::lower(chunk.0, chunk.1);
    while !end.load(Ordering::Relaxed) {
        volume.round().unwrap();
        volume.reencrypt(&mut |_, _| !end.load(Ordering::Relaxed)).unwrap();
    }
}

fn run(seed: u64, fails: bool, is_alone: bool) {
    let mut world = World::new(seed, fails);
    let dice = &mut world.dice;
    let lowered = ((1 << 20) << dice.below(4), 100 << dice.below(9), 100 << dice.below(9));
    let chunk_lowered = ([50, 300, 5000][dice.below(3)], [0, 10, 64][dice.below(3)]);
    limits::lower(lowered.0, lowered.1, lowered.2);
    chunk_limits::lower(chunk_lowered.0, chunk_lowered.1);
    for _ in 0..5 {
        world.open();
        world.look_at_all();
        let (volume, end) = (world.volume().clone(), AtomicBool::new(is_alone));
        thread::scope(|scope| {
            scope.spawn(|| beside(&volume, lowered, chunk_lowered, &end));
            for _ in 0..world.dice.below(150) {
                world.step();
            }
            end.store(true, Ordering::Relaxed);
        });
        drop(volume);
        world.end();
    }
    world.open();
    world.look_at_all();
    world.volume().close().unwrap();
    chunk_limits::raise();
}

fn runs(fails: bool, is_alone: bool) {
    let variable = |name| std::env::var(name).ok().map(|text| text.parse().expect("a decimal number"));
    let seed = variable("CRYPTFS_SEED").unwrap_or_else(|| u64::from_le_bytes(crate::crypto::random()));
    for round in 0..variable("CRYPTFS_ROUNDS").unwrap_or(10) {
        println!("CRYPTFS_SEED={}", seed.wrapping_add(round));
        run(seed.wrapping_add(round), fails, is_alone);
    }
}

#[test]
fn files_hold_what_was_written() {
    runs(false, true);
}

#[test]
fn files_hold_what_was_written_on_a_disk_that_is_full_at_times() {
    runs(true, true);
}

#[test]
fn files_hold_what_was_written_while_they_are_stored() {
    runs(false, false);
}
