//! Writes out of the kernel's cache that failed.
//!
//! The kernel then goes on believing in the size that the write would have made; and of what lies around it, later writes
//! may have succeeded. What was never written must not look like something that was, be it zeros: reads of it are
//! errors, until it is written again or cut off, or the kernel forgets the inode.

use super::Error;
use crate::chunk::InodeId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ranges of one inode that are told apart, at most.
const MOST: usize = 64;

#[derive(Default)]
pub(super) struct LostWrites {
    /// Whether there ever was one: most mounts never take the lock.
    any: AtomicBool,
    /// In bytes; they may overlap.
    ranges: Mutex<HashMap<InodeId, Vec<Range<u64>>>>,
    /// Why the last one failed.
    errors: Mutex<HashMap<InodeId, Error>>,
}

impl LostWrites {
    pub(super) fn add(&self, inode: InodeId, lost: Range<u64>, error: Error) {
        self.errors.lock().insert(inode, error);
        let mut all = self.ranges.lock();
        let ranges = all.entry(inode).or_default();
        ranges.push(lost);
        if ranges.len() > MOST {
            let start = ranges.iter().map(|range| range.start).min().unwrap_or(0);
            let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
            ranges.clear();
            ranges.push(start..end);
        }
        self.any.store(true, Ordering::Release);
    }

    /// Whether something in `read` was lost.
    pub(super) fn touch(&self, inode: InodeId, read: &Range<u64>) -> bool {
        let overlaps = |lost: &Range<u64>| lost.start < read.end && read.start < lost.end;
        self.any.load(Ordering::Acquire)
            && self.ranges.lock().get(&inode).is_some_and(|ranges| ranges.iter().any(overlaps))
    }

    /// Why something of an inode is lost, as long as it is.
    pub(super) fn error(&self, inode: InodeId) -> Option<Error> {
        self.end(inode)?;
        self.errors.lock().get(&inode).copied()
    }

    /// Where the last of an inode's lost ranges ends, if there is one.
    pub(super) fn end(&self, inode: InodeId) -> Option<u64> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.ranges.lock().get(&inode)?.iter().map(|range| range.end).max()
    }

    /// `written` holds what it should, or is no more.
    pub(super) fn mend(&self, inode: InodeId, written: &Range<u64>) {
        if self.any.load(Ordering::Acquire)
            && let Some(ranges) = self.ranges.lock().get_mut(&inode)
        {
            let around = |lost: &Range<u64>| {
                [lost.start..lost.end.min(written.start), lost.start.max(written.end)..lost.end]
            };
            *ranges = ranges.iter().flat_map(around).filter(|range| !range.is_empty()).collect();
        }
    }

    /// The kernel knows the inode no more.
    pub(super) fn forget(&self, inode: InodeId) {
        if self.any.load(Ordering::Acquire) {
            self.ranges.lock().remove(&inode);
            self.errors.lock().remove(&inode);
        }
    }
}
