//! Chunk files and journals in the store: listing, identifying and removing them.

pub mod sweep;
