//! What other devices did arrives: chunk files come, are replaced and go while the volume is in use.
//!
//! What is in memory and has nothing to lose is forgotten and loaded again, unless it is newer by its version vector; what is
//! neither newer nor older is what the client gave the place to, and a copy of the other one is merged with it. A directory is
//! joined. Something that has changes of its own stays as it is. Whoever shows the volume is told what is another now, after
//! memory was changed and without a lock.

mod change;
mod settling;

pub use change::{Change, Changed, Observer};

use crate::chunk::{BLOCK, BlockNumber, Chunk, ChunkId, ChunkIndex, InodeId, Relation, Section};
use crate::locks::{Mutex, Rank};
use crate::store::{Area, Ender, Pinned, Seen, Watch};
use crate::volume::base::{Base, threads};
use crate::volume::cache::Cache;
use crate::volume::findings::Findings;
use crate::volume::inode::state::{Inode, State};
use crate::volume::journal::Journal;
use crate::volume::mutants::{self, Mutant};
use crate::volume::writeback::{GaveWay, Writeback};
use crate::volume::{Damage, Error, Kind, Result};
use settling::Settling;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

pub struct Arrivals {
    base: Arc<Base>,
    findings: Arc<Findings>,
    cache: Arc<Cache>,
    journal: Arc<Journal>,
    writeback: Arc<Writeback>,
    observer: OnceLock<Box<dyn Observer>>,
    has_ended: AtomicBool,
    thread: Mutex<Option<(JoinHandle<()>, Ender)>>,
}

impl Arrivals {
    pub fn new(
        base: &Arc<Base>,
        findings: &Arc<Findings>,
        cache: &Arc<Cache>,
        journal: &Arc<Journal>,
        writeback: &Arc<Writeback>,
    ) -> Arrivals {
        Arrivals {
            base: base.clone(),
            findings: findings.clone(),
            cache: cache.clone(),
            journal: journal.clone(),
            writeback: writeback.clone(),
            observer: OnceLock::new(),
            has_ended: AtomicBool::new(false),
            thread: Mutex::new(Rank::Threads, None),
        }
    }

    /// Tells of what arrives from now on. A second one would be a mistake of the caller's, and is not heard.
    pub fn observe(&self, observer: Box<dyn Observer>) {
        let _ = self.observer.set(observer);
    }

    /// Starts to watch the store, where that can be had, and has merged what there is as soon as it is watched; that ends
    /// with [`Arrivals::end`]. In a thread, for there may be hundreds of folders to be watched. What cannot be watched is seen at
    /// the next mount.
    pub fn start(self: &Arc<Arrivals>) {
        let watch = match self.base.context.store.watch() {
            Ok(Some(watch)) => watch,
            Ok(None) => return self.base.schedule.merge(),
            Err(error) => return self.is_not_watched(&error),
        };
        let (arrivals, ender) = (Arc::downgrade(self), watch.ender());
        let thread = std::thread::Builder::new().name("arrivals".into());
        match thread.spawn(move || run(&arrivals, watch)) {
            Ok(thread) => *self.thread.lock() = Some((thread, ender)),
            Err(error) => self.is_not_watched(&error),
        }
    }

    fn is_not_watched(&self, error: &std::io::Error) {
        log::warn!("what other devices change will be seen at the next mount only: {error}");
        self.base.schedule.merge();
    }

    /// From now on the store is watched. Returns what was read before, and may have been replaced since.
    pub fn begin(&self) -> Vec<Seen> {
        self.base.tell_arrivals();
        self.base.schedule.merge();
        let context = &self.base.context;
        let own = context.own_journal();
        let journals =
            context.journals().inspect_err(|error| log::warn!("journals cannot be listed: {error}"));
        let journals = journals.unwrap_or_default().into_iter().filter(|id| *id != own);
        let read = self.cache.files_in_memory().into_iter().chain(journals);
        read.map(|id| Seen::File(context.file_name(id))).collect()
    }

    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        let Some((thread, ender)) = self.thread.lock().take() else { return };
        ender();
        threads::join(thread, "watching the backing folder");
    }

    /// Takes in what became of files.
    pub fn take_in(&self, seen: &[Seen]) {
        let (mut chunks, mut has_journals, mut has_to_merge) = (BTreeSet::new(), false, false);
        for seen in seen {
            let name = match seen {
                Seen::File(name) => name,
                Seen::Copy(copy) => {
                    // Not the name that a file had while it was on its way.
                    has_to_merge |= self.base.context.store.open_copy(copy).is_ok();
                    continue;
                }
            };
            match self.base.context.identify(*name) {
                Some(id) if name.area == Area::Journals => {
                    has_journals |= id != self.base.context.own_journal()
                }
                Some(id) => {
                    has_to_merge |= id.index.is_first() && self.base.context.recall.tombstone(id).is_some();
                    let pins = self.base.context.store.pins();
                    has_to_merge |= pins.is_some_and(|pins| {
                        pins.pinned_as(*name).is_ok_and(|pinned| pinned == Pinned::Displaced)
                    });
                    chunks.insert(id);
                }
                None => {}
            }
        }
        has_to_merge |= !chunks.is_empty() && self.base.schedule.has_copies();
        let mut changes = Vec::new();
        let (mut is_loaded, mut unread) = (false, None);
        for id in chunks {
            let is_mended = self.findings.is_noticed(id) && self.is_whole(id);
            match self.look_at(id, is_mended) {
                Ok(Some(found)) => {
                    is_loaded = true;
                    changes.extend(found);
                }
                Ok(None) => {}
                Err(error) => unread = Some(error),
            }
        }
        // Once: where the folder is away none of it can be read.
        if let Some(error) = unread {
            log::warn!("what arrived cannot be read yet: {error}");
        }
        // What another device's journal adds to what was loaded.
        if (has_journals || is_loaded)
            && let Err(error) = self.apply_journals()
        {
            log::warn!("the journals of other devices cannot be read now: {error}");
        }
        self.tell(changes);
        if has_to_merge {
            self.base.schedule.merge();
        }
    }

    /// Does [`Arrivals::tell`], as long as there is somebody.
    pub fn teller(self: &Arc<Arrivals>) -> impl Fn() + Send + 'static {
        let arrivals = Arc::downgrade(self);
        move || arrivals.upgrade().into_iter().for_each(|arrivals| arrivals.tell(Vec::new()))
    }

    /// Tells whoever shows the volume what became another without him, and these changes.
    pub fn tell(&self, mut changes: Vec<Change>) {
        let untold = self.base.take_untold();
        for &inode in &untold {
            // Merging may have put a file where nothing was.
            match self.look_at(ChunkId::first(inode), false) {
                Ok(Some(_)) if self.base.schedule.has_copies() => self.base.schedule.merge(),
                Ok(_) => {}
                Err(error) => log::debug!("{inode:?} cannot be read now: {error}"),
            }
        }
        let untold: Vec<_> = untold.into_iter().filter_map(|id| self.cache.peek(id)).collect();
        for inode in &untold {
            let mut state = inode.state.write();
            changes.extend(change::changes(inode.id(), &state));
            state.is_told();
        }
        for change in &changes {
            if let Changed::Names(names) = &change.what {
                for id in names.iter().filter_map(|(_, went)| *went) {
                    self.findings.heal_inode(id);
                    self.cache.peek(id).into_iter().for_each(|file| self.cache.doubt(id, &file.state.read()));
                }
                self.doubt_absent(change.inode, names);
            }
        }
        if let Some(observer) = self.observer.get().filter(|_| !changes.is_empty()) {
            observer.changed(&changes);
        }
        for inode in untold {
            let mut state = inode.state.write();
            // What was deleted before it was told goes as it was shown.
            if state.record.links_count > 0 {
                state.was_told();
            }
        }
    }

    /// Of names that came to a directory, and lead to what was deleted here: another device gave them without knowing of that.
    fn doubt_absent(&self, directory: InodeId, names: &[(Box<[u8]>, Option<InodeId>)]) {
        let Some(inode) = self.cache.peek(directory) else { return };
        let came: Vec<InodeId> = {
            let state = inode.state.read();
            let Some(entries) = &state.entries else { return };
            let came = names.iter().filter(|(_, went)| went.is_none());
            came.filter_map(|(name, _)| Some(entries.directory.get(name)?.inode)).collect()
        };
        let recall = &self.base.context.recall;
        let is_absent = |id: &InodeId| self.cache.peek(*id).is_none();
        let is_deleted = |id: &InodeId| recall.tombstone(ChunkId::first(*id)).is_some();
        let absent = came.into_iter().filter(|id| is_absent(id) && is_deleted(id));
        absent.for_each(|id| self.base.note_doubted(id, Some(directory)));
    }

    /// Takes in a chunk file. Returns what is to be told beyond what its inode became; `None` if nothing was taken in.
    /// `is_mended`: it could not be read before.
    fn look_at(&self, id: ChunkId, is_mended: bool) -> Result<Option<Vec<Change>>> {
        if is_mended {
            self.findings.heal_gone(id);
        }
        let Some(inode) = self.cache.peek(id.inode) else {
            let came = Change { inode: id.inode, what: Changed::Content(Vec::new()) };
            return Ok(is_mended.then(|| vec![came]));
        };
        let taken = self.reload(&inode, id.index);
        self.cache.all_opened(&inode);
        match taken {
            // It is gone, or not whole yet: what is in memory can be used until the rest is here.
            // That may be a version of the file which lost its place to this one.
            Err(Error::Damaged(_, Damage::RolledBack { .. })) if !id.index.is_first() => {
                self.base.schedule.merge();
                Ok(None)
            }
            Err(error @ Error::Damaged(_, Damage::RolledBack { .. })) => {
                let _ = self.cache.notice_in::<()>(&inode, Err(error));
                Ok(None)
            }
            Err(Error::NotArrived(_) | Error::Damaged(..)) => Ok(None),
            // Memory has something that is not in what arrived.
            Ok(None) if id.index.is_first() && inode.is_directory() => {
                Ok(self.writeback.join_arrived(&inode)?.then(Vec::new))
            }
            Ok(None) if id.index.is_first() => {
                Ok((self.writeback.give_way(&inode)? != GaveWay::Not).then(Vec::new))
            }
            taken => taken,
        }
    }

    /// Whether every block of a chunk can be read.
    fn is_whole(&self, id: ChunkId) -> bool {
        let read = || -> std::result::Result<(), crate::chunk::Error> {
            let chunk = Chunk::open(&self.base.context, id, self.base.geometry.blocks(id.index))?;
            for section in [Section::Data, Section::Metadata] {
                let mut at = BlockNumber::FIRST;
                while let Some(number) = chunk.next_present(section, at)? {
                    chunk.read(section, number, &mut [0; BLOCK])?;
                    at = number.next();
                }
            }
            Ok(())
        };
        read().is_ok()
    }

    /// Loads an inode again whose chunk `index` was perhaps replaced, if what is there is newer and memory has nothing to
    /// lose.
    fn reload(&self, inode: &Arc<Inode>, index: ChunkIndex) -> Result<Option<Vec<Change>>> {
        let _serial = inode.serial.lock();
        // An operation that changes names counts on directories that it loaded.
        let _names = self.journal.names();
        let mut state = inode.state.write();
        if state.is_going() {
            return Ok(None);
        }
        if !index.is_first() && state.record.kind != Kind::Directory {
            return self.reload_extra(inode, &mut state, index);
        }
        let is_open = state.first_chunk.as_deref();
        if index.is_first()
            && is_open.is_some_and(|chunk| chunk.has_file() && chunk.is_current().unwrap_or(true))
        {
            // It was opened since.
            return Ok(state.shown().map(|_| Vec::new()));
        }
        let loaded = self.cache.load_anew(inode, state.entries.is_some())?;
        let is_taken = match loaded.version().compare(state.version()) {
            Relation::Newer => true,
            Relation::Equal => state.lost.is_some() || is_open.is_some(),
            // What this device had is in a copy of the client's, or pinned.
            Relation::Concurrent if state.record.kind != Kind::Directory => true,
            Relation::Older | Relation::Concurrent => mutants::is_active(Mutant::ArrivedUnseen),
        };
        let is_held_back = state.lost.is_some() && self.writeback.is_displaced(inode.id());
        if !is_taken || is_held_back || !state.is_forgettable() && !mutants::is_active(Mutant::DirtyReplaced)
        {
            return Ok(None);
        }
        self.base.note_other_names(inode.id(), state.names_beside(&loaded, false));
        let replaced = self.writeback.take_replaced(&mut state, &loaded);
        self.cache.put_loaded(inode, &mut state, loaded);
        replaced.into_iter().for_each(|own| self.writeback.keep_replaced(inode.id(), own));
        Ok(Some(Vec::new()))
    }

    /// The same of a file's further chunk: which version of it belongs to the file, chunk 0 says.
    fn reload_extra(
        &self,
        inode: &Arc<Inode>,
        state: &mut State,
        index: ChunkIndex,
    ) -> Result<Option<Vec<Change>>> {
        let is_replaced = match state.extra_chunks.get(index) {
            Some(chunk) if chunk.is_dirty() || chunk.is_current().unwrap_or(true) => return Ok(None),
            Some(_) => true,
            None => false,
        };
        self.cache.open_first_chunk(inode, state)?;
        state.load_table(index)?;
        let Some(named) = state.table.stamp(index) else { return Ok(None) };
        let id = ChunkId { inode: inode.id(), index };
        let (chunk, _) = self.cache.open_extra(id, named, &state.record)?;
        if is_replaced {
            state.close(index);
            self.cache.closed(id);
            self.findings.heal_loaded(id);
        }
        state.hold(index, chunk);
        let links = state.record.extension.links.clone();
        Ok(Some(vec![Change { inode: inode.id(), what: Changed::Content(links) }]))
    }

    /// Applies what the journals of other devices say now.
    fn apply_journals(&self) -> Result<()> {
        self.journal.apply_others(&mut |id: InodeId| {
            if let Some(inode) = self.cache.peek(id) {
                inode.state.write().note_shown();
                self.base.note_untold(id);
            }
        })
    }
}

fn run(arrivals: &Weak<Arrivals>, mut watch: Box<dyn Watch>) {
    let (mut settling, mut seen) = (Settling::default(), Vec::new());
    let begun = watch.begin();
    match (arrivals.upgrade(), begun) {
        (None, _) => return,
        (Some(arrivals), Err(error)) => return arrivals.is_not_watched(&error),
        (Some(arrivals), Ok(())) => {
            let now = Instant::now();
            arrivals.begin().into_iter().for_each(|seen| settling.note(seen, now));
        }
    }
    loop {
        let wait = settling.next().map(|at| at.saturating_duration_since(Instant::now()));
        if let Err(error) = watch.wait(wait, &mut seen) {
            log::error!("what other devices change is not seen any more before the next mount: {error}");
            return;
        }
        let Some(arrivals) =
            arrivals.upgrade().filter(|arrivals| !arrivals.has_ended.load(Ordering::Acquire))
        else {
            return;
        };
        let now = Instant::now();
        seen.drain(..).for_each(|seen| settling.note(seen, now));
        let due = settling.take_due(now);
        if !due.is_empty() {
            arrivals.take_in(&due);
        }
    }
}
