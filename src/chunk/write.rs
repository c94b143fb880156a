//! Changing blocks: only ever into free slots (docs/FORMAT.md section 6.3, rules 1 and 6).

use super::blocks::Key;
use super::cache::Block;
use super::chunk::Chunk;
use super::entry::{Entry, Slot};
use super::mutants::{self, Mutant};
use super::slots::{Purpose, Slots};
use super::table::{Group, Table};
use super::{BLOCK, BlockNumber, Error, NEW_FILE, Relation, Result, Section};
use std::ops::Range;

impl Chunk {
    /// Writes whole blocks, `first` onward: sealed, and in the file, but part of the chunk for others only after
    /// the next commit.
    ///
    /// # Errors
    ///
    /// [`Error::SlotsExhausted`]: commit, sync, try again. [`Error::Failed`] after an fdatasync failed;
    /// [`Error::Damaged`] or [`Error::Incomplete`] of a map block; [`Error::Io`]. Nothing was changed then.
    pub fn write(&mut self, section: Section, first: BlockNumber, data: &[u8]) -> Result<()> {
        self.write_for(Purpose::Content, section, first, data)
    }

    /// The same for what was acknowledged already: it may take the space that is held for the chunk.
    ///
    /// # Errors
    ///
    /// As [`Chunk::write`].
    pub fn write_acknowledged(&mut self, section: Section, first: BlockNumber, data: &[u8]) -> Result<()> {
        self.write_for(Purpose::Acknowledged, section, first, data)
    }

    fn write_for(
        &mut self,
        purpose: Purpose,
        section: Section,
        first: BlockNumber,
        data: &[u8],
    ) -> Result<()> {
        assert!(data.len().is_multiple_of(BLOCK), "whole blocks are written");
        let count = data.len() / BLOCK;
        assert!(
            first.index() + count <= self.table(section).limit.end().index(),
            "the section has these blocks"
        );
        if count == 0 {
            return Ok(());
        }
        let entries = self.store(section.kind(), first, data, purpose)?;
        for (number, entry) in first.onward().zip(entries) {
            self.put(section, number, entry);
        }
        self.state.changed |= section == Section::Data;
        Ok(())
    }

    /// Changes part of a data block, `within` bytes from its start.
    ///
    /// # Errors
    ///
    /// As [`Chunk::read_block`] and [`Chunk::write`].
    pub fn write_part(&mut self, number: BlockNumber, within: usize, data: &[u8]) -> Result<()> {
        let former = self.data.get(number, &self.blocks())?;
        let kept = self.context.cache.take(self.id, &former);
        let has_it = kept.is_some();
        let mut block = kept.unwrap_or_else(|| Block([0; BLOCK].into()));
        if !has_it {
            self.read(Section::Data, number, &mut block.0[..])?;
        }
        block.0[within..within + data.len()].copy_from_slice(data);
        self.write(Section::Data, number, &block.0[..])?;
        let entry = self.data.get(number, &self.blocks())?;
        self.context.cache.put(self.id, &entry, block);
        Ok(())
    }

    /// Makes holes.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] after an fdatasync failed; [`Error::Damaged`] or [`Error::Incomplete`] of a map block;
    /// [`Error::Io`].
    pub fn clear(&mut self, section: Section, range: Range<BlockNumber>) -> Result<()> {
        let mut from = range.start;
        while let Some(number) = self.next_present(section, from)?.filter(|number| range.contains(number)) {
            self.prepare()?;
            self.put(section, number, Entry::HOLE);
            self.state.changed |= section == Section::Data;
            from = number.next();
        }
        Ok(())
    }

    /// Seals blocks into free slots. If it fails, the slots are free again.
    pub(super) fn store(
        &mut self,
        kind: u8,
        first: BlockNumber,
        data: &[u8],
        purpose: Purpose,
    ) -> Result<Vec<Entry>> {
        self.prepare()?;
        let count = data.len() / BLOCK;
        let runs = self.slots_mut().take(count, purpose).ok_or(Error::SlotsExhausted(self.id))?;
        self.state.unsynced = true;
        let mut written = Vec::new();
        let mut write = |chunk: &mut Chunk| {
            chunk.seals += count as u64;
            written.clear();
            let keep = chunk.unsynced.keeps().then_some(&mut written);
            chunk.blocks().write(kind, first, data, &runs, keep)
        };
        let stored = match purpose {
            Purpose::Content => match write(self) {
                Err(error) if error.is_lack_of_space() && self.context.headroom.draw_idle() => write(self),
                stored => stored,
            },
            Purpose::Acknowledged | Purpose::Map => self.in_held_space(count, write),
        };
        let stored = self.suspecting(stored).inspect_err(|error| self.context.note_lack(error));
        if stored.is_err() {
            let slots = runs.iter().flat_map(|run| run.slots());
            slots.for_each(|slot| self.slots_mut().release(slot));
        } else {
            self.unsynced.wrote(&runs, written);
        }
        stored
    }

    /// Sets an entry, and lets go of the slot that the former one named.
    pub(super) fn put(&mut self, section: Section, number: BlockNumber, entry: Entry) {
        let former = self.table_mut(section).replace(number, entry);
        if !former.is_hole() {
            self.slots_mut().release(former.slot);
        }
        self.state.dirty = true;
    }

    /// Everything that has to be so before the file is changed: it exists, all maps are loaded, and what was found in
    /// it is durable.
    pub(super) fn prepare(&mut self) -> Result<()> {
        self.usable()?;
        if self.file.is_none() {
            self.check_none_arrived()?;
            let create = |chunk: &mut Chunk| {
                let file = chunk.context.store.create(chunk.context.file_name(chunk.id));
                file.map_err(|error| chunk.io(error))
            };
            self.file = Some(self.in_held_space(NEW_FILE as usize, create)?);
            self.state.name_new = true;
            self.state.anchored = true;
        }
        self.key.get_or_insert_with(|| Key::fresh(&self.context, self.id));
        if self.slots.is_none() {
            let found = self.find_slots();
            self.slots = Some(self.suspecting(found)?);
        }
        self.anchor()
    }

    /// Another device knows of the chunk, and may have made its file.
    pub fn may_arrive(&mut self) {
        self.state.may_arrive = true;
    }

    /// Refuses to make a file in the place of one that arrived, and says more than what this chunk includes.
    fn check_none_arrived(&self) -> Result<()> {
        if !self.state.may_arrive {
            return Ok(());
        }
        let Ok(file) = self.context.store.open(self.context.file_name(self.id)) else { return Ok(()) };
        match Chunk::open_file(&self.context, self.id, self.data.limit, file, None) {
            Ok(found)
                if !matches!(found.version.compare(&self.included), Relation::Older | Relation::Equal) =>
            {
                Err(Error::Replaced(self.id))
            }
            _ => Ok(()),
        }
    }

    /// fdatasync before the first write after an open: the opened root is then the durable one.
    pub(super) fn anchor(&mut self) -> Result<()> {
        if self.state.anchored {
            return Ok(());
        }
        if !mutants::is_active(Mutant::NoSyncAfterOpen) {
            self.sync_now()?;
        }
        self.state.anchored = true;
        self.durable = self.newest;
        Ok(())
    }

    /// An error if an fdatasync failed before.
    pub(super) fn usable(&self) -> Result<()> {
        if self.state.failed { Err(Error::Failed(self.id)) } else { Ok(()) }
    }

    /// The outcome of a call on the file. Where the store failed, the descriptor is opened anew before anything else.
    pub(super) fn suspecting<T>(&mut self, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| self.state.suspect |= error.is_of_the_store())
    }

    /// The slots. Only after `prepare`.
    pub(super) fn slots_mut(&mut self) -> &mut Slots {
        self.slots.as_mut().expect("the chunk was prepared for writing")
    }

    pub(super) fn sync_now(&mut self) -> Result<()> {
        self.unsynced.sync_begins();
        match self.file.as_ref().map_or(Ok(()), |file| file.sync()) {
            Ok(()) => self.unsynced.sync_succeeded(),
            Err(error) => {
                self.state.failed = true;
                self.unsynced.sync_failed();
                return Err(self.io(error)).inspect_err(|error| self.context.note_lack(error));
            }
        }
        Ok(())
    }

    fn find_slots(&self) -> Result<Slots> {
        self.load_all()?;
        let length =
            self.file.as_ref().map_or(Ok(0), |file| file.length()).map_err(|error| self.io(error))?;
        let named = named(&self.data).chain(named(&self.metadata));
        let slots = Slots::new(self.data.limit, length / BLOCK as u64, named);
        slots.ok_or(Error::Damaged(self.id, "a slot is named twice"))
    }
}

/// Slots of a table's blocks and map blocks.
fn named(table: &Table) -> impl Iterator<Item = Slot> + '_ {
    let maps = table.groups().iter().map(|group: &Group| group.stored).filter(|entry| !entry.is_hole());
    table.present().into_iter().map(|(_, entry)| entry.slot).chain(maps.map(|entry| entry.slot))
}
