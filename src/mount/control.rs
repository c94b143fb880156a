//! What another process asks of a daemon through its mount: attributes of the root that no file can have, for their names
//! are outside of every namespace.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Transport, policy};
use crate::fs::ops::{Caller, NodeId, Operations};
use crate::fs::{Error, Result};
use crate::sys::{files, fuse as sys};

/// Read, it says what carries the requests.
pub const TRANSPORT: &str = "cryptfs.transport";
/// Read, it answers once everything is stored.
const STORE: &str = "cryptfs.store";
/// Set, it says that what cannot be stored is to be given up.
const DISCARD: &str = "cryptfs.discard";

/// The answer to reading an attribute that is not the filesystem's.
pub fn read(
    operations: &dyn Operations,
    node: NodeId,
    name: &[u8],
    transport: Transport,
) -> Option<Result<Vec<u8>>> {
    if policy::is_refused_xattr(name) {
        return Some(Err(Error::NoData));
    }
    let is = |known: &str| node == NodeId::ROOT && name == known.as_bytes();
    match () {
        () if is(TRANSPORT) => Some(Ok(transport.name().as_bytes().to_vec())),
        () if is(STORE) => Some(operations.store().map(|()| Vec::new())),
        () => None,
    }
}

/// The same for setting one. Only root and whoever mounted may.
pub fn set(operations: &dyn Operations, caller: Caller, node: NodeId, name: &[u8]) -> Option<Result<()>> {
    if policy::is_refused_xattr(name) {
        return Some(Err(Error::NotSupported));
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

/// Has the kernel write out what it holds of the mount at `path`, and its daemon store everything. A daemon that does not
/// know how to answers ENODATA.
pub fn store(path: &Path) -> io::Result<()> {
    files::sync_filesystem(&File::open(path)?)?;
    let path = CString::new(path.as_os_str().as_bytes())?;
    sys::get_xattr(&path, &CString::new(STORE)?, &mut []).map(|_| ())
}

/// Has the daemon of the mount at `path` give up what it cannot store.
pub fn discard(path: &Path) -> io::Result<()> {
    sys::set_xattr(&CString::new(path.as_os_str().as_bytes())?, &CString::new(DISCARD)?, b"1")
}
