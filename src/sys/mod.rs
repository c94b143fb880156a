//! Safe wrappers around libc: the only place with `unsafe`. Every block says why it is sound.

#![allow(unsafe_code)]

pub mod files;
