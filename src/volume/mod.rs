//! Inodes, directories and the journal over chunks (docs/FORMAT.md sections 7 to 9).
//!
//! Knows inode records, directory logs, file data and the order in which they become durable; not who asks. Above:
//! `fs`. Below: `chunk`.

mod ahead;
pub mod batch;
mod careful;
mod content;
pub mod directory;
mod directory_log;
mod durable;
mod error;
mod faults;
mod findings;
mod flush;
mod flusher;
mod freeze;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod inode;
mod journal;
mod kinds;
mod limits;
mod listing;
mod mend;
mod names;
mod namespace;
mod open_files;
mod others;
mod pending;
mod record;
mod reencrypt;
mod replay;
mod resize;
mod round;
mod stream;
mod survey;
mod sweep;
mod sync;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
pub(crate) mod tests;
#[allow(clippy::module_inception)]
mod volume;
mod walk;
mod wire;

pub use directory::Directory;
pub use error::{Damage, Error, Result};
pub use findings::{Finding, Report};
pub use inode::Inode;
pub use kinds::{Kind, Timestamp};
pub use namespace::{NewInode, Rename, Visit};
pub use record::{Encoded, Extension, Link, Record};
pub use reencrypt::Remains;
pub use survey::Sight;
pub use volume::{Options, Volume};
pub use wire::{Malformed, TooLarge};
