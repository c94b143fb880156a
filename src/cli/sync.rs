//! `cryptfs sync`: what sync(1) is thought to do. The kernel does not tell a FUSE filesystem that somebody called it.

use super::advice::{self, Failure};
use super::args::Sync;
use crate::mount;

/// Has everything in a mount made durable.
///
/// # Errors
///
/// `Exit::NotMounted`; `Exit::StaleMountpoint`; `Exit::Failed` where not everything could be.
pub fn run(arguments: &Sync) -> Result<(), Failure> {
    let path = &arguments.mountpoint;
    let found = mount::find(path).map_err(|error| advice::finding_mount(path, &error))?;
    found.ok_or_else(|| advice::not_mounted(path))?;
    mount::sync(path).map_err(|error| advice::syncing(path, &error))
}
