//! What runs out: room on the disk (an error for who writes, and a way out by deleting), file descriptors.

use super::*;
use crate::store::Area;
use crate::store::faulty::{Call, Fault, Faulty};
use crate::store::memory::Memory;
use crate::volume::Error;

/// The fixture's volume holds 64 chunks open; a group of 256 is flushed together.
#[test]
fn many_new_files_are_not_all_held_open() {
    let fixture = Fixture::new();
    let volume = fixture.format(Arc::new(Memory::new()));
    let inodes: Vec<_> = (0..2000).map(|n| file(&volume, &format!("f{n}"), b"small")).collect();
    volume.commit_batch(None).unwrap();
    volume.flush(&inodes).unwrap();
    let open = inodes.iter().filter(|inode| inode.state.read().head.is_some()).count();
    assert!(open <= 256, "{open} chunks are open");
}

#[test]
fn a_full_disk_gets_room_by_deleting() {
    let fixture = Fixture::new();
    let memory = Memory::new();
    let store = Arc::new(Faulty::new(Arc::new(memory.clone())));
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    drop(file(&volume, "big", &pattern(100_000, 1)));
    let kept = file(&volume, "kept", &pattern(100_000, 2));
    volume.round().unwrap();
    let chunk_files = || memory.names().len();
    let before = chunk_files();
    volume.write(&kept, 10, b"changed", now(), 0).unwrap();
    store.fail_when(|event| {
        let in_chunks = event.name.is_some_and(|name| name.area == Area::Chunks);
        (in_chunks && event.call == Call::Write).then_some(Fault::Error(libc::ENOSPC))
    });
    assert!(matches!(volume.round(), Err(Error::NoSpace)));
    let gone = volume.unlink(&root, b"big", now()).unwrap().unwrap();
    volume.release(gone);
    assert!(matches!(volume.round(), Err(Error::NoSpace)));
    assert_eq!(chunk_files(), before - 1, "deleting waits for no room");
    let journal = volume.journal.lock().tail();
    for _ in 0..5 {
        assert!(matches!(volume.round(), Err(Error::NoSpace)));
    }
    assert_eq!(volume.journal.lock().tail(), journal, "rounds in vain fill the journal");
    store.heal();
    volume.close().unwrap();
    drop(volume);
    let volume = fixture.open(store);
    let mut wanted = pattern(100_000, 2);
    wanted[10..17].copy_from_slice(b"changed");
    assert!(look(&volume, "kept").unwrap() == wanted);
    assert_eq!(names(&volume, &volume.root().unwrap()), ["kept"]);
}
