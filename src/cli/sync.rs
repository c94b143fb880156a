//! `cryptfs sync`: what sync(1) is thought to do. The kernel does not tell a FUSE filesystem that somebody called it.

use super::advice::{self, Failure};
use super::apart::{self, Question};
use super::args::Sync;
use super::report;
use crate::mount;
use std::time::Duration;

/// How long nothing is said.
const QUIETLY: Duration = Duration::from_secs(5);

/// Has everything in a mount made durable.
///
/// # Errors
///
/// `Exit::NotMounted`; `Exit::StaleMountpoint`; `Exit::Failed` where not everything could be.
pub fn run(arguments: &Sync) -> Result<(), Failure> {
    let path = &arguments.mountpoint;
    let found = mount::find(path).map_err(|error| advice::finding_mount(path, &error))?;
    let by = found.ok_or_else(|| advice::not_mounted(path))?.entry().user;
    let asked = apart::ask(Question::Sync, path).map_err(|error| advice::system(path.display(), &error))?;
    let answer = asked.wait(Some(QUIETLY)).or_else(|| {
        report::complain(&advice::storing(path, None));
        asked.wait(None)
    });
    match answer {
        Some(Err(error)) => Err(advice::syncing(path, &error, by)),
        _ => Ok(()),
    }
}
