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

use super::document::{self, Defect, Field, Members};
use super::{Keyring, Label, SlotId, SlotType, VolumeId};
use crate::crypto::{self, Cipher, NONCE, Nonce, Secret, TAG};
use zeroize::Zeroizing;

const FORMAT: &str = "cryptfs-slot";
const VERSION: u64 = 1;
/// A keyring of one epoch and of 64, sealed.
const WRAPPED: std::ops::RangeInclusive<usize> = 34 + 36 + TAG..=34 + 64 * 36 + TAG;

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
    pub kind: Kind,
    nonce: Nonce,
    commitment: [u8; 32],
    wrapped: Vec<u8>,
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
    fn wrap(
        volume: VolumeId,
        id: SlotId,
        label: Label,
        kind: Kind,
        key: &SlotKey,
        keyring: &Keyring,
    ) -> Slot {
        let created = super::ids::now();
        let nonce = crypto::random();
        let mut slot = Slot { id, label, created, kind, nonce, commitment: [0; 32], wrapped: Vec::new() };
        let fields = slot.authenticated(volume);
        let mut sealed = keyring.encode();
        let tag = wrap_cipher(key, &fields).seal(&nonce, &fields, &mut sealed);
        slot.wrapped = [&sealed[..], &tag].concat();
        slot.commitment = slot.expected_commitment(key, &fields);
        slot
    }

    /// The keyring, if this is the slot's key.
    pub fn unwrap(&self, volume: VolumeId, key: &SlotKey) -> Result<Keyring, UnwrapError> {
        let fields = self.authenticated(volume);
        if !crypto::same(&self.commitment, &self.expected_commitment(key, &fields)) {
            return Err(UnwrapError::WrongKey);
        }
        let (sealed, tag) = self.wrapped.split_last_chunk::<TAG>().ok_or(UnwrapError::Damaged)?;
        let mut keyring = Zeroizing::new(sealed.to_vec());
        let opened = wrap_cipher(key, &fields).open(&self.nonce, &fields, &mut keyring, tag);
        opened.ok().and_then(|()| Keyring::decode(&keyring)).ok_or(UnwrapError::Damaged)
    }

    fn authenticated(&self, volume: VolumeId) -> Vec<u8> {
        let mut fields = vec![
            Field::Text("cryptfs v1 slot"),
            Field::Bytes(&volume.0),
            Field::Bytes(&self.id.0),
            Field::Text(self.kind.slot_type().name()),
            Field::Text(self.label.as_str()),
            Field::Number(self.created),
        ];
        fields.extend(self.kind.fields().into_iter().map(|(_, field)| field));
        document::length_prefixed(&fields)
    }

    fn expected_commitment(&self, key: &SlotKey, fields: &[u8]) -> [u8; 32] {
        let info: [&[u8]; 3] = [b"cryptfs v1 slot commit", &crypto::sha256(&[fields]), &self.nonce];
        *crypto::expand(&key.0, &info).bytes()
    }

    /// The contents of the slot's file.
    pub fn to_json(&self) -> Vec<u8> {
        let mut members = vec![
            ("format", Field::Text(FORMAT)),
            ("version", Field::Number(VERSION)),
            ("id", Field::Bytes(&self.id.0)),
            ("type", Field::Text(self.kind.slot_type().name())),
            ("label", Field::Text(self.label.as_str())),
            ("created", Field::Number(self.created)),
        ];
        members.extend(self.kind.fields());
        members.push(("nonce", Field::Bytes(&self.nonce)));
        members.push(("commitment", Field::Bytes(&self.commitment)));
        members.push(("wrapped", Field::Bytes(&self.wrapped)));
        let members: Vec<_> = members.iter().map(|(name, field)| (*name, field.json())).collect();
        document::write(&members)
    }

    /// Parses the contents of the file that is named for `id`.
    pub fn parse(id: SlotId, bytes: &[u8]) -> Result<Slot, Defect> {
        let mut members = Members::parse(bytes, FORMAT, VERSION)?;
        if members.array("id")? != id.0 {
            return Err(Defect::Invalid("id"));
        }
        let slot_type = members.text("type")?.parse().map_err(|_| Defect::Invalid("type"))?;
        let kind = Kind::parse(slot_type, &mut members)?;
        let slot = Slot {
            id,
            label: members.text("label")?.parse().map_err(|_| Defect::Invalid("label"))?,
            created: members.number("created", document::TIMES)?,
            kind,
            nonce: members.array::<NONCE>("nonce")?,
            commitment: members.array("commitment")?,
            wrapped: members.bytes("wrapped", WRAPPED)?,
        };
        members.finish()?;
        Ok(slot)
    }
}

fn wrap_cipher(key: &SlotKey, fields: &[u8]) -> Box<dyn crypto::Aead> {
    let wrap_key = crypto::expand(&key.0, &[b"cryptfs v1 slot wrap", &crypto::sha256(&[fields])]);
    Cipher::Aes256Gcm.keyed(&wrap_key)
}

#[cfg(test)]
mod tests;
