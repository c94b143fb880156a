//! A store in memory that holds so many blocks: files take them as they are written, each name takes one, holes none; what
//! is held takes its own.

use crate::chunk::BLOCK;
use crate::store::FileName;
use crate::store::faulty::{Call, Event, Fault, Faulty};
use crate::store::memory::Memory;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;

/// What fills the disk. Another program may take a part of it.
#[derive(Default)]
pub struct Disk {
    /// Nothing can be held.
    pub holds_nothing: bool,
    /// Nothing is written in place.
    pub copies: bool,
    blocks: usize,
    held: usize,
    kept_back: usize,
    others: usize,
    /// A name's own block is the last one there is.
    taken: HashSet<(FileName, u64)>,
}

impl Disk {
    pub fn free(&self) -> usize {
        self.blocks.saturating_sub(self.taken.len() + self.held + self.kept_back + self.others)
    }

    /// Another program writes a file, or removes it again.
    pub fn others_take(&mut self, blocks: usize) {
        self.others = 0;
        self.others = blocks.min(self.free());
    }

    fn call(&mut self, event: &Event) -> Option<Fault> {
        let block = BLOCK as u64;
        let full = Some(Fault::Error(libc::ENOSPC));
        if event.call == Call::Hold && self.holds_nothing {
            return Some(Fault::Error(libc::EOPNOTSUPP));
        }
        if event.call == Call::Hold {
            let wanted = event.offset.div_ceil(block) as usize;
            if wanted > self.held && wanted - self.held > self.free() {
                return full;
            }
            self.held = wanted;
            return None;
        }
        if event.call == Call::KeepBack {
            let wanted = event.offset.div_ceil(block) as usize;
            if wanted > self.kept_back && wanted - self.kept_back > self.free() {
                return full;
            }
            self.kept_back = wanted;
            return None;
        }
        if event.call == Call::Write && self.copies && self.free() == 0 {
            return full;
        }
        let name = event.name?;
        let wanted = match event.call {
            Call::Write => event.offset / block..(event.offset + event.length).div_ceil(block),
            Call::Allocate => 0..event.offset.div_ceil(block),
            Call::SetLength => {
                let end = event.offset.div_ceil(block);
                self.taken.retain(|(file, at)| *file != name || *at < end || *at == u64::MAX - 1);
                return None;
            }
            Call::Create => {
                self.taken.retain(|(file, _)| *file != name);
                u64::MAX - 1..u64::MAX
            }
            Call::Remove => {
                self.taken.retain(|(file, _)| *file != name);
                return None;
            }
            _ => return None,
        };
        let more: Vec<_> = wanted.map(|at| (name, at)).filter(|place| !self.taken.contains(place)).collect();
        if more.len() > self.free() {
            return full;
        }
        self.taken.extend(more);
        None
    }
}

/// A store of so many blocks.
pub fn of_size(blocks: usize) -> (Arc<Faulty>, Arc<Mutex<Disk>>) {
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let disk = Arc::new(Mutex::new(Disk { blocks, ..Disk::default() }));
    let plan = disk.clone();
    store.fail_when(move |event| plan.lock().call(event));
    (store, disk)
}
