//! One test for each hole that was found in the order of things.

use super::super::{Fixture, content, file, look, names, new, now, pattern};
use super::check::check_leftovers;
use super::recorder::{Point, Recorder};
use crate::chunk::BLOCK;
use crate::chunk::remembered::{Remembered, Snapshot};
use crate::store::faulty::{Call, Fault, Faulty};
use crate::store::memory::Memory;
use crate::store::power::{Extreme, Power};
use crate::store::{Area, Store};
use crate::volume::format::limits;
use crate::volume::{Error, Kind, Rename};
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn faulty() -> (Fixture, Power, Arc<Faulty>) {
    let power = Power::new();
    (Fixture::new(), power.clone(), Arc::new(Faulty::new(Arc::new(power))))
}

fn cut(power: &Power) -> Arc<Power> {
    Arc::new(power.cut(&mut Extreme::Oldest))
}

/// Fails calls of that kind on a journal until it is healed.
fn fail_journal(store: &Faulty, call: Call) {
    store.fail_when(move |event| {
        let hit = event.call == call && event.name.is_some_and(|name| name.area == Area::Journals);
        hit.then_some(Fault::Error(libc::ENOSPC))
    });
}

#[test]
pub(super) fn fsync_after_a_kill_covers_what_the_killed_process_wrote() {
    let (fixture, power) = (Fixture::new(), Power::new());
    let volume = fixture.format(Arc::new(power.clone()));
    let inode = file(&volume, "f", &pattern(9000, 1));
    volume.checkpoint().unwrap();
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

/// A journal that was begun is not given up for one that was not, also by who remembers nothing of it.
#[test]
fn only_a_journal_without_a_second_root_was_never_begun() {
    let (fixture, power) = (Fixture::new(), Power::new());
    let volume = fixture.format(Arc::new(power.clone()));
    volume.sync(&file(&volume, "f", b"acknowledged"), false).unwrap();
    let name = volume.base.context.file_name(volume.base.context.own_journal());
    drop(volume);
    let journal = power.open(name).unwrap();
    for (second, may_open) in [(7, false), (0, true)] {
        journal.write_at(0, &[IoSlice::new(&[7; BLOCK]), IoSlice::new(&[second; BLOCK])]).unwrap();
        let opened = fixture.another(fixture.device.0).try_open(Arc::new(power.clone()));
        assert_eq!(opened.is_ok(), may_open, "{:?}", opened.err());
    }
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
            let tail = volume.journal.file().len();
            volume.sync_directory(&root).unwrap();
            assert!(volume.journal.file().len() < tail + 5000);
        }
        let volume = fixture.open(cut(&power));
        assert_eq!(names(&volume, &volume.root().unwrap()).len(), 30);
    }
}

#[test]
fn a_rename_that_replaces_keeps_its_source_through_a_failed_batch() {
    let (fixture, power, store) = faulty();
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    file(&volume, "old", b"old");
    volume.checkpoint().unwrap();
    file(&volume, "new", b"new");
    volume.rename((&root, b"new"), (&root, b"old"), Rename::Replace, None, now()).unwrap();
    fail_journal(&store, Call::Write);
    assert!(volume.writeback.commit(&[]).is_err());
    store.heal();
    volume.writeback.commit(&[]).unwrap();
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
                wanted.insert(0, name);
                volume.sync_directory(&root).unwrap();
                if number % 4 == 3 {
                    let mut left = nth;
                    store.fail_when(move |event| {
                        let hit =
                            event.call == call && event.name.is_some_and(|name| name.area == Area::Chunks);
                        left -= i32::from(hit);
                        (hit && left == -1).then_some(Fault::Error(libc::ENOSPC))
                    });
                    let _ = volume.checkpoint();
                    store.heal();
                    match volume.checkpoint() {
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
            assert_eq!(names(&volume, &volume.root().unwrap()), wanted, "{call:?} {nth}");
            volume.checkpoint().unwrap();
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
        let inode = file(&volume, "f", &pattern(2_300_000, 1));
        volume.sync(&inode, false).unwrap();
        volume.checkpoint().unwrap();
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
        let mut wanted = pattern(2_300_000, 1);
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
    volume.checkpoint().unwrap();
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
fn an_inode_that_cannot_be_stored_is_stored_once_the_folder_answers() {
    let (fixture, power, store) = faulty();
    let volume = fixture.format(store.clone());
    let inode = file(&volume, "f", &pattern(9000, 1));
    volume.checkpoint().unwrap();
    volume.write(&inode, 0, b"more", now(), 0).unwrap();
    store.fail_when(|event| {
        let hit = event.call == Call::Write && event.name.is_some_and(|name| name.area == Area::Chunks);
        hit.then_some(Fault::Error(libc::EIO))
    });
    assert!(volume.checkpoint().is_err());
    assert!(volume.write(&inode, 0, b"not", now(), 0).is_err());
    store.heal();
    volume.checkpoint().unwrap();
    let mut wanted = pattern(9000, 1);
    wanted[..4].copy_from_slice(b"more");
    assert!(look(&fixture.open(cut(&power)), "f").unwrap() == wanted);
}

#[test]
pub(super) fn a_file_cut_between_the_stages_of_a_flush_is_whole_or_cut() {
    let old = pattern(2_300_000, 1);
    let mut new = old.clone();
    new[1_049_000..1_049_004].copy_from_slice(b"news");
    // During which sync of the flush: of the announcement, of the further chunk, of chunk 0.
    for nth in 0..3 {
        let (fixture, power) = (Fixture::new(), Power::new());
        let volume = fixture.format(Arc::new(power.clone()));
        file(&volume, "f", &old);
        volume.close().unwrap();
        let recorder = Recorder::new(power.clone(), fixture.remembered.snapshot());
        let opened = fixture.try_open_with(Arc::new(recorder.clone()), &recorder.remembered);
        let volume = opened.unwrap();
        let inode = volume.lookup(&volume.root().unwrap(), b"f").unwrap().unwrap();
        volume.writeback.commit_checkpoint_batch().unwrap();
        volume.write(&inode, 1_049_000, b"news", now(), 0).unwrap();
        volume.write(&inode, 0, b"head", now(), 0).unwrap();
        let (cutter, cut_inode, mut syncs) = (volume.clone(), inode.clone(), 0);
        power.during_sync(move |_| {
            if syncs == nth {
                cutter.resize(&cut_inode, 1_050_000, now(), 0).unwrap();
            }
            syncs += 1;
        });
        volume.sync(&inode, false).unwrap();
        assert_eq!(inode.view(|record| record.size), 1_050_000, "it was cut in time");
        for (number, Point { store, known, .. }) in recorder.points().into_iter().enumerate() {
            for cut in store.enumerate_cuts(8, number as u64) {
                let opened = fixture.try_open_with(Arc::new(cut), &Remembered::of(known.clone()));
                let found = look(&opened.unwrap(), "f").unwrap();
                assert!([2_300_000, 1_050_000].contains(&found.len()), "{nth} {number}: {}", found.len());
                let old = [&old[..4], b"head"].iter().any(|start| found.starts_with(start));
                let news = found[1_049_000..1_049_004] == new[1_049_000..1_049_004]
                    || found[1_049_000..1_049_004] == pattern(2_300_000, 1)[1_049_000..1_049_004];
                let rest = found[4..1_049_000] == new[4..1_049_000]
                    && found[1_049_004..] == new[1_049_004..found.len()];
                assert!(old && news && rest, "{nth} {number}: other bytes");
            }
        }
    }
}

#[test]
pub(super) fn a_closed_journal_says_the_same_in_both_roots() {
    let (fixture, store) = (Fixture::new(), Memory::new());
    let volume = fixture.format(Arc::new(store.clone()));
    let root = volume.root().unwrap();
    for name in ["a", "b", "c"] {
        file(&volume, name, &pattern(9000, 1));
        volume.sync_directory(&root).unwrap();
    }
    let journal = volume.base.context.file_name(volume.base.context.own_journal());
    volume.close().unwrap();
    let left = store.snapshot();
    for which in 0..2 {
        store.restore(&left);
        store.open(journal).unwrap().write_at(which * 4096, &[IoSlice::new(&[7; 4096])]).unwrap();
        let volume = fixture.open(Arc::new(store.clone()));
        assert!(!volume.catalog.expects_leftovers(), "without root {which} old batches come back");
        assert_eq!(names(&volume, &volume.root().unwrap()), ["c", "b", "a"]);
    }
}

#[test]
pub(super) fn an_older_journal_put_in_place_deletes_nothing_that_has_a_name() {
    let (fixture, store) = (Fixture::new(), Memory::new());
    let volume = fixture.format(Arc::new(store.clone()));
    file(&volume, "first", b"");
    volume.sync_directory(&volume.root().unwrap()).unwrap();
    let journal = volume.base.context.file_name(volume.base.context.own_journal());
    let file_of = |name| store.open(name).unwrap();
    let mut older = vec![0; file_of(journal).length().unwrap() as usize];
    file_of(journal).read_at(0, &mut older).unwrap();
    let inode = file(&volume, "reserved", &pattern(9000, 1));
    assert!(inode.id_durable.load(Ordering::Acquire), "its id was reserved by that journal");
    volume.close().unwrap();
    store.create(journal).unwrap().write_at(0, &[IoSlice::new(&older)]).unwrap();
    // A device that remembers nothing takes it.
    fixture.remembered.restore(&Snapshot::default());
    let volume = fixture.open(Arc::new(store.clone()));
    volume.checkpoint().unwrap();
    volume.close().unwrap();
    assert!(look(&fixture.open(Arc::new(store)), "reserved").unwrap() == pattern(9000, 1));
}

#[test]
pub(super) fn a_name_that_could_not_be_synced_is_synced_by_the_next_fsync() {
    for number in [libc::ENOSPC, libc::EDQUOT, libc::EMFILE, libc::ENOMEM] {
        let (fixture, power, store) = faulty();
        let volume = fixture.format(store.clone());
        let inode = file(&volume, "f", &pattern(2_300_000, 1));
        store.fail_when(move |event| (event.call == Call::SyncNames).then_some(Fault::Error(number)));
        for _ in 0..3 {
            let error = volume.sync(&inode, false).unwrap_err();
            assert!(error.is_passing(), "{number}: {error}");
        }
        store.heal();
        volume.sync(&inode, false).unwrap();
        assert!(look(&fixture.open(cut(&power)), "f").unwrap() == pattern(2_300_000, 1));
    }
}

#[test]
pub(super) fn no_chunk_is_closed_before_it_is_synced() {
    let (fixture, _, store) = faulty();
    let volume = fixture.format(store.clone());
    for n in 0..200 {
        file(&volume, &format!("f{n}"), &pattern(9000, n));
    }
    volume.checkpoint().unwrap();
    for n in 0..200 {
        assert!(look(&volume, &format!("f{n}")).unwrap() == pattern(9000, n));
    }
    assert!(store.open_files() < 200, "some were closed");
    assert_eq!(store.closed_unsynced(), 0);
}

/// A batch has its number before it has what it carries; a flush in between commits an older content, which must not
/// look newer.
#[test]
fn what_a_batch_carries_is_newer_than_a_chunk_0_committed_meanwhile() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    let inode = file(&volume, "f", b"first");
    volume.sync(&inode, false).unwrap();
    volume.checkpoint().unwrap();
    volume.rename((&root, b"f"), (&root, b"g"), Rename::Replace, None, now()).unwrap();
    std::thread::scope(|scope| {
        let mut state = inode.state.write();
        let batch = scope.spawn(|| volume.writeback.commit(std::slice::from_ref(&inode)));
        while !volume.journal.is_changing_names() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(30));
        let first_chunk = state.first_chunk_mut();
        first_chunk.commit().unwrap();
        first_chunk.sync().unwrap();
        first_chunk.set_inline(b"later".to_vec());
        state.change();
        drop(state);
        batch.join().unwrap().unwrap();
    });
    drop((root, inode, volume));
    assert_eq!(look(&fixture.open(store), "g").unwrap(), b"later");
}

/// A batch that failed has not said that an inode's id is in use.
#[test]
fn an_inode_of_a_failed_batch_gets_no_chunk_file() {
    let memory = Memory::new();
    let (fixture, store) = (Fixture::new(), Arc::new(Faulty::new(Arc::new(memory.clone()))));
    let volume = fixture.format(store.clone());
    let chunks = || memory.names().into_iter().filter(|name| name.area == Area::Chunks).count();
    let before = chunks();
    // The very first one: no id is reserved yet.
    let inode = file(&volume, "f", b"content");
    fail_journal(&store, Call::Write);
    assert!(matches!(volume.writeback.commit(&[]), Err(Error::NoSpace)));
    store.heal();
    volume.writeback.store_all().unwrap();
    assert_eq!(chunks(), before, "a crash would leave the file behind");
    volume.checkpoint().unwrap();
    volume.sync(&inode, false).unwrap();
    assert_eq!(look(&volume, "f").unwrap(), b"content");
}

/// Its directory's chunk file, which the batch deletes, is there still, and has the entry.
#[test]
fn a_name_that_went_with_its_directory_does_not_come_back() {
    let (fixture, power) = (Fixture::new(), Power::new());
    let volume = fixture.format(Arc::new(power.clone()));
    let root = volume.root().unwrap();
    let directory = volume.create(&root, b"d", new(Kind::Directory)).unwrap();
    let inode = volume.create(&directory, b"x", new(Kind::File)).unwrap();
    volume.checkpoint().unwrap();
    volume.link(&inode, &root, b"m", now()).unwrap();
    volume.unlink(&directory, b"x", now()).unwrap();
    let gone = volume.remove_directory(&root, b"d", now()).unwrap().unwrap();
    drop(directory);
    volume.release(gone);
    volume.sync_directory(&root).unwrap();
    let volume = fixture.open(cut(&power));
    let inode = volume.lookup(&volume.root().unwrap(), b"m").unwrap().unwrap();
    inode.view(|record| {
        assert_eq!(record.links_count, 1);
        assert_eq!(record.extension.links.len(), 1, "{:?}", record.extension.links);
    });
}

/// No batch names it, and the one that reserved its id is dropped.
#[test]
fn a_file_that_went_before_a_batch_named_it_leaves_nothing() {
    let (fixture, power) = (Fixture::new(), Power::new());
    let volume = fixture.format(Arc::new(power.clone()));
    let root = volume.root().unwrap();
    volume.create(&root, b"f", new(Kind::File)).unwrap();
    volume.checkpoint().unwrap();
    // All that reserves ids goes with the next batch.
    volume.rename((&root, b"f"), (&root, b"g"), Rename::Replace, None, now()).unwrap();
    volume.checkpoint().unwrap();
    assert!(volume.journal.file().wants_checkpoint_batch());
    let inode = file(&volume, "n", &pattern(9000, 1));
    assert!(inode.id_durable.load(Ordering::Acquire));
    volume.unlink(&root, b"n", now()).unwrap();
    volume.release(inode);
    volume.sync_directory(&root).unwrap();
    let left = power.kill();
    let volume = fixture.open(Arc::new(left.clone()));
    volume.checkpoint().unwrap();
    check_leftovers(&volume, &left).unwrap();
}
