//! Inodes read before they are asked for, by threads of their own: a listing with attributes wants every inode of a
//! directory, and each costs an open, a read and two decryptions of its chunk 0. Of somebody who walks through a tree
//! the directories to come are read too ([`Walk`]), of somebody who reads files in their order the chunk files are
//! opened ([`Reading`]), and of somebody who looks names up in their order the inodes are loaded ([`Looking`]).
//!
//! Bounded: so many ids wait at most, and of what was read the newest are held; what nobody asked for until then is
//! forgotten again. Nothing is changed, so there is nothing to undo when it ends.

use super::Cache;
use crate::chunk::InodeId;
use crate::volume::Result;
use crate::volume::base::threads;
use crate::volume::cache::looking::Looking;
use crate::volume::cache::reading::Reading;
use crate::volume::cache::walk::Walk;
use crate::volume::format::kinds::Kind;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Ids taken from a directory at a time.
const STRETCH: usize = 256;
/// The smallest cookie: a listing from behind a smaller one has just begun.
const FIRST_COOKIE: u64 = 256;
/// Ids waiting above which no more are taken.
const ENOUGH: usize = 64;
/// Inodes held until somebody asks for them.
const HELD: usize = 1024;
/// So many threads: while one waits for the disk, others have asked it for more.
const THREADS: usize = 8;
/// An inode that takes longer to load comes from a disk.
const SLOW: Duration = Duration::from_micros(40);
static CPUS: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
/// The most that one load counts.
const COUNTED: Duration = Duration::from_micros(400);

#[derive(Default)]
pub struct Readahead {
    wanted: Mutex<Wanted>,
    woken: Condvar,
    running: AtomicBool,
    /// Somebody was on the way through a directory at the last look-up.
    is_followed: AtomicBool,
    /// To be started when there is the first thing to do: a mount that nobody lists needs none.
    due: AtomicBool,
    /// How long a load takes, on average of late; nanoseconds.
    pace: AtomicU64,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What was read, the newest at the end.
    held: Mutex<VecDeque<Arc<Inode>>>,
}

#[derive(Default)]
struct Wanted {
    waiting: VecDeque<InodeId>,
    /// The directory that was last taken from, and the cookie up to which.
    cursor: Option<(InodeId, u64)>,
    walk: Walk,
    reading: Reading,
    looking: Looking,
    /// To be opened.
    opening: VecDeque<InodeId>,
    /// Threads that wait, and those that do not, or were woken.
    idle: usize,
    awake: usize,
    end: bool,
}

/// What to read next.
enum Next {
    File(InodeId),
    Inode(InodeId),
    Directory(InodeId),
}

/// Some entries of a directory.
#[derive(Default)]
struct Stretch {
    /// Those of entries that are not in memory.
    ids: Vec<InodeId>,
    directories: Vec<InodeId>,
    files: Vec<InodeId>,
    entries: usize,
    /// The cookie of the last.
    last: u64,
}

impl Readahead {
    fn next(&self) -> Option<Next> {
        let mut wanted = self.wanted.lock();
        loop {
            if wanted.end {
                return None;
            }
            if let Some(id) = wanted.waiting.pop_front() {
                return Some(Next::Inode(id));
            }
            if let Some(id) = wanted.opening.pop_front() {
                return Some(Next::File(id));
            }
            if let Some(id) = wanted.walk.next() {
                return Some(Next::Directory(id));
            }
            wanted.idle += 1;
            wanted.awake -= 1;
            self.woken.wait(&mut wanted);
        }
    }

    fn note(&self, took: Duration) {
        let (before, took) = (self.pace.load(Ordering::Relaxed), took.min(COUNTED).as_nanos() as u64);
        self.pace.store(before - before / 16 + took / 16, Ordering::Relaxed);
    }

    /// How many threads are worth waking: where no disk is waited for, more than there are CPUs are in each other's way.
    fn useful(&self) -> usize {
        let is_slow = self.pace.load(Ordering::Relaxed) > SLOW.as_nanos() as u64;
        if is_slow { THREADS } else { THREADS.min(*CPUS) }
    }
}

impl Cache {
    /// Wakes as many threads as there is work for: a listing of what is in memory wakes none.
    fn wake_readahead(self: &Arc<Self>, mut wanted: MutexGuard<'_, Wanted>) {
        let work = wanted.opening.len() + wanted.waiting.len() + usize::from(wanted.walk.is_due());
        let count = work.min(self.readahead.useful()).saturating_sub(wanted.awake).min(wanted.idle);
        wanted.idle -= count;
        wanted.awake += count;
        drop(wanted);
        if work > 0 && self.readahead.due.swap(false, Ordering::AcqRel) {
            self.spawn_readahead();
        }
        for _ in 0..count {
            self.readahead.woken.notify_one();
        }
    }

    /// Begins to read the inodes of a directory's entries behind a cookie. The caller, who wants them too, had best
    /// begin at the other end.
    ///
    /// # Errors
    ///
    /// As [`Cache::read_directory`].
    pub fn expect_entries(self: &Arc<Self>, directory: &Arc<Inode>, after: u64) -> Result<()> {
        if !self.readahead.running.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut from = after;
        {
            let wanted = self.readahead.wanted.lock();
            if wanted.waiting.len() > ENOUGH {
                return Ok(());
            }
            let goes_on = |cursor: &(InodeId, u64)| cursor.0 == directory.id() && after >= FIRST_COOKIE;
            from = wanted.cursor.filter(goes_on).map_or(from, |(_, cookie)| from.min(cookie));
        }
        let stretch = self.stretch(directory, from)?;
        let mut wanted = self.readahead.wanted.lock();
        wanted.cursor = Some((directory.id(), stretch.last));
        if after < FIRST_COOKIE {
            wanted.walk.listed(directory.id(), &stretch.directories);
        }
        wanted.reading.listed(stretch.files);
        wanted.waiting.extend(stretch.ids);
        self.wake_readahead(wanted);
        Ok(())
    }

    /// A directory's entries behind a cookie.
    fn stretch(&self, directory: &Arc<Inode>, after: u64) -> Result<Stretch> {
        let mut stretch = Stretch { last: after, ..Stretch::default() };
        self.read_directory(directory, after, &mut |cookie, _, id, kind| {
            stretch.ids.push(id);
            match kind {
                Kind::Directory => stretch.directories.push(id),
                Kind::File => stretch.files.push(id),
                _ => {}
            }
            stretch.last = cookie;
            stretch.ids.len() < STRETCH
        })?;
        stretch.entries = stretch.ids.len();
        let inodes = self.inodes.lock();
        stretch.ids.retain(|id| !inodes.contains_key(id));
        Ok(stretch)
    }

    /// Reads a directory that is likely to be listed soon, and has its entries read.
    fn walk_ahead(self: &Arc<Self>, id: InodeId) -> Result<Arc<Inode>> {
        let directory = self.inode(id);
        let stretch = directory.as_ref().ok().and_then(|directory| self.stretch(directory, 0).ok());
        let stretch = stretch.unwrap_or_default();
        let mut wanted = self.readahead.wanted.lock();
        wanted.walk.read(id, &stretch.directories, stretch.entries);
        wanted.reading.listed(stretch.files);
        wanted.waiting.extend(stretch.ids);
        self.wake_readahead(wanted);
        directory
    }

    /// Loads the inode that a name stands for; if that takes long, because a disk has to be asked, those that are likely to be
    /// looked up next are loaded ahead.
    ///
    /// # Errors
    ///
    /// Those of `load`.
    pub fn look_ahead(
        self: &Arc<Self>,
        directory: &Inode,
        name: &[u8],
        id: InodeId,
        load: impl FnOnce() -> Result<Arc<Inode>>,
    ) -> Result<Arc<Inode>> {
        if !self.readahead.running.load(Ordering::Acquire) {
            return load();
        }
        if self.inodes.lock().contains_key(&id) {
            if self.readahead.is_followed.load(Ordering::Relaxed) {
                self.expect_neighbours(directory, name, |looking, at| looking.passed(directory.id(), at));
            }
            return load();
        }
        let start = Instant::now();
        let loaded = load();
        if start.elapsed() > SLOW {
            self.expect_neighbours(directory, name, |looking, at| Some(looking.missed(directory.id(), at)));
        }
        loaded
    }

    /// `ask` says for a position which ones are to be loaded, or that this is on nobody's way.
    fn expect_neighbours(
        self: &Arc<Self>,
        directory: &Inode,
        name: &[u8],
        ask: impl FnOnce(&mut Looking, usize) -> Option<Range<usize>>,
    ) {
        let next: Vec<InodeId> = {
            let state = directory.state.read();
            let Some(entries) = &state.entries else { return };
            let Some(position) = entries.directory.position_of(name) else { return };
            let next = ask(&mut self.readahead.wanted.lock().looking, position);
            self.readahead.is_followed.store(next.is_some(), Ordering::Relaxed);
            entries.directory.entries_at(next.unwrap_or_default()).map(|entry| entry.inode).collect()
        };
        if next.is_empty() {
            return;
        }
        let mut wanted = self.readahead.wanted.lock();
        if wanted.waiting.len() <= STRETCH {
            let inodes = self.inodes.lock();
            wanted.waiting.extend(next.into_iter().filter(|id| !inodes.contains_key(id)));
            drop(inodes);
            self.wake_readahead(wanted);
        }
    }

    /// Somebody is about to open the chunk file of a file to read it.
    pub fn expect_reading(self: &Arc<Self>, id: InodeId) {
        let mut wanted = self.readahead.wanted.lock();
        let next = wanted.reading.missed(id);
        if !next.is_empty() {
            wanted.opening.extend(next);
            self.wake_readahead(wanted);
        }
    }

    /// A file got another name: its chunk 0 is opened soon, where other devices write too. Until it is stored with that name a
    /// sync client may remove it for one of them, and only what is open can be built anew.
    pub fn expect_storing(self: &Arc<Self>, inode: &Inode) {
        let is_running = self.readahead.running.load(Ordering::Acquire) && self.has_met_others();
        if !is_running || mutants::is_active(Mutant::RenamedClosed) {
            return;
        }
        let state = inode.state.read();
        let is_at_rest = state.record.kind == Kind::File && state.first_chunk.is_none();
        drop(state);
        let mut wanted = self.readahead.wanted.lock();
        if is_at_rest && wanted.opening.len() < HELD {
            wanted.opening.push_back(inode.id());
            self.wake_readahead(wanted);
        }
    }

    /// Opens chunk 0 of a file that is likely to be read, or stored, soon. One that nobody has looked at is opened by whoever does.
    fn open_ahead(&self, id: InodeId) -> Result<Option<Arc<Inode>>> {
        let Some(inode) = self.peek(id).filter(|_| !self.is_full()) else { return Ok(None) };
        let mut state = inode.state.write();
        if state.first_chunk.is_none() {
            self.open_first_chunk(&inode, &mut state)?;
        }
        drop(state);
        Ok(Some(inode))
    }

    /// From now on what is likely to be asked for is read ahead.
    pub fn start_readahead(&self) {
        self.readahead.due.store(true, Ordering::Release);
        self.readahead.running.store(true, Ordering::Release);
    }

    fn spawn_readahead(self: &Arc<Self>) {
        let mut threads = self.readahead.threads.lock();
        let mut wanted = self.readahead.wanted.lock();
        if wanted.end {
            return;
        }
        for _ in 0..THREADS {
            let cache = Arc::downgrade(self);
            let thread = std::thread::Builder::new().name("ahead".into()).spawn(move || read_ahead(&cache));
            wanted.awake += usize::from(thread.is_ok());
            threads.extend(thread.ok());
        }
        if threads.is_empty() {
            self.readahead.running.store(false, Ordering::Release);
        }
    }

    pub fn end_readahead(&self) {
        self.readahead.running.store(false, Ordering::Release);
        self.readahead.due.store(false, Ordering::Release);
        self.readahead.wanted.lock().end = true;
        self.readahead.woken.notify_all();
        for thread in self.readahead.threads.lock().drain(..) {
            threads::join(thread, "reading ahead");
        }
        self.readahead.held.lock().clear();
    }
}

fn read_ahead(cache: &Weak<Cache>) {
    while let Some(cache) = cache.upgrade() {
        let Some(next) = cache.readahead.next() else { break };
        let start = Instant::now();
        let read = match next {
            Next::File(id) => cache.open_ahead(id),
            Next::Inode(id) => cache.inode(id).map(Some),
            Next::Directory(id) => cache.walk_ahead(id).map(Some),
        };
        cache.readahead.note(start.elapsed());
        let mut held = cache.readahead.held.lock();
        // Who asks for it is told what is wrong with it.
        held.extend(read.ok().flatten());
        let oldest = if held.len() > HELD { held.pop_front() } else { None };
        drop(held);
        oldest.inspect(|oldest| cache.forget_if_clean(oldest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_threads_as_there_are_cpus_where_no_disk_is_waited_for() {
        let readahead = Readahead::default();
        let after = |count: usize, took: Duration| {
            (0..count).for_each(|_| readahead.note(took));
            readahead.useful()
        };
        let (quick, few) = (Duration::from_micros(10), THREADS.min(*CPUS));
        assert_eq!(after(9, quick), few);
        assert_eq!(after(1, Duration::from_secs(1)), few, "one that was interrupted");
        assert_eq!(after(9, quick), few);
        assert_eq!(after(9, Duration::from_micros(150)), THREADS);
        assert_eq!(after(40, quick), few);
    }
}
