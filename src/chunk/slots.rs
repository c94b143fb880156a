//! Which slots are free (docs/FORMAT.md section 6.3, rules 1 and 3).
//!
//! A slot is *fresh* from the moment it is taken until a root names it; it is free again as soon as it is dropped.
//! A *named* slot that is dropped waits until the commit that drops it, or a later one, is durable.

use super::BlockCount;
use super::entry::Slot;
use super::mutants::{self, Mutant};
use super::unsynced::Run;
use std::collections::VecDeque;

/// Slots that a file may have.
const MOST: usize = 1 << 16;
/// Slots that a chunk may have beyond twice its blocks, so that small ones need not sync early.
const SPARE: usize = 64;
/// Slots of the two roots.
const ROOTS: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Fresh,
    Named,
}

/// What a slot is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Content: the file stays below about twice its blocks.
    Content,
    /// The same, but it was acknowledged before: what is held for the chunk is for it too.
    Acknowledged,
    /// A map block: a commit is what frees slots, so it may go beyond that.
    Map,
}

/// The slots of one file.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Slots {
    /// By slot; the two roots are named. As long as the file is, or will be.
    pub(super) state: Vec<State>,
    /// Every fresh one, and perhaps some that are not any more.
    pub(super) fresh: Vec<Slot>,
    /// Free ones, in the order in which they are to be used again.
    pub(super) free: VecDeque<Slot>,
    /// Named ones that no block uses any more, but the newest written root still does.
    pub(super) dropped: Vec<Slot>,
    /// Named ones that the newest written root does not use any more; free once it is durable.
    pub(super) waiting: Vec<Slot>,
    /// Where the search for a run begins, so that runs too are reused oldest first.
    cursor: usize,
    /// Data blocks that the chunk may have.
    blocks: usize,
    /// Slots that are kept for the file in any case.
    floor: usize,
    /// Slots that the file may have in any case.
    most: usize,
}

#[cfg(not(test))]
const fn most() -> usize {
    MOST
}

#[cfg(test)]
pub(super) use limited::limit;
#[cfg(test)]
use limited::most;

impl Slots {
    /// A file of `length` slots in which `named` are in use; `None` if one is named twice.
    pub fn new(blocks: BlockCount, length: u64, named: impl Iterator<Item = Slot>) -> Option<Slots> {
        let length = length.clamp(2, MOST as u64) as usize;
        let mut state = vec![State::Free; length];
        state[..2].fill(State::Named);
        for slot in named {
            let slot = slot.index();
            if state.len() <= slot {
                state.resize(slot + 1, State::Free);
            }
            if std::mem::replace(&mut state[slot], State::Named) == State::Named {
                return None;
            }
        }
        let free = (ROOTS..state.len()).filter(|&slot| state[slot] == State::Free).map(slot_at).collect();
        let (dropped, waiting) = (Vec::new(), Vec::new());
        Some(Slots {
            state,
            fresh: Vec::new(),
            free,
            dropped,
            waiting,
            cursor: ROOTS,
            blocks: blocks.0.into(),
            floor: ROOTS,
            most: most(),
        })
    }

    /// Takes `count` slots in as few runs as can be; `None` (and nothing taken) if there are not enough.
    pub fn take(&mut self, count: usize, purpose: Purpose) -> Option<Vec<Run>> {
        let bound = match purpose {
            Purpose::Content | Purpose::Acknowledged => self.blocks + 2 * (self.live() + count) + SPARE,
            Purpose::Map => self.most,
        };
        let room = bound.min(self.most).saturating_sub(self.state.len());
        if count > self.free.len() + room {
            return None;
        }
        if count == 1 {
            let slot = self.free.pop_front().unwrap_or(self.end());
            return Some(vec![self.occupy(slot, 1)]);
        }
        if let Some(slot) = self.find(count) {
            self.cursor = slot + count;
            return Some(vec![self.take_free(slot, count)]);
        }
        if count <= room {
            return Some(vec![self.occupy(self.end(), count)]);
        }
        Some(self.take_pieces(count))
    }

    /// The lowest free slot, if it lies below `below`.
    pub fn take_below(&mut self, below: usize) -> Option<Slot> {
        let slot = (2..below.min(self.state.len())).find(|&slot| self.state[slot] == State::Free)?;
        Some(self.take_free(slot, 1).slot)
    }

    /// Takes note that no block uses this slot any more.
    pub fn release(&mut self, slot: Slot) {
        if self.state[slot.index()] == State::Fresh || mutants::is_active(Mutant::ReuseLiveSlot) {
            self.state[slot.index()] = State::Free;
            self.free.push_front(slot);
        } else {
            self.dropped.push(slot);
        }
    }

    /// A root that names all slots in use was written, or perhaps written.
    pub fn named(&mut self) {
        for slot in self.fresh.drain(..) {
            if let Some(state) = self.state.get_mut(slot.index()).filter(|state| **state == State::Fresh) {
                *state = State::Named;
            }
        }
    }

    /// A root was written for certain, and it does not name those that were dropped.
    pub fn committed(&mut self) {
        self.named();
        self.waiting.append(&mut self.dropped);
        if mutants::is_active(Mutant::FreeAtCommit) {
            self.durable();
        }
    }

    /// The newest written root is durable.
    pub fn durable(&mut self) {
        for slot in self.waiting.drain(..) {
            self.state[slot.index()] = State::Free;
            self.free.push_back(slot);
        }
    }

    /// Slots that blocks use.
    pub fn live(&self) -> usize {
        self.state.len() - 2 - self.free.len() - self.dropped.len() - self.waiting.len()
    }

    /// The slot behind the last.
    fn end(&self) -> Slot {
        slot_at(self.state.len())
    }

    /// Length of the file in slots.
    pub fn length(&self) -> usize {
        self.state.len()
    }

    /// Length of the file in slots once `count` more are taken.
    pub fn length_with(&self, count: usize) -> usize {
        self.state.len() + count.saturating_sub(self.free.len())
    }

    /// Length of the file in slots if the free ones at its end were given back.
    pub fn needed(&self) -> usize {
        let used = self.state.iter().rposition(|&state| state != State::Free);
        used.map_or(0, |last| last + 1).max(self.floor)
    }

    /// Forgets the free slots at the end.
    pub fn truncate(&mut self) {
        self.state.truncate(self.needed());
        let length = self.state.len();
        self.free.retain(|&slot| slot.index() < length);
    }

    /// Keeps the file at least `length` slots long from now on.
    pub fn keep(&mut self, length: usize) {
        self.floor = self.floor.max(length);
        self.lengthen(length);
    }

    /// The file is `length` slots long, if it was not longer.
    pub fn lengthen(&mut self, length: usize) {
        while self.state.len() < length {
            self.free.push_back(self.end());
            self.state.push(State::Free);
        }
    }

    /// Ends that.
    pub fn keep_no_more(&mut self) {
        self.floor = ROOTS;
    }

    /// Whether more than is needed is kept.
    pub fn is_kept(&self) -> bool {
        self.floor > ROOTS
    }

    /// Uses low slots first from now on, to be able to give back high ones.
    pub fn prefer_low(&mut self) {
        self.free.make_contiguous().sort_unstable();
    }

    /// The first of `count` free slots in a row.
    fn find(&self, count: usize) -> Option<usize> {
        let search = |slots: std::ops::Range<usize>| {
            let mut length = 0;
            for slot in slots {
                length = if self.state[slot] == State::Free { length + 1 } else { 0 };
                if length == count {
                    return Some(slot + 1 - count);
                }
            }
            None
        };
        if self.free.len() < count {
            return None;
        }
        search(self.cursor..self.state.len()).or_else(|| search(2..self.state.len()))
    }

    fn take_pieces(&mut self, count: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for _ in 0..count {
            let slot = self.free.pop_front().unwrap_or(self.end());
            let run = self.occupy(slot, 1);
            match runs.last_mut() {
                Some(last) if last.end() == slot.index() => last.count += 1,
                _ => runs.push(run),
            }
        }
        runs
    }

    fn take_free(&mut self, slot: usize, count: usize) -> Run {
        let run = self.occupy(slot_at(slot), count);
        self.free.retain(|&slot| self.state[slot.index()] == State::Free);
        run
    }

    fn occupy(&mut self, slot: Slot, count: usize) -> Run {
        let (first, end) = (slot.index(), slot.index() + count);
        if self.state.len() < end {
            self.state.resize(end, State::Free);
        }
        self.state[first..end].fill(State::Fresh);
        // Slots that are taken and let go of in turn stand there again and again.
        if self.fresh.len() > 2 * self.state.len() {
            self.fresh.sort_unstable();
            self.fresh.dedup();
        }
        let run = Run { slot, count: count as u16 };
        self.fresh.extend(run.slots());
        run
    }
}

/// The slot with so many before it; there are no more than [`MOST`].
fn slot_at(index: usize) -> Slot {
    Slot(index as u16)
}

#[cfg(test)]
mod limited {
    use super::MOST;
    use std::cell::Cell;

    thread_local!(static LIMIT: Cell<usize> = const { Cell::new(MOST) });

    pub(super) fn most() -> usize {
        LIMIT.get()
    }

    /// Lets the files of this thread's chunks have at most so many slots from now on.
    pub(in super::super) fn limit(slots: usize) {
        LIMIT.set(slots);
    }
}
