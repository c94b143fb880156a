//! Safe wrappers around libc: the only place with `unsafe`. Every block says why it is sound.

#![allow(unsafe_code)]
pub mod files;
//! Safe wrappers around libc: the only module with `unsafe`. One file per topic; each `unsafe` says why it is sound.
pub mod fuse;
