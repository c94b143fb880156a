//! The primitives of docs/FORMAT.md section 2. The only module that names a crypto crate.
//!
//! Knows keys, nonces and bytes; no files, no chunks. Secrets are boxed, wiped on drop, and neither `Copy`, `Clone`
//! nor `Debug`. Above: `chunk` and `keys`.

mod aead;
#[cfg(feature = "aws-lc")]
mod aws_lc;
mod derive;
mod names;
mod passphrase;
mod random;
pub mod recipient;
mod rust_crypto;
mod secret;
mod sign;

pub use aead::{Aead, Cipher, NONCE, Nonce, TAG, Tag, Unauthentic};
pub use derive::{expand, expand_briefly, extract_and_expand, mac, same, sha256};
pub use names::NameCipher;
pub use passphrase::{Cost, CostError, stretch};
pub use random::{fill_random, random};
pub use secret::{Secret, hold_secrets};
pub use sign::{PUBLIC_KEY, Signature, is_signed, public_key, sign};
