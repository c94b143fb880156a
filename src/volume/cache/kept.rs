//! Attributes that this device keeps beside what else it knows of a volume, so that a first look at a file costs one
//! statx(2) in place of an open, a read and two decryptions: they count as long as the chunk file's number, length and times
//! are what they were.
//!
//! Only what chunk 0 says durably is kept, and only if its file has not changed for so long that the next change would show
//! in its times. Nothing is kept of filesystems whose times are somebody else's affair ([`crate::store::Store::marks`]).

use super::Cache;
use super::kept_form::Kept;
use crate::chunk::Marks;
use crate::chunk::{ChunkId, InodeId};
use crate::volume::format::kinds::Kind;
use crate::volume::inode::state::{Inode, State};
use crate::volume::inode::table::ChunkTable;
use crate::volume::mutants::{self, Mutant};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than the step of any clock by which a kernel notes times of files that are not whole seconds.
const STEP: Duration = Duration::from_millis(50);
/// Bytes of a record's extension that are kept at most.
const EXTENSION: usize = 4096;
/// Inodes that are written down together.
const TOGETHER: usize = 4096;

impl Cache {
    /// From now on what is kept counts. Not before the journals were replayed.
    pub fn use_kept(&self) {
        self.uses_kept.store(true, Ordering::Release);
    }

    /// An inode as chunk 0 has it, as far as this device knows that without reading it.
    pub(super) fn kept(&self, id: InodeId) -> Option<State> {
        if !self.uses_kept.load(Ordering::Acquire) {
            return None;
        }
        let context = &self.base.context;
        let kept = context.open_kept(id, context.recall.attributes(id)?)?;
        let Kept { marks, version, is_alone, record } = Kept::decode(&kept).ok()?;
        let is_same = self.marks(id)? == marks || mutants::is_active(Mutant::MarksIgnored);
        if !is_same || self.check_not_withheld(id).is_err() {
            return None;
        }
        version.0.iter().for_each(|entry| context.saw(entry.1));
        let table = if is_alone { ChunkTable::empty() } else { ChunkTable::unread() };
        Some(State::known(record, version, table, Some(marks)))
    }

    fn marks(&self, id: InodeId) -> Option<Marks> {
        let name = self.base.context.file_name(ChunkId::first(id));
        self.base.context.store.marks(name).ok()?
    }

    /// Keeps the attributes of all inodes in memory. At the end of a mount, once all is durable and nothing writes any more.
    pub fn keep_attributes(&self) {
        if !self.uses_kept.load(Ordering::Acquire) || !self.base.context.recall.keeps_attributes() {
            return;
        }
        let settled = Instant::now() + STEP + Duration::from_millis(1);
        let inodes: Vec<Arc<Inode>> = self.inodes.lock().values().cloned().collect();
        let wanted = inodes.into_iter().filter(|inode| is_to_be_kept(&inode.state.read()));
        let (mut batch, mut fresh) = (Vec::new(), Vec::new());
        for inode in wanted {
            if !self.seal(&inode, &mut batch) {
                fresh.push(inode);
            }
        }
        if !fresh.is_empty() {
            std::thread::sleep(settled.saturating_duration_since(Instant::now()));
            for inode in fresh {
                self.seal(&inode, &mut batch);
            }
        }
        self.base.context.recall.keep_attributes(&std::mem::take(&mut batch));
    }

    /// Seals what is to be kept of an inode, unless another file took the place of the one that it was read from. False: its
    /// file has changed just now.
    fn seal(&self, inode: &Inode, batch: &mut Vec<(InodeId, Vec<u8>)>) -> bool {
        let now = SystemTime::now();
        let state = inode.state.read();
        let Some(marks) = self.marks(inode.id()).filter(|marks| state.marks().as_ref() == Some(marks)) else {
            return true;
        };
        if !is_past(&marks, now) {
            return false;
        }
        let kept = Kept::encode(&marks, state.version(), state.table.is_empty(), &state.record);
        if let Ok(kept) = kept {
            batch.push((inode.id(), self.base.context.seal_kept(inode.id(), kept)));
        }
        if batch.len() >= TOGETHER {
            self.base.context.recall.keep_attributes(&std::mem::take(batch));
        }
        true
    }
}

/// Whether chunk 0 says all that memory has, and more than is kept already.
fn is_to_be_kept(state: &State) -> bool {
    let is_known = state.is_kept && state.progress.made == 0;
    let is_stored = !state.is_dirty() && state.named && state.lost.is_none() && !state.lacks_own;
    let is_stored = is_stored && (state.record.is_exact || state.record.kind != Kind::File);
    let is_small = state.record.extension_length() <= EXTENSION;
    !is_known && is_stored && is_small && state.record.links_count > 0 && !state.version().0.is_empty()
}

/// Whether the next change of the file would give it other times.
fn is_past(marks: &Marks, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let is_past = |(seconds, nanoseconds): (i64, u32)| {
        let at = Duration::new(u64::try_from(seconds).unwrap_or_default(), nanoseconds);
        at + STEP < now
    };
    let is_fine = marks.changed.1 != 0 && marks.modified.1 != 0;
    is_fine && is_past(marks.changed) && is_past(marks.modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_again_within_a_step_of_the_clock_is_not_past() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let past = |changed, modified| is_past(&Marks { inode: 1, length: 1, changed, modified }, now);
        assert!(past((999, 900_000_000), (900, 1)));
        assert!(!past((999, 980_000_000), (900, 1)));
        assert!(!past((900, 1), (999, 980_000_000)));
        assert!(!past((1001, 1), (900, 1)), "from the future");
        assert!(!past((900, 0), (900, 0)), "in whole seconds");
    }
}
