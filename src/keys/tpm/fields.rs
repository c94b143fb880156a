//! The values that travel between cryptfs and its TPM helper, and those that a slot stores.

use super::PcrMask;
use zeroize::Zeroizing;

/// Length in bytes of a TPM name under SHA-256: the algorithm's number and the digest.
pub const NAME_LENGTH: usize = 34;

/// The only storage root key template so far, systemd's: ECC P-256, AES-128-CFB, no dictionary-attack protection,
/// empty unique part.
pub const TEMPLATE_ECC_P256: u8 = 1;

/// A secret that a TPM seals: on the heap, wiped when dropped.
pub type SealedSecret = Box<Zeroizing<[u8; 32]>>;

/// A zeroed secret, to be filled in place so that no copy stays on the stack.
pub fn new_secret() -> SealedSecret {
    Box::new(Zeroizing::new([0; 32]))
}

/// What the TPM compares with what it was given at sealing time (the half `k2` of a stretched PIN).
///
/// Without trailing zeros: TPMs strip them, so that an HMAC over the longer value would never match.
pub struct AuthValue(Zeroizing<Vec<u8>>);

impl AuthValue {
    /// Longest value that a TPM takes for an object named by SHA-256.
    pub const MAX_LENGTH: usize = 32;

    /// None if the value is too long.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        (length <= Self::MAX_LENGTH).then(|| Self(Zeroizing::new(bytes[..length].to_vec())))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The hash algorithm whose PCR values count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PcrBank {
    Sha256,
}

/// What a `tpm2` slot stores of the sealed object. With `pin`, `keys` stores salt and Argon2 parameters beside it.
/// Nothing in it is secret; all of it has to be authenticated by the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmSlotFields {
    /// 0: derive the storage root key again from the template; else a persistent handle (0x81……).
    pub parent: u32,
    /// Which template the storage root key was derived from.
    pub template: u8,
    /// Name of the storage root key: what tells this TPM from another, and from a tampered bus.
    pub srk_name: [u8; NAME_LENGTH],
    pub bank: PcrBank,
    pub pcrs: PcrMask,
    /// What a policy session has to arrive at before the TPM unseals.
    pub policy_digest: [u8; 32],
    /// Whether an authorization value derived from a PIN is asked for.
    pub pin: bool,
    /// TPMT_PUBLIC of the sealed object, marshalled.
    pub public: Vec<u8>,
    /// TPM2B_PRIVATE's buffer of the sealed object: encrypted by the TPM for itself.
    pub private: Vec<u8>,
}

impl TpmSlotFields {
    /// Bounds in bytes of the two blobs; the ones sealed here have about 78 and 160.
    pub const MAX_PUBLIC_LENGTH: usize = 512;
    pub const MAX_PRIVATE_LENGTH: usize = 1024;
}

/// State of the TPM's protection against guessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Failed tries that count at the moment.
    pub failed_tries: u32,
    /// The number of failed tries at which the TPM locks.
    pub max_tries: u32,
    /// Seconds until the TPM forgets one failed try.
    pub interval_seconds: u32,
}

impl Lockout {
    pub fn tries_left(&self) -> u32 {
        self.max_tries.saturating_sub(self.failed_tries)
    }
}

/// What is known of a TPM that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmInfo {
    /// Four letters by which the TCG knows the maker, such as "INTC" or "IBM".
    pub manufacturer: String,
    pub lockout: Lockout,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_zeros_do_not_count() {
        assert_eq!(AuthValue::new(&[1, 0, 2, 0, 0]).unwrap().bytes(), [1, 0, 2]);
        assert_eq!(AuthValue::new(&[0; 64]).unwrap().bytes(), [0; 0]);
        assert!(AuthValue::new(&[1; 33]).is_none());
    }
}
