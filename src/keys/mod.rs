//! The keys of a volume: the header that says what a folder is, the keyring, and the slots that hold it.
//!
//! Knows key material and the few small files it lies in; no chunks. Below: `crypto`, and `store` for safe access to
//! files that somebody else may have chosen. Whether a keyring is the expected one is for `trust` to say.

mod document;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod golden_tests;
mod header;
pub mod hex;
mod ids;
mod keyring;
mod recovery_key;
mod rekey;
mod slot;
mod slots;
pub mod tpm;
mod volume;

pub use document::{Defect, MAX_LENGTH};
pub use header::{ChunkSize, Header, HeaderForged, UnverifiedHeader};
pub use ids::{BadName, Fingerprint, Label, SlotId, SlotType, VolumeId};
pub use keyring::{Keyring, TooManyEpochs};
pub use recovery_key::{RecoveryKey, RecoveryKeyError};
pub use rekey::{Held, Means, RekeyError, Rekeyed, furthest, rekey, survey};
pub use slot::{
    Credential, Enrol, Kind, NewPin, Recipient, Sealer, Slot, SlotError, SlotKey, Stretch, Tpm2, UnwrapError,
    measured_cost,
};
pub use slots::{Broken, KeyFiles, Listing, Slots, SlotsError};
pub use volume::{CreateError, Locked, OpenError, Opened, UnlockError, create};

#[cfg(test)]
pub(crate) mod test_support;
