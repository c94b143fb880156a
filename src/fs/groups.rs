//! The supplementary groups of callers.

use super::ops::Caller;
use lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// How long a process's supplementary groups are believed.
const GROUPS_VALID: Duration = Duration::from_secs(1);
const GROUPS_KEPT: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Pid, uid, gid.
type Process = (u32, u32, u32);

/// Supplementary groups of recent callers, which FUSE requests do not carry. Keyed by the ids too, so that a process
/// that changes its identity is looked at again.
pub(super) struct Groups {
    recent: Mutex<LruCache<Process, (Instant, Vec<u32>)>>,
}

impl Groups {
    pub(super) fn new() -> Groups {
        Groups { recent: Mutex::new(LruCache::new(GROUPS_KEPT)) }
    }

    /// Whether the caller is in a group, its own or a supplementary one.
    pub(super) fn contain(&self, caller: Caller, gid: u32) -> bool {
        if caller.gid == gid {
            return true;
        }
        let key = (caller.pid, caller.uid, caller.gid);
        let mut recent = self.recent.lock();
        match recent.get(&key) {
            Some((read, groups)) if read.elapsed() < GROUPS_VALID => groups.contains(&gid),
            _ => {
                let groups = supplementary(caller.pid);
                let found = groups.contains(&gid);
                recent.put(key, (Instant::now(), groups));
                found
            }
        }
    }
}

/// From /proc; none for a process that is gone or that this pid namespace does not show.
fn supplementary(pid: u32) -> Vec<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    line.split_ascii_whitespace().filter_map(|gid| gid.parse().ok()).collect()
}
