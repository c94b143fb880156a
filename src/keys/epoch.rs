//! What epochs are called (docs/FORMAT.md section 2): a name that says which key is meant, and nothing of it.

use super::{BadName, hex};
use crate::crypto::{self, Secret};
use std::fmt;
use std::str::FromStr;

/// Orders epochs, and fits one key only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochId {
    pub number: u64,
    check: [u8; 16],
}

impl EpochId {
    /// Bytes of an id.
    pub const LENGTH: usize = 24;

    pub(super) fn of(number: u64, key: &Secret) -> EpochId {
        let check = crypto::expand(key, &[b"cryptfs v2 epoch"]);
        EpochId { number, check: *check.bytes().first_chunk().expect("16 of 32 bytes") }
    }

    pub(super) fn bytes(&self) -> [u8; EpochId::LENGTH] {
        let mut bytes = [0; EpochId::LENGTH];
        bytes[..8].copy_from_slice(&self.number.to_be_bytes());
        bytes[8..].copy_from_slice(&self.check);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; EpochId::LENGTH]) -> EpochId {
        let (number, check) = bytes.split_first_chunk::<8>().expect("8 of 24 bytes");
        let number = u64::from_be_bytes(*number);
        EpochId { number, check: check.try_into().expect("16 of 24 bytes") }
    }

    /// Ids one after the other, in increasing order; `None` for anything else.
    pub(super) fn list(bytes: &[u8]) -> Option<Vec<EpochId>> {
        let (ids, []) = bytes.as_chunks() else { return None };
        let ids: Vec<_> = ids.iter().map(EpochId::from_bytes).collect();
        ids.is_sorted_by(|a, b| a < b).then_some(ids)
    }

    pub(super) fn concat<'a>(ids: impl IntoIterator<Item = &'a EpochId>) -> Vec<u8> {
        ids.into_iter().flat_map(EpochId::bytes).collect()
    }
}

impl fmt::Display for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.bytes()))
    }
}

impl FromStr for EpochId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<EpochId, BadName> {
        hex::decode_array(text).map(|bytes| EpochId::from_bytes(&bytes)).ok_or(BadName)
    }
}
