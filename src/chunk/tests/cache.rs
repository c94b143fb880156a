//! The cache of decrypted blocks against a model: never stale, never more than its bound.

use super::super::mutants::{Mutant, plant};
use super::*;
use crate::test_rng::{TestRng, seed};

const BLOCKS: u16 = 12;
const KEPT: usize = 5;

/// Random changes in part and as a whole, of two chunks, with commits, moves, new keys and reopenings between; what
/// went wrong first.
fn run(seed: u64) -> std::result::Result<(), String> {
    let memory = Memory::new();
    let context = context_of(Arc::new(memory.clone()), &[2]);
    context.keep_blocks(KEPT * BLOCK + 1);
    let ids = [ID, ChunkId { index: ChunkIndex(4), ..ID }];
    let mut chunks = ids.map(|id| Chunk::new(&context, id, CAPACITY));
    let mut model = [vec![0; usize::from(BLOCKS) * BLOCK], vec![0; usize::from(BLOCKS) * BLOCK]];
    let mut rng = TestRng(seed);
    for step in 0..400 {
        let (which, number) = (rng.below(2), rng.below(BLOCKS.into()) as u16);
        let (chunk, content) = (&mut chunks[which], &mut model[which]);
        let at = usize::from(number) * BLOCK;
        let within = rng.below(4000);
        let bytes = [rng.below(256) as u8; 96];
        match rng.below(10) {
            0..4 => {
                chunk.write_part(BlockNumber(number), within, &bytes).unwrap();
                content[at + within..][..96].copy_from_slice(&bytes);
            }
            4 => {
                chunk.write(Section::Data, BlockNumber(number), &[bytes[0]; BLOCK]).unwrap();
                content[at..][..BLOCK].fill(bytes[0]);
            }
            5 => {
                chunk.clear(Section::Data, BlockNumber(number)..BlockNumber(number + 1)).unwrap();
                content[at..][..BLOCK].fill(0);
            }
            6 => drop(chunk.commit().unwrap()),
            7 => {
                chunk.commit().unwrap();
                chunk.sync().unwrap();
                if step % 3 == 0 {
                    chunk.rewrite().unwrap();
                } else {
                    chunk.compact().unwrap();
                }
            }
            8 => {
                chunk.commit().unwrap();
                chunk.sync().unwrap();
                *chunk = Chunk::open(&context, ids[which], CAPACITY).unwrap();
            }
            _ => {}
        }
        let mut found = [1; BLOCK];
        chunk.read_block(BlockNumber(number), &mut found).unwrap();
        if found != content[at..][..BLOCK] {
            return Err(format!("step {step}: block {number} of chunk {which} is stale"));
        }
        if context.cache.len() > KEPT {
            return Err(format!("step {step}: {} blocks are kept", context.cache.len()));
        }
    }
    Ok(())
}

#[test]
fn what_is_cached_is_never_stale_and_never_more_than_it_may_be() {
    let seed = seed();
    for round in 0..20 {
        run(seed.wrapping_add(round)).unwrap();
    }
    plant(Some(Mutant::CachedBySlot));
    let noticed = (0..20).find_map(|round| run(round).err());
    plant(None);
    println!("{noticed:?}");
    assert!(noticed.is_some(), "CachedBySlot was not noticed");
}

#[test]
fn a_block_changed_in_part_again_is_not_read_again() {
    let bench = Bench::new();
    let mut chunk = bench.chunk(4);
    chunk.write_part(BlockNumber(2), 10, b"first").unwrap();
    let reads = bench.store.counts().reads;
    chunk.write_part(BlockNumber(2), 15, b"second").unwrap();
    chunk.commit().unwrap();
    chunk.write_part(BlockNumber(2), 15, b"third!").unwrap();
    let mut block = [0; BLOCK];
    chunk.read_block(BlockNumber(2), &mut block).unwrap();
    assert_eq!(bench.store.counts().reads, reads);
    assert_eq!(&block[10..21], b"firstthird!");
}
