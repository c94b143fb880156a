//! Chunk files that nothing needs: removing them, and finding those that a crash left behind.
//!
//! A chunk file is made before anything durable names it, and goes after nothing durable names it any more; a crash in
//! between leaves it. So once a mount found the journal in use, all names of chunk files are looked at: those of deleted
//! inodes and of reserved ids go, and those that their inode's chunk table does not name. The journal is in use before
//! any such file can come to be. Another device's files are left alone.

use crate::chunk::{Chunk, ChunkId, InodeId};
use crate::store::{Area, FileName};
use crate::volume::inode::state::State;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result, Volume};
use hashbrown::HashSet;
use std::io;

impl Volume {
    /// Removes a chunk file; the next round makes that durable. What was put in its place and is no file stays.
    pub(in crate::volume) fn remove_file(&self, id: ChunkId) -> Result<()> {
        let name = self.context.file_name(id);
        match self.context.store.remove(name) {
            Err(error) if is_in_the_way(&error) => log::warn!("{} cannot be removed: {error}", name.path()),
            removed => removed?,
        }
        self.context.recall.gone(id);
        self.heal_gone(id);
        self.removed.lock().push(name);
        Ok(())
    }

    /// The chunks of an inode of which there are files.
    pub(in crate::volume) fn files_of(&self, inode: InodeId) -> Result<Vec<u32>> {
        let all = self.all_chunks()?.into_iter();
        Ok(all.filter(|id| id.inode == inode).map(|id| id.index).collect())
    }

    /// Makes all removals so far durable.
    pub(in crate::volume) fn sync_removed(&self) -> Result<()> {
        let names = std::mem::take(&mut *self.removed.lock());
        if mutants::is_active(Mutant::RemovalNotSynced) {
            return Ok(());
        }
        self.sync_names(&names).inspect_err(|_| self.removed.lock().extend(names))
    }

    /// Removes what a crash before this mount left behind, once.
    pub(in crate::volume) fn sweep(&self) -> Result<()> {
        let Some(gone) = self.leftovers.lock().take() else { return Ok(()) };
        if mutants::is_active(Mutant::NoSweep) {
            return Ok(());
        }
        self.sweep_all(&gone).inspect_err(|_| *self.leftovers.lock() = Some(gone))
    }

    fn sweep_all(&self, gone: &HashSet<InodeId>) -> Result<()> {
        let mut suspects = Vec::new();
        self.context.store.list(Area::Chunks, &mut |name, is_file| {
            let id = FileName::parse(Area::Chunks, name).filter(|_| is_file);
            let id = id.and_then(|name| self.context.identify(name));
            suspects.extend(id.filter(|id| id.index > 0 || gone.contains(&id.inode)));
        })?;
        let alone = self.other_journals()?.is_empty();
        for id in suspects {
            match gone.contains(&id.inode) {
                true => self.remove_file(id)?,
                false => self.remove_stray(id, alone)?,
            }
        }
        Ok(())
    }

    /// Removes a chunk that its inode's table does not name. `alone`: no other device ever wrote here.
    fn remove_stray(&self, id: ChunkId, alone: bool) -> Result<()> {
        let Ok(inode) = self.inode(id.inode) else { return Ok(()) };
        let serial = inode.serial.lock();
        let mut state = inode.state.write();
        let loaded = self.open_head(&inode, &mut state).and_then(|()| {
            let State { head, table, .. } = &mut *state;
            table.load(head.as_ref().expect("it was opened"), id.index)
        });
        if let Err(Error::Damaged(..) | Error::NotArrived(_)) = loaded {
            return Ok(());
        }
        loaded?;
        let State { table, others, .. } = &mut *state;
        let needed = table.bound(id.index).is_some() || others.contains(id.index);
        if !needed && (alone || self.wrote(id)) {
            self.remove_file(id)?;
        }
        drop(state);
        drop(serial);
        self.forget_if_clean(&inode);
        Ok(())
    }

    /// Whether this device wrote a chunk last.
    fn wrote(&self, id: ChunkId) -> bool {
        let chunk = Chunk::open(&self.context, id, self.blocks);
        chunk.is_ok_and(|chunk| chunk.version().0.first().is_some_and(|entry| entry.0 == self.context.device))
    }
}

/// Something that is no file stands in a file's place, or above it.
fn is_in_the_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
        || matches!(error.raw_os_error(), Some(libc::EISDIR | libc::EPERM))
}
