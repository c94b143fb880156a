//! Going on after the store failed (docs/FORMAT.md section 6.3, rule 4).
//!
//! What a failed fdatasync covered may never reach the medium, though reads show it and the next fdatasync succeeds. So it
//! is written again where it lies, with the same bytes, from memory or as it is read and authenticated; what follows is
//! a new root, and an fdatasync that covers all of it. The file is opened anew, as its descriptor may be of a
//! connection that is gone.

use super::chunk::Chunk;
use super::entry::Entry;
use super::entry::Slot;
use super::mutants::{self, Mutant};
use super::{BLOCK, BlockNumber, Error, Relation, Result, Section};
use crate::store::StoreFile;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A block that the chunk uses, as it is sealed.
struct Used {
    kind: u8,
    number: BlockNumber,
    entry: Entry,
}

impl Chunk {
    /// Whether the store failed this chunk, and [`Chunk::recover`] is due before anything else.
    pub fn wants_recovery(&self) -> bool {
        self.state.failed || self.state.suspect
    }

    /// Goes on after the store failed. What was committed and is not known to be durable has to be committed and synced
    /// again, as if it were new.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the store fails still; [`Error::Damaged`] or [`Error::Incomplete`] if what has to be written
    /// again cannot be read any more; [`Error::Replaced`] or [`Error::Deleted`] if the file is another one, or gone;
    /// [`Error::Failed`] while a sync is under way. After an error everything is as before.
    pub fn recover(&mut self) -> Result<()> {
        if !self.wants_recovery() {
            return Ok(());
        }
        if self.state.syncing {
            return Err(Error::Failed(self.id));
        }
        let Some(former) = self.file.clone() else {
            (self.state.failed, self.state.suspect) = (false, false);
            return Ok(());
        };
        let opened = self.context.store.open(self.context.file_name(self.id));
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Deleted(self.id),
            _ => Error::Io(self.id, error),
        })?;
        if !former.is_current().map_err(|error| Error::Io(self.id, error))? {
            self.check_own(&file)?;
        }
        self.file = Some(file);
        let written =
            if mutants::is_active(Mutant::RecoveredUnwritten) { Ok(()) } else { self.write_again() };
        if let Err(error) = written {
            // Its descriptor may be the only one that shows what was written.
            self.file = Some(former);
            return Err(error);
        }
        (self.state.failed, self.state.suspect) = (false, false);
        if self.durable.map(|root| root.commit) == self.newest.map(|root| root.commit) {
            // Of the two it is the one that is there for certain.
            self.newest = self.durable;
        } else if self.state.anchored {
            self.state.in_doubt = true;
            self.state.dirty = true;
        }
        Ok(())
    }

    /// Another file has the name: the folder may have been mounted anew. It has to hold what is durable, and nothing that
    /// this chunk does not know.
    fn check_own(&self, file: &Arc<dyn StoreFile>) -> Result<()> {
        let found = match Chunk::open_file(&self.context, self.id, self.data.limit, file.clone(), None) {
            Ok(found) => found,
            Err(Error::Incomplete(_) | Error::Damaged(..)) if self.durable.is_none() => return Ok(()),
            Err(error) => return Err(error),
        };
        let attempted = self.next_version(self.attempted.max(self.version.commit()));
        let is_known = matches!(found.version().compare(&attempted), Relation::Equal | Relation::Older)
            || *found.version() == self.version;
        match is_known && found.version().commit() >= self.durable() {
            true => Ok(()),
            false => Err(Error::Replaced(self.id)),
        }
    }

    fn write_again(&mut self) -> Result<()> {
        let whole = self.state.failed && !self.state.anchored;
        let slots = self.unsynced.slots();
        if !whole && slots.is_empty() {
            return Ok(());
        }
        let file = self.file.clone().ok_or(Error::Missing(self.id))?;
        for used in self.used()?.into_iter().filter(|used| whole || slots.contains(&used.entry.slot)) {
            let bytes = self.blocks().sealed(used.kind, used.number, &used.entry)?;
            self.put_again(&*file, used.entry.slot, &bytes)?;
        }
        // It was found, not written here: that it is on the medium the fdatasync was to make sure.
        if let Some(root) = self.newest.filter(|_| whole) {
            let mut bytes = [0; BLOCK];
            self.blocks().read_root(root.which, &mut bytes)?;
            self.check_root(&bytes, root.which)?;
            self.put_again(&*file, Slot(root.which.into()), &bytes)?;
        }
        self.state.unsynced = true;
        Ok(())
    }

    fn put_again(&self, file: &dyn StoreFile, slot: Slot, bytes: &[u8; BLOCK]) -> Result<()> {
        file.write_at(slot.offset(), &[IoSlice::new(bytes)]).map_err(|error| Error::Io(self.id, error))
    }

    fn check_root(&self, bytes: &[u8; BLOCK], which: u8) -> Result<()> {
        let opened = self.key.as_ref().and_then(|key| key.open_root(self.id, which, bytes));
        opened.map(drop).ok_or(Error::Damaged(self.id, "its root does not authenticate any more"))
    }

    /// Every block that the tables name, map blocks among them.
    fn used(&self) -> Result<Vec<Used>> {
        let mut used = Vec::new();
        for section in Section::BOTH {
            let table = self.table(section);
            table.load_all(&self.blocks())?;
            let kind = section.kind();
            used.extend(table.present().into_iter().map(|(number, entry)| Used { kind, number, entry }));
            let maps = table.groups().iter().enumerate().filter(|(_, group)| !group.stored.is_hole());
            let kind = section.map_kind();
            used.extend(maps.map(|(k, group)| Used {
                kind,
                number: BlockNumber(k as u16),
                entry: group.stored,
            }));
        }
        Ok(used)
    }
}
