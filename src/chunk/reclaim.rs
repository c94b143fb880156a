//! Space and seals: giving back what is free, moving what lies far out, re-sealing what was sealed often.

use super::blocks::Key;
use super::chunk::Chunk;
use super::entry::Entry;
use super::limits;
use super::slots::{Purpose, Slots};
use super::unsynced::Run;
use super::{BLOCK, BlockNumber, Error, Result, Section};
use std::io::IoSlice;

/// Blocks that are re-sealed at a time.
const BATCH: u16 = 256;
/// Slots by which a file grows beyond what is written to it, at the most.
const STEP: usize = 16;
/// Free slots at the end of a file that are not worth a truncation.
const SLACK: usize = 4;

impl Chunk {
    /// Whether `reclaim` would be of use now.
    pub fn needs_reclaim(&self) -> bool {
        self.seals >= limits::seals() || self.can_truncate() || self.is_mostly_free()
    }

    /// Does what is due and can be done now: re-seals everything, gives back free slots at the end, or moves blocks
    /// to lower slots. What it changed is made to last by commit and sync, as usual.
    ///
    /// # Errors
    ///
    /// As [`Chunk::rewrite`] and [`Chunk::compact`]; [`Error::Io`] if the file cannot be cut. What was moved stays
    /// so.
    pub fn reclaim(&mut self) -> Result<()> {
        if self.seals >= limits::seals() {
            return self.rewrite();
        }
        if self.is_mostly_free() {
            self.move_down()?;
        }
        if self.can_truncate() {
            self.truncate()?;
        }
        Ok(())
    }

    /// Whether all of it has to be re-sealed: it lies under an older epoch, or its key has sealed enough.
    pub fn wants_rewrite(&self) -> bool {
        self.seals >= limits::seals() || !self.epoch_is_newest()
    }

    /// To be called once a rewrite is durable: moves everything down over what was sealed before, and has the next
    /// commit write over the former root.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] after an fdatasync failed; [`Error::Damaged`] or [`Error::Incomplete`] of a map block;
    /// [`Error::Incomplete`] if the file ends before a block that is moved; [`Error::Io`]. What was moved stays so.
    pub fn compact(&mut self) -> Result<()> {
        self.prepare()?;
        if self.is_at_rest() {
            self.move_down()?;
        }
        Ok(())
    }

    /// Allocates space for `slots` slots of the file, 4096 bytes each, and keeps it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no space, or the store fails otherwise; [`Error::Failed`] after an fdatasync
    /// failed; [`Error::Damaged`] or [`Error::Incomplete`] of a map block.
    pub fn preallocate(&mut self, slots: u32) -> Result<()> {
        self.prepare()?;
        let allocated = self.in_held_space(slots as usize, |chunk| {
            let file = chunk.file.as_ref().ok_or(Error::Missing(chunk.id))?;
            file.allocate(u64::from(slots) * BLOCK as u64).map_err(|error| chunk.io(error))
        });
        self.suspecting(allocated)?;
        self.state.unsynced = true;
        self.slots_mut().keep(slots.min(1 << 16) as usize);
        Ok(())
    }

    /// Has the file grow in steps before `blocks` are written: so few commits change its length, of which an fdatasync has
    /// to tell the medium. Where there is no space, it grows as it is written.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] after an fdatasync failed; [`Error::Damaged`] or [`Error::Incomplete`] of a map block;
    /// [`Error::Io`] of making or syncing the file.
    pub fn grow_in_steps(&mut self, blocks: usize) -> Result<()> {
        self.prepare()?;
        self.slots_mut().prefer_low();
        let (length, wanted) = (self.slots_mut().length(), self.slots_mut().length_with(blocks));
        let end = wanted.next_power_of_two().min(wanted.next_multiple_of(STEP));
        let is_short = self.context.headroom.is_careful();
        if wanted > length && end > wanted && !is_short && self.write_zeros(wanted, end) {
            self.slots_mut().lengthen(end);
        }
        Ok(())
    }

    /// After the first commit of a file with blocks: has the place of the other root allocated, so that the next commit
    /// changes nothing but what is in the file. A failure only makes that dearer.
    pub fn allocate_other_root(&mut self) {
        if self.durable.is_none() && self.data.count() > 0 {
            self.write_zeros(1, 2);
        }
    }

    /// Writes zeros into slots that nothing uses; whether it could. That they are only allocated would not do: a
    /// filesystem notes in its journal what of them was written.
    fn write_zeros(&mut self, from: usize, end: usize) -> bool {
        let Some(file) = &self.file else { return false };
        let zeros = vec![0; (end - from) * BLOCK];
        let written = file.write_at((from * BLOCK) as u64, &[IoSlice::new(&zeros)]);
        self.state.unsynced = true;
        self.suspecting(written.map_err(|error| self.io(error))).is_ok()
    }

    /// Gives back all free slots at the end that are not kept, if it can be done now.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be cut.
    pub fn give_back_end(&mut self) -> Result<()> {
        let slots = self.slots.as_ref().filter(|_| self.is_at_rest());
        if slots.is_some_and(|slots| slots.needed() < slots.length()) { self.truncate() } else { Ok(()) }
    }

    /// Gives back what was allocated ahead; whether there was anything and it could be done now.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be cut.
    pub fn give_back(&mut self) -> Result<bool> {
        if !self.is_at_rest() || !self.slots.as_ref().is_some_and(Slots::is_kept) {
            return Ok(false);
        }
        self.slots_mut().keep_no_more();
        self.truncate()?;
        Ok(true)
    }

    /// Re-seals the whole chunk, under a new salt and the newest epoch, in other slots; the next commit says so.
    ///
    /// # Errors
    ///
    /// [`Error::SlotsExhausted`]: commit, sync, try again. [`Error::Failed`] after an fdatasync failed;
    /// [`Error::Damaged`] or [`Error::Incomplete`] of any block; [`Error::Io`]. Nothing was changed then.
    pub fn rewrite(&mut self) -> Result<()> {
        self.prepare()?;
        let former = self.key.replace(Key::fresh(&self.context, self.id));
        let former_seals = std::mem::replace(&mut self.seals, 0);
        let mut moved = Vec::new();
        let outcome = Section::BOTH.into_iter().try_for_each(|s| self.reseal(s, former.as_ref(), &mut moved));
        if let Err(error) = outcome {
            self.key = former;
            self.seals = former_seals;
            moved.iter().for_each(|&(_, _, entry)| self.slots_mut().release(entry.slot));
            return Err(error);
        }
        for (section, number, entry) in moved {
            self.put(section, number, entry);
        }
        // Map blocks too are under the former key.
        let groups = self.data.groups_mut().iter_mut().chain(self.metadata.groups_mut());
        groups.for_each(|group| group.stale = !group.stored.is_hole());
        self.state.dirty = true;
        Ok(())
    }

    fn reseal(
        &mut self,
        section: Section,
        former: Option<&Key>,
        moved: &mut Vec<(Section, BlockNumber, Entry)>,
    ) -> Result<()> {
        let mut from = BlockNumber::FIRST;
        while let Some(first) = self.next_stored(section, from)? {
            let end = self.next_absent(section, first)?.min(first.after(BATCH));
            let mut content = vec![0; (end.index() - first.index()) * BLOCK];
            self.read_under(former, section, first, &mut content)?;
            let entries = self.store(section.kind(), first, &content, Purpose::Content)?;
            moved.extend(first.onward().zip(entries).map(|(number, entry)| (section, number, entry)));
            from = end;
        }
        Ok(())
    }

    /// Whether nothing that could be lost is under way: the newest root is durable.
    fn is_at_rest(&self) -> bool {
        let durable =
            self.newest.is_some() && self.newest.map(|r| r.commit) == self.durable.map(|r| r.commit);
        durable && self.state.anchored && !self.state.syncing && !self.state.in_doubt && !self.state.failed
    }

    fn can_truncate(&self) -> bool {
        let spare = |(length, needed): (usize, usize)| length - needed > SLACK.max(length / 8);
        let slots = self.slots.as_ref().filter(|_| self.is_at_rest());
        slots.map(|slots| (slots.length(), slots.needed())).is_some_and(spare)
    }

    fn is_mostly_free(&self) -> bool {
        let slots = self.slots.as_ref().filter(|_| self.is_at_rest() && !self.state.dirty);
        slots.is_some_and(|slots| {
            slots.needed() > limits::small() && !slots.is_kept() && slots.live() * 3 < slots.needed()
        })
    }

    fn truncate(&mut self) -> Result<()> {
        let needed = self.slots_mut().needed();
        let file = self.file.as_ref().ok_or(Error::Missing(self.id))?;
        let cut = file.set_length(needed as u64 * BLOCK as u64).map_err(|error| self.io(error));
        self.suspecting(cut)?;
        self.state.unsynced = true;
        self.slots_mut().truncate();
        Ok(())
    }

    fn move_down(&mut self) -> Result<()> {
        let below = 2 + self.slots_mut().live();
        self.slots_mut().prefer_low();
        for section in Section::BOTH {
            let far = self.table(section).present().into_iter();
            for (number, entry) in far.filter(|(_, entry)| entry.slot.index() >= below) {
                let Some(slot) = self.slots_mut().take_below(below) else { break };
                self.state.unsynced = true;
                match self.blocks().copy(entry.slot, slot) {
                    Ok(block) => {
                        let kept = self.unsynced.keeps().then(|| (slot, Box::new(block)));
                        self.unsynced.wrote(&[Run { slot, count: 1 }], kept.into_iter().collect());
                    }
                    Err(error) => {
                        self.slots_mut().release(slot);
                        return Err(error);
                    }
                }
                self.put(section, number, Entry { slot, ..entry });
            }
            for group in self.table_mut(section).groups_mut() {
                group.stale |= group.stored.slot.index() >= below;
            }
            self.state.dirty = true;
        }
        Ok(())
    }
}
