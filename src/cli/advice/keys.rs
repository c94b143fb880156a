//! Advice for folders that are no volume, slots that do not open, and volumes that are not the expected one.

use super::{Exit, Failure, failure, system, tpm};
use crate::crypto::recipient::RecipientError;
use crate::keys::{
    CreateError, Defect, Fingerprint, OpenError, RecoveryKeyError, SlotError, SlotId, SlotsError, UnlockError,
};
use crate::store::folder::LockError;
use std::io;
use std::path::Path;

pub fn opening(backing: &Path, error: &OpenError) -> Failure {
    let at = backing.display();
    match error {
        OpenError::NotAVolume => failure(
            Exit::NotAVolume,
            format!("{at}: is not a cryptfs volume: it has no cryptfs.json. `cryptfs init {at}` makes one."),
        ),
        OpenError::NewerVersion(version) => failure(
            Exit::NewerFormat,
            format!("{at}: has format {version}, which is newer than this program. Install a newer cryptfs."),
        ),
        OpenError::DamagedHeader(defect) => failure(
            Exit::DamagedHeader,
            format!(
                "{at}: its cryptfs.json {}. Restore that file from a copy; it never changes.",
                defective(defect)
            ),
        ),
        OpenError::Io(error) if is_missing(error) => {
            failure(Exit::NotAVolume, format!("{at}: there is no such folder."))
        }
        OpenError::Io(error) => system(at, error),
        OpenError::Slots(error) => slots(backing, error),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn defective(defect: &Defect) -> String {
    match defect {
        Defect::Newer(_) | Defect::Foreign | Defect::NotJson | Defect::NotAFile | Defect::TooLong => {
            format!("is {defect}")
        }
        Defect::Duplicate(_) | Defect::Missing(_) | Defect::Unknown(_) | Defect::Invalid(_) => {
            format!("is damaged: {defect}")
        }
    }
}

pub fn slots(place: &Path, error: &SlotsError) -> Failure {
    let at = place.display();
    match error {
        SlotsError::Io(error) => system(format!("{at}: its key slots"), error),
        SlotsError::TooMany => {
            failure(Exit::DamagedHeader, format!("{at}: has {error}. `cryptfs key list {at}`."))
        }
        SlotsError::NoSuchSlot(_) => failure(
            Exit::NoSuchSlot,
            format!("{at}: {error}. `cryptfs key list {at}` shows those there are."),
        ),
        SlotsError::NotVerified(_) => failure(Exit::Failed, format!("{at}: {error}. Nothing was changed.")),
        SlotsError::LastIndependentOfTpm => failure(
            Exit::LastSlot,
            format!(
                "{at}: {error}; without it a broken TPM would cost every file. Add another first, `cryptfs key add \
                 --recovery {at}`, or insist with --force."
            ),
        ),
        SlotsError::LastSlot => failure(
            Exit::LastSlot,
            format!(
                "{at}: {error}; without it nothing opens the volume. Add another first: `cryptfs key add {at}`."
            ),
        ),
    }
}

pub fn creating(backing: &Path, error: &CreateError) -> Failure {
    let at = backing.display();
    match error {
        CreateError::Exists => failure(
            Exit::NotEmpty,
            format!("{at}: is a cryptfs volume already. `cryptfs mount {at} MOUNTPOINT` mounts it."),
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
pub fn unlocking(backing: &Path, error: &UnlockError) -> Failure {
    let at = backing.display();
    match error {
        UnlockError::NoSlot => failure(
            Exit::NoSuchSlot,
            format!("{at}: has no key slot of that kind. `cryptfs key list {at}` shows those there are."),
        ),
        UnlockError::Refused(refused) => {
            // A slot that the credential is not for says least, wherever in the listing it stands.
            let telling = refused.iter().find(|(_, error)| !error.is_mismatch());
            match telling.or(refused.first()) {
                Some((_, SlotError::WrongKey)) | None => wrong_secret(backing),
                Some((_, error)) => slot(error),
            }
        }
    }
}

pub fn wrong_secret(backing: &Path) -> Failure {
    let at = backing.display();
    failure(
        Exit::WrongSecret,
        format!("{at}: wrong passphrase or key. `cryptfs key list {at}` shows what opens the volume."),
    )
}

/// One slot did not open, or could not be made.
pub fn slot(error: &SlotError) -> Failure {
    match error {
        SlotError::WrongKey => failure(Exit::WrongSecret, "Wrong passphrase or key."),
        SlotError::Damaged => failure(
            Exit::DamagedHeader,
            "The key slot is damaged. Use another slot, then remove this one: `cryptfs key remove`.",
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
            "The key slot opens, but cryptfs.json was not made with its keys: one of the two was exchanged. Restore \
             both from a copy.",
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
    let at = backing.display();
    failure(
        Exit::WrongSecret,
        format!(
            "{at}: neither its passphrase nor a recovery key: {error}. Check that part and type it again."
        ),
    )
}

/// Another command changes the slots.
pub fn locking_keys(keys: &Path, error: &LockError) -> Failure {
    let at = keys.display();
    match error {
        LockError::Held => {
            failure(Exit::InUse, format!("{at}: another command is changing the key slots. Try again."))
        }
        LockError::Io(error) => system(format!("{at}: cannot be locked"), error),
    }
}

pub fn locking(backing: &Path, error: &LockError) -> Failure {
    let at = backing.display();
    match error {
        LockError::Held => failure(
            Exit::InUse,
            format!(
                "{at}: is in use on this machine already. `findmnt -t fuse.cryptfs` shows where it is mounted."
            ),
        ),
        LockError::Io(error) => system(format!("{at}: cannot be locked"), error),
    }
}

pub fn not_empty(backing: &Path) -> Failure {
    failure(
        Exit::NotEmpty,
        format!("{}: is not empty. Choose another folder, or insist with --force.", backing.display()),
    )
}

/// There are key slots and no header.
pub fn begun(backing: &Path) -> Failure {
    let at = backing.display();
    failure(
        Exit::NotEmpty,
        format!(
            "{at}: holds an incomplete volume without files. If the sync client is still downloading the rest, wait for \
             it; if an init was interrupted here, `cryptfs init --force {at}` starts over."
        ),
    )
}

/// The keyring is not the one that this device, or the fstab line, expects.
pub fn other_volume(backing: &Path, found: Fingerprint, expected: Fingerprint) -> Failure {
    let at = backing.display();
    failure(
        Exit::OtherVolume,
        format!(
            "{at}: its fingerprint is {found}, but {expected} is expected here. Somebody exchanged the volume or its \
             keys, or rotated them elsewhere. Nothing was written. If a device that you trust shows the same new \
             fingerprint in `cryptfs info`, accept it: `cryptfs trust accept {at}`."
        ),
    )
}

/// This device knows another volume in that folder.
pub fn exchanged_volume(backing: &Path, found: Fingerprint) -> Failure {
    let at = backing.display();
    failure(
        Exit::OtherVolume,
        format!(
            "{at}: is not the volume that this device knows there, but one with the fingerprint {found}. Somebody \
             exchanged it. Nothing was written. If you put it there yourself, accept it: `cryptfs trust accept {at}`."
        ),
    )
}

/// The keyring dates from before a rotation.
pub fn retired_keys(backing: &Path, slot: SlotId) -> Failure {
    let at = backing.display();
    failure(
        Exit::OtherVolume,
        format!(
            "{at}: key slot {slot} holds the keys from before a rotation. Remove it: `cryptfs key remove {at} {slot}`."
        ),
    )
}

pub fn no_such_slot(backing: &Path, id: SlotId) -> Failure {
    slots(backing, &SlotsError::NoSuchSlot(id))
}

pub fn no_slots(backing: &Path) -> Failure {
    failure(
        Exit::NoSuchSlot,
        format!(
            "{}: has no key slots in keys/. If they are kept elsewhere, say where with --keys.",
            backing.display()
        ),
    )
}

pub fn which_tpm_slot(backing: &Path) -> Failure {
    let at = backing.display();
    failure(
        Exit::NoSuchSlot,
        format!("{at}: name the TPM slot to refresh; `cryptfs key list {at}` shows those there are."),
    )
}

pub fn nothing_but_the_tpm() -> Failure {
    failure(
        Exit::LastSlot,
        "Only this machine's TPM would open the volume; a broken TPM would then cost every file. Give it a recovery key \
         too, --recovery-file OUT, or insist with --no-recovery.",
    )
}

pub fn recipient_needed() -> Failure {
    failure(Exit::Usage, "A recipient's slot needs its public key: `cryptfs key add --recipient KEY`.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tpm::{ClientError, TpmError};

    #[test]
    fn of_several_slots_the_one_that_the_credential_is_for_is_heard() {
        let pairs = || {
            let plugin = RecipientError::Plugin("not plugged in".into());
            let other_tpm = SlotError::Tpm(ClientError::Tpm(TpmError::OtherTpm));
            [
                (SlotError::Recipient(RecipientError::NoMatch), SlotError::Recipient(plugin), Exit::Failed),
                (other_tpm, SlotError::NeedsPin, Exit::NothingToAskOn),
                (SlotError::WrongKey, SlotError::Damaged, Exit::DamagedHeader),
            ]
        };
        let check = |refused: [SlotError; 2], exit| {
            let refused = refused.into_iter().map(|error| (SlotId([7; 16]), error)).collect();
            let told = unlocking(Path::new("/v"), &UnlockError::Refused(refused));
            assert_eq!(told.exit, exit, "{told}");
        };
        for (mismatch, telling, exit) in pairs() {
            check([mismatch, telling], exit);
        }
        for (mismatch, telling, exit) in pairs() {
            check([telling, mismatch], exit);
        }
    }
}
