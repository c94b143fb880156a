//! `cryptfs key`: the slots of a volume.
//!
//! A slot that is replaced goes only after the new one was written, read back and opened.

use super::advice::{self, Failure};
use super::args::{Enrolment, Place, Unlock};
use super::enrol;
use super::key_args::{Add, Change, KeyCommand, List, Refresh, Remove, Verify};
use super::report;
use super::rotate;
use super::unlock::{Unlocked, remember, unlock, unlock_locked};
use crate::keys::{Enrol, Kind, Label, Locked, RecoveryKey, Slot, SlotId, SlotType, Tpm2};
use crate::store::folder::{Folder, Lock};
use serde_json::{Value, json};
use std::path::Path;

pub fn run(command: &KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::List(arguments) => list(arguments),
        KeyCommand::Add(arguments) => add(arguments),
        KeyCommand::Remove(arguments) => remove(arguments),
        KeyCommand::Change(arguments) => change(arguments),
        KeyCommand::Refresh(arguments) => refresh(arguments),
        KeyCommand::Rotate(arguments) => rotate::run(arguments),
        KeyCommand::Verify(arguments) => verify(arguments),
    }
}

/// Keeps other commands from changing the slots meanwhile; nothing where there are none to change.
pub fn lock(backing: &Path, place: &Place) -> Result<Option<Lock>, Failure> {
    let keys = place.keys.clone().unwrap_or_else(|| backing.join("keys"));
    match Folder::open(&keys) {
        Ok(folder) => folder.lock_whole().map_err(|error| advice::locking_keys(&keys, &error)),
        // Whoever opens the volume tells what is wrong with it.
        Err(_) => Ok(None),
    }
}

fn list(arguments: &List) -> Result<(), Failure> {
    let backing = arguments.backing.as_path();
    let locked = Locked::open(backing, arguments.place.keys.as_deref())
        .map_err(|error| advice::opening(backing, &error))?;
    let listing = &locked.listing;
    if arguments.json {
        let slots: Vec<_> = listing.slots.iter().map(slot_json).collect();
        let broken: Vec<_> = listing.broken.iter().map(broken_json).collect();
        return report::print(&format!("{:#}\n", json!({ "slots": slots, "broken": broken })));
    }
    let mut text = format!("{:<34}{:<12}{:<22}LABEL\n", "ID", "TYPE", "CREATED");
    for slot in &listing.slots {
        let (kind, created) = (slot.kind.slot_type().name(), report::time(slot.created));
        text += &format!("{:<34}{kind:<12}{created:<22}{}\n", slot.id.to_string(), slot.label.as_str());
    }
    for (id, why) in &listing.broken {
        text += &format!("{:<34}{:<12}{why}\n", id.to_string(), "broken");
    }
    for name in &listing.foreign {
        text += &format!("not a slot: {}\n", name.escape_ascii());
    }
    report::print(&text)
}

/// A slot as `--json` shows it.
pub fn slot_json(slot: &Slot) -> Value {
    let mut shown = json!({
        "id": slot.id.to_string(),
        "type": slot.kind.slot_type().name(),
        "label": slot.label.as_str(),
        "created": slot.created,
    });
    match &slot.kind {
        Kind::Recipient(recipient) => shown["recipient"] = recipient.public_key().into(),
        Kind::Tpm2(tpm2) => {
            shown["pcrs"] = tpm2.sealed.pcrs.numbers().collect::<Vec<_>>().into();
            shown["pin"] = tpm2.pin_cost().is_some().into();
        }
        Kind::Passphrase(_) | Kind::Recovery => {}
    }
    shown
}

fn broken_json((id, why): &(SlotId, crate::keys::Broken)) -> Value {
    json!({ "id": id.to_string(), "error": why.to_string() })
}

/// What a new slot is to be, and what it takes the place of.
struct Wish<'a> {
    backing: &'a Path,
    unlock: &'a Unlock,
    enrolment: &'a Enrolment,
    new_passphrase: Option<&'a Path>,
    old: Option<SlotId>,
}

fn add(arguments: &Add) -> Result<(), Failure> {
    let _alone = lock(&arguments.backing, &arguments.unlock.place)?;
    let wish = Wish {
        backing: &arguments.backing,
        unlock: &arguments.unlock,
        enrolment: &arguments.enrolment,
        new_passphrase: arguments.new.new_passphrase_file.as_deref(),
        old: None,
    };
    let unlocked = unlock(wish.backing, wish.unlock)?;
    if let Some(key) = &arguments.recipient {
        return wish.put(&unlocked, &Enrol::Recipient(key), wish.enrolment.label.clone());
    }
    let slot_type = match (arguments.passphrase, arguments.recovery) {
        (true, _) => SlotType::Passphrase,
        (_, true) => SlotType::Recovery,
        _ => SlotType::Tpm2,
    };
    wish.make(&unlocked, slot_type, wish.enrolment.label.clone(), None)
}

fn change(arguments: &Change) -> Result<(), Failure> {
    let _alone = lock(&arguments.backing, &arguments.unlock.place)?;
    let wish = Wish {
        backing: &arguments.backing,
        unlock: &arguments.unlock,
        enrolment: &arguments.enrolment,
        new_passphrase: arguments.new.new_passphrase_file.as_deref(),
        old: Some(arguments.changed),
    };
    let unlocked = unlock(wish.backing, wish.unlock)?;
    let old = find(&unlocked.locked, arguments.changed)
        .ok_or_else(|| advice::no_such_slot(wish.backing, arguments.changed))?;
    wish.replace(&unlocked, old)
}

fn refresh(arguments: &Refresh) -> Result<(), Failure> {
    let _alone = lock(&arguments.backing, &arguments.unlock.place)?;
    let backing = arguments.backing.as_path();
    let unlocked = unlock(backing, &arguments.unlock)?;
    let mut sealed = unlocked.locked.listing.slots.iter().filter(|slot| matches!(slot.kind, Kind::Tpm2(_)));
    let old = match (arguments.refreshed, sealed.next(), sealed.next()) {
        (Some(id), ..) => find(&unlocked.locked, id).ok_or_else(|| advice::no_such_slot(backing, id))?,
        (None, Some(only), None) => only,
        (None, ..) => return Err(advice::which_tpm_slot(backing)),
    };
    let wish = Wish {
        backing,
        unlock: &arguments.unlock,
        enrolment: &arguments.enrolment,
        new_passphrase: None,
        old: Some(old.id),
    };
    match old.kind {
        Kind::Tpm2(_) => wish.replace(&unlocked, old),
        _ => Err(advice::which_tpm_slot(backing)),
    }
}

fn find(locked: &Locked, id: SlotId) -> Option<&Slot> {
    locked.listing.slots.iter().find(|slot| slot.id == id)
}

impl Wish<'_> {
    /// A slot of the same type, with the same label unless another was given.
    fn replace(&self, unlocked: &Unlocked, old: &Slot) -> Result<(), Failure> {
        let given = &self.enrolment.label;
        let label = if given.as_str().is_empty() { old.label.clone() } else { given.clone() };
        match &old.kind {
            Kind::Recipient(slot) => self.put(unlocked, &Enrol::Recipient(slot.public_key()), label),
            Kind::Tpm2(slot) => self.make(unlocked, SlotType::Tpm2, label, Some(slot)),
            Kind::Passphrase(_) | Kind::Recovery => self.make(unlocked, old.kind.slot_type(), label, None),
        }
    }

    fn make(
        &self,
        unlocked: &Unlocked,
        slot_type: SlotType,
        label: Label,
        old: Option<&Tpm2>,
    ) -> Result<(), Failure> {
        match slot_type {
            SlotType::Passphrase => {
                let passphrase = enrol::new_passphrase(self.new_passphrase)?;
                let with = Enrol::Passphrase { passphrase: &passphrase, cost: enrol::cost(self.enrolment)? };
                self.put(unlocked, &with, label)
            }
            SlotType::Recovery => self.make_recovery(unlocked, label),
            SlotType::Tpm2 => {
                let tpm = enrol::probe_tpm(&self.unlock.place)?;
                let new = enrol::new_tpm(tpm, self.enrolment, old)?;
                self.put(unlocked, &new.enrol(), label)
            }
            SlotType::Recipient => Err(advice::recipient_needed()),
        }
    }

    fn make_recovery(&self, unlocked: &Unlocked, label: Label) -> Result<(), Failure> {
        let key = RecoveryKey::generate();
        match &self.enrolment.recovery_file {
            Some(out) => {
                enrol::write_recovery_key(&key, out)?;
                self.put(unlocked, &Enrol::Recovery(&key), label).inspect_err(|_| enrol::discard(out))
            }
            None => {
                // Shown first: a key that was enrolled and never seen is worth nothing.
                enrol::show_recovery_key(&key)?;
                self.put(unlocked, &Enrol::Recovery(&key), label)
            }
        }
    }

    fn put(&self, unlocked: &Unlocked, with: &Enrol<'_>, label: Label) -> Result<(), Failure> {
        let (volume, keyring) = (unlocked.opened.header.uuid, &unlocked.opened.keyring);
        let new = Slot::enrol(volume, label, with, keyring).map_err(|error| advice::slot(&error))?;
        let slots = &unlocked.locked.slots;
        let (id, kind) = (new.0.id, new.0.kind.slot_type().name());
        let state = |error| advice::state(&error);
        match self.old {
            None => slots.add(volume, &new, keyring),
            Some(old) => slots.change(volume, old, &new, keyring),
        }
        .map_err(|error| advice::slots(self.backing, &error))?;
        unlocked.trust.note_slots(&[id]).map_err(state)?;
        match self.old {
            None => report::print(&format!("Added {kind} slot {id}.\n")),
            Some(old) => {
                unlocked.trust.note_removed_slots(&[old]).map_err(state)?;
                report::print(&format!("Replaced slot {old} by {kind} slot {id}.\n"))
            }
        }
    }
}

fn remove(arguments: &Remove) -> Result<(), Failure> {
    let (backing, going, how) = (arguments.backing.as_path(), arguments.removed, &arguments.unlock);
    let _alone = lock(backing, &how.place)?;
    let refused = |error| advice::slots(backing, &error);
    let mut locked =
        Locked::open(backing, how.place.keys.as_deref()).map_err(|error| advice::opening(backing, &error))?;
    let broken = locked.listing.broken.iter().any(|(id, _)| *id == going);
    let (slots, trust, way) = if arguments.force || broken {
        let trust = remember(&locked);
        (locked.slots, trust, None)
    } else {
        locked.leave_out_for(going).map_err(refused)?;
        let unlocked = unlock_locked(backing, locked, how)?;
        (unlocked.locked.slots, unlocked.trust, Some(unlocked.opened))
    };
    slots.remove(going, way.as_ref()).map_err(refused)?;
    trust.note_removed_slots(&[going]).map_err(|error| advice::state(&error))?;
    report::print(&format!(
        "Removed slot {going}. Whoever has a copy of its file and its secret still has the volume's present keys.\n"
    ))
}

fn verify(arguments: &Verify) -> Result<(), Failure> {
    let unlocked = unlock(&arguments.backing, &arguments.unlock)?;
    let opened = &unlocked.opened;
    report::print(&format!("Opened by {} slot {}.\n", opened.slot_type.name(), opened.slot))
}
