//! What this device keeps of inodes outside of the backing folder, sealed: nobody who reads the state folder learns what is
//! in the volume, and what was changed there is not believed.

use super::{Context, InodeId};
use crate::crypto::{Aead, Nonce, Tag, expand, random};
use std::sync::OnceLock;

const LABEL: &[u8] = b"cryptfs v2 kept attributes";
const NONCE: usize = size_of::<Nonce>();
const TAG: usize = size_of::<Tag>();

/// The key, once it is needed.
#[derive(Default)]
pub struct KeptKey(OnceLock<Box<dyn Aead>>);

impl Context {
    /// nonce ‖ ciphertext ‖ tag, under a key of the newest epoch.
    pub fn seal_kept(&self, id: InodeId, mut plain: Vec<u8>) -> Vec<u8> {
        let nonce: Nonce = random();
        let tag = self.kept_key().seal(&nonce, &associated(id), &mut plain);
        [&nonce[..], &plain, &tag].concat()
    }

    /// `None` if it was not sealed so.
    pub fn open_kept(&self, id: InodeId, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let nonce: Nonce = sealed.get(..NONCE)?.try_into().ok()?;
        let tag: Tag = *sealed.get(NONCE..)?.last_chunk()?;
        let end = sealed.len() - TAG;
        self.kept_key().open(&nonce, &associated(id), &mut sealed[NONCE..end], &tag).ok()?;
        sealed.truncate(end);
        sealed.drain(..NONCE);
        Some(sealed)
    }

    fn kept_key(&self) -> &dyn Aead {
        &**self.kept.0.get_or_init(|| self.cipher.keyed(&expand(&self.content[0], &[LABEL])))
    }
}

fn associated(id: InodeId) -> Vec<u8> {
    [LABEL, &id.0].concat()
}
