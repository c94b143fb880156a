//! Advice for failures of the TPM.

use super::{Exit, Failure, failure, system};
use crate::keys::tpm::{ClientError, TpmError};

/// Of the mount and of whatever else wanted a secret from the TPM.
pub fn tpm(error: &ClientError) -> Failure {
    match error {
        ClientError::Tpm(error) => answer(error),
        ClientError::HelperNotInstalled => failure(
            Exit::NoTpmHelper,
            "The program cryptfs-tpm is not beside cryptfs or in its libexec folder: the package cryptfs-tpm, or \
             `scripts/install`, puts it there.",
        ),
        ClientError::LibrariesMissing => failure(
            Exit::NoTpmHelper,
            "The TPM libraries are missing: `apt install libtss2-esys-3.0.2-0 libtss2-tctildr0`. Other slots work.",
        ),
        ClientError::BadTcti(error) => failure(Exit::Usage, format!("{error}.")),
        ClientError::BadAuth => failure(Exit::WrongPin, "This cannot be the PIN of the TPM slot."),
        ClientError::Timeout(_) => failure(Exit::TpmGone, format!("{}.", capital(&error.to_string()))),
        ClientError::Helper(_) => failure(Exit::TpmFailed, format!("{}.", capital(&error.to_string()))),
        ClientError::Io(error) => system("The TPM helper cryptfs-tpm", error),
    }
}

fn answer(error: &TpmError) -> Failure {
    let (exit, help) = match error {
        TpmError::NoDevice { .. } => (Exit::NoTpm, "Another slot opens the volume."),
        TpmError::NoPermission { .. } => {
            (Exit::TpmForbidden, "Have root add you to the group tss, or mount from fstab.")
        }
        TpmError::Busy { .. } => (Exit::TpmBusy, "Use /dev/tpmrm0, which programs can share."),
        TpmError::OtherTpm => {
            (Exit::OtherTpm, "Unlock with another slot, then enrol again: `cryptfs key add --tpm2 BACKING`.")
        }
        TpmError::OwnerPassword => (
            Exit::TpmOwnerPassword,
            "Clear it with `tpm2_changeauth -c owner -p PASSWORD`, or use another slot.",
        ),
        TpmError::BootStateChanged { .. } => {
            (Exit::BootStateChanged, "Unlock with the recovery key, then `cryptfs key refresh BACKING`.")
        }
        TpmError::PcrsKeepChanging => (Exit::PcrsKeepChanging, "Try again in a moment."),
        TpmError::NoPcrBank => {
            (Exit::NoPcrBank, "Enable that bank in the firmware, or enrol with `--pcrs none`.")
        }
        TpmError::WrongPin(_) => (Exit::WrongPin, "Try again, or unlock with another slot."),
        TpmError::Locked(_) => (Exit::TpmLocked, "Other slots work meanwhile."),
        TpmError::Damaged => (
            Exit::TpmSlotDamaged,
            "Unlock with another slot, then replace it: `cryptfs key refresh BACKING`.",
        ),
        TpmError::OutOfSlots => (Exit::TpmFull, "Use /dev/tpmrm0, which frees space by itself."),
        TpmError::Gone => (Exit::TpmGone, "Unlock with another slot."),
        TpmError::Unexpected { .. } => {
            (Exit::TpmFailed, "`man tpm2_rc_decode` tells what it means; other slots work.")
        }
    };
    failure(exit, format!("{}. {help}", capital(&error.to_string())))
}

/// The text as the beginning of a sentence; a path stays as it is.
fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
