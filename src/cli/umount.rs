//! `cryptfs umount`: takes the mount away and waits until its daemon has written everything.

use super::advice::{self, Failure};
use super::args::Umount;
use crate::mount;
use std::fs::File;

pub fn run(arguments: &Umount) -> Result<(), Failure> {
    let path = &arguments.mountpoint;
    let found = mount::find(path).map_err(|error| advice::system(path.display(), &error))?;
    let found = found.ok_or_else(|| advice::not_mounted(path))?;
    let header = found.source().join("cryptfs.json");
    found.unmount().map_err(|error| advice::unmounting(path, &error))?;
    // The daemon holds an exclusive lock on this file until it has written everything. A folder that is gone, as
    // that of a stick pulled out too early, leaves nothing to wait for.
    match File::open(header) {
        Ok(file) => file.lock_shared().map_err(|error| advice::system(path.display(), &error)),
        Err(_) => Ok(()),
    }
}
