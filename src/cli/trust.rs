//! `cryptfs trust`: what this device expects of a volume.

use super::advice::{self, Failure};
use super::args::{Place, TrustCommand, Unlock};
use super::report;
use super::unlock;
use crate::keys::Locked;
use crate::trust::Trust;
use std::path::Path;

pub fn run(command: &TrustCommand) -> Result<(), Failure> {
    match command {
        TrustCommand::Status { backing, place } => status(backing, place),
        TrustCommand::Accept { backing, unlock } => accept(backing, unlock),
    }
}

fn status(backing: &Path, place: &Place) -> Result<(), Failure> {
    let locked =
        Locked::open(backing, place.keys.as_deref()).map_err(|error| advice::opening(backing, &error))?;
    let state = |error| advice::state(&error);
    let Some(fingerprint) = Trust::expected(locked.uuid()).map_err(state)? else {
        return report::print("This device has not seen the volume yet: it takes what it finds first.\n");
    };
    let trust = Trust::open(locked.uuid()).map_err(state)?;
    let (known, removed) = (trust.known_slots().map_err(state)?, trust.removed_slots().map_err(state)?);
    let mut text = format!("Fingerprint expected: {fingerprint}\n");
    for slot in &locked.listing.slots {
        if removed.contains(&slot.id) {
            text += &format!("Key slot {} was removed and has come back; it is not used.\n", slot.id);
        } else if !known.contains(&slot.id) {
            text += &format!("Key slot {} is new to this device.\n", slot.id);
        }
    }
    report::print(&text)
}

fn accept(backing: &Path, how: &Unlock) -> Result<(), Failure> {
    let locked =
        Locked::open(backing, how.place.keys.as_deref()).map_err(|error| advice::opening(backing, &error))?;
    let state = |error| advice::state(&error);
    let before = Trust::expected(locked.uuid()).map_err(state)?;
    let opened = unlock::open_keys(backing, &locked, how)?;
    let found = opened.keyring.fingerprint();
    let place = unlock::canonical(backing)?;
    let trust = Trust::open(locked.uuid()).map_err(state)?;
    trust.pin(found).and_then(|()| trust.note_place(&place)).map_err(state)?;
    let before = before.map_or_else(|| "nothing".to_owned(), |fingerprint| fingerprint.to_string());
    report::print(&format!("Expected before: {before}\nExpected now:    {found}\n"))
}
