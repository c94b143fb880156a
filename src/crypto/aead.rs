//! Authenticated encryption behind one small trait, so that two engines can be held against each other.

use super::{Secret, rust_crypto};

/// Bytes of a nonce.
pub const NONCE: usize = 12;
/// Bytes of a tag.
pub const TAG: usize = 16;

pub type Nonce = [u8; NONCE];
pub type Tag = [u8; TAG];

/// The bytes are not what was sealed under this key, nonce and associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unauthentic;

/// A cipher with its key scheduled.
pub trait Aead: Send + Sync {
    /// Encrypts `data` in place and returns the tag.
    fn seal(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8]) -> Tag;
    /// Authenticates and decrypts `data` in place. On failure the contents of `data` are unspecified.
    ///
    /// # Errors
    ///
    /// [`Unauthentic`] where this is not what was sealed.
    fn open(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8], tag: &Tag) -> Result<(), Unauthentic>;
}

/// The ciphers a volume may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Cipher {
    /// The name in the header.
    pub fn name(self) -> &'static str {
        match self {
            Cipher::Aes256Gcm => "aes-256-gcm",
            Cipher::ChaCha20Poly1305 => "chacha20-poly1305",
        }
    }

    /// The cipher with that name in a header.
    pub fn from_name(name: &str) -> Option<Cipher> {
        [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305].into_iter().find(|cipher| cipher.name() == name)
    }

    /// This cipher under `key`, by the fastest engine that was built in.
    pub fn keyed(self, key: &Secret) -> Box<dyn Aead> {
        #[cfg(feature = "aws-lc")]
        return super::aws_lc::keyed(self, key);
        #[cfg(not(feature = "aws-lc"))]
        rust_crypto::keyed(self, key)
    }

    /// This cipher under `key`, in pure Rust: the second opinion.
    pub fn keyed_in_rust(self, key: &Secret) -> Box<dyn Aead> {
        rust_crypto::keyed(self, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_agree_and_refuse_changes() {
        for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305] {
            for length in [0, 1, 15, 16, 17, 4052, 4096] {
                let key = Secret::random();
                let nonce = super::super::random();
                let mut plain = vec![0; length];
                super::super::fill_random(&mut plain);
                let (fast, rust) = (cipher.keyed(&key), cipher.keyed_in_rust(&key));
                let (mut a, mut b) = (plain.clone(), plain.clone());
                let tag = fast.seal(&nonce, b"ad", &mut a);
                assert_eq!((tag, &a), (rust.seal(&nonce, b"ad", &mut b), &b), "{cipher:?} {length}");
                rust.open(&nonce, b"ad", &mut a, &tag).unwrap();
                assert_eq!(a, plain);
                for engine in [&fast, &rust] {
                    let mut changed = tag;
                    changed[3] ^= 1;
                    assert_eq!(engine.open(&nonce, b"ad", &mut b.clone(), &changed), Err(Unauthentic));
                    assert_eq!(engine.open(&nonce, b"aD", &mut b.clone(), &tag), Err(Unauthentic));
                }
                fast.open(&nonce, b"ad", &mut b, &tag).unwrap();
                assert_eq!(b, plain);
            }
        }
    }
}
