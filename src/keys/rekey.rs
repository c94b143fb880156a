//! Putting another keyring into the slots: the first and the last step of a rotation.
//!
//! Slots are made anew with the same way in, first all of them and only then the old ones go. Nothing that lies in
//! the folder is believed for that: a slot gets the new keyring only if it was opened, or if its public key was named
//! by the caller. Whoever holds the folder can plant a slot for a public key of their own.

use super::slots::{Slots, SlotsError};
use super::{Credential, Enrol, Keyring, Kind, Label, NewPin, Opened, Slot, SlotError, SlotId, SlotKey};
use crate::crypto;
use std::fmt;

/// What the new keyring may be given to.
pub enum Means<'a> {
    /// Slots that this opens.
    Credential(Credential<'a>),
    /// Slots of this public key, as given at their enrolment.
    PublicKey(&'a str),
}

/// What became of the slots.
pub struct Rekeyed {
    /// Old slots and the ones in their places.
    pub replaced: Vec<(SlotId, SlotId)>,
    /// Slots that hold another keyring still, or may: they have to be enrolled again and removed.
    pub left: Vec<(SlotId, Label)>,
}

/// Why no slot was replaced. New slots may be there beside the old ones.
#[derive(Debug)]
pub enum RekeyError {
    /// This slot holds an epoch that the new keyring lacks: chunks may have been written under it. Unlock with it.
    Diverged(SlotId),
    /// The slot that opened the volume cannot be opened by any of the means.
    NoMeans,
    Slot(SlotId, SlotError),
    Slots(SlotsError),
}

impl fmt::Display for RekeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RekeyError::Diverged(id) => {
                write!(f, "key slot {id} holds keys of a rotation that was cut short")
            }
            RekeyError::NoMeans => f.write_str("no key slot could take the new keys"),
            RekeyError::Slot(id, error) => write!(f, "key slot {id}: {error}"),
            RekeyError::Slots(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RekeyError {}

/// Gives `keyring` to every slot of the opened volume that one of the means reaches. A slot that holds it already is
/// left as it is and counts as done.
pub fn rekey(
    slots: &Slots,
    opened: &Opened,
    keyring: &Keyring,
    means: &[Means<'_>],
) -> Result<Rekeyed, RekeyError> {
    let mut made = Vec::new();
    let mut rekeyed = Rekeyed { replaced: Vec::new(), left: Vec::new() };
    let mut done = 0;
    for slot in slots.list().map_err(RekeyError::Slots)?.slots {
        match reach(&slot, opened, keyring, means).map_err(|error| RekeyError::Slot(slot.id, error))? {
            Reached::Same => done += 1,
            Reached::Diverged => return Err(RekeyError::Diverged(slot.id)),
            Reached::Not => rekeyed.left.push((slot.id, slot.label)),
            Reached::Anew(new) => made.push((slot.id, new)),
        }
    }
    if made.is_empty() && done == 0 {
        return Err(RekeyError::NoMeans);
    }
    for (_, new) in &made {
        slots.add(opened.header.uuid, new, keyring).map_err(RekeyError::Slots)?;
    }
    for (old, new) in made {
        // What the old slot opened, the new one does; both exist at this point.
        slots.remove(old, true).map_err(RekeyError::Slots)?;
        rekeyed.replaced.push((old, new.0.id));
    }
    Ok(rekeyed)
}

enum Reached {
    Not,
    Same,
    Diverged,
    Anew((Slot, SlotKey)),
}

fn reach(slot: &Slot, opened: &Opened, keyring: &Keyring, means: &[Means<'_>]) -> Result<Reached, SlotError> {
    let volume = opened.header.uuid;
    for means in means {
        match (means, &slot.kind) {
            (Means::PublicKey(key), Kind::Recipient(recipient)) if *key == recipient.public_key() => {
                let with = Enrol::Recipient(key);
                return Slot::enrol(volume, slot.label.clone(), &with, keyring).map(Reached::Anew);
            }
            (Means::Credential(credential), _) if slot.fits(credential) => {
                let Ok(held) = slot.open(volume, credential) else { continue };
                if crypto::same(&held.encode(), &keyring.encode()) {
                    return Ok(Reached::Same);
                }
                // A slot around another volume's keys is somebody else's, whatever it is doing here.
                if !held.is_of_same_volume(keyring) {
                    continue;
                }
                if !keyring.supersedes(&held) {
                    return Ok(Reached::Diverged);
                }
                return again(slot, opened, keyring, credential).map(Reached::Anew);
            }
            _ => {}
        }
    }
    Ok(Reached::Not)
}

/// A new slot with the way in of one that this credential opens.
fn again(
    slot: &Slot,
    opened: &Opened,
    keyring: &Keyring,
    credential: &Credential<'_>,
) -> Result<(Slot, SlotKey), SlotError> {
    let with = match (&slot.kind, credential) {
        (Kind::Passphrase(stretch), Credential::Passphrase(passphrase)) => {
            Enrol::Passphrase { passphrase, cost: stretch.cost() }
        }
        (Kind::Recovery, Credential::Recovery(key)) => Enrol::Recovery(key),
        (Kind::Recipient(recipient), Credential::Identities(_)) => {
            let with = Enrol::Recipient(recipient.public_key());
            let new = Slot::enrol(opened.header.uuid, slot.label.clone(), &with, keyring)?;
            // A former holder can name one public key in a slot that another one opens.
            new.0.open(opened.header.uuid, credential)?;
            return Ok(new);
        }
        (Kind::Tpm2(slot), Credential::Tpm { tpm, pin }) => {
            let pin = slot.pin_cost().zip(*pin).map(|(cost, pin)| NewPin { pin, cost });
            Enrol::Tpm { tpm: *tpm, pcrs: slot.sealed.pcrs, pin }
        }
        _ => return Err(SlotError::WrongKey),
    };
    Slot::enrol(opened.header.uuid, slot.label.clone(), &with, keyring)
}

#[cfg(test)]
#[path = "rekey_tests.rs"]
mod tests;
