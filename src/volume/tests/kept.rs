//! What this device keeps of attributes spares opening files, and is believed of no file that changed.

use super::*;
use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::store::directory::Directory;
use crate::store::faulty::{Call, Faulty};
use crate::volume::Error;
use crate::volume::mutants::{Mutant, plant};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

struct Kept {
    fixture: Fixture,
    folder: tempfile::TempDir,
    store: Arc<Faulty>,
}

impl Kept {
    /// Forty files and a directory, of which a mount kept the attributes.
    fn new() -> Kept {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let fixture = Fixture::new();
        let store = Arc::new(Faulty::new(Arc::new(Directory::open(folder.path(), false).unwrap())));
        let volume = fixture.format(store.clone());
        volume.cache.use_kept();
        let root = volume.root().unwrap();
        // The kernel knows them until the end.
        let _files: Vec<_> = (0..40).map(|n| file(&volume, &name(n), &body(n))).collect();
        let _directory = volume.create(&root, b"directory", new(Kind::Directory)).unwrap();
        volume.close().unwrap();
        Kept { fixture, folder, store }
    }

    /// A mount that believes in what is kept.
    fn open(&self) -> Arc<Volume> {
        let volume = self.fixture.open(self.store.clone());
        volume.cache.use_kept();
        self.store.reset();
        volume
    }

    fn opened(&self) -> usize {
        self.store.log().iter().filter(|event| event.call == Call::Open).count()
    }

    fn path(&self, volume: &Volume, name: &str) -> PathBuf {
        let id = self.id(volume, name);
        self.folder.path().join(volume.base.context.file_name(id).path())
    }

    fn id(&self, volume: &Volume, name: &str) -> ChunkId {
        let entry = volume.entry(&volume.root().unwrap(), name.as_bytes()).unwrap().unwrap();
        ChunkId::first(entry.0)
    }
}

fn name(n: usize) -> String {
    format!("f{n}")
}

fn body(n: usize) -> Vec<u8> {
    pattern(100 + n, n as u64)
}

#[test]
fn a_first_look_opens_no_file() {
    let kept = Kept::new();
    let volume = kept.open();
    let root = volume.root().unwrap();
    for n in 0..40 {
        let inode = volume.lookup(&root, name(n).as_bytes()).unwrap().unwrap();
        assert_eq!(inode.view(|record| (record.size, record.modified)), (100 + n as u64, now()));
    }
    let directory = volume.lookup(&root, b"directory").unwrap().unwrap();
    assert!(directory.is_directory());
    assert_eq!(kept.opened(), 0);
    // What is there for more than a look is as it was: content, changes, what is in a directory.
    assert_eq!(look(&volume, "f7").unwrap(), body(7));
    let inode = volume.lookup(&root, b"f8").unwrap().unwrap();
    volume.write(&inode, 108, b"more", now(), 0).unwrap();
    assert!(names(&volume, &directory).is_empty());
    let _new = file(&volume, "new", b"new");
    volume.close().unwrap();
    let volume = kept.open();
    assert_eq!(look(&volume, "f8").unwrap(), [&body(8)[..], b"more"].concat());
    assert_eq!(
        volume.lookup(&volume.root().unwrap(), b"new").unwrap().unwrap().view(|record| record.size),
        3
    );
    assert_eq!(kept.opened(), 1, "the content of f8");
}

/// As `stat *` does.
#[test]
fn who_waits_for_names_in_their_order_has_the_next_ones_loaded() {
    let kept = Kept::new();
    let volume = kept.fixture.open(kept.store.clone());
    volume.cache.start_readahead();
    kept.store.fail_when(|event| {
        if event.call == Call::Open {
            thread::sleep(Duration::from_millis(1));
        }
        None
    });
    let root = volume.root().unwrap();
    let ids: Vec<_> = (0..40).map(|n| kept.id(&volume, &name(n)).inode).collect();
    let _looked_at = [8, 9].map(|n| volume.lookup(&root, name(n).as_bytes()).unwrap().unwrap());
    let loaded = |ids: &[InodeId]| ids.iter().filter(|id| volume.cache.peek(**id).is_some()).count();
    let deadline = Instant::now() + Duration::from_secs(20);
    while loaded(&ids[10..26]) < 16 {
        assert!(Instant::now() < deadline, "they are not loaded");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(loaded(&ids[26..]), 0, "so many are not worth it yet");
    volume.close().unwrap();
}

/// As tar and grep -r do, in the order of the listing.
#[test]
fn who_reads_files_in_their_order_has_the_next_ones_opened() {
    let kept = Kept::new();
    let volume = kept.open();
    volume.cache.start_readahead();
    let (root, mut files) = (volume.root().unwrap(), Vec::new());
    volume.expect_entries(&root, 0).unwrap();
    volume
        .read_directory(&root, 0, &mut |_, name, _, kind| {
            files.extend((kind == Kind::File).then(|| name.to_vec()));
            true
        })
        .unwrap();
    let files: Vec<_> = files.iter().map(|name| volume.lookup(&root, name).unwrap().unwrap()).collect();
    assert_eq!(kept.opened(), 0);
    for file in &files[..2] {
        content(&volume, file);
    }
    let is_open = |inode: &Arc<Inode>| inode.state.read().first_chunk.is_some();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !files[..18].iter().all(is_open) {
        assert!(Instant::now() < deadline, "they are not opened");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(!files[18..].iter().any(is_open), "so many are not worth it yet");
    volume.close().unwrap();
}

/// Another file took the place of the one that was looked at, before what was looked at is kept.
#[test]
fn what_was_replaced_before_the_end_is_not_kept() {
    for is_closed in [false, true] {
        let kept = Kept::new();
        let volume = kept.open();
        let (root, path) = (volume.root().unwrap(), kept.path(&volume, "f5"));
        let inode = volume.lookup(&root, b"f5").unwrap().unwrap();
        volume.write(&inode, 0, b"changed", now(), 0).unwrap();
        volume.sync_all().unwrap();
        if is_closed {
            inode.state.write().close(ChunkIndex::FIRST);
        }
        let aside = path.with_extension("tmp");
        fs::copy(&path, &aside).unwrap();
        fs::rename(&aside, &path).unwrap();
        volume.close().unwrap();
        let volume = kept.open();
        volume.lookup(&volume.root().unwrap(), b"f5").unwrap().unwrap();
        assert_eq!(kept.opened(), 1, "{is_closed}");
    }
}

/// A file that took another one's place, or changed, with the same length.
fn a_file_that_changed_is_read() {
    let kept = Kept::new();
    let volume = kept.open();
    let path = kept.path(&volume, "f5");
    let inode = volume.lookup(&volume.root().unwrap(), b"f5").unwrap().unwrap();
    volume.write(&inode, 0, b"changed", now(), 0).unwrap();
    volume.close().unwrap();
    drop(inode);
    // The same length, and the number of the file.
    let length = fs::metadata(&path).unwrap().len();
    fs::write(&path, vec![7; length as usize]).unwrap();
    let volume = kept.open();
    let found = volume.lookup(&volume.root().unwrap(), b"f5");
    assert!(matches!(found, Err(Error::Damaged(..))), "it was not looked at");
    assert!(kept.opened() >= 1);
}

#[test]
fn what_changed_is_not_believed() {
    a_file_that_changed_is_read();
    plant(Some(Mutant::MarksIgnored));
    let outcome = std::panic::catch_unwind(a_file_that_changed_is_read);
    plant(None);
    assert!(outcome.is_err(), "not noticed");
}

/// Opened without a mount, as by a check: that is to find what is damaged.
#[test]
fn what_is_kept_counts_in_a_mount_only() {
    let kept = Kept::new();
    let volume = kept.fixture.open(kept.store.clone());
    kept.store.reset();
    volume.lookup(&volume.root().unwrap(), b"f3").unwrap().unwrap();
    assert_eq!(kept.opened(), 1);
}

#[test]
fn what_was_tampered_with_is_not_believed() {
    let kept = Kept::new();
    let volume = kept.open();
    let ids = [kept.id(&volume, "f1").inode, kept.id(&volume, "f2").inode];
    let recall = &kept.fixture.remembered;
    let sealed = ids.map(|id| recall.attributes(id).unwrap());
    let mut flipped = sealed[0].clone();
    flipped[40] ^= 1;
    // Changed; another inode's; cut short.
    for wrong in [&flipped[..], &sealed[1], &sealed[0][..20], &[]] {
        recall.keep_attributes(&[(ids[0], wrong.to_vec())]);
        assert!(volume.base.context.open_kept(ids[0], wrong.to_vec()).is_none());
    }
    assert_eq!(look(&volume, "f1").unwrap(), body(1));
}
