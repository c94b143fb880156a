//! Lower-case hex, the one spelling of binary values in JSON and in the names of slots.

use data_encoding::HEXLOWER;

/// Two digits a byte.
pub fn encode(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// The bytes of `text`; `None` for anything but pairs of lower-case digits, since a value has one spelling only.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    HEXLOWER.decode(text.as_bytes()).ok()
}

/// The `N` bytes of `text`.
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}
