//! The chunk file: a small copy-on-write store of 4096-byte blocks (docs/FORMAT.md sections 5 and 6).
//!
//! Knows roots, maps, slots, commits and recovery; not what the bytes mean. Above: `volume`. Below: `crypto`, `store`.

mod context;
mod error;
mod ids;
mod stub;
pub use stub::*;

pub use context::Context;
pub use error::{Error, Result};
pub use ids::{ChunkId, Commit, DeviceId, InodeId, Version};
