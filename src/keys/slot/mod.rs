//! One key slot: the keyring under one slot key (docs/FORMAT.md section 4).
//!
//! Every member of a slot is authenticated, so a slot that was changed in any way does not open. The members of each
//! type and how they lead to the slot key stand in a file of their own.

mod passphrase;
mod recipient;
mod tpm2;
mod unlock;

pub use passphrase::{Stretch, measured_cost};
pub use recipient::Recipient;
pub use tpm2::{NewPin, Sealer, Tpm2};
pub use unlock::{Credential, Enrol, SlotError};

use super::document::{self, Defect, Field, Members, NUMBERS, VERSION};
use super::keyring::{LENGTHS, MAX_EPOCHS};
use super::{EpochId, HeaderDigest, Keyring, Label, OwnerKey, OwnerSeed, SlotId, SlotType};
use crate::crypto::{self, Cipher, NONCE, Nonce, Secret, Signature, TAG};
use zeroize::Zeroizing;

pub(super) const FORMAT: &str = "cryptfs-slot";
/// A keyring, sealed.
const WRAPPED: std::ops::RangeInclusive<usize> = *LENGTHS.start() + TAG..=*LENGTHS.end() + TAG;
/// The signature of a slot that nobody signed.
const UNSIGNED: Signature = [0; 64];

/// What opens one slot and no other.
pub struct SlotKey(Secret);

/// How a slot's key is come by.
pub enum Kind {
    Passphrase(Stretch),
    Recovery,
    Tpm2(Tpm2),
    Recipient(Recipient),
}

/// A slot as it stands in its file.
pub struct Slot {
    pub id: SlotId,
    pub label: Label,
    /// Seconds since 1970.
    pub created: u64,
    pub generation: u64,
    /// Whether the owner's seed is in it.
    pub is_owners: bool,
    /// The keyring's epochs, in increasing order, at least one.
    pub epochs: Vec<EpochId>,
    pub kind: Kind,
    nonce: Nonce,
    commitment: [u8; 32],
    wrapped: Vec<u8>,
    signature: Signature,
}

/// What new slots are bound to, and signed with if the owner makes them.
pub struct Issuer<'a> {
    pub volume: HeaderDigest,
    pub generation: u64,
    pub seed: Option<&'a OwnerSeed>,
}

/// Why a slot does not open with a slot key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// The commitment is another: not this key, or the slot was changed, or belongs to another volume.
    #[error("not this key, or the slot was changed")]
    WrongKey,
    /// The key is right and the sealed keyring is not.
    #[error("the key is right, its keyring is damaged")]
    Damaged,
}

impl Kind {
    pub fn slot_type(&self) -> SlotType {
        match self {
            Kind::Passphrase(_) => SlotType::Passphrase,
            Kind::Recovery => SlotType::Recovery,
            Kind::Tpm2(_) => SlotType::Tpm2,
            Kind::Recipient(_) => SlotType::Recipient,
        }
    }

    fn parse(slot_type: SlotType, members: &mut Members) -> Result<Kind, Defect> {
        Ok(match slot_type {
            SlotType::Passphrase => Kind::Passphrase(Stretch::parse(members)?),
            SlotType::Recovery => Kind::Recovery,
            SlotType::Tpm2 => Kind::Tpm2(Tpm2::parse(members)?),
            SlotType::Recipient => Kind::Recipient(Recipient::parse(members)?),
        })
    }

    /// The type's own members, in the order of the format.
    fn fields(&self) -> Vec<(&'static str, Field<'_>)> {
        match self {
            Kind::Passphrase(stretch) => stretch.fields().into(),
            Kind::Recovery => Vec::new(),
            Kind::Tpm2(tpm2) => tpm2.fields(),
            Kind::Recipient(recipient) => recipient.fields().into(),
        }
    }
}

impl Slot {
    /// Whether it opens without this machine's TPM.
    pub fn needs_no_tpm(&self) -> bool {
        self.kind.slot_type() != SlotType::Tpm2
    }

    /// Puts the keyring under a slot key.
    fn wrap(by: &Issuer<'_>, id: SlotId, label: Label, kind: Kind, key: &SlotKey, keyring: &Keyring) -> Slot {
        let mut slot = Slot {
            id,
            label,
            created: super::ids::now(),
            generation: by.generation,
            is_owners: keyring.seed().is_some(),
            epochs: keyring.epochs(),
            kind,
            nonce: crypto::random(),
            commitment: [0; 32],
            wrapped: Vec::new(),
            signature: UNSIGNED,
        };
        let fields = slot.authenticated(&by.volume);
        let mut sealed = keyring.encode();
        let tag = wrap_cipher(key, &fields).seal(&slot.nonce, &fields, &mut sealed);
        slot.wrapped = [&sealed[..], &tag].concat();
        slot.commitment = slot.expected_commitment(key, &fields);
        if let Some(seed) = by.seed {
            slot.sign(&by.volume, seed);
        }
        slot
    }

    /// Has the owner vouch for the slot as it is.
    pub(super) fn sign(&mut self, volume: &HeaderDigest, seed: &OwnerSeed) {
        self.signature = seed.sign(&self.signed(volume));
    }

    /// Whether this owner vouches for every byte of it, for this volume.
    pub fn is_by(&self, owner: OwnerKey, volume: &HeaderDigest) -> bool {
        owner.signed(&self.signed(volume), &self.signature)
    }

    fn signed(&self, volume: &HeaderDigest) -> Vec<u8> {
        let rest = [Field::Bytes(&self.nonce), Field::Bytes(&self.commitment), Field::Bytes(&self.wrapped)];
        let label = document::length_prefixed(&[Field::Text("cryptfs v2 signed slot")]);
        [label, self.authenticated(volume), document::length_prefixed(&rest)].concat()
    }

    /// The keyring, if this is the slot's key.
    ///
    /// # Errors
    ///
    /// [`UnwrapError::WrongKey`] where the commitment is another; [`UnwrapError::Damaged`] where the keyring does not
    /// open or is not what the slot says.
    pub fn unwrap(&self, volume: &HeaderDigest, key: &SlotKey) -> Result<Keyring, UnwrapError> {
        let fields = self.authenticated(volume);
        if !crypto::same(&self.commitment, &self.expected_commitment(key, &fields)) {
            return Err(UnwrapError::WrongKey);
        }
        let (sealed, tag) = self.wrapped.split_last_chunk::<TAG>().ok_or(UnwrapError::Damaged)?;
        let mut keyring = Zeroizing::new(sealed.to_vec());
        let opened = wrap_cipher(key, &fields).open(&self.nonce, &fields, &mut keyring, tag);
        let keyring = opened.ok().and_then(|()| Keyring::decode(&keyring));
        let is_as_it_says =
            |keyring: &Keyring| keyring.epochs() == self.epochs && keyring.seed().is_some() == self.is_owners;
        keyring.filter(is_as_it_says).ok_or(UnwrapError::Damaged)
    }

    fn authenticated(&self, volume: &HeaderDigest) -> Vec<u8> {
        let epochs = EpochId::concat(&self.epochs);
        let mut fields = vec![
            Field::Text("cryptfs v2 slot"),
            Field::Bytes(&volume.0),
            Field::Bytes(&self.id.0),
            Field::Text(self.kind.slot_type().name()),
            Field::Text(self.label.as_str()),
            Field::Number(self.created),
            Field::Number(self.generation),
            Field::Number(self.is_owners.into()),
            Field::Bytes(&epochs),
        ];
        fields.extend(self.kind.fields().into_iter().map(|(_, field)| field));
        document::length_prefixed(&fields)
    }

    fn expected_commitment(&self, key: &SlotKey, fields: &[u8]) -> [u8; 32] {
        let info: [&[u8]; 3] = [b"cryptfs v2 slot commit", &crypto::sha256(&[fields]), &self.nonce];
        *crypto::expand(&key.0, &info).bytes()
    }

    /// The contents of the slot's file.
    pub fn to_json(&self) -> Vec<u8> {
        let epochs = EpochId::concat(&self.epochs);
        let mut members = vec![
            ("format", Field::Text(FORMAT)),
            ("version", Field::Number(VERSION)),
            ("id", Field::Bytes(&self.id.0)),
            ("type", Field::Text(self.kind.slot_type().name())),
            ("label", Field::Text(self.label.as_str())),
            ("created", Field::Number(self.created)),
            ("generation", Field::Number(self.generation)),
            ("owner", Field::Number(self.is_owners.into())),
            ("epochs", Field::Bytes(&epochs)),
        ];
        members.extend(self.kind.fields());
        members.push(("nonce", Field::Bytes(&self.nonce)));
        members.push(("commitment", Field::Bytes(&self.commitment)));
        members.push(("wrapped", Field::Bytes(&self.wrapped)));
        members.push(("signature", Field::Bytes(&self.signature)));
        let members: Vec<_> = members.iter().map(|(name, field)| (*name, field.json())).collect();
        document::write(&members)
    }

    /// Parses the contents of a slot's file. Nothing in it is authentic before `is_by` says so.
    ///
    /// # Errors
    ///
    /// The [`Defect`] of the document or of a member.
    pub fn parse(bytes: &[u8]) -> Result<Slot, Defect> {
        let mut members = Members::parse(bytes, FORMAT)?;
        let slot_type = members.text("type")?.parse().map_err(|_| Defect::Invalid("type"))?;
        let kind = Kind::parse(slot_type, &mut members)?;
        let epochs = members.bytes("epochs", EpochId::LENGTH..=MAX_EPOCHS * EpochId::LENGTH)?;
        let slot = Slot {
            id: SlotId(members.array("id")?),
            label: members.text("label")?.parse().map_err(|_| Defect::Invalid("label"))?,
            created: members.number("created", document::TIMES)?,
            generation: members.number("generation", NUMBERS)?,
            is_owners: members.number("owner", 0..=1)? == 1,
            epochs: EpochId::list(&epochs).ok_or(Defect::Invalid("epochs"))?,
            kind,
            nonce: members.array::<NONCE>("nonce")?,
            commitment: members.array("commitment")?,
            wrapped: members.bytes("wrapped", WRAPPED)?,
            signature: members.array("signature")?,
        };
        members.finish()?;
        Ok(slot)
    }

    /// The number of its newest epoch.
    pub fn newest_number(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.number)
    }
}

fn wrap_cipher(key: &SlotKey, fields: &[u8]) -> Box<dyn crypto::Aead> {
    let wrap_key = crypto::expand(&key.0, &[b"cryptfs v2 slot wrap", &crypto::sha256(&[fields])]);
    Cipher::Aes256Gcm.keyed(&wrap_key)
}

#[cfg(test)]
mod tests;
