//! Tables that stand in a root directly, in map blocks, and beside them, as room and what changes have it: whatever the
//! form, a chunk that is opened again reads as it was written.

use super::super::limits;
use super::*;
use crate::test_rng::{TestRng, seed};

const BLOCKS: u16 = 300;

fn run(seed: u64) {
    let mut rng = TestRng(seed);
    limits::lower(1000 + rng.below(4000) as u64, 64);
    let bench = Bench::new();
    let mut chunk = Chunk::new(&bench.context, ID, BLOCKS);
    let mut content = [Space::Data, Space::Metadata].map(|_| vec![0; usize::from(BLOCKS) * BLOCK]);
    for step in 0..150 {
        let which = usize::from(rng.below(4) == 0);
        let space = [Space::Data, Space::Metadata][which];
        let count = if rng.below(3) == 0 { 1 + rng.below(200) } else { 1 };
        let first = rng.below(usize::from(BLOCKS) - count);
        let range = first * BLOCK..(first + count) * BLOCK;
        match rng.below(8) {
            0..=3 => {
                let data = pattern(step, count as u16);
                chunk.write(space, first as u16, &data).unwrap();
                content[which][range].copy_from_slice(&data);
            }
            4 => {
                chunk.clear(space, first as u16..(first + count) as u16).unwrap();
                content[which][range].fill(0);
            }
            5 => chunk.set_record(vec![step as u8; rng.below(1025)]),
            6 => {
                chunk.commit().unwrap();
                if rng.below(2) == 0 {
                    chunk.sync().unwrap();
                    chunk.name_synced();
                    chunk.settle().unwrap();
                }
                if chunk.needs_tidying() {
                    chunk.tidy().unwrap();
                }
            }
            _ => {
                chunk.commit().unwrap();
                chunk.sync().unwrap();
                chunk = Chunk::open(&bench.context, ID, BLOCKS).unwrap();
                for (space, content) in [Space::Data, Space::Metadata].into_iter().zip(&content) {
                    let mut found = vec![1; content.len()];
                    chunk.read(space, 0, &mut found).unwrap();
                    assert!(found == *content, "{space:?} at step {step} of {seed}");
                }
            }
        }
    }
    limits::raise();
}

#[test]
fn tables_change_their_form_and_nothing_is_lost() {
    let seed = seed();
    (0..60).for_each(|round| run(seed.wrapping_add(round)));
}
