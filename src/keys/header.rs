//! `cryptfs.json`: what a folder is (docs/FORMAT.md section 3).
//!
//! An unverified header gives away nothing but the volume's id, which the slots authenticate themselves.

use super::document::{self, Defect, Field, Members};
use super::{Keyring, VolumeId, ids};
use crate::crypto::{self, Cipher};

/// The name of the file.
pub(super) const FILE: &str = "cryptfs.json";

const FORMAT: &str = "cryptfs";
const VERSION: u64 = 1;

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
}

/// A header as it was read: of use only once a keyring verifies it.
pub struct UnverifiedHeader {
    header: Header,
    mac: [u8; 32],
}

/// The header was not made by the holder of this keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderForged;

impl Header {
    /// The header of a new volume.
    pub fn new(cipher: Cipher, chunk_size: ChunkSize) -> Header {
        Header { uuid: VolumeId(crypto::random()), cipher, chunk_size, created: ids::now() }
    }

    /// The contents of the file.
    pub fn to_json(&self, keyring: &Keyring) -> Vec<u8> {
        document::write(&[
            ("format", Field::Text(FORMAT).json()),
            ("version", Field::Number(VERSION).json()),
            ("uuid", Field::Bytes(&self.uuid.0).json()),
            ("cipher", Field::Text(self.cipher.name()).json()),
            ("chunk_size", Field::Number(self.chunk_size.0.into()).json()),
            ("created", Field::Number(self.created).json()),
            ("critical", "[]".to_owned()),
            ("mac", Field::Bytes(&self.mac(keyring)).json()),
        ])
    }

    fn mac(&self, keyring: &Keyring) -> [u8; 32] {
        let fields = document::length_prefixed(&[
            Field::Text("cryptfs v1 header"),
            Field::Bytes(&self.uuid.0),
            Field::Text(self.cipher.name()),
            Field::Number(self.chunk_size.0.into()),
            Field::Number(self.created),
        ]);
        crypto::mac(&keyring.header_key(), &[&fields])
    }
}

impl UnverifiedHeader {
    /// Parses the contents of the file.
    pub fn parse(bytes: &[u8]) -> Result<UnverifiedHeader, Defect> {
        let mut members = Members::parse(bytes, FORMAT, VERSION)?;
        members.empty_list("critical")?;
        let header = Header {
            uuid: VolumeId(members.array("uuid")?),
            cipher: Cipher::from_name(&members.text("cipher")?).ok_or(Defect::Invalid("cipher"))?,
            chunk_size: ChunkSize::new(members.number("chunk_size", 1..=u64::MAX)?)
                .ok_or(Defect::Invalid("chunk_size"))?,
            created: members.number("created", document::TIMES)?,
        };
        let mac = members.array("mac")?;
        members.finish()?;
        Ok(UnverifiedHeader { header, mac })
    }

    /// The volume's id. Not authentic by itself: a slot opens only under the id that it was made for.
    pub fn uuid(&self) -> VolumeId {
        self.header.uuid
    }

    /// What it says. Not authentic: to show, never to follow.
    pub fn claims(&self) -> &Header {
        &self.header
    }

    /// The header, if the holder of this keyring made it.
    pub fn verify(&self, keyring: &Keyring) -> Result<Header, HeaderForged> {
        let genuine = crypto::same(&self.mac, &self.header.mac(keyring));
        if genuine { Ok(self.header.clone()) } else { Err(HeaderForged) }
    }
}
