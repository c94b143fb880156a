//! What batches say of names and of a directory's entries, applied where other devices may have said something else.

use super::ended::Ended;
use super::replay::Replay;
use crate::chunk::{ChunkId, Commit, DeviceId};
use crate::volume::format::directory_log::{Author, LogRecord, records};
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::record::Link;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::sync::Arc;

/// The namespace part of an inode, as a batch has it.
pub(super) struct Names<'a> {
    pub links_count: u32,
    pub links: &'a [Link],
    pub times: (Timestamp, Timestamp),
}

impl Replay<'_> {
    /// Whether entries are missing here that the author of a batch had added before it. Another device's have not arrived
    /// yet; this device's are missing where a sync client replaced its directory by another one's. If the batch were
    /// applied as it is, the vector would cover them, and they would count as removed.
    pub(super) fn lacks(&self, directory: &Arc<Inode>, author: DeviceId, before: u64) -> Result<bool> {
        if mutants::is_active(Mutant::GapIgnored) {
            return Ok(false);
        }
        self.cache.load_entries(directory)?;
        let state = directory.state.read();
        let entries = state.entries.as_ref().ok_or(Error::NotDirectory)?;
        let lacks = !entries.directory.covers(author, before);
        if lacks {
            log::info!("{:?}: what was done here before a batch of {author:?} is not here", directory.id());
        }
        Ok(lacks)
    }

    pub(super) fn apply_names(&self, number: Commit, inode: &Arc<Inode>, names: &Names<'_>) -> Result<()> {
        let mut state = inode.state.write();
        let before = state.record.extension.links.clone();
        state.replay_names(number, names.links_count, names.links, names.times);
        if state.record.kind != Kind::Directory && state.record.links_count > 0 {
            let left = &state.record.extension.links;
            let dropped =
                before.into_iter().filter(|link| !left.iter().any(|known| known.is_same_name(link)));
            self.dropped.borrow_mut().extend(dropped.map(|link| (inode.clone(), link)));
        }
        Ok(())
    }

    /// A batch lists all names of a file that its device knew. A name that another device gave the file is not among them:
    /// if its entry still leads to the file, it stays. `own`: of this device's journal.
    pub(super) fn keep_names(&self, own: Option<&Ended>) {
        for (inode, link) in self.dropped.take() {
            if own.is_some_and(|own| self.went_with(&link, own)) {
                continue;
            }
            let leads_here = || {
                let parent = self.cache.inode(link.parent)?;
                Ok::<_, Error>(self.cache.entry(&parent, &link.name)?.is_some_and(|(id, _)| id == inode.id()))
            };
            if leads_here().unwrap_or(false) && !mutants::is_active(Mutant::NameNotKept) {
                inode.state.write().found_name(link);
            }
        }
        for (id, link) in self.renewed.take() {
            // What cannot be read says nothing of its names.
            let Ok(inode) = self.cache.inode(id) else { continue };
            if !mutants::is_active(Mutant::AnewUnnamed) {
                inode.state.write().renew_dot(&link);
            }
        }
    }

    /// Whether this device's journal deletes the directory of a name, and knew of its entry: what it says of the entries of
    /// such a directory is not applied. What was known is noted where other devices wrote there.
    fn went_with(&self, link: &Link, own: &Ended) -> bool {
        own.has(link.parent)
            && match self.base.context.recall.tombstone(ChunkId::first(link.parent)) {
                Some(known) => link.dot.is_some_and(|dot| known.covers(dot)),
                None => true,
            }
    }

    /// Applies a log of this device's journal to a directory that [lacks](Self::lacks) earlier entries of it.
    pub(super) fn apply_anew(
        &self,
        inode: &Arc<Inode>,
        (log, devices): (&[u8], &[DeviceId]),
        author: Author,
        before: u64,
        gone: &Ended,
    ) -> Result<()> {
        let id = ChunkId::first(inode.id());
        let mut state = inode.state.write();
        let replayed = state.replay_anew(log, devices, author, before).ok_or(Error::NotDirectory)?;
        replayed.map_err(|what| Error::Damaged(id, what.0.into()))?;
        let by = state.entries.as_ref().and_then(|entries| entries.author);
        // What this journal deleted stays as it is: it would be there again.
        let is_loaded = mutants::is_active(Mutant::GoneLoaded);
        let added = records(log).filter_map(|record| match record {
            Ok(LogRecord::Add { dot, inode: id, name, .. }) if !gone.has(id) || is_loaded => {
                let is_renewed = devices.get(usize::from(dot.device)) == Some(&author.device);
                let dot = by.filter(|_| is_renewed).map(|by| (dot.counter, by))?;
                Some((id, Link { parent: inode.id(), name: name.into(), dot: Some(dot) }))
            }
            _ => None,
        });
        self.renewed.borrow_mut().extend(added);
        Ok(())
    }

    pub(super) fn apply_log(&self, inode: &Arc<Inode>, log: &[u8], devices: &[DeviceId]) -> Result<()> {
        self.cache.load_entries(inode)?;
        let mut state = inode.state.write();
        let id = ChunkId::first(inode.id());
        let replayed = state.replay_entries(log, devices).ok_or(Error::NotDirectory)?;
        replayed.map_err(|what| Error::Damaged(id, what.0.into()))
    }
}
