//! HKDF-SHA256, HMAC-SHA256 and SHA-256. The labels stand with their users (docs/FORMAT.md section 2).

use super::Secret;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// HKDF-Expand with PRK = `key`, the concatenated parts of `info`, and 32 bytes of output.
pub fn expand(key: &Secret, info: &[&[u8]]) -> Secret {
    expand_into(Secret::zeros(), key, info)
}

/// As `expand`, for a secret that lives no longer than a call, such as a key until it is scheduled: to lock its memory is a system
/// call, for which all threads wait that map or fault in memory, and what was scheduled lies elsewhere.
pub fn expand_briefly(key: &Secret, info: &[&[u8]]) -> Secret {
    expand_into(Secret::brief(), key, info)
}

fn expand_into(mut out: Secret, key: &Secret, info: &[&[u8]]) -> Secret {
    let hkdf = Hkdf::<Sha256>::from_prk(key.bytes()).expect("the key has 32 bytes");
    hkdf.expand_multi_info(info, out.bytes_mut()).expect("32 bytes are within HKDF's limit");
    out
}

/// HKDF-Extract without salt over the concatenated parts of `input`, then HKDF-Expand to 32 bytes.
pub fn extract_and_expand(input: &[&[u8]], info: &[&[u8]]) -> Secret {
    let mut extract = hkdf::HkdfExtract::<Sha256>::new(None);
    input.iter().for_each(|part| extract.input_ikm(part));
    let (_, hkdf) = extract.finalize();
    let mut out = Secret::zeros();
    hkdf.expand_multi_info(info, out.bytes_mut()).expect("32 bytes are within HKDF's limit");
    out
}

/// HMAC-SHA256 over the concatenated parts.
pub fn mac(key: &Secret, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes any key");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// SHA-256 over the concatenated parts.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Whether two values are equal, in time that depends on their lengths only.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
