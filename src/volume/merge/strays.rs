//! Which of the copies of large files' chunk files go. A copy of a further chunk may be needed by several versions, and clients leave
//! copies of versions that nobody can put together any more, such as one that its writer changed again.

use super::Merge;
use super::files::{Beside, came_before};
use super::pinned::{AllPins, Copies, KEPT_FOR, Pins};
use crate::chunk::{Chunk, ChunkId, InodeId};
use crate::store::{CopyName, Pinned};
use crate::volume::format::stamp::{ExtraRecord, Stamp};
use crate::volume::inode::stamps::check_fit;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Kind, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Merge {
    /// Of the copies that were merged those stay that another version needs, in its place or in a copy that was not merged yet.
    pub(super) fn keep_needed(&self, copies: &Copies, merged: &mut Vec<CopyName>) -> Result<()> {
        let further: Vec<_> =
            copies.iter().filter(|(id, copy)| !id.index.is_first() && merged.contains(copy)).collect();
        for (id, copy) in further {
            let Some(chunk) = self.open_copy(*id, copy)? else { continue };
            let is_needed = self.is_missing(&chunk)?
                || self.others(id.inode, copies, merged).any(|(_, other)| needs(other, &chunk));
            if is_needed && !mutants::is_active(Mutant::NeededRemoved) {
                merged.retain(|merged| merged != copy);
            }
        }
        Ok(())
    }

    /// Whether the version in place needs a chunk, and has another one in its place.
    fn is_missing(&self, chunk: &Chunk) -> Result<bool> {
        let inode = match self.cache.inode(chunk.id().inode) {
            Err(error) if error.is_damage() => return Ok(true),
            inode => inode?,
        };
        match self.missing(&inode, &[], &[]) {
            Ok(missing) => Ok(missing.iter().any(|(id, named)| {
                *id == chunk.id() && check_fit(chunk, *named, &inode.state.read().record).is_ok()
            })),
            Err(error) if error.is_damage() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The versions in copies of a file's chunk 0 that are none of `but`.
    pub(super) fn others<'a>(
        &'a self,
        inode: InodeId,
        copies: &'a Copies,
        but: &'a [CopyName],
    ) -> impl Iterator<Item = (&'a CopyName, State)> {
        let first = ChunkId::first(inode);
        copies.iter().filter(move |(id, copy)| *id == first && !but.contains(copy)).filter_map(
            move |(_, copy)| {
                let chunk = self.open_copy(first, copy).ok()??;
                Some((copy, self.cache.read_other(inode, chunk).ok()?))
            },
        )
    }

    /// Copies that are of no whole version, and were there for a day: of what the version in place includes, or of what this device
    /// wrote, none of which waits. Nobody needs them: what they lack was overwritten by somebody who knew of it.
    pub(super) fn strays(
        &self,
        copies: &Copies,
        pins: &AllPins,
        merged: &[CopyName],
    ) -> Result<Vec<CopyName>> {
        let inodes: BTreeSet<InodeId> =
            copies.iter().filter(|(_, copy)| !merged.contains(copy)).map(|(id, _)| id.inode).collect();
        let mut strays = Vec::new();
        for id in inodes {
            match self.strays_of(id, copies, pins, merged) {
                Err(error) if error.is_damage() => log::debug!("copies of {id:?} stay: {error}"),
                found => strays.extend(found?),
            }
        }
        Ok(strays)
    }

    fn strays_of(
        &self,
        id: InodeId,
        copies: &Copies,
        pins: &AllPins,
        merged: &[CopyName],
    ) -> Result<Vec<CopyName>> {
        let is_old =
            |copy: &CopyName| self.base.context.store.age_of_copy(copy).is_ok_and(|age| age >= KEPT_FOR);
        let old: Vec<_> = copies
            .iter()
            .filter(|(of, copy)| of.inode == id && !merged.contains(copy) && is_old(copy))
            .collect();
        let mut strays = Vec::new();
        if old.is_empty() || mutants::is_active(Mutant::StraysLeft) {
            return Ok(strays);
        }
        let inode = self.cache.inode(id)?;
        let is_at_rest = inode.view(|record| record.kind == Kind::File && record.is_exact);
        if !is_at_rest || !self.is_in_place(&inode)? || !self.missing(&inode, copies, &[])?.is_empty() {
            return Ok(strays);
        }
        let pins = pins.get(&id).map_or(&[][..], Vec::as_slice);
        let is_own_safe = self.is_own_safe(&inode, pins)?;
        let is_over = |stamp: Stamp| {
            inode.state.read().version().of(stamp.device) >= stamp.commit
                || is_own_safe && stamp.device == self.base.context.device
        };
        for (copy, other) in self.others(id, copies, merged) {
            let content = other.record.content;
            if !old.iter().any(|(_, old)| old == copy) || other.table.is_empty() || !is_over(content) {
                continue;
            }
            let beside = Beside { copies, pins, is_pinned: false };
            let is_older = came_before(&inode, &other) || !other.record.is_exact;
            let is_torn =
                || self.as_inode(id, other, beside, &mut Vec::new()).is_err_and(|error| error.is_damage());
            if is_older || is_torn() {
                strays.push(copy.clone());
            }
        }
        let gone = [merged, &strays].concat();
        for (further, copy) in old.into_iter().filter(|(id, _)| !id.index.is_first()) {
            let Some(chunk) = self.open_copy(*further, copy)? else { continue };
            let Ok(ExtraRecord { stamp, .. }) = ExtraRecord::decode(chunk.record()) else { continue };
            let is_needed = || self.others(id, copies, &gone).any(|(_, other)| needs(other, &chunk));
            if is_over(stamp) && !is_needed() {
                strays.push(copy.clone());
            }
        }
        Ok(strays)
    }

    /// Whether no version that this device made of a file waits for a place: each that it did not overwrite itself was pinned until it
    /// had one, if it could be.
    fn is_own_safe(&self, inode: &Arc<Inode>, pins: &Pins) -> Result<bool> {
        let Some(folder) = self.catalog.pins().filter(|folder| folder.can_pin()) else { return Ok(false) };
        for &(first, pin) in pins.iter().filter(|(id, _)| id.index.is_first()) {
            let is_in_place = pin.lost == 0 && folder.pinned_as(pin.of)? != Pinned::Displaced;
            let pinned = || self.cache.read_other(first.inode, self.catalog.open_pin(first, pin)?);
            if !is_in_place && pinned()?.record.content != inode.view(|record| record.content) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a further chunk belongs to a version.
fn needs(mut version: State, chunk: &Chunk) -> bool {
    let index = chunk.id().index;
    let named = version.load_table(index).ok().and_then(|()| version.table.stamp(index));
    named.is_some_and(|named| check_fit(chunk, named, &version.record).is_ok())
}
