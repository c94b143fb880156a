//! `cryptfs umount`: takes the mount away and waits until its daemon has written everything.

use super::advice::{self, Failure};
use super::args::Umount;
use crate::mount;
use std::fs::File;
use std::io;
use std::path::Path;

pub fn run(arguments: &Umount) -> Result<(), Failure> {
    let path = &arguments.mountpoint;
    let found = mount::find(path).map_err(|error| advice::system(path.display(), &error))?;
    let found = found.ok_or_else(|| advice::not_mounted(path))?;
    let header = found.source().join("cryptfs.json");
    let stored = store(path, arguments.discard)?;
    found.unmount().map_err(|error| advice::unmounting(path, &error))?;
    // The daemon holds an exclusive lock on this file until it has written everything. A folder that is gone, as
    // that of a stick pulled out too early, leaves nothing to wait for.
    if let Ok(file) = File::open(header) {
        file.lock_shared().map_err(|error| advice::system(path.display(), &error))?;
    }
    stored.map_err(|error| advice::not_stored(path, &error))
}

/// Has everything stored while the mount can still be used to make room. On a lack of space the volume stays mounted; any
/// other error does not keep it, and is returned.
fn store(path: &Path, discard: bool) -> Result<io::Result<()>, Failure> {
    if discard {
        mount::discard(path).map_err(|error| advice::unmounting(path, &error))?;
    }
    let Err(error) = mount::store(path) else { return Ok(Ok(())) };
    match error.raw_os_error() {
        _ if discard => Ok(Ok(())),
        Some(libc::ENOSPC | libc::EDQUOT) => Err(advice::no_space_to_store(path, &error)),
        // The volume says so itself: nothing of it can be changed any more.
        Some(libc::EIO | libc::EROFS) => Ok(Err(error)),
        // Nobody is there, or nobody who would tell this user.
        _ => Ok(Ok(())),
    }
}
