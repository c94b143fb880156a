//! cryptfs: an encrypted filesystem for folders that somebody else's computer copies.
//!
//! `docs/ARCHITECTURE.md` says which module holds what, `docs/FORMAT.md` what the bytes on disk are.

#![deny(unsafe_code)]

// The ceiling is an example's module and one of the unit tests' too: both name the crate.
#[cfg(test)]
extern crate self as cryptfs;

pub mod check;
pub mod chunk;
pub mod cli;
pub mod crypto;
pub mod fs;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod keys;
mod locks;
pub mod mount;
mod mutant;
pub mod repair;
pub mod store;
pub mod sys;
#[cfg(test)]
mod test_rng;
pub mod trust;
pub mod volume;
