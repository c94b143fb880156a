//! Writing back: commit, flush and checkpoint, fsync, and what is done about inodes that cannot be stored.
//!
//! What stands below says what it wants of this room by what it returns: a commit that sources have to be stored first,
//! or that the journal is full; the cache that it has no room. What stands above asks for room before it takes a lock.

mod checkpoint;
mod displaced;
mod durable;
mod flush;
mod flusher;
mod fsync;
mod join;
mod reclaim;
mod recover;
mod salvage;
mod stamping;

pub use displaced::GaveWay;

use crate::chunk::Wish;
use crate::locks::{Mutex, Rank};
use crate::volume::Result;
use crate::volume::base::Base;
use crate::volume::cache::Cache;
use crate::volume::catalog::Catalog;
use crate::volume::inode::directory::Joined;
use crate::volume::inode::state::Inode;
use crate::volume::journal::Journal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Pending inodes at which an operation waits for a batch first: bounds memory and the size of a batch.
const PENDING_MOST: usize = 8192;
/// The same in bytes that these take in the batch, about: it has room for four times as many.
const PENDING_BYTES: usize = 4 << 20;
/// Deleted inodes whose files wait to be removed, at which an operation waits for a checkpoint: bounds memory. Of what they
/// have open as much is closed as of anything else. At an eighth of that the flusher is told to begin.
const DELETES_MOST: usize = 32_768;

pub struct Writeback {
    base: Arc<Base>,
    cache: Arc<Cache>,
    catalog: Arc<Catalog>,
    journal: Arc<Journal>,
    /// One checkpoint at a time; whether the last one committed its batch and failed then.
    unfinished: Mutex<bool>,
    /// There was no room lately for what a batch has to wait for.
    low_space: AtomicBool,
    flusher: Mutex<Option<JoinHandle<()>>>,
    /// Holds space ahead.
    holder: Mutex<Option<JoinHandle<()>>>,
    /// Directories that were joined within a checkpoint, and the inodes whose names may have to be put right.
    joined: Mutex<Vec<(Arc<Inode>, Joined)>>,
    /// Content that gave way to another device's before it was stored, until it is saved.
    displaced: Mutex<Vec<Arc<Inode>>>,
}

impl Writeback {
    pub fn new(
        base: &Arc<Base>,
        cache: &Arc<Cache>,
        catalog: &Arc<Catalog>,
        journal: &Arc<Journal>,
    ) -> Writeback {
        Writeback {
            base: base.clone(),
            cache: cache.clone(),
            catalog: catalog.clone(),
            journal: journal.clone(),
            unfinished: Mutex::new(Rank::Checkpoint, false),
            low_space: AtomicBool::new(false),
            flusher: Mutex::new(Rank::Threads, None),
            holder: Mutex::new(Rank::Threads, None),
            joined: Mutex::new(Rank::Joined, Vec::new()),
            displaced: Mutex::new(Rank::Displaced, Vec::new()),
        }
    }

    /// Whether there was no room lately for what a batch has to wait for.
    pub fn is_low_on_space(&self) -> bool {
        self.low_space.load(Ordering::Relaxed)
    }

    /// For operations that may open more, while they hold no lock: where chunks cannot be closed because they wait to
    /// be written, they are written now. What fails about that is for the flusher to tell.
    pub fn make_room(&self) {
        if self.cache.make_room() && !self.base.read_only && self.checkpoint().is_ok() {
            self.cache.close_written();
        }
    }

    /// For operations that change names, before they take the namespace lock: makes room for another change.
    ///
    /// # Errors
    ///
    /// As [`Base::check_writable`], [`Writeback::commit`] and [`Writeback::checkpoint`]; there is no space for it.
    pub fn admit_change(&self) -> Result<()> {
        self.admit(Wish::Takes)
    }

    /// The same for those that remove names, and need not have space held for them.
    ///
    /// # Errors
    ///
    /// As [`Base::check_writable`], [`Writeback::commit`] and [`Writeback::checkpoint`].
    pub fn admit_removal(&self) -> Result<()> {
        self.admit(Wish::Frees)
    }

    /// After a change of names: stores it, where space could not be held.
    ///
    /// # Errors
    ///
    /// As [`Writeback::commit`]; the change is in memory all the same.
    pub fn store_if_careful(&self) -> Result<()> {
        self.settle();
        if self.base.context.headroom.is_careful() { self.commit(&[]) } else { Ok(()) }
    }

    /// Once space runs out where none can be held: stores what was accepted until then, which comes before what is new. Where
    /// that fails it is tried again by the next who changes anything.
    pub fn settle(&self) {
        let headroom = &self.base.context.headroom;
        if headroom.settle() && self.checkpoint().is_err() {
            headroom.unsettle();
        }
    }

    fn admit(&self, wish: Wish) -> Result<()> {
        self.base.check_writable()?;
        self.settle();
        self.make_room();
        match self.catalog.pending_deletes() {
            DELETES_MOST.. => self.checkpoint()?,
            deletes if deletes >= DELETES_MOST / 8 => self.base.schedule.hurry(),
            _ => {}
        }
        let is_full = {
            let pending = self.journal.names();
            pending.inodes.len() + pending.deleted.len() >= PENDING_MOST || pending.bytes >= PENDING_BYTES
        };
        if is_full {
            self.commit(&[])?;
        }
        match self.journal.hold_room(wish) {
            Err(error) if error.is_passing() && wish == Wish::Takes => {
                // What it stores needs nothing held any more, and what it removes makes room.
                self.checkpoint().map_err(|_| error)?;
                self.journal.hold_room(wish)
            }
            Err(error) if !error.is_passing() => Err(error),
            _ => Ok(()),
        }
    }
}
