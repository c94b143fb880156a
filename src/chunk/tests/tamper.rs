//! What the holder of the file may do to it: an error, or another authentic committed state; never wrong bytes.

use super::*;

const BLOCKS: u16 = 5;

/// Three commits of one chunk: (the file's bytes, the content). The last is settled.
fn history(bench: &Bench) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut chunk = bench.chunk(BLOCKS);
    let mut states = vec![(bench.bytes(), content(&chunk, BLOCKS).unwrap())];
    for seed in 1..3 {
        chunk.write(Section::Data, BlockNumber(1), &pattern(seed, 2)).unwrap();
        chunk.commit().unwrap();
        chunk.sync().unwrap();
        states.push((bench.bytes(), content(&chunk, BLOCKS).unwrap()));
    }
    assert!(chunk.write_backup_root().unwrap());
    states.push((bench.bytes(), content(&chunk, BLOCKS).unwrap()));
    states
}

/// Whether the file as it is now reads as one of the states; errors are fine, other content is not.
fn judge(bench: &Bench, states: &[(Vec<u8>, Vec<u8>)], what: &str) -> bool {
    let Ok(chunk) = bench.open() else { return false };
    let mut whole = true;
    let mut candidates: Vec<&[u8]> = states.iter().map(|state| &*state.1).collect();
    for number in 0..BLOCKS {
        let mut block = [0; BLOCK];
        let at = usize::from(number) * BLOCK;
        match chunk.read(Section::Data, BlockNumber(number), &mut block) {
            Ok(()) => candidates.retain(|content| content[at..][..BLOCK] == block),
            Err(Error::Damaged(..) | Error::Incomplete(_)) => whole = false,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    assert!(!candidates.is_empty(), "{what}: no commit has these bytes");
    whole
}

#[test]
fn any_flipped_bit() {
    let bench = Bench::new();
    let states = history(&bench);
    for (file, _) in &states {
        // Every byte of the roots, and some of the blocks.
        for offset in (0..2 * BLOCK).chain((2 * BLOCK..file.len()).step_by(97)) {
            let mut bytes = file.clone();
            bytes[offset] ^= 1 << (offset % 8);
            bench.put_bytes(&bytes);
            judge(&bench, &states, &format!("bit {} of byte {offset}", offset % 8));
        }
    }
}

#[test]
fn blocks_swapped_zeroed_copied_and_cut_off() {
    let bench = Bench::new();
    let states = history(&bench);
    let settled = &states.last().unwrap().0;
    for (file, _) in &states {
        let slots = file.len() / BLOCK;
        for slot in 0..slots {
            let mut zeroed = file.clone();
            zeroed[slot * BLOCK..][..BLOCK].fill(0);
            bench.put_bytes(&zeroed);
            judge(&bench, &states, &format!("slot {slot} zeroed"));
            bench.put_bytes(&file[..slot * BLOCK + 100]);
            assert!(slot > 0 || matches!(bench.open(), Err(Error::Incomplete(_))));
            judge(&bench, &states, &format!("cut off in slot {slot}"));
            for other in 0..slots {
                let mut swapped = file.clone();
                swapped.copy_within(other * BLOCK..(other + 1) * BLOCK, slot * BLOCK);
                bench.put_bytes(&swapped);
                judge(&bench, &states, &format!("slot {other} copied to {slot}"));
                if slot < settled.len() / BLOCK && other < settled.len() / BLOCK {
                    let mut mixed = file.clone();
                    mixed[slot * BLOCK..][..BLOCK].copy_from_slice(&settled[other * BLOCK..][..BLOCK]);
                    bench.put_bytes(&mixed);
                    judge(&bench, &states, &format!("slot {other} of the last state put into {slot}"));
                }
            }
        }
    }
}

#[test]
fn every_mix_of_the_states() {
    let bench = Bench::new();
    let states = history(&bench);
    let slots = states.iter().map(|state| state.0.len() / BLOCK).min().unwrap();
    let mixes = states.len().pow(slots.min(7) as u32);
    for mix in 0..mixes {
        let mut bytes = states.last().unwrap().0.clone();
        let mut choice = mix;
        for slot in 0..slots.min(7) {
            let from = &states[choice % states.len()].0;
            bytes[slot * BLOCK..][..BLOCK].copy_from_slice(&from[slot * BLOCK..][..BLOCK]);
            choice /= states.len();
        }
        bench.put_bytes(&bytes);
        judge(&bench, &states, &format!("mix {mix}"));
    }
}

#[test]
fn another_chunks_file_is_refused() {
    let bench = Bench::new();
    bench.chunk(2);
    let bytes = bench.bytes();
    for other in [ChunkId { index: ChunkIndex(4), ..ID }, ChunkId { inode: InodeId([8; 12]), ..ID }] {
        let mut chunk = Chunk::new(&bench.context, other, CAPACITY);
        chunk.write(Section::Data, BlockNumber::FIRST, &pattern(5, 2)).unwrap();
        chunk.commit().unwrap();
        let file = bench.memory.open(bench.context.file_name(other)).unwrap();
        file.write_at(0, &[std::io::IoSlice::new(&bytes)]).unwrap();
        assert!(matches!(Chunk::open(&bench.context, other, CAPACITY), Err(Error::Damaged(..))));
    }
}

#[test]
fn a_key_of_another_volume_or_epoch_opens_nothing() {
    let bench = Bench::new();
    bench.chunk(2);
    let context = context_of(Arc::new(bench.store.clone()), &[4, 5]);
    assert!(matches!(Chunk::open(&context, ID, CAPACITY), Err(Error::Damaged(..))));
}

#[test]
fn a_rolled_back_file_is_the_older_commit_and_its_version_says_so() {
    let bench = Bench::new();
    let states = history(&bench);
    let newest = bench.open().unwrap().version().clone();
    bench.put_bytes(&states[0].0);
    let older = bench.open().unwrap();
    assert!(content(&older, BLOCKS).unwrap() == states[0].1);
    assert!(newest.dominates(older.version()) && !older.version().dominates(&newest));
}

#[test]
fn a_settled_or_known_commit_reports_its_bad_blocks() {
    let bench = Bench::new();
    let states = history(&bench);
    let version = bench.open().unwrap().version().clone();
    // The last commit is settled in the last state, and not in the one before.
    for (state, known) in [(3, None), (2, Some(&version))] {
        for slot in 2..states[state].0.len() / BLOCK {
            let mut bytes = states[state].0.clone();
            bytes[slot * BLOCK] ^= 1;
            bench.put_bytes(&bytes);
            let chunk = Chunk::open_known(&bench.context, ID, CAPACITY, known).unwrap();
            assert_eq!(chunk.version(), &version);
            assert_eq!((chunk.rejected(), chunk.durable()), (None, version.commit()));
        }
    }
}

#[test]
fn a_half_made_commit_gives_way_to_the_one_before() {
    let bench = Bench::new();
    let states = history(&bench);
    let newest = bench.open().unwrap().version().commit();
    let mut fallen = 0;
    for slot in 2..states[2].0.len() / BLOCK {
        let mut bytes = states[2].0.clone();
        bytes[slot * BLOCK] ^= 1;
        bench.put_bytes(&bytes);
        let chunk = bench.open().unwrap();
        if chunk.rejected().is_some() {
            assert_eq!(chunk.rejected(), Some(newest));
            assert!(chunk.version().commit() < newest && bench.context.next_commit() > newest);
            fallen += 1;
        }
    }
    assert_eq!(fallen, 2, "the two blocks that the last commit changed");
}

#[test]
fn a_map_block_that_both_roots_name_is_no_reason_to_fall_back() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(300);
    chunk.write(Section::Data, BlockNumber(1), &pattern(1, 1)).unwrap();
    let commit = chunk.commit().unwrap();
    chunk.sync().unwrap();
    let slot = chunk.data.groups()[0].stored.slot.index();
    let mut bytes = bench.bytes();
    bytes[slot * BLOCK] ^= 1;
    bench.put_bytes(&bytes);
    let chunk = Chunk::open_known(&bench.context, ID, CAPACITY, None).unwrap();
    assert_eq!((chunk.version().commit(), chunk.rejected()), (commit, None));
    let mut block = vec![0; BLOCK];
    chunk.read(Section::Data, BlockNumber(1), &mut block).unwrap();
    assert!(block == pattern(1, 1), "what the root tells itself is there");
    assert!(matches!(chunk.read(Section::Data, BlockNumber(2), &mut block), Err(Error::Damaged(..))));
}
