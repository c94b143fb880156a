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
use zeroize::Zeroizing;

/// What a block is known by.
type Name = (ChunkId, [u8; NONCE], [u8; TAG]);
type Block = Box<Zeroizing<[u8; BLOCK]>>;

pub(super) struct Cache {
    blocks: Mutex<LruCache<Name, Block>>,
    /// Blocks.
    most: AtomicUsize,
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
            out.copy_from_slice(&block[..]);
        }
        found.is_some()
    }

    pub fn put(&self, id: ChunkId, entry: &Entry, content: &[u8]) {
        let most = self.most.load(Ordering::Relaxed);
        let mut blocks = self.blocks.lock();
        let mut displaced = None;
        while blocks.len() >= most.max(1) {
            displaced = blocks.pop_lru().map(|(_, block)| block);
        }
        if most == 0 {
            return;
        }
        let mut block = displaced.unwrap_or_else(|| Box::new(Zeroizing::new([0; BLOCK])));
        block.copy_from_slice(content);
        blocks.put(name(id, entry), block);
    }

    /// Wipes a block that nothing names any more.
    pub fn drop(&self, id: ChunkId, entry: &Entry) {
        self.blocks.lock().pop(&name(id, entry));
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
