//! Records and batches that grow to their limits: an error for who asks for more, and nothing that cannot be written.

use super::*;
use crate::chunk::{BlockCount, Chunk, ChunkId, InodeId};
use crate::store::memory::Memory;
use crate::volume::format::limits;
use crate::volume::stream::TAIL;
use crate::volume::{Error, Rename};
use std::thread;
use std::time::{Duration, Instant};

fn started() -> (Arc<Memory>, Fixture, Arc<Volume>) {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store.clone());
    (store, fixture, volume)
}

fn set_xattr(volume: &Volume, inode: &Arc<Inode>, name: &str, length: usize) -> Result<(), Error> {
    volume.update(inode, |record| {
        record.extension.xattrs.push((name.as_bytes().into(), vec![7; length]));
        Ok(())
    })
}

/// As full of xattrs as an inode gets.
fn fill(volume: &Volume, inode: &Arc<Inode>) {
    let mut number = 0;
    for length in [60_000, 1000, 1] {
        while set_xattr(volume, inode, &format!("user.{number}"), length).is_ok() {
            number += 1;
        }
    }
    assert!(number > 4);
}

const LONG: &[u8] = &[b'n'; 255];

#[test]
fn a_full_record_takes_a_longer_name_and_a_first_entry() {
    let (store, fixture, volume) = started();
    let root = volume.root().unwrap();
    let inode = file(&volume, "f", b"content");
    let directory = volume.create(&root, b"d", new(Kind::Directory)).unwrap();
    for inode in [&inode, &directory] {
        fill(&volume, inode);
    }
    volume.rename((&root, b"f"), (&root, LONG), Rename::Replace, None, now()).unwrap();
    volume.create(&directory, LONG, new(Kind::File)).unwrap();
    volume.checkpoint().unwrap();
    // And once it is stored.
    volume.rename((&root, b"d"), (&root, &LONG[1..]), Rename::Replace, None, now()).unwrap();
    volume.close().unwrap();
    drop((inode, directory, root, volume));
    let volume = fixture.open(store);
    let root = volume.root().unwrap();
    assert_eq!(names(&volume, &root).len(), 2);
    let directory = volume.lookup(&root, &LONG[1..]).unwrap().unwrap();
    assert_eq!(names(&volume, &directory).len(), 1);
}

#[test]
fn an_inode_has_as_many_names_as_its_record_has_room_for() {
    let (store, fixture, volume) = started();
    let root = volume.root().unwrap();
    let inode = file(&volume, "f", b"content");
    let name = |number: usize| format!("{number:0>255}").into_bytes();
    let links = (0..).find(|&number| match volume.link(&inode, &root, &name(number), now()) {
        Ok(()) => false,
        Err(error) => matches!(error, Error::TooManyLinks) || panic!("{error}"),
    });
    let links = links.unwrap();
    assert!(links > 900, "{links}");
    // What is spared suffices for some longer names, and then it is an error for who asks.
    let longer = (0..links).try_for_each(|number| {
        let (short, long) = (format!("{number}").into_bytes(), name(number));
        volume.rename((&root, &long), (&root, &short), Rename::Replace, None, now())?;
        Ok::<_, Error>(())
    });
    longer.unwrap();
    let added =
        (links..2 * links + 2).try_for_each(|number| volume.link(&inode, &root, &name(number), now()));
    assert!(matches!(added, Err(Error::TooManyLinks)));
    let longer = (0..links).try_for_each(|number| {
        let (short, long) = (format!("{number}").into_bytes(), name(number));
        volume.rename((&root, &short), (&root, &long), Rename::Replace, None, now()).map(drop)
    });
    assert!(matches!(longer, Err(Error::NoSpace)));
    volume.close().unwrap();
    drop((inode, root, volume));
    let volume = fixture.open(store);
    let inode = volume.lookup(&volume.root().unwrap(), b"f").unwrap().unwrap();
    inode.view(|record| assert_eq!(record.extension.links.len(), record.links_count as usize));
}

/// Whatever is done between two checkpoints fits into batches.
#[test]
fn much_that_is_pending_is_committed_before_it_is_too_much() {
    let (store, fixture, volume) = started();
    let root = volume.root().unwrap();
    for number in 0..400 {
        let inode = file(&volume, &format!("f{number}"), b"");
        set_xattr(&volume, &inode, "user.large", 60_000).unwrap();
    }
    let other = [b'o'; 255];
    for name in [LONG, &other[..]] {
        volume.create(&root, name, new(Kind::File)).unwrap();
    }
    for _ in 0..30_000 {
        volume.rename((&root, LONG), (&root, &other), Rename::Exchange, None, now()).unwrap();
    }
    volume.close().unwrap();
    drop((root, volume));
    let volume = fixture.open(store);
    assert_eq!(names(&volume, &volume.root().unwrap()).len(), 402);
}

/// So much at once that it takes two segments: an entry begins in the one and ends in the other.
#[test]
fn a_log_that_is_longer_than_a_chunk_is_read_back() {
    let (store, fixture, volume) = started();
    let root = volume.root().unwrap();
    for number in 0..5000 {
        volume.create(&root, format!("{number:0>255}").as_bytes(), new(Kind::File)).unwrap();
    }
    volume.close().unwrap();
    drop((root, volume));
    let volume = fixture.open(store);
    assert_eq!(names(&volume, &volume.root().unwrap()).len(), 5000);
}

/// A log that is compacted into segments while the end of the old one lies inline: nothing of the old one goes with it.
#[test]
fn a_compacted_log_that_goes_into_segments_is_read_back() {
    limits::lower(limits::JOURNAL, 8 << 10, 4 << 10);
    let (store, fixture, volume) = started();
    let root = volume.root().unwrap();
    let name = |number: usize, turn: usize| format!("{number:0>40}-{turn}").into_bytes();
    for number in 0..80 {
        volume.create(&root, &name(number, 0), new(Kind::File)).unwrap();
    }
    volume.checkpoint().unwrap();
    for number in 80..160 {
        volume.create(&root, &name(number, 0), new(Kind::File)).unwrap();
    }
    for turn in 1..4 {
        for number in 0..160 {
            let (from, to) = (name(number, turn - 1), name(number, turn));
            volume.rename((&root, &from), (&root, &to), Rename::Replace, None, now()).unwrap();
        }
    }
    volume.close().unwrap();
    drop((root, volume));
    let volume = fixture.open(store);
    let mut found = names(&volume, &volume.root().unwrap());
    found.sort();
    let expected: Vec<String> = (0..160).map(|number| String::from_utf8(name(number, 3)).unwrap()).collect();
    assert_eq!(found, expected);
}

/// What lies inline is the end of its stream, and of no other.
#[test]
fn the_end_of_a_stream_is_as_long_as_it_should_be() {
    let (_, _, volume) = started();
    let mut chunk = Chunk::new(&volume.base.context, ChunkId::first(InodeId([1; 12])), BlockCount(64));
    TAIL.append(&mut chunk, 0, &[7; 5000]).unwrap();
    assert_eq!(TAIL.read(&chunk, 0, 5000).unwrap(), [7; 5000]);
    assert!(TAIL.read(&chunk, 0, 0).unwrap().is_empty());
    for wrong in [4096, 4999, 5001, 8192] {
        assert!(matches!(TAIL.read(&chunk, 0, wrong), Err(Error::Damaged(..))), "{wrong}");
    }
}

/// A directory that 255 other devices have written to takes no entry, and a rename that fails for it takes no name away.
#[test]
fn a_directory_of_too_many_devices_loses_nothing() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    drop(fixture.format(store.clone()));
    for number in 0..255u64 {
        let volume = fixture.another(number.to_be_bytes()).open(store.clone());
        file(&volume, &format!("f{number}"), b"theirs");
        volume.close().unwrap();
    }
    let volume = fixture.another(*b"too many").open(store.clone());
    let root = volume.root().unwrap();
    assert!(matches!(volume.create(&root, b"new", new(Kind::File)), Err(Error::NoSpace)));
    for (to, how) in [(&b"moved"[..], Rename::Replace), (b"f2", Rename::Replace), (b"f2", Rename::Exchange)] {
        let moved = volume.rename((&root, b"f1"), (&root, to), how, None, now());
        assert!(matches!(moved, Err(Error::NoSpace)), "{how:?}");
    }
    volume.close().unwrap();
    drop((root, volume));
    let volume = fixture.open(store);
    assert_eq!(look(&volume, "f1").unwrap(), b"theirs");
    assert_eq!(look(&volume, "f2").unwrap(), b"theirs");
}

/// What is acknowledged while somebody else makes room in a full journal is still there after a kill.
#[test]
fn a_batch_that_comes_while_a_full_journal_is_stored_stays() {
    let (store, fixture, volume) = started();
    let root = volume.root().unwrap();
    let gone = file(&volume, "gone", b"content");
    volume.checkpoint().unwrap();
    volume.unlink(&root, b"gone", now()).unwrap();
    volume.release(gone.clone());
    volume.writeback.commit(&[]).unwrap();
    let large = file(&volume, "large", b"content");
    set_xattr(&volume, &large, "user.large", 60_000).unwrap();
    thread::scope(|scope| {
        // Whoever removes its files waits here, when everything else is stored.
        let held = gone.serial.lock_for_another_thread();
        let full = scope.spawn(|| {
            limits::lower(32 << 10, limits::TAIL, limits::COMPACT);
            volume.writeback.commit(&[])
        });
        let start = Instant::now();
        while !large.state.read().named {
            assert!(start.elapsed() < Duration::from_secs(60), "nobody stores anything");
            thread::yield_now();
        }
        let late = file(&volume, "late", b"acknowledged");
        volume.sync(&late, false).unwrap();
        drop(held);
        full.join().unwrap().unwrap();
    });
    drop((root, gone, large, volume));
    let volume = fixture.open(store);
    assert_eq!(look(&volume, "late").unwrap(), b"acknowledged");
    assert_eq!(look(&volume, "large").unwrap(), b"content");
}
