//! The volume: which inodes are in memory, what is open, and whether promises can still be kept.

use crate::chunk::{BLOCK, Chunk, ChunkId, Commit, Context, InodeId, Space};
use crate::store::{self, FileName};
use crate::volume::cache::open_files::OpenFiles;
use crate::volume::cache::readahead::{Ahead, Loading};
use crate::volume::findings::Findings;
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::record::{EXTENSION_SPARE, Extension, Record};
use crate::volume::inode::entries::Listing;
use crate::volume::inode::state::{Inode, State};
use crate::volume::inode::table::{Table, check_bound};
use crate::volume::journal::file::Journal;
use crate::volume::journal::pending::Pending;
use crate::volume::writeback::flusher::Flusher;
use crate::volume::{Error, Result};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An open volume. Every method may be called from any thread.
pub struct Volume {
    pub(in crate::volume) context: Arc<Context>,
    /// Bytes.
    pub(in crate::volume) chunk_size: u64,
    /// Blocks of a chunk.
    pub(in crate::volume) blocks: u16,
    pub(in crate::volume) read_only: bool,
    pub(in crate::volume) inodes: Mutex<HashMap<InodeId, Arc<Inode>>>,
    pub(in crate::volume) namespace: Mutex<Pending>,
    pub(in crate::volume) journal: Mutex<Journal>,
    /// Inodes that the next round has to look at.
    pub(in crate::volume) queue: Mutex<Vec<Arc<Inode>>>,
    /// Inodes whose deletion is durable; their chunk files are still to be removed.
    pub(in crate::volume) removals: Mutex<Vec<Arc<Inode>>>,
    /// Chunk files that were removed, but a power cut may bring them back.
    pub(in crate::volume) removed: Mutex<Vec<FileName>>,
    /// Inodes of which a crash may have left chunk files, if the journal was in use when the volume was opened.
    pub(in crate::volume) leftovers: Mutex<Option<HashSet<InodeId>>>,
    /// The journal is in use: after a crash now, the next mount looks for what was left behind.
    pub(in crate::volume) in_use: AtomicBool,
    /// One round at a time.
    pub(in crate::volume) round: Mutex<Option<u64>>,
    pub(in crate::volume) flusher: Flusher,
    pub(in crate::volume) findings: Findings,
    pub(in crate::volume) open: OpenFiles,
    pub(in crate::volume) ahead: Ahead,
    loading: Loading,
    stopped: AtomicBool,
    /// There was no room lately for what a batch has to wait for.
    pub(in crate::volume) is_short: AtomicBool,
}

/// What a volume is opened with, besides the context.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes; from the header.
    pub chunk_size: u64,
    pub read_only: bool,
    /// Chunk files held open at most, unless more are waiting to be synced.
    pub open_files: NonZeroUsize,
}

impl Volume {
    /// Makes the root directory of a new volume, owned by `uid` and `gid`. Durable on return.
    pub fn format(context: &Arc<Context>, chunk_size: u64, uid: u32, gid: u32) -> Result<()> {
        let now = Timestamp::now();
        let record = Record {
            kind: Kind::Directory,
            mode: 0o755,
            uid,
            gid,
            device: 0,
            links_count: 2,
            size: 0,
            allocated: 0,
            namespace: Commit(0),
            accessed: now,
            modified: now,
            changed: now,
            born: now,
            extension: Extension::default(),
        };
        let id = ChunkId { inode: InodeId::ROOT, index: 0 };
        let mut head = Chunk::new(context, id, (chunk_size / BLOCK as u64) as u16);
        head.set_record(record.encode().map_err(|_| Error::Invalid)?.root);
        head.commit()?;
        head.sync()?;
        context.store.sync_names(&[context.file_name(id)])?;
        head.name_synced();
        context.recall.keep();
        Ok(())
    }

    /// Opens a volume and replays its journals. The flusher is started by [`Volume::start`].
    pub fn open(context: Arc<Context>, options: Options) -> Result<Arc<Volume>> {
        let volume = Volume {
            chunk_size: options.chunk_size,
            blocks: (options.chunk_size / BLOCK as u64) as u16,
            read_only: options.read_only || context.store.is_read_only(),
            inodes: Mutex::default(),
            namespace: Mutex::default(),
            journal: Mutex::new(Journal::new(&context)),
            queue: Mutex::default(),
            removals: Mutex::default(),
            removed: Mutex::default(),
            leftovers: Mutex::default(),
            in_use: AtomicBool::new(false),
            round: Mutex::default(),
            flusher: Flusher::default(),
            findings: Findings::default(),
            open: OpenFiles::new(options.open_files),
            ahead: Ahead::default(),
            loading: Loading::default(),
            stopped: AtomicBool::new(false),
            is_short: AtomicBool::new(false),
            context,
        };
        volume.replay()?;
        volume.inode(InodeId::ROOT)?;
        Ok(Arc::new(volume))
    }

    /// The root directory.
    pub fn root(&self) -> Result<Arc<Inode>> {
        self.inode(InodeId::ROOT)
    }

    /// An inode, read from the backing folder if it is not in memory.
    pub fn inode(&self, id: InodeId) -> Result<Arc<Inode>> {
        loop {
            if let Some(inode) = self.inodes.lock().get(&id) {
                return Ok(inode.clone());
            }
            let Some(claim) = self.loading.claim(id) else { continue };
            // Read, changed and forgotten meanwhile, it could come back as it was.
            if self.inodes.lock().contains_key(&id) {
                continue;
            }
            let loaded = self.load(id)?;
            let inode = self.inodes.lock().entry(id).or_insert(loaded).clone();
            drop(claim);
            self.opened(&inode, 0);
            return Ok(inode);
        }
    }

    /// Changes attributes, xattrs among them.
    pub fn update<R>(&self, inode: &Arc<Inode>, change: impl FnOnce(&mut Record) -> Result<R>) -> Result<R> {
        drop(self.names()?);
        let mut state = inode.state.write();
        state.check_whole()?;
        let mut record = state.record.clone();
        let result = change(&mut record)?;
        let more = record.extension_length().saturating_sub(state.record.extension_length());
        if more > 0 && !record.has_room(EXTENSION_SPARE) {
            return Err(Error::NoSpace);
        }
        if more > 0 && self.is_careful() {
            self.open_head(inode, &mut state)?;
            let head = state.head.as_deref_mut().expect("it was opened");
            if head.has_file() {
                head.hold(record.extension_length().div_ceil(BLOCK) + 2)?;
            }
        }
        let only_times = record.extension == state.record.extension && record.head() == state.record.head();
        state.record = record;
        state.changed_attributes(only_times);
        drop(state);
        if more > 0 {
            // Of a new inode the next batch tells them too.
            self.namespace.lock().bytes += more;
        }
        self.queue(inode);
        self.store_through(inode)?;
        Ok(result)
    }

    /// The same for mode, owner and times, in place: a record may be long. `change` answers whether it changed an
    /// xattr, which must not get longer.
    pub fn set_attributes(&self, inode: &Arc<Inode>, change: impl FnOnce(&mut Record) -> bool) -> Result<()> {
        self.check_writable()?;
        let mut state = inode.state.write();
        state.check_whole()?;
        let before = state.record.head();
        let only_times = !change(&mut state.record) && before == state.record.head();
        state.changed_attributes(only_times);
        drop(state);
        self.queue(inode);
        Ok(())
    }

    /// Space in the backing filesystem.
    pub fn space(&self) -> Result<store::Space> {
        Ok(self.context.store.space()?)
    }

    /// Keeps decrypted blocks of so many bytes at most.
    pub fn keep_blocks(&self, bytes: usize) {
        self.context.keep_blocks(bytes);
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Adds an inode to what the next round looks at.
    pub(in crate::volume) fn queue(&self, inode: &Arc<Inode>) {
        if !inode.queued.swap(true, Ordering::AcqRel) {
            self.queue.lock().push(inode.clone());
            self.flusher.wake();
        } else {
            self.flusher.wake_again();
        }
    }

    /// No promise can be kept any more: from now on nothing is written.
    pub(in crate::volume) fn stop(&self, error: &Error) {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            log::error!("the volume stops: {error}; unmount it, mend the backing folder, and mount again");
        }
    }

    pub(in crate::volume) fn check_live(&self) -> Result<()> {
        if self.stopped.load(Ordering::Acquire) { Err(Error::Stopped) } else { Ok(()) }
    }

    pub(in crate::volume) fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        self.check_live()
    }

    /// Opens chunk 0 of an inode, if it is not.
    pub(in crate::volume) fn open_head(&self, inode: &Arc<Inode>, state: &mut State) -> Result<()> {
        state.check_whole()?;
        if state.head.is_none() {
            let id = ChunkId { inode: inode.id(), index: 0 };
            state.head = Some(Box::new(self.open_file(id, Commit(0))?));
            self.opened(inode, 0);
        }
        Ok(())
    }

    /// Opens a chunk's file. `bound`: what it must not be older than; only then it is right again.
    pub(in crate::volume) fn open_file(&self, id: ChunkId, bound: Commit) -> Result<Chunk> {
        let chunk = Chunk::open(&self.context, id, self.blocks)?;
        check_bound(&chunk, bound)?;
        self.heal_opened(id);
        Ok(chunk)
    }

    /// Loads a directory's entries, if they are not.
    pub(in crate::volume) fn load_listing(&self, directory: &Arc<Inode>) -> Result<()> {
        {
            let state = directory.state.read();
            if state.record.kind != Kind::Directory {
                return Err(Error::NotDirectory);
            }
            if state.listing.is_some() {
                return Ok(());
            }
        }
        let mut state = directory.state.write();
        let outcome = match state.listing {
            Some(_) => Ok(()),
            None => self
                .read_listing(directory, &mut state)
                .map(|listing| state.listing = Some(Box::new(listing))),
        };
        drop(state);
        self.notice_in(directory, outcome)
    }

    fn read_listing(&self, directory: &Arc<Inode>, state: &mut State) -> Result<Listing> {
        self.open_head(directory, state)?;
        let State { head, table, record, .. } = state;
        let head = head.as_ref().expect("it was opened");
        let damaged =
            |index, what: &str| Error::Damaged(ChunkId { inode: directory.id(), index }, what.into());
        let mut entries = crate::volume::inode::directory::Directory::new(record.extension.vector.clone());
        // An entry may begin in one segment and end in the next.
        let mut log = Vec::new();
        for index in table.all(head)? {
            let id = ChunkId { inode: directory.id(), index };
            let segment = self.open_file(id, table.bound(index).unwrap_or_default())?;
            let mut bytes = vec![0; BLOCK];
            segment.read(Space::Data, 0, &mut bytes)?;
            let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize + 4;
            if length as u64 > self.chunk_size {
                return Err(damaged(index, "its length makes no sense"));
            }
            bytes.resize(length.next_multiple_of(BLOCK), 0);
            segment.read(Space::Data, 0, &mut bytes)?;
            log.extend_from_slice(&bytes[4..length]);
        }
        log.extend_from_slice(&crate::volume::writeback::flush::TAIL.read(head, 0, record.size)?);
        entries.load(&log).map_err(|what| damaged(0, what.0))?;
        Ok(Listing::loaded(entries, log.len() as u64))
    }

    pub(in crate::volume) fn load(&self, id: InodeId) -> Result<Arc<Inode>> {
        let chunk = ChunkId { inode: id, index: 0 };
        let head = self.open_file(chunk, Commit(0))?;
        let record = read_record(&head).map_err(|error| match error {
            Error::Damaged(_, what) => Error::Damaged(chunk, what),
            error => error,
        })?;
        self.check_size_of(&record, &head)?;
        let table = Table::of(&head)?;
        Ok(Arc::new(Inode::new(id, State::stored(record, head, table), true)))
    }

    /// Refuses a size that cannot be, or that is not the inline content's.
    fn check_size_of(&self, record: &Record, head: &Chunk) -> Result<()> {
        let (most, inline) = match record.kind {
            Kind::File => (self.size_limit(), record.size),
            Kind::Directory => (crate::volume::writeback::flush::TAIL.limit(), record.size % BLOCK as u64),
            _ => return Ok(()),
        };
        let is_inline = head.inline().is_empty() || head.inline().len() as u64 == inline;
        if record.size <= most && is_inline {
            return Ok(());
        }
        Err(Error::Damaged(head.id(), "its size is not that of its content".into()))
    }
}

/// The record in chunk 0, with its extension from wherever it lies.
fn read_record(head: &Chunk) -> Result<Record> {
    let malformed = |what: crate::volume::Malformed| Error::Damaged(head.id(), what.0.into());
    let overflow = match Record::overflow_length(head.record()).map_err(malformed)? {
        None => None,
        Some(length) => {
            let mut blocks = vec![0; length.next_multiple_of(BLOCK)];
            head.read(Space::Metadata, 0, &mut blocks)?;
            blocks.truncate(length);
            Some(blocks)
        }
    };
    Record::decode(head.record(), overflow.as_deref()).map_err(malformed)
}
