//! Repairing a volume: first a plan of what is to be done about the findings of a check, then the plan, step by step.
//!
//! Every change is made by the volume's own operations and goes through its journal, so that a crash loses nothing, and a
//! repair that was cut short is simply run again. Nothing is deleted: not what is damaged, which may be whole elsewhere,
//! nor what has not arrived; an inode without a name gets one. `plan` decides, `apply` does, `places` finds where
//! things belong.

mod apply;
mod places;
mod plan;
mod rest;

pub use apply::{Apply, Done, open_again};
pub use places::Home;
pub use plan::{Choices, Plan, Step};

/// The folder in the volume's root for what has no better place.
pub const LOST_FOUND: &[u8] = b"lost+found";
/// Behind the name of a file of which a part is lost: the copy of the rest.
pub const PARTIAL: &[u8] = b".partial";

#[cfg(test)]
mod tests;
