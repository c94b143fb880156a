//! Rotation's long part: whatever is sealed under an older epoch is sealed anew (docs/FORMAT.md section 6.6).
//!
//! Works through the inodes in memory, so it may run beside everything else, and may end at any instant: each chunk
//! lies under the old or the new epoch. What a file says of its chunks, and what this device remembers of them, is
//! checked first, for a new commit number would make a chunk that was rolled back look fresh. Neighbours: `flush` makes it durable, `chunk` seals.

use crate::chunk::{self, Chunk, ChunkId, DeviceId, InodeId};
use crate::store::{Area, FileName};
use crate::volume::inode::state::Inode;
use crate::volume::journal::file;
use crate::volume::{Error, Finding, Result, Volume};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Chunks that are sealed anew before they are made durable: bounds the descriptors held open.
const GROUP: usize = 64;

/// What may still need the old epochs.
#[derive(Default)]
pub struct Remains {
    /// Devices whose journals do.
    pub journals: Vec<DeviceId>,
    /// Chunks that could not be sealed anew, and that the volume speaks of.
    pub chunks: Vec<Finding>,
}

/// Chunks to be sealed anew, by inode.
type Group = BTreeMap<InodeId, Vec<u32>>;

impl Remains {
    /// Whether the old epochs can be destroyed without losing anything.
    pub fn is_empty(&self) -> bool {
        self.journals.is_empty() && self.chunks.is_empty()
    }
}

impl Volume {
    /// Seals everything of older epochs under the newest one, durably. `progress` is told how many files were looked
    /// at, and of how many; where it says false, the rest is left. Chunk files that open under no epoch, and those that
    /// nothing speaks of, are passed over: nobody can read them now either.
    pub fn reencrypt(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Remains> {
        self.check_writable()?;
        self.journal.lock().renew(&self.context)?;
        let (mut remains, mut left) = (Remains::default(), Vec::new());
        let chunks = self.all_chunks()?;
        let (mut group, mut size, total) = (Group::new(), 0, chunks.len() as u64);
        for (done, id) in (0..).zip(chunks) {
            match Chunk::open(&self.context, id, self.blocks) {
                Ok(chunk) if chunk.epoch_is_newest() => {}
                // One that is incomplete may just be being written: it is looked at again under its inode's lock.
                Ok(_) | Err(chunk::Error::Incomplete(_)) => {
                    group.entry(id.inode).or_default().push(id.index);
                    size += 1;
                }
                Err(chunk::Error::Missing(_) | chunk::Error::Deleted(_)) => {}
                Err(error @ chunk::Error::Damaged(..)) => {
                    log::warn!("passed over: {}: {error}", self.context.file_name(id).path())
                }
                Err(error @ chunk::Error::RolledBack { .. }) => left.push(error.into()),
                Err(error) => return Err(error.into()),
            }
            if size == GROUP.min(self.open.limit() / 2) {
                self.reencrypt_group(std::mem::take(&mut group), &mut left)?;
                size = 0;
            }
            if !progress(done, total) {
                return Ok(remains);
            }
        }
        self.reencrypt_group(group, &mut left)?;
        remains.chunks = self.spoken_of(left)?;
        for id in self.other_journals()? {
            if file::may_need_old_epoch(&self.context, id)? {
                remains.journals.extend(id.inode.journal_of());
            }
        }
        // An earlier run that was killed may have left what it wrote in the page cache.
        self.context.store.sync_all()?;
        progress(total, total);
        Ok(remains)
    }

    /// The same with at most a fifth of the time spent on it; ends early where `rest` says false.
    pub(in crate::volume) fn reencrypt_gently(
        &self,
        rest: &mut dyn FnMut(Duration) -> bool,
    ) -> Result<Remains> {
        let mut resumed = Instant::now();
        self.reencrypt(&mut |_, _| {
            let goes_on = rest(4 * resumed.elapsed());
            resumed = Instant::now();
            goes_on
        })
    }

    /// The same in the background, if there are older epochs.
    pub(in crate::volume) fn reencrypt_aside(self: &Arc<Volume>) {
        if self.context.epochs() < 2 {
            return;
        }
        let volume = self.clone();
        let thread = std::thread::Builder::new().name("reencrypt".into()).spawn(move || {
            match volume.reencrypt_gently(&mut |time| volume.flusher.rest(time)) {
                Ok(_) => log::info!("the rotation's work beside the mount has ended"),
                Err(error) => log::warn!("the rotation does not go on beside the mount: {error}"),
            }
        });
        let thread =
            thread.inspect_err(|error| log::warn!("the rotation does not go on beside the mount: {error}"));
        *self.flusher.aside.lock() = thread.ok();
    }

    /// Deletes another device's journal, with whatever it says.
    pub fn discard_journal(&self, device: DeviceId) -> Result<()> {
        let id = ChunkId { inode: InodeId::journal(device), index: 0 };
        let name = self.context.file_name(id);
        self.context.store.remove(name)?;
        self.context.recall.gone(id);
        Ok(self.context.store.sync_names(&[name])?)
    }

    /// Every chunk that a file stands for by its name, those of an inode together.
    pub(in crate::volume) fn all_chunks(&self) -> Result<Vec<ChunkId>> {
        let mut found = Vec::new();
        self.context.store.list(Area::Chunks, &mut |name, is_file| {
            let name = FileName::parse(Area::Chunks, name).filter(|_| is_file);
            found.extend(name.and_then(|name| self.context.identify(name)));
        })?;
        found.sort_unstable();
        Ok(found)
    }

    /// What of this the volume speaks of: a name leads to the inode, or may where not every directory can be read, and
    /// the inode does not deny the chunk. What is left by a crash, or was planted, waits for nothing.
    fn spoken_of(&self, left: Vec<Error>) -> Result<Vec<Finding>> {
        let left: BTreeMap<ChunkId, Error> =
            left.into_iter().filter_map(|error| Some((error.chunk()?, error))).collect();
        let (places, whole) = self.places_of(&left.keys().map(|id| id.inode).collect())?;
        let mut found = Vec::new();
        for (id, error) in left {
            let place = places.get(&id.inode).cloned();
            let is_named = place.is_some() || !whole || id.inode == InodeId::ROOT;
            let is_denied =
                || id.index > 0 && self.further(id.inode).is_ok_and(|further| !further.contains(&id.index));
            if !is_named || is_denied() {
                log::info!("passed over: nothing speaks of {}: {error}", self.context.file_name(id).path());
                continue;
            }
            self.notice(&error, || place.clone());
            found.extend(self.finding(&error, place));
        }
        Ok(found)
    }

    fn reencrypt_group(&self, group: Group, left: &mut Vec<Error>) -> Result<()> {
        let mut inodes = Vec::new();
        for (id, indices) in group {
            match self.inode(id) {
                Ok(inode) => inodes.push((inode, indices)),
                Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => left.push(error),
                Err(error) => return Err(error),
            }
        }
        let all: Vec<Arc<Inode>> = inodes.iter().map(|(inode, _)| inode.clone()).collect();
        // Twice: what was written but not committed yet holds slots, and the first rewrite wants as many as there are.
        self.flush_for(&all, left)?;
        for step in [Chunk::rewrite, Chunk::compact] {
            for (inode, indices) in &mut inodes {
                for index in std::mem::take(indices) {
                    match self.change_chunk(inode, index, step) {
                        Ok(true) => indices.push(index),
                        Ok(false) => {}
                        Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => left.push(error),
                        Err(error) => return Err(error),
                    }
                }
            }
            self.flush_for(&all, left)?;
        }
        drop(all);
        for (inode, _) in inodes {
            self.tidy(&inode);
            self.forget_if_clean(&inode);
        }
        Ok(())
    }

    /// A file that cannot be flushed, perhaps because it was deleted meanwhile, does not stop the others.
    fn flush_for(&self, inodes: &[Arc<Inode>], left: &mut Vec<Error>) -> Result<()> {
        match self.flush(inodes) {
            Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => left.push(error),
            outcome => outcome?,
        }
        Ok(())
    }

    /// One step on one chunk, which the next flush of the inode commits; false if the file has no such chunk.
    fn change_chunk(
        &self,
        inode: &Arc<Inode>,
        index: u32,
        step: fn(&mut Chunk) -> chunk::Result<()>,
    ) -> Result<bool> {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        self.open_chunk(inode, &mut state, index)?;
        let Some(chunk) = state.chunk_mut(index) else {
            log::warn!("passed over: no file has {:?}", ChunkId { inode: inode.id(), index });
            return Ok(false);
        };
        step(chunk)?;
        state.change_times();
        Ok(true)
    }
}
