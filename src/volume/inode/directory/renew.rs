//! Entries that get another name or stand for another inode, and keep their place in listings.
//!
//! To whoever lists the directory meanwhile such an entry was there all the time: it is listed once, wherever the listing
//! had come. On disk each is a remove and an add, like any other.

use super::{Directory, LogRecord, Refused, Removed, Replaced, Slot};
use crate::chunk::{DeviceId, InodeId};
use crate::volume::format::directory_log::Author;
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::EntryDot;
use crate::volume::format::wire::is_name;
use crate::volume::mutants::{self, Mutant};

/// Bytes of names out of use that are not worth a tidying.
const OUTWORN_MIN: usize = 4096;

impl Directory {
    /// Has the vector say that this device wrote here, if there is room.
    pub fn take_part(&mut self, author: Author) {
        if let Ok(dot) = self.next_dot(author) {
            self.vector[usize::from(dot.device)].1 = dot.counter;
        }
    }

    /// Has the vector cover what a device did up to a counter.
    pub fn cover(&mut self, device: DeviceId, counter: u64) {
        if let Some(index) = self.device_index(device) {
            let known = &mut self.vector[usize::from(index)].1;
            *known = counter.max(*known);
        }
    }

    /// Gives an entry another name that is free, on behalf of `author`; it keeps its place in listings. Answers what it
    /// was until then, and its new dot.
    ///
    /// # Errors
    ///
    /// `Refused::NotAName` or `Refused::Exists` for the new name, `Refused::Missing` for the former one; `Refused::Full`,
    /// after which others that had yielded to it may have their names already.
    pub fn rename(
        &mut self,
        author: Author,
        from: &[u8],
        to: &[u8],
        log: &mut Vec<u8>,
    ) -> Result<(Removed, EntryDot), Refused> {
        if !is_name(to) {
            return Err(Refused::NotAName);
        }
        if self.find(to).is_some() {
            return Err(Refused::Exists);
        }
        let stored = {
            let slot = &self.slots[self.find(from).ok_or(Refused::Missing)?];
            self.stored_name(slot).into()
        };
        let named = self.name_yielded(author, from, None, log)?;
        // Only now: those that were named may have moved it.
        let position = self.find(from).ok_or(Refused::Missing)?;
        let Slot { inode, kind, .. } = self.slots[position];
        let kind = kind.ok_or(Refused::Missing)?;
        let dot = self.renew(author, position, to, (inode, kind), log)?;
        // What else leads there by this name would otherwise come to light.
        self.remove_all((from, inode), None, log);
        self.show_hidden();
        Ok((Removed { inode, kind, stored, named }, dot))
    }

    /// Has a name stand for another inode, on behalf of `author`; it keeps its place in listings.
    ///
    /// # Errors
    ///
    /// `Refused::Missing` if there is no such name; `Refused::Full`, after which others may have their names already.
    pub fn replace(
        &mut self,
        author: Author,
        name: &[u8],
        by: (InodeId, Kind),
        log: &mut Vec<u8>,
    ) -> Result<Replaced, Refused> {
        let named = match mutants::is_active(Mutant::ReplacedUnnamed) {
            true => Vec::new(),
            false => self.name_yielded(author, name, Some(by.0), log)?,
        };
        let position = self.find(name).ok_or(Refused::Missing)?;
        let Slot { cookie, inode, .. } = self.slots[position];
        let dot = self.renew(author, position, name, by, log)?;
        // What else led there by this name would otherwise come to light.
        self.remove_all((name, inode), Some(cookie), log);
        self.show_hidden();
        Ok(Replaced { dot, named })
    }

    /// The live slot at a position gets a new dot, which is answered, a name and what that stands for.
    pub(super) fn renew(
        &mut self,
        author: Author,
        position: usize,
        name: &[u8],
        (inode, kind): (InodeId, Kind),
        log: &mut Vec<u8>,
    ) -> Result<EntryDot, Refused> {
        let dot = self.next_dot(author)?;
        let offset = match self.name(&self.slots[position]) == name {
            true => self.slots[position].name,
            false => self.add_name(name).ok_or(Refused::Full)?,
        };
        LogRecord::Remove(self.dot(&self.slots[position])).encode(log);
        self.unlist(position);
        let stored = self.yielded.remove(&self.slots[position].cookie);
        self.outworn += stored.map_or(0, |stored| usize::from(stored.length));
        let slot = &mut self.slots[position];
        self.outworn += if slot.name == offset { 0 } else { usize::from(slot.length) };
        (slot.name, slot.length, slot.inode, slot.kind) = (offset, name.len() as u8, inode, Some(kind));
        self.renewed.insert(slot.cookie, dot);
        self.list(position);
        self.vector[usize::from(dot.device)].1 = dot.counter;
        LogRecord::Add { dot, kind, inode, name }.encode(log);
        self.tidy_names();
        Ok(self.rank_of(dot))
    }

    /// Positions may have changed afterwards.
    pub(super) fn tidy_names(&mut self) {
        if self.outworn > OUTWORN_MIN && self.outworn > self.names.len() / 2 {
            self.drop_removed();
        }
    }

    /// Drops removed slots with their names and puts the others in order.
    pub(super) fn drop_removed(&mut self) {
        let mut order: Vec<u32> = (0..self.slots.len() as u32).collect();
        order.retain(|&at| self.slots[at as usize].kind.is_some());
        order.sort_by_key(|&at| self.slots[at as usize].cookie);
        let mut moved = vec![0; self.slots.len()];
        let mut slots = Vec::with_capacity(order.len());
        let mut names = Vec::with_capacity(self.names.len());
        for at in order {
            let slot = &self.slots[at as usize];
            moved[at as usize] = slots.len() as u32;
            slots.push(Slot { name: names.len() as u32, ..*slot });
            names.extend_from_slice(self.name(slot));
        }
        for stored in self.yielded.values_mut() {
            let name = &self.names[stored.name as usize..][..usize::from(stored.length)];
            stored.name = names.len() as u32;
            names.extend_from_slice(name);
        }
        self.index.iter_mut().for_each(|at| *at = moved[*at as usize]);
        (self.slots, self.names, self.dead, self.outworn) = (slots, names, 0, 0);
    }
}
