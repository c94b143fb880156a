//! POSIX semantics over a volume: lookup, attributes, permissions, open-file rules.
//!
//! Knows no FUSE type and no ciphertext. Above: `mount`, through the operation trait in [`ops`]. Below: `volume`.

mod acl;
mod attributes;
mod data;
mod ending;
mod error;
mod filesystem;
mod listing;
mod lost;
mod namespace;
mod nodes;
pub mod ops;
mod permission;
#[cfg(test)]
mod tests;
mod xattrs;

pub use error::{Error, Result};
pub use filesystem::{Filesystem, Options};
