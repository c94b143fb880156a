//! Inodes, directories and the journal over chunks (docs/FORMAT.md sections 7 to 9).
//!
//! Knows inode records, directory logs, file data and the order in which they become durable; not who asks. Above:
//! `fs`. Below: `chunk`.

mod arrival;
mod base;
mod cache;
mod catalog;
mod check;
mod condition;
mod data;
mod error;
mod findings;
pub(crate) mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod inode;
mod journal;
mod merge;
mod mutants;
mod namespace;
mod reader;
mod rotate;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
pub(crate) mod tests;
#[allow(clippy::module_inception)]
mod volume;
mod writeback;

pub use arrival::{Change, Changed, Observer};
pub use base::{Event, Options};
pub use check::survey::Sight;
pub use condition::{Condition, KnownDevice};
pub use error::{Damage, Error, Result};
pub use findings::{Finding, Report};
pub use format::kinds::{Kind, Timestamp};
pub use format::limits;
pub use format::record::{Encoded, Extension, Link, Record};
pub use format::stamp::Stamp;
pub use format::wire::{Malformed, TooLarge};
pub use inode::directory::{Directory, Visit};
pub use inode::state::Inode;
pub use journal::Device;
pub use journal::devices::JournalState;
pub use namespace::operations::NewInode;
pub use namespace::rename::Rename;
pub use reader::{Content, Layout, Lost, Node, Reader};
pub use rotate::Remains;
pub use volume::Volume;
