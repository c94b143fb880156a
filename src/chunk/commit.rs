//! Making changes last: commit, sync, backup root (docs/FORMAT.md section 6.3).

use super::chunk::{Chunk, Written};
use super::entry::{Entry, RootTable};
use super::mutants::{self, Mutant};
use super::root::{DEVICES, PLAIN, RECORD, Root, size};
use super::slots::Purpose;
use super::table::Table;
use super::{BLOCK, BlockNumber, Commit, Error, Hold, Result, Section, Version, vector};
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

    /// Runs it. The outcome is for [`Chunk::finish_sync`].
    ///
    /// # Errors
    ///
    /// The store's: what was written since the last fdatasync that succeeded may be lost.
    pub fn run(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// How a table stands in a root.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Direct,
    /// In map blocks, and beside them what changed since they were written.
    Beside,
    /// In map blocks alone.
    Maps,
}

impl Form {
    /// Entries that a root lists of a table. Everything is loaded.
    fn listed(self, table: &Table) -> usize {
        match self {
            Form::Direct => table.count(),
            Form::Beside => table.mapped() + table.beside_maps(),
            Form::Maps => table.maps(),
        }
    }
}

/// Of the data table and the metadata table.
type Forms = [Form; 2];

impl Chunk {
    /// Writes the changed map blocks and a root. Not durable yet.
    ///
    /// # Errors
    ///
    /// As [`Chunk::commit_as`].
    pub fn commit(&mut self) -> Result<Commit> {
        let number = self.context.next_commit();
        self.commit_as(number)
    }

    /// The same under a number from `Context::next_commit`, which names nothing else. After a failure it can be
    /// used again only if no root was attempted under it.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] while a sync is under way, after an fdatasync failed, or if this number or a larger one
    /// was used before; [`Error::TooLarge`]; [`Error::SlotsExhausted`]: sync, try again; [`Error::Damaged`] or
    /// [`Error::Incomplete`] of a map block; [`Error::Io`]. The chunk stays dirty.
    pub fn commit_as(&mut self, number: Commit) -> Result<Commit> {
        self.usable()?;
        if number <= self.attempted || (self.state.syncing && !mutants::is_active(Mutant::RootDuringSync)) {
            return Err(Error::Failed(self.id));
        }
        self.prepare()?;
        let version = self.next_version(number);
        self.make_room_for_devices(&version)?;
        let forms = self.choose_forms(&version)?;
        let maps = self.write_maps(forms)?;
        let (data, metadata) = (list(&self.data, forms[0], &maps), list(&self.metadata, forms[1], &maps));
        let bare = is_bare(&self.data, &self.inline);
        let written = Written { which: self.next_root(), commit: number, settled: false, bare };
        if let Err(error) = self.write_root(written, &version, data, metadata) {
            self.leave_in_doubt(&maps);
            return Err(error);
        }
        self.install(forms, &maps);
        self.version = version;
        self.included = Version::default();
        self.newest = Some(written);
        self.slots_mut().committed();
        self.hold = Hold::default();
        self.state.dirty = false;
        self.state.changed = false;
        self.state.in_doubt = false;
        if mutants::is_active(Mutant::NotedAtCommit) {
            self.context.recall.durable(self.id, &self.version);
        }
        Ok(number)
    }

    /// Begins to make everything committed durable; `None` if it is. Run the `Sync`, without the lock if you like, and
    /// hand it back. No commit in between.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] after an fdatasync failed; where the last root is in doubt, as [`Chunk::commit`].
    pub fn start_sync(&mut self) -> Result<Option<Sync>> {
        self.usable()?;
        if self.state.in_doubt {
            self.commit()?;
        }
        let durable = self.durable.map(|root| root.commit) == self.newest.map(|root| root.commit);
        let Some(file) = self.file.clone().filter(|_| !durable) else { return Ok(None) };
        self.state.syncing = true;
        self.state.unsynced = false;
        self.unsynced.sync_begins();
        if mutants::is_active(Mutant::DurableBeforeSync) {
            self.durable = self.newest;
        }
        if mutants::is_active(Mutant::FreeAtSyncStart)
            && let Some(slots) = &mut self.slots
        {
            slots.durable();
        }
        Ok(Some(Sync { file }))
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if `outcome` is one: from then on [`Error::Failed`] until [`Chunk::recover`].
    /// [`Error::Replaced`] if the name leads to another file, [`Error::Io`] if that cannot be told: then what was
    /// written counts as dirty.
    pub fn finish_sync(&mut self, _sync: Sync, outcome: io::Result<()>) -> Result<()> {
        self.state.syncing = false;
        if let Err(error) = outcome
            && !mutants::is_active(Mutant::DurableAfterFailedSync)
        {
            self.state.failed = true;
            self.unsynced.sync_failed();
            return Err(self.io(error));
        }
        self.unsynced.sync_succeeded();
        if let Err(error) = self.check_current() {
            // What was committed is in no file that has the name: the chunk must not pass for one that can be closed.
            self.state.dirty |= self.state.anchored;
            return Err(error);
        }
        let replaced = self.durable;
        self.durable = self.newest;
        self.state.anchored = true;
        if let Some(slots) = &mut self.slots {
            slots.durable();
        }
        self.note_durable();
        if replaced.is_some_and(|root| root.bare) && !mutants::is_active(Mutant::BareUnsettled) {
            self.settle_at_once();
        }
        Ok(())
    }

    /// The state before, without content, must not come back to light where a block of this one is spoilt: who finds that after
    /// this process died does not know that this one was durable. What cannot be done now is done at rest.
    fn settle_at_once(&mut self) {
        if let Err(error) = self.write_backup_root() {
            log::debug!("{:?} is settled later: {error}", self.id);
        }
    }

    /// Has the newest version remembered, if it is durable and so is the name.
    pub(super) fn note_durable(&self) {
        let durable = self.durable.is_some() && self.durable() == self.version.commit();
        if durable && (!self.state.name_new || mutants::is_active(Mutant::NotedWithoutName)) {
            self.context.recall.durable(self.id, &self.version);
        }
    }

    /// Has the version remembered that was found at opening. A settled root of our own was durable before it was
    /// written; anything else may have come just now, from a sync client or a killed daemon.
    pub(super) fn note_found(&self) {
        let own = self.version.0.first().is_some_and(|entry| entry.0 == self.context.device);
        let settled = self.newest.is_some_and(|root| root.settled);
        if own && settled {
            self.context.recall.found_durable(self.id, &self.version);
        } else {
            self.context.recall.seen(self.id, &self.version);
        }
    }

    /// What this device made and this version, which was found, lacks is elsewhere: this version is remembered from now on. Its
    /// file has its name durably.
    ///
    /// # Errors
    ///
    /// As [`Chunk::sync_rest`].
    pub fn go_on_without_own(&mut self) -> Result<()> {
        self.usable()?;
        self.sync_now()?;
        self.lacks_own = false;
        self.context.recall.durable(self.id, &self.version);
        Ok(())
    }

    /// `start_sync` and `finish_sync` in place.
    ///
    /// # Errors
    ///
    /// As [`Chunk::start_sync`] and [`Chunk::finish_sync`].
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
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] after an fdatasync failed; [`Error::Io`] if this one does, and from then on
    /// [`Error::Failed`] until [`Chunk::recover`].
    pub fn sync_rest(&mut self) -> Result<()> {
        self.usable()?;
        if self.state.unsynced {
            self.sync_now()?;
            self.state.unsynced = false;
        }
        Ok(())
    }

    /// Writes the durable root once more, marked as settled, over the other one, where that is of use; whether it did.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] after an fdatasync failed; [`Error::Io`]. The durable root stays as it is.
    pub fn write_backup_root(&mut self) -> Result<bool> {
        self.usable()?;
        let Some(newest) = self.newest.filter(|root| !root.settled) else { return Ok(false) };
        let durable = self.durable == self.newest || mutants::is_active(Mutant::BackupRootBeforeDurable);
        // Without it, whoever spoils the newest root brings the one before back to light.
        let has_past = self.data.maps() + self.metadata.maps() > 0 || self.seals > 1;
        let open_questions = self.state.dirty || self.state.syncing || self.state.name_new;
        if !durable || !has_past || open_questions {
            return Ok(false);
        }
        self.anchor()?;
        let [data, metadata] = [&self.data, &self.metadata].map(|table| list(table, Form::Beside, &[]));
        let settled = Written { which: 1 - newest.which, settled: true, ..newest };
        self.write_root(settled, &self.version.clone(), data, metadata)?;
        self.newest = Some(settled);
        Ok(true)
    }

    /// The version that a commit of this number makes.
    pub fn next_version(&self, number: Commit) -> Version {
        let known = self.version.0.iter().chain(&self.included.0).copied();
        vector::next(known, self.context.device, number)
    }

    /// Where a root cannot list this version, or the block names a device that was dropped, everybody else's entries go
    /// into a block of their own: after that the root has room for as many devices again.
    fn make_room_for_devices(&mut self, version: &Version) -> Result<()> {
        if self.others.listed(version).len() <= DEVICES && self.others.is_part_of(version) {
            return Ok(());
        }
        let others = vector::Others::of(version);
        self.write(Section::Metadata, vector::NUMBER, &others.encode())?;
        self.others = others;
        Ok(())
    }

    /// Has the next commit include what another version of this chunk does, which was merged into it.
    pub fn include(&mut self, other: &Version) {
        other.0.iter().for_each(|entry| self.context.saw(entry.1));
        self.included.0.extend_from_slice(&other.0);
        self.state.dirty = true;
    }

    /// The root slot that does not hold the last durable root.
    fn next_root(&self) -> u8 {
        let which = self.durable.map_or(0, |root| 1 - root.which);
        if mutants::is_active(Mutant::RootOverDurable) { 1 - which } else { which }
    }

    /// Direct tables if they fit, else the larger one in map blocks, else both: with what changed beside them as long as
    /// that fits, so that most commits write no map block.
    fn choose_forms(&self, version: &Version) -> Result<Forms> {
        let devices = self.others.listed(version).len();
        let larger = usize::from(self.data.count() < self.metadata.count());
        let one = |form| [0, 1].map(|table| if table == larger { form } else { Form::Direct });
        let choices =
            [one(Form::Direct), one(Form::Beside), one(Form::Maps), [Form::Beside; 2], [Form::Maps; 2]];
        let fits = |forms: &Forms| {
            let listed = forms[0].listed(&self.data) + forms[1].listed(&self.metadata);
            size(devices, self.record.len(), self.inline.len(), listed) <= PLAIN
        };
        let chosen = choices.into_iter().find(fits).filter(|_| self.record.len() <= RECORD);
        chosen.ok_or(Error::TooLarge(self.id))
    }

    /// Whether the chunk's name still leads to the file that is open.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the store cannot tell.
    pub fn is_current(&self) -> Result<bool> {
        let current = self.file.as_ref().map_or(Ok(true), |file| file.is_current());
        current.map_err(|error| self.io(error))
    }

    fn check_current(&self) -> Result<()> {
        match self.is_current()? || mutants::is_active(Mutant::NotCurrentIgnored) {
            true => Ok(()),
            false => Err(Error::Replaced(self.id)),
        }
    }

    /// Writes the map blocks that changed. If it fails, none was written.
    fn write_maps(&mut self, forms: Forms) -> Result<Vec<NewMap>> {
        let mut maps = Vec::new();
        for (section, form) in Section::BOTH.into_iter().zip(forms) {
            let is_due = |k: &usize| {
                let group = &self.table(section).groups()[*k];
                !group.is_empty() && (group.stale || form == Form::Maps && group.is_changed())
            };
            let count = if form == Form::Direct { 0 } else { self.table(section).groups().len() };
            for k in (0..count).filter(is_due).collect::<Vec<_>>() {
                let mut block = [0; BLOCK];
                self.table(section).groups()[k].loaded().expect("all maps are loaded").encode(&mut block);
                match self.store(section.map_kind(), BlockNumber(k as u16), &block, Purpose::Map) {
                    Ok(entries) => maps.push(NewMap { section, k, entry: entries[0] }),
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
        data: RootTable,
        metadata: RootTable,
    ) -> Result<()> {
        self.seals += 1;
        self.attempted = root.commit;
        self.state.unsynced = true;
        let (settled, seals, record, inline) = (root.settled, self.seals, &*self.record, &*self.inline);
        let (listed, more_devices) = (&*self.others.listed(version), !self.others.is_empty());
        let key = self.key.as_ref().expect("the chunk was prepared for writing");
        let root_bytes = key.seal_root(self.id, root.which, |out| {
            Root { settled, listed, more_devices, seals, record, inline, data, metadata }.encode(out);
        });
        let offset = u64::from(root.which) * BLOCK as u64;
        let written = self.in_held_space(1, |chunk| {
            let file = chunk.file.as_ref().ok_or(Error::Missing(chunk.id))?;
            file.write_at(offset, &[IoSlice::new(&root_bytes)]).map_err(|error| chunk.io(error))
        });
        self.suspecting(written)
    }

    /// After a root that was written perhaps: nothing that it names may be reused before a later one is durable.
    fn leave_in_doubt(&mut self, maps: &[NewMap]) {
        if mutants::is_active(Mutant::MaybeWrittenRootForgotten) {
            maps.iter().for_each(|map| self.slots_mut().release(map.entry.slot));
            return;
        }
        self.slots_mut().named();
        maps.iter().for_each(|map| self.slots_mut().release(map.entry.slot));
        self.state.dirty = true;
        self.state.in_doubt = true;
    }

    /// The tables now stand as the root says; former map blocks are let go.
    fn install(&mut self, forms: Forms, maps: &[NewMap]) {
        let mut dropped = Vec::new();
        for (table, form) in [&mut self.data, &mut self.metadata].into_iter().zip(forms) {
            let section = table.section;
            for (k, group) in table.groups_mut().iter_mut().enumerate() {
                let former = group.stored;
                match maps.iter().find(|map| map.section == section && map.k == k) {
                    Some(map) => group.map_written(map.entry),
                    None if form == Form::Direct || group.is_empty() => group.map_dropped(),
                    None => {}
                }
                if !former.is_hole() && former.slot != group.stored.slot {
                    dropped.push(former.slot);
                }
            }
        }
        dropped.into_iter().for_each(|slot| self.slots_mut().release(slot));
    }
}

/// A map block that was just written.
struct NewMap {
    section: Section,
    k: usize,
    entry: Entry,
}

/// Whether a root of these holds no content.
pub(super) fn is_bare(data: &Table, inline: &[u8]) -> bool {
    data.maps() == 0 && inline.is_empty()
}

/// What a root lists of a table, of which `new` are not yet installed.
fn list(table: &Table, form: Form, new: &[NewMap]) -> RootTable {
    if form == Form::Direct {
        return RootTable { maps: Vec::new(), entries: table.present() };
    }
    let groups = table.groups().iter().enumerate().filter(|(_, group)| !group.is_empty());
    let map = |(k, stored): (usize, Entry)| {
        let new = new.iter().find(|map| map.section == table.section && map.k == k);
        (BlockNumber(k as u16), new.map_or(stored, |map| map.entry))
    };
    let maps = groups.map(|(k, group)| map((k, group.stored))).filter(|(_, map)| !map.is_hole()).collect();
    let mut entries = Vec::with_capacity(table.beside_maps());
    if form == Form::Beside && !mutants::is_active(Mutant::MapsAlone) {
        table.each_beside_maps(|number, entry| entries.push((number, entry)));
    }
    RootTable { maps, entries }
}
