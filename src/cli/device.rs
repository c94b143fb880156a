//! `cryptfs device`: the devices that write to a volume. Neighbours: `cli/trust.rs` has what this device expects of it,
//! `volume/journal/devices.rs` reads what is listed.

use super::advice::{self, Failure};
use super::args::{DeviceCommand, Devices, Retire};
use super::ledger::Ledger;
use super::look::Opened;
use super::mount::LOCK;
use super::{assemble, report, unlock};
use crate::chunk::DeviceId;
use crate::keys::hex;
use crate::store::folder::Folder;
use crate::trust::Trust;
use crate::volume::{self, Device, JournalState, Volume};
use serde_json::json;
use std::path::Path;

/// Does what was asked about the devices.
///
/// # Errors
///
/// Those of opening the volume (`unlock.rs`, `assemble.rs`). Of retiring one: `Exit::InUse` where the volume is
/// mounted, `Exit::Failed` for this device, or one that is not there, `Exit::NotArrived` where what it did is not
/// whole here.
pub fn run(command: &DeviceCommand) -> Result<(), Failure> {
    match command {
        DeviceCommand::List(arguments) => list(arguments),
        DeviceCommand::Rename { backing, label, place } => {
            let volume = unlock::peek(backing, place)?;
            let trust = Trust::open(volume.uuid()).map_err(|error| advice::state(&error))?;
            trust.set_label(label).map_err(|error| advice::state(&error))
        }
        DeviceCommand::Retire(arguments) => retire(arguments),
    }
}

fn list(arguments: &Devices) -> Result<(), Failure> {
    let opened = Opened::open_at(&arguments.backing, Vec::new(), &arguments.unlock)?;
    let devices = Volume::devices(opened.reader.context(), opened.reader.geometry())
        .map_err(|error| advice::volume(&arguments.backing, &error))?;
    let own = opened.unlocked.trust.device();
    if arguments.json {
        let shown: Vec<_> = devices.iter().map(|device| as_json(device, own)).collect();
        return report::print(&format!("{:#}\n", json!({ "devices": shown })));
    }
    let mut text = format!("{:<18}{:<25}{:<10}LABEL\n", "ID", "LAST WROTE", "WAITING");
    for device in &devices {
        let last = match device.last.0 {
            0 => "not known".to_owned(),
            _ => report::commit_time(device.last),
        };
        let waiting = match &device.journal {
            JournalState::Readable { batches } => batches.to_string(),
            JournalState::None => "0".to_owned(),
            JournalState::Unreadable(_) => "damaged".to_owned(),
        };
        let this = if device.id == own { " (this device)" } else { "" };
        text += &format!("{:<18}{last:<25}{waiting:<10}{}{this}\n", hex::encode(&device.id.0), device.label);
    }
    report::print(&text)
}

fn as_json(device: &Device, own: DeviceId) -> serde_json::Value {
    let (waiting, error) = match &device.journal {
        JournalState::Readable { batches } => (Some(*batches), None),
        JournalState::None => (Some(0), None),
        JournalState::Unreadable(error) => (None, Some(error.to_string())),
    };
    json!({
        "id": hex::encode(&device.id.0),
        "label": device.label,
        "last_wrote": device.last.0 / 1_000_000,
        "waiting": waiting,
        "error": error,
        "this_device": device.id == own,
    })
}

fn retire(arguments: &Retire) -> Result<(), Failure> {
    let backing = arguments.backing.as_path();
    let folder = Folder::open(backing).map_err(|_| advice::no_folder(backing))?;
    let lock = folder.lock(LOCK);
    let unlocked = unlock::unlock(backing, &arguments.unlock)?;
    let _unmounted = lock.map_err(|error| advice::locking(backing, &error))?;
    if unlocked.trust.device() == arguments.device {
        return Err(advice::retire_itself());
    }
    let failed = |error: volume::Error| advice::volume(backing, &error);
    let volume = assemble::volume(backing, &unlocked.opened, &unlocked.trust, false)?;
    let journal = find(backing, &volume, arguments)?;
    Ledger::open(backing, &unlocked.trust, &volume);
    let taken = volume.take_over();
    volume.report();
    let is_whole =
        matches!(journal, JournalState::Readable { .. }) && unlocked.trust.findings().list.is_empty();
    if !is_whole && !arguments.force {
        taken.and_then(|()| volume.close()).map_err(failed)?;
        return Err(advice::retire_incomplete(backing));
    }
    taken.map_err(failed)?;
    volume.discard_journal(arguments.device).and_then(|()| volume.close()).map_err(failed)
}

/// The state of the device's journal.
fn find(backing: &Path, volume: &Volume, arguments: &Retire) -> Result<JournalState, Failure> {
    let devices = volume.known_devices().map_err(|error| advice::volume(backing, &error))?;
    let found = devices.into_iter().find(|device| device.id == arguments.device).map(|device| device.journal);
    match found {
        Some(JournalState::None) | None => Err(advice::no_such_device(backing)),
        Some(journal) => Ok(journal),
    }
}
