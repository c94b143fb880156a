//! One file on a disk that remembers, for each slot, what is durable and what was written since: the smallest thing
//! that a power cut can happen to. Copies are cheap.
//!
//! What a block holds has an id: 0 is zeros, 1 is what a torn write leaves, others are given when they are written.

use crate::store::{Area, FileName, Space, Store, StoreFile};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::sync::Arc;

pub type Page = [u8; 4096];
pub type BlockId = u64;

pub const TORN: BlockId = 1;

#[derive(Clone)]
pub struct Block {
    pub id: BlockId,
    pub bytes: Arc<Page>,
}

/// The versions of a slot: the durable one, and those written since, the last being what is read.
#[derive(Clone)]
pub struct Slot {
    pub versions: Vec<Block>,
    /// An fdatasync failed: the versions since the durable one may never arrive, and no later one changes that. Reads show
    /// the last.
    pub is_stuck: bool,
}

/// What the next write of a root does, other than well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// All of it is written, and an error is returned.
    Written,
    /// It is torn, and an error is returned.
    Torn,
}

#[derive(Clone)]
pub struct Disk {
    pub slots: Vec<Slot>,
    pub written: BlockId,
    /// While an fdatasync is under way: how many versions of each slot it makes durable, those before it began.
    pub syncing: Option<Vec<usize>>,
    pub fail_root: Option<Failure>,
    /// A slot that cannot be read.
    pub unreadable: Option<usize>,
}

/// The store over one disk. `None` while no disk is put in.
#[derive(Clone)]
pub struct Drive(pub Arc<Mutex<Disk>>);

impl Slot {
    pub fn live(&self) -> &Block {
        self.versions.last().expect("there is a durable version")
    }
}

impl Disk {
    pub fn new(slots: usize) -> Disk {
        let zeros = Slot { versions: vec![Block { id: 0, bytes: Arc::new([0; 4096]) }], is_stuck: false };
        Disk { slots: vec![zeros; slots], written: TORN, syncing: None, fail_root: None, unreadable: None }
    }

    pub fn begin_sync(&mut self) {
        self.syncing = Some(self.slots.iter().map(|slot| slot.versions.len()).collect());
    }

    /// The fdatasync that was begun has ended: no more than what was written before it is durable.
    pub fn end_sync(&mut self) {
        for (slot, count) in self.slots.iter_mut().zip(self.syncing.take().into_iter().flatten()) {
            if !slot.is_stuck {
                slot.versions.drain(..count - 1);
            }
        }
    }

    /// It has failed.
    pub fn fail_sync(&mut self) {
        for (slot, count) in self.slots.iter_mut().zip(self.syncing.take().into_iter().flatten()) {
            slot.is_stuck |= count > 1 && slot.versions.len() == count;
        }
    }

    /// A whole fdatasync, perhaps within another.
    fn sync(&mut self) {
        let outer = self.syncing.take().map(|counts| vec![1; counts.len()]);
        self.begin_sync();
        self.end_sync();
        self.syncing = outer;
    }

    pub fn torn() -> Block {
        Block { id: TORN, bytes: Arc::new([0x5a; 4096]) }
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()> {
        let failure = self.fail_root.filter(|_| slot < 2);
        self.written += 1;
        let block = Block { id: self.written, bytes: Arc::new(bytes.try_into().expect("whole blocks")) };
        let block = if failure == Some(Failure::Torn) { Disk::torn() } else { block };
        let slot = &mut self.slots[slot];
        slot.is_stuck = false;
        // The same bytes once more leave the same choices.
        if slot.live().bytes != block.bytes {
            slot.versions.push(block);
        }
        if failure.is_some() { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }
}

impl Store for Drive {
    fn open(&self, _: FileName) -> io::Result<Arc<dyn StoreFile>> {
        Ok(Arc::new(self.clone()))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        self.open(name)
    }

    fn remove(&self, _: FileName) -> io::Result<()> {
        Ok(())
    }

    fn sync_names(&self, _: &[FileName]) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _: Area, _: &mut dyn FnMut(&[u8], bool)) -> io::Result<()> {
        Ok(())
    }

    fn hold(&self, _bytes: u64) -> io::Result<bool> {
        Ok(false)
    }

    fn space(&self) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn is_read_only(&self) -> bool {
        false
    }
}

impl StoreFile for Drive {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let disk = self.0.lock();
        for (slot, out) in (offset as usize / 4096..).zip(out.chunks_exact_mut(4096)) {
            if disk.unreadable == Some(slot) {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            out.copy_from_slice(&*disk.slots[slot].live().bytes);
        }
        Ok(out.len())
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let [part] = parts else { panic!("chunks write one part at a time") };
        let slots = (offset as usize / 4096..).zip(part.chunks_exact(4096));
        slots.into_iter().try_for_each(|(slot, bytes)| self.0.lock().write(slot, bytes))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().slots.len() as u64 * 4096)
    }

    fn set_length(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.lock().sync();
        Ok(())
    }

    fn is_current(&self) -> io::Result<bool> {
        Ok(true)
    }
}
