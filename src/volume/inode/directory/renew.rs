//! Entries that get another name or stand for another inode, and keep their place in listings.
//!
//! To whoever lists the directory meanwhile such an entry was there all the time: it is listed once, wherever the listing
//! had come. On disk each is a remove and an add, like any other.

use super::{Directory, LogRecord, Refused, Slot};
use crate::chunk::{DeviceId, InodeId};
use crate::volume::format::kinds::Kind;
use crate::volume::format::wire::is_name;

/// Bytes of names out of use that are not worth a tidying.
const OUTWORN_MIN: usize = 4096;

impl Directory {
    /// Gives an entry another name that is free, on behalf of `device`; it keeps its place in listings.
    pub fn rename(
        &mut self,
        device: DeviceId,
        from: &[u8],
        to: &[u8],
        log: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if !is_name(to) {
            return Err(Refused::NotAName);
        }
        if self.find(to).is_some() {
            return Err(Refused::Exists);
        }
        let position = self.find(from).ok_or(Refused::Missing)?;
        let Slot { inode, kind, .. } = self.slots[position];
        self.renew(device, position, to, (inode, kind.ok_or(Refused::Missing)?), log)?;
        // One of this name that was hidden would otherwise come to light.
        self.remove(from, log);
        Ok(())
    }

    /// Has a name stand for another inode, on behalf of `device`; it keeps its place in listings.
    pub fn replace(
        &mut self,
        device: DeviceId,
        name: &[u8],
        by: (InodeId, Kind),
        log: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let position = self.find(name).ok_or(Refused::Missing)?;
        self.renew(device, position, name, by, log)
    }

    /// The live slot at a position gets a new dot, a name and what that stands for.
    fn renew(
        &mut self,
        device: DeviceId,
        position: usize,
        name: &[u8],
        (inode, kind): (InodeId, Kind),
        log: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let dot = self.next_dot(device)?;
        let offset = match self.name(&self.slots[position]) == name {
            true => self.slots[position].name,
            false => self.add_name(name).ok_or(Refused::Full)?,
        };
        LogRecord::Remove(self.dot(&self.slots[position])).encode(log);
        self.unlist(position);
        let slot = &mut self.slots[position];
        self.outworn += if slot.name == offset { 0 } else { usize::from(slot.length) };
        (slot.name, slot.length, slot.inode, slot.kind) = (offset, name.len() as u8, inode, Some(kind));
        self.renewed.insert(slot.cookie, dot);
        self.list(position);
        self.vector[usize::from(dot.device)].1 = dot.counter;
        LogRecord::Add { dot, kind, inode, name }.encode(log);
        if self.outworn > OUTWORN_MIN && self.outworn > self.names.len() / 2 {
            self.tidy();
        }
        Ok(())
    }
}
