//! What is pinned of this device's own version of a large file, where a client put something in the place of a part of it: if
//! that version is still the one in place, its missing chunks are put back; if another one is, it becomes a file beside it,
//! unless that includes it.

use super::Merge;
use super::files::Beside;
use crate::chunk::{Chunk, ChunkId, ChunkIndex, Commit, InodeId, Relation, Version};
use crate::store::{CopyName, PinName, Pinned};
use crate::volume::format::stamp::{ExtraRecord, Stamp};
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a chunk of a version that nobody has told of yet stays: its chunk 0 may be on its way.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// How long something is kept that nobody asks for: a version without a chunk 0 and a name, a chunk that was replaced.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// Of one file, of all, and what clients made.
pub(super) type Pins = [(ChunkId, PinName)];
pub(super) type AllPins = BTreeMap<InodeId, Vec<(ChunkId, PinName)>>;
pub(super) type Copies = [(ChunkId, CopyName)];

/// A version that is in its place, or in a file of its own, once everything is durable.
pub(super) struct Saved {
    inode: Arc<Inode>,
    /// What the version in place is to include from then on.
    version: Option<Version>,
    pins: Vec<PinName>,
}

impl Merge {
    pub(super) fn merge_pins(&self, pins: AllPins, copies: &Copies) -> Result<Vec<Saved>> {
        let mut saved = Vec::new();
        for (id, pins) in pins {
            let merged = self.merge_lost(id, &pins, copies, &mut saved).and_then(|needed| {
                self.merge_own(id, &pins, copies, &mut saved)?;
                self.drop_replaced(id, &needed)
            });
            match merged {
                Err(error) if error.is_damage() => {
                    log::info!("what is pinned of {id:?} stays: {error}");
                    self.drop_useless(&pins)?;
                }
                merged => merged?,
            }
        }
        Ok(saved)
    }

    /// What is pinned under an epoch that is gone, or was damaged, is good for nothing: it goes after a while. So is a version that
    /// is not whole and that another device made, which keeps it.
    fn drop_useless(&self, pins: &Pins) -> Result<()> {
        let mut firsts = pins.iter().filter(|(id, pin)| id.index.is_first() && pin.lost == 0);
        let is_foreign = firsts.any(|&(first, pin)| self.is_foreign(first, pin));
        for &(id, pin) in pins {
            let is_unreadable = self.catalog.open_pin(id, pin).is_err_and(|error| error.is_damage());
            let is_useless = is_unreadable || is_foreign && pin.lost == 0;
            if is_useless && self.has_waited(pin, KEPT_FOR)? {
                self.catalog.unpin([pin])?;
            }
        }
        Ok(())
    }

    /// Whether the content of a pinned version is another device's.
    fn is_foreign(&self, first: ChunkId, pin: PinName) -> bool {
        let read =
            self.catalog.open_pin(first, pin).and_then(|chunk| self.cache.read_other(first.inode, chunk));
        read.is_ok_and(|version| version.record.content.device != self.base.context.device)
            && !mutants::is_active(Mutant::ForeignKept)
    }

    /// Once that is durable, the pins go. Whether anything is to be made durable again.
    pub(super) fn replace_pins(&self, saved: Vec<Saved>) -> Result<bool> {
        let mut any = false;
        for Saved { inode, version, pins } in saved {
            let first = ChunkId::first(inode.id());
            let name = self.base.context.file_name(first);
            let firsts = pins.iter().filter(|pin| pin.of == name);
            for chunk in firsts.filter_map(|pin| self.catalog.open_pin(first, *pin).ok()) {
                self.go_on_without(first, chunk.version())?;
            }
            self.catalog.leave(pins)?;
            if let Some(version) = version {
                let _serial = inode.serial.lock();
                let mut state = inode.state.write();
                self.cache.open_first_chunk(&inode, &mut state)?;
                state.include(&version);
                drop(state);
                self.cache.queue(&inode);
                any = true;
            }
        }
        Ok(any)
    }

    /// Versions that lost their place before this device wrote to another one's. Answers of which pins they are.
    fn merge_lost(
        &self,
        id: InodeId,
        pins: &Pins,
        copies: &Copies,
        saved: &mut Vec<Saved>,
    ) -> Result<Vec<PinName>> {
        let lost: Vec<_> = pins.iter().filter(|(_, pin)| pin.lost > 0).copied().collect();
        let (beside, mut needed) = (Beside { copies, pins: &lost, is_pinned: true }, Vec::new());
        for &(first, pin) in lost.iter().filter(|(id, _)| id.index.is_first()) {
            match self.save_lost((first, pin), beside, &mut needed) {
                Err(error) if error.is_damage() => {
                    log::info!("what is pinned of {id:?} stays: {error}");
                    if self.is_foreign(first, pin) && self.has_waited(pin, KEPT_FOR)? {
                        self.catalog.unpin([pin])?;
                    }
                }
                done => saved.extend(done?),
            }
        }
        Ok(needed)
    }

    /// None if it cannot be done yet.
    fn save_lost(
        &self,
        (first, pin): (ChunkId, PinName),
        beside: Beside<'_>,
        needed: &mut Vec<PinName>,
    ) -> Result<Option<Saved>> {
        let inode = self.cache.inode(first.inode)?;
        let mut version = self.cache.read_other(first.inode, self.catalog.open_pin(first, pin)?)?;
        let mut pins = vec![pin];
        for index in version.named_chunks(ChunkIndex::FIRST_EXTRA)? {
            let (id, named) = (ChunkId { index, ..first }, version.table.stamp(index).unwrap_or_default());
            pins.extend(self.catalog.find_pinned(beside.pins, id, named, &version).map(|(.., pin)| pin));
        }
        needed.extend(&pins);
        let is_saved = self.merge_file(&inode, version, beside, &mut Vec::new())?;
        Ok(is_saved.then_some(Saved { inode, version: None, pins }))
    }

    /// What was replaced by a pinned chunk, and not put back: its chunk 0 may still take the place of the one that is there, but not
    /// for ever.
    fn drop_replaced(&self, id: InodeId, needed: &[PinName]) -> Result<()> {
        let is_lost = |(id, pin): &(ChunkId, PinName)| !id.index.is_first() && pin.lost > 0;
        for (_, pin) in self.catalog.pins_of(id).into_iter().filter(is_lost) {
            if !needed.contains(&pin) && self.has_waited(pin, KEPT_FOR)? {
                self.catalog.unpin([pin])?;
            }
        }
        Ok(())
    }

    /// The version that this device worked on last.
    fn merge_own(&self, id: InodeId, pins: &Pins, copies: &Copies, saved: &mut Vec<Saved>) -> Result<()> {
        let Some(folder) = self.catalog.pins() else { return Ok(()) };
        let (own, kept): (Vec<_>, Vec<_>) = pins.iter().copied().partition(|(_, pin)| pin.lost == 0);
        let mut displaced = Vec::new();
        for (id, pin) in &own {
            if folder.pinned_as(pin.of)? == Pinned::Displaced {
                displaced.push(id.index);
            }
        }
        if displaced.is_empty() && kept.is_empty() {
            return Ok(());
        }
        let inode = match self.cache.inode(id) {
            Err(error) if error.is_absence() => return self.put_first_back(id, &own),
            inode => inode?,
        };
        if !self.is_in_place(&inode)? {
            return Ok(());
        }
        let all_own = || own.iter().map(|(_, pin)| *pin).collect();
        let Some(&(first, pin)) = own.iter().find(|(id, _)| id.index.is_first()) else {
            return self.put_back(&inode, pins, copies).map(drop);
        };
        let mut version = self.cache.read_other(id, self.catalog.open_pin(first, pin)?)?;
        let content = version.record.content;
        let is_same = version.record.is_exact
            || !displaced.contains(&ChunkIndex::FIRST)
            || inode.state.read().version().compare(version.version()) == Relation::Equal;
        if is_same && inode.view(|record| record.content == content) {
            // It stays pinned: other devices may still send what they did without knowing of it.
            return self.put_back(&inode, pins, copies).map(drop);
        }
        if self.includes(&inode, &mut version, &own)? {
            if self.put_back(&inode, pins, copies)? {
                saved.push(Saved { inode, version: None, pins: all_own() });
            }
            return Ok(());
        }
        let beside = Beside { copies, pins: &own, is_pinned: true };
        if !inode.view(|record| record.is_exact) {
            // Until it is whole its writer cannot make it exact, and nothing be merged with it.
            let is_torn = self.is_torn(&inode, copies, pins)?;
            return match is_torn && !self.take_place_again(&inode, (first, pin), version, beside)? {
                true => Ok(()),
                false if !is_torn && mutants::is_active(Mutant::TornNotRestored) => Ok(()),
                false => self.put_back(&inode, pins, copies).map(drop),
            };
        }
        if self.has_gone_on(&inode, &version, copies, pins)? {
            return self.take_place_of_torn(&inode, (version, beside), &|_, there| {
                self.catalog.put_back(first, pin, Some(there))
            });
        }
        let held = version.first_chunk.as_deref().map(|chunk| chunk.version().clone());
        let held = held.filter(|_| inode.view(|record| is_told(record.content, content)));
        if self.merge_file(&inode, version, beside, &mut Vec::new())? {
            saved.push(Saved { inode, version: held, pins: all_own() });
        }
        Ok(())
    }

    /// Whether the version in place lacks a further chunk that is nowhere here.
    pub(super) fn is_torn(&self, inode: &Arc<Inode>, copies: &Copies, pins: &Pins) -> Result<bool> {
        let missing = self.missing(inode, copies, pins)?;
        let state = inode.state.read();
        let is_nowhere = |&(id, named): &(ChunkId, Commit)| {
            self.catalog.find_pinned(pins, id, named, &state).is_none()
                && self.fitting_copy(id, named, &state.record, copies).is_none()
        };
        Ok(missing.iter().any(is_nowhere) && !mutants::is_active(Mutant::TornKept))
    }

    /// Has a whole version of this device's take the place again of one that was being written and is not whole, once nothing of that
    /// came for a while: its writer may have overwritten since what it lacks, and saved what became of it. Until then nothing can be
    /// merged with it. What takes the place includes nothing of it: who has it whole saves it beside that. Whether it was due.
    fn take_place_again(
        &self,
        inode: &Arc<Inode>,
        (first, pin): (ChunkId, PinName),
        mut version: State,
        beside: Beside<'_>,
    ) -> Result<bool> {
        self.hold_chunks(inode.id(), &mut version, beside, &mut Vec::new())?;
        if !self.is_at_rest(inode)? {
            return Ok(false);
        }
        let there = inode.state.read().version().clone();
        let put_back = || match mutants::is_active(Mutant::TornIncluded) {
            true => self.catalog.put_back(first, pin, Some(&there)),
            false => self.catalog.put_back_beside(first, pin),
        };
        self.replace_older(first, &|| put_back().map(|()| true)).map(|()| true)
    }

    /// Whether memory has what is in place. Something that waits to be stored keeps it from going on with what a client put
    /// there; when that is found, it is dealt with first.
    pub(super) fn is_in_place(&self, inode: &Arc<Inode>) -> Result<bool> {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        self.cache.open_first_chunk(inode, &mut state)?;
        Ok(state.first_chunk.as_deref().is_some_and(|chunk| chunk.is_current().unwrap_or(false)))
    }

    /// Whether what is in place has all that a pinned version says.
    fn includes(&self, inode: &Arc<Inode>, version: &mut State, pins: &Pins) -> Result<bool> {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        self.cache.open_first_chunk(inode, &mut state)?;
        Ok(self.catalog.is_included(inode.id(), (version, pins), &mut state)?
            || mutants::is_active(Mutant::PinnedForgotten))
    }

    /// Puts pinned chunks in their places that belong to the version of which chunk 0 is in place, once it is certain that what
    /// is there belongs to one that is not. Whether that version is whole now.
    fn put_back(&self, inode: &Arc<Inode>, pins: &Pins, copies: &Copies) -> Result<bool> {
        let mut is_whole = true;
        for (id, named) in self.missing(inode, copies, pins)? {
            is_whole &= self.put_one_back(inode, (id, named), pins, copies)?;
        }
        Ok(is_whole)
    }

    /// The further chunks that chunk 0 names, and where something else is or nothing, or that are newer elsewhere; each with what
    /// the chunk table says.
    pub(super) fn missing(
        &self,
        inode: &Arc<Inode>,
        copies: &Copies,
        pins: &Pins,
    ) -> Result<Vec<(ChunkId, Commit)>> {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        self.cache.open_first_chunk(inode, &mut state)?;
        let mut missing = Vec::new();
        for index in state.named_chunks(ChunkIndex::FIRST_EXTRA)? {
            let id = ChunkId { inode: inode.id(), index };
            let named = state.table.stamp(index).unwrap_or_default();
            let is_missing = match self.cache.open_extra(id, named, &state.record) {
                Err(error) if error.is_damage() => true,
                opened => {
                    let (_, found) = opened?;
                    let pinned = || Some(self.catalog.find_pinned(pins, id, named, &state)?.0);
                    let copied = || Some(self.fitting_copy(id, named, &state.record, copies)?.1);
                    !state.record.is_exact && pinned().max(copied()) > Some(found)
                }
            };
            if is_missing {
                missing.push((id, named));
            }
        }
        Ok(missing)
    }

    fn put_one_back(
        &self,
        inode: &Arc<Inode>,
        (id, named): (ChunkId, Commit),
        pins: &Pins,
        copies: &Copies,
    ) -> Result<bool> {
        let pinned = self.catalog.find_pinned(pins, id, named, &inode.state.read());
        let Some((stamp, _, pin)) = pinned.filter(|_| !mutants::is_active(Mutant::NotRestored)) else {
            return Ok(false);
        };
        let copied =
            self.fitting_copy(id, named, &inode.state.read().record, copies).map(|(_, copied, _)| copied);
        if copied > Some(stamp) && !mutants::is_active(Mutant::OlderRestored) {
            return Ok(false);
        }
        let there = self.in_place(id)?;
        let is_due = match &there {
            Some((_, stamp)) => {
                self.is_known(inode, *stamp, copies, pins) || self.has_waited(pin, PATIENCE)?
            }
            None => self.has_waited(pin, PATIENCE)? && self.is_named(inode) == Some(true),
        };
        if !is_due && !mutants::is_active(Mutant::RestoredEarly) {
            return Ok(false);
        }
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        if state.extra_chunks.get(id.index).is_some_and(Chunk::is_dirty) {
            return Ok(false);
        }
        self.catalog.put_back(id, pin, there.as_ref().map(|(version, _)| version))?;
        state.close(id.index);
        self.cache.closed(id);
        log::info!("{id:?}: what belongs to another device's version of the file is replaced");
        Ok(true)
    }

    /// The version of the chunk that is in place, and of which change it is; none without a file.
    pub(super) fn in_place(&self, id: ChunkId) -> Result<Option<(Version, Stamp)>> {
        let Some(chunk) = self.open_in_place(id)? else { return Ok(None) };
        let extra = ExtraRecord::decode(chunk.record()).map_err(|what| Error::Damaged(id, what.0.into()))?;
        Ok(Some((chunk.version().clone(), extra.stamp)))
    }

    /// What is in the place of a chunk, be it older than what this device knows.
    pub(super) fn open_in_place(&self, id: ChunkId) -> Result<Option<Chunk>> {
        let (context, blocks) = (&self.base.context, self.base.geometry.blocks(id.index));
        match context.store.open(context.file_name(id)) {
            Ok(file) => Ok(Some(Chunk::open_file(context, id, blocks, file, None)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a version of the file is here that includes this change.
    pub(super) fn is_known(&self, inode: &Arc<Inode>, stamp: Stamp, copies: &Copies, pins: &Pins) -> bool {
        let includes = |chunk: Option<Chunk>| {
            chunk.is_some_and(|chunk| chunk.version().of(stamp.device) >= stamp.commit)
        };
        let first = ChunkId::first(inode.id());
        let mut copies = copies.iter().filter(|(id, _)| *id == first);
        let mut pins = pins.iter().filter(|(id, _)| *id == first);
        inode.state.read().version().of(stamp.device) >= stamp.commit
            || copies.any(|(id, copy)| includes(self.open_copy(*id, copy).ok().flatten()))
            || pins.any(|(id, pin)| includes(self.catalog.open_pin(*id, *pin).ok()))
    }

    /// Whether its file has had the names that it has for so long.
    fn has_waited(&self, pin: PinName, time: Duration) -> Result<bool> {
        match self.catalog.pins() {
            Some(pins) => {
                let has_waited = pins.age_of(pin)? >= time;
                self.waits.fetch_or(!has_waited && time == PATIENCE, Ordering::Relaxed);
                Ok(has_waited)
            }
            None => Ok(false),
        }
    }

    /// Of a file that a client took away: it comes back if a name leads to it, and what is pinned goes after a while if
    /// none does.
    fn put_first_back(&self, id: InodeId, pins: &Pins) -> Result<()> {
        let Some(&(first, pin)) = pins.iter().find(|(id, _)| id.index.is_first()) else { return Ok(()) };
        let all = || pins.iter().map(|(_, pin)| *pin);
        if self.tombstone(id).is_some() {
            return self.catalog.unpin(all());
        }
        if !self.has_waited(pin, PATIENCE)? {
            return Ok(());
        }
        let read = self.catalog.open_pin(first, pin).and_then(|chunk| self.cache.read_other(id, chunk));
        let is_named = match read {
            Ok(version) => self.is_named(&Arc::new(Inode::new(id, version, true))),
            Err(_) => Some(false),
        };
        match is_named {
            Some(true) => self.catalog.put_back(first, pin, None),
            Some(false) if self.has_waited(pin, KEPT_FOR)? => self.catalog.unpin(all()),
            _ => Ok(()),
        }
    }
}

/// Whether the content that is in place is to be told that this device's own has a place, too: of two, the later one is told by
/// the earlier one only. Else two devices could go on telling each other through a client that takes now this and now that.
fn is_told(there: Stamp, own: Stamp) -> bool {
    (there.commit, there.device) >= (own.commit, own.device)
}
