//! Walks over the whole tree.

pub mod survey;
