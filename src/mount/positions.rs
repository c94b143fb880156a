//! Positions in listings that fit into 31 bits: 32-bit programs know no larger ones, and those of the filesystem have 63.
//!
//! A position is how many entries were shown before it by the handle that lists; so it says nothing without that. What comes
//! between entries that were shown is not shown any more. A position of another handle, as a file server's, which opens one for each
//! request, counts from the start of the listing as it is now.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::fs::Result;
use crate::fs::ops::{DirectoryEntry, NodeId, Operations};

/// The open directories.
#[derive(Default)]
pub struct Positions {
    opened: AtomicU64,
    /// Of each handle the filesystem's own positions, as entries were shown.
    listings: Mutex<HashMap<u64, Vec<u64>>>,
}

impl Positions {
    /// A handle for a directory.
    pub fn open(&self) -> u64 {
        let handle = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        self.listings.lock().insert(handle, Vec::new());
        handle
    }

    pub fn close(&self, handle: u64) {
        self.listings.lock().remove(&handle);
    }
}

/// [`Operations::read_directory`] of an open directory, with positions of this kind where there are any. The kernel asks one thing of a
/// handle at a time.
///
/// # Errors
///
/// As that.
pub fn list(
    positions: Option<&Positions>,
    operations: &dyn Operations,
    (node, handle): (NodeId, u64),
    position: u64,
    plus: bool,
    sink: &mut dyn FnMut(&DirectoryEntry<'_>) -> bool,
) -> Result<()> {
    let Some(positions) = positions else {
        return operations.read_directory(node, position, plus, sink);
    };
    let mut shown = positions.listings.lock().get_mut(&handle).map(std::mem::take).unwrap_or_default();
    let result = read(operations, node, &mut shown, position as usize, plus, sink);
    if let Some(listing) = positions.listings.lock().get_mut(&handle) {
        *listing = shown;
    }
    result
}

/// `shown`: the filesystem's own positions of what the handle was shown.
pub(super) fn read(
    operations: &dyn Operations,
    node: NodeId,
    shown: &mut Vec<u64>,
    position: usize,
    plus: bool,
    sink: &mut dyn FnMut(&DirectoryEntry<'_>) -> bool,
) -> Result<()> {
    if position == 0 {
        shown.clear();
    }
    if position > shown.len() {
        operations.read_directory(node, last(shown), false, &mut |entry| {
            let is_wanted = shown.len() < position;
            shown.extend(is_wanted.then_some(entry.cookie));
            is_wanted
        })?;
    }
    // At most those that there are.
    let after = last(&shown[..position.min(shown.len())]);
    operations.read_directory(node, after, plus, &mut |entry| {
        let found = match entry.cookie > last(shown) {
            true => Ok(shown.len()),
            false => shown.binary_search(&entry.cookie),
        };
        let Ok(index) = found else {
            if let Some(entry) = &entry.entry {
                operations.forget(entry.node, 1);
            }
            return true;
        };
        let is_taken = sink(&DirectoryEntry { cookie: index as u64 + 1, ..*entry });
        if is_taken && index == shown.len() {
            shown.push(entry.cookie);
        }
        is_taken
    })
}

/// 0 at the start.
fn last(shown: &[u64]) -> u64 {
    shown.last().copied().unwrap_or(0)
}
