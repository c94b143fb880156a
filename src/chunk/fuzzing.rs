//! Fuzzing of what an authenticated root and map block say.

use super::blocks::Key;
use super::entry::Entries;
use super::root::{Decoded, PLAIN, Root};
use super::{BLOCK, BlockCount, ChunkId, Context};
use std::sync::Arc;

/// A root's plaintext.
pub fn root(bytes: &[u8]) {
    let mut plain = [0; PLAIN];
    plain[..bytes.len().min(PLAIN)].copy_from_slice(&bytes[..bytes.len().min(PLAIN)]);
    for blocks in [256, 4096].map(BlockCount) {
        let Ok(once) = Decoded::decode(&plain, blocks) else { continue };
        let again = encode(once);
        let twice = Decoded::decode(&again, blocks).expect("what was encoded can be decoded");
        assert!(encode(twice) == again, "a root is another one when it is written again");
    }
}

fn encode(root: Decoded) -> [u8; PLAIN] {
    let Decoded { settled, version, more_devices, seals, record, inline, data, metadata } = root;
    let mut out = [0; PLAIN];
    let (version, record, inline) = (&version, &*record, &*inline);
    Root { settled, listed: &version.0, more_devices, seals, record, inline, data, metadata }
        .encode(&mut out);
    out
}

/// A map block.
pub fn map(bytes: &[u8]) {
    let mut block = [0; BLOCK];
    block[..bytes.len().min(BLOCK)].copy_from_slice(&bytes[..bytes.len().min(BLOCK)]);
    let Ok(once) = Entries::decode(&block) else { return };
    let mut again = [0; BLOCK];
    once.encode(&mut again);
    let twice = Entries::decode(&again).expect("what was encoded can be decoded");
    assert!(once.list() == twice.list(), "a map is another one when it is written again");
}

/// Root A of a chunk with this plaintext: authentic, whatever it says.
pub fn seal(context: &Arc<Context>, id: ChunkId, plain: &[u8]) -> [u8; BLOCK] {
    let length = plain.len().min(PLAIN);
    Key::fresh(context, id).seal_root(id, 0, |out| out[..length].copy_from_slice(&plain[..length]))
}
