//! The engine of choice: AWS-LC.

use super::{Aead, Cipher, Nonce, Secret, Tag, Unauthentic};
use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};

struct Engine(LessSafeKey);

pub(super) fn keyed(cipher: Cipher, key: &Secret) -> Box<dyn Aead> {
    let algorithm = match cipher {
        Cipher::Aes256Gcm => &AES_256_GCM,
        Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
    };
    let key = UnboundKey::new(algorithm, key.bytes()).expect("the key has 32 bytes");
    Box::new(Engine(LessSafeKey::new(key)))
}

impl Aead for Engine {
    fn seal(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8]) -> Tag {
        let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(associated), data);
        let tag = tag.expect("the data is far below the cipher's limit");
        tag.as_ref().try_into().expect("a tag has 16 bytes")
    }

    fn open(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), Unauthentic> {
        let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(*nonce);
        match self.0.open_in_place_separate_tag(nonce, Aad::from(associated), tag, data) {
            Ok(_) => Ok(()),
            Err(_) => Err(Unauthentic),
        }
    }
}
