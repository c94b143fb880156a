//! What volumes and slots are called.

use super::hex;
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Names a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeId(pub [u8; 16]);

/// Names a key slot and its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(pub [u8; 16]);

/// Says which keyring this is without revealing it: what a device pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotType {
    Passphrase,
    Recovery,
    Tpm2,
    Recipient,
}

/// What a person calls a slot: at most 256 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

/// Not the text of such a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not such a name")]
pub struct BadName;

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl FromStr for SlotId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<SlotId, BadName> {
        hex::decode_array(text).map(SlotId).ok_or(BadName)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self.0.chunks(2).map(hex::encode).collect();
        f.write_str(&groups.join(" "))
    }
}

impl FromStr for Fingerprint {
    type Err = BadName;

    /// Takes the groups with any spaces, `-` or `:` between them, in either case: people type it.
    fn from_str(text: &str) -> Result<Fingerprint, BadName> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | ':')).collect();
        hex::decode_array(&digits.to_ascii_lowercase()).map(Fingerprint).ok_or(BadName)
    }
}

impl SlotType {
    /// The name in the slot's file.
    pub fn name(self) -> &'static str {
        match self {
            SlotType::Passphrase => "passphrase",
            SlotType::Recovery => "recovery",
            SlotType::Tpm2 => "tpm2",
            SlotType::Recipient => "recipient",
        }
    }
}

impl FromStr for SlotType {
    type Err = BadName;

    fn from_str(text: &str) -> Result<SlotType, BadName> {
        let all = [SlotType::Passphrase, SlotType::Recovery, SlotType::Tpm2, SlotType::Recipient];
        all.into_iter().find(|slot_type| slot_type.name() == text).ok_or(BadName)
    }
}

impl Label {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Label, BadName> {
        let fits = text.len() <= 256 && !text.chars().any(char::is_control);
        if fits { Ok(Label(text.to_owned())) } else { Err(BadName) }
    }
}

/// Seconds since 1970, as headers and slots record them.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
