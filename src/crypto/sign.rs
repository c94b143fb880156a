//! Ed25519 (docs/FORMAT.md section 2): who made something, for those who hold a public key.

use super::Secret;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

/// Bytes of a public key.
pub const PUBLIC_KEY: usize = 32;

pub type Signature = [u8; 64];

/// The public key that belongs to a seed.
pub fn public_key(seed: &Secret) -> [u8; PUBLIC_KEY] {
    // The expanded key lives for this call and is wiped when it is dropped.
    SigningKey::from_bytes(seed.bytes()).verifying_key().to_bytes()
}

pub fn sign(seed: &Secret, message: &[u8]) -> Signature {
    SigningKey::from_bytes(seed.bytes()).sign(message).to_bytes()
}

/// Whether the holder of the key's seed signed this message. Keys of small order sign nothing.
pub fn is_signed(public: &[u8; PUBLIC_KEY], message: &[u8], signature: &Signature) -> bool {
    let key = VerifyingKey::from_bytes(public);
    key.is_ok_and(|key| key.verify_strict(message, &signature.into()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 section 7.1, test 2.
    #[test]
    fn signs_as_the_rfc_says_and_refuses_changes() {
        let digit = |text: &str, at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        let hex = |text: &str| (0..text.len()).step_by(2).map(|at| digit(text, at)).collect::<Vec<u8>>();
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let seed = Secret::from_slice(&seed).unwrap();
        let public = public_key(&seed);
        assert_eq!(public[..], hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"));
        let mut signature = sign(&seed, &[0x72]);
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(signature[..], hex(expected));
        assert!(is_signed(&public, &[0x72], &signature));
        assert!(!is_signed(&public, &[0x73], &signature));
        assert!(!is_signed(&public_key(&Secret::random()), &[0x72], &signature));
        signature[40] ^= 1;
        assert!(!is_signed(&public, &[0x72], &signature));
    }

    /// Under a key of small order one signature holds for every message.
    #[test]
    fn a_key_of_small_order_signs_nothing() {
        let mut identity = [0; PUBLIC_KEY];
        identity[0] = 1;
        let signature: Signature = [&identity[..], &[0; 32]].concat().try_into().unwrap();
        assert!(!is_signed(&identity, b"anything", &signature));
    }
}
