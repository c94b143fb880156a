//! Inodes, directories and the journal over chunks (docs/FORMAT.md sections 7 to 9).
//!
//! Above: `fs`. Below: `chunk`.

pub mod batch;
pub mod directory;
mod directory_log;
mod kinds;
mod record;
#[cfg(test)]
mod testing;
mod wire;

pub use directory::Directory;
pub use kinds::{Kind, Timestamp};
pub use record::{Encoded, Extension, Link, Record};
pub use wire::{Malformed, TooLarge};
