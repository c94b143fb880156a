//! What those can do who have no owner's slot: seal the keys for this machine, and make a slot that an owner signs.

use super::advice::{self, Failure};
use super::key::{Wish, kind, lock};
use super::key_args::{Request, Sign};
use super::unlock::{Unlocked, unlock, unlock_as_owner};
use super::{report, secret_input};
use crate::keys::{Enrol, Kind, Label, MAX_LENGTH, Slot};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Keeps a slot in this device's state folder, where no signature is needed.
///
/// # Errors
///
/// As for [`Wish::enrol`]; `Exit::Failed` without a state folder, or where it cannot be written.
pub fn keep_here(
    wish: &Wish<'_>,
    unlocked: &Unlocked,
    with: &Enrol<'_>,
    label: Label,
) -> Result<(), Failure> {
    let ((slot, _), _) = wish.enrol(unlocked, with, label)?;
    unlocked.trust.keep_own_slot(&slot).map_err(|error| advice::state(&error))?;
    report::print(
        "The keys are sealed for this machine's TPM, in this device's state folder: it opens the volume with it until \
         the keys are rotated. Nobody else sees that slot.\n",
    )
}

/// Writes a slot that nobody signed.
///
/// # Errors
///
/// As for [`unlock`], [`Wish::make`] and [`Wish::enrol`]; `Exit::Failed` where anything has the file's name, or it
/// cannot be written.
pub fn run(arguments: &Request) -> Result<(), Failure> {
    let wish = Wish {
        backing: &arguments.backing,
        unlock: &arguments.unlock,
        enrolment: &arguments.enrolment,
        new_passphrase: arguments.new.new_passphrase_file.as_deref(),
        old: None,
        owners: false,
    };
    let unlocked = unlock(wish.backing, wish.unlock)?;
    let source = kind(arguments.passphrase, arguments.recovery, arguments.recipient.as_deref());
    wish.make(source, wish.enrolment.label.clone(), &mut |with, label| {
        let ((slot, _), _) = wish.enrol(&unlocked, with, label)?;
        let written = write(&arguments.out, &slot.to_json());
        written.map_err(|error| advice::system(arguments.out.display(), &error))?;
        let kind = slot.kind.slot_type();
        report::print(&advice::slot_requested(wish.backing, &arguments.out, kind, slot.id))
    })
}

fn write(out: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(out)?;
    file.write_all(bytes).and_then(|()| file.sync_all())
}

/// Puts such a slot among the others, signed.
///
/// # Errors
///
/// As for [`lock`] and [`unlock_as_owner`]; `Exit::NotOwner`; `Exit::Failed` for a file that is no slot or an
/// outdated one, and after a no; that of the slots as `advice::slots` has it.
pub fn sign(arguments: &Sign) -> Result<(), Failure> {
    let backing = arguments.backing.as_path();
    let _alone = lock(backing, &arguments.unlock.place)?;
    let mut slot = read(&arguments.request)?;
    let mut unlocked = unlock_as_owner(backing, &arguments.unlock)?;
    let Unlocked { locked, opened, trust } = &mut unlocked;
    let seed = opened.keyring.seed().ok_or_else(|| advice::not_owner(backing))?;
    if slot.is_owners || !slot.epochs.contains(&opened.newest) {
        return Err(advice::outdated_request(&arguments.request));
    }
    let shown = match &slot.kind {
        Kind::Recipient(recipient) => format!("the public key {}", recipient.public_key()),
        Kind::Passphrase(_) => "a passphrase".to_owned(),
        Kind::Recovery => "a recovery key".to_owned(),
        Kind::Tpm2(_) => "a machine's TPM".to_owned(),
    };
    report::print(&format!("Slot {} for {shown}, labelled \"{}\".\n", slot.id, slot.label.as_str()))?;
    if !arguments.yes && !secret_input::confirm("Add it? Type yes: ")? {
        return Err(advice::not_accepted());
    }
    locked.sign(&mut slot, seed).map_err(|error| advice::slots(backing, &error))?;
    trust.note_slots(&[slot.id]).map_err(|error| advice::state(&error))?;
    report::print(&format!("Added {} slot {}.\n", slot.kind.slot_type().name(), slot.id))
}

fn read(path: &Path) -> Result<Slot, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_LENGTH as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| advice::system(path.display(), &error))?;
    Slot::parse(&bytes).map_err(|defect| advice::no_request(path, &defect))
}
