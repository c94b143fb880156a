//! The filesystem over a volume in memory: against a reference model with random operations, and case by case.

mod cases;
mod handles;
mod limits;
mod listing;
mod lost;
mod model;
mod nameless;
mod operations;
mod options;
mod permissions;
mod random;
mod support;
