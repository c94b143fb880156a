//! What runs out: room on the disk (an error for who writes, and a way out by deleting), file descriptors.

use super::disk::of_size;
use super::*;
use crate::store::Area;
use crate::store::faulty::{Call, Fault, Faulty};
use crate::store::memory::Memory;
use crate::volume::{Error, Rename};

/// Chunks that the fixture's volume holds open at most, and half as many that wait to be written; then what one
/// operation opens for itself.
const OPEN: usize = 64 + 32 + 8;

fn limited() -> (Arc<Faulty>, Fixture, Arc<Volume>) {
    let (fixture, store) = (Fixture::new(), Arc::new(Faulty::new(Arc::new(Memory::new()))));
    let volume = fixture.format(store.clone());
    store.limit_open(OPEN);
    (store, fixture, volume)
}

#[test]
fn many_new_files_are_not_all_held_open() {
    let (store, _, volume) = limited();
    let inodes: Vec<_> = (0..2000).map(|n| file(&volume, &format!("f{n}"), b"small")).collect();
    volume.writeback.commit(&[]).unwrap();
    volume.writeback.flush(&inodes).unwrap();
    assert!(store.open_files() <= 65, "{} files are open", store.open_files());
}

#[test]
fn files_that_wait_to_be_written_are_written_before_they_are_too_many() {
    let (_, fixture, volume) = limited();
    let inodes: Vec<_> = (0..400).map(|n| file(&volume, &format!("f{n}"), &pattern(5000, n))).collect();
    for (n, inode) in (0..).zip(&inodes) {
        assert!(content(&volume, inode) == pattern(5000, n));
        volume.write(inode, 10, b"more", now(), 0).unwrap();
    }
    drop(inodes);
    let root = volume.root().unwrap();
    for n in 0..300 {
        let gone = volume.unlink(&root, format!("f{n}").as_bytes(), now()).unwrap().unwrap();
        volume.release(gone);
    }
    volume.close().unwrap();
    let store = volume.base.context.store.clone();
    drop(volume);
    assert_eq!(names(&fixture.open(store.clone()), &root).len(), 100);
}

/// Those of one file too, which are used under its own lock.
#[test]
fn a_file_of_many_chunks_is_not_held_open_whole() {
    let (store, _, volume) = limited();
    let inode = file(&volume, "f", b"");
    for chunk in 0..300 {
        volume.write(&inode, chunk * CHUNK, &pattern(5000, chunk), now(), 0).unwrap();
    }
    volume.sync(&inode, false).unwrap();
    for chunk in 0..300 {
        let mut found = [0; 5000];
        volume.read(&inode, chunk * CHUNK, &mut found).unwrap();
        assert!(found[..] == pattern(5000, chunk)[..]);
    }
    assert_eq!(volume.seek(&inode, 299 * CHUNK + 9000, true).unwrap(), None);
    assert_eq!(volume.seek(&inode, 0, false).unwrap(), Some(8192));
    volume.punch(&inode, 0, 300 * CHUNK, now()).unwrap();
    assert_eq!(volume.seek(&inode, 0, true).unwrap(), None);
    volume.checkpoint().unwrap();
    drop(inode);
    volume.checkpoint().unwrap();
    assert!(store.open_files() <= 65, "{} files are open", store.open_files());
}

/// Unlinked files that are in use, and chunks that cannot be closed just now: none is lost count of.
#[test]
fn what_cannot_be_closed_is_counted_all_the_same() {
    let (store, _, volume) = limited();
    let root = volume.root().unwrap();
    let files: Vec<_> = (0..80).map(|n| file(&volume, &format!("f{n}"), &pattern(5000, n))).collect();
    volume.checkpoint().unwrap();
    for n in 0..80 {
        drop(volume.unlink(&root, format!("f{n}").as_bytes(), now()).unwrap());
    }
    let held: Vec<_> = files[..40].iter().map(|inode| inode.serial.lock_for_another_thread()).collect();
    for n in 0..100 {
        drop(file(&volume, &format!("g{n}"), &pattern(5000, n)));
    }
    drop(held);
    volume.checkpoint().unwrap();
    volume.writeback.make_room();
    assert!(store.open_files() <= 65, "{} files are open", store.open_files());
    for (n, inode) in (0..).zip(&files) {
        assert!(content(&volume, inode) == pattern(5000, n));
    }
    files.into_iter().for_each(|inode| volume.release(inode));
    volume.close().unwrap();
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
    volume.checkpoint().unwrap();
    let chunk_files = || memory.names().len();
    let before = chunk_files();
    volume.write(&kept, 10, b"changed", now(), 0).unwrap();
    store.fail_when(|event| {
        let in_chunks = event.name.is_some_and(|name| name.area == Area::Chunks);
        (in_chunks && event.call == Call::Write).then_some(Fault::Error(libc::ENOSPC))
    });
    assert!(matches!(volume.checkpoint(), Err(Error::NoSpace)));
    let gone = volume.unlink(&root, b"big", now()).unwrap().unwrap();
    volume.release(gone);
    assert!(matches!(volume.checkpoint(), Err(Error::NoSpace)));
    assert_eq!(chunk_files(), before - 1, "deleting waits for no room");
    let journal = volume.journal.file().tail();
    for _ in 0..5 {
        assert!(matches!(volume.checkpoint(), Err(Error::NoSpace)));
    }
    assert_eq!(volume.journal.file().tail(), journal, "checkpoints in vain fill the journal");
    store.heal();
    volume.close().unwrap();
    drop(volume);
    let volume = fixture.open(store);
    let mut wanted = pattern(100_000, 2);
    wanted[10..17].copy_from_slice(b"changed");
    assert!(look(&volume, "kept").unwrap() == wanted);
    assert_eq!(names(&volume, &volume.root().unwrap()), ["kept"]);
}

/// A batch waits for the source of a rename that replaces; on a full disk the deletion that makes room must not wait
/// with it for ever.
#[test]
fn a_full_disk_is_made_room_on_although_a_rename_has_to_be_stored_first() {
    let (store, disk) = of_size(2048);
    disk.lock().holds_nothing = true;
    let fixture = Fixture::new();
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    file(&volume, "saved", b"old");
    file(&volume, "large", &pattern(4 << 20, 1));
    volume.checkpoint().unwrap();
    let fresh: Vec<_> = (0..3).map(|n| file(&volume, &format!("new{n}"), &pattern(20_000, n))).collect();
    let filler = file(&volume, "filler", b"");
    let mut at = 0;
    let mut fill = || {
        while volume.write(&filler, at, &[7; 4096], now(), 0).is_ok() {
            at += 4096;
        }
    };
    fill();
    volume.release(
        volume.rename((&root, b"new0"), (&root, b"saved"), Rename::Replace, None, now()).unwrap().unwrap(),
    );
    volume.release(volume.unlink(&root, b"large", now()).unwrap().unwrap());
    volume.sync_directory(&root).unwrap();
    // Where even that is used up, the next one finds its source stored: it was accepted before space ran out.
    fill();
    volume.rename((&root, b"new1"), (&root, b"saved"), Rename::Replace, None, now()).unwrap();
    drop((root, fresh, filler));
    volume.close().unwrap();
    drop(volume);
    let volume = fixture.open(store);
    assert!(look(&volume, "saved").unwrap() == pattern(20_000, 1));
    assert!(look(&volume, "large").is_none());
}

/// What a checkpoint deletes makes room for what the same checkpoint had none for: an unmount must not need a second try.
#[test]
fn what_was_deleted_makes_room_at_once() {
    let (store, _) = of_size(600);
    let volume = Fixture::new().format(store);
    let root = volume.root().unwrap();
    let mut files = Vec::new();
    loop {
        let name = format!("{}", files.len());
        let Ok(inode) = volume.create(&root, name.as_bytes(), new(Kind::File)) else { break };
        if volume.write(&inode, 0, &pattern(100_000, 3), now(), 0).is_err()
            || volume.sync(&inode, false).is_err()
        {
            break;
        }
        files.push((name, inode));
    }
    assert!(files.len() > 5, "the disk is full too early");
    for (name, inode) in files.drain(..5) {
        drop(inode);
        volume.release(volume.unlink(&root, name.as_bytes(), now()).unwrap().unwrap());
    }
    volume.sync_all().unwrap();
}

/// What a write that failed left behind the end of a file does not come to light when the file grows.
#[test]
fn a_write_that_fails_on_a_full_disk_leaves_nothing_behind_the_end() {
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let fixture = Fixture::new();
    let volume = fixture.format(store.clone());
    let inode = file(&volume, "f", &pattern(5000, 1));
    volume.checkpoint().unwrap();
    for failing in 0..3 {
        let mut writes = 0;
        store.fail_when(move |event| {
            writes += usize::from(event.call == Call::Write);
            (event.call == Call::Write && writes > failing).then_some(Fault::Error(libc::ENOSPC))
        });
        let data = pattern(CHUNK as usize + 10_000, 2);
        assert!(matches!(volume.write(&inode, 10_000, &data, now(), 0), Err(Error::NoSpace)));
        store.heal();
        let mut wanted = pattern(5000, 1);
        volume.resize(&inode, 3 * CHUNK, now(), 0).unwrap();
        wanted.resize(3 * CHUNK as usize, 0);
        assert!(content(&volume, &inode) == wanted, "after {failing} writes");
        volume.resize(&inode, 5000, now(), 0).unwrap();
    }
    volume.close().unwrap();
    drop(volume);
    assert!(look(&fixture.open(store), "f").unwrap() == pattern(5000, 1));
}

#[test]
fn a_file_that_cannot_be_cut_on_a_full_disk_stays_whole() {
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let volume = Fixture::new().format(store.clone());
    let whole = pattern(3 * CHUNK as usize, 1);
    let inode = file(&volume, "f", &whole);
    volume.checkpoint().unwrap();
    store.fail_when(|event| (event.call == Call::Write).then_some(Fault::Error(libc::ENOSPC)));
    assert!(matches!(volume.resize(&inode, CHUNK + 5, now(), 0), Err(Error::NoSpace)));
    store.heal();
    assert!(content(&volume, &inode) == whole);
    volume.close().unwrap();
}

/// The first batch of a device finds no room for its journal's root: what is left of that is no journal.
#[test]
fn a_journal_that_could_not_be_begun_is_not_in_the_way() {
    for (call, fault) in
        [Call::Write, Call::Allocate].into_iter().flat_map(|call| [(call, true), (call, false)])
    {
        let (fixture, store) = (Fixture::new(), Arc::new(Faulty::new(Arc::new(Memory::new()))));
        let volume = fixture.format(store.clone());
        store.fail_when(move |event| {
            let in_journals = event.name.is_some_and(|name| name.area == Area::Journals);
            let fault = if fault { Fault::Error(libc::ENOSPC) } else { Fault::Short(libc::ENOSPC) };
            (in_journals && event.call == call).then_some(fault)
        });
        let root = volume.root().unwrap();
        drop(volume.create(&root, b"f", new(Kind::File)).unwrap());
        assert!(matches!(volume.sync_directory(&root), Err(Error::NoSpace)));
        volume.release(volume.unlink(&root, b"f", now()).unwrap().unwrap());
        drop((root, volume));
        store.heal();
        let volume = fixture.open(store);
        file(&volume, "g", b"content");
        volume.close().unwrap();
    }
}
