//! The store in memory, for tests: as a real folder behaves while nothing goes wrong.
//!
//! What always holds: an unlinked or replaced file lives on for who has it open; a snapshot is not changed by what
//! happens after it was taken. Built on `image`; `power` is the one that knows about durability.

mod pins;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};

use super::image::Image;
use super::{Area, CopyName, Ender, FileName, Pins, Seen, Space, Store, StoreFile, Watch, placeholder_for};
use pins::MemoryPins;

/// A [`Store`] in memory. Clones share the files.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Names>>, Arc<Mutex<Copies>>, Arc<Mutex<Vec<Arc<News>>>>, Arc<MemoryPins>);

type Names = BTreeMap<FileName, Arc<RwLock<Image>>>;
/// What sync clients made.
type Copies = BTreeMap<CopyName, Arc<RwLock<Image>>>;

/// What a watcher has not been told yet.
#[derive(Default)]
struct News {
    names: Mutex<(Vec<FileName>, bool)>,
    came: Condvar,
}

struct MemoryWatch(Arc<News>);

/// The files of a [`Memory`] at one moment.
#[derive(Clone)]
pub struct Snapshot(BTreeMap<FileName, Image>);

/// A file as a sync client sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    File(FileName),
    Copy(CopyName),
}

/// A file without its name.
pub struct Aside(FileName, Option<Arc<RwLock<Image>>>);

struct MemoryFile {
    /// None: it is not looked for under its name.
    name: Option<FileName>,
    image: Arc<RwLock<Image>>,
    store: Memory,
}

impl Snapshot {
    /// What a file holds.
    pub fn bytes(&self, name: FileName) -> Option<Vec<u8>> {
        let image = self.0.get(&name)?;
        let mut bytes = vec![0; image.length() as usize];
        image.read_at(0, &mut bytes);
        Some(bytes)
    }
}

impl Memory {
    pub fn new() -> Memory {
        Memory::default()
    }

    /// The files as they are.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.0.lock().iter().map(|(name, image)| (*name, image.read().clone())).collect())
    }

    /// Puts all files back as they were, as new files: those open are replaced.
    pub fn restore(&self, snapshot: &Snapshot) {
        *self.0.lock() =
            snapshot.0.iter().map(|(name, image)| (*name, Arc::new(RwLock::new(image.clone())))).collect();
        snapshot.0.keys().for_each(|name| self.tell(*name));
    }

    /// Puts one file back as it was, or away if it was not there.
    pub fn restore_file(&self, snapshot: &Snapshot, name: FileName) {
        let mut names = self.0.lock();
        names.remove(&name);
        if let Some(image) = snapshot.0.get(&name) {
            names.insert(name, Arc::new(RwLock::new(image.clone())));
        }
        drop(names);
        self.tell(name);
    }

    /// Takes a file's name away from it, leaving a copy in its place; [`Memory::put_back`] gives it back.
    pub fn put_aside(&self, name: FileName) -> Aside {
        let mut names = self.0.lock();
        let copy = names.get(&name).map(|image| Arc::new(RwLock::new(image.read().clone())));
        Aside(name, copy.and_then(|copy| names.insert(name, copy)))
    }

    pub fn put_back(&self, aside: Aside) {
        self.0.lock().extend(aside.1.map(|image| (aside.0, image)));
    }

    /// The names of all files, in order.
    pub fn names(&self) -> Vec<FileName> {
        self.0.lock().keys().copied().collect()
    }

    /// The copies that sync clients made, in order.
    pub fn copies(&self) -> Vec<CopyName> {
        self.1.lock().keys().cloned().collect()
    }

    /// Everything that a sync client sees here.
    pub fn items(&self) -> Vec<Item> {
        let files = self.names().into_iter().map(Item::File);
        files.chain(self.copies().into_iter().map(Item::Copy)).collect()
    }

    /// What a sync client would send of it.
    pub fn take(&self, item: &Item) -> Option<Image> {
        let image = match item {
            Item::File(name) => self.0.lock().get(name).cloned(),
            Item::Copy(name) => self.1.lock().get(name).cloned(),
        };
        image.map(|image| image.read().clone())
    }

    /// Puts a file in place as a sync client does, or takes it away: as a new file.
    pub fn put(&self, item: &Item, image: Option<Image>) {
        let image = image.map(|image| Arc::new(RwLock::new(image)));
        match (item, image) {
            (Item::File(name), Some(image)) => drop(self.0.lock().insert(*name, image)),
            (Item::File(name), None) => drop(self.0.lock().remove(name)),
            (Item::Copy(name), Some(image)) => drop(self.1.lock().insert(name.clone(), image)),
            (Item::Copy(name), None) => drop(self.1.lock().remove(name)),
        }
        if let Item::File(name) = item {
            self.tell(*name);
        }
    }

    fn tell(&self, name: FileName) {
        for news in &*self.2.lock() {
            news.names.lock().0.push(name);
            news.came.notify_all();
        }
    }

    fn file(&self, name: FileName, image: Arc<RwLock<Image>>) -> Arc<dyn StoreFile> {
        Arc::new(MemoryFile { name: Some(name), image, store: self.clone() })
    }
}

impl Store for Memory {
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        let image = self.0.lock().get(&name).cloned().ok_or_else(not_found)?;
        Ok(self.file(name, image))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        let image = Arc::<RwLock<Image>>::default();
        self.0.lock().insert(name, Arc::clone(&image));
        self.tell(name);
        Ok(self.file(name, image))
    }

    fn has_placeholder(&self, name: FileName) -> bool {
        self.1.lock().keys().any(|copy| copy.of == name && placeholder_for(&copy.path).is_some())
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.0.lock().remove(&name);
        self.tell(name);
        Ok(())
    }

    fn sync_names(&self, _names: &[FileName]) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, area: Area, visit: &mut dyn FnMut(&[u8], bool)) -> io::Result<()> {
        list_names(self.names().into_iter(), area, visit);
        self.copies().iter().filter(|copy| copy.of.area == area).for_each(|copy| visit(&copy.path, true));
        Ok(())
    }

    fn open_copy(&self, name: &CopyName) -> io::Result<Arc<dyn StoreFile>> {
        let image = self.1.lock().get(name).cloned().ok_or_else(not_found)?;
        Ok(Arc::new(MemoryFile { name: None, image, store: self.clone() }))
    }

    fn age_of_copy(&self, _: &CopyName) -> io::Result<Duration> {
        Ok(self.age())
    }

    fn age_of_file(&self, _: FileName) -> io::Result<Duration> {
        Ok(self.age())
    }

    fn exchange_copy(&self, name: &CopyName) -> io::Result<()> {
        let (mut files, mut copies) = (self.0.lock(), self.1.lock());
        let file = files.get_mut(&name.of).ok_or_else(not_found)?;
        std::mem::swap(file, copies.get_mut(name).ok_or_else(not_found)?);
        drop((files, copies));
        self.tell(name.of);
        Ok(())
    }

    fn restore_copy(&self, name: &CopyName) -> io::Result<()> {
        let image = self.1.lock().get(name).cloned().ok_or_else(not_found)?;
        let mut files = self.0.lock();
        if files.contains_key(&name.of) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Nobody is told: inotify says no more of a link.
        files.insert(name.of, image);
        Ok(())
    }

    fn remove_copy(&self, name: &CopyName) -> io::Result<()> {
        self.1.lock().remove(name);
        Ok(())
    }

    fn watch(&self) -> io::Result<Option<Box<dyn Watch>>> {
        let news = Arc::<News>::default();
        self.2.lock().push(Arc::clone(&news));
        Ok(Some(Box::new(MemoryWatch(news))))
    }

    fn pins(&self) -> Option<&dyn Pins> {
        Some(self)
    }

    fn space(&self) -> io::Result<Space> {
        Ok(AMPLE)
    }

    fn hold(&self, _bytes: u64) -> io::Result<bool> {
        Ok(true)
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

impl Watch for MemoryWatch {
    fn wait(&mut self, at_most: Option<Duration>, seen: &mut Vec<Seen>) -> io::Result<()> {
        let mut names = self.0.names.lock();
        if names.0.is_empty() && !names.1 {
            match at_most {
                Some(limit) => drop(self.0.came.wait_for(&mut names, limit)),
                None => self.0.came.wait(&mut names),
            }
        }
        seen.extend(names.0.drain(..).map(Seen::File));
        Ok(())
    }

    fn ender(&self) -> Ender {
        let news = Arc::clone(&self.0);
        Box::new(move || {
            news.names.lock().1 = true;
            news.came.notify_all();
        })
    }
}

/// What a simulated store says of its space.
pub(super) const AMPLE: Space = Space {
    block_size: 4096,
    blocks: 1 << 28,
    free: 1 << 27,
    available: 1 << 27,
    inodes: 1 << 24,
    free_inodes: 1 << 23,
};

pub(super) fn not_found() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

/// Visits the names of one area as [`Store::list`] wants them.
pub(super) fn list_names(
    names: impl Iterator<Item = FileName>,
    area: Area,
    visit: &mut dyn FnMut(&[u8], bool),
) {
    for name in names.filter(|name| name.area == area) {
        let path = name.path();
        let (_, below) = path.split_once('/').expect("a path has its area first");
        visit(below.as_bytes(), true);
    }
}

impl StoreFile for MemoryFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        Ok(self.image.read().read_at(offset, out))
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.image.write().write_at(offset, parts).map(drop)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.image.read().length())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.image.write().set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut image = self.image.write();
        if length > image.length() { image.set_length(length) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_current(&self) -> io::Result<bool> {
        let is_there = |name: FileName| {
            self.store.0.lock().get(&name).is_some_and(|image| Arc::ptr_eq(image, &self.image))
        };
        Ok(self.name.is_none_or(is_there))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn conforms() {
        conformance::check(&Memory::new());
    }

    #[test]
    fn a_snapshot_stays_as_it_was_and_comes_back() {
        let store = Memory::new();
        let [changed, gone, new] = [1, 2, 3].map(|n| FileName { area: Area::Chunks, bytes: [n; 16] });
        let old = store.create(changed).unwrap();
        old.write_at(0, &[IoSlice::new(b"before")]).unwrap();
        store.create(gone).unwrap();
        let snapshot = store.snapshot();
        old.write_at(0, &[IoSlice::new(b"after!")]).unwrap();
        store.remove(gone).unwrap();
        store.create(new).unwrap();

        store.restore_file(&snapshot, changed);
        assert_eq!(store.names(), [changed, new]);
        store.restore_file(&snapshot, new);
        assert_eq!(store.names(), [changed]);
        let mut bytes = [0; 6];
        store.open(changed).unwrap().read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"before");
        assert!(!old.is_current().unwrap());

        store.restore(&snapshot);
        assert_eq!(store.names(), [changed, gone]);
    }
}
