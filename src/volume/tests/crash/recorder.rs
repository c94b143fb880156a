//! A store over `Power` that keeps a copy of itself, and of what the device remembers, from before each call that
//! changes it: the crash points of a run.

use crate::chunk::remembered::{Remembered, Snapshot};
use crate::store::power::Power;
use crate::store::{Area, FileName, Space, Store, StoreFile};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// The store as it was just before a call, and how many operations had returned by then.
pub(crate) struct Point {
    pub store: Power,
    pub known: Snapshot,
    pub done: usize,
}

#[derive(Default)]
struct Tape {
    done: usize,
    points: Vec<Point>,
}

#[derive(Clone)]
pub(crate) struct Recorder {
    power: Power,
    pub remembered: Remembered,
    tape: Arc<Mutex<Tape>>,
}

struct RecordedFile {
    inner: Arc<dyn StoreFile>,
    recorder: Recorder,
}

impl Recorder {
    pub fn new(power: Power, known: Snapshot) -> Recorder {
        Recorder { power, remembered: Remembered::of(known), tape: Arc::default() }
    }

    /// The store beneath: what another process does to it.
    pub fn power(&self) -> Power {
        self.power.clone()
    }

    /// From now on points belong to the operation behind that many.
    pub fn set_done(&self, done: usize) {
        self.tape.lock().done = done;
    }

    /// All points, the last one being the store as it is now.
    pub fn points(&self) -> Vec<Point> {
        self.mark();
        std::mem::take(&mut self.tape.lock().points)
    }

    fn mark(&self) {
        let (store, known) = (self.power.kill(), self.remembered.snapshot());
        let mut tape = self.tape.lock();
        let done = tape.done;
        tape.points.push(Point { store, known, done });
    }

    fn file(&self, inner: Arc<dyn StoreFile>) -> Arc<dyn StoreFile> {
        Arc::new(RecordedFile { inner, recorder: self.clone() })
    }
}

impl Store for Recorder {
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        Ok(self.file(self.power.open(name)?))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        self.mark();
        Ok(self.file(self.power.create(name)?))
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.mark();
        self.power.remove(name)
    }

    fn sync_names(&self, names: &[FileName]) -> io::Result<()> {
        self.mark();
        self.power.sync_names(names)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.mark();
        self.power.sync_all()
    }

    fn list(&self, area: Area, visit: &mut dyn FnMut(&[u8], bool)) -> io::Result<()> {
        self.power.list(area, visit)
    }

    fn hold(&self, bytes: u64) -> io::Result<bool> {
        self.power.hold(bytes)
    }

    fn space(&self) -> io::Result<Space> {
        self.power.space()
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

impl StoreFile for RecordedFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.recorder.mark();
        self.inner.write_at(offset, parts)
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.recorder.mark();
        self.inner.set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.recorder.mark();
        self.inner.allocate(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.recorder.mark();
        self.inner.sync()
    }

    fn is_current(&self) -> io::Result<bool> {
        self.inner.is_current()
    }
}
