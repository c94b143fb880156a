use super::*;
use std::{io, ops::Range, sync::Arc};
pub const BLOCK: usize = 4096;
#[derive(Clone, Copy)]
pub enum Space {
    Data,
    Metadata,
}
pub struct Chunk;
pub struct Sync;
#[allow(unused)]
impl Chunk {
    pub fn new(c: &Arc<Context>, id: ChunkId, b: u16) -> Chunk {
        todo!()
    }
    pub fn open(c: &Arc<Context>, id: ChunkId, b: u16, k: Option<&Version>) -> Result<Chunk> {
        todo!()
    }
    pub fn id(&self) -> ChunkId {
        todo!()
    }
    pub fn version(&self) -> &Version {
        todo!()
    }
    pub fn durable(&self) -> Commit {
        todo!()
    }
    pub fn record(&self) -> &[u8] {
        todo!()
    }
    pub fn set_record(&mut self, v: Vec<u8>) {}
    pub fn inline(&self) -> &[u8] {
        todo!()
    }
    pub fn set_inline(&mut self, v: Vec<u8>) {}
    pub fn inline_capacity(&self, r: usize) -> usize {
        0
    }
    pub fn read(&self, s: Space, f: u16, o: &mut [u8]) -> Result<()> {
        todo!()
    }
    pub fn write(&mut self, s: Space, f: u16, o: &[u8]) -> Result<()> {
        todo!()
    }
    pub fn clear(&mut self, s: Space, r: Range<u16>) -> Result<()> {
        todo!()
    }
    pub fn is_present(&self, s: Space, n: u16) -> Result<bool> {
        todo!()
    }
    pub fn next_present(&self, s: Space, n: u16) -> Result<Option<u16>> {
        todo!()
    }
    pub fn next_absent(&self, s: Space, n: u16) -> Result<u16> {
        todo!()
    }
    pub fn data_blocks(&self) -> Result<u32> {
        todo!()
    }
    pub fn is_dirty(&self) -> bool {
        todo!()
    }
    pub fn commit(&mut self) -> Result<Commit> {
        todo!()
    }
    pub fn start_sync(&mut self) -> Result<Option<Sync>> {
        todo!()
    }
    pub fn finish_sync(&mut self, s: Sync, o: io::Result<()>) -> Result<()> {
        todo!()
    }
    pub fn sync(&mut self) -> Result<()> {
        todo!()
    }
    pub fn settle(&mut self) -> Result<bool> {
        todo!()
    }
    pub fn is_name_new(&self) -> bool {
        todo!()
    }
    pub fn name_synced(&mut self) {}
    pub fn needs_tidying(&self) -> bool {
        todo!()
    }
    pub fn tidy(&mut self) -> Result<()> {
        todo!()
    }
    pub fn preallocate(&mut self, s: u32) -> Result<()> {
        todo!()
    }
}
impl Sync {
    pub fn run(&self) -> io::Result<()> {
        todo!()
    }
}
