//! Chunk files that nothing needs: removing them, and finding those that a crash left behind.
//!
//! A chunk file is made before anything durable names it, and goes after nothing durable names it any more; a crash in
//! between leaves it. So once a mount found the journal in use, all names of chunk files are looked at: those of deleted
//! inodes and of reserved ids go, and those that their inode's chunk table does not name. The journal is in use before
//! any such file can come to be. Another device's files are left alone.

use super::{Catalog, Leftovers};
use crate::chunk::{ChunkId, InodeId, Tombstone};
use crate::store::{Area, FileName};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use hashbrown::{HashMap, HashSet};

impl Leftovers {
    fn has(&self, id: InodeId) -> bool {
        self.deleted.contains(&id) || self.reserved.contains(&id)
    }
}

impl Catalog {
    /// Removes what a crash before this mount left behind, once.
    ///
    /// # Errors
    ///
    /// The store's; the next call begins again. Damage is no error.
    pub fn sweep(&self) -> Result<()> {
        let Some(gone) = self.leftovers.lock().take() else { return Ok(()) };
        if mutants::is_active(Mutant::NoSweep) {
            return Ok(());
        }
        self.sweep_all(&gone).inspect_err(|_| *self.leftovers.lock() = Some(gone))
    }

    fn sweep_all(&self, gone: &Leftovers) -> Result<()> {
        let mut suspects = Vec::new();
        self.base.context.store.list(Area::Chunks, &mut |name, is_file| {
            let id = FileName::parse(Area::Chunks, name).filter(|_| is_file);
            let id = id.and_then(|name| self.base.context.identify(name));
            suspects.extend(id.filter(|id| !id.index.is_first() || gone.has(id.inode)));
        })?;
        let alone = self.other_journals()?.is_empty();
        let (deleted, strays): (Vec<_>, Vec<_>) = suspects.into_iter().partition(|id| gone.has(id.inode));
        self.remove_all_deleted(&gone.deleted, &deleted)?;
        strays.into_iter().try_for_each(|id| self.remove_stray(id, alone))
    }

    /// Removes `chunks`, of inodes that were deleted before the crash, and remembers what was known of those. What another
    /// device wrote without knowing of that is for merging.
    fn remove_all_deleted(&self, deleted: &HashSet<InodeId>, chunks: &[ChunkId]) -> Result<()> {
        let recall = &self.base.context.recall;
        let tombstone = |inode: &InodeId| {
            let first = ChunkId::first(*inode);
            let known = || Tombstone { version: self.known(first).unwrap_or_default(), entries: Vec::new() };
            (first, recall.tombstone(first).unwrap_or_else(known))
        };
        let tombstones: HashMap<ChunkId, Tombstone> = deleted.iter().map(tombstone).collect();
        let is_news = |id: &&ChunkId| {
            let known = tombstones.get(&ChunkId::first(id.inode));
            known.is_some_and(|known| self.is_news(**id, &known.version))
                && !mutants::is_active(Mutant::ReplacedRemoved)
        };
        let kept: HashSet<InodeId> = chunks.iter().filter(is_news).map(|id| id.inode).collect();
        if !mutants::is_active(Mutant::NoTombstone) {
            tombstones.iter().for_each(|(first, tombstone)| recall.deleted(*first, tombstone));
        }
        chunks.iter().filter(|id| !kept.contains(&id.inode)).try_for_each(|id| self.remove_file(*id))
    }

    /// Removes a chunk that its inode's table does not name. `alone`: no other device ever wrote here.
    fn remove_stray(&self, id: ChunkId, alone: bool) -> Result<()> {
        let Ok(inode) = self.cache.inode(id.inode) else { return Ok(()) };
        let serial = inode.serial.lock();
        let mut state = inode.state.write();
        let loaded =
            self.cache.open_first_chunk(&inode, &mut state).and_then(|()| state.load_table(id.index));
        if let Err(Error::Damaged(..) | Error::NotArrived(_)) = loaded {
            return Ok(());
        }
        loaded?;
        let needed = state.table.stamp(id.index).is_some() || state.extra_chunks.contains(id.index);
        if !needed && (alone || self.wrote(id)) {
            self.remove_file(id)?;
        }
        drop(state);
        drop(serial);
        self.cache.forget_if_clean(&inode);
        Ok(())
    }
}
