//! How many chunk files are held open: closing those that can be, and asking for a checkpoint where none can.
//!
//! Every chunk whose file is open stands in the list, from the moment it is opened or made until it is closed or gone.
//! A chunk closes only where that loses nothing; what is being written waits for its flush.

use super::Cache;
use crate::chunk::{ChunkId, ChunkIndex, Commit, InodeId};
use crate::locks::{Mutex, Rank};
use crate::volume::base::SYNC_ALL_ABOVE;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use hashbrown::HashMap;
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Chunks that are tried at a time: bounds what one operation does for others.
const TRIES: usize = 8;

/// The chunks that are open, oldest first.
pub struct OpenFiles {
    list: Mutex<LruCache<ChunkId, Weak<Inode>>>,
    limit: usize,
    /// What was found open and written to at the last look for what rests.
    resting: Mutex<HashMap<ChunkId, Commit>>,
    /// How many were open after the last checkpoint that was made to close some: unlinked files that are in use stay open.
    kept: AtomicUsize,
}

impl OpenFiles {
    pub fn new(limit: NonZeroUsize) -> OpenFiles {
        OpenFiles {
            list: Mutex::new(Rank::OpenFiles, LruCache::unbounded()),
            limit: limit.get(),
            resting: Mutex::new(Rank::Resting, HashMap::new()),
            kept: AtomicUsize::new(0),
        }
    }

    /// How many should be open at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn is_full(&self) -> bool {
        self.len() > self.limit
    }

    fn len(&self) -> usize {
        self.list.lock().len()
    }

    /// The chunk is closed, or gone.
    pub fn remove(&self, id: ChunkId) {
        self.list.lock().pop(&id);
    }

    /// The oldest, if there are too many.
    fn take_spare(&self) -> Option<(ChunkId, Weak<Inode>)> {
        let mut list = self.list.lock();
        if list.len() > self.limit { list.pop_lru() } else { None }
    }

    /// So many that a checkpoint is worth its while.
    fn are_far_too_many(&self) -> bool {
        let open = self.len();
        let kept = self.kept.fetch_min(open, Ordering::Relaxed).min(open);
        open > kept.max(self.limit) + self.limit / 2
    }
}

impl Cache {
    /// Notes that a chunk is open now, and closes older ones that can be closed.
    pub fn opened(&self, inode: &Arc<Inode>, index: ChunkIndex) {
        self.open.list.lock().push(ChunkId { inode: inode.id(), index }, Arc::downgrade(inode));
        self.close_spare();
    }

    /// Notes all that is open of an inode. Not while its state is locked.
    pub fn all_opened(&self, inode: &Arc<Inode>) {
        for index in open_chunks(&inode.state.read()) {
            self.open.list.lock().push(ChunkId { inode: inode.id(), index }, Arc::downgrade(inode));
        }
        self.close_spare();
    }

    fn close_spare(&self) {
        for _ in 0..TRIES {
            let Some((id, owner)) = self.open.take_spare() else { return };
            if let Some(inode) = owner.upgrade()
                && !self.close_chunk(&inode, id.index)
            {
                self.open.list.lock().push(id, owner);
            }
        }
    }

    /// Whether more chunks are open than should be.
    pub fn is_full(&self) -> bool {
        self.open.is_full()
    }

    /// How many chunks should be open at most.
    pub fn open_limit(&self) -> usize {
        self.open.limit()
    }

    /// A chunk file is gone.
    pub fn closed(&self, id: ChunkId) {
        self.open.remove(id);
    }

    /// For operations that may open more, while they hold no lock: closes what can be closed. Whether so much waits to be
    /// written that a checkpoint is due first; [`Cache::close_written`] is to follow that.
    pub fn make_room(&self) -> bool {
        let mut open = usize::MAX;
        while self.open.is_full() && self.open.len() < open {
            open = self.open.len();
            self.close_spare();
        }
        self.open.are_far_too_many()
    }

    /// Closes what a checkpoint made closable.
    pub fn close_written(&self) {
        while self.open.is_full() && self.close_some() {}
        self.open.kept.store(self.open.len(), Ordering::Relaxed);
    }

    /// Closes chunk files that were written to and have not changed since the last call: a client that uploads a file when
    /// it is closed waits for that. Whether another call may find more.
    pub fn close_resting(&self) -> bool {
        let open: Vec<(ChunkId, Weak<Inode>)> =
            self.open.list.lock().iter().map(|(id, owner)| (*id, owner.clone())).collect();
        let written = open.into_iter().filter_map(|(id, owner)| {
            let inode = owner.upgrade()?;
            let state = inode.state.try_read()?;
            let commit = state.chunk(id.index).filter(|chunk| chunk.is_written())?.version().commit();
            drop(state);
            Some((id, inode, commit))
        });
        let written: Vec<_> = written.collect();
        let before = std::mem::take(&mut *self.open.resting.lock());
        let (at_rest, changed): (Vec<_>, Vec<_>) =
            written.iter().partition(|(id, _, commit)| before.get(id) == Some(commit));
        if at_rest.len() > SYNC_ALL_ABOVE && self.base.context.store.sync_all_is_complete() {
            // So that closing each has nothing left to wait for. What fails here fails there again.
            let _ = self.base.context.store.sync_all();
        }
        for (id, inode, _) in at_rest {
            if self.close_chunk(inode, id.index) {
                self.open.remove(*id);
            }
        }
        *self.open.resting.lock() = changed.iter().map(|(id, _, commit)| (*id, *commit)).collect();
        !changed.is_empty()
    }

    /// Tries every chunk once; whether any was closed.
    fn close_some(&self) -> bool {
        let before = self.open.len();
        for _ in 0..before.div_ceil(TRIES) {
            self.close_spare();
        }
        self.open.len() < before
    }

    /// Closes a chunk that has nothing to lose.
    fn close_chunk(&self, inode: &Inode, index: ChunkIndex) -> bool {
        let (Some(_serial), Some(mut state)) = (inode.serial.try_lock(), inode.state.try_write()) else {
            return false;
        };
        // Chunk 0 waits for what memory has of its inode, unless that was unlinked: then it is not flushed any more. One
        // without a name that no batch speaks of may get one.
        let is_unlinked = state.record.links_count == 0 && state.recorded;
        let clean = !state.is_dirty() || state.is_only_learnt() || is_unlinked;
        let named = state.named;
        let Some(chunk) = state.chunk_mut(index) else { return true };
        if chunk.recover().is_err() {
            return false;
        }
        // A new chunk whose name could not be synced has to be there at the next try.
        let may_close = if index.is_first() { clean && named } else { clean || !chunk.is_name_new() };
        if !may_close || chunk.is_dirty() {
            return false;
        }
        if !mutants::is_active(Mutant::ClosedUnsynced) && chunk.sync_rest().is_err() {
            return false;
        }
        state.close(index);
        true
    }

    /// Forgets an inode that nobody but this volume's table knows and that has nothing to be written.
    pub fn forget_if_clean(&self, inode: &Arc<Inode>) {
        let mut inodes = self.inodes.lock();
        let known_twice = Arc::strong_count(inode) == 2;
        let clean = || inode.state.try_read().is_some_and(|state| !state.is_dirty());
        if known_twice && inode.id() != InodeId::ROOT && clean() && self.close_all(inode) {
            inodes.remove(&inode.id());
        }
    }

    /// The chunk files of which something is in memory.
    pub fn files_in_memory(&self) -> Vec<ChunkId> {
        let inodes: Vec<Arc<Inode>> = self.inodes.lock().values().cloned().collect();
        let files =
            inodes.iter().map(|inode| (inode.id(), inode.state.read().extra_chunks.with_files().collect()));
        let files = files.flat_map(|(inode, extra): (_, Vec<ChunkIndex>)| {
            [ChunkIndex::FIRST].into_iter().chain(extra).map(move |index| ChunkId { inode, index })
        });
        files.collect()
    }

    /// Closes all that is open of an inode, so that no descriptor is closed before its fdatasync.
    fn close_all(&self, inode: &Arc<Inode>) -> bool {
        let Some(state) = inode.state.try_read() else { return false };
        let open = open_chunks(&state);
        drop(state);
        open.into_iter().all(|index| {
            let closed = self.close_chunk(inode, index);
            if closed {
                self.open.remove(ChunkId { inode: inode.id(), index });
            }
            closed
        })
    }
}

fn open_chunks(state: &crate::volume::inode::state::State) -> Vec<ChunkIndex> {
    let first_chunk =
        state.first_chunk.iter().filter(|first_chunk| first_chunk.has_file()).map(|_| ChunkIndex::FIRST);
    first_chunk.chain(state.extra_chunks.with_files()).collect()
}
