//! A directory in memory, and how it comes from its log and writes it (docs/FORMAT.md section 8).
//!
//! Slots lie in increasing order of cookie, removed ones among them until they outnumber the others; so a cookie finds
//! its place by bisection whatever was added or removed meanwhile. Listings go from the newest entry to the oldest: what
//! is added while one is under way lies behind it. A name that is changed, replaced or exchanged keeps its cookie as long
//! as the directory is in memory, so that a listing meets it once; its new dot is then another. Names lie end to end in
//! one arena, because a million small allocations would cost more than the names. A name stands in two live slots only after
//! two devices gave it: one of them is then shown under another name (`yielding`); if both lead to one inode they are one
//! entry. `.` and `..` are the caller's: their cookies
//! may be 1 and 2, since counters begin at 1 and cookies therefore at 256.

use crate::chunk::{DeviceId, InodeId};
use crate::volume::Error;
use crate::volume::format::directory_log::{ADD_LENGTH, Author, COUNTER_MAX, Dot, LogRecord, records};
use crate::volume::format::kinds::Kind;
use crate::volume::format::limits::DEVICES_MAX;
use crate::volume::format::record::EntryDot;
use crate::volume::format::wire::{Malformed, is_name};
use hashbrown::{HashMap, HashTable};
pub use join::{Joined, Place, author_of};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use yielding::Stored;
pub use yielding::{Named, Removed, Replaced};

/// Removed slots that are not worth a tidying.
const DEAD_MIN: usize = 32;

/// Is shown an entry: cookie, name, inode, kind. Answers whether it wants more.
pub type Visit<'a> = dyn FnMut(u64, &[u8], InodeId, Kind) -> bool + 'a;

/// The entries of a directory.
pub struct Directory {
    vector: Vec<(DeviceId, u64)>,
    slots: Vec<Slot>,
    /// By their cookies, the dots of the slots whose dot it is not.
    renewed: HashMap<u64, Dot>,
    /// By their cookies, the names in the log of slots that another one has the name of.
    yielded: HashMap<u64, Stored>,
    names: Vec<u8>,
    /// Positions of the live slots, by the hash of their names.
    index: HashTable<u32>,
    /// Seeded at random: names may be chosen to collide.
    hasher: RandomState,
    /// Slots of removed entries.
    dead: usize,
    /// Bytes of names that live slots do not have any more.
    outworn: usize,
    /// Live slots behind another one of the same name as it is shown.
    hidden: usize,
    /// Some of those lead to another inode, and have no name to be shown under.
    has_hidden: bool,
    /// Live slots of sub-directories.
    directories: usize,
    /// Bytes of the log of all live slots.
    log_bytes: u64,
}

struct Slot {
    cookie: u64,
    /// Where the name begins in the arena.
    name: u32,
    inode: InodeId,
    length: u8,
    /// None: removed.
    kind: Option<Kind>,
}

const _: () = assert!(size_of::<Slot>() == 32);

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub name: &'a [u8],
    /// The name in the log, and in the inode's links.
    pub stored: &'a [u8],
    pub inode: InodeId,
    pub kind: Kind,
    /// At least 256.
    pub cookie: u64,
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The name is taken.
    Exists,
    /// There is no such name.
    Missing,
    /// Empty, longer than 255 bytes, `.`, `..`, or with `/` or NUL in it.
    NotAName,
    /// 255 other devices wrote here, counters are exhausted, or names exceed 4 GiB.
    Full,
}

impl Default for Directory {
    fn default() -> Directory {
        Directory::new(Vec::new())
    }
}

impl Directory {
    /// An empty one. `vector` is that of the inode's record, which the log's device indices refer to.
    pub fn new(vector: Vec<(DeviceId, u64)>) -> Directory {
        Directory {
            vector,
            slots: Vec::new(),
            renewed: HashMap::new(),
            yielded: HashMap::new(),
            names: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            dead: 0,
            outworn: 0,
            hidden: 0,
            has_hidden: false,
            directories: 0,
            log_bytes: 0,
        }
    }

    /// Applies a part of the stored log: a segment or the tail.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if a record makes no sense, or its dot is there twice or not covered by the vector. The
    /// directory must not be used then.
    pub fn load(&mut self, log: &[u8]) -> Result<(), Malformed> {
        let own: Vec<u8> = (0..=u8::MAX).take(self.vector.len()).collect();
        self.replay(log, &own, None)
    }

    /// Applies the log of a batch whose device indices refer to `devices`. What it changed is appended to `applied`
    /// as log records for this directory's own tail.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if a record makes no sense, or the vector has no room for a device. The directory must
    /// not be used then.
    pub fn apply(
        &mut self,
        log: &[u8],
        devices: &[DeviceId],
        applied: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let own: Option<Vec<u8>> = devices.iter().map(|&device| self.device_index(device)).collect();
        self.replay(log, &own.ok_or(Malformed("too many devices"))?, Some(applied))
    }

    /// For each device the largest counter it ever used here. Devices keep their positions for ever.
    pub fn vector(&self) -> &[(DeviceId, u64)] {
        &self.vector
    }

    /// Whether everything is in it that a device did here up to a counter.
    pub fn covers(&self, device: DeviceId, counter: u64) -> bool {
        counter == 0 || self.vector.iter().any(|&(known, newest)| known == device && newest >= counter)
    }

    pub fn get(&self, name: &[u8]) -> Option<Entry<'_>> {
        self.entry(&self.slots[self.find(name)?])
    }

    /// Adds an entry on behalf of `author` and appends the record of it to `log`. Answers its dot.
    ///
    /// # Errors
    ///
    /// `Refused::Exists`, `Refused::NotAName`, or `Refused::Full`; no entry was added then.
    pub fn insert(
        &mut self,
        author: Author,
        name: &[u8],
        inode: InodeId,
        kind: Kind,
        log: &mut Vec<u8>,
    ) -> Result<EntryDot, Refused> {
        if !is_name(name) {
            return Err(Refused::NotAName);
        }
        if self.find(name).is_some() {
            return Err(Refused::Exists);
        }
        let dot = self.next_dot(author)?;
        self.push(dot, name, inode, kind).ok_or(Refused::Full)?;
        self.vector[usize::from(dot.device)].1 = dot.counter;
        LogRecord::Add { dot, kind, inode, name }.encode(log);
        Ok(self.rank_of(dot))
    }

    /// Above every counter of the directory, and in time above those that this device may have forgotten.
    fn next_dot(&mut self, author: Author) -> Result<Dot, Refused> {
        let newest = self.vector.iter().map(|&(_, counter)| counter).max().unwrap_or_default();
        if newest >= COUNTER_MAX {
            return Err(Refused::Full);
        }
        let now = Some(author.now.0).filter(|now| *now <= COUNTER_MAX).unwrap_or_default();
        let device = self.device_index(author.device).ok_or(Refused::Full)?;
        Ok(Dot { device, counter: now.max(newest + 1) })
    }

    /// Whether `device` may add entries: 255 others may have (docs/FORMAT.md section 7).
    pub fn takes(&self, device: DeviceId) -> bool {
        self.vector.len() < DEVICES_MAX || self.vector.iter().any(|&(known, _)| known == device)
    }

    /// The entries that follow `cookie` in a listing, in decreasing order of cookie; 0: from the start. A cookie stays
    /// good when its entry is removed.
    pub fn iter_after(&self, cookie: u64) -> impl Iterator<Item = Entry<'_>> {
        let end = match cookie {
            0 => self.slots.len(),
            _ => self.slots.partition_point(|slot| slot.cookie < cookie),
        };
        let visible =
            move |position| self.hidden == 0 || self.find(self.name(&self.slots[position])) == Some(position);
        let entries = self.slots[..end].iter().enumerate().rev();
        entries.filter_map(move |(position, slot)| self.entry(slot).filter(|_| visible(position)))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.slots.len() - self.dead - self.hidden
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of sub-directories.
    pub fn directories(&self) -> usize {
        if self.hidden == 0 {
            return self.directories;
        }
        self.iter_after(0).filter(|entry| entry.kind == Kind::Directory).count()
    }

    /// Bytes that `write_compacted` would append.
    pub fn live_log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Appends the shortest log that makes this directory, given its vector.
    pub fn write_compacted(&self, out: &mut Vec<u8>) {
        out.reserve(self.log_bytes as usize);
        for slot in &self.slots {
            if let Some(Entry { stored: name, inode, kind, .. }) = self.entry(slot) {
                LogRecord::Add { dot: self.dot(slot), kind, inode, name }.encode(out);
            }
        }
    }

    /// `own` says which position in the vector a device index of the log means. Without `applied` this is the stored
    /// log, whose dots the vector covers; with it a batch, of which only what the vector does not cover is news.
    fn replay(&mut self, log: &[u8], own: &[u8], mut applied: Option<&mut Vec<u8>>) -> Result<(), Malformed> {
        let translate = |dot: Dot| match own.get(usize::from(dot.device)) {
            Some(&device) => Ok(Dot { device, ..dot }),
            None => Err(Malformed("a dot of no known device")),
        };
        // Removals first: once dots of several devices were added the slots may be out of order, and bisection fail.
        let (mut removed, mut adds) = (HashSet::new(), 0);
        for record in records(log) {
            let LogRecord::Remove(dot) = record? else {
                adds += 1;
                continue;
            };
            let dot = translate(dot)?;
            removed.insert(dot.cookie());
            if let Some(position) = self.position(dot) {
                self.delete(position);
                if let Some(applied) = &mut applied {
                    LogRecord::Remove(dot).encode(applied);
                }
            }
        }
        self.reserve(adds);
        for record in records(log) {
            let LogRecord::Add { dot, kind, inode, name } = record? else { continue };
            let dot = translate(dot)?;
            let newest = &mut self.vector[usize::from(dot.device)].1;
            match (dot.counter <= *newest, applied.is_some()) {
                (true, true) => continue,
                (false, false) => return Err(Malformed("a dot that the directory vector does not cover")),
                (true, false) => {}
                (false, true) => *newest = dot.counter,
            }
            if removed.contains(&dot.cookie()) {
                continue;
            }
            self.push(dot, name, inode, kind).ok_or(Malformed("too many names"))?;
            if let Some(applied) = &mut applied {
                LogRecord::Add { dot, kind, inode, name }.encode(applied);
            }
        }
        self.put_in_order()
    }

    /// After slots were added as they came.
    fn put_in_order(&mut self) -> Result<(), Malformed> {
        if !self.slots.is_sorted_by_key(|slot| slot.cookie) {
            self.drop_removed();
        }
        if self.slots.windows(2).any(|pair| pair[0].cookie == pair[1].cookie) {
            return Err(Malformed("a dot twice"));
        }
        self.derive_names();
        Ok(())
    }

    /// The position of `device` in the vector, where it is put if it is new; none if there is no room.
    fn device_index(&mut self, device: DeviceId) -> Option<u8> {
        let known = self.vector.iter().position(|&(d, _)| d == device);
        let index = known.unwrap_or(self.vector.len());
        if index >= DEVICES_MAX {
            return None;
        }
        if known.is_none() {
            self.vector.push((device, 0));
        }
        Some(index as u8)
    }

    /// Makes room for that many entries at once: an index that grows step by step hashes every name again each time.
    fn reserve(&mut self, entries: usize) {
        let Directory { slots, names, hasher, index, .. } = self;
        index.reserve(entries, |&at| hasher.hash_one(slots[at as usize].name_in(names)));
        slots.reserve(entries);
    }

    /// Appends a live slot; none if the arena is full. As no name is empty, positions fit where its offsets do.
    fn push(&mut self, dot: Dot, name: &[u8], inode: InodeId, kind: Kind) -> Option<()> {
        let offset = self.add_name(name)?;
        let length = name.len() as u8;
        self.slots.push(Slot { cookie: dot.cookie(), name: offset, inode, length, kind: Some(kind) });
        self.list(self.slots.len() - 1);
        Some(())
    }

    fn add_name(&mut self, name: &[u8]) -> Option<u32> {
        let offset = u32::try_from(self.names.len()).ok()?;
        self.names.extend_from_slice(name);
        Some(offset)
    }

    /// Has the name of a live slot lead to it, and counts it.
    fn list(&mut self, position: usize) {
        let slot = &self.slots[position];
        let hash = self.hasher.hash_one(self.name(slot));
        self.directories += usize::from(slot.kind == Some(Kind::Directory));
        self.log_bytes += self.log_length(slot);
        if self.find_hashed(hash, self.name(slot)).is_some() {
            self.hidden += 1;
        }
        let Directory { slots, names, hasher, index, .. } = self;
        index.insert_unique(hash, position as u32, |&at| hasher.hash_one(slots[at as usize].name_in(names)));
    }

    /// Bytes of an entry in the log.
    fn log_length(&self, slot: &Slot) -> u64 {
        let length = self.yielded.get(&slot.cookie).map_or(slot.length, |stored| stored.length);
        (ADD_LENGTH + usize::from(length)) as u64
    }

    /// Undoes `list`.
    fn unlist(&mut self, position: usize) {
        let slot = &self.slots[position];
        let hash = self.hasher.hash_one(self.name(slot));
        self.directories -= usize::from(slot.kind == Some(Kind::Directory));
        self.log_bytes -= self.log_length(slot);
        if let Ok(indexed) = self.index.find_entry(hash, |&at| at as usize == position) {
            indexed.remove();
        }
        if self.hidden > 0 && self.find_hashed(hash, self.name(&self.slots[position])).is_some() {
            self.hidden -= 1;
        }
    }

    /// Marks a live slot as removed. Positions may have changed afterwards.
    fn delete(&mut self, position: usize) {
        self.unlist(position);
        let slot = &mut self.slots[position];
        slot.kind = None;
        self.renewed.remove(&slot.cookie);
        self.yielded.remove(&slot.cookie);
        self.dead += 1;
        if self.dead > DEAD_MIN && self.dead > self.slots.len() / 2 {
            self.drop_removed();
        }
    }

    fn dot(&self, slot: &Slot) -> Dot {
        self.renewed.get(&slot.cookie).copied().unwrap_or(Dot::from_cookie(slot.cookie))
    }

    /// Where the live slot of a dot is.
    fn position(&self, dot: Dot) -> Option<usize> {
        let renewed = self.renewed.iter().find(|(_, other)| **other == dot);
        let cookie = renewed.map_or(dot.cookie(), |(cookie, _)| *cookie);
        let position = self.slots.binary_search_by_key(&cookie, |slot| slot.cookie).ok()?;
        let slot = &self.slots[position];
        (slot.kind.is_some() && self.dot(slot) == dot).then_some(position)
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        self.find_hashed(self.hasher.hash_one(name), name)
    }

    /// The live slot of that name that has the greatest dot.
    fn find_hashed(&self, hash: u64, name: &[u8]) -> Option<usize> {
        let candidates = self.index.iter_hash(hash).map(|&at| at as usize);
        let mut candidates = candidates.filter(|&at| self.name(&self.slots[at]) == name);
        let first = candidates.next()?;
        let greater = |best, at| if self.rank(at) > self.rank(best) { at } else { best };
        Some(candidates.fold(first, greater))
    }

    fn name(&self, slot: &Slot) -> &[u8] {
        slot.name_in(&self.names)
    }

    fn entry(&self, slot: &Slot) -> Option<Entry<'_>> {
        let kind = slot.kind?;
        let (name, stored) = (self.name(slot), self.stored_name(slot));
        Some(Entry { name, stored, inode: slot.inode, kind, cookie: slot.cookie })
    }
}

impl Slot {
    fn name_in<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        &names[self.name as usize..][..usize::from(self.length)]
    }
}

mod join;
mod positions;
mod renew;
mod yielding;

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::Exists => Error::Exists,
            Refused::Missing => Error::NotFound,
            Refused::NotAName => Error::Invalid,
            Refused::Full => Error::NoSpace,
        }
    }
}

#[cfg(test)]
mod tests;
