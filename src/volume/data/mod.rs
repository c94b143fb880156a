//! File content: reading, writing, resizing. An attempt under an inode's lock returns what it wants first (`Step`); one
//! loop obeys and tries again.

mod attempt;
mod content;
mod grow;
mod resize;

use crate::volume::base::Base;
use crate::volume::cache::Cache;
use crate::volume::journal::Journal;
use crate::volume::writeback::Writeback;
use std::sync::Arc;

pub struct Data {
    pub base: Arc<Base>,
    pub cache: Arc<Cache>,
    pub journal: Arc<Journal>,
    pub writeback: Arc<Writeback>,
}
