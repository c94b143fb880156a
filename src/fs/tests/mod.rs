//! The filesystem over a volume in memory: against a reference model with random operations, and case by case.

mod cases;
mod limits;
mod lost;
mod model;
mod operations;
mod permissions;
mod random;
mod support;
