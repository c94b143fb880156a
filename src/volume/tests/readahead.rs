//! Inodes read before they are asked for.

use super::*;
use crate::store::faulty::{Call, Faulty};
use crate::store::memory::Memory;
use std::time::{Duration, Instant};

const FILES: usize = 600;

fn opens(store: &Faulty) -> usize {
    store.log().iter().filter(|event| event.call == Call::Open).count()
}

fn populated(fixture: &Fixture) -> Arc<Faulty> {
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let volume = fixture.format(store.clone());
    for number in 0..FILES {
        file(&volume, &format!("{number}"), b"x");
    }
    volume.close().unwrap();
    store
}

#[test]
fn a_listed_directorys_inodes_are_read_once_and_before_they_are_wanted() {
    let fixture = Fixture::new();
    let store = populated(&fixture);
    let volume = fixture.open(store.clone());
    volume.start_ahead();
    let root = volume.root().unwrap();
    let (mut ids, mut cookies) = (Vec::new(), Vec::new());
    volume
        .read_directory(&root, 0, &mut |cookie, _, id, _| {
            cookies.push(cookie);
            ids.push(id);
            true
        })
        .unwrap();
    assert_eq!(ids.len(), FILES);
    store.reset();
    let deadline = Instant::now() + Duration::from_secs(60);
    let read = || ids.iter().filter(|id| volume.inodes.lock().contains_key(*id)).count();
    let mut after = 0;
    while read() < FILES {
        assert!(Instant::now() < deadline, "{} of {FILES} were read", read());
        volume.expect_entries(&root, after).unwrap();
        // As a caller does that has listed what is there by now.
        after = cookies[read().max(1) - 1];
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(opens(&store), FILES);
    for id in &ids {
        volume.inode(*id).unwrap();
    }
    assert_eq!(opens(&store), FILES, "somebody read an inode that was there");
    volume.close().unwrap();
}

#[test]
fn the_directories_to_come_of_a_walk_are_read_too() {
    let fixture = Fixture::new();
    let store = Arc::new(Memory::new());
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    for number in 0..4 {
        let directory = volume.create(&root, &[b'a' + number], new(Kind::Directory)).unwrap();
        for name in [b"x", b"y"] {
            volume.create(&directory, name, new(Kind::File)).unwrap();
        }
    }
    volume.close().unwrap();
    drop((root, volume));
    let volume = fixture.open(store);
    volume.start_ahead();
    let root = volume.root().unwrap();
    volume.expect_entries(&root, 0).unwrap();
    let first = volume.lookup(&root, b"a").unwrap().unwrap();
    volume.expect_entries(&first, 0).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let everything = 1 + 4 + 4 * 2;
    while volume.inodes.lock().len() < everything {
        assert!(Instant::now() < deadline, "{} inodes were read", volume.inodes.lock().len());
        std::thread::sleep(Duration::from_millis(1));
    }
    volume.close().unwrap();
}

#[test]
fn who_wants_an_inode_that_is_being_read_waits_for_it() {
    let fixture = Fixture::new();
    let store = populated(&fixture);
    let volume = fixture.open(store.clone());
    let root = volume.root().unwrap();
    let mut first = None;
    volume
        .read_directory(&root, 0, &mut |_, _, id, _| {
            first = Some(id);
            false
        })
        .unwrap();
    store.reset();
    let all: Vec<_> = std::thread::scope(|scope| {
        let each: Vec<_> = (0..8).map(|_| scope.spawn(|| volume.inode(first.unwrap()).unwrap())).collect();
        each.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(all.iter().all(|inode| Arc::ptr_eq(inode, &all[0])));
    assert_eq!(opens(&store), 1);
}
