//! Tests of chunks. `explore` is the exhaustive one, over `disk`; `mutants` shows that it notices mistakes.

mod behaviour;
mod cache;
mod disk;
mod explore;
mod failures;
mod forms;
mod layout;
mod mutants;
mod node;
mod tamper;
mod vectors;
mod versions;

use super::*;
use crate::crypto::{Cipher, Secret};
use crate::store::Store;
use crate::store::faulty::Faulty;
use crate::store::memory::Memory;
use std::sync::Arc;

const DEVICE: DeviceId = DeviceId([7; 8]);
const ID: ChunkId = ChunkId { inode: InodeId([9; 12]), index: ChunkIndex(3) };
/// Data blocks that the chunk may have.
const CAPACITY: BlockCount = BlockCount(1024);

/// Content roots named by one byte each, newest first.
fn context_of(store: Arc<dyn Store>, epochs: &[u8]) -> Arc<Context> {
    let secret = |byte: u8| Secret::from_slice(&[byte; 32]).unwrap();
    let content = epochs.iter().map(|&byte| secret(byte)).collect();
    Arc::new(Context::new(store, DEVICE, Cipher::Aes256Gcm, &secret(1), content))
}

/// A store in memory that counts and fails, and a context over it.
struct Bench {
    memory: Memory,
    store: Faulty,
    context: Arc<Context>,
}

impl Bench {
    fn new() -> Bench {
        let memory = Memory::new();
        let store = Faulty::new(Arc::new(memory.clone()));
        let context = context_of(Arc::new(store.clone()), &[2]);
        Bench { memory, store, context }
    }

    fn open(&self) -> Result<Chunk> {
        Chunk::open(&self.context, ID, CAPACITY)
    }

    /// A new chunk with this many data blocks, synced.
    fn chunk(&self, blocks: u16) -> Chunk {
        let mut chunk = Chunk::new(&self.context, ID, CAPACITY);
        chunk.write(Section::Data, BlockNumber::FIRST, &pattern(0, blocks)).unwrap();
        chunk.commit().unwrap();
        chunk.sync().unwrap();
        chunk.name_synced();
        chunk
    }

    /// One of 300 blocks, of which block 150 was written again and 7 cleared since its map blocks were written. Committed.
    fn chunk_beside_maps(&self) -> Chunk {
        let mut chunk = self.chunk(300);
        chunk.write(Section::Data, BlockNumber(150), &pattern(1, 1)).unwrap();
        chunk.clear(Section::Data, BlockNumber(7)..BlockNumber(8)).unwrap();
        chunk.commit().unwrap();
        chunk
    }

    fn bytes(&self) -> Vec<u8> {
        let file = self.memory.open(self.context.file_name(ID)).unwrap();
        let mut bytes = vec![0; file.length().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        bytes
    }

    fn put_bytes(&self, bytes: &[u8]) {
        let file = self.memory.open(self.context.file_name(ID)).unwrap();
        file.set_length(0).unwrap();
        file.write_at(0, &[std::io::IoSlice::new(bytes)]).unwrap();
    }
}

/// Blocks that differ from each other and between seeds.
fn pattern(seed: u32, blocks: u16) -> Vec<u8> {
    (0..u32::from(blocks)).flat_map(|i| (seed * 100_003 + i).to_le_bytes().repeat(BLOCK / 4)).collect()
}

fn content(chunk: &Chunk, blocks: u16) -> Result<Vec<u8>> {
    let mut out = vec![0; usize::from(blocks) * BLOCK];
    chunk.read(Section::Data, BlockNumber::FIRST, &mut out)?;
    Ok(out)
}
