//! Row 27 and its like, on a volume that goes on: damage to what is in use costs that inode, and no other.

use super::*;
use crate::chunk::ChunkIndex;
use crate::store::faulty::{Call, Fault, Faulty};
use crate::volume::format::limits;
use crate::volume::mutants;
use crate::volume::{Damage, Rename};
use std::panic::catch_unwind;

impl HostileFixture {
    fn id(&self, inode: &Inode) -> FileName {
        self.file_name(ChunkId::first(inode.id()))
    }
}

/// A file that nobody touches is written, and what is written is durable in its place.
fn goes_on(victim: &HostileFixture, volume: &Volume) {
    let bystander = find(volume, "x/one").unwrap();
    volume.write(&bystander, 0, b"after", now(), 0).unwrap();
    volume.sync(&bystander, false).unwrap();
    volume.checkpoint().unwrap();
    assert!(read_all(volume, &bystander).unwrap().starts_with(b"after"));
    assert!(volume.journal.file().len() < 4096, "the checkpoint let its batches go");
    assert!(victim.bytes(victim.name("x/one", 0)).len() > BLOCK);
}

fn is_replaced<T: std::fmt::Debug>(outcome: Result<T>, chunk: ChunkId) {
    assert!(
        matches!(&outcome, Err(Error::Damaged(found, Damage::Replaced)) if *found == chunk),
        "{outcome:?}"
    );
}

#[test]
fn row_27_a_small_file_that_was_exchanged_is_written_anew() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let small = find(&volume, "small").unwrap();
    volume.write(&small, 0, b"newer", now(), 0).unwrap();
    victim.store.restore_file(&victim.left, victim.name("small", 0));
    volume.checkpoint().unwrap();
    goes_on(&victim, &volume);
    volume.write(&small, 5, b" and more", now(), 0).unwrap();
    volume.sync(&small, false).unwrap();
    volume.close().unwrap();
    drop((small, volume));
    assert!(read_path(&victim.open().unwrap(), "small").unwrap().starts_with(b"newer and more"));
}

/// Its blocks lie in a file that has no name any more, or are to be written to one that is damaged.
#[test]
fn row_27_a_file_of_blocks_that_was_removed_or_damaged_is_written_anew() {
    for is_removed in [true, false] {
        let victim = HostileFixture::new();
        let volume = victim.open().unwrap();
        let blocks = find(&volume, "blocks").unwrap();
        let length = blocks.view(|record| record.size) as usize;
        let mut expected = read_all(&volume, &blocks).unwrap();
        volume.write(&blocks, 5_000, &pattern(9_000, 7), now(), 0).unwrap();
        expected.resize(length.max(14_000), 0);
        expected[5_000..14_000].copy_from_slice(&pattern(9_000, 7));
        let name = victim.name("blocks", 0);
        match is_removed {
            true => victim.store.remove(name).unwrap(),
            false => victim.put(name, &victim.bytes(victim.name("twin", 0))),
        }
        volume.checkpoint().unwrap();
        goes_on(&victim, &volume);
        assert_eq!(read_all(&volume, &blocks).unwrap(), expected);
        volume.close().unwrap();
        drop((blocks, volume));
        assert_eq!(read_path(&victim.open().unwrap(), "blocks").unwrap(), expected);
    }
}

/// With too many files open a chunk is closed, but not one that was committed into a file without the name.
#[test]
fn row_27_an_exchanged_chunk_is_not_closed_before_that_is_dealt_with() {
    let victim = HostileFixture::new();
    let context = victim.fixture.context(Arc::new(victim.store.clone()));
    let open_files = NonZeroUsize::new(8).unwrap();
    let volume =
        Volume::open(context, Options { chunk_size: CHUNK, read_only: false, open_files, stateless: false })
            .unwrap();
    let big = find(&volume, "big").unwrap();
    volume.write(&big, CHUNK, b"older", now(), 0).unwrap();
    volume.checkpoint().unwrap();
    let before = victim.store.snapshot();
    volume.write(&big, CHUNK, b"newer", now(), 0).unwrap();
    victim.store.restore_file(&before, victim.name("big", 1));
    is_replaced(volume.sync(&big, false), ChunkId { inode: big.id(), index: ChunkIndex(1) });
    for path in victim.files.keys().filter(|path| **path != "big") {
        let _ = read_path(&volume, path);
    }
    let mut found = [0; 5];
    assert!(volume.read(&big, CHUNK, &mut found).is_err() || found == *b"newer");
    assert!(volume.sync(&big, false).is_err());
}

/// Of one whose blocks lie in the file, what was not stored is lost, and said to be; no other content stands in for it.
#[test]
fn row_27_a_file_that_was_exchanged_is_lost_and_nothing_else() {
    for index in [0, 1] {
        let victim = HostileFixture::new();
        let volume = victim.open().unwrap();
        let big = find(&volume, "big").unwrap();
        for at in [0, CHUNK] {
            volume.write(&big, at, b"newer", now(), 0).unwrap();
        }
        victim.store.restore_file(&victim.left, victim.name("big", index));
        let chunk = ChunkId { inode: big.id(), index: ChunkIndex(index) };
        volume.checkpoint().unwrap();
        for _ in 0..2 {
            goes_on(&victim, &volume);
            is_replaced(volume.sync(&big, false), chunk);
            is_replaced(volume.sync(&big, true), chunk);
            is_replaced(read_all(&volume, &big), chunk);
            is_replaced(volume.write(&big, 0, b"x", now(), 0), chunk);
            is_replaced(volume.resize(&big, 7, now(), 0), chunk);
            is_replaced(volume.set_attributes(&big, |record| record.mode == 0), chunk);
            // What is said of its names goes on.
            let root = volume.root().unwrap();
            volume.link(&big, &root, b"again", now()).unwrap();
            volume.checkpoint().unwrap();
            volume.unlink(&root, b"again", now()).unwrap();
        }
        // It can be removed, and then nothing is left of it.
        let root = volume.root().unwrap();
        volume.release(volume.unlink(&root, b"big", now()).unwrap().unwrap());
        drop(big);
        volume.close().unwrap();
        assert!(victim.chunks().iter().all(|(_, found)| found.inode != chunk.inode), "chunk files are left");
    }
}

/// What chunk 0 says of the names of a file that was given up is true nevertheless: else the first of two that is removed
/// would take the file along.
#[test]
fn row_27_a_file_that_was_given_up_keeps_its_names() {
    for index in [0, 1] {
        let victim = HostileFixture::new();
        let volume = victim.open().unwrap();
        let (root, big) = (volume.root().unwrap(), find(&volume, "big").unwrap());
        for at in [0, CHUNK] {
            volume.write(&big, at, b"newer", now(), 0).unwrap();
        }
        volume.link(&big, &root, b"again", now()).unwrap();
        victim.store.restore_file(&victim.left, victim.name("big", index));
        volume.checkpoint().unwrap();
        is_replaced(read_all(&volume, &big), ChunkId { inode: big.id(), index: ChunkIndex(index) });
        drop((root, big));
        volume.close().unwrap();
        let volume = victim.open().unwrap();
        let root = volume.root().unwrap();
        volume.release(volume.unlink(&root, b"big", now()).unwrap().unwrap());
        volume.close().unwrap();
        let volume = victim.open().unwrap();
        assert_eq!(read_path(&volume, "again").unwrap().len(), victim.files["big"].len());
    }
}

/// The source of a rename that replaces has to be durable first; one that never will be keeps nobody waiting.
#[test]
fn row_27_a_source_of_a_rename_that_was_exchanged() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let root = volume.root().unwrap();
    let new = file(&volume, "new", &pattern(100_000, 3));
    volume.sync(&new, false).unwrap();
    volume.write(&new, 50_000, b"not durable", now(), 0).unwrap();
    let name = victim.id(&new);
    let bytes = victim.bytes(name);
    victim.put(name, &bytes);
    volume.release(
        volume.rename((&root, b"new"), (&root, b"small"), Rename::Replace, None, now()).unwrap().unwrap(),
    );
    volume.sync_directory(&root).unwrap();
    goes_on(&victim, &volume);
    volume.close().unwrap();
    drop((new, root, volume));
    let volume = victim.open().unwrap();
    assert!(volume.lookup(&volume.root().unwrap(), b"new").unwrap().is_none());
    assert_eq!(read_path(&volume, "small").unwrap().len(), 100_000);
}

/// What was acknowledged and stands in batches only is not given up: it is what the next mount shows.
#[test]
fn row_27_what_only_a_batch_has_is_not_given_up() {
    for acknowledged in [&b"acknowledged"[..], b""] {
        let victim = HostileFixture::new();
        let volume = victim.open().unwrap();
        let inode = file(&volume, "carried", acknowledged);
        volume.sync(&inode, false).unwrap();
        let later = Timestamp { seconds: now().seconds + 9, ..now() };
        volume.write(&inode, 0, &pattern(400_000, 9), later, 0).unwrap();
        let name = victim.id(&inode);
        victim.put(name, &victim.bytes(victim.name("twin", 0)));
        volume.checkpoint().unwrap();
        goes_on(&victim, &volume);
        for at in [0, 500_000] {
            is_replaced(volume.read(&inode, at, &mut [0; 9]), victim.identify(name));
            is_replaced(volume.seek(&inode, at, true), victim.identify(name));
        }
        volume.close().unwrap();
        drop((inode, volume));
        let volume = victim.open().unwrap();
        assert_eq!(read_path(&volume, "carried").unwrap(), acknowledged);
        let changed = find(&volume, "carried").unwrap().view(|record| record.modified);
        assert!(changed <= now(), "its times are those of what it lost");
    }
}

/// Nor does it stand in for what was lost where it could not be stored at the first try.
#[test]
fn row_27_what_only_a_batch_has_is_kept_at_the_second_try() {
    for call in [Call::Create, Call::Write, Call::SyncNames] {
        let victim = HostileFixture::new();
        let store = Arc::new(Faulty::new(Arc::new(victim.store.clone())));
        let volume = victim.fixture.try_open(store.clone()).unwrap();
        let inode = file(&volume, "carried", b"acknowledged");
        volume.sync(&inode, false).unwrap();
        volume.write(&inode, 0, &pattern(400_000, 9), now(), 0).unwrap();
        let name = victim.id(&inode);
        victim.store.remove(name).unwrap();
        let mut is_there = false;
        store.fail_when(move |event| {
            is_there |= event.call == Call::Create && event.name == Some(name);
            (is_there && event.call == call).then_some(Fault::Error(libc::ENOSPC))
        });
        assert!(matches!(volume.checkpoint(), Err(Error::NoSpace)), "{call:?}");
        store.heal();
        volume.checkpoint().unwrap();
        is_replaced(read_all(&volume, &inode), victim.identify(name));
        volume.close().unwrap();
        drop((inode, volume));
        assert_eq!(read_path(&victim.open().unwrap(), "carried").unwrap(), b"acknowledged");
    }
}

/// A directory that is exchanged by its like, corrupt, or gone is written anew from memory, segments and all.
#[test]
fn row_27_a_directory_that_was_exchanged_is_written_anew() {
    for (attack, entries) in
        [("the same", 3), ("corrupt", 3), ("gone", 3), ("older", 2000), ("corrupt", 2000)]
    {
        limits::lower(limits::JOURNAL, 8 << 10, limits::COMPACT);
        let victim = HostileFixture::new();
        let volume = victim.open().unwrap();
        let x = find(&volume, "x").unwrap();
        let older = victim.bytes(victim.name("x", 0));
        for number in 0..entries {
            volume.create(&x, format!("early {number}").as_bytes(), new(Kind::File)).unwrap();
        }
        volume.checkpoint().unwrap();
        volume.create(&x, b"fresh", new(Kind::File)).unwrap();
        volume.sync_directory(&x).unwrap();
        volume.create(&x, b"not synced", new(Kind::File)).unwrap();
        let name = victim.name("x", 0);
        match attack {
            "gone" => victim.store.remove(name).unwrap(),
            "older" => victim.put(name, &older),
            "corrupt" => victim.put(name, &[7; 3 * BLOCK]),
            _ => victim.put(name, &victim.bytes(name)),
        }
        volume.checkpoint().unwrap();
        goes_on(&victim, &volume);
        volume.create(&x, b"later", new(Kind::File)).unwrap();
        volume.close().unwrap();
        drop((x, volume));
        let volume = victim.open().unwrap();
        let x = find(&volume, "x").unwrap();
        assert_eq!(list(&volume, &x).unwrap().len(), entries + 3 + 2, "{attack}");
        let segments = victim.chunks().into_iter().filter(|(_, found)| found.inode == x.id()).count();
        assert!((segments > 1) == (entries > 3) && segments < 4, "{segments} files of the directory");
        limits::lower(limits::JOURNAL, limits::TAIL, limits::COMPACT);
    }
}

/// Another device's work is not written over: what both did is joined, and the volume goes on.
#[test]
fn row_27_a_directory_that_another_device_wrote_is_joined() {
    let victim = HostileFixture::new();
    let another = victim.fixture.another(*b"device 2");
    let theirs = another.open(Arc::new(victim.store.clone()));
    theirs.create(&find(&theirs, "x").unwrap(), b"theirs", new(Kind::File)).unwrap();
    theirs.close().unwrap();
    drop(theirs);
    let written = victim.bytes(victim.name("x", 0));
    victim.store.restore_file(&victim.left, victim.name("x", 0));
    let volume = victim.open().unwrap();
    let x = find(&volume, "x").unwrap();
    volume.create(&x, b"ours", new(Kind::File)).unwrap();
    volume.sync_directory(&x).unwrap();
    victim.put(victim.name("x", 0), &written);
    volume.checkpoint().unwrap();
    let found = names(&volume, &x);
    assert!(["ours", "theirs"].iter().all(|name| found.iter().any(|found| found == name)), "{found:?}");
    volume.create(&x, b"later", new(Kind::File)).unwrap();
    volume.close().unwrap();
    drop((x, volume));
    let volume = victim.open().unwrap();
    for name in ["x/ours", "x/theirs", "x/later"] {
        find(&volume, name).unwrap();
    }
}

/// Of a file whose chunk table cannot be read, all chunk files go with its name.
#[test]
fn a_file_whose_chunk_table_is_corrupt_leaves_nothing_behind() {
    let victim = HostileFixture::new();
    let name = victim.name("big", 0);
    let mut bytes = victim.bytes(name);
    let mut corrupt = 0;
    for slot in (2..bytes.len() / BLOCK).rev().take(4) {
        victim.store.restore(&victim.left);
        victim.fixture.remembered.restore(&victim.known);
        bytes[slot * BLOCK + 9] ^= 1;
        victim.put(name, &bytes);
        bytes[slot * BLOCK + 9] ^= 1;
        let volume = victim.open().unwrap();
        let (root, big) = (volume.root().unwrap(), find(&volume, "big").unwrap());
        corrupt += usize::from(volume.read(&big, 2 * CHUNK, &mut [0; 10]).is_err());
        volume.release(volume.unlink(&root, b"big", now()).unwrap().unwrap());
        let id = big.id();
        drop(big);
        goes_on(&victim, &volume);
        volume.close().unwrap();
        assert!(victim.chunks().iter().all(|(_, found)| found.inode != id), "slot {slot}: files are left");
    }
    assert_eq!(corrupt, 1, "one of the last slots is the table's");
}

/// The rules of this file, each broken once; the tests themselves hold.
#[test]
fn every_broken_rule_is_noticed() {
    for (fault, test) in [
        (mutants::Mutant::AcknowledgedAbandoned, row_27_what_only_a_batch_has_is_not_given_up as fn()),
        (mutants::Mutant::LostForgotten, row_27_a_file_that_was_exchanged_is_lost_and_nothing_else),
    ] {
        mutants::plant(Some(fault));
        let noticed = catch_unwind(test).is_err();
        mutants::plant(None);
        assert!(noticed, "{fault:?}");
    }
}
