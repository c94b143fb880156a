//! What a replay of journals makes of an inode's state.

use super::state::{Facts, Journalled, Standing, State};
use crate::chunk::{Chunk, Commit, DeviceId};
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::record::{Link, Record};
use crate::volume::format::wire::Malformed;
use crate::volume::mutants::{self, Mutant};

impl State {
    /// Of an inode that a durable batch carries.
    pub fn replayed(number: Commit, record: &Record, first_chunk: Chunk) -> State {
        let is_empty = first_chunk.inline().is_empty();
        let mut state = State::fresh(record.clone(), first_chunk);
        state.0.record.namespace = number;
        state.0.journalled = Journalled {
            links_count: record.links_count,
            links: record.extension.links.clone(),
            namespace: number,
            is_empty,
        };
        state.0.standing = Standing::Durable;
        state.0.recorded = true;
        state
    }

    /// What was just applied came from another device's journal. `was_forgettable`: until then nothing own was to be stored.
    pub fn learnt(&mut self, was_forgettable: bool) {
        if was_forgettable {
            self.0.progress.learnt = self.progress.made;
        }
    }

    /// What other devices' journals told of is stored like an own change.
    pub fn adopt_learnt(&mut self) {
        self.0.progress.learnt = 0;
    }

    /// Applies the namespace part of a durable batch, unless a newer one is known. `times`: modified and changed, which
    /// count for a directory.
    pub fn replay_names(
        &mut self,
        number: Commit,
        links_count: u32,
        links: &[Link],
        times: (Timestamp, Timestamp),
    ) {
        let record = &mut self.0.record;
        if record.namespace >= number {
            return;
        }
        record.namespace = number;
        // A directory's count is that of its entries, of which other devices may have made some: see `replay_entries`.
        if record.kind != Kind::Directory || links_count == 0 || record.links_count == 0 {
            record.links_count = links_count;
        }
        let links_count = record.links_count;
        if !record.has_later_name(links) || mutants::is_active(Mutant::FormerNameTaken) {
            record.extension.links = links.to_vec();
        }
        let links = record.extension.links.clone();
        if record.kind == Kind::Directory {
            record.modified = record.modified.max(times.0);
            record.changed = record.changed.max(times.1);
        }
        self.0.journalled = Journalled { links_count, links, namespace: number, ..self.journalled };
        self.change();
    }

    /// An entry leads here under a name that no batch lists.
    pub fn found_name(&mut self, link: Link) {
        let Facts { record, journalled, .. } = &mut self.0;
        if !record.extension.links.iter().any(|known| known.is_same_name(&link)) {
            record.links_count += 1;
            record.extension.links.push(link);
            (journalled.links_count, journalled.links) = (record.links_count, record.extension.links.clone());
            self.change();
        }
    }

    /// The entry of one of its names has another dot than batches say.
    pub fn renew_dot(&mut self, link: &Link) {
        let Facts { record, journalled, .. } = &mut self.0;
        let links = [&mut record.extension.links, &mut journalled.links].into_iter().flatten();
        let renewed =
            links.filter(|known| known.is_same_name(link)).map(|known| known.dot = link.dot).count();
        if renewed > 0 {
            self.change();
        }
    }

    /// Applies a directory log of a durable batch. `None`: this is no directory.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the log makes no sense, or the vector has no room for a device. The entries must not
    /// be used then.
    pub fn replay_entries(
        &mut self,
        log: &[u8],
        devices: &[DeviceId],
    ) -> Option<std::result::Result<(), Malformed>> {
        let entries = self.0.entries.as_mut()?;
        let replayed = entries.replay(log, devices);
        if replayed.is_ok() {
            if self.0.record.links_count > 0 {
                self.0.record.links_count = 2 + entries.directory.directories() as u32;
                self.0.journalled.links_count = self.0.record.links_count;
            }
            self.change();
        }
        Some(replayed)
    }
}
