//! What the tests share: a clock that stands still until told, a volume in memory that can be mounted again, and
//! shorthands.

use crate::fs::ops::*;
use crate::fs::{Filesystem, Options, Result};
use crate::store::memory::Memory;
use crate::volume::tests::{CHUNK, Fixture};
use crate::volume::{self, Volume};
use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::Arc;

thread_local! {
    static SECONDS: Cell<i64> = const { Cell::new(4_000_000_000) };
}

/// The time of this thread's tests: later than when the volume was formatted.
pub(super) fn now() -> Timestamp {
    Timestamp { seconds: SECONDS.get(), nanoseconds: 5 }
}

pub(super) fn tick() {
    SECONDS.set(SECONDS.get() + 1);
}

pub(super) const ROOT_USER: Caller = Caller { uid: 0, gid: 0, pid: 0 };
pub(super) const USER: Caller = Caller { uid: 1000, gid: 1000, pid: 0 };
pub(super) const OTHER: Caller = Caller { uid: 2000, gid: 2000, pid: 0 };

/// A volume in a backing folder in memory.
pub(super) struct Backing {
    pub(super) store: Memory,
    keys: Fixture,
}

impl Backing {
    pub(super) fn new() -> Backing {
        let backing = Backing { store: Memory::new(), keys: Fixture::new() };
        Volume::format(&backing.keys.context(Arc::new(backing.store.clone())), CHUNK, 0, 0).unwrap();
        backing
    }

    fn volume(&self, read_only: bool) -> Arc<Volume> {
        let open_files = NonZeroUsize::new(64).unwrap();
        let options = volume::Options { chunk_size: CHUNK, read_only, open_files, stateless: false };
        Volume::open(self.keys.context(Arc::new(self.store.clone())), options).unwrap()
    }

    pub(super) fn mount(&self, check_permissions: bool) -> Filesystem {
        self.mount_volume(self.volume(false), check_permissions)
    }

    pub(super) fn mount_read_only(&self) -> Filesystem {
        self.mount_volume(self.volume(true), false)
    }

    pub(super) fn mount_with(&self, options: Options) -> Filesystem {
        Filesystem::with_clock(self.volume(false), options, now).unwrap()
    }

    fn mount_volume(&self, volume: Arc<Volume>, check_permissions: bool) -> Filesystem {
        Filesystem::with_clock(volume, Options { check_permissions, ..Options::default() }, now).unwrap()
    }
}

/// A mount of a new volume on which `default_permissions` is assumed.
pub(super) fn mounted() -> Filesystem {
    Backing::new().mount(false)
}

pub(super) fn make_file(
    fs: &Filesystem,
    caller: Caller,
    parent: NodeId,
    name: &str,
    mode: u32,
) -> Result<NodeId> {
    let new = NewNode { kind: Kind::File, mode, umask: 0, device: 0 };
    fs.make_node(caller, parent, name.as_bytes(), &new).map(|entry| entry.node)
}

pub(super) fn make_directory(
    fs: &Filesystem,
    caller: Caller,
    parent: NodeId,
    name: &str,
    mode: u32,
) -> Result<NodeId> {
    fs.make_directory(caller, parent, name.as_bytes(), mode, 0).map(|entry| entry.node)
}

pub(super) fn mode(fs: &Filesystem, node: NodeId) -> u32 {
    fs.attributes(node).unwrap().mode
}

pub(super) fn chmod(fs: &Filesystem, caller: Caller, node: NodeId, mode: u32) -> Result<Attributes> {
    fs.set_attributes(caller, node, &SetAttributes { mode: Some(mode), ..SetAttributes::default() })
}

pub(super) fn chown(
    fs: &Filesystem,
    caller: Caller,
    node: NodeId,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<Attributes> {
    fs.set_attributes(caller, node, &SetAttributes { uid, gid, ..SetAttributes::default() })
}

/// Names, kinds and cookies behind a cookie, at most `count` of them.
pub(super) fn list(
    fs: &dyn Operations,
    node: NodeId,
    cookie: u64,
    count: usize,
) -> Result<Vec<(Vec<u8>, Kind, u64)>> {
    let mut found = Vec::new();
    fs.read_directory(node, cookie, false, &mut |entry| {
        if found.len() < count {
            found.push((entry.name.to_vec(), entry.kind, entry.cookie));
            return true;
        }
        false
    })?;
    Ok(found)
}

/// An ACL in its xattr form, from (tag, permissions, id).
pub(super) fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        out.extend(tag.to_le_bytes().into_iter().chain(bits.to_le_bytes()).chain(id.to_le_bytes()));
    }
    out
}
