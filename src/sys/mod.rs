//! Safe wrappers around libc: the only module with `unsafe`. One file per topic; each `unsafe` says why it is sound.

pub mod daemon;
pub mod fuse;
pub mod process;
pub mod terminal;
