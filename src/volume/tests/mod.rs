//! The volume over stores in memory.

mod accepted;
mod basic;
mod churn;
mod clock;
mod condition;
mod counts;
pub(crate) mod crash;
pub(crate) mod devices;
mod disk;
mod economy;
mod expected;
mod files;
mod full;
mod hostile;
mod journals;
mod kept;
mod killed;
mod limits;
mod placeholders;
mod readahead;
mod restart;
mod rotation;
mod seeing;
mod threads;

use super::format::geometry::Geometry;
use super::{Inode, Kind, NewInode, Options, Timestamp, Volume};
use crate::chunk::remembered::{self, Remembered};
use crate::chunk::{Context, DeviceId, Recall};
use crate::crypto::{Cipher, Secret};
use crate::store::Store;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// The smallest chunk size, so that files of several chunks are cheap.
pub(crate) const CHUNK: u64 = 1 << 20;
/// What chunk 0 holds of it.
pub(crate) const FIRST: u64 = 256 << 10;
pub(crate) const GEOMETRY: Geometry = Geometry::new(CHUNK);

/// Keys, a device and its memory that several openings of a volume share.
pub(crate) struct Fixture {
    name: Secret,
    content: Secret,
    pub device: DeviceId,
    pub remembered: Remembered,
}

impl Fixture {
    pub fn new() -> Fixture {
        let (device, remembered) = (DeviceId(*b"device 1"), Remembered::default());
        Fixture { name: Secret::random(), content: Secret::random(), device, remembered }
    }

    /// Another device with the same keys, which has seen nothing yet.
    pub fn another(&self, device: [u8; 8]) -> Fixture {
        let (name, content) = (self.name.duplicate(), self.content.duplicate());
        Fixture { name, content, device: DeviceId(device), remembered: Remembered::default() }
    }

    /// The same device with another memory.
    pub fn remembering(&self, remembered: Remembered) -> Fixture {
        let (name, content) = (self.name.duplicate(), self.content.duplicate());
        Fixture { name, content, device: self.device, remembered }
    }

    pub fn context(&self, store: Arc<dyn Store>) -> Arc<Context> {
        self.context_with(store, Arc::new(self.remembered.clone()))
    }

    pub fn context_with(&self, store: Arc<dyn Store>, recall: Arc<dyn Recall>) -> Arc<Context> {
        let content = vec![self.content.duplicate()];
        let context = Context::new(store, self.device, Cipher::Aes256Gcm, &self.name, content);
        Arc::new(context.remembering(recall).with_clock(clock::now))
    }

    pub fn format(&self, store: Arc<dyn Store>) -> Arc<Volume> {
        Volume::format(&self.context(store.clone()), CHUNK, 1000, 1000).unwrap();
        self.open(store)
    }

    pub fn open(&self, store: Arc<dyn Store>) -> Arc<Volume> {
        self.try_open(store).unwrap()
    }

    pub fn try_open(&self, store: Arc<dyn Store>) -> crate::volume::Result<Arc<Volume>> {
        Volume::open(self.context(store), options())
    }

    /// With another memory.
    pub fn try_open_with(
        &self,
        store: Arc<dyn Store>,
        recall: &Remembered,
    ) -> crate::volume::Result<Arc<Volume>> {
        Volume::open(self.context_with(store, Arc::new(recall.clone())), options())
    }
}

/// For tests of what stands above: the limits of this thread from now on, of the journal, of a tail, of a log.
pub(crate) fn lower_limits(journal: u64, tail: usize, compact: u64) {
    super::format::limits::lower(journal, tail, compact);
}

fn options() -> Options {
    Options {
        chunk_size: CHUNK,
        read_only: false,
        open_files: NonZeroUsize::new(64).unwrap(),
        stateless: false,
    }
}

pub(super) fn new(kind: Kind) -> NewInode<'static> {
    NewInode {
        kind,
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        device: 0,
        target: b"",
        xattrs: Vec::new(),
        now: Timestamp { seconds: 1_700_000_000, nanoseconds: 5 },
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp { seconds: 1_700_000_001, nanoseconds: 7 }
}

pub(super) fn file(volume: &Volume, name: &str, content: &[u8]) -> Arc<Inode> {
    let root = volume.root().unwrap();
    let inode = volume.create(&root, name.as_bytes(), new(Kind::File)).unwrap();
    volume.write(&inode, 0, content, now(), 0).unwrap();
    inode
}

pub(super) fn content(volume: &Volume, inode: &Arc<Inode>) -> Vec<u8> {
    let mut bytes = vec![0; inode.view(|record| record.size) as usize];
    assert_eq!(volume.read(inode, 0, &mut bytes).unwrap(), bytes.len());
    bytes
}

/// The content of a file in the root, if there is one.
pub(super) fn look(volume: &Volume, name: &str) -> Option<Vec<u8>> {
    let inode = volume.lookup(&volume.root().unwrap(), name.as_bytes()).unwrap()?;
    Some(content(volume, &inode))
}

pub(super) fn names(volume: &Volume, directory: &Arc<Inode>) -> Vec<String> {
    let mut names = Vec::new();
    let mut visit = |_: u64, name: &[u8], _, _| {
        names.push(String::from_utf8_lossy(name).into_owned());
        true
    };
    volume.read_directory(directory, 0, &mut visit).unwrap();
    names
}

/// Bytes that differ from place to place.
pub(super) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}
