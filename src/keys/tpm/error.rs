//! Everything that a TPM can answer instead of a secret.
//!
//! Each variant says what happened; what a person can do about it is said in `cli`.

use super::{Lockout, PcrMask};

/// Why the TPM did not seal or unseal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpmError {
    /// Nothing answers at this TCTI.
    #[error("no TPM 2.0 at {tcti}")]
    NoDevice { tcti: String },
    /// The device exists and this user may not open it.
    #[error("no permission on {tcti}")]
    NoPermission { tcti: String },
    /// Another program has the device to itself (only /dev/tpm0, never /dev/tpmrm0).
    #[error("{tcti} is in use by another program")]
    Busy { tcti: String },
    /// The storage root key is not the one the slot was sealed to, or an answer's HMAC was wrong: another TPM, a
    /// cleared TPM, or somebody on the bus.
    #[error("this slot belongs to another TPM, or the TPM was cleared, or its bus is being tampered with")]
    OtherTpm,
    /// The owner hierarchy has a password, and no storage root key was left at the usual handle.
    #[error("the TPM's owner hierarchy has a password")]
    OwnerPassword,
    /// The PCRs that the slot depends on differ from those at enrolment.
    #[error("the boot state has changed since enrolment (PCR {pcrs})")]
    BootStateChanged { pcrs: PcrMask },
    /// PCRs were extended during every one of the tries.
    #[error("the TPM's PCRs keep changing")]
    PcrsKeepChanging,
    /// The TPM has no PCRs for this hash algorithm, so a policy over them would hold for anyone.
    #[error("the TPM has no SHA-256 bank of PCRs")]
    NoPcrBank,
    #[error("wrong PIN ({} of {} tries left)", .0.tries_left(), .0.max_tries)]
    WrongPin(Lockout),
    /// Too many wrong tries; the TPM refuses all for now.
    #[error("the TPM is locked; one more try is allowed every {} s", .0.interval_seconds)]
    Locked(Lockout),
    /// The sealed object is not one that this TPM made, or was changed since.
    #[error("the TPM slot is damaged or was altered")]
    Damaged,
    /// No room for another key or session in the TPM.
    #[error("the TPM is out of memory for keys and sessions")]
    OutOfSlots,
    /// The TPM stopped answering, twice.
    #[error("the TPM stopped answering")]
    Gone,
    /// An answer that belongs to no known cause.
    #[error("unexpected TPM response {code:#x}")]
    Unexpected { code: u32 },
}
