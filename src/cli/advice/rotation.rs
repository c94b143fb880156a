//! Advice for failures of a key rotation.

use super::{Exit, Failure, failure, object, shown, slot, slots};
use crate::keys::{RekeyError, hex};
use crate::volume::{Finding, Remains};
use std::path::Path;

/// Files that are named in a message.
const NAMED: usize = 5;

pub fn rekeying(backing: &Path, error: &RekeyError) -> Failure {
    let at = shown(backing);
    match error {
        RekeyError::Diverged(id) => failure(
            Exit::OtherVolume,
            format!(
                "{at}: {error} on another device, or somebody else made it. Finish the rotation there, or remove the \
                 slot: `cryptfs key remove {at:#} {id}`."
            ),
        ),
        RekeyError::NoMeans => failure(
            Exit::WrongSecret,
            format!("{at}: {error}. Give the passphrase, the recovery key or an identity."),
        ),
        RekeyError::Slot(_, error) => slot(error),
        RekeyError::Slots(error) => slots(backing, error),
    }
}

/// Afterwards nothing but a TPM would open the volume.
pub fn rotation_needs_independent(backing: &Path) -> Failure {
    let at = shown(backing);
    failure(
        Exit::LastSlot,
        format!(
            "{at}: only the TPM's slot would get the new key; a broken TPM would then cost every file. Give the \
             passphrase, the recovery key or an identity too, or insist with --force."
        ),
    )
}

pub fn too_many_epochs(backing: &Path) -> Failure {
    failure(Exit::Failed, format!("{}: its keyring has no room for another key.", shown(backing)))
}

/// All that can be re-encrypted was; something else still needs the old key.
pub fn old_key_needed(backing: &Path, remains: &Remains) -> Failure {
    let chunk = |finding: &Finding| {
        let how = match &finding.damage {
            None => "has not arrived yet".to_owned(),
            Some(damage) => damage.to_string(),
        };
        format!("{} ({}: {how})", object(finding), finding.file.path())
    };
    let mut needs: Vec<String> = remains.chunks.iter().take(NAMED).map(chunk).collect();
    if let Some(more) = remains.chunks.len().checked_sub(NAMED).filter(|more| *more > 0) {
        needs.push(format!("{more} more"));
    }
    let device =
        |device: &crate::chunk::DeviceId| format!("the journal of device {}", hex::encode(&device.0));
    needs.extend(remains.journals.iter().map(device));
    let at = shown(backing);
    let retire = |device: &crate::chunk::DeviceId| {
        format!(
            " If that device will not come back: `cryptfs device retire {at:#} {}`.",
            hex::encode(&device.0)
        )
    };
    let retire = remains.journals.first().map(retire).unwrap_or_default();
    failure(
        Exit::OldKeyNeeded,
        format!(
            "{at}: the old key is kept because these still need it: {}. Mount the volume once on those devices, let the sync \
             client finish, restore those files, or delete them; then run `cryptfs key rotate {at:#}` again.{retire} With \
             --force the old key is destroyed, and whatever needs it is lost.",
            needs.join("; ")
        ),
    )
}
