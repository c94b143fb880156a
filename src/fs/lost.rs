//! Writes out of the kernel's cache that failed.
//!
//! The kernel then goes on believing in the size that the write would have made, and makes zeros of what a READ below
//! it does not return. What was never written must not look like something that was: such reads are errors, until the
//! size is set or a later write reaches as far.

use crate::chunk::InodeId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub(super) struct LostWrites {
    /// Whether there ever was one: most mounts never take the lock.
    any: AtomicBool,
    /// The furthest end, in bytes, of each inode's.
    ends: Mutex<HashMap<InodeId, u64>>,
}

impl LostWrites {
    pub(super) fn add(&self, inode: InodeId, end: u64) {
        let mut ends = self.ends.lock();
        let furthest = ends.entry(inode).or_default();
        *furthest = end.max(*furthest);
        self.any.store(true, Ordering::Release);
    }

    /// Whether one would have written at `offset` or beyond.
    pub(super) fn reach(&self, inode: InodeId, offset: u64) -> bool {
        self.any.load(Ordering::Acquire) && self.ends.lock().get(&inode).is_some_and(|end| *end > offset)
    }

    /// The kernel was told the inode's size, or knows the inode no more.
    pub(super) fn forget(&self, inode: InodeId) {
        if self.any.load(Ordering::Acquire) {
            self.ends.lock().remove(&inode);
        }
    }
}
