//! One inode in memory: its record, its chunks and chunk table, a directory's entries and their pending changes.

pub mod directory;
pub mod entries;
pub mod extra_chunks;
pub mod state;
pub mod table;
