//! Large files of which chunk files are in the wrong places: a client decides about each by itself, so chunk 0 may be of one version
//! and a further chunk of another one, with the rest of both in copies and pins.
//!
//! What belongs to the chunk 0 in place is put there, once it is certain that what is there does not belong to one on its way.

use super::Merge;
use super::pinned::{AllPins, Copies, PATIENCE, Pins};
use crate::chunk::{Chunk, ChunkId, Commit, InodeId};
use crate::store::CopyName;
use crate::volume::Result;
use crate::volume::inode::stamps::check_fit;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Merge {
    /// Puts right what is in the wrong place of those files that have copies or pins. What cannot be is left.
    pub(super) fn put_in_place(&self, copies: &Copies, pins: &AllPins) -> Result<()> {
        let of_copies = copies.iter().filter(|(id, _)| !id.index.is_first()).map(|(id, _)| id.inode);
        let inodes: BTreeSet<InodeId> = of_copies.chain(pins.keys().copied()).collect();
        for id in inodes {
            let pins = pins.get(&id).map_or(&[][..], Vec::as_slice);
            match self.put_chunks_in_place(id, copies, pins) {
                Err(error) if error.is_damage() => log::debug!("{id:?} is not put right: {error}"),
                done => done?,
            }
        }
        Ok(())
    }

    fn put_chunks_in_place(&self, id: InodeId, copies: &Copies, pins: &Pins) -> Result<()> {
        for &(id, pin) in pins.iter().filter(|(id, pin)| id.index.is_first() && pin.lost == 0) {
            self.put_newer_back(id, pin, pins)?;
        }
        let inode = self.cache.inode(id)?;
        if inode.is_directory() || !self.is_in_place(&inode)? {
            return Ok(());
        }
        let missing = self.missing(&inode, copies, pins)?;
        for &(id, named) in &missing {
            let done = match self.go_on_in_place(&inode, (id, named)) {
                Ok(false) => self.exchange(&inode, (id, named), copies, pins),
                done => done.map(drop),
            };
            match done {
                Err(error) if error.is_damage() => log::debug!("{id:?} is not put right: {error}"),
                done => done?,
            }
        }
        if missing.is_empty() { self.make_exact(&inode) } else { Ok(()) }
    }

    /// A further chunk that this device knows a newer version of, which belongs to a version of the file that lost its place: what
    /// is there is the very change that chunk 0 names, so nobody rolled it back. Whether that is so.
    fn go_on_in_place(&self, inode: &Arc<Inode>, (id, named): (ChunkId, Commit)) -> Result<bool> {
        let Some(chunk) = self.open_in_place(id)? else { return Ok(false) };
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        let is_named = state.record.is_exact && check_fit(&chunk, named, &state.record).is_ok();
        if !is_named || state.extra_chunks.contains(id.index) || mutants::is_active(Mutant::KnownNotIncluded)
        {
            return Ok(false);
        }
        self.catalog.go_on(chunk, None)?;
        state.close(id.index);
        Ok(true)
    }

    /// A further chunk that is in a copy: that and what is in place exchange their names.
    fn exchange(
        &self,
        inode: &Arc<Inode>,
        (id, named): (ChunkId, Commit),
        copies: &Copies,
        pins: &Pins,
    ) -> Result<()> {
        let pinned = self.catalog.find_pinned(pins, id, named, &inode.state.read()).map(|(stamp, ..)| stamp);
        let fitting = self.fitting_copy(id, named, &inode.state.read().record, copies);
        // Of one that is pinned and as new no other file is needed.
        let is_newest = |copied: Commit| match mutants::is_active(Mutant::OlderRestored) {
            true => pinned.is_none(),
            false => pinned < Some(copied),
        };
        let Some((copy, _, chunk)) = fitting.filter(|(_, copied, _)| is_newest(*copied)) else {
            return Ok(());
        };
        // Where nothing is, that is not for here.
        let Some((version, stamp)) = self.in_place(id)? else { return Ok(()) };
        let is_due = self.is_known(inode, stamp, copies, pins) || self.have_waited(copy)?;
        if !is_due && !mutants::is_active(Mutant::ExchangedEarly) || mutants::is_active(Mutant::NotExchanged)
        {
            return Ok(());
        }
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        if state.extra_chunks.get(id.index).is_some_and(Chunk::is_dirty) {
            return Ok(());
        }
        self.catalog.exchange_copy(copy, chunk, &version)?;
        state.close(id.index);
        self.cache.closed(id);
        log::info!("{id:?}: what belongs to another version of the file is replaced by a sync client's copy");
        Ok(())
    }

    /// Whether a copy and what is in its place have been there for so long that nothing that belongs to that is on its way.
    fn have_waited(&self, copy: &CopyName) -> Result<bool> {
        let store = &self.base.context.store;
        let have_waited = store.age_of_copy(copy)?.min(store.age_of_file(copy.of)?) >= PATIENCE;
        self.waits.fetch_or(!have_waited, Ordering::Relaxed);
        Ok(have_waited)
    }

    /// A version that this device was writing when it lost its place, or the device its power, and that has it again: chunk 0
    /// says what belongs to it, as only such can be merged.
    fn make_exact(&self, inode: &Arc<Inode>) -> Result<()> {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        self.cache.open_first_chunk(inode, &mut state)?;
        let wrote = state.record.content.device == self.base.context.device;
        if wrote && state.stamps.found_inexact && !mutants::is_active(Mutant::LeftInexact) {
            state.change();
            drop(state);
            self.cache.queue(inode);
            self.waits_briefly.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
