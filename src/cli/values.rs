//! Values as people type them, for the flags of `args.rs` and the options of `mount_options.rs`.

use super::advice;
use super::args::Only;
use crate::chunk::DeviceId;
use crate::crypto::Cipher;
use crate::keys::{ChunkSize, Fingerprint, Label, SlotId, hex};
use crate::volume::limits::LABEL_MAX;
use std::time::Duration;

/// A chunk size such as `4M`, `4MiB` or `4194304`.
///
/// # Errors
///
/// In words, what it has to be.
pub fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    bytes(text).and_then(ChunkSize::new).ok_or_else(|| "it is a power of two from 1M to 16M".to_owned())
}

/// A cipher by its name.
///
/// # Errors
///
/// In words, what it has to be.
pub fn cipher(name: &str) -> Result<Cipher, String> {
    Cipher::from_name(name).ok_or_else(|| "it is aes-256-gcm or chacha20-poly1305".to_owned())
}

/// A fingerprint as this program prints it.
///
/// # Errors
///
/// In words, what it has to be.
pub fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    text.parse().map_err(|_| advice::A_FINGERPRINT.to_owned())
}

/// A slot's label.
///
/// # Errors
///
/// In words, what it has to be.
pub fn label(text: &str) -> Result<Label, String> {
    text.parse().map_err(|_| "it has at most 256 bytes and no control characters".to_owned())
}

/// A device's label.
///
/// # Errors
///
/// In words, what it has to be.
pub fn device_label(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= LABEL_MAX && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("it has 1 to {LABEL_MAX} bytes and no control characters"))
    }
}

/// A device's id, in hexadecimal digits.
///
/// # Errors
///
/// In words, what it has to be.
pub fn device(text: &str) -> Result<DeviceId, String> {
    hex::decode_array(text).map(DeviceId).ok_or_else(|| advice::A_DEVICE.to_owned())
}

/// How many digits of a slot's id have to be given.
const SLOT_DIGITS_LEAST: usize = 4;

/// A key slot as people name it: its id, or the first digits of that, which no other slot of the volume has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotName(String);

impl SlotName {
    /// Which of these it is. What is whole needs not to be among them.
    ///
    /// # Errors
    ///
    /// Of how many it has the first digits.
    pub fn among(&self, ids: impl IntoIterator<Item = SlotId>) -> Result<SlotId, usize> {
        if let Ok(id) = self.0.parse() {
            return Ok(id);
        }
        let begins_so = |id: &SlotId| id.to_string().starts_with(&self.0);
        let mut found: Vec<SlotId> = ids.into_iter().filter(begins_so).collect();
        found.sort_unstable();
        found.dedup();
        match found[..] {
            [id] => Ok(id),
            _ => Err(found.len()),
        }
    }

    /// What was typed.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

/// The id of a slot, or its first digits.
///
/// # Errors
///
/// In words, what it has to be.
pub fn slot(text: &str) -> Result<SlotName, String> {
    let text = text.to_ascii_lowercase();
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && (SLOT_DIGITS_LEAST..=32).contains(&text.len()) {
        Ok(SlotName(text))
    } else {
        Err("it is the id of a slot, 32 hex digits, or the first four or more of them".to_owned())
    }
}

/// The id of a slot, or its first digits, or a type.
///
/// # Errors
///
/// In words, what it has to be.
pub fn only(text: &str) -> Result<Only, String> {
    let slot = slot(text).map(Only::Slot);
    slot.or_else(|_| text.parse().map(Only::Type)).map_err(|_| {
        "it is the id of a slot or its first digits, or passphrase, recovery, tpm2 or recipient".to_owned()
    })
}

/// From a millisecond to a minute.
///
/// # Errors
///
/// In words, what it has to be.
pub fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().filter(|number| (1..=60_000).contains(number));
    number.map(Duration::from_millis).ok_or_else(|| "it is a number from 1 to 60000".to_owned())
}

/// Such as `90`, `90s`, `15m`, `15min` or `2h`: from a second to a week.
///
/// # Errors
///
/// In words, what it has to be.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" | "sec" => Some(1),
        "m" | "min" => Some(60),
        "h" | "hr" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds = unit.and_then(|unit| digits.parse::<u64>().ok()?.checked_mul(unit));
    let seconds = seconds.filter(|seconds| (1..=7 * 86_400).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "it is a time such as 90s, 15m or 2h, a week at most".to_owned())
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "m" | "MiB" => 1 << 20,
        "G" | "g" | "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(bytes("4M"), Some(4 << 20));
        assert_eq!(bytes("4MiB"), Some(4 << 20));
        assert_eq!(bytes("4194304"), Some(4 << 20));
        assert_eq!(bytes("4MB"), None);
        assert_eq!(bytes("M"), None);
        assert_eq!(bytes("-1"), None);
        assert_eq!(bytes("99999999999G"), None);
    }

    #[test]
    fn times() {
        let seconds = |text| duration(text).ok().map(|duration| duration.as_secs());
        assert_eq!(
            ["90", "90s", "15m", "15min", "2h", "7d"].map(seconds),
            [90, 90, 900, 900, 7200, 604_800].map(Some)
        );
        assert_eq!(
            ["", "m", "0", "8d", "-1", "1.5h", "10 m", "18446744073709551615h"].map(seconds),
            [None; 8]
        );
    }

    #[test]
    fn a_slot_or_a_type() {
        assert!(matches!(only("tpm2"), Ok(Only::Type(_))));
        assert!(matches!(only("00112233445566778899aabbccddeeff"), Ok(Only::Slot(_))));
        assert!(matches!(only("0011"), Ok(Only::Slot(_))));
        assert!(only("001").is_err() && only("00112233445566778899aabbccddeeff0").is_err());
        assert!(only("passphrases").is_err());
    }

    #[test]
    fn the_first_digits_of_a_slot_are_enough_where_no_other_has_them() {
        let [one, two, three] = [[0xab; 16], [0xcd; 16], {
            let mut near = [0xcd; 16];
            near[2] = 0;
            near
        }]
        .map(SlotId);
        let among = |text: &str| slot(text).unwrap().among([one, two, three, two]);
        assert_eq!(among("abab"), Ok(one));
        assert_eq!(among("ABABa"), Ok(one));
        assert_eq!(among("cdcd"), Err(2));
        assert_eq!(among("cdcdc"), Ok(two));
        assert_eq!(among("cdcd0"), Ok(three));
        assert_eq!(among("0000"), Err(0));
        assert_eq!(among(&"00".repeat(16)), Ok(SlotId([0; 16])), "a whole one stands for itself");
    }
}
