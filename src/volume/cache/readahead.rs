//! Inodes read before they are asked for, by threads of their own: a listing with attributes wants every inode of a
//! directory, and each costs an open, a read and two decryptions of its chunk 0. Of somebody who walks through a tree
//! the directories to come are read too ([`Walk`]).
//!
//! Bounded: so many ids wait at most, and of what was read the newest are held; what nobody asked for until then is
//! forgotten again. Nothing is changed, so there is nothing to undo when it ends.

use crate::chunk::InodeId;
use crate::volume::cache::walk::Walk;
use crate::volume::format::kinds::Kind;
use crate::volume::inode::state::Inode;
use crate::volume::{Result, Volume};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

/// Ids taken from a directory at a time.
const STRETCH: usize = 256;
/// The smallest cookie: a listing from behind a smaller one has just begun.
const FIRST_COOKIE: u64 = 256;
/// Ids waiting above which no more are taken.
const ENOUGH: usize = 64;
/// Inodes held until somebody asks for them.
const HELD: usize = 1024;
/// So many threads: while one waits for the disk, others have asked it for more.
const THREADS: usize = 4;

#[derive(Default)]
pub(in crate::volume) struct Ahead {
    wish: Mutex<Wish>,
    woken: Condvar,
    running: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What was read, the newest at the end.
    held: Mutex<VecDeque<Arc<Inode>>>,
}

#[derive(Default)]
struct Wish {
    waiting: VecDeque<InodeId>,
    /// The directory that was last taken from, and the cookie up to which.
    cursor: Option<(InodeId, u64)>,
    walk: Walk,
    end: bool,
}

/// What to read next.
enum Next {
    Inode(InodeId),
    Directory(InodeId),
}

/// Some entries of a directory.
#[derive(Default)]
struct Stretch {
    /// Those of entries that are not in memory.
    ids: Vec<InodeId>,
    directories: Vec<InodeId>,
    entries: usize,
    /// The cookie of the last.
    last: u64,
}

impl Ahead {
    fn next(&self) -> Option<Next> {
        let mut wish = self.wish.lock();
        loop {
            if wish.end {
                return None;
            }
            if let Some(id) = wish.waiting.pop_front() {
                return Some(Next::Inode(id));
            }
            if let Some(id) = wish.walk.next() {
                return Some(Next::Directory(id));
            }
            self.woken.wait(&mut wish);
        }
    }

    /// Wakes as many threads as there is work for: a listing of what is in memory wakes none.
    fn wake(&self, wish: &Wish) {
        match wish.waiting.len() + usize::from(wish.walk.is_due()) {
            0 => {}
            1 => drop(self.woken.notify_one()),
            _ => drop(self.woken.notify_all()),
        }
    }
}

/// Inodes that are being read, so that nobody reads one twice at a time.
#[derive(Default)]
pub(in crate::volume) struct Loading {
    /// Whether somebody waits for it.
    ids: Mutex<HashMap<InodeId, bool>>,
    done: Condvar,
}

/// The right to read one.
pub(in crate::volume) struct Claim<'a>(&'a Loading, InodeId);

impl Loading {
    /// `None` after somebody else was done with it, well or not.
    pub fn claim(&self, id: InodeId) -> Option<Claim<'_>> {
        let mut ids = self.ids.lock();
        if let Entry::Vacant(free) = ids.entry(id) {
            free.insert(false);
            return Some(Claim(self, id));
        }
        while let Some(awaited) = ids.get_mut(&id) {
            *awaited = true;
            self.done.wait(&mut ids);
        }
        None
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let was_awaited = self.0.ids.lock().remove(&self.1) == Some(true);
        // Whoever waits for another one is not woken in vain.
        if was_awaited {
            self.0.done.notify_all();
        }
    }
}

impl Volume {
    /// Begins to read the inodes of a directory's entries behind a cookie. The caller, who wants them too, had best
    /// begin at the other end.
    pub fn expect_entries(&self, directory: &Arc<Inode>, after: u64) -> Result<()> {
        if !self.ahead.running.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut from = after;
        {
            let wish = self.ahead.wish.lock();
            if wish.waiting.len() > ENOUGH {
                return Ok(());
            }
            let goes_on = |cursor: &(InodeId, u64)| cursor.0 == directory.id() && after >= FIRST_COOKIE;
            from = wish.cursor.filter(goes_on).map_or(from, |(_, cookie)| from.max(cookie));
        }
        let stretch = self.stretch(directory, from)?;
        let mut wish = self.ahead.wish.lock();
        wish.cursor = Some((directory.id(), stretch.last));
        if after < FIRST_COOKIE {
            wish.walk.listed(directory.id(), &stretch.directories);
        }
        wish.waiting.extend(stretch.ids);
        self.ahead.wake(&wish);
        Ok(())
    }

    /// A directory's entries behind a cookie.
    fn stretch(&self, directory: &Arc<Inode>, after: u64) -> Result<Stretch> {
        let mut stretch = Stretch { last: after, ..Stretch::default() };
        self.read_directory(directory, after, &mut |cookie, _, id, kind| {
            stretch.ids.push(id);
            if kind == Kind::Directory {
                stretch.directories.push(id);
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
    fn walk_ahead(&self, id: InodeId) -> Result<Arc<Inode>> {
        let directory = self.inode(id);
        let stretch = directory.as_ref().ok().and_then(|directory| self.stretch(directory, 0).ok());
        let stretch = stretch.unwrap_or_default();
        let mut wish = self.ahead.wish.lock();
        wish.walk.read(id, &stretch.directories, stretch.entries);
        wish.waiting.extend(stretch.ids);
        self.ahead.wake(&wish);
        directory
    }

    pub(in crate::volume) fn start_ahead(self: &Arc<Volume>) {
        let mut threads = self.ahead.threads.lock();
        for _ in 0..THREADS {
            let volume = Arc::downgrade(self);
            let thread = std::thread::Builder::new().name("ahead".into()).spawn(move || read_ahead(&volume));
            threads.extend(thread.ok());
        }
        self.ahead.running.store(!threads.is_empty(), Ordering::Release);
    }

    pub(in crate::volume) fn end_ahead(&self) {
        self.ahead.running.store(false, Ordering::Release);
        self.ahead.wish.lock().end = true;
        self.ahead.woken.notify_all();
        for thread in self.ahead.threads.lock().drain(..) {
            if thread.join().is_err() {
                log::error!("reading ahead ended in a panic");
            }
        }
        self.ahead.held.lock().clear();
    }
}

fn read_ahead(volume: &Weak<Volume>) {
    while let Some(volume) = volume.upgrade() {
        let Some(next) = volume.ahead.next() else { break };
        let read = match next {
            Next::Inode(id) => volume.inode(id),
            Next::Directory(id) => volume.walk_ahead(id),
        };
        let mut held = volume.ahead.held.lock();
        // Who asks for it is told what is wrong with it.
        held.extend(read.ok());
        let oldest = if held.len() > HELD { held.pop_front() } else { None };
        drop(held);
        oldest.inspect(|oldest| volume.forget_if_clean(oldest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_an_inode_goes_on_when_it_was_read() {
        let (loading, id) = (Loading::default(), InodeId([1; 12]));
        let claim = loading.claim(id).unwrap();
        assert!(loading.claim(InodeId([2; 12])).is_some(), "another one is free");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| loading.claim(id).is_none());
            while loading.ids.lock().get(&id) != Some(&true) {
                std::thread::yield_now();
            }
            drop(claim);
            assert!(waiter.join().unwrap());
        });
        assert!(loading.claim(id).is_some(), "it may be read again");
    }
}
