//! One test for each hole that was found in the order of things.

use super::super::{Fixture, content, file, look, new, now, pattern};
use super::check::check_leftovers;
use crate::store::Area;
use crate::store::faulty::{Call, Fault, Faulty};
use crate::store::memory::Memory;
use crate::store::power::{Extreme, Power};
use crate::volume::{Error, Kind, Rename, limits};
use std::sync::Arc;

fn faulty() -> (Fixture, Power, Arc<Faulty>) {
    let power = Power::new();
    (Fixture::new(), power.clone(), Arc::new(Faulty::new(Arc::new(power))))
}

fn cut(power: &Power) -> Arc<Power> {
    Arc::new(power.cut(&mut Extreme::Oldest))
}

/// Fails the next call of that kind on a journal.
fn fail_journal(store: &Faulty, call: Call) {
    let mut failed = false;
    store.fail_when(move |event| {
        let hit = event.call == call && event.name.is_some_and(|name| name.area == Area::Journals);
        let first = hit && !failed;
        failed |= hit;
        first.then_some(Fault::Error(libc::ENOSPC))
    });
}

#[test]
pub(super) fn fsync_after_a_kill_covers_what_the_killed_process_wrote() {
    let (fixture, power) = (Fixture::new(), Power::new());
    let volume = fixture.format(Arc::new(power.clone()));
    let inode = file(&volume, "f", &pattern(9000, 1));
    volume.round().unwrap();
    volume.write(&inode, 0, &pattern(9000, 2), now(), 0).unwrap();
    let killed = Arc::new(std::sync::Mutex::new(None));
    let (seen, store) = (killed.clone(), power.clone());
    power.during_sync(move |_| *seen.lock().unwrap() = Some(store.kill()));
    volume.sync(&inode, false).unwrap();
    let left = killed.lock().unwrap().take().unwrap();
    let volume = fixture.open(Arc::new(left.clone()));
    assert!(look(&volume, "f").unwrap() == pattern(9000, 2));
    let inode = volume.lookup(&volume.root().unwrap(), b"f").unwrap().unwrap();
    volume.sync(&inode, false).unwrap();
    assert!(look(&fixture.open(cut(&left)), "f").unwrap() == pattern(9000, 2));
}

#[test]
fn a_batch_that_failed_leaves_no_trace() {
    for call in [Call::Write, Call::IsCurrent] {
        let (fixture, power, store) = faulty();
        let volume = fixture.format(store.clone());
        let root = volume.root().unwrap();
        volume.sync_directory(&root).unwrap();
        for number in 0..30 {
            let name = format!("a name of some length, so that batches cross blocks: {number}");
            volume.create(&root, name.as_bytes(), new(Kind::Fifo)).unwrap();
            fail_journal(&store, call);
            assert!(matches!(volume.sync_directory(&root), Err(Error::NoSpace)));
            store.heal();
            let tail = volume.journal.lock().len();
            volume.sync_directory(&root).unwrap();
            assert!(volume.journal.lock().len() < tail + 5000);
        }
        let volume = fixture.open(cut(&power));
        assert_eq!(super::super::names(&volume, &volume.root().unwrap()).len(), 30);
    }
}

#[test]
fn a_rename_that_replaces_keeps_its_source_through_a_failed_batch() {
    let (fixture, power, store) = faulty();
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    file(&volume, "old", b"old");
    volume.round().unwrap();
    file(&volume, "new", b"new");
    volume.rename((&root, b"new"), (&root, b"old"), Rename::Replace, None, now()).unwrap();
    fail_journal(&store, Call::Write);
    assert!(volume.commit_batch(None).is_err());
    store.heal();
    volume.commit_batch(None).unwrap();
    assert_eq!(look(&fixture.open(cut(&power)), "old").unwrap(), b"new");
}

#[test]
fn a_full_journal_makes_room_for_the_next_batch() {
    limits::lower(12 << 10, limits::TAIL, limits::COMPACT);
    let (fixture, power) = (Fixture::new(), Power::new());
    let volume = fixture.format(Arc::new(power.clone()));
    for number in 0..200 {
        let inode = file(&volume, &format!("f{number}"), &pattern(300, number));
        volume.sync(&inode, false).unwrap();
    }
    let volume = fixture.open(cut(&power));
    for number in 0..200 {
        assert!(look(&volume, &format!("f{number}")).unwrap() == pattern(300, number));
    }
    limits::lower(limits::JOURNAL, limits::TAIL, limits::COMPACT);
}

#[test]
fn a_directory_whose_flush_failed_is_stored_by_the_next() {
    for call in [Call::Write, Call::IsCurrent, Call::Create] {
        for nth in 0..12 {
            limits::lower(limits::JOURNAL, 600, 300);
            let (fixture, _, store) = faulty();
            let volume = fixture.format(store.clone());
            let root = volume.root().unwrap();
            let mut wanted = Vec::new();
            for number in 0..12 {
                let name = format!("a name of some length: {number}");
                volume.create(&root, name.as_bytes(), new(Kind::Fifo)).unwrap();
                wanted.push(name);
                volume.sync_directory(&root).unwrap();
                if number % 4 == 3 {
                    let mut left = nth;
                    store.fail_when(move |event| {
                        let hit =
                            event.call == call && event.name.is_some_and(|name| name.area == Area::Chunks);
                        left -= i32::from(hit);
                        (hit && left == -1).then_some(Fault::Error(libc::ENOSPC))
                    });
                    let _ = volume.round();
                    store.heal();
                    match volume.round() {
                        Err(Error::Stopped) => break,
                        outcome => outcome.unwrap(),
                    }
                }
            }
            match volume.close() {
                Err(Error::Stopped) => {}
                outcome => outcome.unwrap(),
            }
            let volume = fixture.open(store.clone());
            assert_eq!(super::super::names(&volume, &volume.root().unwrap()), wanted, "{call:?} {nth}");
            volume.round().unwrap();
            check_leftovers(&volume, &*store).unwrap();
        }
    }
    limits::lower(limits::JOURNAL, limits::TAIL, limits::COMPACT);
}

#[test]
fn a_write_behind_a_shrinking_that_failed_is_written_by_the_next_fsync() {
    for nth in 0..12 {
        let (fixture, power, store) = faulty();
        let volume = fixture.format(store.clone());
        let inode = file(&volume, "f", &pattern(2_500_000, 1));
        volume.sync(&inode, false).unwrap();
        volume.round().unwrap();
        volume.resize(&inode, 1_500_000, now(), 0).unwrap();
        volume.write(&inode, 1_200_000, b"news", now(), 0).unwrap();
        let mut left = nth;
        store.fail_when(move |event| {
            left -= i32::from(event.call == Call::Write);
            (event.call == Call::Write && left == -1).then_some(Fault::Error(libc::ENOSPC))
        });
        let _ = volume.sync(&inode, false);
        store.heal();
        volume.sync(&inode, false).unwrap();
        let mut wanted = pattern(2_500_000, 1);
        wanted.truncate(1_500_000);
        wanted[1_200_000..1_200_004].copy_from_slice(b"news");
        assert!(look(&fixture.open(cut(&power)), "f").unwrap() == wanted, "{nth}");
    }
}

#[test]
fn a_file_deleted_after_a_failed_first_write_leaves_no_chunk_file() {
    let fixture = Fixture::new();
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let volume = fixture.format(store.clone());
    volume.round().unwrap();
    let root = volume.root().unwrap();
    volume.sync_directory(&root).unwrap();
    let inode = file(&volume, "f", b"");
    store.fail_when(|event| (event.call == Call::Write).then_some(Fault::Error(libc::ENOSPC)));
    assert!(volume.write(&inode, 0, &pattern(9000, 1), now(), 0).is_err());
    store.heal();
    assert!(content(&volume, &inode).is_empty());
    drop(volume.unlink(&root, b"f", now()).unwrap());
    volume.release(inode);
    volume.close().unwrap();
    check_leftovers(&volume, &*store).unwrap();
}

#[test]
fn an_inode_that_cannot_be_stored_stops_the_volume() {
    let (fixture, _, store) = faulty();
    let volume = fixture.format(store.clone());
    let inode = file(&volume, "f", &pattern(9000, 1));
    volume.round().unwrap();
    volume.write(&inode, 0, b"more", now(), 0).unwrap();
    store.fail_when(|event| {
        let hit = event.call == Call::Write && event.name.is_some_and(|name| name.area == Area::Chunks);
        hit.then_some(Fault::Error(libc::EIO))
    });
    assert!(volume.round().is_err());
    store.heal();
    assert!(matches!(volume.round(), Err(Error::Stopped)));
}
