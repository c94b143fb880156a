//! Two states of one directory become one (docs/FORMAT.md section 8): an entry stays if both have it, or one has it and
//! the other never heard of it.

use super::{Directory, Entry, Slot};
use crate::chunk::{DeviceId, InodeId, Tombstone};
use crate::volume::format::directory_log::{Dot, LogRecord, records};
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::{EntryDot, Link};
use crate::volume::format::wire::Malformed;
use crate::volume::mutants::{self, Mutant};
use std::collections::{BTreeMap, HashSet};

/// A dot as every device has it.
type Name = (DeviceId, u64);

/// What a join found. Inodes whose names the two states did not agree on are in one of the lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Of entries that came from the other state.
    pub came: Vec<InodeId>,
    /// Of entries that went, as the other state lacks them knowingly.
    pub went: Vec<InodeId>,
    /// Of entries that the other state does not have.
    pub kept: Vec<InodeId>,
    /// The vector covers more than it did, or attributes are the other's.
    pub grew: bool,
}

impl Joined {
    /// Whether this state is another than before.
    pub fn changed(&self) -> bool {
        self.grew || !self.came.is_empty() || !self.went.is_empty()
    }

    /// All inodes whose names may have to be put right.
    pub fn inodes(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.came.iter().chain(&self.went).chain(&self.kept).copied()
    }
}

/// One of the entries that lead to an inode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its dot.
    pub rank: EntryDot,
    pub shown: Box<[u8]>,
    pub stored: Box<[u8]>,
    /// It is not one entry with another that leads to the same inode.
    pub counts: bool,
}

/// Under which device id a batch's log adds entries; none if it adds none.
pub fn author_of(log: &[u8], devices: &[DeviceId]) -> Option<DeviceId> {
    records(log).find_map(|record| match record {
        Ok(LogRecord::Add { dot, .. }) => devices.get(usize::from(dot.device)).copied(),
        _ => None,
    })
}

impl Directory {
    /// A batch's log as if `by` had added what `author` did, with the devices that it refers to: earlier entries of that one are
    /// not here, and would count as removed. What it removes is what is here under either id.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if a record makes no sense, or `author` is not among `devices`.
    pub fn log_anew(
        &self,
        by: DeviceId,
        author: DeviceId,
        (log, devices): (&[u8], &[DeviceId]),
    ) -> Result<(Vec<u8>, Vec<DeviceId>), Malformed> {
        let here = self.live_dots();
        let position = devices.iter().position(|device| *device == author);
        let position = position.ok_or(Malformed("a dot of no known device"))? as u8;
        let last = u8::try_from(devices.len()).map_err(|_| Malformed("too many devices"))?;
        let renew = |dot: Dot| if dot.device == position { Dot { device: last, ..dot } } else { dot };
        let mut out = Vec::with_capacity(log.len());
        for record in records(log) {
            match record? {
                LogRecord::Add { dot, kind, inode, name } => {
                    LogRecord::Add { dot: renew(dot), kind, inode, name }.encode(&mut out);
                }
                LogRecord::Remove(dot) if here.contains_key(&(author, dot.counter)) => {
                    LogRecord::Remove(dot).encode(&mut out);
                }
                LogRecord::Remove(dot) => LogRecord::Remove(renew(dot)).encode(&mut out),
            }
        }
        Ok((out, devices.iter().copied().chain([by]).collect()))
    }

    /// Takes what another state of this directory has.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the vector has no room for a device, names exceed 4 GiB, or a dot is there twice. The
    /// directory must not be used then.
    pub fn join(&mut self, other: &Directory) -> Result<Joined, Malformed> {
        // First what can fail.
        for &(device, _) in &other.vector {
            self.known_index(device)?;
        }
        let (ours, theirs) = (self.live_dots(), other.live_dots());
        let mut joined = Joined::default();
        for (dot, inode) in ours.iter().filter(|(dot, _)| !theirs.contains_key(*dot)) {
            if !other.covers(dot.0, dot.1) {
                joined.kept.push(*inode);
                continue;
            }
            let dot = Dot { device: self.known_index(dot.0)?, counter: dot.1 };
            let position = self.position(dot).ok_or(Malformed("an entry without a place"))?;
            self.delete(position);
            joined.went.push(*inode);
        }
        for slot in &other.slots {
            let Some(kind) = slot.kind else { continue };
            let (device, counter) = other.name_of(slot);
            if ours.contains_key(&(device, counter)) || self.covers(device, counter) {
                continue;
            }
            let dot = Dot { device: self.known_index(device)?, counter };
            self.push(dot, other.stored_name(slot), slot.inode, kind).ok_or(Malformed("too many names"))?;
            joined.came.push(slot.inode);
        }
        for &(device, counter) in &other.vector {
            let index = usize::from(self.known_index(device)?);
            joined.grew |= counter > self.vector[index].1;
            self.vector[index].1 = self.vector[index].1.max(counter);
        }
        self.put_in_order()?;
        Ok(joined)
    }

    /// Whether an entry is here that was not known when this directory was deleted.
    pub fn has_entries_beyond(&self, tombstone: &Tombstone) -> bool {
        self.live_dots().keys().any(|&(device, counter)| !tombstone.covers((counter, device)))
    }

    /// All entries.
    pub fn all_places(&self) -> Vec<(InodeId, Kind, Place)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(at, slot)| Some((slot.inode, slot.kind?, self.place(at)))).collect()
    }

    /// The directories that are shown under derived names as other directories have theirs.
    pub fn yielded_directories(&self) -> Vec<Place> {
        let is_directory = |slot: &Slot| slot.kind == Some(Kind::Directory);
        let positions =
            self.slots.iter().enumerate().filter(|(_, slot)| self.yielded.contains_key(&slot.cookie));
        let places = positions.filter(|(_, slot)| is_directory(slot)).map(|(at, _)| self.place(at));
        let has_twin =
            |place: &Place| self.find(&place.stored).is_some_and(|at| is_directory(&self.slots[at]));
        places.filter(has_twin).collect()
    }

    fn place(&self, position: usize) -> Place {
        let slot = &self.slots[position];
        Place {
            rank: self.rank(position),
            shown: self.name(slot).into(),
            stored: self.stored_name(slot).into(),
            counts: self.counts(position),
        }
    }

    fn counts(&self, position: usize) -> bool {
        let slot = &self.slots[position];
        let shown = self.find(self.name(slot));
        let is_one = |other: usize| other != position && self.slots[other].inode == slot.inode;
        !shown.is_some_and(is_one) || mutants::is_active(Mutant::OneEntryTwice)
    }

    /// The entries that lead to some inodes, the one with the greatest dot last.
    pub fn places(&self, inodes: &HashSet<InodeId>) -> BTreeMap<InodeId, Vec<Place>> {
        let mut places = BTreeMap::<InodeId, Vec<Place>>::new();
        for (position, slot) in self.slots.iter().enumerate() {
            if slot.kind.is_some() && inodes.contains(&slot.inode) {
                places.entry(slot.inode).or_default().push(self.place(position));
            }
        }
        places.values_mut().for_each(|places| places.sort());
        places
    }

    /// Whether the entry that a link stands for is here, or was. What is not known does not count.
    pub fn has_seen(&self, link: &Link) -> bool {
        link.dot.is_some_and(|(counter, device)| self.covers(device, counter))
    }

    /// Whether an entry leads to an inode that has this name in the log, and counts.
    pub fn leads(&self, inode: InodeId, stored: &[u8]) -> bool {
        let is_it = |position: usize| {
            let slot = &self.slots[position];
            slot.inode == inode && self.stored_name(slot) == stored && self.counts(position)
        };
        let shown_otherwise = self
            .yielded
            .keys()
            .filter_map(|cookie| self.slots.binary_search_by_key(cookie, |slot| slot.cookie).ok());
        self.find(stored).into_iter().chain(shown_otherwise).chain(self.behind_others()).any(is_it)
    }

    /// The dot of an entry.
    pub fn dot_of(&self, entry: &Entry<'_>) -> Option<EntryDot> {
        self.slots.binary_search_by_key(&entry.cookie, |slot| slot.cookie).ok().map(|at| self.rank(at))
    }

    fn known_index(&mut self, device: DeviceId) -> Result<u8, Malformed> {
        self.device_index(device).ok_or(Malformed("too many devices"))
    }

    fn live_dots(&self) -> BTreeMap<Name, InodeId> {
        let live = self.slots.iter().filter(|slot| slot.kind.is_some());
        live.map(|slot| (self.name_of(slot), slot.inode)).collect()
    }

    fn name_of(&self, slot: &super::Slot) -> Name {
        let dot = self.dot(slot);
        (self.vector[usize::from(dot.device)].0, dot.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Commit;
    use crate::volume::format::directory_log::Author;
    use crate::volume::testing::{check, device, inode};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const NOW: u64 = 1_795_860_930_000_000;

    fn author(n: u8, now: u64) -> Author {
        Author { device: device(n), now: Commit(NOW + now) }
    }

    fn copy(directory: &Directory) -> Directory {
        let mut log = Vec::new();
        directory.write_compacted(&mut log);
        let mut copy = Directory::new(directory.vector().to_vec());
        copy.load(&log).expect("a valid log");
        copy
    }

    fn shown(directory: &Directory) -> BTreeMap<String, InodeId> {
        let entries = directory.iter_after(0);
        entries.map(|entry| (String::from_utf8_lossy(entry.name).into(), entry.inode)).collect()
    }

    fn insert(directory: &mut Directory, by: Author, name: &str, n: u8) {
        directory
            .insert(by, name.as_bytes(), inode(n), Kind::File, &mut Vec::new())
            .expect("the name is free");
    }

    #[test]
    fn names_of_both_sides_stay_and_removed_ones_go() {
        let mut a = Directory::default();
        insert(&mut a, author(1, 0), "old", 1);
        insert(&mut a, author(1, 1), "gone", 2);
        let mut b = copy(&a);
        insert(&mut a, author(1, 2), "of a", 3);
        insert(&mut b, author(2, 3), "of b", 4);
        b.remove(author(2, 4), b"gone", &mut Vec::new()).unwrap().unwrap();
        let before = copy(&a);
        let joined = a.join(&b).unwrap();
        assert_eq!((joined.came, joined.went, joined.kept), (vec![inode(4)], vec![inode(2)], vec![inode(3)]));
        let all = BTreeMap::from([("of a", 3), ("of b", 4), ("old", 1)].map(|(n, i)| (n.into(), inode(i))));
        assert_eq!(shown(&a), all);
        let joined = b.join(&before).unwrap();
        assert_eq!((joined.came, joined.went, joined.kept), (vec![inode(3)], vec![], vec![inode(4)]));
        assert_eq!(shown(&b), all);
        assert_eq!(a.join(&b), Ok(Joined::default()), "both say the same");
    }

    #[test]
    fn of_two_files_of_one_name_one_is_shown_under_a_derived_name_on_every_device() {
        let (mut a, mut b) = (Directory::default(), Directory::default());
        insert(&mut a, author(2, 0), "report.odt", 1);
        insert(&mut b, author(1, 5), "report.odt", 2);
        let first = copy(&a);
        a.join(&b).unwrap();
        b.join(&first).unwrap();
        let yielded = "report (conflict 2026-11-28 101530 0202).odt";
        let both = BTreeMap::from([("report.odt".into(), inode(2)), (yielded.into(), inode(1))]);
        assert_eq!((shown(&a), shown(&b), shown(&copy(&a))), (both.clone(), both.clone(), both));
        assert_eq!((a.len(), a.hidden().count()), (2, 0));
        assert_eq!(a.get(yielded.as_bytes()).map(|entry| entry.stored), Some(&b"report.odt"[..]));

        // Whoever takes the name away names the other one.
        let mut log = Vec::new();
        let removed = b.remove(author(3, 9), b"report.odt", &mut log).unwrap().unwrap();
        let named: Vec<_> = removed.named.iter().map(|named| (named.inode, &*named.to)).collect();
        assert_eq!(named, [(inode(1), yielded.as_bytes())]);
        let left = BTreeMap::from([(yielded.into(), inode(1))]);
        assert_eq!((shown(&b), shown(&copy(&b))), (left.clone(), left));
        let entry = b.get(yielded.as_bytes()).unwrap();
        assert_eq!(entry.stored, entry.name);

        // Or who takes the other one away, under the name that it is shown by.
        let mut other = copy(&a);
        let removed = a.remove(author(3, 9), yielded.as_bytes(), &mut log).unwrap().unwrap();
        assert_eq!((removed.inode, &*removed.stored), (inode(1), &b"report.odt"[..]));
        let left = BTreeMap::from([("report.odt".into(), inode(2))]);
        assert_eq!((shown(&a), shown(&copy(&a))), (left.clone(), left));
        let (renamed, _) = other.rename(author(3, 9), yielded.as_bytes(), b"mine", &mut log).unwrap();
        assert_eq!((&*renamed.stored, renamed.named.len()), (&b"report.odt"[..], 0));
        let left = BTreeMap::from([("report.odt".into(), inode(2)), ("mine".into(), inode(1))]);
        assert_eq!((shown(&other), shown(&copy(&other))), (left.clone(), left));
    }

    #[test]
    fn two_entries_of_one_name_and_inode_that_yield_are_one() {
        let mut a = Directory::default();
        insert(&mut a, author(1, 0), "old", 1);
        let (mut b, mut c) = (copy(&a), copy(&a));
        a.rename(author(1, 1), b"old", b"n", &mut Vec::new()).unwrap();
        b.rename(author(2, 2), b"old", b"n", &mut Vec::new()).unwrap();
        insert(&mut c, author(3, 3), "n", 2);
        a.join(&b).unwrap();
        a.join(&c).unwrap();
        let derived = "n (conflict 2026-11-28 101530 0202)";
        let both = BTreeMap::from([("n".into(), inode(2)), (derived.into(), inode(1))]);
        assert_eq!((shown(&a), shown(&copy(&a)), a.len()), (both.clone(), both, 2));
        a.remove(author(1, 4), derived.as_bytes(), &mut Vec::new()).unwrap().unwrap();
        let left = BTreeMap::from([("n".into(), inode(2))]);
        assert_eq!((shown(&a), shown(&copy(&a)), a.len()), (left.clone(), left, 1));
    }

    #[test]
    fn two_entries_of_one_name_and_inode_are_one() {
        let (mut a, mut b) = (Directory::default(), Directory::default());
        insert(&mut a, author(1, 0), "n", 1);
        insert(&mut b, author(2, 0), "n", 1);
        a.join(&b).unwrap();
        assert_eq!((a.len(), shown(&a).len(), a.hidden().count()), (1, 1, 0));
        let mut other = copy(&a);
        a.remove(author(1, 1), b"n", &mut Vec::new()).unwrap();
        assert!(a.is_empty() && copy(&a).is_empty());
        other.replace(author(1, 1), b"n", (inode(2), Kind::File), &mut Vec::new()).unwrap();
        assert_eq!(shown(&copy(&other)), BTreeMap::from([("n".into(), inode(2))]));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(usize, u8),
        Remove(usize, u8),
        Rename(usize, u8, u8),
        Join(usize, usize),
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let name = || 0..4u8;
        prop_oneof![
            4 => (0..3usize, name()).prop_map(|(at, n)| Op::Insert(at, n)),
            2 => (0..3usize, any::<u8>()).prop_map(|(at, n)| Op::Remove(at, n)),
            2 => (0..3usize, any::<u8>(), name()).prop_map(|(at, n, to)| Op::Rename(at, n, to)),
            3 => (0..3usize, 0..3usize).prop_map(|(to, from)| Op::Join(to, from)),
        ]
    }

    fn pick(directory: &Directory, n: u8) -> Option<(Vec<u8>, InodeId)> {
        let all: Vec<_> = directory.iter_after(0).map(|e| (e.name.to_vec(), e.inode)).collect();
        (!all.is_empty()).then(|| all[usize::from(n) % all.len()].clone())
    }

    /// Every inode that was made and not removed by somebody who saw it is there on all devices, under one name each.
    #[test]
    fn devices_that_join_in_any_order_show_the_same_and_lose_nothing() {
        check(400, prop::collection::vec(any_op(), 1..40), |ops| {
            let mut replicas = [Directory::default(), Directory::default(), Directory::default()];
            let (mut removed, mut made) = (BTreeSet::new(), BTreeSet::new());
            for (step, op) in (1..).zip(&ops) {
                // Clocks that stand still make equal counters.
                let by = |at: usize| author(at as u8 + 1, step as u64 / 4);
                match *op {
                    Op::Insert(at, n) => {
                        let (name, id) = (format!("name {n}"), inode(step as u8));
                        let new =
                            replicas[at].insert(by(at), name.as_bytes(), id, Kind::File, &mut Vec::new());
                        made.extend(new.ok().map(|_| id));
                    }
                    Op::Remove(at, n) => {
                        if let Some((name, id)) = pick(&replicas[at], n) {
                            replicas[at].remove(by(at), &name, &mut Vec::new()).unwrap();
                            removed.insert(id);
                        }
                    }
                    Op::Rename(at, n, to) => {
                        if let Some((name, _)) = pick(&replicas[at], n) {
                            let to = format!("name {to}");
                            let _ = replicas[at].rename(by(at), &name, to.as_bytes(), &mut Vec::new());
                        }
                    }
                    Op::Join(to, from) => {
                        let from = copy(&replicas[from]);
                        replicas[to].join(&from).unwrap();
                    }
                }
                let shown = shown(&replicas[0]);
                prop_assert_eq!(shown.len(), replicas[0].len(), "names are unique");
                prop_assert_eq!(&shown, &self::shown(&copy(&replicas[0])), "it is stored as it is shown");
            }
            for (to, from) in [(1, 0), (2, 1), (0, 2), (1, 2)] {
                let from = copy(&replicas[from]);
                replicas[to].join(&from).unwrap();
            }
            let all = replicas.each_ref().map(shown);
            prop_assert_eq!(&all[0], &all[1]);
            prop_assert_eq!(&all[0], &all[2]);
            for pair in [(0, 1), (1, 2), (2, 0)] {
                let other = copy(&replicas[pair.1]);
                let joined = replicas[pair.0].join(&other);
                prop_assert_eq!(joined, Ok(Joined::default()));
            }
            let there: BTreeSet<_> = all[0].values().copied().collect();
            prop_assert!(made.difference(&removed).all(|id| there.contains(id)), "lost: {:?}", all[0]);
            Ok(())
        });
    }
}
