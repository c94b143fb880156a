//! Operations on names: create, link, unlink; renaming is in `rename`. All of them happen in memory under the namespace lock; the next
//! batch of the journal makes them durable together (docs/FORMAT.md section 9).

use super::Namespace;
use crate::chunk::{Chunk, ChunkId, ChunkIndex, Commit, InodeId, Wish};
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::record::{EXTENSION_SPARE, Extension, Link, Record};
use crate::volume::format::stamp::Stamp;
use crate::volume::inode::state::{Inode, State};
use crate::volume::journal::Pending;
use crate::volume::mutants::{self, Mutant};
use crate::volume::namespace::nameless::named;
use crate::volume::namespace::names::{check_name, check_room};
use crate::volume::{Error, Result};
use std::sync::Arc;

/// What a new inode is to be.
pub struct NewInode<'a> {
    pub kind: Kind,
    /// Permission bits, 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// As in `st_rdev`, for devices.
    pub device: u32,
    /// Of a symlink; at most 4095 bytes.
    pub target: &'a [u8],
    /// Sorted by name.
    pub xattrs: Vec<(Box<[u8]>, Vec<u8>)>,
    pub now: Timestamp,
}

impl Namespace {
    /// Finds a name in a directory; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::NameTooLong`]; [`Error::NotDirectory`]; as [`Namespace::named_inode`], of the directory too.
    pub fn lookup(&self, directory: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        match self.cache.entry(directory, name)? {
            Some((id, _)) => {
                self.cache.look_ahead(directory, name, id, || self.named_inode(directory, name, id)).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The inode that a name in a directory stands for.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if it cannot be read, of which note is taken; [`Error::NotArrived`] of one that was
    /// deleted here and got the name from another device, which has it still; the store's.
    pub fn named_inode(&self, directory: &Inode, name: &[u8], id: InodeId) -> Result<Arc<Inode>> {
        let inode = self.cache.inode(id).inspect_err(|error| {
            self.cache.notice_at(error, directory.id(), name);
            // Another device gave the name, and did not know that it was deleted here.
            if error.is_absence() && self.base.context.recall.tombstone(ChunkId::first(id)).is_some() {
                self.base.note_doubted(id, Some(directory.id()));
            }
        })?;
        let says = |name: &[u8]| {
            let is_it = |link: &Link| link.parent == directory.id() && *link.name == *name;
            inode.view(|record| record.extension.links.iter().any(is_it))
        };
        if !self.cache.has_met_others() || says(name) {
            return Ok(inode);
        }
        let is_directory = inode.is_directory();
        let is_going = inode.state.read().is_going();
        if is_going && !is_directory {
            return Err(Error::NotArrived(ChunkId::first(id)));
        }
        // One of two folders of one name is shown under another.
        let is_believed =
            || says(&self.link_name(directory, name)) || mutants::is_active(Mutant::FolderBelieved);
        if !is_going && (!is_directory || !is_believed()) {
            self.base.note_doubted(id, Some(directory.id()));
        }
        Ok(inode)
    }

    /// Makes a new inode under a name.
    ///
    /// # Errors
    ///
    /// As [`check_name`], [`check_room`] and [`Namespace::listed_for_more`]; [`Error::Exists`]; [`Error::ReadOnly`];
    /// [`Error::Stopped`]; where it is stored at once, those of a commit. It is not there then.
    pub fn create(&self, directory: &Arc<Inode>, name: &[u8], new: NewInode<'_>) -> Result<Arc<Inode>> {
        check_name(name)?;
        self.writeback.admit_change()?;
        let inode = self.create_locked(&mut self.journal.names(), (directory, name), None, new)?;
        self.store_new(directory, name, inode)
    }

    /// The same with an id that is the same on every device.
    ///
    /// # Errors
    ///
    /// As [`Namespace::create`].
    pub fn create_as(
        &self,
        id: InodeId,
        directory: &Arc<Inode>,
        name: &[u8],
        new: NewInode<'_>,
    ) -> Result<Arc<Inode>> {
        check_name(name)?;
        self.writeback.admit_change()?;
        let inode = self.create_locked(&mut self.journal.names(), (directory, name), Some(id), new)?;
        self.store_new(directory, name, inode)
    }

    /// The same of an inode that was just made: without its name it goes too.
    fn store_new(&self, directory: &Arc<Inode>, name: &[u8], inode: Arc<Inode>) -> Result<Arc<Inode>> {
        match self.store_name(directory, name, &inode) {
            Ok(()) => Ok(inode),
            Err(error) => {
                self.release(inode);
                Err(error)
            }
        }
    }

    /// Stores a name that was just given, where it has to be at once; one that cannot be is refused, and must not be there.
    fn store_name(&self, directory: &Arc<Inode>, name: &[u8], inode: &Arc<Inode>) -> Result<()> {
        self.writeback.store_if_careful().inspect_err(|_| {
            let mut pending = self.journal.names();
            let taken_back = self.remove_name(&mut pending, directory, name, inode.id(), Timestamp::now());
            warn_unless(taken_back.map(drop));
        })
    }

    pub(super) fn create_locked(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        id: Option<InodeId>,
        new: NewInode<'_>,
    ) -> Result<Arc<Inode>> {
        let kind = new.kind;
        let record = new_record(new, if kind == Kind::Directory { 2 } else { 1 })?;
        let now = record.born;
        let mut parent = self.listed_for_more(directory)?;
        if parent.directory().get(name).is_some() {
            return Err(Error::Exists);
        }
        check_room(&parent.record)?;
        let (id, id_durable) = id.map_or_else(|| pending.reserve.take(), |id| (id, false));
        let mut state = self.new_state(id, record)?;
        let dot = parent.add_entry(self.base.author(), name, id, kind)?;
        parent.touch_directory(now, i64::from(kind == Kind::Directory));
        drop(parent);
        state.add_link(directory.id(), name, dot);
        let inode = Arc::new(Inode::new(id, state, id_durable));
        self.cache.insert(&inode);
        self.changed_name(pending, directory);
        self.changed_name(pending, &inode);
        Ok(inode)
    }

    /// What a new inode begins with, and space for it.
    pub(super) fn new_state(&self, id: InodeId, record: Record) -> Result<State> {
        let blocks = self.base.geometry.blocks(ChunkIndex::FIRST);
        let mut first_chunk = Chunk::new(&self.base.context, ChunkId::first(id), blocks);
        // Of the journal another device may learn of it, and make its chunk file.
        if self.cache.has_met_others() && !mutants::is_active(Mutant::ArrivalReplaced) {
            first_chunk.may_arrive();
        }
        let mut state = State::fresh(record, first_chunk);
        state.hold_room(&self.base.context.headroom, 0, 0, Wish::Takes)?;
        Ok(state)
    }

    /// Gives an inode one more name, or one without a name its first.
    ///
    /// # Errors
    ///
    /// [`Error::IsDirectory`], which has only one; [`Error::NotFound`] if it lost its last one;
    /// [`Error::TooManyLinks`] if its record has no room for it; otherwise as [`Namespace::create`].
    pub fn link(
        &self,
        inode: &Arc<Inode>,
        directory: &Arc<Inode>,
        name: &[u8],
        now: Timestamp,
    ) -> Result<()> {
        check_name(name)?;
        self.prepare_nameless(inode)?;
        self.writeback.admit_change()?;
        let mut pending = self.journal.names();
        if inode.is_directory() {
            return Err(Error::IsDirectory);
        }
        let is_nameless = pending.nameless.contains_key(&inode.id());
        if inode.view(|record| record.links_count == 0) && !is_nameless {
            return Err(Error::NotFound);
        }
        let mut parent = self.listed_for_more(directory)?;
        if parent.directory().get(name).is_some() {
            return Err(Error::Exists);
        }
        check_room(&parent.record)?;
        let mut state = inode.state.write();
        if !state.record.has_room(EXTENSION_SPARE + Extension::link_length(name)) {
            return Err(Error::TooManyLinks);
        }
        let dot = parent.add_entry(self.base.author(), name, inode.id(), state.record.kind)?;
        state.add_link(directory.id(), name, dot);
        state.renamed(now);
        drop(state);
        parent.touch_directory(now, 0);
        drop(parent);
        self.changed_name(&mut pending, directory);
        self.changed_name(&mut pending, inode);
        self.cache.expect_storing(inode);
        if is_nameless {
            named(&mut pending, inode);
        }
        drop(pending);
        let stored = self.store_name(directory, name, inode);
        if stored.is_err() && is_nameless {
            self.make_nameless_again(inode);
        }
        stored
    }

    /// Removes a name of anything but a directory. Returns the inode, which lives until it is released; `None` if it
    /// cannot be read: then only the name is gone.
    ///
    /// # Errors
    ///
    /// As [`check_name`] and [`Namespace::remove_name`]; [`Error::NotFound`]; [`Error::IsDirectory`];
    /// [`Error::ReadOnly`]; [`Error::Stopped`].
    pub fn unlink(&self, directory: &Arc<Inode>, name: &[u8], now: Timestamp) -> Result<Option<Arc<Inode>>> {
        check_name(name)?;
        self.writeback.admit_removal()?;
        let mut pending = self.journal.names();
        let mut entry = self.cache.entry(directory, name)?.ok_or(Error::NotFound)?;
        if self.spare_unseen(&mut pending, (directory, name), false, now) {
            entry = self.cache.entry(directory, name)?.ok_or(Error::NotFound)?;
        }
        match entry {
            (_, Kind::Directory) => Err(Error::IsDirectory),
            (id, _) => self.remove_name(&mut pending, directory, name, id, now),
        }
    }

    /// Removes an empty directory. Returns it, as `unlink` does. Of one that is damaged the name goes and nothing else.
    ///
    /// # Errors
    ///
    /// As [`Namespace::unlink`]; [`Error::NotEmpty`]; [`Error::NotDirectory`].
    pub fn remove_directory(
        &self,
        directory: &Arc<Inode>,
        name: &[u8],
        now: Timestamp,
    ) -> Result<Option<Arc<Inode>>> {
        check_name(name)?;
        self.writeback.admit_removal()?;
        let mut pending = self.journal.names();
        match self.cache.entry(directory, name)?.ok_or(Error::NotFound)? {
            (id, Kind::Directory) => match self.check_empty(id) {
                Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => {
                    self.remove_unreadable(&mut pending, directory, name, Kind::Directory, &error, now)?;
                    Ok(None)
                }
                empty => empty.and_then(|()| self.remove_name(&mut pending, directory, name, id, now)),
            },
            _ => Err(Error::NotDirectory),
        }
    }

    /// Nobody above knows this inode any more. Without a name it is deleted.
    pub fn release(&self, inode: Arc<Inode>) {
        let mut pending = self.journal.names();
        let (named, recorded, is_made) = {
            let state = inode.state.read();
            let has_file = state.first_chunk.as_deref().is_none_or(Chunk::has_file);
            (state.record.links_count > 0, state.recorded, has_file || !state.extra_chunks.is_empty())
        };
        if named || self.base.read_only {
            drop(pending);
            return self.cache.forget_if_clean(&inode);
        }
        pending.orphans.remove(&inode.id());
        pending.nameless.remove(&inode.id());
        if !recorded {
            pending.inodes.remove(&inode.id());
        }
        // Of chunk files that are there a batch has to speak: the one that reserved the id may go before they do.
        if !recorded && !is_made {
            pending.reserve.forget(inode.id());
            drop(pending);
            self.catalog.delete([inode]);
        } else {
            pending.deleted.push(inode);
        }
        self.base.schedule.wake();
    }
}

/// What the record of a new inode says, which has room for names.
pub(super) fn new_record(new: NewInode<'_>, links_count: u32) -> Result<Record> {
    let record = Record {
        kind: new.kind,
        mode: new.mode,
        uid: new.uid,
        gid: new.gid,
        device: new.device,
        links_count,
        size: if new.kind == Kind::Symlink { new.target.len() as u64 } else { 0 },
        allocated: 0,
        namespace: Commit(0),
        accessed: new.now,
        modified: new.now,
        changed: new.now,
        born: new.now,
        content: Stamp::NONE,
        is_exact: true,
        extension: Extension { target: new.target.to_vec(), xattrs: new.xattrs, ..Extension::default() },
    };
    if record.has_room(EXTENSION_SPARE) { Ok(record) } else { Err(Error::NoSpace) }
}

/// What was refused could not be taken back.
pub(super) fn warn_unless(taken_back: Result<()>) {
    if let Err(error) = taken_back {
        log::warn!("a name that could not be stored is there all the same: {error}");
    }
}
