//! The owner key: whose signature makes a file in the key folder count (docs/FORMAT.md sections 2 and 4).

use super::{BadName, Fingerprint, hex};
use crate::crypto::{self, PUBLIC_KEY, Secret, Signature};
use std::fmt;
use std::str::FromStr;

/// The public half: what a device pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerKey(pub [u8; PUBLIC_KEY]);

/// The private half, which only owners' slots hold.
pub struct OwnerSeed(pub(super) Secret);

impl OwnerKey {
    /// What people compare.
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = crypto::sha256(&[b"cryptfs v2 owner", &self.0]);
        Fingerprint(*digest.first_chunk().expect("16 of 32 bytes"))
    }

    pub(super) fn signed(&self, message: &[u8], signature: &Signature) -> bool {
        crypto::is_signed(&self.0, message, signature)
    }
}

impl OwnerSeed {
    pub(super) fn generate() -> OwnerSeed {
        OwnerSeed(Secret::random())
    }

    pub fn public(&self) -> OwnerKey {
        OwnerKey(crypto::public_key(&self.0))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        crypto::sign(&self.0, message)
    }

    pub(super) fn duplicate(&self) -> OwnerSeed {
        OwnerSeed(self.0.duplicate())
    }
}

impl fmt::Display for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl FromStr for OwnerKey {
    type Err = BadName;

    fn from_str(text: &str) -> Result<OwnerKey, BadName> {
        hex::decode_array(text).map(OwnerKey).ok_or(BadName)
    }
}
