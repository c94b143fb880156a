//! Writing back: commit, flush and checkpoint, fsync, and what is done about inodes that cannot be stored.

pub mod careful;
pub mod checkpoint;
pub mod durable;
pub mod flush;
pub mod flusher;
pub mod fsync;
pub mod salvage;
