//! Two versions of a file: the one in its place keeps the name, the other becomes a file beside it (docs/FORMAT.md
//! section 8 says how that is called).

use super::Merge;
use super::pinned::{Copies, Pins};
use crate::chunk::{Chunk, ChunkId, ChunkIndex, Commit, DeviceId, InodeId, Version};
use crate::store::CopyName;
use crate::volume::base::{Aside, Event};
use crate::volume::format::derived::derived_names;
use crate::volume::format::record::{Link, Record};
use crate::volume::format::stamp::Stamp;
use crate::volume::inode::stamps::check_fit;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::namespace::operations::NewInode;
use crate::volume::{Error, Kind, Result};
use std::sync::Arc;

/// Bytes that are compared or copied at a time.
const PIECE: usize = 1 << 20;
/// Ids that are tried for the file that a version becomes.
const TRIES: u8 = 8;
/// Further chunks of a version that is saved: each is held open meanwhile.
const CHUNKS_MOST: usize = 256;

/// A directory, and a name in it.
type NameIn = (Arc<Inode>, Box<[u8]>);

/// Where the further chunks of a version may be that is not in its place.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    pub copies: &'a Copies,
    pub pins: &'a Pins,
    /// The version itself is pinned.
    pub is_pinned: bool,
}

impl Merge {
    /// Whether all of that version is in its place, or in a file of its own, once everything is durable. Copies that were used
    /// are put into `used`.
    pub(super) fn merge_file(
        &self,
        inode: &Arc<Inode>,
        other: State,
        beside: Beside<'_>,
        used: &mut Vec<CopyName>,
    ) -> Result<bool> {
        let (record, version) = (other.record.clone(), other.version().clone());
        // Whoever made what is in place went on with its content, or saves it: it has nothing to tell but attributes and names.
        let is_over = !beside.is_pinned && {
            let state = inode.state.read();
            state.record.is_exact && state.version().of(record.content.device) >= record.content.commit
        };
        if is_over && !record.is_exact {
            return self.take_attributes(inode, &version, &record).map(|_| false);
        }
        // Of a pinned version all that its chunk 0 leaves open is pinned, too.
        if !record.is_exact && !beside.is_pinned || !inode.view(|record| record.is_exact) {
            return Ok(false);
        }
        if record.is_exact && inode.view(|ours| ours.content == record.content) {
            return self.take_attributes(inode, &version, &record);
        }
        if !beside.is_pinned && came_before(inode, &other) {
            return Ok(false);
        }
        if record.kind != Kind::File || inode.view(|record| record.kind != Kind::File) {
            return Ok(false);
        }
        let lost = match self.as_inode(inode.id(), other, beside, used) {
            Err(error) if error.is_damage() && is_over => {
                return self.take_attributes(inode, &version, &record).and(Err(error));
            }
            lost => lost?,
        };
        // What is in place may lack something that is on its way.
        let is_equal = match self.are_equal(inode, &lost) {
            Err(error) if error.is_damage() => false,
            is_equal => is_equal?,
        };
        if is_equal {
            return self.take_attributes(inode, &version, &record);
        }
        let is_saved = mutants::is_active(Mutant::LostVersionDropped) || self.save_beside(inode, &lost)?;
        if is_saved {
            self.unite_links(inode, &version, &record)?;
        }
        Ok(is_saved)
    }

    /// Merges content that only this device's journal has, of one inode or all; of which that is done once everything is durable.
    /// Where memory has more of it, that is merged.
    pub(super) fn merge_aside(&self, of: Option<InodeId>, copies: &Copies) -> Result<Vec<(InodeId, Commit)>> {
        let (context, mut done) = (&self.base.context, Vec::new());
        let all = self.base.withheld.lock().all_aside();
        for (id, Aside { commit, mut record, content }) in all {
            if of.is_some_and(|of| of != id) {
                continue;
            }
            if self.writeback.displaced().iter().any(|lost| stamp_of(lost) == (id, commit)) {
                continue;
            }
            let first = ChunkId::first(id);
            let mut chunk = Chunk::new(context, first, self.base.geometry.blocks(ChunkIndex::FIRST));
            chunk.set_inline(content);
            record.extension.version.clear();
            record.content = Stamp { device: context.device, commit };
            let beside = Beside { copies: &[], pins: &[], is_pinned: false };
            let merged = if self.is_nowhere(id, copies) {
                let links = record.extension.links.iter_mut();
                let homeless = links.filter(|link| self.is_nowhere(link.parent, copies));
                homeless.for_each(|link| link.parent = InodeId::ROOT);
                let lost = Arc::new(Inode::new(id, State::replayed(commit, &record, chunk), true));
                self.save_beside(&lost, &lost)
            } else {
                let version = State::replayed(commit, &record, chunk);
                let found = self.cache.inode(id);
                found.and_then(|inode| self.merge_file(&inode, version, beside, &mut Vec::new()))
            };
            match merged {
                Ok(true) => done.push((id, commit)),
                Ok(false) => {}
                Err(error) if error.is_damage() => {
                    log::info!("{id:?}: what this device wrote before a crash waits in its journal: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Whether another device deleted what had been here.
    fn is_nowhere(&self, id: InodeId, copies: &Copies) -> bool {
        self.cache.inode(id).is_err_and(|error| error.is_taken_away())
            && self.tombstone(id).is_none()
            && copies.iter().all(|(of, _)| *of != ChunkId::first(id))
            && !mutants::is_active(Mutant::GoneAsideLeft)
    }

    /// It is durable in files of its own.
    pub(super) fn are_saved(&self, aside: Vec<(InodeId, Commit)>) {
        aside.into_iter().for_each(|(id, commit)| self.base.withheld.lock().merged(id, commit));
    }

    /// Where a file has a name, in this or another version, and the name: the first directory that is there. If none is, and this
    /// device deleted them, the root.
    fn place_beside(&self, inode: &Arc<Inode>, lost: &Arc<Inode>) -> Result<Option<NameIn>> {
        let links = |inode: &Arc<Inode>| inode.view(|record| record.extension.links.clone());
        let (mut last, mut missing) = (None, None);
        for Link { parent, name, .. } in links(inode).into_iter().chain(links(lost)) {
            match self.cache.inode(parent) {
                Ok(directory) if has_names(&directory) => return Ok(Some((directory, name))),
                Ok(_) => last = Some(name),
                Err(error) if error.is_damage() && !mutants::is_active(Mutant::BesideNowhere) => {
                    let is_deleted = error.is_absence() && self.tombstone(parent).is_some();
                    last = Some(name);
                    missing = missing.or((!is_deleted).then_some(error));
                }
                Err(error) => return Err(error),
            }
        }
        match (last, missing) {
            (_, Some(error)) => Err(error),
            (Some(name), None) => Ok(Some((self.cache.inode(InodeId::ROOT)?, name))),
            (None, None) => Ok(None),
        }
    }

    /// Makes a file of a version that is nowhere else.
    pub(super) fn save_beside(&self, inode: &Arc<Inode>, lost: &Arc<Inode>) -> Result<bool> {
        let _saving = self.saving.lock();
        let Stamp { device, commit } = lost.view(|record| record.content);
        let Some((directory, name)) = self.place_beside(inode, lost)? else { return Ok(false) };
        for number in 0..TRIES {
            let Some(id) = InodeId::of_lost_version(inode.id(), device, commit, number) else { continue };
            if self.deletion(id).is_some() {
                // It was saved before, and seen by whoever removed it.
                return Ok(true);
            }
            match self.cache.inode(id) {
                Ok(saved) if self.are_equal(&saved, lost)? => return Ok(true),
                // Somebody has changed it since, or it was not finished.
                Ok(_) => {}
                Err(Error::NotArrived(_)) => {
                    let Some(name) = self.derive_free(&directory, &name, (commit.0, device))? else { break };
                    self.make(id, &directory, &name, lost)?;
                    self.saved.lock().push((directory.id(), name));
                    self.base.happened(Event::Conflict);
                    log::warn!(
                        target: "cryptfs::conflict",
                        "a file was changed on two devices: the version of commit {} is in a file beside it",
                        commit.0
                    );
                    return Ok(true);
                }
                Err(error @ Error::Damaged(..)) => {
                    log::debug!("{id:?} is not free: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// The first derived name that is free: several versions of one second derive the same.
    pub(super) fn derive_free(
        &self,
        directory: &Arc<Inode>,
        name: &[u8],
        (counter, device): (u64, DeviceId),
    ) -> Result<Option<Vec<u8>>> {
        for name in derived_names(name, counter, device) {
            if self.cache.entry(directory, &name)?.is_none() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn make(&self, id: InodeId, directory: &Arc<Inode>, name: &[u8], lost: &Arc<Inode>) -> Result<()> {
        let record = lost.view(Record::clone);
        let new = NewInode {
            kind: record.kind,
            mode: record.mode,
            uid: record.uid,
            gid: record.gid,
            device: record.device,
            target: &record.extension.target,
            xattrs: record.extension.xattrs.clone(),
            now: record.modified,
        };
        self.about_to_change(&[directory]);
        let made = self.namespace.create_as(id, directory, name, new)?;
        if record.size > 0 && is_hole(lost, self.base.geometry.locate(record.size - 1).0)? {
            self.data.resize(&made, record.size, record.modified, 0)?;
        }
        let (mut piece, mut next) = (Vec::new(), 0);
        while next < record.size {
            let (at, index) = (next, self.base.geometry.locate(next).0);
            next = record.size.min(self.base.geometry.range(index).end);
            if is_hole(lost, index)? {
                continue;
            }
            piece.resize((next - at) as usize, 0);
            if self.data.read(lost, at, &mut piece)? < piece.len() {
                return Err(Error::Damaged(ChunkId::first(id), "a lost version that became shorter".into()));
            }
            // Another device may make the file as well, and a client take the chunk files of both: they fit each other.
            let stamp = lost.state.read().stamp_of_committed(index);
            self.data.write_stamped(&made, at, &piece, record.modified, stamp)?;
        }
        Ok(())
    }

    pub(super) fn are_equal(&self, one: &Arc<Inode>, other: &Arc<Inode>) -> Result<bool> {
        let size = one.view(|record| record.size);
        if size != other.view(|record| record.size) {
            return Ok(false);
        }
        let (mut at, mut ours, mut theirs) = (0, vec![0; PIECE], vec![0; PIECE]);
        while at < size {
            let read = (self.data.read(one, at, &mut ours)?, self.data.read(other, at, &mut theirs)?);
            if read.0 != read.1 || read.0 == 0 || ours[..read.0] != theirs[..read.1] {
                return Ok(false);
            }
            at += read.0 as u64;
        }
        Ok(true)
    }

    /// A version that can be read like a file, if all of its chunks are here, in their places or as copies.
    pub(super) fn as_inode(
        &self,
        id: InodeId,
        mut other: State,
        beside: Beside<'_>,
        used: &mut Vec<CopyName>,
    ) -> Result<Arc<Inode>> {
        self.hold_chunks(id, &mut other, beside, used)?;
        Ok(Arc::new(Inode::new(id, other, true)))
    }

    /// Opens all further chunks of a version that are not open.
    pub(super) fn hold_chunks(
        &self,
        id: InodeId,
        other: &mut State,
        beside: Beside<'_>,
        used: &mut Vec<CopyName>,
    ) -> Result<()> {
        let named = other.named_chunks(ChunkIndex::FIRST_EXTRA)?;
        let first = ChunkId::first(id);
        if named.len() > CHUNKS_MOST {
            return Err(Error::Damaged(
                first,
                "a lost version of a file that is too large to be saved".into(),
            ));
        }
        for index in named {
            if other.extra_chunks.contains(index) {
                continue;
            }
            let (id, named) = (ChunkId { inode: id, index }, other.table.stamp(index).unwrap_or_default());
            let chunk = self.newest_of(id, named, other, beside, used)?;
            other.hold(index, chunk);
        }
        Ok(())
    }

    /// A further chunk of a version. Of one that was being written when it lost its place several may belong to it, and the newest
    /// one is what was acknowledged last.
    fn newest_of(
        &self,
        id: ChunkId,
        named: Commit,
        version: &State,
        beside: Beside<'_>,
        used: &mut Vec<CopyName>,
    ) -> Result<Chunk> {
        let in_place = self.cache.open_extra(id, named, &version.record);
        let mut found = Vec::new();
        let mut missing = None;
        match in_place {
            Ok((chunk, stamp)) => found.push((stamp, !beside.is_pinned, chunk, None)),
            Err(error) => missing = Some(error),
        }
        if let Some((copy, stamp, chunk)) = self.fitting_copy(id, named, &version.record, beside.copies) {
            found.push((stamp, false, chunk, Some(copy)));
        }
        if let Some((stamp, chunk, _)) = self.catalog.find_pinned(beside.pins, id, named, version) {
            found.push((stamp, beside.is_pinned, chunk, None));
        }
        let newest =
            found.into_iter().max_by_key(|(stamp, is_first, _, copy)| (*stamp, *is_first, copy.is_some()));
        match newest {
            Some((_, _, chunk, copy)) => {
                used.extend(copy.cloned());
                Ok(chunk)
            }
            None => Err(missing.expect("nothing was found")),
        }
    }

    /// Of the copies of a chunk the newest one that belongs to a version of a file.
    pub(super) fn fitting_copy<'a>(
        &self,
        id: ChunkId,
        named: Commit,
        record: &Record,
        copies: &'a Copies,
    ) -> Option<(&'a CopyName, Commit, Chunk)> {
        let fitting = copies.iter().filter(|(of, _)| *of == id).filter_map(|(_, copy)| {
            let chunk = self.open_copy(id, copy).ok()??;
            Some((copy, check_fit(&chunk, named, record).ok()?, chunk))
        });
        fitting.max_by_key(|(_, stamp, _)| *stamp)
    }

    /// Of one content the attributes that were changed last, and the names of both.
    pub(super) fn take_attributes(
        &self,
        inode: &Arc<Inode>,
        version: &Version,
        other: &Record,
    ) -> Result<bool> {
        let rank = |record: &Record| record.extension.attributes.map(|stamp| (stamp.commit, stamp.device));
        self.unite_links(inode, version, other)?;
        if inode.view(|record| rank(record) >= rank(other)) {
            return Ok(true);
        }
        self.about_to_change(&[inode]);
        self.namespace.update(inode, |record| {
            (record.mode, record.uid, record.gid) = (other.mode, other.uid, other.gid);
            record.extension.xattrs.clone_from(&other.extension.xattrs);
            Ok(())
        })?;
        Ok(true)
    }
}

/// Whether a version has nothing at all in a further chunk.
fn is_hole(lost: &Arc<Inode>, index: ChunkIndex) -> Result<bool> {
    let mut state = lost.state.write();
    if index.is_first() || state.extra_chunks.contains(index) {
        return Ok(false);
    }
    state.load_table(index)?;
    Ok(state.table.stamp(index).is_none())
}

fn has_names(directory: &Arc<Inode>) -> bool {
    directory.view(|record| record.links_count > 0)
}

fn stamp_of(inode: &Arc<Inode>) -> (InodeId, Commit) {
    (inode.id(), inode.view(|record| record.content.commit))
}

/// Whether one device alone ever wrote a file, and that version is an older one of its: somebody kept a copy. Where several
/// wrote, numbers do not tell that: a device may have written to another one's version while its own was elsewhere.
pub(super) fn came_before(inode: &Arc<Inode>, other: &State) -> bool {
    let state = inode.state.read();
    match (&state.version().0[..], &other.version().0[..]) {
        ([newest], [kept]) if newest.0 == kept.0 => {
            newest.1 > kept.1 && !mutants::is_active(Mutant::OlderCopySaved)
        }
        _ => false,
    }
}
