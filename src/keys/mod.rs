//! The keys of a volume: the header that says what a folder is, the keyring, and the slots that hold it.
//!
//! Knows key material and the few small files it lies in; no chunks. Below: `crypto`, and `store` for safe access to
//! files that somebody else may have chosen. Whether a keyring is the expected one is for `trust` to say.

mod document;
mod edit;
mod epoch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod golden_tests;
mod header;
pub mod hex;
mod ids;
mod keyring;
mod list;
mod owner;
mod recovery_key;
mod rekey;
mod slot;
mod slots;
mod survey;
pub mod tpm;
#[cfg(test)]
mod vector_tests;
mod volume;

pub use document::{Defect, MAX_LENGTH};
pub use epoch::EpochId;
pub use header::{ChunkSize, Header, HeaderDigest};
pub use ids::{BadName, Fingerprint, Label, SlotId, SlotType, VolumeId};
pub use keyring::{IdentityId, Keyring, TooManyEpochs};
pub use list::{List, Succession};
pub use owner::{OwnerKey, OwnerSeed};
pub use recovery_key::{RecoveryKey, RecoveryKeyError};
pub use rekey::{Means, RekeyError, Rekeyed, gather, rekey};
pub use slot::{
    Credential, Enrol, Issuer, Kind, NewPin, Recipient, Sealer, Slot, SlotError, SlotKey, Stretch, Tpm2,
    UnwrapError, measured_cost,
};
pub use slots::{Junk, KeyFiles, Listing, Slots, SlotsError, Spent};
pub use survey::{Contact, Expected};
pub use volume::{CreateError, Found, Locked, OpenError, Opened, UnlockError, create};

#[cfg(test)]
pub(crate) mod test_support;
