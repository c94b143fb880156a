//! What another process asks of a daemon through its mount: attributes of the root that no file can have, for their names
//! are outside of every namespace.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::policy;
use crate::fs::ops::{Caller, NodeId, Operations};
use crate::fs::{Error, Result};
use crate::sys::fuse as sys;

/// Set, it says that what cannot be stored is to be given up.
const DISCARD: &str = "cryptfs.discard";

/// The answer to setting an attribute that is not the filesystem's. Only root and whoever mounted may have anything given
/// up.
pub fn set(operations: &dyn Operations, caller: Caller, node: NodeId, name: &[u8]) -> Option<Result<()>> {
    if policy::is_sync(node, name) {
        return Some(operations.sync_all());
    }
    if node != NodeId::ROOT || name != DISCARD.as_bytes() {
        return None;
    }
    if caller.uid != 0 && caller.uid != sys::identity().0 {
        return Some(Err(Error::NotPermitted));
    }
    operations.give_up();
    Some(Ok(()))
}

/// As `sync`, but for writes that failed: close told of those, and they may be of a file that is gone.
pub fn store(path: &Path) -> io::Result<()> {
    let _ = sys::write_back(&File::open(path)?);
    sys::set_xattr(&CString::new(path.as_os_str().as_bytes())?, &CString::new(policy::SYNC_XATTR)?, b"")
}

/// Has the daemon of the mount at `path` give up what it cannot store.
pub fn discard(path: &Path) -> io::Result<()> {
    sys::set_xattr(&CString::new(path.as_os_str().as_bytes())?, &CString::new(DISCARD)?, b"1")
}
