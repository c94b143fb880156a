//! Taking note of damage where it is met.

use super::Cache;
use crate::chunk::{ChunkId, InodeId};
use crate::volume::findings::Place;
use crate::volume::inode::state::Inode;
use crate::volume::{Error, Result};
use std::sync::atomic::Ordering;

impl Cache {
    /// Passes an outcome on, and takes note of it if it is damage. `inode`: what was worked with.
    ///
    /// # Errors
    ///
    /// Those of `outcome`.
    pub fn notice_in<T>(&self, inode: &Inode, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| {
            self.findings.notice(error, || {
                inode.view(|record| {
                    let link = record.extension.links.first();
                    link.map(|link| (link.parent, link.name.to_vec()))
                        .or((inode.id() == InodeId::ROOT).then(|| (InodeId::ROOT, Vec::new())))
                })
            })
        })
    }

    /// Takes note of an error if it is damage, of which no name is known.
    pub fn notice(&self, error: &Error) {
        self.findings.notice(error, || None);
    }

    /// Takes note of damage to what a name stands for.
    pub fn notice_at(&self, error: &Error, directory: InodeId, name: &[u8]) {
        self.findings.notice(error, || Some((directory, name.to_vec())));
    }

    /// The same where a name may be known.
    pub fn notice_placed(&self, error: &Error, place: Option<Place>) {
        self.findings.notice(error, || place);
    }

    /// Whether anything of another device was seen in this mount.
    pub fn has_met_others(&self) -> bool {
        self.has_met_others.load(Ordering::Relaxed)
    }

    /// Another device's journal can be read.
    pub fn journal_read(&self, id: ChunkId) {
        self.has_met_others.store(true, Ordering::Relaxed);
        self.findings.heal_gone(id);
    }

    /// What stands in the place of a chunk file, exchanged while it was open, is taken.
    pub fn gave_way(&self, id: ChunkId) {
        self.findings.heal_gone(id);
    }

    /// Takes note of damage to what a journal speaks of, which later batches or another journal may have deleted.
    pub fn notice_early(&self, error: Error, place: Option<Place>) {
        self.findings.notice_early(error, place);
    }
}
