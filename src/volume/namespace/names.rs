//! Single names: an entry taken out of a directory or put in, with the link in its inode. What is one step for the user
//! is made of these under one namespace lock (`namespace`).

use super::Namespace;
use crate::chunk::{ChunkId, InodeId, Wish};
use crate::locks::WriteGuard;
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::limits::NAME_MAX;
use crate::volume::format::record::{EntryDot, Link, Record};
use crate::volume::inode::directory::{Named, Replaced};
use crate::volume::inode::state::{Inode, State};
use crate::volume::journal::Pending;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use hashbrown::HashSet;
use std::sync::Arc;

/// What a change of a name takes in the next batch: two entries of a directory's log and a link, of the longest names.
const CHANGE_BYTES: usize = 1024;
/// What the dot of a name takes there.
const DOT_BYTES: usize = 16;

impl Namespace {
    /// A directory with its entries, to be changed. A removed directory takes no more entries.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if it was removed; [`Error::NotDirectory`]; [`Error::Damaged`] or [`Error::NotArrived`] if
    /// any part of it cannot be read; the store's.
    pub fn listed<'a>(&self, directory: &'a Arc<Inode>) -> Result<WriteGuard<'a, State>> {
        self.cache.load_entries(directory)?;
        let state = directory.state.write();
        if state.record.links_count == 0 {
            return Err(Error::NotFound);
        }
        Ok(state)
    }

    /// The same for one more entry, for which there is space.
    ///
    /// # Errors
    ///
    /// As [`Namespace::listed`]; [`Error::NoSpace`] if no space can be held.
    pub fn listed_for_more<'a>(&self, directory: &'a Arc<Inode>) -> Result<WriteGuard<'a, State>> {
        let mut state = self.listed(directory)?;
        state.hold_room(&self.base.context.headroom, 1, 0, Wish::Takes)?;
        Ok(state)
    }

    /// Whether this device may add entries to a directory, which was listed.
    pub fn takes_entries(&self, directory: &Arc<Inode>) -> bool {
        directory.state.read().directory().takes(self.base.context.device)
    }

    /// Refuses a directory that has entries.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`], [`Error::NotDirectory`]; [`Error::Damaged`] or [`Error::NotArrived`] if it cannot be
    /// read; the store's.
    pub fn check_empty(&self, directory: InodeId) -> Result<()> {
        let directory = self.cache.inode(directory)?;
        self.cache.load_entries(&directory)?;
        let state = directory.state.read();
        let empty = state.entries.as_ref().is_some_and(|listing| listing.directory.is_empty());
        if empty { Ok(()) } else { Err(Error::NotEmpty) }
    }

    /// Refuses to move a directory below itself. Chunks of different times may make a circle of parents: damage.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for that; [`Error::Damaged`] or [`Error::NotArrived`] for a circle, or a directory that
    /// cannot be read; the store's.
    pub fn check_not_inside(&self, directory: &Arc<Inode>, moved: InodeId) -> Result<()> {
        let mut at = directory.clone();
        let mut passed = HashSet::new();
        loop {
            if !passed.insert(at.id()) {
                let id = ChunkId::first(at.id());
                return Err(Error::Damaged(id, "the directory lies in itself: parts of it are older".into()));
            }
            if at.id() == moved {
                return Err(Error::Invalid);
            }
            if at.id() == InodeId::ROOT {
                return Ok(());
            }
            at = self.cache.parent(&at)?;
        }
    }

    /// Removes an entry for good, and the inode with its last one.
    ///
    /// # Errors
    ///
    /// As [`Namespace::listed`]; [`Error::NoSpace`] if others that had yielded to it cannot be named. That the inode
    /// cannot be read is no error, unless the store fails.
    pub fn remove_name(
        &self,
        pending: &mut Pending,
        directory: &Arc<Inode>,
        name: &[u8],
        id: InodeId,
        now: Timestamp,
    ) -> Result<Option<Arc<Inode>>> {
        let inode = match self.cache.inode(id) {
            Ok(inode) => inode,
            Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => {
                self.remove_unreadable(pending, directory, name, Kind::File, &error, now)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let link = self.link_name(directory, name);
        self.take_entry(pending, (directory, name), inode.is_directory(), now)?;
        self.lose_name(pending, (directory, &link), &inode, now);
        Ok(Some(inode))
    }

    /// What an inode's link says of a name that is shown for it: one of two inodes of one name is shown under another.
    pub(super) fn link_name(&self, directory: &Inode, name: &[u8]) -> Box<[u8]> {
        let state = directory.state.read();
        state.directory().get(name).map_or(name, |entry| entry.stored).into()
    }

    /// What becomes of an inode whose entry is gone; with its last name it goes too. `name`: as its link has it.
    pub(super) fn lose_name(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        inode: &Arc<Inode>,
        now: Timestamp,
    ) {
        let is_said = self.take_link(pending, (directory, name), inode, now);
        let is_last = inode.view(|record| record.extension.links.is_empty());
        let is_left = inode.is_directory() && mutants::is_active(Mutant::FolderLeft);
        let is_unshown = !is_last && !is_left && self.cache.has_met_others() && !self.is_shown(inode);
        let has_others = is_last && !self.base.other_names(inode.id()).is_empty();
        let right = (is_unshown || has_others).then(|| self.true_names(inode));
        let right = right.filter(|names| names.are_others);
        let is_last = right.as_ref().map_or(is_last, |names| names.links.is_empty());
        if let Some(names) = right {
            inode.state.write().set_links(names.links);
        }
        if is_last {
            inode.state.write().unlinked();
            pending.replacing.remove(&inode.id());
            pending.orphans.insert(inode.id(), inode.clone());
        } else if is_unshown && !self.is_shown(inode) {
            self.catalog.note_unshown(inode);
        } else if !is_said && self.cache.has_met_others() && !mutants::is_active(Mutant::LeftAsGiven) {
            self.give_anew(pending, inode);
        }
    }

    /// Whether names lead from the root to an inode by one of its links; yes where that cannot be seen.
    fn is_shown(&self, inode: &Arc<Inode>) -> bool {
        let leads = |link: &Link| -> Result<bool> {
            let parent = self.cache.inode(link.parent)?;
            if !self.cache.is_reached(link.parent) && !mutants::is_active(Mutant::UnreachedShows) {
                return Ok(false);
            }
            if self.cache.entry(&parent, &link.name)?.is_some_and(|entry| entry.0 == inode.id()) {
                return Ok(true);
            }
            // Under a name that it has as another one yielded.
            let places = parent.state.read().directory().places(&[inode.id()].into());
            Ok(places.into_values().flatten().any(|place| place.stored == link.name))
        };
        // What was deleted here leads nowhere.
        let is_unseen = |link: &Link| {
            let tombstone = self.base.context.recall.tombstone(ChunkId::first(link.parent));
            tombstone.is_none() || mutants::is_active(Mutant::UnreachedShows)
        };
        let links = inode.view(|record| record.extension.links.clone());
        links.iter().any(|link| leads(link).unwrap_or_else(|_| is_unseen(link)))
    }

    /// Deletes what no entry leads to, unless somebody above has it open.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`]; [`Error::Stopped`].
    pub fn delete_unshown(&self, inode: Arc<Inode>) -> Result<()> {
        self.writeback.admit_removal()?;
        let mut pending = self.journal.names();
        // Those who have it are the cache and this one.
        if Arc::strong_count(&inode) > 2 {
            return Ok(());
        }
        let mut state = inode.state.write();
        state.set_links(Vec::new());
        state.unlinked();
        drop(state);
        self.changed_name(&mut pending, &inode);
        pending.orphans.insert(inode.id(), inode.clone());
        drop(pending);
        self.release(inode);
        Ok(())
    }

    /// Removes the name of something that cannot be read.
    ///
    /// # Errors
    ///
    /// As [`Namespace::listed`]; [`Error::NoSpace`] if others that had yielded to it cannot be named.
    pub fn remove_unreadable(
        &self,
        pending: &mut Pending,
        directory: &Arc<Inode>,
        name: &[u8],
        kind: Kind,
        error: &Error,
        now: Timestamp,
    ) -> Result<()> {
        self.tell_unreadable(error);
        self.take_entry(pending, (directory, name), kind == Kind::Directory, now)
    }

    pub(super) fn tell_unreadable(&self, error: &Error) {
        log::warn!("a name was removed whose inode cannot be read: {error}");
        if let Error::Damaged(id, _) | Error::NotArrived(id) = error {
            self.catalog.wanted_no_more(*id);
            self.base.withheld.lock().remove(id.inode);
            if error.is_absence() {
                self.catalog.note_absent(id.inode);
            }
        }
    }

    pub(super) fn take_entry(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        is_directory: bool,
        now: Timestamp,
    ) -> Result<()> {
        let mut parent = self.listed(directory)?;
        let removed = parent.remove_entry(self.base.author(), name)?;
        parent.touch_directory(now, -i64::from(is_directory));
        drop(parent);
        self.changed_name(pending, directory);
        self.name_others(pending, directory, removed.map_or_else(Vec::new, |removed| removed.named));
        Ok(())
    }

    /// Others had yielded to an entry that is gone, and have the names now that they were shown under.
    fn name_others(&self, pending: &mut Pending, directory: &Arc<Inode>, named: Vec<Named>) {
        for Named { inode, from, to, dot } in named {
            let Ok(inode) = self.cache.inode(inode) else { continue };
            let mut state = inode.state.write();
            // It may have lost that one a moment ago.
            if !state.remove_link(directory.id(), &from) {
                continue;
            }
            state.add_link(directory.id(), &to, dot);
            drop(state);
            self.changed_name(pending, &inode);
        }
    }

    /// Takes an entry out of a directory and the link out of its inode.
    ///
    /// # Errors
    ///
    /// As [`Namespace::listed`]; [`Error::NoSpace`] if others that had yielded to it cannot be named.
    pub fn take_name(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        inode: &Arc<Inode>,
        now: Timestamp,
    ) -> Result<()> {
        let link = self.link_name(directory, name);
        self.take_entry(pending, (directory, name), inode.is_directory(), now)?;
        _ = self.take_link(pending, (directory, &link), inode, now);
        Ok(())
    }

    /// A directory that was rolled back may show a name that its inode does not have any more, and one that arrived a name that it
    /// does not have yet: the inode's other names stay. Whether it said that it has this one.
    fn take_link(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        inode: &Arc<Inode>,
        now: Timestamp,
    ) -> bool {
        let mut state = inode.state.write();
        let is_said = state.remove_link(directory.id(), name);
        if is_said && state.record.kind != Kind::Directory && state.record.links_count > 0 {
            state.lost_name();
        }
        state.renamed(now);
        drop(state);
        self.changed_name(pending, inode);
        is_said
    }

    /// Gives an inode another name in the same directory, where that is free.
    pub(super) fn change_name(
        &self,
        pending: &mut Pending,
        directory: &Arc<Inode>,
        (from, to): (&[u8], &[u8]),
        inode: &Arc<Inode>,
        now: Timestamp,
    ) -> Result<()> {
        let (stored, dot) = self.change_entry(pending, directory, (from, to), now)?;
        self.move_link(pending, inode, (directory, &stored), (directory, to, dot), now);
        Ok(())
    }

    /// The same of the entry alone. Answers the name that it had in the log, and its new dot.
    pub(super) fn change_entry(
        &self,
        pending: &mut Pending,
        directory: &Arc<Inode>,
        (from, to): (&[u8], &[u8]),
        now: Timestamp,
    ) -> Result<(Box<[u8]>, EntryDot)> {
        let mut parent = self.listed(directory)?;
        let (was, dot) = parent.rename_entry(self.base.author(), from, to)?;
        parent.touch_directory(now, 0);
        drop(parent);
        self.changed_name(pending, directory);
        self.name_others(pending, directory, was.named);
        Ok((was.stored, dot))
    }

    /// Has an entry stand for another inode, which loses the name that it had: `from`, as its link has it.
    pub(super) fn replace_name(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        (inode, from): (&Arc<Inode>, (&Arc<Inode>, &[u8])),
        now: Timestamp,
    ) -> Result<()> {
        let kind = inode.view(|record| record.kind);
        let mut parent = self.listed(directory)?;
        let was = parent.directory().get(name).map(|entry| entry.kind);
        let Replaced { dot, named } = parent.replace_entry(self.base.author(), name, (inode.id(), kind))?;
        let directories = i64::from(kind == Kind::Directory) - i64::from(was == Some(Kind::Directory));
        parent.touch_directory(now, directories);
        drop(parent);
        self.changed_name(pending, directory);
        // The name that it loses may be one of those that changed.
        let is_lost = |named: &&Named| *named.from == *from.1 && from.0.id() == directory.id();
        let lost = named.iter().find(is_lost).map(|named| named.to.clone());
        self.name_others(pending, directory, named);
        let from = (from.0, lost.as_deref().unwrap_or(from.1));
        self.move_link(pending, inode, from, (directory, name, dot), now);
        Ok(())
    }

    fn move_link(
        &self,
        pending: &mut Pending,
        inode: &Arc<Inode>,
        from: (&Arc<Inode>, &[u8]),
        (directory, to, dot): (&Arc<Inode>, &[u8], EntryDot),
        now: Timestamp,
    ) {
        let mut state = inode.state.write();
        state.remove_link(from.0.id(), from.1);
        state.add_link(directory.id(), to, dot);
        state.renamed(now);
        drop(state);
        self.changed_name(pending, inode);
        self.cache.expect_storing(inode);
    }

    /// Puts an inode whose name was taken under another one.
    ///
    /// # Errors
    ///
    /// As [`Namespace::listed`] and [`State::add_entry`].
    pub fn give_name(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        inode: &Arc<Inode>,
        now: Timestamp,
    ) -> Result<()> {
        let kind = inode.view(|record| record.kind);
        let mut parent = self.listed(directory)?;
        let dot = parent.add_entry(self.base.author(), name, inode.id(), kind)?;
        parent.touch_directory(now, i64::from(kind == Kind::Directory));
        drop(parent);
        let mut state = inode.state.write();
        state.add_link(directory.id(), name, dot);
        drop(state);
        self.changed_name(pending, directory);
        self.changed_name(pending, inode);
        self.cache.expect_storing(inode);
        Ok(())
    }

    /// Notes that the next batch has to speak of this inode.
    pub fn changed_name(&self, pending: &mut Pending, inode: &Arc<Inode>) {
        let mut state = inode.state.write();
        state.names_changed();
        // What needs to be sure of it held it before.
        let _ = state.hold_room(&self.base.context.headroom, 0, 0, Wish::Regardless);
        pending.bytes += CHANGE_BYTES;
        if !pending.inodes.contains_key(&inode.id()) {
            // A record without room for dots has none of them, and a batch has all.
            pending.bytes += state.record.extension_length() + DOT_BYTES * state.record.extension.links.len();
        }
        drop(state);
        pending.add(inode);
        self.cache.queue(inode);
    }
}

/// Refuses what can be no name.
///
/// # Errors
///
/// [`Error::Invalid`] if it is empty, `.` or `..`, or has `/` or NUL in it; [`Error::NameTooLong`] beyond 255 bytes.
pub fn check_name(name: &[u8]) -> Result<()> {
    match name {
        b"" | b"." | b".." => Err(Error::Invalid),
        name if name.len() > NAME_MAX => Err(Error::NameTooLong),
        name if name.contains(&b'/') || name.contains(&0) => Err(Error::Invalid),
        _ => Ok(()),
    }
}

/// Refuses to give a longer name to an inode that has no room for it.
///
/// # Errors
///
/// [`Error::NoSpace`] for such a one.
pub fn check_growth(inode: &Inode, from: &[u8], to: &[u8]) -> Result<()> {
    let more = to.len().saturating_sub(from.len());
    if more == 0 || inode.view(|record| record.has_room(more)) { Ok(()) } else { Err(Error::NoSpace) }
}

/// Refuses a directory that takes no more: its link count is 32 bits.
///
/// # Errors
///
/// [`Error::TooManyLinks`] for such a one.
pub fn check_room(directory: &Record) -> Result<()> {
    if directory.links_count == u32::MAX { Err(Error::TooManyLinks) } else { Ok(()) }
}
