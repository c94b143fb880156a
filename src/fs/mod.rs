//! POSIX semantics over a volume: lookup, attributes, permissions, open-file rules.
//!
//! Knows no FUSE type and no ciphertext. Above: `mount`, through the operation trait in [`ops`]. Below: `volume`.

mod error;
pub mod ops;

pub use error::{Error, Result};
