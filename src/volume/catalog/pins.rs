//! Pins: this device's own version of a large file stays here when a client puts another device's chunk files in the place of
//! some of its own. Clients make conflict copies of what both sides changed; of a chunk that one side alone changed they make
//! none, though the other side's version needs what was there before.
//!
//! All chunk files of a file that has several are pinned before the first change of any. What is pinned goes once the version
//! in place includes it or it has a file of its own (`merge`).

use super::Catalog;
use crate::chunk::{Chunk, ChunkId, ChunkIndex, Commit, InodeId, Version};
use crate::store::{PinName, Pinned, Pins};
use crate::volume::inode::stamps::check_fit;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Catalog {
    /// Has all chunk files stay that a file is made of, before it is changed.
    ///
    /// # Errors
    ///
    /// Those of reading chunk 0 and the chunk table; the store's, if an earlier version cannot be let go of. That a
    /// file cannot be pinned is no error.
    pub fn pin(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        let Some(pins) = self.pins().filter(|_| state.wants_pins()) else { return Ok(()) };
        self.cache.open_first_chunk(inode, state)?;
        let is_current = state.first_chunk.as_deref().is_none_or(|chunk| chunk.is_current().unwrap_or(false));
        if !is_current {
            // Its flush is about to find that.
            return Ok(());
        }
        state.were_pinned();
        let first = ChunkId::first(inode.id());
        match pins.pinned_as(self.base.context.file_name(first)) {
            Ok(Pinned::Displaced) => self.let_go(inode.id(), state)?,
            Ok(_) => {}
            Err(error) => {
                log::debug!("{first:?} is not pinned: {error}");
                return Ok(());
            }
        }
        for index in [ChunkIndex::FIRST].into_iter().chain(state.named_chunks(ChunkIndex::FIRST_EXTRA)?) {
            match pins.pin(self.base.context.file_name(ChunkId { index, ..first })) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => log::debug!("{:?} is not pinned: {error}", ChunkId { index, ..first }),
            }
        }
        Ok(())
    }

    /// Whether a client put something in the place of chunk 0, and that and all further chunks that are open are pinned.
    pub fn are_pinned_beside(&self, inode: InodeId, state: &State) -> bool {
        let Some(pins) = self.pins() else { return false };
        let is_pinned = |index, wanted: &[Pinned]| {
            let name = self.base.context.file_name(ChunkId { inode, index });
            pins.pinned_as(name).is_ok_and(|pinned| wanted.contains(&pinned))
        };
        let mut open = state.extra_chunks.from(ChunkIndex::FIRST_EXTRA);
        is_pinned(ChunkIndex::FIRST, &[Pinned::Displaced])
            && open.all(|index| is_pinned(index, &[Pinned::Displaced, Pinned::InPlace]))
    }

    pub fn pins(&self) -> Option<&dyn Pins> {
        self.base
            .context
            .store
            .pins()
            .filter(|_| !self.base.read_only && !mutants::is_active(Mutant::NotPinned))
    }

    /// Everything that is pinned, by inode. Nothing where that cannot be seen: other things are merged nevertheless.
    pub fn all_pins(&self) -> BTreeMap<InodeId, Vec<(ChunkId, PinName)>> {
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let pins = self.pins().map_or_else(|| Ok(Vec::new()), Pins::all_pins);
        let pins =
            pins.inspect_err(|error| log::warn!("versions that are kept here cannot be seen: {error}"));
        for pin in pins.unwrap_or_default() {
            if let Some(id) = self.base.context.identify(pin.of) {
                found.entry(id.inode).or_default().push((id, pin));
            }
        }
        found
    }

    /// Opens a pinned chunk.
    ///
    /// # Errors
    ///
    /// [`Error::NotArrived`] where nothing is pinned; the store's; [`Error::Damaged`] or [`Error::NotArrived`] as of
    /// [`Chunk::open_file`].
    pub fn open_pin(&self, id: ChunkId, pin: PinName) -> Result<Chunk> {
        let pins = self.pins().ok_or(Error::NotArrived(id))?;
        let file = pins.open_pin(pin)?;
        Ok(Chunk::open_file(&self.base.context, id, self.base.geometry.blocks(id.index), file, None)?)
    }

    /// The newest chunk among those that belongs to a version of a file, with its stamp, if there is one.
    pub fn find_pinned(
        &self,
        pinned: &[(ChunkId, PinName)],
        id: ChunkId,
        named: Commit,
        version: &State,
    ) -> Option<(Commit, Chunk, PinName)> {
        let fitting = pinned.iter().filter(|(of, _)| *of == id).filter_map(|&(_, pin)| {
            let chunk = self.open_pin(id, pin).ok()?;
            Some((check_fit(&chunk, named, &version.record).ok()?, chunk, pin))
        });
        fitting.max_by_key(|(stamp, ..)| *stamp)
    }

    /// What is pinned of one file. Nothing where that cannot be seen.
    pub fn pins_of(&self, id: InodeId) -> Vec<(ChunkId, PinName)> {
        self.all_pins().remove(&id).unwrap_or_default()
    }

    /// Before this device writes to another one's version of a file: what is pinned of its own goes if that includes it, and
    /// is kept as lost if not. So is a chunk that that version lacks, too, as a client put something else in its place.
    fn let_go(&self, id: InodeId, state: &mut State) -> Result<()> {
        let Some(pins) = self.pins() else { return Ok(()) };
        let first = ChunkId::first(id);
        let own = PinName { of: self.base.context.file_name(first), lost: 0 };
        let read = self.open_pin(first, own).and_then(|chunk| self.cache.read_other(id, chunk));
        let mut pinned = self.pins_of(id);
        pinned.retain(|(_, pin)| pin.lost == 0);
        let is_included = match read {
            Ok(mut version) => self.is_included(id, (&mut version, &pinned), state)?,
            Err(_) => false,
        };
        for (id, pin) in pinned {
            let is_done = is_included && !self.is_needed(id, pin, state)?;
            match is_done || mutants::is_active(Mutant::LostNotKept) {
                true => pins.unpin(pin)?,
                false => pins.lose_pin(pin.of)?,
            }
        }
        Ok(())
    }

    /// Whether a pinned further chunk belongs to a version of a file, and what is in its place does not, or is older.
    fn is_needed(&self, id: ChunkId, pin: PinName, version: &mut State) -> Result<bool> {
        if id.index.is_first() || mutants::is_active(Mutant::NeededLetGo) {
            return Ok(false);
        }
        version.load_table(id.index)?;
        let Some(named) = version.table.stamp(id.index) else { return Ok(false) };
        let pinned = self.find_pinned(&[(id, pin)], id, named, version).map(|(stamp, ..)| stamp);
        let there = Error::unless_damage(self.cache.open_extra(id, named, &version.record))?;
        Ok(pinned > there.map(|(_, stamp)| stamp))
    }

    /// Whether a version of a file has everything that a pinned one says. Of one that was being written when it was
    /// displaced the further chunks say more than its chunk 0. `there`: with chunk 0 open.
    ///
    /// # Errors
    ///
    /// Those of reading the chunk tables: [`Error::Damaged`], [`Error::NotArrived`], the store's.
    pub fn is_included(
        &self,
        id: InodeId,
        (version, pinned): (&mut State, &[(ChunkId, PinName)]),
        there: &mut State,
    ) -> Result<bool> {
        let content = version.record.content;
        if content != there.record.content && there.version().of(content.device) < content.commit {
            return Ok(false);
        }
        // What another device was writing is for that to keep.
        if version.record.is_exact || content.device != self.base.context.device {
            return Ok(true);
        }
        for index in version.named_chunks(ChunkIndex::FIRST_EXTRA)? {
            let (id, named) = (ChunkId { inode: id, index }, version.table.stamp(index).unwrap_or_default());
            let Some((found, ..)) = self.find_pinned(pinned, id, named, version) else { continue };
            if found > named {
                there.load_table(index)?;
                if there.table.stamp(index) != Some(found) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Puts a pinned chunk in its place again, under a version that includes what is there. What it replaces is pinned.
    ///
    /// # Errors
    ///
    /// As [`Catalog::open_pin`] and [`Catalog::go_on`]; the store's, after which it may be in its place, but not
    /// durably.
    pub fn put_back(&self, id: ChunkId, pin: PinName, there: Option<&Version>) -> Result<()> {
        self.go_on(self.open_pin(id, pin)?, there)?;
        self.put_in_place(id, pin)
    }

    /// The same of a chunk 0 that takes the place of another version, and includes nothing of that.
    ///
    /// # Errors
    ///
    /// As [`Catalog::put_back`].
    pub fn put_back_beside(&self, id: ChunkId, pin: PinName) -> Result<()> {
        let mut chunk = self.open_pin(id, pin)?;
        chunk.commit()?;
        chunk.sync()?;
        self.put_in_place(id, pin)
    }

    fn put_in_place(&self, id: ChunkId, pin: PinName) -> Result<()> {
        let Some(pins) = self.pins() else { return Ok(()) };
        let replaced = pins.put_back(pin)?;
        self.base.sync_names(&[pin.of])?;
        pins.pin(pin.of)?;
        // A pinned chunk 0 takes the place of what it includes only.
        self.unpin(replaced.filter(|_| id.index.is_first()))
    }

    /// Has a chunk follow upon what is known of it, and upon what is there: that it is about to replace.
    ///
    /// # Errors
    ///
    /// As [`Chunk::commit`] and [`Chunk::sync`].
    pub fn go_on(&self, mut chunk: Chunk, there: Option<&Version>) -> Result<()> {
        let known = self.base.context.recall.known(chunk.id());
        there.into_iter().chain(&known).for_each(|version| chunk.include(version));
        chunk.commit()?;
        Ok(chunk.sync()?)
    }

    /// What is pinned of these is needed no more.
    ///
    /// # Errors
    ///
    /// The store's; the rest stays pinned.
    pub fn unpin(&self, pinned: impl IntoIterator<Item = PinName>) -> Result<()> {
        let Some(pins) = self.pins() else { return Ok(()) };
        Ok(pinned.into_iter().try_for_each(|pin| pins.unpin(pin))?)
    }

    /// What is pinned of a version that has a place now goes: chunk 0 at once, the further chunks after a while, for other devices may
    /// put that version in its former place yet.
    ///
    /// # Errors
    ///
    /// The store's; the rest stays as it is.
    pub fn leave(&self, pinned: impl IntoIterator<Item = PinName>) -> Result<()> {
        let Some(pins) = self.pins() else { return Ok(()) };
        for pin in pinned {
            let is_first = self.base.context.identify(pin.of).is_none_or(|id| id.index.is_first());
            match is_first || mutants::is_active(Mutant::SavedUnpinned) {
                true => pins.unpin(pin)?,
                false if pin.lost == 0 => pins.keep_pin(pin.of)?,
                false => {}
            }
        }
        Ok(())
    }

    /// The chunk's file was removed on purpose.
    pub(super) fn unpin_removed(&self, id: ChunkId) {
        let pin = PinName { of: self.base.context.file_name(id), lost: 0 };
        if let Err(error) = self.unpin([pin]) {
            log::debug!("{id:?} stays pinned: {error}");
        }
    }
}
