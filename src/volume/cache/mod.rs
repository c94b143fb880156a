//! Inodes and descriptors that are held in memory: loading an inode once, whoever asks for it, reading ahead, and
//! closing what can be closed.

mod entries;
mod kept;
pub mod kept_form;
mod load;
mod loading;
mod looking;
mod notice;
mod open_files;
mod others;
mod readahead;
mod reading;
mod report;
mod walk;

use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::locks::{Mutex, Rank};
use crate::volume::Options;
use crate::volume::Result;
use crate::volume::base::Base;
use crate::volume::findings::Findings;
use crate::volume::format::kinds::Kind;
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use hashbrown::HashMap;
use loading::Loading;
use open_files::OpenFiles;
use readahead::Readahead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Cache {
    base: Arc<Base>,
    findings: Arc<Findings>,
    inodes: Mutex<HashMap<InodeId, Arc<Inode>>>,
    /// Inodes that the next checkpoint has to look at.
    queue: Mutex<Vec<Arc<Inode>>>,
    open: OpenFiles,
    readahead: Readahead,
    loading: Loading,
    /// What this device keeps of inodes counts.
    uses_kept: AtomicBool,
    /// Another device's journal or chunk was read in this mount.
    has_met_others: AtomicBool,
}

impl Cache {
    pub fn new(base: &Arc<Base>, findings: &Arc<Findings>, options: Options) -> Cache {
        Cache {
            base: base.clone(),
            findings: findings.clone(),
            inodes: Mutex::new(Rank::Inodes, HashMap::new()),
            queue: Mutex::new(Rank::Queue, Vec::new()),
            open: OpenFiles::new(options.open_files),
            readahead: Readahead::default(),
            loading: Loading::default(),
            uses_kept: AtomicBool::new(false),
            has_met_others: AtomicBool::new(false),
        }
    }

    /// An inode, read from the backing folder if it is not in memory.
    ///
    /// # Errors
    ///
    /// As [`Cache::load`].
    pub fn inode(&self, id: InodeId) -> Result<Arc<Inode>> {
        loop {
            if let Some(inode) = self.inodes.lock().get(&id) {
                return Ok(inode.clone());
            }
            let Some(claim) = self.loading.claim(id) else { continue };
            // Read, changed and forgotten meanwhile, it could come back as it was.
            if self.inodes.lock().contains_key(&id) {
                continue;
            }
            let loaded = match self.kept(id) {
                Some(state) => Arc::new(Inode::new(id, state, true)),
                None => self.load(id)?,
            };
            let (is_open, is_doubtful) = {
                let state = loaded.state.read();
                (state.first_chunk.is_some(), self.is_doubtful(&state))
            };
            let inode = self.inodes.lock().entry(id).or_insert(loaded).clone();
            drop(claim);
            if is_open {
                self.opened(&inode, ChunkIndex::FIRST);
            }
            if is_doubtful {
                self.base.note_doubted(id, None);
            }
            return Ok(inode);
        }
    }

    /// Has the names that are said of an inode in memory held against its directories, where they may differ.
    pub fn doubt(&self, id: InodeId, state: &State) {
        if self.is_doubtful(state) {
            self.base.note_doubted(id, None);
        }
    }

    /// Whether a file may say that it has names which are gone: it has several, and several devices wrote here.
    fn is_doubtful(&self, state: &State) -> bool {
        let has_several = state.record.kind != Kind::Directory && state.record.extension.links.len() > 1;
        let has_others = self.has_met_others() || state.version().0.len() > 1;
        has_several && has_others && !mutants::is_active(Mutant::OutdatedUnseen)
    }

    /// An inode that is in memory.
    pub fn peek(&self, id: InodeId) -> Option<Arc<Inode>> {
        self.inodes.lock().get(&id).cloned()
    }

    /// The inodes whose ids begin so: of those in memory, and of those that this device remembers and did not delete.
    pub fn inodes_beginning(&self, first: [u8; 8]) -> Vec<InodeId> {
        let recall = &self.base.context.recall;
        let mut found = recall.inodes_beginning(first);
        found.retain(|id| recall.tombstone(ChunkId::first(*id)).is_none());
        if found.is_empty() {
            let inodes = self.inodes.lock();
            found.extend(inodes.keys().filter(|id| id.0.starts_with(&first)));
        }
        found
    }

    /// How many inodes are in memory.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.inodes.lock().len()
    }

    /// How many of those in memory are so, or are being changed just now.
    pub fn count(&self, is_so: impl Fn(&State) -> bool) -> usize {
        let inodes: Vec<_> = self.inodes.lock().values().cloned().collect();
        inodes.iter().filter(|inode| inode.state.try_read().is_none_or(|state| is_so(&state))).count()
    }

    /// Holds an inode that was made here.
    pub fn insert(&self, inode: &Arc<Inode>) {
        self.inodes.lock().insert(inode.id(), inode.clone());
    }

    /// Forgets an inode of which nothing is left.
    pub fn remove(&self, id: InodeId) {
        self.inodes.lock().remove(&id);
    }

    /// Has the next checkpoint store what other devices' journals told of.
    pub fn adopt_learnt(&self) {
        let inodes: Vec<_> = self.inodes.lock().values().cloned().collect();
        for inode in inodes.into_iter().filter(|inode| inode.state.read().is_only_learnt()) {
            inode.state.write().adopt_learnt();
            self.queue(&inode);
        }
    }

    /// Adds an inode to what the next checkpoint looks at.
    pub fn queue(&self, inode: &Arc<Inode>) {
        if !inode.queued.swap(true, Ordering::AcqRel) {
            self.queue.lock().push(inode.clone());
            self.base.schedule.wake();
        }
        self.base.schedule.touch();
    }

    /// Those that the next checkpoint has to look at and that are wanted now; they stay.
    pub fn queued(&self, is_wanted: impl Fn(&State) -> bool) -> Vec<Arc<Inode>> {
        let queue = self.queue.lock().clone();
        queue
            .into_iter()
            .filter(|inode| inode.state.try_read().is_some_and(|state| is_wanted(&state)))
            .collect()
    }

    /// Whether the next checkpoint has an inode to look at.
    pub fn has_queued(&self) -> bool {
        !self.queue.lock().is_empty()
    }

    /// Takes what a checkpoint is to store: no inode without a name, and none that no batch speaks of yet.
    pub fn take_queue(&self) -> Vec<Arc<Inode>> {
        let mut inodes = std::mem::take(&mut *self.queue.lock());
        inodes.retain(|inode| {
            inode.queued.store(false, Ordering::Release);
            let state = inode.state.read();
            let (named, recorded) = (state.record.links_count > 0, state.recorded);
            drop(state);
            if named && !recorded {
                self.queue(inode);
            }
            named && recorded
        });
        inodes
    }
}
