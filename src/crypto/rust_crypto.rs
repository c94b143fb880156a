//! The pure-Rust engine: used where AWS-LC was not built in, and as the second opinion in tests.

use super::{Aead, Cipher, Nonce, Secret, Tag, Unauthentic};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;

struct Engine<C>(C);

pub(super) fn keyed(cipher: Cipher, key: &Secret) -> Box<dyn Aead> {
    match cipher {
        Cipher::Aes256Gcm => Box::new(Engine(Aes256Gcm::new(key.bytes().into()))),
        Cipher::ChaCha20Poly1305 => Box::new(Engine(ChaCha20Poly1305::new(key.bytes().into()))),
    }
}

impl<C> Aead for Engine<C>
where
    C: AeadInOut<NonceSize = aes_gcm::aead::consts::U12, TagSize = aes_gcm::aead::consts::U16> + Send + Sync,
{
    fn seal(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8]) -> Tag {
        let tag = self.0.encrypt_inout_detached(nonce.into(), associated, data.into());
        tag.expect("the data is far below the cipher's limit").into()
    }

    fn open(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), Unauthentic> {
        self.0
            .decrypt_inout_detached(nonce.into(), associated, data.into(), tag.into())
            .map_err(|_| Unauthentic)
    }
}
