//! An older version of an inode in the place of a newer one that includes it: of two versions a client keeps the one that it likes,
//! and of a file that was being written the one that it took meanwhile. The newer one, pinned or a copy, takes the place again.

use super::Merge;
use super::files::Beside;
use super::pinned::{Copies, PATIENCE, Pins};
use crate::chunk::{Chunk, ChunkId, ChunkIndex, Relation, Version};
use crate::store::{PinName, Pinned};
use crate::volume::format::stamp::Stamp;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Kind, Record, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Merge {
    /// Has a chunk 0 that is pinned take the place of an older one, or of one that has what this device overwrote.
    pub(super) fn put_newer_back(&self, first: ChunkId, pin: PinName, pins: &Pins) -> Result<()> {
        let Some(folder) = self.catalog.pins() else { return Ok(()) };
        if folder.pinned_as(pin.of)? != Pinned::Displaced || mutants::is_active(Mutant::OlderLeft) {
            return Ok(());
        }
        let Some(there) = self.open_in_place(first)? else { return Ok(()) };
        let (pinned, version) = (self.catalog.open_pin(first, pin)?, there.version().clone());
        let put_back = || self.catalog.put_back(first, pin, Some(&version)).map(|()| true);
        if includes(&pinned, &version) {
            return self.replace_older(first, &put_back);
        }
        let there = self.cache.read_other(first.inode, there)?;
        if !folder.can_pin() || !self.has_overwritten(pinned, &there.record, pins)? {
            return Ok(());
        }
        self.replace_older(first, &put_back)?;
        self.take_attributes(&self.cache.inode(first.inode)?, &version, &there.record).map(drop)
    }

    /// Whether what is in place, whoever stored it last, has content that this device made before that of its pinned version: it had
    /// it before it when it wrote that. If it had lost its place by then, it is in a file of its own, or pinned until it is.
    fn has_overwritten(&self, pinned: Chunk, there: &Record, pins: &Pins) -> Result<bool> {
        let first = pinned.id();
        let content = |chunk| Ok::<_, Error>(self.cache.read_other(first.inode, chunk)?.record.content);
        let (ours, theirs) = (content(pinned)?, there.content);
        let is_own = |stamp: Stamp| stamp.device == self.base.context.device;
        let is_older = is_own(ours) && is_own(theirs) && theirs.commit < ours.commit;
        if !is_older || mutants::is_active(Mutant::OverwrittenKept) {
            return Ok(false);
        }
        for &(id, pin) in pins.iter().filter(|(id, pin)| id.index.is_first() && pin.lost > 0) {
            if content(self.catalog.open_pin(id, pin)?)? == theirs {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Has the newest copy of each chunk 0 exchange its name with an older one. Where a copy of a directory can be joined with what is
    /// in its place, or of a large file saved beside that, this is not needed.
    pub(super) fn exchange_older(&self, copies: &Copies) -> Result<()> {
        let mut firsts: Vec<ChunkId> =
            copies.iter().map(|(id, _)| *id).filter(|id| id.index.is_first()).collect();
        firsts.dedup();
        for first in firsts {
            match self.exchange_if_older(first, copies) {
                Err(error) if error.is_damage() => log::debug!("{first:?} is left as it is: {error}"),
                done => done?,
            }
        }
        Ok(())
    }

    fn exchange_if_older(&self, first: ChunkId, copies: &Copies) -> Result<()> {
        let Some((chunk, copy)) = self.catalog.newest_copy(first, copies) else { return Ok(()) };
        let Some(there) = self.open_in_place(first)?.filter(|_| self.tombstone(first.inode).is_none()) else {
            return Ok(());
        };
        if !includes(&chunk, there.version()) || mutants::is_active(Mutant::OlderKept) {
            return Ok(());
        }
        let known = self.base.context.recall.known(first);
        if known.is_some_and(|known| known != *chunk.version() && !includes(&chunk, &known)) {
            return Ok(());
        }
        let is_refused = self.cache.inode(first.inode).is_err_and(|error| error.is_damage());
        let other = self.cache.read_other(first.inode, chunk)?;
        let room = self.base.geometry.capacity(ChunkIndex::FIRST);
        let is_small = other.record.kind != Kind::Directory && other.record.size <= room;
        if !is_refused && !is_small {
            return Ok(());
        }
        self.replace_older(first, &|| self.catalog.exchange_older(copy))
    }

    /// A version is in a file of its own, durably. If no later one is known of this device's, what is in its place is remembered from
    /// here on: another device may put there what that version was made upon.
    pub(super) fn go_on_without(&self, first: ChunkId, saved: &Version) -> Result<()> {
        let (context, own) = (&self.base.context, self.base.context.device);
        let Some(known) = context.recall.known(first) else { return Ok(()) };
        if known.of(own) > saved.of(own) || mutants::is_active(Mutant::OwnExpected) {
            return Ok(());
        }
        let inode = match self.cache.inode(first.inode) {
            Err(error) if error.is_damage() => return Ok(()),
            inode => inode?,
        };
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        match self.cache.open_first_chunk(&inode, &mut state) {
            Err(error) if error.is_damage() => return Ok(()),
            opened => opened?,
        }
        if state.version().of(own) < known.of(own) {
            self.base.sync_names(&[context.file_name(first)])?;
            state.first_chunk_mut().go_on_without_own()?;
        }
        Ok(())
    }

    /// Whether a version was made by somebody who knew the content in place, which lacks a further chunk that is nowhere here: only
    /// attributes of it were set since, by a device that had not all of it any more.
    pub(super) fn has_gone_on(
        &self,
        inode: &Arc<Inode>,
        version: &State,
        copies: &Copies,
        pins: &Pins,
    ) -> Result<bool> {
        let content = inode.view(|record| record.content);
        let is_later = version.record.content != content
            && version.record.is_exact
            && version.version().of(content.device) >= content.commit;
        Ok(is_later
            && !mutants::is_active(Mutant::AttributesKeepPlace)
            && self.is_torn(inode, copies, pins)?)
    }

    /// Has such a version take the place, if it is whole, once nothing of what it lacks came for a while, with the attributes that were
    /// set last. `replace` is given the version that it is to include.
    pub(super) fn take_place_of_torn(
        &self,
        inode: &Arc<Inode>,
        (mut version, beside): (State, Beside<'_>),
        replace: &dyn Fn(ChunkId, &Version) -> Result<()>,
    ) -> Result<()> {
        let first = ChunkId::first(inode.id());
        self.hold_chunks(inode.id(), &mut version, beside, &mut Vec::new())?;
        if !self.is_at_rest(inode)? {
            return Ok(());
        }
        let (there, record) = {
            let state = inode.state.read();
            (state.version().clone(), state.record.clone())
        };
        self.replace_older(first, &|| replace(first, &there).map(|()| true))?;
        self.take_attributes(&self.cache.inode(first.inode)?, &there, &record).map(drop)
    }

    /// Whether none of a file's chunk files came lately.
    pub(super) fn is_at_rest(&self, inode: &Arc<Inode>) -> Result<bool> {
        let indices = inode.state.write().named_chunks(ChunkIndex::FIRST_EXTRA)?;
        for index in [ChunkIndex::FIRST].into_iter().chain(indices) {
            let name = self.base.context.file_name(ChunkId { inode: inode.id(), index });
            if self.base.context.store.age_of_file(name).is_ok_and(|age| age < PATIENCE) {
                self.waits.store(true, Ordering::Relaxed);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Replaces a chunk 0, of which memory must have nothing to lose. `replace` answers whether it could.
    pub(super) fn replace_older(&self, first: ChunkId, replace: &dyn Fn() -> Result<bool>) -> Result<()> {
        let is_replaced = match self.cache.inode(first.inode) {
            Ok(inode) => {
                let _serial = inode.serial.lock();
                let mut state = inode.state.write();
                if !state.is_forgettable() {
                    self.waits_briefly.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                let is_replaced = replace()?;
                for index in state.close_all() {
                    self.cache.closed(ChunkId { index, ..first });
                }
                // What is known of it is to be that of what is there now.
                Error::unless_damage(self.cache.open_first_chunk(&inode, &mut state))?;
                is_replaced
            }
            // It is older than this device knows.
            Err(error) if error.is_damage() => replace()?,
            Err(error) => return Err(error),
        };
        if is_replaced {
            log::info!("{first:?}: an older version of it is replaced");
        }
        Ok(())
    }
}

fn includes(chunk: &Chunk, version: &Version) -> bool {
    chunk.version().compare(version) == Relation::Newer
}
