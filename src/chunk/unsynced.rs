//! What was written to a chunk's file since an fdatasync of it last succeeded: which slots, and on a medium that may drop
//! writes that the kernel does not keep either (a network's, another FUSE filesystem), the bytes.

use super::BLOCK;
use super::entry::Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs above which those that are noted twice are looked for.
const MANY: usize = 4096;

/// Consecutive slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub slot: Slot,
    pub count: u16,
}

impl Run {
    pub fn slots(self) -> impl Iterator<Item = Slot> {
        (0..self.count).map(move |i| self.slot.after(i))
    }

    /// Slots before the one behind the last.
    pub fn end(self) -> usize {
        self.slot.index() + usize::from(self.count)
    }
}

/// Blocks as they were written.
pub(super) type Written = Vec<(Slot, Box<[u8; BLOCK]>)>;

pub(super) struct Unsynced {
    /// Written since the last fdatasync began.
    later: Noted,
    /// Covered by the one under way.
    covered: Noted,
    /// Bytes kept by all chunks; none if this one keeps none.
    total: Option<Arc<AtomicUsize>>,
}

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
struct Noted {
    runs: Vec<Run>,
    bytes: BTreeMap<Slot, Box<[u8; BLOCK]>>,
}

impl Unsynced {
    /// `total`: counts the bytes that are kept; `None`: none are.
    pub fn new(total: Option<Arc<AtomicUsize>>) -> Unsynced {
        Unsynced { later: Noted::default(), covered: Noted::default(), total }
    }

    /// Whether bytes are kept.
    pub fn keeps(&self) -> bool {
        self.total.is_some()
    }

    /// Takes note of what was written.
    pub fn wrote(&mut self, runs: &[Run], written: Written) {
        self.later.runs.extend_from_slice(runs);
        if self.later.runs.len() > MANY {
            self.later.join_runs();
        }
        let before = self.later.bytes.len();
        self.later.bytes.extend(written);
        let more = (self.later.bytes.len() - before) * BLOCK;
        if let Some(total) = &self.total {
            total.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// An fdatasync begins.
    pub fn sync_begins(&mut self) {
        let later = std::mem::take(&mut self.later);
        self.covered.absorb(later, self.total.as_deref());
    }

    /// It succeeded.
    pub fn sync_succeeded(&mut self) {
        self.covered.clear(self.total.as_deref());
    }

    /// It failed: nothing that it covered is known to be anywhere.
    pub fn sync_failed(&mut self) {
        let later = std::mem::take(&mut self.later);
        self.covered.absorb(later, self.total.as_deref());
        self.later = std::mem::take(&mut self.covered);
    }

    /// The slots.
    pub fn slots(&self) -> BTreeSet<Slot> {
        let runs = self.covered.runs.iter().chain(&self.later.runs);
        runs.flat_map(|run| run.slots()).collect()
    }

    /// The same once more, of a chunk that keeps no bytes.
    #[cfg(test)]
    pub fn fork(&self) -> Unsynced {
        assert!(!self.keeps());
        Unsynced { later: self.later.clone(), covered: self.covered.clone(), total: None }
    }

    pub fn has_bytes(&self) -> bool {
        !self.covered.bytes.is_empty() || !self.later.bytes.is_empty()
    }

    /// What was written to a slot last, if it is kept.
    pub fn get(&self, slot: Slot) -> Option<&[u8; BLOCK]> {
        self.later.bytes.get(&slot).or_else(|| self.covered.bytes.get(&slot)).map(|bytes| &**bytes)
    }
}

impl Drop for Unsynced {
    fn drop(&mut self) {
        self.covered.clear(self.total.as_deref());
        self.later.clear(self.total.as_deref());
    }
}

impl Noted {
    fn absorb(&mut self, later: Noted, total: Option<&AtomicUsize>) {
        let count = self.bytes.len() + later.bytes.len();
        self.runs.extend(later.runs);
        self.bytes.extend(later.bytes);
        forget(total, count - self.bytes.len());
        if self.runs.len() > MANY {
            self.join_runs();
        }
    }

    fn clear(&mut self, total: Option<&AtomicUsize>) {
        self.runs.clear();
        forget(total, self.bytes.len());
        self.bytes.clear();
    }

    fn join_runs(&mut self) {
        self.runs.sort_unstable_by_key(|run| run.slot);
        let mut joined: Vec<Run> = Vec::new();
        for run in std::mem::take(&mut self.runs) {
            match joined.last_mut() {
                Some(last) if run.slot.index() <= last.end() => {
                    last.count = (last.end().max(run.end()) - last.slot.index()) as u16;
                }
                _ => joined.push(run),
            }
        }
        self.runs = joined;
    }
}

fn forget(total: Option<&AtomicUsize>, blocks: usize) {
    if let Some(total) = total {
        total.fetch_sub(blocks * BLOCK, Ordering::Relaxed);
    }
}
