//! Ways to a slot key: one that a person or machine has (`Credential`), and one that it is given (`Enrol`).

use super::{Issuer, Kind, NewPin, Recipient, Sealer, Slot, SlotKey, Stretch, Tpm2, UnwrapError};
use crate::crypto::recipient::{self, Identities, RecipientError};
use crate::crypto::{self, Cost, CostError, Secret};
use crate::keys::tpm::{ClientError, PcrMask, TpmError};
use crate::keys::{HeaderDigest, Keyring, Label, RecoveryKey, SlotId, SlotType};

/// Something that opens slots of one type.
pub enum Credential<'a> {
    Passphrase(&'a [u8]),
    Recovery(&'a RecoveryKey),
    Identities(&'a Identities),
    Tpm { tpm: &'a dyn Sealer, pin: Option<&'a [u8]> },
}

impl Credential<'_> {
    /// The type of the slots that it opens.
    pub fn slot_type(&self) -> SlotType {
        match self {
            Credential::Passphrase(_) => SlotType::Passphrase,
            Credential::Recovery(_) => SlotType::Recovery,
            Credential::Identities(_) => SlotType::Recipient,
            Credential::Tpm { .. } => SlotType::Tpm2,
        }
    }
}

/// What a new slot is to be opened with.
pub enum Enrol<'a> {
    Passphrase {
        passphrase: &'a [u8],
        cost: Cost,
    },
    Recovery(&'a RecoveryKey),
    /// An age recipient or an SSH public key.
    Recipient(&'a str),
    Tpm {
        tpm: &'a dyn Sealer,
        pcrs: PcrMask,
        pin: Option<NewPin<'a>>,
    },
}

/// Why a slot gave no keyring, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// Not the passphrase, recovery key, … of this slot; or the slot was changed.
    #[error("not its key, or the slot was changed")]
    WrongKey,
    /// The key is right and what it should open is not.
    #[error("damaged")]
    Damaged,
    /// Stretching the passphrase needs more memory than there is.
    #[error("needs {} MiB of memory", .0.parts().0 >> 10)]
    NoMemory(Cost),
    #[error("{0}")]
    Recipient(#[source] RecipientError),
    #[error("{0}")]
    Tpm(#[source] ClientError),
    /// The TPM's secret is under a PIN and none was given.
    #[error("asks for a PIN")]
    NeedsPin,
    /// The slot opens; its keyring is another one than header and owner key say.
    #[error("holds other keys than those of this volume")]
    ForeignKeyring,
    /// Trying it would cost more than slots that nobody vouches for may.
    #[error("not tried: too costly for a slot that nobody vouches for")]
    TooCostly,
}

impl SlotError {
    /// Whether it says no more than that the credential is for another slot, if for any.
    pub fn is_mismatch(&self) -> bool {
        matches!(
            self,
            SlotError::WrongKey
                | SlotError::Recipient(RecipientError::NoMatch)
                | SlotError::Tpm(ClientError::Tpm(TpmError::OtherTpm))
        )
    }
}

impl From<UnwrapError> for SlotError {
    fn from(error: UnwrapError) -> SlotError {
        match error {
            UnwrapError::WrongKey => SlotError::WrongKey,
            UnwrapError::Damaged => SlotError::Damaged,
        }
    }
}

impl Slot {
    /// Whether the credential is of the slot's type.
    pub fn fits(&self, credential: &Credential<'_>) -> bool {
        self.kind.slot_type() == credential.slot_type()
    }

    /// The keyring, if this credential opens the slot. May take seconds, and ask a device.
    ///
    /// # Errors
    ///
    /// [`SlotError::WrongKey`], of a credential of another type too; [`SlotError::Damaged`]; [`SlotError::NoMemory`]
    /// and [`SlotError::NeedsPin`] where something is stretched; [`SlotError::Recipient`] and [`SlotError::Tpm`].
    pub fn open(&self, volume: &HeaderDigest, credential: &Credential<'_>) -> Result<Keyring, SlotError> {
        let key = match (&self.kind, credential) {
            (Kind::Passphrase(stretch), Credential::Passphrase(passphrase)) => {
                stretched(stretch, passphrase)?
            }
            (Kind::Recovery, Credential::Recovery(key)) => recovered(key),
            (Kind::Recipient(slot), Credential::Identities(identities)) => {
                recipient::unwrap(&slot.stanza, identities).map(SlotKey).map_err(SlotError::Recipient)?
            }
            (Kind::Tpm2(slot), Credential::Tpm { tpm, pin }) => slot.key(volume, self.id, *tpm, *pin)?,
            _ => return Err(SlotError::WrongKey),
        };
        Ok(self.unwrap(volume, &key)?)
    }

    /// A new slot, and its key to verify it with.
    ///
    /// # Errors
    ///
    /// [`SlotError::NoMemory`] where something is stretched; [`SlotError::Recipient`] for a text that is no public
    /// key; [`SlotError::Tpm`].
    pub fn enrol(
        by: &Issuer<'_>,
        label: Label,
        with: &Enrol<'_>,
        keyring: &Keyring,
    ) -> Result<(Slot, SlotKey), SlotError> {
        let id = SlotId(crypto::random());
        let (kind, key) = match with {
            Enrol::Passphrase { passphrase, cost } => {
                let stretch = Stretch::new(*cost);
                let key = stretched(&stretch, passphrase)?;
                (Kind::Passphrase(stretch), key)
            }
            Enrol::Recovery(key) => (Kind::Recovery, recovered(key)),
            Enrol::Recipient(public_key) => {
                let secret = Secret::random();
                let stanza = recipient::wrap(public_key, &secret).map_err(SlotError::Recipient)?;
                let slot = Recipient::new(public_key, stanza);
                (
                    Kind::Recipient(slot.ok_or(SlotError::Recipient(RecipientError::BadRecipient))?),
                    SlotKey(secret),
                )
            }
            Enrol::Tpm { tpm, pcrs, pin } => {
                let (slot, key) = Tpm2::enrol(&by.volume, id, *tpm, *pcrs, *pin)?;
                (Kind::Tpm2(slot), key)
            }
        };
        let slot = Slot::wrap(by, id, label, kind, &key, keyring);
        Ok((slot, key))
    }
}

fn stretched(stretch: &Stretch, passphrase: &[u8]) -> Result<SlotKey, SlotError> {
    let key = stretch.run::<32>(passphrase).map_err(|CostError| SlotError::NoMemory(stretch.cost()))?;
    Ok(SlotKey(Secret::from_slice(&key[..]).expect("the output has 32 bytes")))
}

fn recovered(key: &RecoveryKey) -> SlotKey {
    SlotKey(crypto::expand(&key.0, &[b"cryptfs v2 recovery"]))
}

#[cfg(test)]
#[path = "unlock_tests.rs"]
mod tests;
