//! Writes out of the kernel's cache that failed.
//!
//! The kernel then goes on believing in the size that the write would have made; and of what lies around it, later writes
//! may have succeeded. What was never written must not look like something that was, be it zeros: reads of it are
//! errors, until it is written again or cut off, or the kernel forgets the inode.

use super::Error;
use crate::chunk::InodeId;
use crate::locks::{Mutex, Rank};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ranges of one inode that are told apart, at most.
const MOST: usize = 64;

struct Lost {
    ranges: Vec<Range<u64>>,
    /// Why the last one was.
    why: Error,
    /// Nobody was told of the last one yet who goes on writing.
    is_news: bool,
}

pub(super) struct LostWrites {
    /// Whether there ever was one: most mounts never take the lock.
    any: AtomicBool,
    /// In bytes; they may overlap.
    ranges: Mutex<HashMap<InodeId, Lost>>,
}

impl Default for LostWrites {
    fn default() -> LostWrites {
        LostWrites { any: AtomicBool::default(), ranges: Mutex::new(Rank::LostRanges, HashMap::new()) }
    }
}

impl LostWrites {
    pub(super) fn add(&self, inode: InodeId, lost: Range<u64>, error: Error) {
        let mut all = self.ranges.lock();
        let Lost { ranges, why, is_news } =
            all.entry(inode).or_insert_with(|| Lost { ranges: Vec::new(), why: error, is_news: true });
        (*why, *is_news) = (error, true);
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
            && self.ranges.lock().get(&inode).is_some_and(|lost| lost.ranges.iter().any(overlaps))
    }

    /// Why something of an inode is lost, as long as it is.
    pub(super) fn error(&self, inode: InodeId) -> Option<Error> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.ranges.lock().get(&inode).filter(|lost| !lost.ranges.is_empty()).map(|lost| lost.why)
    }

    /// As `error`, once for each loss: who goes on writing need not wait for close(2) to learn of it.
    pub(super) fn news(&self, inode: InodeId) -> Option<Error> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut all = self.ranges.lock();
        let lost = all.get_mut(&inode).filter(|lost| !lost.ranges.is_empty())?;
        std::mem::take(&mut lost.is_news).then_some(lost.why)
    }

    /// Where the last of an inode's lost ranges ends, if there is one.
    pub(super) fn end(&self, inode: InodeId) -> Option<u64> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.ranges.lock().get(&inode)?.ranges.iter().map(|range| range.end).max()
    }

    /// `written` holds what it should, or is no more.
    pub(super) fn clear(&self, inode: InodeId, written: &Range<u64>) {
        if self.any.load(Ordering::Acquire)
            && let Some(Lost { ranges, .. }) = self.ranges.lock().get_mut(&inode)
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
        }
    }
}
