//! Putting another keyring into the slots: the first and the last step of a rotation.
//!
//! Slots are made again with the same way in, all of them; then a list is published that names the keyring's epochs and
//! revokes the old slots; then those go. A slot gets the new keyring only if it is authentic and was opened, or if its
//! public key was named by the caller.

use super::slots::SlotsError;
use super::survey::revocations;
use super::tpm::PcrMask;
use super::{
    Credential, Enrol, Issuer, Keyring, Kind, Label, List, Locked, NewPin, Opened, Slot, SlotError, SlotId,
    SlotKey, Succession, TooManyEpochs,
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

/// The keyring of all epochs that the means open, and whether a rotation is under way: then it is to be gone on with.
/// Owners who rotated apart leave two epochs that are the newest: those want a new one.
///
/// # Errors
///
/// [`TooManyEpochs`] where they have more than 64 together.
pub fn gather(
    locked: &Locked,
    opened: &Opened,
    means: &[Means<'_>],
) -> Result<(Keyring, bool), TooManyEpochs> {
    let mut keyring = opened.keyring.duplicate();
    for slot in locked.listing.valid() {
        let credentials = means.iter().filter_map(|means| match means {
            Means::Credential(credential) if slot.fits(credential) => Some(credential),
            Means::Credential(_) | Means::PublicKey(_) => None,
        });
        if let Some(held) = credentials.into_iter().find_map(|way| locked.open_slot(slot, way).ok()) {
            keyring.join(&held)?;
        }
    }
    let number = keyring.newest().number;
    let newest = keyring.epochs().iter().filter(|epoch| epoch.number == number).count();
    let under_way = keyring.epochs().len() > 1 && newest == 1;
    Ok((keyring, under_way))
}

/// Gives `keyring` to every slot of the opened volume that one of the means reaches. A slot that holds it already is
/// left as it is and counts as done, also for an old one with the same way in: so it can be called again after a crash.
///
/// # Errors
///
/// [`RekeyError::Diverged`], [`RekeyError::NoMeans`], [`RekeyError::Slot`], and [`SlotsError::NotOwner`] of a keyring
/// without the owner's seed: nothing is written. Else [`RekeyError::Slots`]: new slots may lie beside the old ones.
pub fn rekey(
    locked: &mut Locked,
    opened: &Opened,
    keyring: &Keyring,
    means: &[Means<'_>],
) -> Result<Rekeyed, RekeyError> {
    let seed = keyring.seed().ok_or(RekeyError::Slots(SlotsError::NotOwner))?;
    let mut done = Vec::new();
    let mut stale = Vec::new();
    let mut rekeyed = Rekeyed { replaced: Vec::new(), left: Vec::new() };
    let give = Given { by: locked.issuer(keyring), owners: keyring, members: &keyring.without_seed() };
    for slot in locked.listing.valid() {
        match reach(locked, slot, &give, means) {
            Reached::Same(means) => done.push((slot.like(), means)),
            Reached::Diverged => return Err(RekeyError::Diverged(slot.id)),
            Reached::Not => rekeyed.left.push((slot.id, slot.label.clone())),
            Reached::By(means) => stale.push((slot, means)),
        }
    }
    let mut new = Vec::new();
    for (slot, means) in &stale {
        if !done.iter().any(|(held, by)| held.opens_as(&slot.like()) && std::ptr::eq(*by, *means)) {
            let made = replacement(slot, &give, means).map_err(|error| RekeyError::Slot(slot.id, error))?;
            done.push((made.0.like(), means));
            new.push((made, slot.is_owners));
        }
    }
    if done.is_empty() {
        return Err(RekeyError::NoMeans);
    }
    for (made, is_owners) in &new {
        let held = give.keyring(*is_owners);
        locked.slots.write_slot(&locked.volume(), made, held).map_err(RekeyError::Slots)?;
    }
    for (old, means) in &stale {
        let mut held =
            done.iter().filter(|(held, by)| held.opens_as(&old.like()) && std::ptr::eq(*by, *means));
        rekeyed.replaced.extend(held.next().map(|(new, _)| (old.id, new.id)));
    }
    let epochs = keyring.epochs();
    let mut list = List {
        floor: epochs.first().map_or(0, |epoch| epoch.number),
        epochs: epochs.into_iter().collect(),
        revoked: revocations(stale.iter().map(|(slot, _)| *slot)),
        ..List::default()
    };
    if keyring.owner() != locked.owner {
        let former = opened.keyring.seed().ok_or(RekeyError::Slots(SlotsError::NotOwner))?;
        list.successions.insert(Succession::new(&locked.volume(), former, keyring.owner()));
    }
    let old: Vec<_> = stale.iter().map(|(slot, _)| slot.id).collect();
    locked.publish(&list, seed).map_err(RekeyError::Slots)?;
    // What the old slots opened, others do, and the list says so.
    old.into_iter().try_for_each(|id| locked.delete(id)).map_err(RekeyError::Slots)?;
    Ok(rekeyed)
}

/// The keyring as owners' slots get it, and as the others do.
struct Given<'a> {
    by: Issuer<'a>,
    owners: &'a Keyring,
    members: &'a Keyring,
}

impl Given<'_> {
    fn keyring(&self, is_owners: bool) -> &Keyring {
        if is_owners { self.owners } else { self.members }
    }
}

enum Reached<'a> {
    Not,
    Same(&'a Means<'a>),
    Diverged,
    By(&'a Means<'a>),
}

fn reach<'a>(locked: &Locked, slot: &Slot, give: &Given<'_>, means: &'a [Means<'a>]) -> Reached<'a> {
    let keyring = give.keyring(slot.is_owners);
    for means in means {
        match (means, &slot.kind) {
            (Means::PublicKey(key), Kind::Recipient(recipient)) if *key == recipient.public_key() => {
                return Reached::By(means);
            }
            (Means::Credential(credential), _) if slot.fits(credential) => {
                if let Ok(held) = locked.open_slot(slot, credential) {
                    return match keyring.supersedes(&held) {
                        true if crypto::same(&held.encode(), &keyring.encode()) => Reached::Same(means),
                        true => Reached::By(means),
                        false => Reached::Diverged,
                    };
                }
            }
            _ => {}
        }
    }
    Reached::Not
}

/// What a slot is for whoever opens it: equal passphrases cannot be told but by what opened them.
struct Like {
    id: SlotId,
    label: Label,
    is_owners: bool,
    way: Way,
}

#[derive(PartialEq)]
enum Way {
    Passphrase,
    Recovery,
    Recipient(String),
    Tpm(PcrMask, bool),
}

impl Like {
    fn opens_as(&self, other: &Like) -> bool {
        (&self.label, self.is_owners, &self.way) == (&other.label, other.is_owners, &other.way)
    }
}

impl Slot {
    fn like(&self) -> Like {
        let way = match &self.kind {
            Kind::Passphrase(_) => Way::Passphrase,
            Kind::Recovery => Way::Recovery,
            Kind::Recipient(recipient) => Way::Recipient(recipient.public_key().to_owned()),
            Kind::Tpm2(tpm2) => Way::Tpm(tpm2.sealed.pcrs, tpm2.sealed.pin),
        };
        Like { id: self.id, label: self.label.clone(), is_owners: self.is_owners, way }
    }
}

/// A new slot with the way in of an old one.
fn replacement(slot: &Slot, give: &Given<'_>, means: &Means<'_>) -> Result<(Slot, SlotKey), SlotError> {
    let keyring = give.keyring(slot.is_owners);
    let enrol = |with: &Enrol<'_>| Slot::enrol(&give.by, slot.label.clone(), with, keyring);
    match (&slot.kind, means) {
        (Kind::Recipient(_), Means::PublicKey(key)) => enrol(&Enrol::Recipient(key)),
        (Kind::Recipient(recipient), Means::Credential(credential @ Credential::Identities(_))) => {
            let new = enrol(&Enrol::Recipient(recipient.public_key()))?;
            // A former holder can name one public key in a slot that another one opens.
            new.0.open(&give.by.volume, credential)?;
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
