//! Decrypted blocks that are likely to be wanted again: those read or written in part, since whole ones lie in the
//! kernel's own cache.
//!
//! What always holds: a block is known by its chunk and by what authenticates it, nonce and tag. Whatever changes,
//! moves or replaces a block gives it other ones, so what is found here is never stale; and never more is held than
//! was asked for. Blocks are wiped when they go.

use super::entry::Entry;
use super::mutants::{self, Mutant};
use super::{BLOCK, ChunkId};
use crate::crypto::{NONCE, TAG};
use crate::locks::{Mutex, Rank};
use lru::LruCache;
use std::sync::atomic::{AtomicUsize, Ordering};
use zeroize::Zeroize;

/// What a block is known by.
type Name = (ChunkId, [u8; NONCE], [u8; TAG]);

/// Decrypted, and wiped when it goes.
pub(super) struct Block(pub Box<[u8; BLOCK]>);

pub(super) struct Cache {
    blocks: Mutex<LruCache<Name, Block>>,
    /// Blocks.
    most: AtomicUsize,
}

impl Drop for Block {
    fn drop(&mut self) {
        // As a slice it is wiped as a whole, as an array byte by byte.
        self.0.as_mut_slice().zeroize();
    }
}

impl Cache {
    pub fn new(bytes: usize) -> Cache {
        Cache {
            blocks: Mutex::new(Rank::BlockCache, LruCache::unbounded()),
            most: AtomicUsize::new(bytes / BLOCK),
        }
    }

    /// From now on keeps whole blocks of so many bytes together at most; of 0, none.
    pub fn limit(&self, bytes: usize) {
        self.most.store(bytes / BLOCK, Ordering::Relaxed);
    }

    /// Copies a block out, if it is here.
    pub fn get(&self, id: ChunkId, entry: &Entry, out: &mut [u8]) -> bool {
        let mut blocks = self.blocks.lock();
        let found = blocks.get(&name(id, entry));
        if let Some(block) = found {
            out.copy_from_slice(&block.0[..]);
        }
        found.is_some()
    }

    /// Takes a block out that is about to be changed, if it is here.
    pub fn take(&self, id: ChunkId, entry: &Entry) -> Option<Block> {
        self.blocks.lock().pop(&name(id, entry))
    }

    pub fn put(&self, id: ChunkId, entry: &Entry, block: Block) {
        let most = self.most.load(Ordering::Relaxed);
        let mut blocks = self.blocks.lock();
        while blocks.len() >= most.max(1) {
            blocks.pop_lru();
        }
        if most > 0 {
            blocks.put(name(id, entry), block);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.blocks.lock().len()
    }
}

fn name(id: ChunkId, entry: &Entry) -> Name {
    if mutants::is_active(Mutant::CachedBySlot) {
        let mut nonce = [0; NONCE];
        nonce[..2].copy_from_slice(&entry.slot.0.to_le_bytes());
        return (id, nonce, [0; TAG]);
    }
    (id, entry.nonce, entry.tag)
}
