//! One inode in memory: its record, its open chunks, and what of it has not reached the disk yet.
//!
//! Two locks. `serial` is held by whoever commits and syncs this inode's chunks, from the first commit to the end of
//! the last fdatasync; `state` guards the rest; the fdatasync of a flush runs without it.
//! `serial` is taken before `state`: `crate::locks`.

use super::directory::{Directory, Removed, Replaced};
use super::entries::Entries;
use crate::chunk::{Chunk, ChunkIndex, Commit, Hold, InodeId, Marks, Version};
use crate::locks::{Mutex, Rank, RwLock};
use crate::volume::format::directory_log::Author;
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::record::{EntryDot, Link, Record};
use crate::volume::format::stamp::Stamp;
use crate::volume::inode::extra_chunks::ExtraChunks;
use crate::volume::inode::shown::Showing;
use crate::volume::inode::stamps::Stamps;
use crate::volume::inode::table::ChunkTable;
use crate::volume::{Error, Result};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// An inode that somebody works with.
pub struct Inode {
    id: InodeId,
    pub serial: Mutex<()>,
    pub state: RwLock<State>,
    /// Stands in the volume's list of what a checkpoint has to look at.
    pub queued: AtomicBool,
    /// Chunk files may be made: a batch names the inode, or reserved its id, durably.
    pub id_durable: AtomicBool,
}

/// What the lock guards. Anybody may read the facts; only the transitions of this room change them.
pub struct State(pub(super) Facts);

pub struct Facts {
    pub record: Record,
    /// The namespace part of the record as durable batches have it: what chunk 0 is to say.
    pub journalled: Journalled,
    /// The batch up to which chunk 0 says so.
    pub stored: Commit,
    pub standing: Standing,
    /// Some batch, durable or under way, speaks of the inode, or it was read from the disk.
    pub recorded: bool,
    /// Chunk 0, if open: in a place of its own, as most inodes have none open.
    pub first_chunk: Option<Box<Chunk>>,
    /// The version of chunk 0 that memory holds, while that is not open.
    pub(super) held: Version,
    /// What the file had then that tells whether it was changed since, where that is certain.
    pub(super) held_marks: Option<Marks>,
    /// Chunk 0's file and name are durable.
    pub named: bool,
    /// The other chunks that are open.
    pub extra_chunks: ExtraChunks,
    pub table: ChunkTable,
    /// How far chunk 0 tells of the versions of the extra chunks.
    pub stamps: Stamps,
    /// Chunks to be removed once chunk 0, which does not name them any more, is durable.
    pub doomed: BTreeSet<ChunkIndex>,
    /// The change by which the size last shrank over extra chunks, until chunk 0 is durable with it and those are
    /// trimmed.
    pub shrunk: Option<u64>,
    /// When one of several names was last removed.
    pub lost_name: Option<Instant>,
    /// Chunk 0 was found without something that this device had made durable.
    pub lacks_own: bool,
    /// Its chunk files are pinned as far as they are to be, until chunk 0 is closed, or new ones are at rest.
    pub is_pinned: bool,
    /// There are further chunks that are not pinned.
    pub(super) has_new_chunks: bool,
    /// Nothing but zeros lies beyond the size.
    pub tail_clean: bool,
    /// This device keeps its attributes as they were read.
    pub is_kept: bool,
    /// A directory's entries, once loaded.
    pub entries: Option<Box<Entries>>,
    /// Something that was not stored yet is lost, as its chunk files were damaged: for this reason.
    pub lost: Option<Box<Error>>,
    pub progress: Progress,
    /// What is shown of it, and was read.
    pub(super) showing: Showing,
    /// Space for storing chunk 0.
    pub hold: Hold,
}

impl Deref for State {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

/// What durable batches say: nlink and links, by which batch, and whether there is content.
#[derive(Clone, Default)]
pub struct Journalled {
    pub links_count: u32,
    pub links: Vec<Link>,
    pub namespace: Commit,
    /// A batch that stands in for chunk 0 has none.
    pub is_empty: bool,
}

/// Whether the namespace part of the record differs from what durable batches say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does not.
    Durable,
    /// It does, and the next batch will say so.
    Pending,
    /// A batch that is being committed says so.
    Frozen,
}

/// Counts changes, to know which of them reached what. All count the same changes.
#[derive(Clone, Copy, Default)]
pub struct Progress {
    /// Made in memory.
    pub made: u64,
    /// The last that was more than a change of times.
    pub substantial: u64,
    /// The last that was more than a change of names, of which batches tell.
    pub beyond_names: u64,
    /// The last of a directory's own attributes, of which batches do not speak.
    pub attributes: u64,
    /// The last that chunk 0 has to tell of: more than times, or content beyond it.
    pub first_chunk: u64,
    /// The last that may have changed how many blocks hold data.
    pub counted: u64,
    /// In the newest root of chunk 0.
    pub stored: u64,
    /// Durable, in chunk 0 or in a batch.
    pub durable: u64,
    /// The last of which only batches have the content or the entries; 0: chunk 0 has all that is durable.
    pub carried: u64,
    /// Durable but for times.
    pub secured: u64,
    /// Durable, where the times are in extra chunks.
    pub timed: u64,
    /// The last that another device's journal told of, where there is nothing else to be stored.
    pub learnt: u64,
}

impl Progress {
    /// Whether whatever no durable chunk 0 or batch has is content beyond chunk 0, in blocks that held some before, and the times
    /// that go with it.
    pub(super) fn is_beyond_first_chunk(&self) -> bool {
        self.durable >= self.first_chunk.max(self.attributes).max(self.counted)
    }
}

/// The order in which several inodes' `serial` is taken: that of their ids.
fn order(id: InodeId) -> u128 {
    id.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

impl Inode {
    pub fn new(id: InodeId, state: State, id_durable: bool) -> Inode {
        Inode {
            id,
            serial: Mutex::numbered(Rank::InodeSerial, order(id), ()),
            state: RwLock::new(Rank::InodeState, state),
            queued: AtomicBool::new(false),
            id_durable: AtomicBool::new(id_durable),
        }
    }

    pub fn id(&self) -> InodeId {
        self.id
    }

    /// Looks at the record as it is now.
    pub fn view<R>(&self, look: impl FnOnce(&Record) -> R) -> R {
        look(&self.state.read().record)
    }

    /// The same, with the time when one of several names was last removed.
    pub fn view_names<R>(&self, look: impl FnOnce(&Record, Option<Instant>) -> R) -> R {
        let state = self.state.read();
        look(&state.record, state.lost_name)
    }

    pub fn is_directory(&self) -> bool {
        self.view(|record| record.kind == Kind::Directory)
    }
}

impl State {
    /// Of an inode that no batch knows yet.
    pub fn fresh(record: Record, first_chunk: Chunk) -> State {
        let entries = (record.kind == Kind::Directory).then(|| Box::new(Entries::empty()));
        State(Facts {
            journalled: Journalled::default(),
            stored: Commit(0),
            standing: Standing::Pending,
            recorded: false,
            first_chunk: Some(Box::new(first_chunk)),
            held: Version::default(),
            held_marks: None,
            showing: Showing::default(),
            named: false,
            extra_chunks: ExtraChunks::default(),
            table: ChunkTable::empty(),
            stamps: Stamps::fresh(),
            doomed: BTreeSet::new(),
            shrunk: None,
            lost_name: None,
            lacks_own: false,
            lost: None,
            is_pinned: true,
            has_new_chunks: false,
            tail_clean: true,
            is_kept: false,
            entries,
            progress: Progress {
                made: 1,
                substantial: 1,
                beyond_names: 1,
                first_chunk: 1,
                ..Progress::default()
            },
            hold: Hold::default(),
            record,
        })
    }

    /// Of an inode read from its chunk 0.
    pub fn stored(record: Record, first_chunk: Chunk, table: ChunkTable) -> State {
        let lacks_own = first_chunk.lacks_own();
        let mut state = State::known(record, Version::default(), table, None);
        (state.0.first_chunk, state.0.lacks_own) = (Some(Box::new(first_chunk)), lacks_own);
        state.0.is_kept = false;
        state
    }

    /// Of an inode of which is known what chunk 0 says in this version, while its file has these marks.
    pub fn known(record: Record, version: Version, table: ChunkTable, marks: Option<Marks>) -> State {
        State(Facts {
            journalled: Journalled {
                links_count: record.links_count,
                links: record.extension.links.clone(),
                namespace: record.namespace,
                is_empty: false,
            },
            stored: record.namespace,
            standing: Standing::Durable,
            recorded: true,
            first_chunk: None,
            held: version,
            held_marks: marks,
            showing: Showing::default(),
            named: true,
            extra_chunks: ExtraChunks::default(),
            table,
            stamps: Stamps::found(&record),
            doomed: BTreeSet::new(),
            shrunk: None,
            lost_name: None,
            lacks_own: false,
            lost: None,
            is_pinned: false,
            has_new_chunks: false,
            tail_clean: false,
            is_kept: true,
            entries: None,
            progress: Progress::default(),
            hold: Hold::default(),
            record,
        })
    }

    /// Refuses to work with something of which a part is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`]: why it is lost.
    pub fn check_whole(&self) -> Result<()> {
        self.lost.as_ref().map_or(Ok(()), |error| Err(error.again()))
    }

    /// The version of chunk 0 that memory holds.
    pub fn version(&self) -> &Version {
        self.first_chunk.as_deref().map_or(&self.held, Chunk::version)
    }

    /// What the file of chunk 0 has, or had when it was closed, that tells whether it was changed since.
    pub fn marks(&self) -> Option<Marks> {
        self.first_chunk.as_deref().map_or(self.held_marks, Chunk::marks)
    }

    /// Whether something of it has to be pinned before it is changed: it is a file of several chunks.
    pub fn wants_pins(&self) -> bool {
        !self.is_pinned && self.record.kind == Kind::File && self.recorded && !self.table.is_empty()
    }

    /// Whether its last name was taken away in this mount, so that its files are about to go, if they have not gone.
    pub fn is_going(&self) -> bool {
        self.record.links_count == 0 && self.recorded && self.is_dirty()
    }

    /// Whether nothing of its own would be lost with it.
    pub fn is_forgettable(&self) -> bool {
        !self.is_dirty() || self.is_only_learnt() || self.lost.is_some()
    }

    pub fn chunk_mut(&mut self, index: ChunkIndex) -> Option<&mut Chunk> {
        if index.is_first() { self.0.first_chunk.as_deref_mut() } else { self.0.extra_chunks.get_mut(index) }
    }

    /// Notes a change of content or attributes.
    pub fn change(&mut self) {
        self.change_beyond();
        self.0.progress.first_chunk = self.progress.made;
    }

    /// Notes a change of content beyond chunk 0 that leaves the size as it is.
    pub fn change_beyond(&mut self) {
        self.change_times();
        self.0.progress.substantial = self.progress.made;
    }

    /// Whether chunk 0 is as it has to be, but for times.
    pub fn is_first_chunk_stored(&self) -> bool {
        self.progress.first_chunk <= self.progress.stored
            && self.stored == self.journalled.namespace
            && self.table.is_naming_stored()
            && !self.first_chunk.as_deref().is_some_and(Chunk::is_dirty)
    }

    /// Notes a change of times only.
    pub fn change_times(&mut self) {
        self.0.progress.made += 1;
        self.0.progress.beyond_names = self.progress.made;
    }

    /// Notes a change of attributes, as `stamp` unless it was of times only.
    pub(super) fn changed_attributes(&mut self, only_times: bool, stamp: Stamp) {
        if only_times {
            self.change_times();
        } else {
            self.0.record.extension.attributes = Some(stamp);
            self.change();
        }
        self.0.progress.attributes = self.progress.made;
    }

    /// Whether a checkpoint has something to write.
    pub fn is_dirty(&self) -> bool {
        self.progress.stored < self.progress.made
            || self.stored < self.journalled.namespace
            || self.is_inexact()
            || self.entries.as_ref().is_some_and(|entries| entries.has_journalled())
    }

    /// Whether something is not durable that is more than a name.
    pub fn is_unsaved(&self) -> bool {
        self.progress.durable < self.progress.beyond_names
    }

    /// Whether nothing but what other devices' journals tell waits to be stored: it goes with the next own change.
    pub fn is_only_learnt(&self) -> bool {
        self.progress.made > 0 && self.progress.learnt == self.progress.made
    }

    /// Whether the whole content can go into a batch: there is no block, only inline content or none.
    pub fn is_carryable(&self) -> bool {
        match self.record.kind {
            Kind::Directory => false,
            Kind::File => self.is_inline(),
            _ => true,
        }
    }

    pub fn directory(&self) -> &Directory {
        &self.entries.as_ref().expect("the entries were loaded").directory
    }

    /// Adds an entry to a directory. Answers its dot.
    ///
    /// # Errors
    ///
    /// [`Error::NotDirectory`] if no entries are loaded; [`Error::Exists`], [`Error::Invalid`] for what is no name,
    /// [`Error::NoSpace`] if the directory is full.
    pub fn add_entry(&mut self, author: Author, name: &[u8], inode: InodeId, kind: Kind) -> Result<EntryDot> {
        let author = self.author_here(author);
        let (directory, log) = self.0.entries.as_mut().ok_or(Error::NotDirectory)?.change();
        Ok(directory.insert(author, name, inode, kind, log)?)
    }

    /// Gives an entry another name that is free. Answers what it was, and its new dot.
    ///
    /// # Errors
    ///
    /// As [`State::add_entry`]; [`Error::NotFound`] if there is no entry of the former name.
    pub fn rename_entry(&mut self, author: Author, from: &[u8], to: &[u8]) -> Result<(Removed, EntryDot)> {
        let author = self.author_here(author);
        let (directory, log) = self.0.entries.as_mut().ok_or(Error::NotDirectory)?.change();
        Ok(directory.rename(author, from, to, log)?)
    }

    /// Has an entry stand for another inode. Answers its new dot, and others of that inode which have other names now.
    ///
    /// # Errors
    ///
    /// [`Error::NotDirectory`] if no entries are loaded; [`Error::NotFound`]; [`Error::NoSpace`] if the directory is
    /// full.
    pub fn replace_entry(&mut self, author: Author, name: &[u8], by: (InodeId, Kind)) -> Result<Replaced> {
        let author = self.author_here(author);
        let (directory, log) = self.0.entries.as_mut().ok_or(Error::NotDirectory)?.change();
        Ok(directory.replace(author, name, by, log)?)
    }

    /// Removes every entry that a name stands for.
    ///
    /// # Errors
    ///
    /// [`Error::NotDirectory`] if no entries are loaded; [`Error::NoSpace`] if others that had yielded to it cannot
    /// be named.
    pub fn remove_entry(&mut self, author: Author, name: &[u8]) -> Result<Option<Removed>> {
        let author = self.author_here(author);
        let (directory, log) = self.0.entries.as_mut().ok_or(Error::NotDirectory)?.change();
        Ok(directory.remove(author, name, log)?)
    }

    /// A directory's times and link count after one of its entries changed.
    pub fn touch_directory(&mut self, now: Timestamp, directories: i64) {
        self.0.record.links_count = self.record.links_count.saturating_add_signed(directories as i32);
        self.0.record.modified = now;
        self.0.record.changed = now;
    }
}
