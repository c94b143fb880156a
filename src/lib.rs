//! cryptfs: an encrypted filesystem for folders that somebody else's computer copies.
//!
//! `docs/ARCHITECTURE.md` says which module holds what, `docs/FORMAT.md` what the bytes on disk are.

#![deny(unsafe_code)]

pub mod chunk;
pub mod crypto;
pub mod fs;
pub mod store;
mod sys;
