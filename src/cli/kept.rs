//! A passphrase that was typed, kept by the kernel for as long as the person said, so that it need not be typed again.
//!
//! Only where `-o keyring=` asks for it: until then every process of this user could read it. Below: `sys::keyring`.

use super::secret_input::{Given, LONGEST};
use crate::keys::VolumeId;
use crate::sys::keyring;
use std::ffi::CString;
use std::io;
use std::time::Duration;
use zeroize::Zeroizing;

/// The place of one volume's passphrase.
pub struct Kept {
    name: CString,
    duration: Duration,
}

impl Kept {
    pub fn new(volume: VolumeId, duration: Duration) -> Option<Kept> {
        Some(Kept { name: CString::new(format!("cryptfs:{volume}")).ok()?, duration })
    }

    /// What is kept, if something is.
    pub fn find(&self) -> Option<Given> {
        let mut secret = Zeroizing::new(Vec::with_capacity(LONGEST));
        match keyring::find(&self.name, &mut secret) {
            Ok(()) => Some(secret),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("the kernel's keyring cannot be read, so the passphrase is asked for: {error}");
                None
            }
        }
    }

    pub fn keep(&self, secret: &Given) {
        if let Err(error) = keyring::keep(&self.name, secret, self.duration) {
            log::warn!(
                "the passphrase cannot be kept in the kernel's keyring, and is asked for next time: {error}"
            );
        }
    }

    /// It opens nothing any more.
    pub fn forget(&self) {
        if let Err(error) = keyring::forget(&self.name) {
            log::debug!("a passphrase that was kept cannot be forgotten: {error}");
        }
    }
}
