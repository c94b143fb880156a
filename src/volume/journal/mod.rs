//! The journal: what is pending becomes a batch, is committed, and is replayed at mount.

pub mod file;
pub mod freeze;
pub mod pending;
pub mod replay;
