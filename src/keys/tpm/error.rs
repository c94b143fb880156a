//! Everything that a TPM can answer instead of a secret.
//!
//! Each variant says what happened; what a person can do about it is said in `cli`.

use super::{Lockout, PcrMask};
use std::fmt;

/// Why the TPM did not seal or unseal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TpmError {
    /// Nothing answers at this TCTI.
    NoDevice {
        tcti: String,
    },
    /// The device exists and this user may not open it.
    NoPermission {
        tcti: String,
    },
    /// Another program has the device to itself (only /dev/tpm0, never /dev/tpmrm0).
    Busy {
        tcti: String,
    },
    /// The storage root key is not the one the slot was sealed to, or an answer's HMAC was wrong: another TPM, a
    /// cleared TPM, or somebody on the bus.
    OtherTpm,
    /// The owner hierarchy has a password, and no storage root key was left at the usual handle.
    OwnerPassword,
    /// The PCRs that the slot depends on differ from those at enrolment.
    BootStateChanged {
        pcrs: PcrMask,
    },
    /// PCRs were extended during every one of the tries.
    PcrsKeepChanging,
    /// The TPM has no PCRs for this hash algorithm, so a policy over them would hold for anyone.
    NoPcrBank,
    WrongPin(Lockout),
    /// Too many wrong tries; the TPM refuses all for now.
    Locked(Lockout),
    /// The sealed object is not one that this TPM made, or was changed since.
    Damaged,
    /// No room for another key or session in the TPM.
    OutOfSlots,
    /// The TPM stopped answering, twice.
    Gone,
    /// An answer that belongs to no known cause.
    Unexpected {
        code: u32,
    },
}

impl fmt::Display for TpmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice { tcti } => write!(f, "no TPM 2.0 at {tcti}"),
            Self::NoPermission { tcti } => write!(f, "no permission on {tcti}"),
            Self::Busy { tcti } => write!(f, "{tcti} is in use by another program"),
            Self::OtherTpm => f.write_str(
                "this slot belongs to another TPM, or the TPM was cleared, or its bus is being tampered with",
            ),
            Self::OwnerPassword => f.write_str("the TPM's owner hierarchy has a password"),
            Self::BootStateChanged { pcrs } => write!(f, "boot state changed since enrolment (PCR {pcrs})"),
            Self::PcrsKeepChanging => f.write_str("PCRs are being extended all the time"),
            Self::NoPcrBank => f.write_str("the TPM has no SHA-256 bank of PCRs"),
            Self::WrongPin(lockout) => {
                write!(f, "wrong PIN ({} of {} tries left)", lockout.tries_left(), lockout.max_tries)
            }
            Self::Locked(lockout) => {
                write!(f, "TPM locked; a try returns every {} s", lockout.interval_seconds)
            }
            Self::Damaged => f.write_str("TPM slot damaged or altered"),
            Self::OutOfSlots => f.write_str("TPM out of memory for keys and sessions"),
            Self::Gone => f.write_str("the TPM stopped answering"),
            Self::Unexpected { code } => write!(f, "unexpected TPM response {code:#x}"),
        }
    }
}

impl std::error::Error for TpmError {}
