//! Advice for volumes that are not the expected ones: whose they are, and who says so.

use super::{Exit, Failure, failure, shown};
use crate::keys::Fingerprint;
use std::path::Path;

/// The owner key is not the one that this device, or the fstab line, expects.
pub fn other_volume(backing: &Path, found: Fingerprint, expected: Fingerprint) -> Failure {
    let at = shown(backing);
    failure(
        Exit::OtherVolume,
        format!(
            "{at}: its fingerprint is {found}, but {expected} is expected here. Somebody exchanged the volume. No \
             secret was tried. Nothing was written. If a device that you trust shows the same new fingerprint in `cryptfs info`, accept \
             it: `cryptfs trust accept {at:#}`."
        ),
    )
}

/// The owner signed that there is a new owner key.
pub fn owner_replaced(backing: &Path, found: Fingerprint, expected: Fingerprint) -> Failure {
    let at = shown(backing);
    failure(
        Exit::OtherVolume,
        format!(
            "{at}: its owner key was replaced: the fingerprint was {expected}, and is {found}. If the owner says so too, \
             or a device that you trust shows it in `cryptfs info`, accept it: `cryptfs trust accept {at:#}`. No secret was \
             tried. Nothing was written."
        ),
    )
}

/// Former owner keys name more than one that comes after.
pub fn unclear_owner(backing: &Path, all: &[Fingerprint]) -> Failure {
    let (at, all) = (shown(backing), all.iter().map(Fingerprint::to_string).collect::<Vec<_>>().join("; "));
    failure(
        Exit::OtherVolume,
        format!(
            "{at}: more than one owner key claims to come after the former one ({all}). Ask the owner for the fingerprint, \
             and give it with --fingerprint."
        ),
    )
}

/// This device knows another volume in that folder, and not this one.
pub fn exchanged_volume(backing: &Path, found: Fingerprint) -> Failure {
    let at = shown(backing);
    failure(
        Exit::OtherVolume,
        format!(
            "{at}: is not the volume that this device knows there, but one with the fingerprint {found}. Somebody \
             exchanged it. No secret was tried. Nothing was written. If you put it there yourself, accept it: `cryptfs trust accept \
             {at:#}`."
        ),
    )
}

/// A slot that anybody could have made is not tried on a device that does not know the volume.
pub fn not_confirmed(backing: &Path, found: Fingerprint) -> Failure {
    let at = shown(backing);
    failure(
        Exit::NothingToAskOn,
        format!(
            "{at}: this device has not seen the volume before, and anybody can make one that a TPM or a public key opens. \
             Compare its fingerprint {found} with what `cryptfs info` shows where the volume is known, and give it with \
             --fingerprint (in fstab: fingerprint=)."
        ),
    )
}

/// Only a device that knows the volume changes all its keys.
pub fn not_known_here(backing: &Path, found: Fingerprint) -> Failure {
    let at = shown(backing);
    failure(
        Exit::OtherVolume,
        format!(
            "{at}: this device has not seen the volume before. Mount it first, and compare its fingerprint {found} with \
             what another device shows in `cryptfs info`."
        ),
    )
}
