//! Stores that fail: an honest error, a chunk that goes on, nothing lost.

use super::super::mutants::{Mutant, plant};
use super::*;
use crate::store::faulty::{Call, Fault as StoreFault};
use std::io;

const EIO: StoreFault = StoreFault::Error(libc::EIO);
const FULL: StoreFault = StoreFault::Short(libc::ENOSPC);

#[test]
fn every_write_may_fail_once_and_be_tried_again() {
    for fault in [EIO, FULL] {
        for failing in 0.. {
            let bench = Bench::new();
            let mut chunk = bench.chunk(300);
            let mut writes = 0;
            bench.store.fail_when(move |event| {
                writes += u32::from(event.call == Call::Write);
                (event.call == Call::Write && writes == failing + 1).then_some(fault)
            });
            let mut failed = 0;
            let mut retry = |attempt: &mut dyn FnMut() -> Result<()>| {
                while let Err(error) = attempt() {
                    assert!(matches!(error, Error::Io(..)), "{error}");
                    failed += 1;
                }
            };
            let first = pattern(1, 20);
            retry(&mut || chunk.write(Section::Data, BlockNumber(40), &first));
            retry(&mut || chunk.commit().map(drop));
            retry(&mut || chunk.write(Section::Data, BlockNumber(150), &first[..BLOCK]));
            retry(&mut || chunk.commit().map(drop));
            retry(&mut || chunk.sync());
            retry(&mut || chunk.write_backup_root().map(drop));
            let mut expected = pattern(0, 300);
            expected[40 * BLOCK..60 * BLOCK].copy_from_slice(&first);
            expected[150 * BLOCK..151 * BLOCK].copy_from_slice(&first[..BLOCK]);
            assert!(content(&chunk, 300).unwrap() == expected);
            bench.store.heal();
            chunk.commit().unwrap();
            assert!(content(&bench.open().unwrap(), 300).unwrap() == expected);
            assert!(failed <= 1);
            if failed == 0 {
                assert!(failing >= 5, "there were {failing} writes only");
                break;
            }
        }
    }
}

#[test]
fn a_failed_write_changes_nothing() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(3);
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1)).unwrap();
    let before = content(&chunk, 4).unwrap();
    for _ in 0..100 {
        bench.store.fail_nth(0, FULL);
        assert!(matches!(chunk.write(Section::Data, BlockNumber::FIRST, &pattern(2, 4)), Err(Error::Io(..))));
        assert!(content(&chunk, 4).unwrap() == before);
    }
    bench.store.heal();
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(2, 4)).unwrap();
    assert!(bench.bytes().len() < 20 * BLOCK, "slots of failed writes are free again");
}

#[test]
fn after_a_failed_fdatasync_nothing_goes_on_before_what_it_covered_is_written_again() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(3);
    let durable = chunk.durable();
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1)).unwrap();
    chunk.commit().unwrap();
    bench.store.fail_nth(0, EIO);
    assert!(matches!(chunk.sync(), Err(Error::Io(..))));
    bench.store.heal();
    assert_eq!(chunk.durable(), durable);
    assert!(matches!(chunk.sync(), Err(Error::Failed(_))));
    assert!(matches!(chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1)), Err(Error::Failed(_))));
    assert!(matches!(chunk.commit(), Err(Error::Failed(_))));
    assert!(matches!(chunk.write_backup_root(), Err(Error::Failed(_))));
    assert!(chunk.wants_recovery() && !chunk.is_all_durable());
    bench.store.fail_nth(1, EIO);
    assert!(matches!(chunk.recover(), Err(Error::Io(..))) && chunk.wants_recovery());
    bench.store.heal();
    bench.store.reset();
    chunk.recover().unwrap();
    assert_eq!(bench.store.counts().writes, 1, "what was durable before is left alone");
    chunk.sync().unwrap();
    assert!(chunk.durable() > durable && chunk.is_all_durable());
    assert!(content(&chunk, 1).unwrap() == pattern(1, 1));
}

#[test]
fn an_fdatasync_that_fails_before_the_first_write_is_made_up_for() {
    let bench = Bench::new();
    bench.chunk(3).commit().unwrap();
    let mut chunk = bench.open().unwrap();
    bench.store.fail_when(|event| (event.call == Call::Sync).then_some(EIO));
    assert!(matches!(chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1)), Err(Error::Io(..))));
    bench.store.heal();
    assert!(matches!(chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1)), Err(Error::Failed(_))));
    bench.store.reset();
    chunk.recover().unwrap();
    assert_eq!(bench.store.counts().writes, 4, "three blocks and the root are written again");
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1)).unwrap();
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    assert!(content(&bench.open().unwrap(), 1).unwrap() == pattern(1, 1));
}

/// A network's filesystem that was mounted anew: the files are others, and hold what was durable only.
#[test]
fn what_no_fdatasync_covered_is_written_to_a_folder_that_comes_back_without_it() {
    let memory = Memory::new();
    let store = Faulty::without_sync_all(Arc::new(memory.clone()));
    let context = context_of(Arc::new(store.clone()), &[2]);
    let mut chunk = Chunk::new(&context, ID, CAPACITY);
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(0, 300)).unwrap();
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    chunk.name_synced();
    let durable = memory.snapshot();
    chunk.write(Section::Data, BlockNumber(40), &pattern(1, 20)).unwrap();
    chunk.commit().unwrap();
    chunk.write(Section::Data, BlockNumber(50), &pattern(2, 20)).unwrap();
    let mut expected = pattern(0, 300);
    expected[40 * BLOCK..60 * BLOCK].copy_from_slice(&pattern(1, 20));
    expected[50 * BLOCK..70 * BLOCK].copy_from_slice(&pattern(2, 20));
    store.fail_when(|_| Some(StoreFault::Error(libc::ENOTCONN)));
    assert!(matches!(chunk.sync(), Err(Error::Io(..))));
    assert!(matches!(chunk.recover(), Err(Error::Io(..))));
    assert!(content(&chunk, 0).is_ok());
    memory.restore(&durable);
    store.heal();
    chunk.recover().unwrap();
    assert!(content(&chunk, 300).unwrap() == expected);
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    assert!(chunk.is_all_durable() && !context.keeps_much());
    let found = Chunk::open(&context_of(Arc::new(memory), &[2]), ID, CAPACITY).unwrap();
    assert!(content(&found, 300).unwrap() == expected);
}

#[test]
fn a_stranger_that_took_the_place_meanwhile_is_not_written_to() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(3);
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1)).unwrap();
    chunk.commit().unwrap();
    bench.store.fail_when(|event| (event.call == Call::Sync).then_some(EIO));
    assert!(chunk.sync().is_err());
    bench.store.heal();
    let other = context_of(Arc::new(bench.memory.clone()), &[2]);
    let mut stranger = Chunk::new(&other, ID, CAPACITY);
    stranger.include(&Version(vec![(DeviceId([8; 8]), Commit(1))]));
    stranger.write(Section::Data, BlockNumber::FIRST, &pattern(6, 1)).unwrap();
    stranger.commit().unwrap();
    stranger.sync().unwrap();
    let before = bench.bytes();
    assert!(matches!(chunk.recover(), Err(Error::Replaced(_))));
    assert!(bench.bytes() == before);
}

#[test]
fn no_commit_while_a_sync_is_under_way_but_writes() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(3);
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1)).unwrap();
    let commit = chunk.commit().unwrap();
    let sync = chunk.start_sync().unwrap().unwrap();
    assert!(matches!(chunk.commit(), Err(Error::Failed(_))));
    assert!(!chunk.write_backup_root().unwrap());
    chunk.write(Section::Data, BlockNumber(1), &pattern(2, 1)).unwrap();
    let outcome = sync.run();
    chunk.finish_sync(sync, outcome).unwrap();
    assert_eq!((chunk.durable(), chunk.is_dirty()), (commit, true));
    chunk.commit().unwrap();
}

#[test]
fn a_replaced_file_acknowledges_nothing() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(3);
    let durable = chunk.durable();
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1)).unwrap();
    chunk.commit().unwrap();
    bench.memory.restore(&bench.memory.snapshot());
    for _ in 0..2 {
        assert!(matches!(chunk.sync(), Err(Error::Replaced(_))));
        assert_eq!(chunk.durable(), durable);
        chunk.commit().unwrap();
    }
    assert!(content(&chunk, 1).unwrap() == pattern(1, 1), "what it holds can still be read");
}

/// A file that is written, committed and synced three times over, while at one of the store's calls another takes its
/// place, and at a later one it gets it back. Whatever is acknowledged stands at the path. Returns how many calls there
/// were, and how many syncs were acknowledged.
fn replaced_between(from: u64, to: u64) -> (u64, u32) {
    let bench = Bench::new();
    let mut chunk = bench.chunk(3);
    let (memory, name, begun) = (bench.memory.clone(), bench.context.file_name(ID), bench.store.calls());
    let mut aside = None;
    bench.store.fail_when(move |event| {
        match event.number - begun {
            number if number == from => aside = Some(memory.put_aside(name)),
            number if number == to => aside.take().into_iter().for_each(|aside| memory.put_back(aside)),
            _ => {}
        }
        None
    });
    let mut acknowledged = 0;
    for round in 1..=3 {
        chunk.write(Section::Data, BlockNumber(1), &pattern(round, 1)).unwrap();
        let commit = chunk.commit().unwrap();
        match chunk.sync() {
            Ok(()) => {
                let found =
                    Chunk::open(&context_of(Arc::new(bench.memory.clone()), &[2]), ID, CAPACITY).unwrap();
                assert_eq!((found.version().commit(), chunk.durable()), (commit, commit), "{from}, {to}");
                assert!(content(&found, 2).unwrap()[BLOCK..] == pattern(round, 1), "{from}, {to}");
                acknowledged += 1;
            }
            Err(error) => {
                assert!(matches!(error, Error::Replaced(_)) && chunk.durable() < commit, "{error}");
                assert!(chunk.is_dirty(), "it may be closed no more than before");
            }
        }
        chunk.write_backup_root().unwrap();
    }
    (bench.store.calls() - begun, acknowledged)
}

#[test]
fn replaced_at_any_moment_for_any_time_nothing_is_acknowledged_that_is_not_there() {
    let (calls, undisturbed) = replaced_between(u64::MAX, u64::MAX);
    assert!(calls > 12 && undisturbed == 3, "{calls}");
    let mut fewest = undisturbed;
    for from in 0..calls {
        for to in (from + 1..=calls).chain([u64::MAX]) {
            fewest = fewest.min(replaced_between(from, to).1);
        }
    }
    assert_eq!(fewest, 0);
}

#[test]
fn a_read_error_is_an_error_at_every_read() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(300);
    // So much that the map blocks are written anew.
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 150)).unwrap();
    chunk.commit().unwrap();
    let newest = chunk.version().commit();
    for failing in 0.. {
        bench.store.fail_nth(1 + failing, EIO);
        match bench.open() {
            Err(Error::Io(_, error)) => assert_eq!(error.raw_os_error(), Some(libc::EIO)),
            Err(error) => panic!("{error}"),
            Ok(chunk) => {
                assert_eq!(chunk.version().commit(), newest);
                assert!(failing > 3, "roots, map blocks and a block were read");
                break;
            }
        }
    }
}

#[test]
fn what_is_no_file_of_ours_is_named() {
    let bench = Bench::new();
    assert!(matches!(bench.open(), Err(Error::Missing(_))));
    bench.memory.create(bench.context.file_name(ID)).unwrap();
    assert!(matches!(bench.open(), Err(Error::Incomplete(_))));
    bench.put_bytes(&[1; 2 * BLOCK - 1]);
    assert!(matches!(bench.open(), Err(Error::Incomplete(_))));
    bench.put_bytes(&[1; 2 * BLOCK]);
    assert!(matches!(bench.open(), Err(Error::Damaged(..))));
    bench.store.fail_nth(0, StoreFault::Error(libc::EACCES));
    let Err(Error::Io(_, error)) = bench.open() else { panic!("an error of the store is one") };
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
}

/// A client takes a file while it is being made: what it took has no root yet, and is no damage, unless there was one.
fn take_while_it_is_made() {
    for moment in 0.. {
        let bench = Bench::new();
        bench.store.fail_nth(moment, EIO);
        let mut chunk = Chunk::new(&bench.context, ID, CAPACITY);
        let written = chunk.write(Section::Data, BlockNumber::FIRST, &pattern(0, 3));
        let made = written.and_then(|()| chunk.commit().map(drop));
        bench.store.heal();
        match bench.open() {
            Ok(_) => return made.unwrap(),
            Err(Error::Missing(_) | Error::Incomplete(_)) => {}
            Err(error) => panic!("{moment}: {error}"),
        }
    }
}

#[test]
fn what_has_no_root_yet_has_not_arrived() {
    take_while_it_is_made();
    plant(Some(Mutant::UnwrittenIsDamage));
    let noticed = std::panic::catch_unwind(take_while_it_is_made);
    plant(None);
    assert!(noticed.is_err());
    let bench = Bench::new();
    let chunk = bench.chunk(1);
    bench.put_bytes(&[0; 3 * BLOCK]);
    let known = Some(chunk.version());
    let read = |known| Chunk::open_known(&bench.context, ID, CAPACITY, known).err();
    assert!(matches!(read(known), Some(Error::Damaged(..))));
    assert!(matches!(read(None), Some(Error::Incomplete(_))));
}

/// A descriptor of a connection that is gone fails for ever: whatever it was used for, the chunk asks for another one.
#[test]
fn whatever_meets_a_lost_connection_first_asks_for_another_descriptor() {
    type Use = fn(&mut Chunk) -> Result<()>;
    let uses: [(&str, Use); 7] = [
        ("write", |chunk| chunk.write(Section::Data, BlockNumber(7), &pattern(7, 1))),
        ("write_acknowledged", |chunk| {
            chunk.write_acknowledged(Section::Data, BlockNumber(7), &pattern(7, 1))
        }),
        ("preallocate", |chunk| chunk.preallocate(600)),
        ("rewrite", Chunk::rewrite),
        ("compact", Chunk::compact),
        ("give_back", |chunk| chunk.give_back().map(drop)),
        ("sync", |chunk| chunk.commit().and_then(|_| chunk.sync())),
    ];
    for (what, act) in uses {
        let mut failures = 0;
        for opened in [false, true] {
            let bench = Bench::new();
            let mut chunk = bench.chunk(300);
            if opened {
                chunk = bench.open().unwrap();
            } else {
                chunk.preallocate(500).unwrap();
                chunk.commit().unwrap();
                chunk.sync().unwrap();
            }
            chunk.set_record(vec![1; 20]);
            bench.store.lose_connection();
            let store = |chunk: &mut Chunk| chunk.commit().and_then(|_| chunk.sync());
            let used = act(&mut chunk);
            failures += u32::from(used.is_err());
            let error = used.and_then(|()| store(&mut chunk)).expect_err(what);
            assert!(matches!(error, Error::Io(..)) && chunk.wants_recovery(), "{what}: {error}");
            chunk.recover().unwrap();
            act(&mut chunk).unwrap();
            store(&mut chunk).unwrap();
            let mut expected = pattern(0, 300);
            if what.starts_with("write") {
                expected[7 * BLOCK..8 * BLOCK].copy_from_slice(&pattern(7, 1));
            }
            assert!(content(&bench.open().unwrap(), 300).unwrap() == expected, "{what}");
        }
        assert!(failures > 0, "{what} did not fail");
    }
}
