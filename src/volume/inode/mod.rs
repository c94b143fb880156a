//! One inode in memory: its record, its chunks and chunk table, a directory's entries and their pending changes.

mod content;
pub mod directory;
pub mod entries;
pub mod extra_chunks;
pub mod joining;
mod links;
mod replayed;
pub mod room;
pub mod segments;
mod shown;
pub mod stamps;
pub mod state;
pub mod stored;
pub mod table;
mod transitions;
