//! Inodes and descriptors that are held in memory, and reading ahead into it.

pub mod open_files;
pub mod readahead;
pub mod walk;
