//! Names and attributes: the entries of directories, the links of inodes, and what their records say.

mod attributes;
mod nameless;
mod names;
pub mod operations;
pub mod outdated;
pub mod rename;
mod restore;
mod unseen;

use crate::volume::base::Base;
use crate::volume::cache::Cache;
use crate::volume::catalog::Catalog;
use crate::volume::journal::Journal;
use crate::volume::writeback::Writeback;
use std::sync::Arc;

pub struct Namespace {
    pub base: Arc<Base>,
    pub cache: Arc<Cache>,
    pub catalog: Arc<Catalog>,
    pub journal: Arc<Journal>,
    pub writeback: Arc<Writeback>,
}
