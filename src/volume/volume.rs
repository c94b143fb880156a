//! The volume: one façade over its rooms.

use super::arrival::{Arrivals, Observer};
use super::base::{Base, Options};
use super::cache::Cache;
use super::catalog::Catalog;
use super::check::Check;
use super::check::survey::Sight;
use super::condition::{self, Condition};
use super::data::Data;
use super::findings::{Findings, Report};
use super::format::geometry::Geometry;
use super::format::kinds::{Kind, Timestamp};
use super::format::record::{Extension, Link, Record};
use super::format::stamp::Stamp;
use super::inode::directory::Visit;
use super::inode::state::Inode;
use super::journal::{Device, Journal, devices};
use super::merge::Merge;
use super::mutants::{self, Mutant};
use super::namespace::Namespace;
use super::namespace::operations::NewInode;
use super::namespace::rename::Rename;
use super::rotate::{Remains, Rotation};
use super::writeback::Writeback;
use super::{Error, Result};
use crate::chunk::{Chunk, ChunkId, ChunkIndex, Commit, Context, DeviceId, InodeId};
use crate::store::{self, FileName};
use std::sync::Arc;

/// An open volume. Every method may be called from any thread. Offsets, sizes and lengths are in bytes.
///
/// # Errors
///
/// Of any change: [`Error::ReadOnly`]; [`Error::Stopped`]; [`Error::NoSpace`]; [`Error::Damaged`] or
/// [`Error::NotArrived`] where what it needs cannot be read; [`Error::Store`]. Methods say what else there is.
pub struct Volume {
    pub(super) base: Arc<Base>,
    pub(super) cache: Arc<Cache>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) journal: Arc<Journal>,
    pub(super) writeback: Arc<Writeback>,
    data: Arc<Data>,
    pub(super) namespace: Arc<Namespace>,
    pub(super) merge: Arc<Merge>,
    check: Arc<Check>,
    pub(super) rotation: Arc<Rotation>,
    pub(super) arrivals: Arc<Arrivals>,
}

impl Volume {
    /// Makes the root directory of a new volume, owned by `uid` and `gid`. `chunk_size`: bytes, as in the header.
    /// Durable on return.
    ///
    /// # Errors
    ///
    /// The store's: [`Error::NoSpace`], [`Error::ReadOnly`], [`Error::Store`].
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
            content: Stamp::NONE,
            is_exact: true,
            extension: Extension::default(),
        };
        let id = ChunkId::first(InodeId::ROOT);
        let mut first_chunk = Chunk::new(context, id, Geometry::new(chunk_size).blocks(ChunkIndex::FIRST));
        first_chunk.set_record(record.encode().map_err(|_| Error::Invalid)?.root);
        first_chunk.commit()?;
        first_chunk.sync()?;
        context.store.sync_names(&[context.file_name(id)])?;
        first_chunk.name_synced();
        context.recall.keep();
        Ok(())
    }

    /// Opens a volume and replays its journals. What works in the background is started by [`Volume::start`]
    /// and [`Volume::follow`].
    ///
    /// # Errors
    ///
    /// This device's journal or the root directory cannot be read.
    pub fn open(context: Arc<Context>, options: Options) -> Result<Arc<Volume>> {
        let base = Arc::new(Base::new(context, options));
        let findings = Arc::new(Findings::new(&base));
        let cache = Arc::new(Cache::new(&base, &findings, options));
        let catalog = Arc::new(Catalog::new(&base, &findings, &cache));
        let journal = Arc::new(Journal::open(&base, &cache, &catalog)?);
        let writeback = Arc::new(Writeback::new(&base, &cache, &catalog, &journal));
        let data = Arc::new(Data {
            base: base.clone(),
            cache: cache.clone(),
            journal: journal.clone(),
            writeback: writeback.clone(),
        });
        let namespace = Arc::new(Namespace {
            base: base.clone(),
            cache: cache.clone(),
            catalog: catalog.clone(),
            journal: journal.clone(),
            writeback: writeback.clone(),
        });
        let merge = Arc::new(Merge::new(&catalog, &data, &namespace));
        let check = Arc::new(Check { base: base.clone(), cache: cache.clone(), catalog: catalog.clone() });
        let rotation = Arc::new(Rotation::new(&writeback, &check, &journal));
        let arrivals = Arc::new(Arrivals::new(&base, &findings, &cache, &journal, &writeback));
        cache.inode(InodeId::ROOT)?;
        Ok(Arc::new(Volume {
            base,
            cache,
            catalog,
            journal,
            writeback,
            data,
            namespace,
            merge,
            check,
            rotation,
            arrivals,
        }))
    }

    /// Starts the background flusher and readahead. They end with [`Volume::close`]. Of a volume that is read-only the flusher
    /// does nothing but tell of findings.
    ///
    /// # Errors
    ///
    /// The system has no thread for the flusher: nothing would be written but by fsync.
    pub fn start(self: &Arc<Volume>) -> Result<()> {
        self.cache.use_kept();
        self.writeback.start_flusher()?;
        self.cache.start_readahead();
        Ok(())
    }

    /// Once started: follows what other devices do and did meanwhile, and ends a rotation that is under way. That takes a list
    /// of all chunk files and hundreds of watches, for which nobody who mounts has to wait.
    pub fn follow(self: &Arc<Volume>) {
        if !self.base.read_only {
            self.merge.start(self.arrivals.teller());
            self.rotation.start();
        }
        self.arrivals.start();
    }

    /// Merges what sync clients put beside chunk files, as the volume does once it is started.
    #[cfg(test)]
    pub fn merge(&self) -> Result<()> {
        let merged = self.merge.run();
        self.arrivals.tell(Vec::new());
        merged
    }

    /// Tells of what other devices change from now on.
    pub fn observe(&self, observer: Box<dyn Observer>) {
        self.arrivals.observe(observer);
    }

    /// Makes everything that was done so far durable in its place.
    ///
    /// # Errors
    ///
    /// Something could not be written; it waits for the next time.
    pub fn sync_all(&self) -> Result<()> {
        if self.base.read_only { Ok(()) } else { self.writeback.sync_all() }
    }

    /// Goes on after the volume stopped, if it did, with everything stored.
    ///
    /// # Errors
    /// What keeps it from that: then it has stopped again, or tries again by itself.
    pub fn restart(&self) -> Result<()> {
        if self.base.stopped_by().is_none() { Ok(()) } else { self.writeback.restart() }
    }

    /// Makes everything durable and leaves an empty journal behind.
    ///
    /// # Errors
    ///
    /// Something could not be written; the journal still says what is durable.
    pub fn close(&self) -> Result<()> {
        self.arrivals.end();
        self.cache.end_readahead();
        self.writeback.end_flusher();
        self.rotation.end();
        self.merge.end();
        let closed = match self.base.read_only {
            true => Ok(()),
            false => self.merge.finish().and_then(|()| self.clear_journal()),
        };
        self.cache.report();
        if closed.is_ok() && !self.base.read_only {
            self.cache.keep_attributes();
        }
        if !mutants::is_active(Mutant::NotKeptAtClose) {
            self.keep_seen();
        }
        closed
    }

    fn clear_journal(&self) -> Result<()> {
        if !self.base.withheld.lock().is_empty() {
            return Ok(());
        }
        self.journal.clear()?;
        if self.base.stateless { Volume::discard_own_journal(&self.base.context) } else { Ok(()) }
    }

    /// What was only read counts from now on.
    fn keep_seen(&self) {
        let recall = &self.base.context.recall;
        if recall.has_seen() && !self.base.read_only && self.base.context.store.sync_all().is_ok() {
            recall.seen_is_durable();
        }
        recall.keep();
    }

    /// The root directory.
    ///
    /// # Errors
    ///
    /// As [`Volume::inode`].
    pub fn root(&self) -> Result<Arc<Inode>> {
        self.cache.inode(InodeId::ROOT)
    }

    /// An inode, read from the backing folder if it is not in memory.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if its chunk 0 cannot be read; [`Error::Store`].
    pub fn inode(&self, id: InodeId) -> Result<Arc<Inode>> {
        self.cache.inode(id)
    }

    /// The inodes whose ids begin so, as far as this device knows them. It looks at what is in memory and at what it remembers,
    /// not at the backing folder: a file's name there is no beginning of an id.
    pub fn inodes_beginning(&self, first: [u8; 8]) -> Vec<InodeId> {
        self.cache.inodes_beginning(first)
    }

    /// Finds a name in a directory; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// As [`Volume::entry`]; of what the name stands for as [`Volume::inode`].
    pub fn lookup(&self, directory: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        self.namespace.lookup(directory, name)
    }

    /// What a name in a directory stands for, whether or not that can be read.
    ///
    /// # Errors
    ///
    /// [`Error::NameTooLong`]; as [`Volume::read_directory`].
    pub fn entry(&self, directory: &Arc<Inode>, name: &[u8]) -> Result<Option<(InodeId, Kind)>> {
        self.cache.entry(directory, name)
    }

    /// The inode that a name in a directory stands for.
    ///
    /// # Errors
    ///
    /// As [`Volume::inode`]; damage is noticed with the name.
    pub fn named_inode(&self, directory: &Inode, name: &[u8], id: InodeId) -> Result<Arc<Inode>> {
        self.namespace.named_inode(directory, name, id)
    }

    /// Makes a new inode under a name.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`]; [`Error::Invalid`] or [`Error::NameTooLong`] for the name; [`Error::NotDirectory`];
    /// [`Error::NotFound`] if the directory was removed, [`Error::TooManyLinks`] if it takes no more; those of any
    /// change ([`Volume`]).
    pub fn create(&self, directory: &Arc<Inode>, name: &[u8], new: NewInode<'_>) -> Result<Arc<Inode>> {
        self.namespace.create(directory, name, new)
    }

    /// Makes a file without a name, which a link may give one.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the directory was removed; those of any change ([`Volume`]).
    pub fn create_nameless(&self, directory: &Arc<Inode>, new: NewInode<'_>) -> Result<Arc<Inode>> {
        self.namespace.create_nameless(directory, new)
    }

    /// Gives an inode one more name.
    ///
    /// # Errors
    ///
    /// [`Error::IsDirectory`], which has only one; [`Error::NotFound`] if it lost its last one; otherwise as
    /// [`Volume::create`].
    pub fn link(
        &self,
        inode: &Arc<Inode>,
        directory: &Arc<Inode>,
        name: &[u8],
        now: Timestamp,
    ) -> Result<()> {
        self.namespace.link(inode, directory, name, now)
    }

    /// Removes a name of anything but a directory. Returns the inode, which lives until it is released; `None` if it
    /// cannot be read: then only the name is gone.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::IsDirectory`]; [`Error::NotDirectory`] for the one it is to be in;
    /// [`Error::Invalid`] or [`Error::NameTooLong`] for the name; those of any change ([`Volume`]).
    pub fn unlink(&self, directory: &Arc<Inode>, name: &[u8], now: Timestamp) -> Result<Option<Arc<Inode>>> {
        self.merge.unlink(directory, name, now)
    }

    /// Removes an empty directory. Returns it, as `unlink` does. Of one that is damaged the name goes and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::NotEmpty`]; [`Error::NotDirectory`] for either; otherwise as [`Volume::unlink`].
    pub fn remove_directory(
        &self,
        directory: &Arc<Inode>,
        name: &[u8],
        now: Timestamp,
    ) -> Result<Option<Arc<Inode>>> {
        self.namespace.remove_directory(directory, name, now)
    }

    /// Moves a name; what it replaces is gone, in one step, and returned as `unlink` does. `whiteout` is made in place of
    /// the old name.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a directory that would lie in itself; [`Error::NotFound`]; what replaces a directory:
    /// [`Error::IsDirectory`], [`Error::NotEmpty`]; otherwise as [`Volume::create`].
    pub fn rename(
        &self,
        from: (&Arc<Inode>, &[u8]),
        to: (&Arc<Inode>, &[u8]),
        how: Rename,
        whiteout: Option<NewInode<'_>>,
        now: Timestamp,
    ) -> Result<Option<Arc<Inode>>> {
        self.merge.rename(from, to, how, whiteout, now)
    }

    /// Visits the entries behind a cookie in their order, until `visit` answers false. Cookies are at least 256
    /// (docs/FORMAT.md section 8).
    ///
    /// # Errors
    ///
    /// [`Error::NotDirectory`]; [`Error::Damaged`] or [`Error::NotArrived`] if any part of it cannot be read;
    /// [`Error::Store`].
    pub fn read_directory(&self, directory: &Arc<Inode>, after: u64, visit: &mut Visit<'_>) -> Result<()> {
        self.cache.read_directory(directory, after, visit)
    }

    /// Begins to read the inodes of a directory's entries behind a cookie. The caller, who wants them too, had best
    /// begin at the other end.
    ///
    /// # Errors
    ///
    /// As [`Volume::read_directory`].
    pub fn expect_entries(&self, directory: &Arc<Inode>, after: u64) -> Result<()> {
        self.cache.expect_entries(directory, after)
    }

    /// The directory that a directory lies in; the root lies in itself.
    ///
    /// # Errors
    ///
    /// As [`Volume::inode`].
    pub fn parent(&self, directory: &Arc<Inode>) -> Result<Arc<Inode>> {
        self.cache.parent(directory)
    }

    /// Nobody above knows this inode any more. Without a name it is deleted.
    pub fn release(&self, inode: Arc<Inode>) {
        self.namespace.release(inode);
    }

    /// Gives an inode this name: in place of one that no directory has, or of all that it says it has. For repairs.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`]; [`Error::NoSpace`] if the directory takes no more entries; [`Error::Invalid`] for a directory
    /// that would lie in itself; those of any change ([`Volume`]).
    pub fn adopt(
        &self,
        inode: &Arc<Inode>,
        directory: &Arc<Inode>,
        name: &[u8],
        instead_of: Option<&Link>,
        now: Timestamp,
    ) -> Result<()> {
        self.namespace.adopt(inode, directory, name, instead_of, now)
    }

    /// Takes a name out of a directory, and leaves what it leads to alone. For repairs.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::NotDirectory`]; those of any change ([`Volume`]).
    pub fn forget_entry(&self, directory: &Arc<Inode>, name: &[u8], now: Timestamp) -> Result<()> {
        self.namespace.forget_entry(directory, name, now)
    }

    /// Sets the links of an inode, and its link count to them. For repairs.
    ///
    /// # Errors
    ///
    /// Those of any change ([`Volume`]).
    pub fn correct_links(&self, inode: &Arc<Inode>, links: Vec<Link>) -> Result<()> {
        self.namespace.correct_links(inode, links)
    }

    /// Removes this device's journal and what is remembered of it, before the volume is opened: it cannot be read.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] or [`Error::ReadOnly`]; it may be gone then, but is not forgotten.
    pub fn discard_own_journal(context: &Context) -> Result<()> {
        let id = context.own_journal();
        let name = context.file_name(id);
        context.store.remove(name)?;
        context.store.sync_names(&[name])?;
        context.recall.gone(id);
        context.recall.keep();
        Ok(())
    }

    /// Changes attributes, xattrs among them.
    ///
    /// # Errors
    ///
    /// Those of `change`; [`Error::NoSpace`] if the record has no room for more; those of any change ([`Volume`]).
    pub fn update<R>(&self, inode: &Arc<Inode>, change: impl FnOnce(&mut Record) -> Result<R>) -> Result<R> {
        self.namespace.update(inode, change)
    }

    /// Changes mode, owner and times, in place: a record may be long. `change` answers whether it changed an xattr, which
    /// must not get longer.
    ///
    /// # Errors
    ///
    /// Those of any change ([`Volume`]); [`Error::NoSpace`] only where space could not be held.
    pub fn set_attributes(&self, inode: &Arc<Inode>, change: impl FnOnce(&mut Record) -> bool) -> Result<()> {
        self.namespace.set_attributes(inode, change)
    }

    /// Fills `out` from `offset`, in bytes; returns the number of bytes, fewer than wanted only at the end of the file.
    ///
    /// # Errors
    ///
    /// [`Error::IsDirectory`]; [`Error::Invalid`] for what has no content; [`Error::Damaged`] or
    /// [`Error::NotArrived`] if any of it cannot be read; [`Error::Store`]. What is in `out` then is unspecified.
    pub fn read(&self, inode: &Arc<Inode>, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.data.read(inode, offset, out)
    }

    /// Writes all of `data` at `offset`, in bytes; the file grows as needed. `clear_mode`: permission bits that are cleared by
    /// it. `now`: the new times, unless they are set otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::FileTooLarge`]; as [`Volume::read`]; those of any change ([`Volume`]). A part may be written then.
    pub fn write(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        data: &[u8],
        now: impl Into<Option<Timestamp>>,
        clear_mode: u32,
    ) -> Result<()> {
        self.merge.to_overwrite(inode, offset).write(inode, offset, data, now, clear_mode)
    }

    /// The next offset, in bytes, from `offset` on that holds data, or that lies in a hole (the end of the file is one).
    /// `None`: no more data, or beyond the end.
    ///
    /// # Errors
    ///
    /// As [`Volume::read`].
    pub fn seek(&self, inode: &Arc<Inode>, offset: u64, data: bool) -> Result<Option<u64>> {
        self.data.seek(inode, offset, data)
    }

    /// Sets the size, in bytes; what is cut off is gone, what is added reads as zeros.
    ///
    /// # Errors
    ///
    /// [`Error::FileTooLarge`]; as [`Volume::read`]; those of any change ([`Volume`]).
    pub fn resize(
        &self,
        inode: &Arc<Inode>,
        size: u64,
        now: impl Into<Option<Timestamp>>,
        clear_mode: u32,
    ) -> Result<()> {
        self.merge.to_overwrite(inode, size).resize(inode, size, now, clear_mode)
    }

    /// Makes a range of bytes read as zeros, within the size.
    ///
    /// # Errors
    ///
    /// As [`Volume::read`]; those of any change ([`Volume`]). A part may read as zeros then.
    pub fn punch(
        &self,
        inode: &Arc<Inode>,
        offset: u64,
        length: u64,
        now: impl Into<Option<Timestamp>>,
    ) -> Result<()> {
        self.merge.to_overwrite(inode, offset).punch(inode, offset, length, now)
    }

    /// The largest size a file may have, in bytes.
    pub fn size_limit(&self) -> u64 {
        self.base.geometry.size_limit()
    }

    /// Makes a file durable with its name. `data_only`: times may be lost.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`]; [`Error::Damaged`] or [`Error::NotArrived`] if something of it is lost, or gave way to
    /// another version and is not saved yet; [`Error::NoSpace`]; [`Error::Store`]. It is not durable then.
    pub fn sync(&self, inode: &Arc<Inode>, data_only: bool) -> Result<()> {
        self.writeback.sync(inode, data_only)
    }

    /// Makes a directory's entries durable, with whatever is pending of all directories, and its attributes.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`]; [`Error::Damaged`] or [`Error::NotArrived`] if its chunk files keep it from being stored;
    /// [`Error::NoSpace`]; [`Error::Store`].
    pub fn sync_directory(&self, directory: &Arc<Inode>) -> Result<()> {
        self.writeback.sync_directory(directory)
    }

    /// Makes everything durable in its place.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`]. One that passes ([`Error::is_passing`]) leaves the rest to the next checkpoint; any other
    /// stops the volume.
    pub fn checkpoint(&self) -> Result<()> {
        self.writeback.checkpoint()
    }

    /// Tells of findings from now on, and of those that were noticed while the volume was opened. `listed`: chunk files
    /// that are on the list, and whether each is right again as soon as its chunk can be opened.
    pub fn report_to(&self, reporter: Box<dyn Report>, listed: impl Iterator<Item = (FileName, bool)>) {
        self.cache.report_to(reporter, listed);
    }

    /// Tells of everything noticed so far.
    pub fn report(&self) {
        self.cache.report();
    }

    /// Visits the chunks of the object at a path, or of the whole volume, journals included. What cannot be read for
    /// another reason than that its file is missing is left out, and so is what lies below it. What is seen is durable.
    /// `known`: journals that there should be.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotDirectory`] or [`Error::NameTooLong`] of the path, or that a directory on the
    /// way cannot be read; [`Error::Store`].
    pub fn survey(&self, path: Option<&[u8]>, known: &[ChunkId], visit: &mut dyn FnMut(Sight)) -> Result<()> {
        self.check.survey(path, known, visit)
    }

    /// Seals everything of older epochs under the newest one, durably. `progress` is told how many files were looked at, and
    /// of how many; where it says false, the rest is left.
    ///
    /// # Errors
    ///
    /// Those of any change ([`Volume`]); chunks that cannot be read are in [`Remains`]. What was sealed anew stays
    /// so.
    pub fn reencrypt(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Remains> {
        self.rotation.reencrypt(progress)
    }

    /// The devices that write to a volume, as far as its journals and its root directory tell.
    ///
    /// # Errors
    ///
    /// Something could not be read for a reason of the machine's, or the root directory not at all.
    pub fn devices(context: &Arc<Context>, geometry: Geometry) -> Result<Vec<Device>> {
        let root = Chunk::open(context, ChunkId::first(InodeId::ROOT), geometry.blocks(ChunkIndex::FIRST))?;
        devices::list(context, root.version(), &context.journals()?)
    }

    /// The same of this volume.
    ///
    /// # Errors
    ///
    /// As [`Volume::devices`].
    pub fn known_devices(&self) -> Result<Vec<Device>> {
        Volume::devices(&self.base.context, self.base.geometry)
    }

    /// How it is doing.
    pub fn condition(&self) -> Condition {
        condition::of(&self.base, &self.cache, &self.journal, &self.merge)
    }

    /// Stores in chunk files what the journals of all devices say, durably.
    ///
    /// # Errors
    ///
    /// Something could not be stored.
    pub fn take_over(&self) -> Result<()> {
        self.cache.adopt_learnt();
        self.writeback.finish()
    }

    /// Deletes another device's journal, with whatever it says.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] or [`Error::ReadOnly`]; it may be deleted then, but not durably.
    pub fn discard_journal(&self, device: DeviceId) -> Result<()> {
        self.catalog.discard_journal(device)
    }

    /// Space in the backing filesystem.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store cannot tell.
    pub fn space(&self) -> Result<store::Space> {
        Ok(self.base.context.store.space()?)
    }

    /// Keeps decrypted blocks of so many bytes at most.
    pub fn keep_blocks(&self, bytes: usize) {
        self.base.context.keep_blocks(bytes);
    }

    pub fn is_read_only(&self) -> bool {
        self.base.read_only
    }
}
