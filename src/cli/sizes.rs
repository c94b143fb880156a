//! Sizes as people type them.

use crate::keys::ChunkSize;

/// A chunk size such as `4M`, `4MiB` or `4194304`.
pub fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    bytes(text).and_then(ChunkSize::new).ok_or_else(|| "it is a power of two from 1M to 16M".to_owned())
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
    use super::bytes;

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
}
