//! The pins of a store in memory.

use super::{Memory, MemoryFile, not_found};
use crate::store::image::Image;
use crate::store::{FileName, PinName, Pinned, Pins, StoreFile};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What is pinned, and for how long everything is said to have been as it is.
#[derive(Default)]
pub(super) struct MemoryPins(Mutex<BTreeMap<PinName, Arc<RwLock<Image>>>>, Mutex<Duration>);

impl Memory {
    /// Has so much time pass for all pins and copies.
    pub fn wait(&self, time: Duration) {
        *self.3.1.lock() += time;
    }

    /// As if all of them had come just now.
    pub fn be_young(&self) {
        *self.3.1.lock() = Duration::ZERO;
    }

    pub(super) fn age(&self) -> Duration {
        *self.3.1.lock()
    }

    /// As one that lost its place.
    fn keep(&self, of: FileName, image: Arc<RwLock<Image>>) -> PinName {
        let mut pins = self.3.0.lock();
        let free = (1..).map(|lost| PinName { of, lost }).find(|pin| !pins.contains_key(pin));
        let free = free.expect("there are enough numbers");
        pins.insert(free, image);
        free
    }

    fn pinned(&self, pin: PinName) -> io::Result<Arc<RwLock<Image>>> {
        self.3.0.lock().get(&pin).cloned().ok_or_else(not_found)
    }
}

impl Pins for Memory {
    fn pin(&self, name: FileName) -> io::Result<bool> {
        let image = self.0.lock().get(&name).cloned().ok_or_else(not_found)?;
        self.3.0.lock().entry(PinName { of: name, lost: 0 }).or_insert(image);
        Ok(true)
    }

    fn can_pin(&self) -> bool {
        true
    }

    fn pinned_as(&self, name: FileName) -> io::Result<Pinned> {
        let Ok(pinned) = self.pinned(PinName { of: name, lost: 0 }) else { return Ok(Pinned::Absent) };
        let is_there = self.0.lock().get(&name).is_some_and(|there| Arc::ptr_eq(there, &pinned));
        Ok(if is_there { Pinned::InPlace } else { Pinned::Displaced })
    }

    fn all_pins(&self) -> io::Result<Vec<PinName>> {
        Ok(self.3.0.lock().keys().copied().collect())
    }

    fn open_pin(&self, pin: PinName) -> io::Result<Arc<dyn StoreFile>> {
        Ok(Arc::new(MemoryFile { name: None, image: self.pinned(pin)?, store: self.clone() }))
    }

    fn unpin(&self, pin: PinName) -> io::Result<()> {
        self.3.0.lock().remove(&pin);
        Ok(())
    }

    fn lose_pin(&self, name: FileName) -> io::Result<()> {
        let pinned = self.3.0.lock().remove(&PinName { of: name, lost: 0 });
        let Some(image) = pinned else { return Ok(()) };
        let copy = image.read().clone();
        self.keep(name, Arc::new(RwLock::new(copy)));
        Ok(())
    }

    fn keep_pin(&self, name: FileName) -> io::Result<()> {
        let pinned = self.3.0.lock().remove(&PinName { of: name, lost: 0 });
        if let Some(image) = pinned {
            self.keep(name, image);
        }
        Ok(())
    }

    fn put_back(&self, pin: PinName) -> io::Result<Option<PinName>> {
        let image = self.pinned(pin)?;
        let replaced = self.0.lock().insert(pin.of, image);
        let kept = replaced.map(|replaced| self.keep(pin.of, replaced));
        self.tell(pin.of);
        self.unpin(pin).map(|()| kept)
    }

    fn age_of(&self, _: PinName) -> io::Result<Duration> {
        Ok(self.age())
    }
}
