//! What a daemon that dies leaves behind: names and small files as they were at the last round.

use super::*;
use crate::chunk::ChunkIndex;
use crate::store::memory::Memory;
use crate::volume::Rename;

#[test]
fn a_dead_daemon_takes_no_small_file_along() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    let old = file(&volume, "old", &pattern(20_000, 1));
    file(&volume, "name", b"content");
    volume.checkpoint().unwrap();
    let lengths = [0, 10, 3000, 5000, 200_000, 1 << 20];
    for length in lengths {
        file(&volume, &format!("new {length}"), &pattern(length, 2));
    }
    volume.write(&old, 5000, b"changed", now(), 0).unwrap();
    volume.rename((&root, b"name"), (&root, b"other"), Rename::Replace, None, now()).unwrap();
    volume.writeback.round().unwrap();
    drop((old, root, volume));
    let volume = fixture.open(store.clone());
    for length in lengths {
        assert!(look(&volume, &format!("new {length}")).unwrap() == pattern(length, 2), "{length}");
    }
    let mut wanted = pattern(20_000, 1);
    wanted[5000..5007].copy_from_slice(b"changed");
    assert!(look(&volume, "old").unwrap() == wanted);
    assert_eq!(look(&volume, "other").unwrap(), b"content");
    assert!(look(&volume, "name").is_none());
    // And again of what is on the list of the next checkpoint already.
    let again = file(&volume, "again", b"1");
    for content in [b"2", b"3"] {
        volume.write(&again, 0, content, now(), 0).unwrap();
        volume.writeback.round().unwrap();
    }
    drop((again, volume));
    assert_eq!(look(&fixture.open(store), "again").unwrap(), b"3");
}

/// A checkpoint leaves closed chunk files alone, but not those of which it has something to tell.
#[test]
fn a_checkpoint_tells_a_closed_chunk_0_its_new_name() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store);
    let root = volume.root().unwrap();
    let inode = file(&volume, "one", b"content");
    volume.checkpoint().unwrap();
    inode.state.write().close(ChunkIndex::FIRST);
    volume.rename((&root, b"one"), (&root, b"other"), Rename::Replace, None, now()).unwrap();
    volume.checkpoint().unwrap();
    let stored = volume.cache.load_anew(&inode, false).unwrap();
    assert_eq!(&*stored.record.extension.links[0].name, b"other");
}
