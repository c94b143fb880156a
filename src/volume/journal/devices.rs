//! The devices that write to a volume, as far as its journals and its root directory tell.

use super::file::{self, Live};
use crate::chunk::{ChunkId, Commit, Context, DeviceId, Version};
use crate::volume::format::batch::parse;
use crate::volume::{Error, Result};
use std::sync::Arc;

/// A device that wrote to the volume.
#[derive(Debug)]
pub struct Device {
    pub id: DeviceId,
    /// What people call it; empty where nothing tells.
    pub label: String,
    /// The newest commit of its journal, or of the root directory where there is none.
    pub last: Commit,
    pub journal: JournalState,
}

/// What is known of a device's journal.
#[derive(Debug)]
pub enum JournalState {
    /// So many changes wait in it to be stored in chunk files.
    Readable {
        batches: usize,
    },
    /// There is no such file.
    None,
    Unreadable(Error),
}

/// All devices of which there is a journal, or an entry in the root directory's version; the one that wrote last first.
///
/// # Errors
///
/// A journal could not be read for a reason of the machine's; damage is told of in its place.
pub fn list(context: &Arc<Context>, root: &Version, journals: &[ChunkId]) -> Result<Vec<Device>> {
    let mut devices = Vec::new();
    for id in journals {
        let Some(device) = id.inode.journal_of() else { continue };
        let (label, last, journal) = match file::read(context, *id) {
            Ok(Some(live)) => (live.label(), live.commit(), state(*id, &live)),
            Ok(None) => continue,
            Err(error) if error.is_damage() => (String::new(), Commit(0), JournalState::Unreadable(error)),
            Err(error) => return Err(error),
        };
        devices.push(Device { id: device, label, last, journal });
    }
    for (id, last) in &root.0 {
        if devices.iter().all(|known| known.id != *id) {
            devices.push(Device { id: *id, label: String::new(), last: *last, journal: JournalState::None });
        }
    }
    devices.sort_by_key(|device| (std::cmp::Reverse(device.last), device.id));
    Ok(devices)
}

fn state(id: ChunkId, live: &Live) -> JournalState {
    match parse(&live.stream) {
        Ok(batches) => JournalState::Readable { batches: batches.len() },
        Err(what) => JournalState::Unreadable(Error::Damaged(id, what.0.into())),
    }
}
