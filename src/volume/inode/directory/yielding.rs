//! Entries of one name: the one with the greatest dot has it, the others are shown under names derived from it
//! (docs/FORMAT.md section 8).
//!
//! In the log they keep the name that they were given. When the one that has it loses it, the others are written under
//! the names that they are shown under, or one of them would take its place.

use super::{Directory, Entry, LogRecord, Refused, Slot};
use crate::chunk::InodeId;
use crate::volume::format::derived::derived_names;
use crate::volume::format::directory_log::{Author, Dot};
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::EntryDot;
use hashbrown::HashMap;
use std::hash::BuildHasher;

/// The name of an entry in the log, where another one is shown.
pub(super) struct Stored {
    pub name: u32,
    pub length: u8,
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
                (slot.name, slot.length) = (stored.name, stored.length);
            }
            self.list(position);
        }
        let mut yielding: Vec<usize> = self.behind_others().collect();
        yielding.sort_unstable_by_key(|&position| std::cmp::Reverse(self.rank(position)));
        // Entries of one name and inode are one here, too.
        let mut shown = HashMap::<(Box<[u8]>, InodeId), Vec<u8>>::new();
        for position in yielding {
            let slot = &self.slots[position];
            let entry = (Box::from(self.name(slot)), slot.inode);
            let name = shown.get(&entry).cloned().or_else(|| self.derive_free(position));
            if let Some(name) = name.filter(|name| self.show_as(position, name)) {
                shown.insert(entry, name);
            }
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
    fn derive_free(&self, position: usize) -> Option<Vec<u8>> {
        let (counter, device) = self.rank(position);
        let slot = &self.slots[position];
        let inode = slot.inode;
        derived_names(self.name(slot), counter, device)
            .find(|name| self.find(name).is_none_or(|other| self.slots[other].inode == inode))
    }

    /// Whether there was room for the name.
    fn show_as(&mut self, position: usize, shown: &[u8]) -> bool {
        let Some(name) = self.add_name(shown) else { return false };
        self.unlist(position);
        let slot = &mut self.slots[position];
        let stored = Stored { name: slot.name, length: slot.length };
        (slot.name, slot.length) = (name, shown.len() as u8);
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
        let named = self.name_yielded(author, name, log)?;
        self.remove_all(name, log);
        Ok(Some(Removed { inode, kind, stored, named }))
    }

    /// Removes every live slot of a name.
    pub(super) fn remove_all(&mut self, name: &[u8], log: &mut Vec<u8>) {
        while let Some(position) = self.find(name) {
            LogRecord::Remove(self.dot(&self.slots[position])).encode(log);
            self.delete(position);
        }
    }

    /// The same, but one.
    pub(super) fn remove_all_but(&mut self, kept: u64, name: &[u8], log: &mut Vec<u8>) {
        let hash = self.hasher.hash_one(name);
        loop {
            let mut found = self.index.iter_hash(hash).map(|&at| at as usize);
            let is_other = |slot: &Slot| slot.cookie != kept && self.name(slot) == name;
            let Some(position) = found.find(|&at| is_other(&self.slots[at])) else { return };
            LogRecord::Remove(self.dot(&self.slots[position])).encode(log);
            self.delete(position);
        }
    }

    /// Gives those that yielded to the holder of a name the names that they are shown under.
    pub(super) fn name_yielded(
        &mut self,
        author: Author,
        name: &[u8],
        log: &mut Vec<u8>,
    ) -> Result<Vec<Named>, Refused> {
        let mut cookies: Vec<u64> = self.yielded.keys().copied().collect();
        cookies.sort_unstable();
        let mut named = Vec::new();
        for cookie in cookies {
            let Ok(position) = self.slots.binary_search_by_key(&cookie, |slot| slot.cookie) else { continue };
            let slot = &self.slots[position];
            let (from, to) = (self.stored_name(slot), self.name(slot));
            if from != name || to == name {
                continue;
            }
            let (from, to, inode) = (Box::from(from), Box::<[u8]>::from(to), slot.inode);
            let kind = slot.kind.ok_or(Refused::Missing)?;
            let dot = self.renew(author, position, &to, (inode, kind), log)?;
            named.push(Named { inode, from, to, dot });
        }
        Ok(named)
    }
}
