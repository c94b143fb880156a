//! Bytes and values, and the limits of both (docs/FORMAT.md sections 7 to 10). Pure: no chunk, no lock, no file.

pub mod batch;
pub mod derived;
pub mod directory_log;
pub mod geometry;
pub mod journal;
pub mod kinds;
pub mod limits;
pub mod link;
pub mod record;
pub mod stamp;
pub mod wire;
