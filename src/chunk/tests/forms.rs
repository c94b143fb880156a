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
    let mut chunk = Chunk::new(&bench.context, ID, BlockCount(BLOCKS));
    let mut content = [Section::Data, Section::Metadata].map(|_| vec![0; usize::from(BLOCKS) * BLOCK]);
    for step in 0..150 {
        let which = usize::from(rng.below(4) == 0);
        let section = [Section::Data, Section::Metadata][which];
        let count = if rng.below(3) == 0 { 1 + rng.below(200) } else { 1 };
        let first = rng.below(usize::from(BLOCKS) - count);
        let range = first * BLOCK..(first + count) * BLOCK;
        match rng.below(8) {
            0..=3 => {
                let data = pattern(step, count as u16);
                match chunk.write(section, BlockNumber(first as u16), &data) {
                    Err(Error::SlotsExhausted(_)) => {
                        // As every writer does.
                        chunk.commit().unwrap();
                        chunk.sync().unwrap();
                        chunk.write(section, BlockNumber(first as u16), &data).unwrap();
                    }
                    written => written.unwrap(),
                }
                content[which][range].copy_from_slice(&data);
            }
            4 => {
                chunk.clear(section, BlockNumber(first as u16)..BlockNumber((first + count) as u16)).unwrap();
                content[which][range].fill(0);
            }
            5 => chunk.set_record(vec![step as u8; rng.below(1025)]),
            6 => {
                chunk.commit().unwrap();
                if rng.below(2) == 0 {
                    chunk.sync().unwrap();
                    chunk.name_synced();
                    chunk.write_backup_root().unwrap();
                }
                if chunk.needs_reclaim() {
                    chunk.reclaim().unwrap();
                }
            }
            _ => {
                chunk.commit().unwrap();
                chunk.sync().unwrap();
                chunk = Chunk::open(&bench.context, ID, BlockCount(BLOCKS)).unwrap();
                for (section, content) in [Section::Data, Section::Metadata].into_iter().zip(&content) {
                    let mut found = vec![1; content.len()];
                    chunk.read(section, BlockNumber::FIRST, &mut found).unwrap();
                    assert!(found == *content, "{section:?} at step {step} of {seed}");
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
