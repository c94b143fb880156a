//! Walks over the whole tree.

pub mod survey;

use crate::volume::base::Base;
use crate::volume::cache::Cache;
use crate::volume::catalog::Catalog;
use std::sync::Arc;

pub struct Check {
    pub base: Arc<Base>,
    pub cache: Arc<Cache>,
    pub catalog: Arc<Catalog>,
}
