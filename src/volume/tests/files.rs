//! Files and directories to which everything is done at random, against what they should hold: with limits drawn at
//! random, on a store that is full at times, closed and opened again, by one device and another, while keys rotate.

use super::expected::{Expected, Node};
use super::*;
use crate::chunk::limits as chunk_limits;
use crate::store::faulty::{Call, Fault};
use crate::store::memory::Memory;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::Rename;
use crate::volume::format::limits;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Sizes at which something changes.
const BORDERS: [usize; 24] = [
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
    FIRST as usize - 4096,
    FIRST as usize - 1,
    FIRST as usize,
    FIRST as usize + 1,
    FIRST as usize + 135 * 4096,
    FIRST as usize + 136 * 4096,
    FIRST as usize + 137 * 4096,
    (FIRST + CHUNK) as usize - 1,
    (FIRST + CHUNK) as usize,
    (FIRST + 2 * CHUNK) as usize - 1,
    (FIRST + 2 * CHUNK) as usize,
    3 * CHUNK as usize + 5000,
];

impl Expected {
    fn some_size(&mut self) -> usize {
        let border = BORDERS[self.rng.below(BORDERS.len())];
        (border + self.rng.below(3) * self.rng.below(50)).saturating_sub(self.rng.below(2) * 30)
    }

    fn write(&mut self) -> Option<()> {
        let at = self.some(|node| !node.is_directory)?;
        let inode = self.inode(at)?;
        let offset = match self.rng.below(3) {
            0 => self.nodes[at].content.len(),
            1 => self.rng.below(self.nodes[at].content.len() + 1),
            _ => self.some_size(),
        };
        let length = [1, 100, 3000, 4096, 5000, 20_000, 700_000][self.rng.below(7)];
        let data = pattern(1 + self.rng.below(length), self.rng.0);
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
        let size = match self.rng.below(2) {
            0 => self.rng.below(self.nodes[at].content.len() + 1),
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
        let from = self.rng.below(size);
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
        let name = format!("user.{}", self.rng.below(4)).into_bytes();
        let value = (self.rng.below(3) > 0).then(|| {
            let length = [10, 500, 900, 1000, 3000, 4100, 20_000][self.rng.below(7)];
            pattern(length + self.rng.below(40), self.rng.0)
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
        let is_directory = self.rng.below(5) == 0;
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
        if self.nodes[at].links == 0 && self.rng.below(3) == 0 && !self.nodes[at].is_directory {
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
        let (to, other) = match self.rng.below(2) {
            0 => self.some_entry()?,
            _ => (self.some_directory(), self.some_name()),
        };
        let moved = self.nodes[from].entries[&name];
        let target = self.nodes[to].entries.get(&other).copied();
        let how = if target.is_some() && self.rng.below(2) == 0 { Rename::Exchange } else { Rename::Replace };
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
        match self.rng.below(8) {
            0 | 1 => self.check(volume.checkpoint())?,
            2 => {
                let (at, data_only) = (self.some(|_| true)?, self.rng.below(2) == 0);
                self.check(volume.sync(&self.inode(at)?, data_only))?
            }
            3 => {
                let at = self.some(|node| node.links > 0)?;
                self.check(volume.writeback.flush(&[self.inode(at)?]))?
            }
            4 if !self.fails => {
                let until = self.rng.below(40) as u64;
                volume.reencrypt(&mut |done, _| done < until).map(drop).unwrap()
            }
            5 if !self.orphans.is_empty() => {
                let which = self.rng.below(self.orphans.len());
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

    fn step(&mut self) {
        if self.fails {
            match self.rng.below(4) {
                0 => {
                    let mut rng = TestRng(self.rng.0);
                    let (of, short) = (1 + rng.below(8), rng.below(2) == 0);
                    self.store.fail_when(move |event| match event.call {
                        Call::Write if short && rng.below(of) == 0 => Some(Fault::Short(libc::ENOSPC)),
                        Call::Write | Call::Allocate if rng.below(of) == 0 => {
                            Some(Fault::Error(libc::ENOSPC))
                        }
                        Call::Open | Call::Create if rng.below(of) == 0 => Some(Fault::Error(libc::EMFILE)),
                        _ => None,
                    });
                }
                1 => {}
                _ => self.store.heal(),
            }
        }
        let _ = match self.rng.below(16) {
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
}

/// Stores all the time, and seals anew what is under an older epoch, with the same limits as the thread that began it.
fn beside(volume: &Arc<Volume>, limits: (u64, usize, u64), chunk: (u64, usize), end: &AtomicBool) {
    limits::lower(limits.0, limits.1, limits.2);
    chunk_limits::lower(chunk.0, chunk.1);
    while !end.load(Ordering::Relaxed) {
        volume.checkpoint().unwrap();
        volume.reencrypt(&mut |_, _| !end.load(Ordering::Relaxed)).unwrap();
    }
}

fn run(seed: u64, fails: bool, is_alone: bool) {
    let mut expected = Expected::new(seed, fails);
    let rng = &mut expected.rng;
    let lowered = ((1 << 20) << rng.below(4), 100 << rng.below(9), 100 << rng.below(9));
    let chunk_lowered = ([50, 300, 5000][rng.below(3)], [0, 10, 64][rng.below(3)]);
    limits::lower(lowered.0, lowered.1, lowered.2);
    chunk_limits::lower(chunk_lowered.0, chunk_lowered.1);
    for _ in 0..5 {
        expected.open();
        expected.look_at_all();
        let (volume, end) = (expected.volume().clone(), AtomicBool::new(is_alone));
        thread::scope(|scope| {
            scope.spawn(|| beside(&volume, lowered, chunk_lowered, &end));
            for _ in 0..expected.rng.below(150) {
                expected.step();
            }
            end.store(true, Ordering::Relaxed);
        });
        drop(volume);
        expected.end();
    }
    expected.open();
    expected.look_at_all();
    expected.volume().close().unwrap();
    chunk_limits::raise();
}

fn runs(fails: bool, is_alone: bool) {
    let seed = seed();
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

/// What one device added another removed, and neither came to store it.
#[test]
fn what_another_device_removed_since_does_not_come_back() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    file(&volume, "f", b"content");
    volume.sync_directory(&root).unwrap();
    drop((root, volume));
    let volume = fixture.another(*b"device 2").open(store.clone());
    let root = volume.root().unwrap();
    // What it was has not arrived here: its name can be removed.
    assert!(volume.unlink(&root, b"f", now()).unwrap().is_none());
    volume.sync_directory(&root).unwrap();
    drop((root, volume));
    let volume = fixture.open(store);
    assert!(look(&volume, "f").is_none());
    volume.close().unwrap();
}
