//! The recovery key and how it is written down (docs/FORMAT.md section 4.2).

use crate::crypto::{self, Secret};
use zeroize::Zeroizing;

/// Crockford's base 32: no letter that is easily taken for another.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const KEY_DIGITS: usize = 52;
const DIGITS: usize = 56;
const GROUP: usize = 4;

/// 256 bits that a person keeps on paper.
pub struct RecoveryKey(pub(super) Secret);

/// Why a text is no recovery key. Groups count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryKeyError {
    /// Not 56 digits but so many.
    #[error("{0} characters instead of {DIGITS}")]
    Length(usize),
    /// A character that stands for no digit.
    #[error("group {group} holds a character that is never used")]
    Character { group: usize },
    /// The checksum is wrong, and one digit of this group explains it.
    #[error("group {0} is mistyped")]
    Group(usize),
    /// The checksum is wrong.
    #[error("mistyped in more than one place")]
    Checksum,
}

type Digits = Zeroizing<[u8; DIGITS]>;

impl RecoveryKey {
    pub fn generate() -> RecoveryKey {
        RecoveryKey(Secret::random())
    }

    /// 14 groups of four with `-` in between.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(DIGITS + DIGITS / GROUP));
        for (position, digit) in digits_of(&self.0).iter().enumerate() {
            if position > 0 && position % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(*digit)]));
        }
        text
    }

    /// Reads what somebody typed: case, spaces and dashes do not matter, O counts as 0, I and L as 1.
    ///
    /// # Errors
    ///
    /// [`RecoveryKeyError::Character`], [`RecoveryKeyError::Length`]; where the checksum is wrong
    /// [`RecoveryKeyError::Group`] or [`RecoveryKeyError::Checksum`].
    pub fn parse(text: &str) -> Result<RecoveryKey, RecoveryKeyError> {
        let typed = || text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let length = typed().count();
        let mut digits = Zeroizing::new([0; DIGITS]);
        for (position, (digit, character)) in digits.iter_mut().zip(typed()).enumerate() {
            *digit =
                digit_of(character).ok_or(RecoveryKeyError::Character { group: position / GROUP + 1 })?;
        }
        if length != DIGITS {
            return Err(RecoveryKeyError::Length(length));
        }
        checked(&digits).map(RecoveryKey).ok_or_else(|| mistyped(digits))
    }
}

fn digit_of(character: char) -> Option<u8> {
    let canonical = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    ALPHABET.iter().position(|&digit| char::from(digit) == canonical).map(|value| value as u8)
}

fn digits_of(key: &Secret) -> Digits {
    let checksum = crypto::sha256(&[b"cryptfs v2 recovery", key.bytes()]);
    let mut digits = Zeroizing::new([0; DIGITS]);
    let bit = |bytes: &[u8; 32], at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    for (position, digit) in digits.iter_mut().enumerate() {
        let (bytes, first) = match position.checked_sub(KEY_DIGITS) {
            None => (key.bytes(), position),
            Some(position) => (&checksum, position),
        };
        *digit = (0..5).fold(0, |value, at| value << 1 | bit(bytes, first * 5 + at));
    }
    digits
}

/// The key, if all digits are those of a key.
fn checked(digits: &Digits) -> Option<Secret> {
    let mut key = Zeroizing::new([0; 32]);
    for at in 0..256 {
        key[at / 8] |= (digits[at / 5] >> (4 - at % 5) & 1) << (7 - at % 8);
    }
    let key = Secret::from_slice(&key[..])?;
    crypto::same(&digits_of(&key)[..], &digits[..]).then_some(key)
}

/// Which group is to blame: the only one in which another digit would make the checksum right.
fn mistyped(mut digits: Digits) -> RecoveryKeyError {
    let mut groups = Vec::new();
    for position in 0..DIGITS {
        let typed = digits[position];
        let fits = (0..32).any(|other| {
            digits[position] = other;
            checked(&digits).is_some()
        });
        digits[position] = typed;
        if fits && groups.last() != Some(&(position / GROUP + 1)) {
            groups.push(position / GROUP + 1);
        }
    }
    match groups[..] {
        [group] => RecoveryKeyError::Group(group),
        _ => RecoveryKeyError::Checksum,
    }
}

#[cfg(test)]
#[path = "recovery_key_tests.rs"]
mod tests;
