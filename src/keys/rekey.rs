//! Putting another keyring into the slots: the first and the last step of a rotation.
//!
//! Slots are created again with the same credential, first all of them and only then the old ones go. Nothing that lies in
//! the folder is trusted for that: a slot gets the new keyring only if it was opened, or if its public key was named
//! by the caller. Whoever holds the folder can plant a slot for a public key of their own.

use super::slots::{Slots, SlotsError};
use super::{
    Credential, Enrol, Keyring, Kind, Label, NewPin, Opened, Slot, SlotError, SlotId, SlotKey, SlotType,
};
use crate::crypto;

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
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// This slot holds an epoch that the new keyring lacks: chunks may have been written under it. Unlock with it.
    #[error("key slot {0} holds keys of an interrupted rotation")]
    Diverged(SlotId),
    /// The slot that opened the volume cannot be opened by any of the means.
    #[error("no key slot could take the new keys")]
    NoMeans,
    #[error("key slot {0}: {1}")]
    Slot(SlotId, #[source] SlotError),
    #[error("{0}")]
    Slots(#[source] SlotsError),
}

/// A keyring, and the slot that holds it.
pub struct Held {
    pub slot: SlotId,
    pub slot_type: SlotType,
    pub keyring: Keyring,
}

/// What the slots of the volume hold that the means open: more than one keyring if a rotation was interrupted.
pub fn survey(slots: &Slots, opened: &Opened, means: &[Means<'_>]) -> Result<Vec<Held>, SlotsError> {
    let open = |slot: Slot| {
        let credentials = means.iter().filter_map(|means| match means {
            Means::Credential(credential) if slot.fits(credential) => Some(credential),
            Means::Credential(_) | Means::PublicKey(_) => None,
        });
        let mut keyrings = credentials.filter_map(|way| slot.open(opened.header.uuid, way).ok());
        let keyring = keyrings.find(|keyring| keyring.is_of_same_volume(&opened.keyring))?;
        Some(Held { slot: slot.id, slot_type: slot.kind.slot_type(), keyring })
    };
    Ok(slots.list()?.slots.into_iter().filter_map(open).collect())
}

/// The keyring that a rotation has come furthest with, and whether one is under way: `held` differ, or there is more
/// than one epoch. The caller vouches for each of `held`: a former holder can make a slot around epochs of their own.
pub fn furthest(opened: &Opened, held: &[Held]) -> (Keyring, bool) {
    let mut best = &opened.keyring;
    for Held { keyring, .. } in held {
        if keyring.is_ahead_of(best) {
            best = keyring;
        }
    }
    let under_way = best.epochs() > 1 || held.iter().any(|held| best.is_ahead_of(&held.keyring));
    (best.duplicate(), under_way)
}

/// Gives `keyring` to every slot of the opened volume that one of the means reaches. A slot that holds it already is
/// left as it is and counts as done, also for an old one with the same way in: so it can be called again after a crash.
pub fn rekey(
    slots: &Slots,
    opened: &Opened,
    keyring: &Keyring,
    means: &[Means<'_>],
) -> Result<Rekeyed, RekeyError> {
    let mut done = Vec::new();
    let mut stale = Vec::new();
    let mut rekeyed = Rekeyed { replaced: Vec::new(), left: Vec::new() };
    for slot in slots.list().map_err(RekeyError::Slots)?.slots {
        match reach(&slot, opened, keyring, means) {
            Reached::Same(means) => done.push((slot, means)),
            Reached::Diverged => return Err(RekeyError::Diverged(slot.id)),
            Reached::Not => rekeyed.left.push((slot.id, slot.label)),
            Reached::By(means) => stale.push((slot, means)),
        }
    }
    let mut new = Vec::new();
    for (slot, means) in &stale {
        let made = new.iter().map(|((slot, _), means): &((Slot, SlotKey), _)| (slot, *means));
        let mut held = done.iter().map(|(slot, means)| (slot, *means)).chain(made);
        if !held.any(|other| is_same_way_in(other, (slot, means))) {
            let made = replacement(slot, opened, keyring, means);
            new.push((made.map_err(|error| RekeyError::Slot(slot.id, error))?, *means));
        }
    }
    if done.is_empty() && new.is_empty() {
        return Err(RekeyError::NoMeans);
    }
    for (made, means) in new {
        slots.add(opened.header.uuid, &made, keyring).map_err(RekeyError::Slots)?;
        done.push((made.0, means));
    }
    for (old, means) in stale {
        // What the old slot opened, another one does: both exist at this point.
        slots.remove(old.id, None).map_err(RekeyError::Slots)?;
        let mut held = done.iter().map(|(slot, means)| (slot, *means));
        let new = held.find(|other| is_same_way_in(*other, (&old, means)));
        rekeyed.replaced.extend(new.map(|(new, _)| (old.id, new.id)));
    }
    Ok(rekeyed)
}

enum Reached<'a> {
    Not,
    Same(&'a Means<'a>),
    Diverged,
    By(&'a Means<'a>),
}

fn reach<'a>(slot: &Slot, opened: &Opened, keyring: &Keyring, means: &'a [Means<'a>]) -> Reached<'a> {
    for means in means {
        match (means, &slot.kind) {
            (Means::PublicKey(key), Kind::Recipient(recipient)) if *key == recipient.public_key() => {
                return Reached::By(means);
            }
            (Means::Credential(credential), _) if slot.fits(credential) => {
                match slot.open(opened.header.uuid, credential) {
                    // A slot around another volume's keys is somebody else's, whatever it is doing here.
                    Ok(held) if held.is_of_same_volume(keyring) => {
                        return match keyring.supersedes(&held) {
                            true if crypto::same(&held.encode(), &keyring.encode()) => Reached::Same(means),
                            true => Reached::By(means),
                            false => Reached::Diverged,
                        };
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    Reached::Not
}

/// Whether whoever opens the one slot opens the other: equal passphrases cannot be told but by what opened them.
fn is_same_way_in((a, means_of_a): (&Slot, &Means<'_>), (b, means_of_b): (&Slot, &Means<'_>)) -> bool {
    std::ptr::eq(means_of_a, means_of_b)
        && a.label == b.label
        && match (&a.kind, &b.kind) {
            (Kind::Passphrase(_), Kind::Passphrase(_)) | (Kind::Recovery, Kind::Recovery) => true,
            (Kind::Recipient(a), Kind::Recipient(b)) => a.public_key() == b.public_key(),
            (Kind::Tpm2(a), Kind::Tpm2(b)) => (a.sealed.pcrs, a.sealed.pin) == (b.sealed.pcrs, b.sealed.pin),
            _ => false,
        }
}

/// A new slot with the way in of an old one.
fn replacement(
    slot: &Slot,
    opened: &Opened,
    keyring: &Keyring,
    means: &Means<'_>,
) -> Result<(Slot, SlotKey), SlotError> {
    let volume = opened.header.uuid;
    let enrol = |with: &Enrol<'_>| Slot::enrol(volume, slot.label.clone(), with, keyring);
    match (&slot.kind, means) {
        (Kind::Recipient(_), Means::PublicKey(key)) => enrol(&Enrol::Recipient(key)),
        (Kind::Recipient(recipient), Means::Credential(credential @ Credential::Identities(_))) => {
            let new = enrol(&Enrol::Recipient(recipient.public_key()))?;
            // A former holder can name one public key in a slot that another one opens.
            new.0.open(volume, credential)?;
            Ok(new)
        }
        (Kind::Passphrase(stretch), Means::Credential(Credential::Passphrase(passphrase))) => {
            enrol(&Enrol::Passphrase { passphrase, cost: stretch.cost() })
        }
        (Kind::Recovery, Means::Credential(Credential::Recovery(key))) => enrol(&Enrol::Recovery(key)),
        (Kind::Tpm2(slot), Means::Credential(Credential::Tpm { tpm, pin })) => {
            let pin = slot.pin_cost().zip(*pin).map(|(cost, pin)| NewPin { pin, cost });
            enrol(&Enrol::Tpm { tpm: *tpm, pcrs: slot.sealed.pcrs, pin })
        }
        _ => Err(SlotError::WrongKey),
    }
}

#[cfg(test)]
#[path = "rekey_tests.rs"]
mod tests;
