//! What chunks do: round trips, I/O counts, space, salts and epochs.

use super::super::limits::seals;
use super::super::remembered::Remembered;
use super::super::root::PLAIN;
use super::*;
use crate::store::faulty::Call;

#[test]
fn reads_what_was_written_before_and_after_reopening() {
    let bench = Bench::new();
    let mut chunk = Chunk::new(&bench.context, ID, CAPACITY);
    assert!(chunk.is_dirty() && !chunk.is_name_new() && matches!(bench.open(), Err(Error::Missing(_))));
    chunk.set_record(b"record".to_vec());
    chunk.set_inline(b"inline".to_vec());
    chunk.write(Section::Data, BlockNumber(3), &pattern(1, 400)).unwrap();
    chunk.write(Section::Metadata, BlockNumber(4100), &pattern(2, 60)).unwrap();
    chunk.clear(Section::Data, BlockNumber(100)..BlockNumber(200)).unwrap();
    chunk.write(Section::Data, BlockNumber(150), &pattern(3, 2)).unwrap();
    assert!(chunk.is_name_new());
    let commit = chunk.commit().unwrap();
    for chunk in [chunk, bench.open().unwrap()] {
        let mut expected = [vec![0; 3 * BLOCK], pattern(1, 400), vec![0; 5 * BLOCK]].concat();
        expected[100 * BLOCK..200 * BLOCK].fill(0);
        expected[150 * BLOCK..152 * BLOCK].copy_from_slice(&pattern(3, 2));
        assert!(content(&chunk, 408).unwrap() == expected);
        let mut metadata = vec![0; 60 * BLOCK];
        chunk.read(Section::Metadata, BlockNumber(4100), &mut metadata).unwrap();
        assert!(metadata == pattern(2, 60));
        assert_eq!((chunk.record(), chunk.inline()), (&b"record"[..], &b"inline"[..]));
        assert_eq!((chunk.version().commit(), chunk.data_blocks().unwrap()), (commit, 302));
        assert_eq!(chunk.next_present(Section::Data, BlockNumber::FIRST).unwrap(), Some(BlockNumber(3)));
        assert_eq!(chunk.next_absent(Section::Data, BlockNumber(3)).unwrap(), BlockNumber(100));
        assert_eq!(chunk.next_present(Section::Data, BlockNumber(100)).unwrap(), Some(BlockNumber(150)));
        assert_eq!(chunk.next_present(Section::Data, BlockNumber(403)).unwrap(), None);
        assert_eq!(chunk.next_absent(Section::Data, BlockNumber(1023)).unwrap(), BlockNumber(1023));
        assert_eq!(chunk.next_absent(Section::Metadata, BlockNumber(4150)).unwrap(), vector::NUMBER);
        assert!(
            chunk.is_present(Section::Data, BlockNumber(151)).unwrap()
                && !chunk.is_present(Section::Data, BlockNumber(152)).unwrap()
        );
    }
}

#[test]
fn random_changes_read_back() {
    use proptest::prelude::*;
    let change = (0u16..60, 1u16..40, 0u8..6);
    proptest!(ProptestConfig::with_cases(60), |(changes in prop::collection::vec(change, 1..60))| {
        let bench = Bench::new();
        let mut chunk = Chunk::new(&bench.context, ID, BlockCount(100));
        let mut model = vec![0; 100 * BLOCK];
        for (seed, (first, count, what)) in (1..).zip(changes) {
            let range = usize::from(first) * BLOCK..usize::from(first + count) * BLOCK;
            match what {
                0 => { chunk.clear(Section::Data, BlockNumber(first)..BlockNumber(first + count)).unwrap(); model[range].fill(0); }
                1 => drop(chunk.commit().unwrap()),
                2 => { chunk.commit().unwrap(); chunk.sync().unwrap(); chunk.name_synced(); chunk.write_backup_root().unwrap(); }
                3 => { chunk.commit().unwrap(); chunk.sync().unwrap(); chunk.reclaim().unwrap(); }
                4 => {
                    chunk.commit().unwrap();
                    drop(chunk);
                    chunk = Chunk::open(&bench.context, ID, BlockCount(100)).unwrap();
                }
                _ => {
                    let data = pattern(seed, count);
                    if let Err(Error::SlotsExhausted(_)) = chunk.write(Section::Data, BlockNumber(first), &data) {
                        chunk.commit().unwrap();
                        chunk.sync().unwrap();
                        chunk.write(Section::Data, BlockNumber(first), &data).unwrap();
                    }
                    model[range].copy_from_slice(&data);
                }
            }
            prop_assert!(content(&chunk, 100).unwrap() == model);
        }
    });
}

#[test]
fn a_small_chunk_costs_one_write_and_one_fdatasync() {
    let bench = Bench::new();
    let mut chunk = Chunk::new(&bench.context, ID, CAPACITY);
    chunk.set_inline(vec![5; chunk.inline_capacity(0)]);
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    assert_eq!(bench.bytes().len(), BLOCK);
    for _ in 0..3 {
        bench.store.reset();
        chunk.set_inline(vec![6; 100]);
        chunk.commit().unwrap();
        chunk.sync().unwrap();
        let (counts, log) = (bench.store.counts(), bench.store.log());
        assert_eq!((counts.writes, counts.syncs, counts.reads), (1, 1, 0));
        assert!(
            log.iter().any(|event| event.call == Call::Write && event.length == 4096 && event.offset <= 4096)
        );
    }
    bench.store.reset();
    assert!(!chunk.write_backup_root().unwrap() && chunk.start_sync().unwrap().is_none());
    assert_eq!(bench.store.counts().writes + bench.store.counts().syncs, 0);
}

#[test]
fn one_block_of_a_mapped_chunk_costs_two_writes_until_the_root_is_full() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(1024);
    let (maps, room) = (8, 117);
    for number in 0..2 * room + 2 {
        bench.store.reset();
        chunk.write(Section::Data, BlockNumber(number), &pattern(1, 1)).unwrap();
        chunk.commit().unwrap();
        chunk.sync().unwrap();
        let (counts, log) = (bench.store.counts(), bench.store.log());
        // Then all map blocks that have anything to tell: block 117 lies in the first, as those before.
        let writes = match number {
            117 => 2 + 1,
            235 => 2 + 2,
            _ => 2,
        };
        assert_eq!(
            (counts.writes, counts.syncs, counts.reads),
            (writes, 1, 0),
            "block {number} of {maps} maps"
        );
        assert!(log.iter().filter(|event| event.call == Call::Write).all(|event| event.length == 4096));
    }
}

/// A file written in one go has them one behind the other; a disk reads them at once.
#[test]
fn map_blocks_near_the_first_that_is_read_are_expected() {
    let bench = Bench::new();
    bench.chunk(1024).write_backup_root().unwrap();
    let chunk = bench.open().unwrap();
    bench.store.reset();
    for number in [500, 0, 1023] {
        let mut out = [0; BLOCK];
        chunk.read(Section::Data, BlockNumber(number), &mut out).unwrap();
    }
    let block = BLOCK as u64;
    let after_data = (2 + 1024) * block;
    assert_eq!(bench.store.expected(), vec![after_data..after_data + 8 * block; 1]);
    assert_eq!(bench.store.counts().reads, 2 * 3);

    let bench = Bench::new();
    bench.chunk(130);
    bench.open().unwrap().read(Section::Data, BlockNumber(0), &mut [0; BLOCK]).unwrap();
    assert_eq!(bench.store.expected(), [], "the only one");
}

#[test]
fn what_stands_beside_map_blocks_outlives_settling_without_being_loaded() {
    let bench = Bench::new();
    bench.chunk_beside_maps().sync().unwrap();
    let mut expected = pattern(0, 300);
    expected[150 * BLOCK..151 * BLOCK].copy_from_slice(&pattern(1, 1));
    expected[7 * BLOCK..8 * BLOCK].fill(0);
    let mut chunk = bench.open().unwrap();
    chunk.anchor().unwrap();
    chunk.name_synced();
    assert!(chunk.write_backup_root().unwrap());
    for which in 0..2 {
        let (mut file, whole) = (bench.bytes(), bench.bytes());
        file[which * BLOCK..(which + 1) * BLOCK].fill(0);
        bench.put_bytes(&file);
        assert!(content(&bench.open().unwrap(), 300).unwrap() == expected, "without root {which}");
        bench.put_bytes(&whole);
    }
}

#[test]
fn overwriting_without_a_commit_takes_no_memory() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(4);
    for seed in 0..10_000 {
        chunk.write(Section::Data, BlockNumber((seed % 4) as u16), &pattern(seed, 1)).unwrap();
    }
    let slots = chunk.slots.as_ref().unwrap();
    assert!(slots.fresh.len() < 100 && slots.length() < 20, "{} {}", slots.fresh.len(), slots.length());
    chunk.commit().unwrap();
    assert!(chunk.slots.as_ref().unwrap().fresh.is_empty());
}

#[test]
fn a_mebibyte_is_one_write_and_one_read() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(1024);
    for first in [0, 256, 512] {
        bench.store.reset();
        chunk.write(Section::Data, BlockNumber(first), &pattern(8, 256)).unwrap();
        assert_eq!((bench.store.counts().writes, bench.store.counts().syncs), (1, 0), "at {first}");
    }
    bench.store.reset();
    let mut out = vec![0; 256 * BLOCK];
    chunk.read(Section::Data, BlockNumber(256), &mut out).unwrap();
    assert!(out == pattern(8, 256));
    assert_eq!(bench.store.counts().reads, 1);
}

#[test]
fn an_open_costs_one_fdatasync_before_the_first_write_and_none_to_read() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(3);
    chunk.write_backup_root().unwrap();
    drop(chunk);
    bench.store.reset();
    let mut chunk = bench.open().unwrap();
    content(&chunk, 3).unwrap();
    assert_eq!((bench.store.counts().reads, bench.store.counts().syncs), (2, 0));
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(4, 1)).unwrap();
    let log = bench.store.log();
    let place = |call| log.iter().position(|event| event.call == call);
    assert!(place(Call::Sync).unwrap() < place(Call::Write).unwrap());
}

#[test]
fn overwriting_stays_within_twice_the_blocks() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(1024);
    for round in 1..6 {
        for first in (0..1024).step_by(64) {
            chunk.write(Section::Data, BlockNumber(first), &pattern(round, 64)).unwrap();
        }
        chunk.commit().unwrap();
        chunk.sync().unwrap();
    }
    assert!(bench.bytes().len() <= (2 * 1024 + 100) * BLOCK, "{} blocks", bench.bytes().len() / BLOCK);
    assert!((1..2000).any(|round| {
        matches!(
            chunk
                .write(Section::Data, BlockNumber::FIRST, &pattern(round, 64))
                .and_then(|()| chunk.commit().map(drop)),
            Err(Error::SlotsExhausted(_))
        )
    }));
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(9, 1024)).unwrap();
    assert!(content(&chunk, 1024).unwrap() == pattern(9, 1024));
}

#[test]
fn reclaiming_gives_space_back() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(1024);
    chunk.clear(Section::Data, BlockNumber::FIRST..BlockNumber(1000)).unwrap();
    for _ in 0..4 {
        chunk.commit().unwrap();
        chunk.sync().unwrap();
        chunk.reclaim().unwrap();
    }
    assert!(!chunk.needs_reclaim());
    assert!(bench.bytes().len() <= 40 * BLOCK, "{} blocks", bench.bytes().len() / BLOCK);
    let mut expected = pattern(0, 1024);
    expected[..1000 * BLOCK].fill(0);
    chunk.commit().unwrap();
    for chunk in [chunk, bench.open().unwrap()] {
        assert!(content(&chunk, 1024).unwrap() == expected);
    }
}

#[test]
fn preallocated_space_is_kept() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(2);
    chunk.preallocate(100).unwrap();
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    chunk.reclaim().unwrap();
    assert_eq!(bench.bytes().len(), 100 * BLOCK);
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 90)).unwrap();
    chunk.commit().unwrap();
    assert_eq!(bench.bytes().len(), 100 * BLOCK);
    assert!(content(&bench.open().unwrap(), 90).unwrap() == pattern(1, 90));
}

#[test]
fn rewriting_takes_a_new_salt_and_the_newest_epoch() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(300);
    chunk.write(Section::Metadata, BlockNumber(70), &pattern(5, 3)).unwrap();
    chunk.commit().unwrap();
    drop(chunk);
    let salt = |root: usize| bench.bytes()[root * BLOCK..][..16].to_vec();
    let former = [salt(0), salt(1)];
    let context = context_of(Arc::new(bench.store.clone()), &[3, 2]);
    let mut chunk = Chunk::open(&context, ID, CAPACITY).unwrap();
    assert!(!chunk.epoch_is_newest());
    chunk.rewrite().unwrap();
    assert!(chunk.epoch_is_newest());
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    assert!(content(&chunk, 300).unwrap() == pattern(0, 300));
    assert!([salt(0), salt(1)].iter().filter(|salt| !former.contains(salt)).count() == 1);
    chunk.name_synced();
    assert!(chunk.write_backup_root().unwrap());
    let new_only = context_of(Arc::new(bench.store.clone()), &[3]);
    let chunk = Chunk::open(&new_only, ID, CAPACITY).unwrap();
    assert!(content(&chunk, 300).unwrap() == pattern(0, 300));
}

#[test]
fn many_seals_ask_for_a_new_salt() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(1000);
    let before = bench.bytes()[..16].to_vec();
    while chunk.seals < seals() {
        chunk.write(Section::Data, BlockNumber::FIRST, &pattern(1, 1000)).unwrap();
    }
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    drop(chunk);
    let mut chunk = bench.open().unwrap();
    assert!(chunk.seals >= seals() && chunk.needs_reclaim());
    chunk.reclaim().unwrap();
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    assert!(chunk.seals < seals() && chunk.key.as_ref().unwrap().salt[..] != before[..]);
    assert!(content(&bench.open().unwrap(), 1000).unwrap() == pattern(1, 1000));
}

#[test]
fn inline_content_fills_the_root_and_no_more() {
    let bench = Bench::new();
    let mut chunk = Chunk::new(&bench.context, ID, CAPACITY);
    let capacity = chunk.inline_capacity(1000);
    assert_eq!(capacity, PLAIN - 24 - 16 - 1000);
    chunk.set_record(vec![1; 1000]);
    chunk.set_inline(vec![2; capacity]);
    chunk.commit().unwrap();
    assert_eq!(bench.open().unwrap().inline(), vec![2; capacity]);
    chunk.set_inline(vec![2; capacity + 1]);
    assert!(matches!(chunk.commit(), Err(Error::TooLarge(_))));
    chunk.set_inline(Vec::new());
    chunk.write(Section::Metadata, BlockNumber::FIRST, &pattern(1, 200)).unwrap();
    assert_eq!(chunk.inline_capacity(1000), capacity - 2 * 32);
    chunk.set_inline(vec![3; capacity - 2 * 32]);
    chunk.commit().unwrap();
    assert_eq!(bench.open().unwrap().inline().len(), capacity - 2 * 32);
}

#[test]
fn a_version_keeps_the_other_devices() {
    let bench = Bench::new();
    bench.chunk(1);
    let mut former = bench.open().unwrap().version().clone();
    for device in 1..300_u16 {
        let id = DeviceId(std::array::from_fn(|at| device.to_be_bytes()[at % 2]));
        let mut context = context_of(Arc::new(bench.store.clone()), &[2]);
        Arc::get_mut(&mut context).unwrap().device = id;
        let mut chunk = Chunk::open(&context, ID, CAPACITY).unwrap();
        chunk.commit().unwrap();
        chunk.sync().unwrap();
        let version = bench.open().unwrap().version().clone();
        assert_eq!(version.0[0].0, id);
        assert!(version.commit() > former.commit());
        assert_eq!(version.0.len(), usize::from(device + 1).min(255));
        assert_eq!(version.dominates(&former), device < 255);
        former = version;
    }
}

#[test]
fn a_reserved_number_is_used_once() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(1);
    let number = bench.context.next_commit();
    assert_eq!(chunk.commit_as(number).unwrap(), number);
    assert!(matches!(chunk.commit_as(number), Err(Error::Failed(_))));
    assert_eq!(bench.open().unwrap().version().commit(), number);
}

#[test]
fn what_settling_wrote_is_synced_before_the_end() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(3);
    assert!(!chunk.is_unsynced());
    assert!(chunk.write_backup_root().unwrap() && chunk.is_unsynced());
    assert!(chunk.start_sync().unwrap().is_none(), "the commit itself is durable");
    bench.store.reset();
    chunk.sync_rest().unwrap();
    chunk.sync_rest().unwrap();
    assert_eq!(bench.store.counts().syncs, 1);
    assert!(!chunk.is_unsynced());
}

/// A chunk was removed, its removal forgotten, and the clock set back: the next one of that name is not older.
#[test]
fn a_clock_that_was_set_back_makes_nothing_look_older() {
    let known = Version(vec![(DEVICE, Commit(1 << 60))]);
    let remembered = Remembered::of(Arc::new([(ID, known)].into_iter().collect()));
    let context = context_of(Arc::new(Memory::new()), &[2]);
    let context = Arc::new(Arc::into_inner(context).unwrap().remembering(Arc::new(remembered)));
    let mut chunk = Chunk::new(&context, ID, CAPACITY);
    chunk.write(Section::Data, BlockNumber::FIRST, &pattern(0, 1)).unwrap();
    chunk.commit().unwrap();
    chunk.sync().unwrap();
    assert!(Chunk::open(&context, ID, CAPACITY).is_ok());
}
