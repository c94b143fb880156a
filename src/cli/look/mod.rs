//! Looking into a volume without mounting it: `ls`, `tree`, `cat`, `stat`, `du`, `locate`. Neighbours: `target.rs` opens the volume,
//! `shown.rs` has how an inode is printed; `cli/export` copies.

mod cat;
mod du;
mod list;
mod locate;
mod shown;
mod stat;
mod target;

pub use cat::run as cat;
pub use du::run as du;
pub use list::{ls, tree};
pub use locate::run as locate;
pub use shown::{device, put};
pub use stat::run as stat;
pub use target::{Opened, Unread, below, is_within, split};
