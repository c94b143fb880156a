//! What the holder of the backing folder may do: the rows of the attack matrix (docs/testing-attacks.md).
//!
//! A [`HostileFixture`] is a volume that was closed. An attack changes the files of it, named by chunk; what is read afterwards
//! must be right, or an error of the chunk that was touched.

mod absence;
#[path = "../../../../tests/support/attacked.rs"]
mod attacked;
mod bombs;
mod calm;
mod directories;
mod files;
mod folder;
mod freshness;
mod leaks;
mod live;
mod random;
mod stamps;
pub(super) mod told;

use super::*;
use crate::chunk::{BLOCK, ChunkId, ChunkIndex, InodeId};
use crate::store::FileName;
use crate::store::Store;
use crate::store::memory::{Memory, Snapshot};
use crate::volume::{Error, Result};
use attacked::ENTRIES;
use std::collections::BTreeMap;
use std::io::IoSlice;

/// A closed volume with some files, what they hold, and its backing files as they were left.
struct HostileFixture {
    fixture: Fixture,
    store: Memory,
    files: BTreeMap<&'static str, Vec<u8>>,
    ids: BTreeMap<&'static str, InodeId>,
    left: Snapshot,
    /// What the device remembered then.
    known: remembered::Snapshot,
}

impl HostileFixture {
    /// With [`ENTRIES`].
    fn new() -> HostileFixture {
        let fixture = Fixture::new();
        let store = Memory::new();
        let volume = fixture.format(Arc::new(store.clone()));
        let root = volume.root().unwrap();
        let mut ids = BTreeMap::from([("", InodeId::ROOT)]);
        let mut files = BTreeMap::new();
        let (folders, sizes): (Vec<_>, Vec<_>) =
            ENTRIES.into_iter().partition(|(path, _)| path.ends_with('/'));
        for name in folders.iter().map(|(path, _)| path.trim_end_matches('/')) {
            ids.insert(name, volume.create(&root, name.as_bytes(), new(Kind::Directory)).unwrap().id());
        }
        for (seed, (path, size)) in sizes.into_iter().enumerate() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = volume.inode(ids[parent]).unwrap();
            let inode = volume.create(&parent, name.as_bytes(), new(Kind::File)).unwrap();
            let content = pattern(size, seed as u64 + 1);
            volume.write(&inode, 0, &content, now(), 0).unwrap();
            ids.insert(path, inode.id());
            files.insert(path, content);
        }
        volume.close().unwrap();
        let left = store.snapshot();
        fixture.remembered.restart();
        let known = fixture.remembered.snapshot();
        HostileFixture { fixture, store, files, ids, left, known }
    }

    fn open(&self) -> Result<Arc<Volume>> {
        self.fixture.try_open(Arc::new(self.store.clone()))
    }

    /// From now on the device has never seen the volume.
    fn forget(&self) {
        self.fixture.remembered.restore(&Default::default());
    }

    /// The backing file of a chunk.
    fn name(&self, path: &str, index: u32) -> FileName {
        self.file_name(ChunkId { inode: self.ids[path], index: ChunkIndex(index) })
    }

    fn file_name(&self, id: ChunkId) -> FileName {
        self.fixture.context(Arc::new(self.store.clone())).file_name(id)
    }

    fn identify(&self, name: FileName) -> ChunkId {
        self.fixture.context(Arc::new(self.store.clone())).identify(name).unwrap()
    }

    /// Every backing file with the chunk that it is.
    fn chunks(&self) -> Vec<(FileName, ChunkId)> {
        self.store.names().into_iter().map(|name| (name, self.identify(name))).collect()
    }

    fn bytes(&self, name: FileName) -> Vec<u8> {
        bytes(&self.store, name)
    }

    fn put(&self, name: FileName, bytes: &[u8]) {
        put(&self.store, name, bytes);
    }

    fn swap(&self, a: FileName, b: FileName) {
        let (in_a, in_b) = (self.bytes(a), self.bytes(b));
        self.put(a, &in_b);
        self.put(b, &in_a);
    }

    /// Attacks the folder as it was left, and reads everything: whatever has nothing to do with the touched chunks is
    /// right, the rest is right or an error. Returns the paths that cannot be read; `""` for a volume that refuses to
    /// open.
    fn attack(&self, touched: &[ChunkId], what: &str, attack: impl FnOnce()) -> Vec<&'static str> {
        self.store.restore(&self.left);
        self.fixture.remembered.restore(&self.known);
        attack();
        let is_touched = |id| touched.iter().any(|chunk: &ChunkId| chunk.inode == id);
        let volume = match self.open() {
            Ok(volume) => volume,
            Err(error) => {
                assert_damage(&error, what);
                let bears = touched.iter().any(|chunk| chunk.inode.journal_of().is_some());
                assert!(bears || is_touched(InodeId::ROOT), "{what}: the volume does not open: {error}");
                return vec![""];
            }
        };
        let mut broken = Vec::new();
        for (path, content) in &self.files {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            match read_path(&volume, path) {
                Ok(found) => assert!(found == *content, "{what}: wrong bytes in {path}"),
                Err(error) => {
                    assert_damage(&error, what);
                    let bears = [path, parent, ""].iter().any(|path| is_touched(self.ids[path]));
                    assert!(bears, "{what}: {path} was not touched: {error}");
                    broken.push(*path);
                }
            }
        }
        for directory in ["", "x", "y"] {
            self.check_listing(&volume, directory, is_touched(self.ids[directory]), what);
        }
        broken
    }

    /// A directory shows all its names, or an error.
    fn check_listing(&self, volume: &Volume, path: &str, touched: bool, what: &str) {
        let mut expected: Vec<&str> = self
            .ids
            .keys()
            .filter(|other| !other.is_empty())
            .filter_map(|other| {
                let (parent, name) = other.rsplit_once('/').unwrap_or(("", other));
                (parent == path).then_some(name)
            })
            .collect();
        expected.sort_unstable();
        let listed = volume.inode(self.ids[path]).and_then(|inode| list(volume, &inode));
        match listed {
            Ok(mut names) => {
                names.sort();
                assert_eq!(names, expected, "{what}: the listing of {path:?}");
            }
            Err(error) => {
                assert_damage(&error, what);
                assert!(touched, "{what}: the directory {path:?} was not touched: {error}");
            }
        }
    }
}

fn bytes(store: &Memory, name: FileName) -> Vec<u8> {
    let file = store.open(name).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Puts a file in the place of whatever has the name.
fn put(store: &Memory, name: FileName, bytes: &[u8]) {
    store.create(name).unwrap().write_at(0, &[IoSlice::new(bytes)]).unwrap();
}

fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Damaged(..) | Error::NotArrived(_))
}

fn assert_damage(error: &Error, what: &str) {
    assert!(is_damage(error), "{what}: {error}");
}

fn list(volume: &Volume, directory: &Arc<Inode>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut visit = |_: u64, name: &[u8], _, _| {
        names.push(String::from_utf8_lossy(name).into_owned());
        true
    };
    volume.read_directory(directory, 0, &mut visit)?;
    Ok(names)
}

/// The inode at a path; a name that is not there fails the test.
fn find(volume: &Volume, path: &str) -> Result<Arc<Inode>> {
    path.split('/').filter(|name| !name.is_empty()).try_fold(volume.root()?, |at, name| {
        Ok(volume.lookup(&at, name.as_bytes())?.unwrap_or_else(|| panic!("{path} is gone")))
    })
}

fn read_all(volume: &Volume, inode: &Arc<Inode>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; inode.view(|record| record.size) as usize];
    let length = volume.read(inode, 0, &mut bytes)?;
    assert_eq!(length, bytes.len(), "a read that ends early");
    Ok(bytes)
}

fn read_path(volume: &Volume, path: &str) -> Result<Vec<u8>> {
    read_all(volume, &find(volume, path)?)
}

/// The numbers of a file's blocks that cannot be read; those that can must be right.
fn bad_blocks(volume: &Volume, inode: &Arc<Inode>, content: &[u8]) -> Vec<usize> {
    let bad = |(number, expected): (usize, &[u8])| {
        let mut block = vec![0; expected.len()];
        match volume.read(inode, (number * BLOCK) as u64, &mut block) {
            Ok(length) => {
                assert!(length == expected.len() && block == expected, "block {number} is wrong");
                None
            }
            Err(error) => {
                assert_damage(&error, "a block");
                Some(number)
            }
        }
    };
    content.chunks(BLOCK).enumerate().filter_map(bad).collect()
}
