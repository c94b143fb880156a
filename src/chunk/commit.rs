//! Making changes last: commit, sync, settle (docs/FORMAT.md section 6.3).

use super::chunk::{Chunk, Written};
use super::faults::{self, Fault};
use super::root::{DEVICES, Listing, PLAIN, RECORD, Root, size};
use super::slots::Purpose;
use super::table::{Entry, Table};
use super::{BLOCK, Commit, Error, Result, Space, Version};
use crate::store::StoreFile;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// An fdatasync to be run without the chunk's lock. Keeps the descriptor open until then.
pub struct Sync {
    pub(super) file: Arc<dyn StoreFile>,
}

impl Sync {
    /// Has the disk begin, where several are to be run.
    pub fn start(&self) {
        self.file.start_sync();
    }

    pub fn run(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// Which of the two tables stand in map blocks.
#[derive(Clone, Copy)]
struct Mapped {
    data: bool,
    metadata: bool,
}

impl Chunk {
    /// Writes the changed map blocks and a root. Not durable yet. `Failed` while a sync is under way.
    pub fn commit(&mut self) -> Result<Commit> {
        let number = self.context.next_commit();
        self.commit_as(number)
    }

    /// The same under a number from `Context::next_commit`, which names nothing else and nothing newer was committed
    /// since: `Failed` otherwise. After a failure it can be used again only if no root was attempted under it.
    pub fn commit_as(&mut self, number: Commit) -> Result<Commit> {
        self.usable()?;
        if number <= self.attempted || (self.state.syncing && !faults::makes(Fault::RootDuringSync)) {
            return Err(Error::Failed(self.id));
        }
        self.prepare()?;
        let mapped = self.choose_mapped()?;
        self.check_current()?;
        let maps = self.write_maps(mapped)?;
        let version = self.next_version(number);
        let listing = |table, mapped, maps: &[NewMap]| list(table, mapped, maps);
        let data = listing(&self.data, mapped.data, &maps);
        let metadata = listing(&self.metadata, mapped.metadata, &maps);
        let written = Written { which: self.next_root(), commit: number, settled: false };
        if let Err(error) = self.write_root(written, &version, data, metadata) {
            self.leave_in_doubt(&maps);
            return Err(error);
        }
        self.install(mapped, &maps);
        self.version = version;
        self.newest = Some(written);
        self.slots_mut().committed();
        self.state.dirty = false;
        self.state.in_doubt = false;
        if faults::makes(Fault::NotedAtCommit) {
            self.context.recall.durable(self.id, &self.version);
        }
        Ok(number)
    }

    /// Begins to make everything committed durable; `None` if it is. Run the `Sync`, without the lock if you like, and
    /// hand it back. No commit in between.
    pub fn start_sync(&mut self) -> Result<Option<Sync>> {
        self.usable()?;
        if self.state.in_doubt {
            self.commit()?;
        }
        let durable = self.durable.map(|root| root.commit) == self.newest.map(|root| root.commit);
        let Some(file) = self.file.clone().filter(|_| !durable) else { return Ok(None) };
        self.state.syncing = true;
        self.state.unsynced = false;
        if faults::makes(Fault::DurableBeforeSync) {
            self.durable = self.newest;
        }
        if faults::makes(Fault::FreeAtSyncStart)
            && let Some(slots) = &mut self.slots
        {
            slots.durable();
        }
        Ok(Some(Sync { file }))
    }

    /// Ends it. A failure is final: from then on the chunk only says so.
    pub fn finish_sync(&mut self, _sync: Sync, outcome: io::Result<()>) -> Result<()> {
        self.state.syncing = false;
        if let Err(error) = outcome
            && !faults::makes(Fault::DurableAfterFailedSync)
        {
            self.state.failed = true;
            return Err(self.io(error));
        }
        self.check_current()?;
        self.durable = self.newest;
        self.state.anchored = true;
        if let Some(slots) = &mut self.slots {
            slots.durable();
        }
        self.note_durable();
        Ok(())
    }

    /// Has the newest version remembered, if it is durable and so is the name.
    pub(super) fn note_durable(&self) {
        let durable = self.durable.is_some() && self.durable() == self.version.commit();
        if durable && (!self.state.name_new || faults::makes(Fault::NotedWithoutName)) {
            self.context.recall.durable(self.id, &self.version);
        }
    }

    /// Has the version remembered that was found at opening. A settled root of our own was durable before it was
    /// written; anything else may have come just now, from a sync client or a killed daemon.
    pub(super) fn note_found(&self) {
        let own = self.version.0.first().is_some_and(|entry| entry.0 == self.context.device);
        let settled = self.newest.is_some_and(|root| root.settled);
        if own && settled {
            self.context.recall.durable(self.id, &self.version);
        } else {
            self.context.recall.seen(self.id, &self.version);
        }
    }

    /// `start_sync` and `finish_sync` in place.
    pub fn sync(&mut self) -> Result<()> {
        match self.start_sync()? {
            Some(sync) => {
                let outcome = sync.run();
                self.finish_sync(sync, outcome)
            }
            None => Ok(()),
        }
    }

    /// fdatasync if anything was written that none covers, be it only a settled copy or a truncation: to be done before
    /// the chunk is dropped. Says nothing about what is durable.
    pub fn sync_rest(&mut self) -> Result<()> {
        self.usable()?;
        if self.state.unsynced {
            self.sync_now()?;
            self.state.unsynced = false;
        }
        Ok(())
    }

    /// Writes the durable root once more, marked as settled, over the other one, where that is of use; whether it did.
    pub fn settle(&mut self) -> Result<bool> {
        self.usable()?;
        let Some(newest) = self.newest.filter(|root| !root.settled) else { return Ok(false) };
        let durable = self.durable == self.newest || faults::makes(Fault::SettleBeforeDurable);
        // Without it, whoever spoils the newest root brings the one before back to light.
        let has_past = self.data.maps() + self.metadata.maps() > 0 || self.seals > 1;
        let open_questions = self.state.dirty || self.state.syncing || self.state.name_new;
        if !durable || !has_past || open_questions {
            return Ok(false);
        }
        self.anchor()?;
        self.check_current()?;
        let listing =
            |table: &Table| list(table, table.groups().iter().any(|group| !group.stored.is_hole()), &[]);
        let (data, metadata) = (listing(&self.data), listing(&self.metadata));
        let settled = Written { which: 1 - newest.which, settled: true, ..newest };
        self.write_root(settled, &self.version.clone(), data, metadata)?;
        self.newest = Some(settled);
        Ok(true)
    }

    /// The version that a commit of this number makes.
    pub(super) fn next_version(&self, number: Commit) -> Version {
        let device = self.context.device;
        let mut others: Vec<_> = self.version.0.iter().filter(|entry| entry.0 != device).copied().collect();
        others.sort_unstable_by_key(|entry| entry.0);
        if others.len() == DEVICES
            && let Some(oldest) = (0..DEVICES).min_by_key(|&i| others[i].1)
        {
            others.remove(oldest);
        }
        Version([(device, number)].into_iter().chain(others).collect())
    }

    /// The root slot that does not hold the last durable root.
    fn next_root(&self) -> u8 {
        let which = self.durable.map_or(0, |root| 1 - root.which);
        if faults::makes(Fault::RootOverDurable) { 1 - which } else { which }
    }

    /// Direct tables if they fit, else the larger one in map blocks, else both.
    fn choose_mapped(&self) -> Result<Mapped> {
        let devices = self.next_version(Commit(0)).0.len();
        let larger_is_data = self.data.count() >= self.metadata.count();
        let choices = [(false, false), (larger_is_data, !larger_is_data), (true, true)];
        let choices = choices.map(|(data, metadata)| Mapped { data, metadata });
        let fits = |mapped: &Mapped| {
            let listed = |table: &Table, mapped| if mapped { table.maps() } else { table.count() };
            let listed = listed(&self.data, mapped.data) + listed(&self.metadata, mapped.metadata);
            size(devices, self.record.len(), self.inline.len(), listed) <= PLAIN
        };
        let chosen = choices.into_iter().find(fits).filter(|_| self.record.len() <= RECORD);
        chosen.ok_or(Error::TooLarge(self.id))
    }

    fn check_current(&self) -> Result<()> {
        let current = self.file.as_ref().map_or(Ok(true), |file| file.is_current());
        match current {
            Ok(false) if !faults::makes(Fault::NotCurrentIgnored) => Err(Error::Replaced(self.id)),
            Ok(_) => Ok(()),
            Err(error) => Err(self.io(error)),
        }
    }

    /// Writes the map blocks that changed. If it fails, none was written.
    fn write_maps(&mut self, mapped: Mapped) -> Result<Vec<NewMap>> {
        let mut maps = Vec::new();
        for (space, mapped) in [(Space::Data, mapped.data), (Space::Metadata, mapped.metadata)] {
            let changed = |k: &usize| {
                let group = &self.table(space).groups()[*k];
                !group.is_empty() && (group.dirty || group.stored.is_hole())
            };
            let count = if mapped { self.table(space).groups().len() } else { 0 };
            for k in (0..count).filter(changed).collect::<Vec<_>>() {
                let mut block = [0; BLOCK];
                self.table(space).groups()[k].loaded().expect("all maps are loaded").encode(&mut block);
                match self.store(space.map_kind(), k as u16, &block, Purpose::Map) {
                    Ok(entries) => maps.push(NewMap { space, k, entry: entries[0] }),
                    Err(error) => {
                        maps.iter().for_each(|map| self.slots_mut().release(map.entry.slot));
                        return Err(error);
                    }
                }
            }
        }
        Ok(maps)
    }

    fn write_root(
        &mut self,
        root: Written,
        version: &Version,
        data: Listing,
        metadata: Listing,
    ) -> Result<()> {
        self.seals += 1;
        self.attempted = root.commit;
        self.state.unsynced = true;
        let (settled, seals, record, inline) = (root.settled, self.seals, &*self.record, &*self.inline);
        let root_bytes = self.key.seal_root(self.id, root.which, |out| {
            Root { settled, version, seals, record, inline, data, metadata }.encode(out);
        });
        let file = self.file.as_ref().ok_or(Error::Missing(self.id))?;
        let offset = u64::from(root.which) * BLOCK as u64;
        file.write_at(offset, &[IoSlice::new(&root_bytes)]).map_err(|error| self.io(error))?;
        self.check_current()
    }

    /// After a root that was written perhaps: nothing that it names may be reused before a later one is durable.
    fn leave_in_doubt(&mut self, maps: &[NewMap]) {
        if faults::makes(Fault::MaybeWrittenRootForgotten) {
            maps.iter().for_each(|map| self.slots_mut().release(map.entry.slot));
            return;
        }
        self.slots_mut().named();
        maps.iter().for_each(|map| self.slots_mut().release(map.entry.slot));
        self.state.dirty = true;
        self.state.in_doubt = true;
    }

    /// The tables now stand as the root says; former map blocks are let go.
    fn install(&mut self, mapped: Mapped, maps: &[NewMap]) {
        let mut dropped = Vec::new();
        for (table, mapped) in [(&mut self.data, mapped.data), (&mut self.metadata, mapped.metadata)] {
            let space = table.space;
            for (k, group) in table.groups_mut().iter_mut().enumerate() {
                let new = maps.iter().find(|map| map.space == space && map.k == k).map(|map| map.entry);
                let kept = if mapped && !group.is_empty() { group.stored } else { Entry::HOLE };
                let former = std::mem::replace(&mut group.stored, new.unwrap_or(kept));
                if !former.is_hole() && former.slot != group.stored.slot {
                    dropped.push(former.slot);
                }
                group.dirty = false;
            }
        }
        dropped.into_iter().for_each(|slot| self.slots_mut().release(slot));
    }
}

/// A map block that was just written.
struct NewMap {
    space: Space,
    k: usize,
    entry: Entry,
}

/// What a root lists of a table, of which `new` are not yet installed.
fn list(table: &Table, mapped: bool, new: &[NewMap]) -> Listing {
    if !mapped {
        return Listing { mapped, entries: table.present().collect() };
    }
    let groups = table.groups().iter().enumerate().filter(|(_, group)| !group.is_empty());
    let entry = |(k, stored): (usize, Entry)| {
        let new = new.iter().find(|map| map.space == table.space && map.k == k);
        (k as u16, new.map_or(stored, |map| map.entry))
    };
    Listing { mapped, entries: groups.map(|(k, group)| entry((k, group.stored))).collect() }
}
