//! A 256-bit secret in wiped, boxed memory.

use std::sync::OnceLock;
use zeroize::Zeroizing;

/// What is done with the memory of each secret before anything is in it.
static HOLD: OnceLock<fn(&[u8])> = OnceLock::new();

/// From now on tells `hold` where each new secret will lie, so that it can be kept from swap. Only the first call counts.
pub fn hold_secrets(hold: fn(&[u8])) {
    // Set before: that one stays.
    let _ = HOLD.set(hold);
}

/// 32 secret bytes. Lives in one place on the heap and is wiped on drop; duplicate it only on purpose.
pub struct Secret(Box<Zeroizing<[u8; 32]>>);

impl Secret {
    /// A fresh random secret.
    pub fn random() -> Secret {
        let mut secret = Secret::zeros();
        super::fill_random(secret.bytes_mut());
        secret
    }

    /// Copies a secret out of `bytes`; `None` if there are not exactly 32 of them.
    pub fn from_slice(bytes: &[u8]) -> Option<Secret> {
        let mut secret = Secret::zeros();
        if bytes.len() != secret.0.len() {
            return None;
        }
        secret.bytes_mut().copy_from_slice(bytes);
        Some(secret)
    }

    /// A second copy, for an owner of its own.
    pub fn duplicate(&self) -> Secret {
        let mut secret = Secret::zeros();
        secret.bytes_mut().copy_from_slice(self.bytes());
        secret
    }

    /// The secret bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Of which nobody is told: for one that lives no longer than a call.
    pub(super) fn brief() -> Secret {
        Secret(Box::new(Zeroizing::new([0; 32])))
    }

    pub(super) fn zeros() -> Secret {
        let secret = Secret::brief();
        if let Some(hold) = HOLD.get() {
            hold(secret.bytes());
        }
        secret
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }
}
