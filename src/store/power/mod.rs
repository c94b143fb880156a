//! A store that forgets as a disk may when the power fails, for tests.
//!
//! # The model
//!
//! The running program sees a page cache: every call takes effect at once and in order. What the disk holds is known
//! only as far as syncs went; a power cut leaves one of the states below, each choice independent of all others.
//!
//! - **Contents.** Each 4096-byte page is as it was when last synced, or as any write since then left it: writes reach
//!   the disk in any order, or not at all. A page may be torn: each of its 512-byte sectors comes from any of these
//!   versions. No sector is ever anything else.
//! - **Length.** The length is as last synced, or as any change since then left it, in order (metadata is journalled).
//!   It is independent of the contents: a file may have grown and read as zeros where its data did not arrive, and data
//!   that arrived beyond the length is not there. A truncation that took place has zeroed what lay beyond it for good;
//!   one that did not take place has left it.
//! - **Names.** Each name stands for what it stood for when last synced, or for what any creation or removal since
//!   then made of it, in order. A new name may be missing though its file was synced; a removed one may still be there.
//!   That a fan-out folder is lost is the case in which every name in it is: a name is synced only with its folder.
//! - **Syncs.** `sync` covers the contents and the length of one file as they were when it was called, not its name.
//!   `sync_names` covers exactly the names it is given. `sync_all` covers everything.
//! - **A killed process** loses nothing, but what was not synced can still be lost to a later power cut. (One that is
//!   killed inside a write is simulated by a short write of `faulty`.)
//!
//! ext4 (ordered, delayed allocation), XFS and btrfs each allow a part of this only: fsync of a new file also commits
//! its name, fsync of a folder all names in it, and btrfs never tears. Code that survives the model survives all three.
//! Not in the model: media that lie about flushes or damage pages that were not being written.
//!
//! What always holds: a cut changes nothing in the store it is taken from; the store it gives is all durable.
//! `history` keeps one file's versions, `choose` decides which of them survive.

mod choose;
mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::image::Image;
use super::memory::{AMPLE, list_names, not_found};
use super::{Area, FileName, Space, Store, StoreFile};
pub use choose::{Choose, Cuts, Extreme, Seeded};
use history::History;

type FileRef = Arc<Mutex<History>>;

/// What one name stands for: on disk, and after each change since.
#[derive(Default)]
struct Name {
    durable: Option<FileRef>,
    pending: Vec<Option<FileRef>>,
}

impl Name {
    fn live(&self) -> Option<&FileRef> {
        self.pending.last().unwrap_or(&self.durable).as_ref()
    }

    fn sync(&mut self) {
        if let Some(newest) = self.pending.pop() {
            self.durable = newest;
            self.pending.clear();
        }
    }

    fn versions(&self) -> impl DoubleEndedIterator<Item = &Option<FileRef>> {
        std::iter::once(&self.durable).chain(&self.pending)
    }
}

type Hook = Box<dyn FnMut(FileName) + Send>;

#[derive(Default)]
struct Shared {
    names: Mutex<BTreeMap<FileName, Name>>,
    /// Mutating calls begun so far, and how many of them are allowed.
    mutations: AtomicU64,
    allowed: AtomicU64,
    off: AtomicBool,
    during_sync: Mutex<Option<Hook>>,
}

/// A [`Store`] whose power can be cut. Clones are the same store.
#[derive(Clone)]
pub struct Power(Arc<Shared>);

struct PowerFile {
    name: FileName,
    history: FileRef,
    shared: Arc<Shared>,
}

/// What every call answers once the power is off.
#[derive(Debug, thiserror::Error)]
#[error("the simulated power is off")]
pub struct PowerIsOff;

impl Power {
    /// An empty store.
    pub fn new() -> Power {
        Power::of(BTreeMap::new())
    }

    fn of(names: BTreeMap<FileName, Name>) -> Power {
        let allowed = AtomicU64::new(u64::MAX);
        Power(Arc::new(Shared { names: Mutex::new(names), allowed, ..Shared::default() }))
    }

    /// Calls so far that change the disk or make a change durable: the points at which a crash makes a difference.
    pub fn mutations(&self) -> u64 {
        self.0.mutations.load(Ordering::SeqCst)
    }

    /// Lets `count` more such calls through. The next one, and every call of any kind from then on, answers
    /// [`PowerIsOff`].
    pub fn fail_after(&self, count: u64) {
        self.0.allowed.store(self.mutations().saturating_add(count), Ordering::SeqCst);
    }

    /// Whether the point set by [`Power::fail_after`] was reached.
    pub fn is_off(&self) -> bool {
        self.0.off.load(Ordering::SeqCst)
    }

    /// Runs `hook` in the middle of every fdatasync, when it is settled what it covers and nothing of that is durable
    /// yet. The hook may use the store, cut it, or turn it off; syncs that it makes itself are not hooked.
    pub fn during_sync(&self, hook: impl FnMut(FileName) + Send + 'static) {
        *self.0.during_sync.lock() = Some(Box::new(hook));
    }

    /// What an fdatasync that fails does: part of what was not synced reached the disk and the rest never will, though
    /// reads still show it and the next fdatasync succeeds.
    pub fn lose_unsynced(&self, name: FileName, choose: &mut dyn Choose) {
        if let Some(file) = self.0.names.lock().get(&name).and_then(Name::live) {
            file.lock().lose_pending(choose);
        }
    }

    /// Of every file, as a failing syncfs does.
    pub fn lose_all_unsynced(&self, choose: &mut dyn Choose) {
        let names: Vec<FileName> = self.0.names.lock().keys().copied().collect();
        names.into_iter().for_each(|name| self.lose_unsynced(name, choose));
    }

    /// Another process puts a file in the place of whatever has the name, or removes it: durably, under the program's
    /// hands.
    pub fn exchange(&self, name: FileName, bytes: Option<&[u8]>) {
        let durable = bytes.map(|bytes| Arc::new(Mutex::new(History::of(image_of(bytes)))));
        self.0.names.lock().insert(name, Name { durable, pending: Vec::new() });
    }

    /// Another process changes a file where it is: durably, and the program keeps it open.
    pub fn overwrite(&self, name: FileName, bytes: &[u8]) {
        if let Some(file) = self.0.names.lock().get(&name).and_then(Name::live) {
            file.lock().overwrite(image_of(bytes));
        }
    }

    /// The store as the next process finds it when this one is killed: nothing lost, nothing synced.
    pub fn kill(&self) -> Power {
        let copy = |file: &FileRef| Arc::new(Mutex::new(file.lock().clone()));
        let names = self.0.names.lock();
        let copies = names.iter().map(|(name, state)| {
            let durable = state.durable.as_ref().map(copy);
            let pending = state.pending.iter().map(|file| file.as_ref().map(copy)).collect();
            (*name, Name { durable, pending })
        });
        Power::of(copies.collect())
    }

    /// The store as one possible power cut leaves it.
    pub fn cut(&self, choose: &mut dyn Choose) -> Power {
        let names = self.0.names.lock();
        let mut left = BTreeMap::new();
        for (name, state) in names.iter() {
            let version = match state.pending.len() {
                0 => 0,
                pending => choose.choose(pending + 1),
            };
            let file = state.versions().nth(version).expect("one of the versions").as_ref();
            if let Some(file) = file {
                let image = file.lock().cut(choose);
                let durable = Some(Arc::new(Mutex::new(History::of(image))));
                left.insert(*name, Name { durable, pending: Vec::new() });
            }
        }
        Power::of(left)
    }

    /// How many states a power cut can leave, of torn pages counting one each; `u128::MAX` when there are more.
    pub fn states(&self) -> u128 {
        let names = self.0.names.lock();
        let each = names.values().map(|state| {
            let file = |file: &Option<FileRef>| file.as_ref().map_or(1, |file| file.lock().states());
            state.versions().map(file).fold(0, u128::saturating_add)
        });
        each.fold(1, u128::saturating_mul)
    }

    /// The stores that a power cut can leave: all of them, or if there are more than `limit`, that many drawn from
    /// `seed`, the one where nothing arrived and the one where everything did among them.
    pub fn enumerate_cuts(&self, limit: usize, seed: u64) -> Cuts {
        Cuts::new(self.kill(), limit, seed)
    }

    /// A hash of everything that a program can read, to count distinct states by.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, state) in self.0.names.lock().iter() {
            if let Some(file) = state.live() {
                hasher.write(name.path().as_bytes());
                file.lock().hash_live(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn file(&self, name: FileName, history: &FileRef) -> Arc<dyn StoreFile> {
        Arc::new(PowerFile { name, history: Arc::clone(history), shared: Arc::clone(&self.0) })
    }
}

fn image_of(bytes: &[u8]) -> Image {
    let mut image = Image::default();
    image.write_at(0, &[IoSlice::new(bytes)]).expect("not that long");
    image
}

impl Default for Power {
    fn default() -> Power {
        Power::new()
    }
}

impl Shared {
    fn check(&self) -> io::Result<()> {
        if self.off.load(Ordering::SeqCst) { Err(io::Error::other(PowerIsOff)) } else { Ok(()) }
    }

    fn mutate(&self) -> io::Result<()> {
        self.check()?;
        if self.mutations.fetch_add(1, Ordering::SeqCst) >= self.allowed.load(Ordering::SeqCst) {
            self.off.store(true, Ordering::SeqCst);
        }
        self.check()
    }
}

impl Store for Power {
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        self.0.check()?;
        let names = self.0.names.lock();
        let file = names.get(&name).and_then(Name::live).ok_or_else(not_found)?;
        Ok(self.file(name, file))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        self.0.mutate()?;
        let file = FileRef::default();
        let mut names = self.0.names.lock();
        let state = names.entry(name).or_default();
        if state.live().is_some() {
            state.pending.push(None);
        }
        state.pending.push(Some(Arc::clone(&file)));
        Ok(self.file(name, &file))
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.0.mutate()?;
        if let Some(state) = self.0.names.lock().get_mut(&name)
            && state.live().is_some()
        {
            state.pending.push(None);
        }
        Ok(())
    }

    fn sync_names(&self, names: &[FileName]) -> io::Result<()> {
        self.0.mutate()?;
        let mut all = self.0.names.lock();
        for name in names {
            if let Some(state) = all.get_mut(name) {
                state.sync();
            }
        }
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.mutate()?;
        self.0.names.lock().retain(|_, state| {
            state.sync();
            if let Some(file) = &state.durable {
                file.lock().sync_everything();
            }
            state.durable.is_some()
        });
        Ok(())
    }

    fn list(&self, area: Area, visit: &mut dyn FnMut(&[u8], bool)) -> io::Result<()> {
        self.0.check()?;
        let names = self.0.names.lock();
        let live: Vec<FileName> =
            names.iter().filter(|(_, state)| state.live().is_some()).map(|(name, _)| *name).collect();
        drop(names);
        list_names(live.into_iter(), area, visit);
        Ok(())
    }

    fn hold(&self, _bytes: u64) -> io::Result<bool> {
        Ok(true)
    }

    fn space(&self) -> io::Result<Space> {
        self.0.check()?;
        Ok(AMPLE)
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

impl StoreFile for PowerFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.shared.check()?;
        Ok(self.history.lock().live().read_at(offset, out))
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.shared.mutate()?;
        self.history.lock().write_at(offset, parts)
    }

    fn length(&self) -> io::Result<u64> {
        self.shared.check()?;
        Ok(self.history.lock().live().length())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.shared.mutate()?;
        self.history.lock().set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.shared.mutate()?;
        let mut history = self.history.lock();
        if length > history.live().length() { history.set_length(length) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.shared.mutate()?;
        let covered = self.history.lock().newest();
        // Out of its place while it runs, so that a sync made by the hook does not call it.
        let hook = self.shared.during_sync.lock().take();
        if let Some(mut hook) = hook {
            hook(self.name);
            self.shared.during_sync.lock().get_or_insert(hook);
            self.shared.check()?;
        }
        self.history.lock().sync(covered);
        Ok(())
    }

    fn is_current(&self) -> io::Result<bool> {
        self.shared.check()?;
        let names = self.shared.names.lock();
        Ok(names.get(&self.name).and_then(Name::live).is_some_and(|file| Arc::ptr_eq(file, &self.history)))
    }
}
