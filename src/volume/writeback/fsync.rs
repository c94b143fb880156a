//! fsync: returns when what was written, and the name it has, would survive a power cut.

use super::Writeback;
use crate::chunk::ChunkId;
use crate::volume::inode::state::{Inode, Standing, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::writeback::displaced::GaveWay;
use crate::volume::{Damage, Error, Result};
use std::sync::Arc;

impl Writeback {
    /// Makes a file durable with its name. `data_only`: times may be lost.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if something of it is lost, or gave way and is not saved yet; as
    /// [`Writeback::commit`] and [`Writeback::flush`]. It is not durable then.
    pub fn sync(&self, inode: &Arc<Inode>, data_only: bool) -> Result<()> {
        if self.base.read_only {
            return Ok(());
        }
        self.base.check_live()?;
        if inode.is_directory() {
            return self.sync_directory(inode);
        }
        let at = {
            let _flushed = inode.serial.lock();
            let state = inode.state.read();
            if state.record.links_count == 0 {
                return Ok(());
            }
            state.check_whole()?;
            if state.is_only_learnt() && !mutants::is_active(Mutant::LearntCarried) {
                // It is in the other device's journal. In this one it would count as work of this one.
                return Ok(());
            }
            Standpoint::of(&state, data_only)
        };
        match self.bring_home(inode, &at, data_only) {
            Err(error) if error.is_damage() => return self.sync_replaced(inode, error),
            outcome => outcome?,
        }
        // Cut meanwhile: what chunk 0 does not speak of any more was not trimmed yet, nor what was written since.
        while self.is_cut(inode) {
            self.flush(std::slice::from_ref(inode))?;
        }
        self.sync_aside(inode)?;
        self.tell_durable(inode)
    }

    /// What gave way before it was durable: it was written, too.
    fn sync_aside(&self, inode: &Arc<Inode>) -> Result<()> {
        if self.is_displaced(inode.id()) && !mutants::is_active(Mutant::DisplacedIsDurable) {
            return Err(Error::Damaged(ChunkId::first(inode.id()), Damage::Replaced));
        }
        let is_durable = {
            let withheld = self.base.withheld.lock();
            withheld.is_repeated() || !withheld.has_aside(inode.id())
        };
        let is_durable = is_durable || mutants::is_active(Mutant::DisplacedIsDurable);
        if is_durable { Ok(()) } else { self.commit_checkpoint_batch() }
    }

    /// The same where a client put something in the place of its file meanwhile.
    fn sync_replaced(&self, inode: &Arc<Inode>, error: Error) -> Result<()> {
        match self.give_way(inode)? {
            GaveWay::Aside => self.commit_checkpoint_batch(),
            GaveWay::Stored => self.flush(std::slice::from_ref(inode)),
            GaveWay::Unsaved | GaveWay::Not => Err(error),
        }
    }

    /// What is in chunk 0 now, no batch may stand in for any more.
    fn tell_durable(&self, inode: &Inode) -> Result<()> {
        let is_untold = self.base.stand_ins.lock().is_untold(inode.id());
        if is_untold && !mutants::is_active(Mutant::DurableNotTold) { self.commit(&[]) } else { Ok(()) }
    }

    /// Once whoever flushes it is done: what is trimmed is durable only then.
    fn is_cut(&self, inode: &Arc<Inode>) -> bool {
        let _flushed = inode.serial.lock();
        inode.state.read().shrunk.is_some()
    }

    fn bring_home(&self, inode: &Arc<Inode>, at: &Standpoint, data_only: bool) -> Result<()> {
        let flush = || match data_only {
            true => self.flush_but_times(inode),
            false => self.flush_synced(inode),
        };
        match (at.has_durable_name, at.clean) {
            (true, true) => Ok(()),
            (true, false) => flush(),
            (false, true) => self.commit_unless_durable(inode),
            (false, false) if at.carryable => {
                self.commit(std::slice::from_ref(inode))?;
                // Meanwhile it may have outgrown what a batch carries.
                let is_durable = inode.state.read().progress.durable >= at.wanted;
                if is_durable { Ok(()) } else { flush() }
            }
            (false, false) => {
                flush()?;
                self.commit_unless_durable(inode)
            }
        }
    }

    /// Makes a directory's entries durable, with whatever is pending of all directories, and its attributes.
    ///
    /// # Errors
    ///
    /// As [`Writeback::commit`] and [`Writeback::flush`].
    pub fn sync_directory(&self, directory: &Arc<Inode>) -> Result<()> {
        if self.base.read_only {
            return Ok(());
        }
        self.commit(&[])?;
        let state = directory.state.read();
        let (named, progress) = (state.record.links_count > 0, state.progress);
        drop(state);
        if named && progress.durable < progress.attributes {
            self.flush(std::slice::from_ref(directory))?;
        }
        self.tell_durable(directory)
    }

    fn commit_unless_durable(&self, inode: &Arc<Inode>) -> Result<()> {
        let standing = inode.state.read().standing;
        if standing == Standing::Durable { Ok(()) } else { self.commit(&[]) }
    }
}

/// Where an inode stood when it was to be synced.
struct Standpoint {
    /// Durable batches and chunk 0's name say all of its names.
    has_durable_name: bool,
    /// Its content and attributes are durable.
    clean: bool,
    /// A batch could carry all of it.
    carryable: bool,
    /// The change up to which it is to be durable.
    wanted: u64,
}

impl Standpoint {
    fn of(state: &State, data_only: bool) -> Standpoint {
        let progress = state.progress;
        let wanted = if data_only { progress.substantial } else { progress.made };
        let durable = progress.durable.max(if data_only { progress.secured } else { progress.timed });
        Standpoint {
            has_durable_name: state.standing == Standing::Durable && state.named,
            clean: durable >= wanted,
            carryable: state.is_carryable(),
            wanted,
        }
    }
}
