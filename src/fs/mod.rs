//! POSIX semantics over a volume: lookup, attributes, permissions, open-file rules.
//!
//! Knows no FUSE type and no ciphertext. Above: `mount`, through the operation trait in [`ops`]. Below: `volume`.

mod acl;
mod attributes;
mod data;
mod ending;
mod error;
mod filesystem;
mod groups;
mod listing;
mod lost;
mod namespace;
mod nodes;
mod numbers;
mod operations;
pub mod ops;
mod options;
mod permission;
mod seen;
mod stat;
mod stored;
#[cfg(test)]
mod tests;
mod xattrs;

pub use error::{Error, Result};
pub use filesystem::Filesystem;
pub use options::Options;
