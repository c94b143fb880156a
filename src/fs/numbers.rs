//! st_ino: the number that an inode shows to programs.
//!
//! By default it comes from the inode's id and is the same at every mount. Programs of 32 bits that know no larger numbers
//! can neither stat nor list such files; for them numbers are given out in the order in which inodes are met, and kept as
//! long as the mount lasts: cut out of the id, two files would soon have the same, and copying programs take that for one
//! file with two names.

use super::ops::NodeId;
use crate::chunk::InodeId;
use parking_lot::Mutex;
use std::collections::HashMap;

pub(super) enum Numbers {
    Stable,
    Small(Mutex<HashMap<InodeId, u32>>),
}

/// 0 is no number, and 1 is the root's.
const FIRST: u32 = 2;

impl Numbers {
    pub(super) fn new(small: bool) -> Numbers {
        if small { Numbers::Small(Mutex::default()) } else { Numbers::Stable }
    }

    pub(super) fn of(&self, id: InodeId) -> u64 {
        if id == InodeId::ROOT {
            return NodeId::ROOT.0;
        }
        match self {
            Numbers::Stable => {
                let (first, _) = id.0.split_first_chunk().expect("an inode id has twelve bytes");
                u64::from_le_bytes(*first).max(FIRST.into())
            }
            Numbers::Small(given) => {
                let mut given = given.lock();
                let next = FIRST.saturating_add(u32::try_from(given.len()).unwrap_or(u32::MAX));
                (*given.entry(id).or_insert(next)).into()
            }
        }
    }
}
