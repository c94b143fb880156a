//! Fuzzing of what an authenticated root and map block say.

use super::blocks::Key;
use super::root::{Decoded, PLAIN, Root};
use super::table::Entries;
use super::{BLOCK, ChunkId, Context};
use std::sync::Arc;

/// A root's plaintext.
pub fn root(bytes: &[u8]) {
    let mut plain = [0; PLAIN];
    plain[..bytes.len().min(PLAIN)].copy_from_slice(&bytes[..bytes.len().min(PLAIN)]);
    for blocks in [256, 4096] {
        let Ok(once) = Decoded::decode(&plain, blocks) else { continue };
        let again = encode(once);
        let twice = Decoded::decode(&again, blocks).expect("what was encoded can be decoded");
        assert!(encode(twice) == again, "a root is another one when it is written again");
    }
}

fn encode(root: Decoded) -> [u8; PLAIN] {
    let Decoded { settled, version, seals, record, inline, data, metadata } = root;
    let mut out = [0; PLAIN];
    let (version, record, inline) = (&version, &*record, &*inline);
    Root { settled, version, seals, record, inline, data, metadata }.encode(&mut out);
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

/// The plaintext of root A.
#[cfg(test)]
pub fn unseal(context: &Arc<Context>, id: ChunkId, block: &[u8; BLOCK]) -> Option<Vec<u8>> {
    let salt = block[..16].try_into().expect("a salt's size");
    Key::new(context, id, 0, salt).open_root(id, 0, block).map(|plain| plain.to_vec())
}

#[cfg(test)]
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    use super::root::Listing;
    use super::table::Entry;
    use super::{Commit, DeviceId, Version};
    let entry = |number: u16| (number, Entry { slot: number + 2, nonce: [7; 12], tag: [9; 16] });
    let listing =
        |mapped, numbers: std::ops::Range<u16>| Listing { mapped, entries: numbers.map(entry).collect() };
    let version = Version(vec![(DeviceId([1; 8]), Commit(5)), (DeviceId([2; 8]), Commit(4))]);
    let root = Decoded {
        settled: true,
        version,
        seals: 3,
        record: vec![5; 30],
        inline: vec![6; 40],
        data: listing(true, 0..1),
        metadata: listing(false, 3..5),
    };
    let mut map = vec![0; BLOCK];
    for (at, (_, entry)) in [0, 5].map(|at| (at, entry(at as u16))) {
        map[30 * at..][..30].copy_from_slice(&entry.encode());
    }
    vec![("root", encode(root).to_vec()), ("map", map)]
}
