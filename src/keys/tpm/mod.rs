//! Sealing a secret to this machine's TPM 2.0 and getting it back, through the helper program `cryptfs-tpm`.
//!
//! The helper alone links the TSS: cryptfs starts without those libraries, and what they leave in memory dies with
//! the child. What is sealed is a fresh random secret, never a volume key; `keys` derives the slot key from it.
//! Here are both ends of the pipe's protocol and the client's end of the pipe; the other end is
//! `src/bin/cryptfs-tpm`.

mod client;
mod error;
mod fields;
mod pcrs;
pub mod protocol;
mod tcti;

pub use client::{Answer, Client, ClientError};
pub use error::TpmError;
pub use fields::{AuthValue, Lockout, PcrBank, SealedSecret, TpmInfo, TpmSlotFields, new_secret};
pub use fields::{NAME_LENGTH, TEMPLATE_ECC_P256};
pub use pcrs::{InvalidPcrs, PcrMask, secure_boot_is_on};
pub use tcti::{Tcti, TctiError};
