//! File content.

pub mod content;
pub mod resize;
