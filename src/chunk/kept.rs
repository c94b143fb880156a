//! What this device keeps of inodes outside of the backing folder, sealed: nobody who reads the state folder learns what is
//! in the volume, and what was changed there is not believed.

use super::InodeId;
use crate::crypto::{Aead, Cipher, Nonce, Secret, Tag, expand, random};
use std::sync::OnceLock;

const LABEL: &[u8] = b"cryptfs v2 kept attributes";
const NONCE: usize = size_of::<Nonce>();
const TAG: usize = size_of::<Tag>();

/// A key of the newest epoch, once it is needed.
#[derive(Default)]
pub struct KeptKey(OnceLock<Box<dyn Aead>>);

impl KeptKey {
    /// The same from then on, whatever it is asked with.
    pub fn of(&self, cipher: Cipher, content: &Secret) -> Kept<'_> {
        Kept(&**self.0.get_or_init(|| cipher.keyed(&expand(content, &[LABEL]))))
    }
}

pub struct Kept<'a>(&'a dyn Aead);

impl Kept<'_> {
    /// nonce ‖ ciphertext ‖ tag.
    pub fn seal(&self, id: InodeId, mut plain: Vec<u8>) -> Vec<u8> {
        let nonce: Nonce = random();
        let tag = self.0.seal(&nonce, &associated(id), &mut plain);
        [&nonce[..], &plain, &tag].concat()
    }

    /// `None` if it was not sealed so.
    pub fn open(&self, id: InodeId, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let nonce: Nonce = sealed.get(..NONCE)?.try_into().ok()?;
        let tag: Tag = *sealed.get(NONCE..)?.last_chunk()?;
        let end = sealed.len() - TAG;
        self.0.open(&nonce, &associated(id), &mut sealed[NONCE..end], &tag).ok()?;
        sealed.truncate(end);
        sealed.drain(..NONCE);
        Some(sealed)
    }
}

fn associated(id: InodeId) -> Vec<u8> {
    [LABEL, &id.0].concat()
}
