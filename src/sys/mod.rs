//! Safe wrappers around libc, one file per topic: the only place with `unsafe`. Every block says why it is sound.

#![allow(unsafe_code)]

pub mod clock;
pub mod daemon;
pub mod files;
pub mod filesystem;
pub mod fuse;
pub mod keyring;
pub mod memory;
pub mod metadata;
pub mod notify;
pub mod process;
pub mod scheduling;
pub mod service;
pub mod terminal;
pub mod uring;
