//! How a volume is doing, for those who ask from outside.

use super::base::Base;
use super::cache::Cache;
use super::inode::state::State;
use super::journal::devices::JournalState;
use super::journal::{Device, Journal};
use super::merge::Merge;
use serde::{Deserialize, Serialize};

/// What a volume in use says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// When it was opened, in seconds since 1970.
    pub since: u64,
    pub read_only: bool,
    /// Why nothing is written any more.
    pub stopped: Option<String>,
    /// Why the last attempt to store everything failed; it is tried again.
    pub delayed: Option<String>,
    /// Files and folders with changes that are not in their places yet.
    pub unstored: usize,
    /// Files that were changed on two devices since the mount, and whose two versions are both still there.
    pub conflicts: usize,
    /// `None`: they cannot be read, as where the backing folder is away.
    pub devices: Option<Vec<KnownDevice>>,
}

/// A device that writes to the volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownDevice {
    pub id: String,
    pub label: String,
    /// Seconds since 1970; 0 where nothing tells.
    pub last_wrote: u64,
    /// Batches in its journal that are not stored in chunk files; `None` if that cannot be read.
    pub waiting: Option<usize>,
    pub this_device: bool,
}

/// What is wrong is told in any case.
pub fn of(base: &Base, cache: &Cache, journal: &Journal, merge: &Merge) -> Condition {
    let devices = journal.devices().ok();
    Condition {
        since: base.opened,
        read_only: base.read_only,
        stopped: base.stopped_by(),
        delayed: base.delayed(),
        unstored: cache.count(|state: &State| !state.is_forgettable()),
        conflicts: merge.conflicts(),
        devices: devices.map(|devices| devices.iter().map(|device| shown(device, base)).collect()),
    }
}

fn shown(device: &Device, base: &Base) -> KnownDevice {
    let this_device = device.id == base.context.device;
    KnownDevice {
        id: device.id.0.iter().map(|byte| format!("{byte:02x}")).collect(),
        label: if this_device { base.context.label.clone() } else { device.label.clone() },
        last_wrote: device.last.0 / 1_000_000,
        waiting: match &device.journal {
            JournalState::Readable { batches } => Some(*batches),
            JournalState::None => Some(0),
            JournalState::Unreadable(_) => None,
        },
        this_device,
    }
}
