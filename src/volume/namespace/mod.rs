//! Names: the entries of directories and the links of inodes.

pub mod names;
pub mod operations;
