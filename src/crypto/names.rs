//! AES-256 on single blocks: what chunk names are made with.

use super::Secret;
use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// A keyed permutation of 16-byte blocks.
pub struct NameCipher(Aes256);

impl NameCipher {
    pub fn new(key: &Secret) -> NameCipher {
        NameCipher(Aes256::new(key.bytes().into()))
    }

    pub fn encrypt(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        self.0.encrypt_block(&mut block);
        block.into()
    }

    pub fn decrypt(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        self.0.decrypt_block(&mut block);
        block.into()
    }
}
