//! Rotation's long part: whatever is sealed under an older epoch is re-sealed (docs/FORMAT.md section 6.6).
//!
//! Works through the inodes in memory, so it may run beside everything else, and may end at any instant: each chunk
//! lies under the old or the new epoch. What a file says of its chunks, and what this device remembers of them, is
//! checked first, for a new commit number would make a chunk that was rolled back look fresh. Neighbours: `flush` makes it durable, `chunk` seals.

use crate::chunk::{self, Chunk, ChunkId, ChunkIndex, DeviceId, InodeId};
use crate::locks::{Mutex, Rank};
use crate::volume::base::{Base, threads};
use crate::volume::cache::Cache;
use crate::volume::catalog::Catalog;
use crate::volume::check::Check;
use crate::volume::inode::state::Inode;
use crate::volume::journal::Journal;
use crate::volume::journal::file;
use crate::volume::writeback::Writeback;
use crate::volume::{Error, Finding, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Chunks that are re-sealed before they are made durable: bounds the descriptors held open.
const GROUP: usize = 64;

pub struct Rotation {
    base: Arc<Base>,
    cache: Arc<Cache>,
    catalog: Arc<Catalog>,
    journal: Arc<Journal>,
    writeback: Arc<Writeback>,
    check: Arc<Check>,
    /// Works in the background.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What may still need the old epochs.
#[derive(Default)]
pub struct Remains {
    /// Devices whose journals do.
    pub journals: Vec<DeviceId>,
    /// Chunks that could not be re-sealed, and that a name or a table leads to.
    pub chunks: Vec<Finding>,
}

/// Chunks to be re-sealed, by inode.
type Group = BTreeMap<InodeId, Vec<ChunkIndex>>;

impl Remains {
    /// Whether the old epochs can be destroyed without losing anything.
    pub fn is_empty(&self) -> bool {
        self.journals.is_empty() && self.chunks.is_empty()
    }
}

impl Rotation {
    pub fn new(writeback: &Arc<Writeback>, check: &Arc<Check>, journal: &Arc<Journal>) -> Rotation {
        Rotation {
            base: check.base.clone(),
            cache: check.cache.clone(),
            catalog: check.catalog.clone(),
            journal: journal.clone(),
            writeback: writeback.clone(),
            check: check.clone(),
            thread: Mutex::new(Rank::Threads, None),
        }
    }

    /// Seals everything of older epochs under the newest one, durably. `progress` is told how many files were looked
    /// at, and of how many; where it says false, the rest is left. Chunk files that open under no epoch, and those that
    /// no file uses, are left: nobody can read them now either.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], [`Error::Stopped`]; those of a checkpoint; the store's. What was sealed anew stays so.
    /// Chunks that cannot be read are in [`Remains`].
    pub fn reencrypt(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Remains> {
        self.base.check_writable()?;
        // The first checkpoint of a mount sweeps what a crash left behind: no inode may be loaded from that.
        self.writeback.checkpoint()?;
        self.journal.file().renew(&self.base.context)?;
        let (mut remains, mut left) = (Remains::default(), Vec::new());
        let chunks = self.catalog.all_chunks()?;
        let (mut group, mut size, total) = (Group::new(), 0, chunks.len() as u64);
        for (done, id) in (0..).zip(chunks) {
            match Chunk::open(&self.base.context, id, self.base.geometry.blocks(id.index)) {
                Ok(chunk) if chunk.epoch_is_newest() => {}
                // One that is incomplete may just be being written: it is looked at again under its inode's lock.
                Ok(_) | Err(chunk::Error::Incomplete(_)) => {
                    group.entry(id.inode).or_default().push(id.index);
                    size += 1;
                }
                Err(chunk::Error::Missing(_) | chunk::Error::Deleted(_)) => {}
                Err(error @ chunk::Error::Damaged(..)) => {
                    log::warn!(
                        "left under the older epoch, as it cannot be read: {}: {error}",
                        self.base.context.file_name(id).path()
                    )
                }
                Err(error @ chunk::Error::RolledBack { .. }) => left.push(error.into()),
                Err(error) => return Err(error.into()),
            }
            if size == GROUP.min(self.cache.open_limit() / 2) {
                self.reencrypt_group(std::mem::take(&mut group), &mut left)?;
                size = 0;
            }
            if !progress(done, total) {
                return Ok(remains);
            }
        }
        self.reencrypt_group(group, &mut left)?;
        remains.chunks = self.spoken_of(left)?;
        for id in self.catalog.other_journals()? {
            if file::may_need_old_epoch(&self.base.context, id)? {
                remains.journals.extend(id.inode.journal_of());
            }
        }
        // An earlier run that was killed may have left what it wrote in the page cache.
        self.base.context.store.sync_all()?;
        progress(total, total);
        Ok(remains)
    }

    /// The same with at most a fifth of the time spent on it; ends early where `rest` says false.
    ///
    /// # Errors
    ///
    /// As [`Rotation::reencrypt`].
    pub fn reencrypt_gently(&self, rest: &mut dyn FnMut(Duration) -> bool) -> Result<Remains> {
        let mut resumed = Instant::now();
        self.reencrypt(&mut |_, _| {
            let goes_on = rest(4 * resumed.elapsed());
            resumed = Instant::now();
            goes_on
        })
    }

    /// The same in the background, if there are older epochs.
    pub fn start(self: &Arc<Self>) {
        if self.base.context.epochs() < 2 {
            return;
        }
        let rotation = self.clone();
        let thread = std::thread::Builder::new().name("reencrypt".into()).spawn(move || {
            match rotation.reencrypt_gently(&mut |time| rotation.base.schedule.rest(time)) {
                Ok(_) => log::info!("the rotation's work beside the mount has ended"),
                Err(error) => log::warn!("the rotation does not go on beside the mount: {error}"),
            }
        });
        let thread =
            thread.inspect_err(|error| log::warn!("the rotation does not go on beside the mount: {error}"));
        *self.thread.lock() = thread.ok();
    }

    /// Waits for what runs in the background, which ends when the flusher does.
    pub fn end(&self) {
        let thread = self.thread.lock().take();
        thread.into_iter().for_each(|thread| threads::join(thread, "the rotation beside the mount"));
    }

    /// What of this the volume uses: a name leads to the inode, or may where not every directory can be read, and
    /// the inode does not deny the chunk. What is left by a crash, or was planted, waits for nothing.
    fn spoken_of(&self, left: Vec<Error>) -> Result<Vec<Finding>> {
        let left: BTreeMap<ChunkId, Error> =
            left.into_iter().filter_map(|error| Some((error.chunk()?, error))).collect();
        let (places, whole) = self.check.places_of(&left.keys().map(|id| id.inode).collect())?;
        let mut found = Vec::new();
        for (id, error) in left {
            let place = places.get(&id.inode).cloned();
            let is_named = place.is_some() || !whole || id.inode == InodeId::ROOT;
            let is_denied = || {
                !id.index.is_first()
                    && self.cache.extra_indices(id.inode).is_ok_and(|extra| !extra.contains(&id.index))
            };
            if !is_named || is_denied() {
                log::info!(
                    "left under the older epoch, as no file uses it: {}: {error}",
                    self.base.context.file_name(id).path()
                );
                continue;
            }
            self.cache.notice_placed(&error, place.clone());
            found.extend(self.cache.finding(&error, place));
        }
        Ok(found)
    }

    fn reencrypt_group(&self, group: Group, left: &mut Vec<Error>) -> Result<()> {
        let mut inodes = Vec::new();
        for (id, indices) in group {
            match self.cache.inode(id) {
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
            self.writeback.reclaim(&inode);
            self.cache.forget_if_clean(&inode);
        }
        Ok(())
    }

    /// A file that cannot be flushed, perhaps because it was deleted meanwhile, does not stop the others.
    fn flush_for(&self, inodes: &[Arc<Inode>], left: &mut Vec<Error>) -> Result<()> {
        match self.writeback.flush(inodes) {
            Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => left.push(error),
            outcome => outcome?,
        }
        Ok(())
    }

    /// One step on one chunk, which the next flush of the inode commits; false if the file has no such chunk.
    fn change_chunk(
        &self,
        inode: &Arc<Inode>,
        index: ChunkIndex,
        step: fn(&mut Chunk) -> chunk::Result<()>,
    ) -> Result<bool> {
        let _serial = inode.serial.lock();
        let mut state = inode.state.write();
        self.cache.open_chunk(inode, &mut state, index)?;
        let Some(chunk) = state.chunk_mut(index) else {
            log::warn!(
                "left under the older epoch, as no file has it: {:?}",
                ChunkId { inode: inode.id(), index }
            );
            return Ok(false);
        };
        step(chunk)?;
        state.change_times();
        Ok(true)
    }
}
