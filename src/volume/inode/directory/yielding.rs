//! Entries of one name: the one with the greatest dot has it, the others are shown under names derived from it
//! (docs/FORMAT.md section 8).
//!
//! In the log they keep the name that they were given. When the one that has it loses it, the others are written under
//! the names that they are shown under, or one of them would take its place. So are those that were to be shown under a
//! name and found it taken, be it a derived one.

use super::{Directory, Entry, LogRecord, Refused, Slot};
use crate::chunk::InodeId;
use crate::volume::format::derived::derived_names;
use crate::volume::format::directory_log::{Author, Dot};
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::EntryDot;
use crate::volume::mutants::{self, Mutant};
use hashbrown::HashMap;
use std::hash::BuildHasher;

/// The name of an entry in the log, where another one is shown.
pub(super) struct Stored {
    pub name: u32,
    pub length: u8,
    /// The derived names that it would have been shown under, but for others that have them.
    passed: Passed,
}

type Passed = Box<[Vec<u8>]>;

/// A name to show an entry under, and those that were taken.
#[derive(Clone)]
struct Derived {
    name: Vec<u8>,
    passed: Passed,
}

/// An entry that was removed.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    pub inode: InodeId,
    pub kind: Kind,
    /// The name that it had in the log.
    pub stored: Box<[u8]>,
    /// Others that had yielded to it: each has the name now under which it was shown.
    pub named: Vec<Named>,
}

/// A name that stands for another inode.
#[derive(Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The one that it has now.
    pub dot: EntryDot,
    /// Other entries of that inode that had yielded to the former one: they would be one with the name now, and have those
    /// that they were shown under.
    pub named: Vec<Named>,
}

/// An entry that was given the name under which it was shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub inode: InodeId,
    pub from: Box<[u8]>,
    pub to: Box<[u8]>,
    /// The one that it has now.
    pub dot: EntryDot,
}

impl Directory {
    /// The entries that cannot be shown, for their derived names are taken: damage.
    pub fn hidden(&self) -> impl Iterator<Item = Entry<'_>> {
        self.behind_others().filter_map(|position| self.entry(&self.slots[position]))
    }

    /// Shows entries of one name under different ones. Slots are in order.
    pub(super) fn derive_names(&mut self) {
        let shown_otherwise: Vec<u64> = self.yielded.keys().copied().collect();
        for cookie in shown_otherwise {
            let Ok(position) = self.slots.binary_search_by_key(&cookie, |slot| slot.cookie) else { continue };
            self.unlist(position);
            if let Some(stored) = self.yielded.remove(&cookie) {
                let slot = &mut self.slots[position];
                self.outworn += usize::from(slot.length);
                (slot.name, slot.length) = (stored.name, stored.length);
            }
            self.list(position);
        }
        let mut yielding: Vec<usize> = self.behind_others().collect();
        yielding.sort_unstable_by_key(|&position| std::cmp::Reverse(self.rank(position)));
        // Entries of one name and inode are one here, too.
        let mut shown = HashMap::<(Box<[u8]>, InodeId), Derived>::new();
        for position in yielding {
            let slot = &self.slots[position];
            let entry = (Box::from(self.name(slot)), slot.inode);
            let derived = shown.get(&entry).cloned().or_else(|| self.derive_free(position));
            if let Some(derived) = derived.filter(|derived| self.show_as(position, derived)) {
                shown.insert(entry, derived);
            }
        }
        let has_hidden = self.behind_others().next().is_some();
        self.has_hidden = has_hidden;
        self.tidy_names();
    }

    /// After an entry lost its name: one that could not be shown may be shown now.
    pub(super) fn show_hidden(&mut self) {
        if self.has_hidden {
            self.derive_names();
        }
    }

    /// The live slots of which another one, of another inode, has the name.
    pub(super) fn behind_others(&self) -> impl Iterator<Item = usize> {
        let live = (0..if self.hidden > 0 { self.slots.len() } else { 0 })
            .filter(|&position| self.slots[position].kind.is_some());
        live.filter(|&position| {
            let slot = &self.slots[position];
            self.find(self.name(slot)).is_some_and(|other| self.slots[other].inode != slot.inode)
        })
    }

    /// None where such names are taken.
    fn derive_free(&self, position: usize) -> Option<Derived> {
        let (counter, device) = self.rank(position);
        let slot = &self.slots[position];
        let mut passed = Vec::new();
        for name in derived_names(self.name(slot), counter, device) {
            if self.find(&name).is_none_or(|other| self.slots[other].inode == slot.inode) {
                return Some(Derived { name, passed: passed.into() });
            }
            passed.push(name);
        }
        None
    }

    /// Whether there was room for the name.
    fn show_as(&mut self, position: usize, derived: &Derived) -> bool {
        let Some(name) = self.add_name(&derived.name) else { return false };
        self.unlist(position);
        let slot = &mut self.slots[position];
        let stored = Stored { name: slot.name, length: slot.length, passed: derived.passed.clone() };
        (slot.name, slot.length) = (name, derived.name.len() as u8);
        self.yielded.insert(slot.cookie, stored);
        self.list(position);
        true
    }

    /// What the dot of a slot is ordered by, on every device alike.
    pub(super) fn rank(&self, position: usize) -> EntryDot {
        self.rank_of(self.dot(&self.slots[position]))
    }

    pub(super) fn rank_of(&self, dot: Dot) -> EntryDot {
        (dot.counter, self.vector[usize::from(dot.device)].0)
    }

    /// The name of a live slot in the log.
    pub(super) fn stored_name(&self, slot: &Slot) -> &[u8] {
        match self.yielded.get(&slot.cookie) {
            Some(stored) => &self.names[stored.name as usize..][..usize::from(stored.length)],
            None => self.name(slot),
        }
    }

    /// Removes every entry that a name stands for, and appends the records of that to `log`.
    ///
    /// # Errors
    ///
    /// `Refused::Full` if others that had yielded to it cannot be named; the entry stays then.
    pub fn remove(
        &mut self,
        author: Author,
        name: &[u8],
        log: &mut Vec<u8>,
    ) -> Result<Option<Removed>, Refused> {
        let Some(position) = self.find(name) else { return Ok(None) };
        let slot = &self.slots[position];
        let (inode, kind) = (slot.inode, slot.kind.ok_or(Refused::Missing)?);
        let stored: Box<[u8]> = self.stored_name(slot).into();
        let named = self.name_yielded(author, name, None, log)?;
        self.remove_all((name, inode), None, log);
        self.show_hidden();
        Ok(Some(Removed { inode, kind, stored, named }))
    }

    /// Removes the live slots of a name that lead to an inode, but for the one of a cookie. Another inode's that could not be
    /// shown are none of them.
    pub(super) fn remove_all(
        &mut self,
        (name, inode): (&[u8], InodeId),
        kept: Option<u64>,
        log: &mut Vec<u8>,
    ) {
        let hash = self.hasher.hash_one(name);
        let is_one = |directory: &Directory, slot: &Slot| {
            slot.inode == inode && Some(slot.cookie) != kept && directory.name(slot) == name
        };
        loop {
            let mut found = self.index.iter_hash(hash).map(|&at| at as usize);
            let Some(position) = found.find(|&at| is_one(self, &self.slots[at])) else { return };
            LogRecord::Remove(self.dot(&self.slots[position])).encode(log);
            self.delete(position);
        }
    }

    /// Gives those that yielded to the holder of a name, or only those of them that lead to an inode, the names that they are
    /// shown under.
    pub(super) fn name_yielded(
        &mut self,
        author: Author,
        name: &[u8],
        only: Option<InodeId>,
        log: &mut Vec<u8>,
    ) -> Result<Vec<Named>, Refused> {
        let has_yielded = |(_, stored): &(&u64, &Stored)| {
            self.names[stored.name as usize..][..usize::from(stored.length)] == *name
                || stored.passed.iter().any(|passed| passed == name)
                    && !mutants::is_active(Mutant::PassedUnnamed)
        };
        let mut cookies: Vec<u64> =
            self.yielded.iter().filter(has_yielded).map(|(cookie, _)| *cookie).collect();
        cookies.sort_unstable();
        let mut named = Vec::new();
        for cookie in cookies {
            let Ok(position) = self.slots.binary_search_by_key(&cookie, |slot| slot.cookie) else { continue };
            let slot = &self.slots[position];
            if only.is_some_and(|inode| slot.inode != inode) {
                continue;
            }
            let (from, to, inode) =
                (Box::from(self.stored_name(slot)), Box::<[u8]>::from(self.name(slot)), slot.inode);
            let kind = slot.kind.ok_or(Refused::Missing)?;
            let dot = self.renew(author, position, &to, (inode, kind), log)?;
            named.push(Named { inode, from, to, dot });
        }
        Ok(named)
    }
}
