//! Advice for folders that are no volume, and slots that do not open or may not be changed.

use super::{Exit, Failure, failure, shown, system, tpm};
use crate::crypto::recipient::RecipientError;
use crate::keys::{
    CreateError, Defect, Locked, OpenError, RecoveryKeyError, SlotError, SlotId, SlotsError, UnlockError,
};
use crate::mount::{self, Holder};
use crate::store::folder::LockError;
use std::io;
use std::path::Path;

/// What stands for the folder of the volume, and for a slot's id, in advice that does not know them.
const BACKING: &str = "BACKING";
const ID: &str = " ID`";

pub fn opening(backing: &Path, error: &OpenError) -> Failure {
    let at = shown(backing);
    let newer = |what: String| failure(Exit::NewerFormat, format!("{at}: {what}. Install a newer cryptfs."));
    match error {
        OpenError::NotAVolume => super::not_a_volume(backing),
        OpenError::Placeholder => super::opening_placeholder(backing, "cryptfs.json"),
        OpenError::Version(1) => failure(
            Exit::NewerFormat,
            format!(
                "{at}: has format 1, which was never released and is not read any more. Copy its files out with the \
                 program that made it, then `cryptfs init` a new folder."
            ),
        ),
        OpenError::Version(number) => newer(format!("has format {number}, which is newer than this program")),
        OpenError::Critical(defect) => newer(format!("was {defect}")),
        OpenError::DamagedHeader(defect) => failure(
            Exit::DamagedHeader,
            format!(
                "{at}: its cryptfs.json {}. Restore that file from a copy; it never changes.",
                defective(defect)
            ),
        ),
        OpenError::Io(error) if is_missing(error) => super::no_folder(backing),
        OpenError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => super::shut(backing),
        OpenError::Io(error) => system(at, error),
        OpenError::Slots(error) => slots(backing, error),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn defective(defect: &Defect) -> String {
    match defect {
        Defect::Version(_)
        | Defect::Critical(_)
        | Defect::Forged
        | Defect::Foreign
        | Defect::NotJson
        | Defect::NotAFile
        | Defect::TooLong => {
            format!("is {defect}")
        }
        Defect::Duplicate(_) | Defect::Missing(_) | Defect::Unknown(_) | Defect::Invalid(_) => {
            format!("is damaged: {defect}")
        }
    }
}

pub fn slots(place: &Path, error: &SlotsError) -> Failure {
    let at = shown(place);
    match error {
        SlotsError::Io(error) => system(format!("{at}: its key slots"), error),
        SlotsError::TooMany => {
            failure(Exit::DamagedHeader, format!("{at}: has {error}. `cryptfs key list {at:#}`."))
        }
        SlotsError::NoSuchSlot(_) => failure(
            Exit::NoSuchSlot,
            format!("{at}: {error}. `cryptfs key list {at:#}` shows those there are."),
        ),
        SlotsError::NotOwner => not_owner(place),
        SlotsError::ListFull => {
            failure(Exit::Failed, format!("{at}: {error}. `cryptfs key rotate {at:#}` makes it short again."))
        }
        SlotsError::NotVerified(_) => failure(Exit::Failed, format!("{at}: {error}. Nothing was changed.")),
        SlotsError::LastIndependentOfTpm => failure(
            Exit::LastSlot,
            format!(
                "{at}: {error}; without it a broken TPM would cost every file. Add another first, `cryptfs key add \
                 --recovery {at:#}`, or insist with --force."
            ),
        ),
        SlotsError::LastOwner => failure(
            Exit::LastSlot,
            format!(
                "{at}: {error}. Add another owner's slot first, `cryptfs key add --owner --recovery {at:#}`, or insist with --force."
            ),
        ),
        SlotsError::LastSlot => failure(
            Exit::LastSlot,
            format!(
                "{at}: {error}; without it nothing opens the volume. Add another first: `cryptfs key add --recovery {at:#}`."
            ),
        ),
    }
}

pub fn creating(backing: &Path, error: &CreateError) -> Failure {
    let at = shown(backing);
    match error {
        CreateError::Exists => failure(
            Exit::NotEmpty,
            format!("{at}: is a cryptfs volume already. `cryptfs mount {at:#} MOUNTPOINT` mounts it."),
        ),
        CreateError::KeysExist => failure(
            Exit::NotEmpty,
            format!("{at}: the folder for its key slots holds slots already. Choose another with --keys."),
        ),
        CreateError::Unfilled => failure(Exit::Failed, format!("{at}: {error}.")),
        CreateError::NoSlots => failure(
            Exit::Usage,
            "Nothing would open the volume. Give it a passphrase, a recovery key, a TPM or a recipient.",
        ),
        CreateError::Slot(error) => slot(error),
        CreateError::Slots(error) => slots(backing, error),
        CreateError::Io(error) => system(at, error),
    }
}

/// No credential of this kind opened the volume.
pub fn unlocking(backing: &Path, locked: &Locked, error: &UnlockError) -> Failure {
    let label = |id| locked.usable().find(|slot| slot.id == id).map_or("", |slot| slot.label.as_str());
    refused(backing, &label, error)
}

/// `label`: what a slot is called.
fn refused<'a>(backing: &Path, label: &dyn Fn(SlotId) -> &'a str, error: &UnlockError) -> Failure {
    let at = shown(backing);
    match error {
        UnlockError::NoSlot => failure(
            Exit::NoSuchSlot,
            format!("{at}: has no key slot of that kind. `cryptfs key list {at:#}` shows those there are."),
        ),
        UnlockError::Refused(refused) => {
            // A slot that the credential is not for says least, wherever in the listing it stands.
            let telling = refused.iter().find(|(_, error)| !error.is_mismatch());
            match telling.or(refused.first()) {
                Some((_, SlotError::WrongKey)) | None => wrong_secret(backing),
                Some((_, error)) if is_of_the_credential(error) => slot(error),
                Some((_, error)) if error.is_mismatch() && refused.len() > 1 => {
                    let Failure { exit, message } = slot(error);
                    let message = message.replace(BACKING, &format!("{at:#}"));
                    failure(exit, format!("None of the {} key slots of this kind: {message}", refused.len()))
                }
                Some((id, error)) => {
                    let Failure { exit, message } = slot(error);
                    let message =
                        message.replace(BACKING, &format!("{at:#}")).replace(ID, &format!(" {id}`"));
                    failure(exit, format!("Key slot {}: {message}", named(*id, label(*id))))
                }
            }
        }
    }
}

/// Whether it is about what was given, and no slot in particular.
fn is_of_the_credential(error: &SlotError) -> bool {
    match error {
        SlotError::Recipient(error) => !matches!(error, RecipientError::Damaged),
        SlotError::WrongKey | SlotError::NoMemory(_) | SlotError::TooCostly => true,
        SlotError::Damaged | SlotError::Tpm(_) | SlotError::NeedsPin | SlotError::ForeignKeyring => false,
    }
}

/// A slot by its id, and by what it is called.
pub fn named(id: SlotId, label: &str) -> String {
    if label.is_empty() { id.to_string() } else { format!("{id} ({label})") }
}

pub fn wrong_secret(backing: &Path) -> Failure {
    let at = shown(backing);
    failure(
        Exit::WrongSecret,
        format!("{at}: wrong passphrase or key. `cryptfs key list {at:#}` shows what opens the volume."),
    )
}

/// One slot did not open, or could not be made.
pub fn slot(error: &SlotError) -> Failure {
    match error {
        SlotError::WrongKey => failure(Exit::WrongSecret, "Wrong passphrase or key."),
        SlotError::Damaged => failure(
            Exit::DamagedHeader,
            "The key slot is damaged. Use another slot, then remove this one: `cryptfs key remove BACKING ID`.",
        ),
        SlotError::NoMemory(_) => failure(
            Exit::Failed,
            format!("The passphrase's slot {error}, more than there is. Free some, or use another slot."),
        ),
        SlotError::Recipient(error) => recipient(error),
        SlotError::Tpm(error) => tpm(error),
        SlotError::NeedsPin => {
            failure(Exit::NothingToAskOn, "The TPM slot asks for a PIN. Give it with --pin-file.")
        }
        SlotError::ForeignKeyring => failure(
            Exit::OtherVolume,
            "The key slot opens, but holds other keys than those of this volume. Use another slot, then remove this one: \
             `cryptfs key remove BACKING ID`.",
        ),
        SlotError::TooCostly => failure(
            Exit::WrongSecret,
            "Of the passphrase's slots only the cheapest were tried, for this device does not know the volume and cannot \
             tell who made them. Name yours with --slot, or give --fingerprint.",
        ),
    }
}

pub fn recipient(error: &RecipientError) -> Failure {
    match error {
        RecipientError::BadRecipient => {
            failure(Exit::Usage, format!("The recipient is {error}: age1…, ssh-ed25519 … or ssh-rsa …."))
        }
        RecipientError::BadIdentity => failure(Exit::WrongSecret, format!("The identity file is {error}.")),
        RecipientError::IdentityLocked => failure(
            Exit::WrongSecret,
            "The SSH private key is under a passphrase, and there is no terminal to ask for it on. Give a copy \
             without one: `ssh-keygen -p -N '' -f COPY`.",
        ),
        RecipientError::WrongPassphrase => {
            failure(Exit::WrongSecret, "That is not the passphrase of the SSH private key.")
        }
        RecipientError::NoMatch => failure(
            Exit::WrongSecret,
            "None of the identities is the recipient of a slot. Give another --identity.",
        ),
        RecipientError::Damaged => {
            failure(Exit::DamagedHeader, "The recipient's slot is damaged. Use another slot.")
        }
        RecipientError::Plugin(words) => failure(
            Exit::Failed,
            format!("The age plugin, a program age-plugin-NAME in PATH, failed. {words}"),
        ),
    }
}

pub fn recovery_key(backing: &Path, error: RecoveryKeyError) -> Failure {
    let at = shown(backing);
    failure(
        Exit::WrongSecret,
        format!(
            "{at}: neither its passphrase nor a recovery key: {error}. Check that part and type it again."
        ),
    )
}

/// Another command changes the slots.
pub fn locking_keys(keys: &Path, error: &LockError) -> Failure {
    let at = shown(keys);
    match error {
        LockError::Held => {
            failure(Exit::InUse, format!("{at}: another command is changing the key slots. Try again."))
        }
        LockError::Io(error) => system(format!("{at}: cannot be locked"), error),
    }
}

pub fn locking(backing: &Path, error: &LockError) -> Failure {
    let at = shown(backing);
    match error {
        LockError::Held => {
            failure(Exit::InUse, format!("{at}: is in use on this machine already{}.", in_use_by(backing)))
        }
        LockError::Io(error) => system(format!("{at}: cannot be locked"), error),
    }
}

/// Where it is mounted, or which process holds it.
fn in_use_by(backing: &Path) -> String {
    let header = backing.join("cryptfs.json");
    let mounts = backing.canonicalize().map(|backing| mount::of_source(&backing)).unwrap_or_default();
    match (mounts.first(), mount::of_lock(&header)) {
        (Some(Holder::Mount(path)), _) => format!(": it is mounted at {}", shown(path)),
        (Some(holder), _) => format!(": {holder}"),
        (None, Some((process, name))) => format!(
            ": by {name} (process {process}). Wait until that has ended; a mount that went by umount --lazy ends with the \
             last program that uses its files"
        ),
        (None, None) => String::new(),
    }
}

/// The key folder has slots and no authentic list.
pub fn no_list(backing: &Path) -> Failure {
    failure(
        Exit::DamagedHeader,
        format!(
            "{}: the list that says which key slots count is missing, or not the owner's. Let the sync client finish, or \
             restore the key folder from a copy.",
            shown(backing)
        ),
    )
}

/// Only owners change the key folder.
pub fn not_owner(backing: &Path) -> Failure {
    let at = shown(backing);
    failure(
        Exit::NotOwner,
        format!(
            "{at}: what opened it does not hold the owner key, which has to sign this. Use an owner's slot (`cryptfs key \
             list {at:#}`), or make a slot for an owner to sign: `cryptfs key request --passphrase {at:#} FILE`."
        ),
    )
}

pub fn outdated_request(request: &Path) -> Failure {
    failure(
        Exit::Failed,
        format!(
            "{}: was made with keys that are outdated, or for another volume. Have it made again.",
            shown(request)
        ),
    )
}

pub fn no_request(request: &Path, defect: &Defect) -> Failure {
    failure(Exit::Failed, format!("{}: is no key slot: {defect}.", shown(request)))
}

pub fn no_such_slot(backing: &Path, id: SlotId) -> Failure {
    slots(backing, &SlotsError::NoSuchSlot(id))
}

/// First digits of an id, which are those of no slot or of several.
pub fn unclear_slot(backing: &Path, digits: &str, count: usize) -> Failure {
    let at = shown(backing);
    let what = match count {
        0 => format!("there is no key slot {digits}…"),
        _ => format!("there are {count} key slots {digits}…"),
    };
    failure(Exit::NoSuchSlot, format!("{at}: {what}. `cryptfs key list {at:#}` shows those there are."))
}

/// What is to be removed opens nothing for that.
pub fn not_by_the_one_that_goes(id: SlotId) -> String {
    format!(
        "Slot {id} is not tried, since it is to go: what opens the volume has to be another, an owner's. --force does without."
    )
}

/// No slot counts; `others` lie there.
pub fn no_slots(backing: &Path, others: usize) -> Failure {
    let at = shown(backing);
    let what = match others {
        0 => "has no key slots in keys/. If they are kept elsewhere, say where with --keys.".to_owned(),
        _ => format!(
            "none of its key slots counts: they were revoked, are from before a rotation, or not the owner's. `cryptfs key \
             list {at:#}` shows them."
        ),
    };
    failure(Exit::NoSuchSlot, format!("{at}: {what}"))
}

pub fn which_slot(backing: &Path) -> Failure {
    let at = shown(backing);
    failure(
        Exit::NoSuchSlot,
        format!("{at}: name the slot to change; `cryptfs key list {at:#}` shows those there are."),
    )
}

pub fn which_tpm_slot(backing: &Path) -> Failure {
    let at = shown(backing);
    failure(
        Exit::NoSuchSlot,
        format!("{at}: name the TPM slot to refresh; `cryptfs key list {at:#}` shows those there are."),
    )
}

pub fn nothing_but_the_tpm() -> Failure {
    failure(
        Exit::LastSlot,
        "Only this machine's TPM would open the volume; a broken TPM would then cost every file. Give it a recovery key \
         too, --recovery-file OUT, or insist with --no-recovery.",
    )
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
