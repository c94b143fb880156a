//! `cryptfs key`: the slots of a volume.
//!
//! A slot that is replaced goes only after the new one was written, read back and opened.

use super::advice::{self, Failure};
use super::args::{Enrolment, Place, Unlock};
use super::enrol;
use super::exit::Exit;
use super::key_args::{Add, Change, KeyCommand, List, Refresh, Remove, Verify};
use super::unlock::{Unlocked, look, named, peek, unlock, unlock_as_owner, unlock_locked};
use super::values::SlotName;
use super::{report, request, rotate, visible};
use crate::keys::{Enrol, Keyring, Kind, Label, Locked, RecoveryKey, Slot, SlotId, SlotKey, Spent, Tpm2};
use crate::store::folder::{Folder, Lock};
use serde_json::{Value, json};
use std::path::Path;

/// Does what was asked about the slots.
///
/// # Errors
///
/// Those of opening the volume (`unlock.rs`), of new secrets (`enrol.rs`), and of the slots as `advice::slots` has
/// them: `Exit::NotOwner`, `Exit::NoSuchSlot`, `Exit::LastSlot`, …; `Exit::InUse` as for [`lock`].
pub fn run(command: &KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::List(arguments) => list(arguments),
        KeyCommand::Add(arguments) => add(arguments),
        KeyCommand::Remove(arguments) => remove(arguments),
        KeyCommand::Change(arguments) => change(arguments),
        KeyCommand::Refresh(arguments) => refresh(arguments),
        KeyCommand::Rotate(arguments) => rotate::run(arguments),
        KeyCommand::Request(arguments) => request::run(arguments),
        KeyCommand::Sign(arguments) => request::sign(arguments),
        KeyCommand::Verify(arguments) => verify(arguments),
    }
}

/// Keeps other commands from changing the slots meanwhile; nothing where there are none to change.
///
/// # Errors
///
/// `Exit::InUse` while another command has it; `Exit::Failed` where the folder cannot be locked.
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
    let listing = peek(backing, &arguments.place)?.listing;
    if arguments.json {
        let slots: Vec<_> = listing.slots.iter().map(slot_json).collect();
        let spent: Vec<_> = listing.spent.iter().map(spent_json).collect();
        let junk = listing.junk.iter().map(|(name, why)| json!({ "file": name, "error": why.to_string() }));
        let shown = json!({
            "slots": slots,
            "spent": spent,
            "not_by_the_owner": junk.collect::<Vec<_>>(),
            "more_not_by_the_owner": listing.more_junk,
        });
        return report::print(&format!("{shown:#}\n"));
    }
    let mut text = format!("{:<34}{:<12}{:<8}{:<22}LABEL\n", "ID", "TYPE", "OWNER", "CREATED");
    let line = |slot: &Slot, note: &str| {
        let (kind, created) = (slot.kind.slot_type().name(), report::time(slot.created));
        let owner = if slot.is_owners { "yes" } else { "no" };
        let label = slot.label.as_str();
        format!("{:<34}{kind:<12}{owner:<8}{created:<22}{label}{note}\n", slot.id.to_string())
    };
    listing.slots.iter().for_each(|slot| text += &line(slot, ""));
    listing.spent.iter().for_each(|(slot, why)| text += &line(slot, &format!(" ({why}: not used)")));
    for (name, why) in &listing.junk {
        text += &format!("not the owner's: {}\n", visible::line(&format!("{name}: {why}")));
    }
    if listing.more_junk > 0 {
        text += &format!("not the owner's: {} files more\n", listing.more_junk);
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
        "generation": slot.generation,
        "owner": slot.is_owners,
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

fn spent_json((slot, why): &(Slot, Spent)) -> Value {
    let mut shown = slot_json(slot);
    shown["spent"] = why.to_string().into();
    shown
}

/// What a new slot is to be.
pub struct Wish<'a> {
    pub backing: &'a Path,
    pub unlock: &'a Unlock,
    pub enrolment: &'a Enrolment,
    pub new_passphrase: Option<&'a Path>,
    /// The slot whose place it takes.
    pub old: Option<SlotId>,
    /// Whether it is an owner's.
    pub owners: bool,
}

fn add(arguments: &Add) -> Result<(), Failure> {
    let _alone = lock(&arguments.backing, &arguments.unlock.place)?;
    let wish = Wish {
        backing: &arguments.backing,
        unlock: &arguments.unlock,
        enrolment: &arguments.enrolment,
        new_passphrase: arguments.new.new_passphrase_file.as_deref(),
        old: None,
        owners: arguments.owner,
    };
    // Who has no owner's slot may keep one for this machine.
    let anybody = arguments.tpm2 && !arguments.owner;
    let open = if anybody { unlock } else { unlock_as_owner };
    let mut unlocked = open(wish.backing, wish.unlock)?;
    let kind = kind(arguments.passphrase, arguments.recovery, arguments.recipient.as_deref());
    let label = wish.enrolment.label.clone();
    if unlocked.opened.keyring.seed().is_some() {
        return wish.make(kind, label, &mut |with, label| wish.put(&mut unlocked, with, label));
    }
    if !anybody {
        return Err(advice::not_owner(wish.backing));
    }
    wish.make(kind, label, &mut |with, label| request::keep_here(&wish, &unlocked, with, label))
}

/// The type of a new slot, and the public key if it is for one.
pub fn kind(passphrase: bool, recovery: bool, recipient: Option<&str>) -> Source<'_> {
    match (passphrase, recovery, recipient) {
        (_, _, Some(key)) => Source::Recipient(key),
        (true, ..) => Source::Passphrase,
        (_, true, _) => Source::Recovery,
        _ => Source::Tpm(None),
    }
}

fn change(arguments: &Change) -> Result<(), Failure> {
    let backing = arguments.backing.as_path();
    let _alone = lock(backing, &arguments.unlock.place)?;
    let look = || Ok(look(backing, &arguments.unlock.place, arguments.unlock.fingerprint)?.0);
    // Before anything is asked for a slot that is not there; what is done goes by what counts once the volume is open.
    changed(backing, &look()?, arguments.changed.as_ref())?;
    let mut unlocked = unlock_as_owner(backing, &arguments.unlock)?;
    let all = look()?;
    let old = changed(backing, &all, arguments.changed.as_ref())?;
    let new_passphrase = arguments.new.new_passphrase_file.as_deref();
    replace(backing, &arguments.unlock, &arguments.enrolment, new_passphrase, &mut unlocked, old)
}

/// The slot of that id, or the only one for a passphrase.
fn changed<'a>(backing: &Path, all: &'a Locked, name: Option<&SlotName>) -> Result<&'a Slot, Failure> {
    if let Some(name) = name {
        return find_named(backing, all, name);
    }
    let mut spoken = all.listing.slots.iter().filter(|slot| matches!(slot.kind, Kind::Passphrase(_)));
    match (spoken.next(), spoken.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(advice::which_slot(backing)),
    }
}

fn refresh(arguments: &Refresh) -> Result<(), Failure> {
    let backing = arguments.backing.as_path();
    let _alone = lock(backing, &arguments.unlock.place)?;
    let mut unlocked = unlock_as_owner(backing, &arguments.unlock)?;
    let all = look(backing, &arguments.unlock.place, arguments.unlock.fingerprint)?.0;
    let mut sealed = all.listing.slots.iter().filter(|slot| matches!(slot.kind, Kind::Tpm2(_)));
    let old = match (&arguments.refreshed, sealed.next(), sealed.next()) {
        (Some(name), ..) => find_named(backing, &all, name)?,
        (None, Some(only), None) => only,
        (None, ..) => return Err(advice::which_tpm_slot(backing)),
    };
    match old.kind {
        Kind::Tpm2(_) => replace(backing, &arguments.unlock, &arguments.enrolment, None, &mut unlocked, old),
        _ => Err(advice::which_tpm_slot(backing)),
    }
}

fn find(locked: &Locked, id: SlotId) -> Option<&Slot> {
    locked.listing.slots.iter().find(|slot| slot.id == id)
}

fn find_named<'a>(backing: &Path, locked: &'a Locked, name: &SlotName) -> Result<&'a Slot, Failure> {
    let id = named(backing, name, locked.listing.slots.iter().map(|slot| slot.id))?;
    find(locked, id).ok_or_else(|| advice::no_such_slot(backing, id))
}

/// A slot of the same type, with the same label unless another was given. What the old one says of itself is authentic:
/// it counts.
fn replace(
    backing: &Path,
    unlock: &Unlock,
    enrolment: &Enrolment,
    new_passphrase: Option<&Path>,
    unlocked: &mut Unlocked,
    old: &Slot,
) -> Result<(), Failure> {
    let wish = Wish { backing, unlock, enrolment, new_passphrase, old: Some(old.id), owners: old.is_owners };
    let given = &enrolment.label;
    let label = if given.as_str().is_empty() { old.label.clone() } else { given.clone() };
    let source = match &old.kind {
        Kind::Recipient(slot) => Source::Recipient(slot.public_key()),
        Kind::Tpm2(slot) => Source::Tpm(Some(slot)),
        Kind::Passphrase(_) => Source::Passphrase,
        Kind::Recovery => Source::Recovery,
    };
    wish.make(source, label, &mut |with, label| wish.put(unlocked, with, label))
}

/// Where the secret of a new slot comes from.
pub enum Source<'a> {
    Passphrase,
    Recovery,
    Recipient(&'a str),
    /// With the slot that it replaces.
    Tpm(Option<&'a Tpm2>),
}

/// Does something with what a new slot is to be opened with.
type Put<'a> = dyn FnMut(&Enrol<'_>, Label) -> Result<(), Failure> + 'a;

impl Wish<'_> {
    /// Makes the secret of a new slot, or asks for it, and has something done with it.
    ///
    /// # Errors
    ///
    /// What asking for it, the TPM or `put` says.
    pub fn make(&self, source: Source<'_>, label: Label, put: &mut Put<'_>) -> Result<(), Failure> {
        match source {
            Source::Recipient(key) => put(&Enrol::Recipient(key), label),
            Source::Passphrase => {
                let passphrase = enrol::new_passphrase(self.new_passphrase)?;
                let with = Enrol::Passphrase { passphrase: &passphrase, cost: enrol::cost(self.enrolment)? };
                put(&with, label)
            }
            Source::Recovery => self.make_recovery(label, put),
            Source::Tpm(old) => {
                let tpm = enrol::probe_tpm(&self.unlock.place)?;
                let new = enrol::new_tpm(tpm, self.enrolment, old)?;
                put(&new.enrol(), label)
            }
        }
    }

    fn make_recovery(&self, label: Label, put: &mut Put<'_>) -> Result<(), Failure> {
        let key = RecoveryKey::generate();
        match &self.enrolment.recovery_file {
            Some(out) => {
                enrol::write_recovery_key(&key, out)?;
                put(&Enrol::Recovery(&key), label).inspect_err(|_| enrol::discard(out))
            }
            None => {
                // Shown first: a key that was enrolled and never seen is worth nothing.
                enrol::show_recovery_key(&key)?;
                put(&Enrol::Recovery(&key), label)
            }
        }
    }

    /// The slot, and the keyring that is in it.
    ///
    /// # Errors
    ///
    /// As `advice::slot` has it: `Exit::Usage` for a recipient that is none, `Exit::Failed` without memory, those of
    /// the TPM.
    pub fn enrol(
        &self,
        unlocked: &Unlocked,
        with: &Enrol<'_>,
        label: Label,
    ) -> Result<((Slot, SlotKey), Keyring), Failure> {
        let keyring = &unlocked.opened.keyring;
        let given = if self.owners { keyring.duplicate() } else { keyring.without_seed() };
        let by = unlocked.locked.issuer(keyring);
        let new = Slot::enrol(&by, label, with, &given).map_err(|error| advice::slot(&error))?;
        Ok((new, given))
    }

    fn put(&self, unlocked: &mut Unlocked, with: &Enrol<'_>, label: Label) -> Result<(), Failure> {
        let (new, given) = self.enrol(unlocked, with, label)?;
        let (id, kind) = (new.0.id, new.0.kind.slot_type().name());
        let state = |error| advice::state(&error);
        let Unlocked { locked, opened, trust } = unlocked;
        let seed = opened.keyring.seed().ok_or_else(|| advice::not_owner(self.backing))?;
        match self.old {
            None => locked.add(&new, &given),
            Some(old) => locked.change(old, &new, (&given, seed)),
        }
        .map_err(|error| advice::slots(self.backing, &error))?;
        trust.note_slots(&[id]).and_then(|_| trust.pin(locked.owner, &locked.list)).map_err(state)?;
        match self.old {
            None => report::print(&format!("Added {kind} slot {id}.\n")),
            Some(old) => {
                trust.note_removed_slots(&[old]).map_err(state)?;
                report::print(&format!("Replaced slot {old} by {kind} slot {id}.\n"))
            }
        }
    }
}

fn remove(arguments: &Remove) -> Result<(), Failure> {
    let (backing, how) = (arguments.backing.as_path(), &arguments.unlock);
    let _alone = lock(backing, &how.place)?;
    let refused = |error| advice::slots(backing, &error);
    let (mut locked, trust) = look(backing, &how.place, how.fingerprint)?;
    let spent = locked.listing.spent.iter().map(|(slot, _)| slot);
    let going =
        named(backing, &arguments.removed, locked.listing.slots.iter().chain(spent).map(|slot| slot.id))?;
    if arguments.force || find(&locked, going).is_none() {
        locked.remove(going, None).map_err(refused)?;
        trust.note_removed_slots(&[going]).map_err(|error| advice::state(&error))?;
        return report::print(&format!("Removed slot {going}.\n"));
    }
    let (mut whole, _) = look(backing, &how.place, how.fingerprint)?;
    locked.leave_out_for(going).map_err(refused)?;
    let unlocked = unlock_locked(backing, locked, trust, how).inspect_err(|failure| {
        if matches!(failure.exit, Exit::WrongSecret | Exit::NoSuchSlot | Exit::NothingToAskOn) {
            report::complain(&advice::not_by_the_one_that_goes(going));
        }
    })?;
    whole.remove(going, Some(&unlocked.opened)).map_err(refused)?;
    let trust = unlocked.trust;
    let noted = trust.note_removed_slots(&[going]).and_then(|()| trust.pin(whole.owner, &whole.list));
    noted.map_err(|error| advice::state(&error))?;
    report::print(&format!(
        "Removed slot {going}. Whoever has a copy of its file and its secret still has the volume's present keys.\n"
    ))
}

fn verify(arguments: &Verify) -> Result<(), Failure> {
    let unlocked = unlock(&arguments.backing, &arguments.unlock)?;
    let opened = &unlocked.opened;
    report::print(&format!("Opened by {} slot {}.\n", opened.slot_type.name(), opened.slot))
}
