//! `cryptfs.json`: what a folder is (docs/FORMAT.md section 3).
//!
//! By itself it is not authentic: whoever holds the folder can make one. It counts once a slot was opened that is bound
//! to its digest.

use super::document::{self, Defect, Field, Members, VERSION};
use super::{IdentityId, Keyring, OwnerKey, OwnerSeed, VolumeId, ids};
use crate::crypto::{self, Cipher};

/// The name of the file.
pub(super) const FILE: &str = "cryptfs.json";

const FORMAT: &str = "cryptfs";

/// Bytes of content per chunk: a power of two from 1 to 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSize(u32);

impl ChunkSize {
    pub const DEFAULT: ChunkSize = ChunkSize(4 << 20);

    pub fn new(bytes: u64) -> Option<ChunkSize> {
        let fits = bytes.is_power_of_two() && (1 << 20..=16 << 20).contains(&bytes);
        fits.then_some(ChunkSize(bytes as u32))
    }

    pub fn bytes(self) -> u32 {
        self.0
    }
}

/// What a volume is, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub uuid: VolumeId,
    pub cipher: Cipher,
    pub chunk_size: ChunkSize,
    /// Seconds since 1970.
    pub created: u64,
    /// Which identity key the volume's names hang on.
    pub identity: IdentityId,
    /// The owner key that the volume began with.
    pub owner: OwnerKey,
}

/// Stands for a header in everything that is bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderDigest(pub(super) [u8; 32]);

impl Header {
    /// The header of a new volume with these keys.
    pub fn new(cipher: Cipher, chunk_size: ChunkSize, keyring: &Keyring) -> Header {
        let (identity, owner) = (keyring.identity_id(), keyring.owner());
        Header { uuid: VolumeId(crypto::random()), cipher, chunk_size, created: ids::now(), identity, owner }
    }

    /// The contents of the file.
    pub fn to_json(&self, seed: &OwnerSeed) -> Vec<u8> {
        document::write(&[
            ("format", Field::Text(FORMAT).json()),
            ("version", Field::Number(VERSION).json()),
            ("uuid", Field::Bytes(&self.uuid.0).json()),
            ("cipher", Field::Text(self.cipher.name()).json()),
            ("chunk_size", Field::Number(self.chunk_size.0.into()).json()),
            ("created", Field::Number(self.created).json()),
            ("critical", "[]".to_owned()),
            ("identity", Field::Bytes(&self.identity).json()),
            ("owner", Field::Bytes(&self.owner.0).json()),
            ("signature", Field::Bytes(&seed.sign(&self.fields())).json()),
        ])
    }

    /// Parses the contents of the file. Whose key signed it, if it is signed at all, proves nothing yet: slots and lists
    /// are bound to the digest.
    ///
    /// # Errors
    ///
    /// [`Defect::Forged`] where the owner key in it did not sign it; else the [`Defect`] of the document or of a
    /// member.
    pub fn parse(bytes: &[u8]) -> Result<Header, Defect> {
        let mut members = Members::parse(bytes, FORMAT)?;
        members.critical("critical")?;
        let header = Header {
            uuid: VolumeId(members.array("uuid")?),
            cipher: Cipher::from_name(&members.text("cipher")?).ok_or(Defect::Invalid("cipher"))?,
            chunk_size: ChunkSize::new(members.number("chunk_size", 1..=u64::MAX)?)
                .ok_or(Defect::Invalid("chunk_size"))?,
            created: members.number("created", document::TIMES)?,
            identity: members.array("identity")?,
            owner: OwnerKey(members.array("owner")?),
        };
        let signature = members.array("signature")?;
        members.finish()?;
        match header.owner.signed(&header.fields(), &signature) {
            true => Ok(header),
            false => Err(Defect::Forged),
        }
    }

    pub fn digest(&self) -> HeaderDigest {
        HeaderDigest(crypto::sha256(&[&self.fields()]))
    }

    fn fields(&self) -> Vec<u8> {
        document::length_prefixed(&[
            Field::Text("cryptfs v2 header"),
            Field::Bytes(&self.uuid.0),
            Field::Text(self.cipher.name()),
            Field::Number(self.chunk_size.0.into()),
            Field::Number(self.created),
            Field::Bytes(&self.identity),
            Field::Bytes(&self.owner.0),
        ])
    }
}
