//! The only module with `unsafe`: safe wrappers around libc, one file per topic.

pub mod process;
