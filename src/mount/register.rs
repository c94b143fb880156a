//! The entry of a mount in libmount's table, /run/mount/utab: only where there is one does umount(8) look for the helper that
//! waits until everything is written. mount(8) and umount(8) keep the table; of a mount that this program made by itself they
//! have to be told.
//!
//! Root's mounts only: fusermount3 tells of those that it makes. Above: `mod.rs`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::table::KIND;
use crate::sys::fuse as sys;

/// Without it umount(8) would look in vain.
const HELPER: &str = "/sbin/umount.cryptfs";

/// Enters a mount, which has to be served already: mount(8) looks at it. `remarks` stand beside, for other programs; also
/// where mount(8) had the mount made, which adds nothing to an entry that is there already.
pub fn enter(source: &OsStr, path: &Path, remarks: &[String]) {
    let options =
        ["uhelper=cryptfs".to_owned()].into_iter().chain(remarks.iter().cloned()).collect::<Vec<_>>();
    let options = options.join(",");
    let words = ["-i", "-f", "-t", KIND, "-o", &options].map(OsStr::new);
    tell("mount", words.into_iter().chain([source, path.as_os_str()]));
}

/// Takes it out. Nobody may look at the path for that (`-c`): where systemd unmounts what was idle, the kernel has whoever
/// looks wait until it is done, and it waits for this daemon.
pub fn leave(path: &Path) {
    tell("umount", ["-i", "-c", "--fake"].map(OsStr::new).into_iter().chain([path.as_os_str()]));
}

fn tell<'a>(program: &str, words: impl Iterator<Item = &'a OsStr>) {
    if sys::identity().0 != 0 || !Path::new(HELPER).exists() {
        return;
    }
    let quiet = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match quiet {
        Ok(status) if status.success() => {}
        Ok(status) => log::debug!("{program}(8) did not note the mount: {status}"),
        Err(error) => log::debug!("{program}(8) did not note the mount: {error}"),
    }
}
