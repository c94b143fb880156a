//! What another process asks of a daemon through its mount: attributes of the root that no file can have, for their names
//! are outside of every namespace.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Transport;
use crate::fs::ops::{Caller, Condition, NodeId, Operations, Statistics};
use crate::fs::{Error, Result};
use crate::sys::fuse as sys;
use serde::{Deserialize, Serialize};

/// Says what carries the requests.
const TRANSPORT: &CStr = c"cryptfs.transport";
/// Says how the volume is doing, in JSON.
const STATUS: &CStr = c"cryptfs.status";
/// Set, it has everything made durable.
const SYNC: &CStr = c"cryptfs.sync";
/// Set, it says that what cannot be stored is to be given up.
const DISCARD: &CStr = c"cryptfs.discard";
/// Set, it has a volume that stopped go on.
const RESTART: &CStr = c"cryptfs.restart";

/// The longest value of an attribute.
const LONGEST: usize = 1 << 16;

/// What a daemon says of its mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub transport: String,
    pub process: u32,
    /// Space in the backing filesystem, in bytes: what is left for this user, and all there is. `None`: it does not say, as
    /// where it is away.
    pub available: Option<u64>,
    pub capacity: Option<u64>,
    #[serde(flatten)]
    pub condition: Condition,
}

/// The value of an attribute that is not the filesystem's. How the volume is doing is for root and whoever mounted: the
/// names of devices are nobody else's business. What is done where an attribute is set is done too where its value is asked
/// for: the kernel asks for leave to write before it sets one.
///
/// # Errors
///
/// [`Error::NotPermitted`] for others than root and whoever mounted; what [`Operations::condition`] says, or [`set`].
pub fn get(
    operations: &dyn Operations,
    caller: Caller,
    node: NodeId,
    name: &[u8],
    transport: Transport,
) -> Option<Result<Vec<u8>>> {
    if node != NodeId::ROOT {
        return None;
    }
    if name == TRANSPORT.to_bytes() {
        return Some(Ok(transport.name().as_bytes().to_vec()));
    }
    if name != STATUS.to_bytes() {
        return set(operations, caller, node, name).map(|done| done.map(|()| Vec::new()));
    }
    Some(if is_owner(caller) { status(operations, transport) } else { Err(Error::NotPermitted) })
}

fn status(operations: &dyn Operations, transport: Transport) -> Result<Vec<u8>> {
    let space = operations.statistics().ok();
    let bytes = |blocks: fn(&Statistics) -> u64| {
        space.as_ref().map(|space| blocks(space).saturating_mul(space.block_size.into()))
    };
    let status = Status {
        transport: transport.name().to_owned(),
        process: std::process::id(),
        available: bytes(|space| space.available),
        capacity: bytes(|space| space.blocks),
        condition: operations.condition()?,
    };
    serde_json::to_vec(&status).map_err(|_| Error::Invalid)
}

fn is_owner(caller: Caller) -> bool {
    caller.uid == 0 || caller.uid == sys::identity().0
}

/// Whether this attribute has everything stored.
pub fn is_sync(node: NodeId, name: &[u8]) -> bool {
    node == NodeId::ROOT && name == SYNC.to_bytes()
}

/// The answer to setting an attribute that is not the filesystem's. Only root and whoever mounted may have anything given
/// up, or begun again.
///
/// # Errors
///
/// [`Error::NotPermitted`] as for [`get`]; what [`Operations::sync_all`] says.
pub fn set(operations: &dyn Operations, caller: Caller, node: NodeId, name: &[u8]) -> Option<Result<()>> {
    if node != NodeId::ROOT {
        return None;
    }
    if is_sync(node, name) {
        return Some(operations.sync_all());
    }
    if ![DISCARD, RESTART].iter().any(|known| name == known.to_bytes()) {
        return None;
    }
    if !is_owner(caller) {
        return Some(Err(Error::NotPermitted));
    }
    if name == RESTART.to_bytes() {
        return Some(operations.restart());
    }
    operations.give_up();
    Some(Ok(()))
}

/// What carries the requests of the mount at `path`, by the word that its daemon uses.
///
/// # Errors
///
/// What getxattr(2) says: the daemon is gone, or lets nobody else in.
pub fn transport_of(path: &Path) -> io::Result<String> {
    let mut value = [0; 16];
    let length = sys::get_xattr(&c_path(path)?, TRANSPORT, &mut value)?;
    String::from_utf8(value[..length].to_vec()).map_err(io::Error::other)
}

/// How the volume that is mounted at `path` is doing. Waits for as long as its daemon does not answer.
///
/// # Errors
///
/// What getxattr(2) says, or what came is none of ours.
pub fn status_of(path: &Path) -> io::Result<Status> {
    let mut value = vec![0; LONGEST];
    let length = sys::get_xattr(&c_path(path)?, STATUS, &mut value)?;
    serde_json::from_slice(&value[..length]).map_err(io::Error::other)
}

/// Has the daemon of the mount at `path` make everything durable, what the kernel still holds included.
///
/// # Errors
///
/// That of a write that failed, or what setxattr(2) says.
pub fn sync(path: &Path) -> io::Result<()> {
    sys::write_back(&File::open(path)?)?;
    tell(path, SYNC)
}

/// As `sync`, but for writes that failed: close told of those, and they may be of a file that is gone.
///
/// # Errors
///
/// What setxattr(2) says.
pub fn store(path: &Path) -> io::Result<()> {
    let root = File::open(path)?;
    // The kernel would not let the question pass, and nothing waits there.
    if sys::is_read_only(&root)? {
        return Ok(());
    }
    let _ = sys::write_back(&root);
    tell(path, SYNC)
}

/// Has the daemon of the mount at `path` give up what it cannot store.
///
/// # Errors
///
/// What setxattr(2) says.
pub fn discard(path: &Path) -> io::Result<()> {
    tell(path, DISCARD)
}

/// Has the daemon of the mount at `path` go on with a volume that stopped.
///
/// # Errors
/// What setxattr(2) says: it stopped again, or not everything can be stored yet.
pub fn restart(path: &Path) -> io::Result<()> {
    tell(path, RESTART)
}

/// Sets an attribute. Where the kernel lets nobody set one, since the root directory is not this user's to write or the mount
/// is read-only, asks for its value, which does the same; daemons of an earlier version have none.
fn tell(path: &Path, name: &CStr) -> io::Result<()> {
    let path = c_path(path)?;
    let Err(error) = sys::set_xattr(&path, name, b"1") else { return Ok(()) };
    if !matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS)) {
        return Err(error);
    }
    match sys::get_xattr(&path, name, &mut []) {
        Err(other) if matches!(other.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENODATA)) => Err(error),
        done => done.map(|_| ()),
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
