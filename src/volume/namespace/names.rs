//! Single names: an entry taken out of a directory or put in, with the link in its inode. What is one step for the user
//! is made of these under one namespace lock (`namespace`).

use crate::chunk::{ChunkId, InodeId};
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::record::Record;
use crate::volume::inode::state::{Inode, Standing, State};
use crate::volume::journal::pending::Pending;
use crate::volume::{Error, Result, Volume};
use hashbrown::HashSet;
use parking_lot::{MutexGuard, RwLockWriteGuard};
use std::sync::Arc;
use std::time::Instant;

/// Pending inodes at which an operation waits for a batch first: bounds memory and the size of a batch.
const PENDING_MOST: usize = 8192;
/// The same in bytes that these take in the batch, about: it has room for four times as many.
const PENDING_BYTES: usize = 4 << 20;
/// What a change of a name takes in it: two entries of a directory's log and a link, of the longest names.
const CHANGE_BYTES: usize = 1024;
/// Deleted inodes whose files wait to be removed, at which an operation waits for a round: each may hold a descriptor.
const REMOVALS_MOST: usize = 4096;

impl Volume {
    /// The namespace lock, once there is room for another change.
    pub(in crate::volume) fn names(&self) -> Result<MutexGuard<'_, Pending>> {
        self.check_writable()?;
        self.make_room();
        if self.removals.lock().len() >= REMOVALS_MOST {
            self.round()?;
        }
        let pending = self.namespace.lock();
        if pending.inodes.len() + pending.deleted.len() < PENDING_MOST && pending.bytes < PENDING_BYTES {
            return Ok(pending);
        }
        drop(pending);
        self.commit_batch(None)?;
        Ok(self.namespace.lock())
    }

    pub(in crate::volume) fn entry(
        &self,
        directory: &Arc<Inode>,
        name: &[u8],
    ) -> Result<Option<(InodeId, Kind)>> {
        if name.len() > 255 {
            return Err(Error::NameTooLong);
        }
        self.load_listing(directory)?;
        let state = directory.state.read();
        let listing = state.listing.as_ref().ok_or(Error::NotDirectory)?;
        Ok(listing.directory.get(name).map(|entry| (entry.inode, entry.kind)))
    }

    /// A directory with its entries, to be changed. A removed directory takes no more entries.
    pub(in crate::volume) fn listed<'a>(
        &self,
        directory: &'a Arc<Inode>,
    ) -> Result<RwLockWriteGuard<'a, State>> {
        self.load_listing(directory)?;
        let state = directory.state.write();
        if state.record.links_count == 0 {
            return Err(Error::NotFound);
        }
        Ok(state)
    }

    /// Whether this device may add entries to a directory, which was listed.
    pub(in crate::volume) fn takes_entries(&self, directory: &Arc<Inode>) -> bool {
        directory.state.read().listing().takes(self.context.device)
    }

    pub(in crate::volume) fn check_empty(&self, directory: InodeId) -> Result<()> {
        let directory = self.inode(directory)?;
        self.load_listing(&directory)?;
        let state = directory.state.read();
        let empty = state.listing.as_ref().is_some_and(|listing| listing.directory.is_empty());
        if empty { Ok(()) } else { Err(Error::NotEmpty) }
    }

    /// Refuses to move a directory below itself. Chunks of different times may make a circle of parents: damage.
    pub(in crate::volume) fn check_not_inside(&self, directory: &Arc<Inode>, moved: InodeId) -> Result<()> {
        let mut at = directory.clone();
        let mut passed = HashSet::new();
        loop {
            if !passed.insert(at.id()) {
                let id = ChunkId { inode: at.id(), index: 0 };
                return Err(Error::Damaged(id, "the directory lies in itself: parts of it are older".into()));
            }
            if at.id() == moved {
                return Err(Error::Invalid);
            }
            if at.id() == InodeId::ROOT {
                return Ok(());
            }
            at = self.parent(&at)?;
        }
    }

    /// Removes an entry for good, and the inode with its last one.
    pub(in crate::volume) fn remove_name(
        &self,
        pending: &mut Pending,
        directory: &Arc<Inode>,
        name: &[u8],
        id: InodeId,
        now: Timestamp,
    ) -> Result<Option<Arc<Inode>>> {
        let inode = match self.inode(id) {
            Ok(inode) => inode,
            Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => {
                self.remove_unreadable(pending, directory, name, Kind::File, &error, now)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.take_name(pending, (directory, name), &inode, now)?;
        let mut state = inode.state.write();
        if state.record.extension.links.is_empty() {
            state.record.links_count = 0;
            pending.replacing.remove(&id);
            pending.orphans.insert(id, inode.clone());
        }
        drop(state);
        Ok(Some(inode))
    }

    /// Removes the name of something that cannot be read.
    pub(in crate::volume) fn remove_unreadable(
        &self,
        pending: &mut Pending,
        directory: &Arc<Inode>,
        name: &[u8],
        kind: Kind,
        error: &Error,
        now: Timestamp,
    ) -> Result<()> {
        log::warn!("a name was removed whose inode cannot be read: {error}");
        if let Error::Damaged(id, _) | Error::NotArrived(id) = error {
            self.heal_gone(*id);
        }
        self.take_entry(pending, (directory, name), kind == Kind::Directory, now)
    }

    fn take_entry(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        is_directory: bool,
        now: Timestamp,
    ) -> Result<()> {
        let mut parent = self.listed(directory)?;
        parent.remove_entry(name);
        parent.touch_directory(now, -i64::from(is_directory));
        drop(parent);
        self.changed_name(pending, directory);
        Ok(())
    }

    /// Takes an entry out of a directory and the link out of its inode. A directory that was rolled back may show a
    /// name that its inode does not have any more: the inode's other names stay.
    pub(in crate::volume) fn take_name(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        inode: &Arc<Inode>,
        now: Timestamp,
    ) -> Result<()> {
        let is_directory = inode.is_directory();
        self.take_entry(pending, (directory, name), is_directory, now)?;
        let mut state = inode.state.write();
        if state.remove_link(directory.id(), name) && !is_directory {
            state.record.links_count -= 1;
            if state.record.links_count > 0 {
                state.lost_name = Some(Instant::now());
            }
        }
        state.record.changed = now;
        state.change();
        drop(state);
        self.changed_name(pending, inode);
        Ok(())
    }

    /// Puts an inode whose name was taken under another one.
    pub(in crate::volume) fn give_name(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        inode: &Arc<Inode>,
        now: Timestamp,
    ) -> Result<()> {
        let kind = inode.view(|record| record.kind);
        let mut parent = self.listed(directory)?;
        parent.add_entry(self, name, inode.id(), kind)?;
        parent.touch_directory(now, i64::from(kind == Kind::Directory));
        drop(parent);
        let mut state = inode.state.write();
        state.add_link(directory.id(), name);
        if kind != Kind::Directory {
            state.record.links_count += 1;
        }
        drop(state);
        self.changed_name(pending, directory);
        self.changed_name(pending, inode);
        Ok(())
    }

    /// Notes that the next batch has to speak of this inode.
    pub(in crate::volume) fn changed_name(&self, pending: &mut Pending, inode: &Arc<Inode>) {
        let mut state = inode.state.write();
        state.change();
        state.standing = Standing::Pending;
        pending.bytes += CHANGE_BYTES;
        if !pending.inodes.contains_key(&inode.id()) {
            pending.bytes += state.record.extension_length();
        }
        drop(state);
        pending.add(inode);
        self.queue(inode);
    }
}

impl State {
    pub(in crate::volume) fn listing(&self) -> &crate::volume::inode::directory::Directory {
        &self.listing.as_ref().expect("the entries were loaded").directory
    }

    pub(in crate::volume) fn add_entry(
        &mut self,
        volume: &Volume,
        name: &[u8],
        inode: InodeId,
        kind: Kind,
    ) -> Result<()> {
        let (directory, log) = self.listing.as_mut().ok_or(Error::NotDirectory)?.change();
        directory.insert(volume.context.device, name, inode, kind, log)?;
        Ok(())
    }

    pub(in crate::volume) fn remove_entry(&mut self, name: &[u8]) {
        if let Some(listing) = &mut self.listing {
            let (directory, log) = listing.change();
            directory.remove(name, log);
        }
    }

    /// A directory's times and link count after one of its entries changed.
    pub(in crate::volume) fn touch_directory(&mut self, now: Timestamp, directories: i64) {
        self.record.links_count = self.record.links_count.saturating_add_signed(directories as i32);
        self.record.modified = now;
        self.record.changed = now;
    }
}

pub(in crate::volume) fn check_name(name: &[u8]) -> Result<()> {
    match name {
        b"" | b"." | b".." => Err(Error::Invalid),
        name if name.len() > 255 => Err(Error::NameTooLong),
        name if name.contains(&b'/') || name.contains(&0) => Err(Error::Invalid),
        _ => Ok(()),
    }
}

/// Refuses to give a longer name to an inode that has no room for it.
pub(in crate::volume) fn check_growth(inode: &Inode, from: &[u8], to: &[u8]) -> Result<()> {
    let more = to.len().saturating_sub(from.len());
    if more == 0 || inode.view(|record| record.has_room(more)) { Ok(()) } else { Err(Error::NoSpace) }
}

/// A directory's link count is 32 bits.
pub(in crate::volume) fn check_room(directory: &Record) -> Result<()> {
    if directory.links_count == u32::MAX { Err(Error::TooManyLinks) } else { Ok(()) }
}
