//! In which chunk of a file a byte lies (docs/FORMAT.md section 7). Nothing else computes with the chunk size.

use super::limits::LAST_INDEX;
use crate::chunk::{BlockCount, ChunkIndex};
use std::ops::Range;

const BLOCK: u64 = 4096;
/// Bytes of content in chunk 0 at most: it is written anew with every change of the file.
pub const FIRST_MAX: u64 = 256 << 10;

/// Chunk 0 holds the first bytes, the further chunks a chunk size each.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    chunk_size: u64,
}

/// A run of bytes within one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub index: ChunkIndex,
    /// Bytes from the chunk's start.
    pub from: u64,
    pub length: usize,
}

impl Geometry {
    /// `chunk_size`: bytes, from the header.
    pub const fn new(chunk_size: u64) -> Geometry {
        Geometry { chunk_size }
    }

    /// What [`Geometry::new`] was told.
    pub fn chunk_size(self) -> u64 {
        self.chunk_size
    }

    /// Bytes of content that a chunk has room for.
    pub fn capacity(self, index: ChunkIndex) -> u64 {
        if index.is_first() && self.chunk_size > FIRST_MAX { FIRST_MAX } else { self.chunk_size }
    }

    /// The same in blocks.
    pub fn blocks(self, index: ChunkIndex) -> BlockCount {
        BlockCount((self.capacity(index) / BLOCK) as u16)
    }

    /// Where in the file a chunk's content begins.
    pub fn start(self, index: ChunkIndex) -> u64 {
        match index {
            ChunkIndex::FIRST => 0,
            ChunkIndex(index) => self.capacity(ChunkIndex::FIRST) + (u64::from(index) - 1) * self.chunk_size,
        }
    }

    /// The bytes of the file that lie in a chunk.
    pub fn range(self, index: ChunkIndex) -> Range<u64> {
        self.start(index)..self.start(index) + self.capacity(index)
    }

    /// The chunk of a byte of the file, and where in that.
    pub fn locate(self, offset: u64) -> (ChunkIndex, u64) {
        match offset.checked_sub(self.capacity(ChunkIndex::FIRST)) {
            None => (ChunkIndex::FIRST, offset),
            Some(beyond) => {
                (ChunkIndex::FIRST_EXTRA.after((beyond / self.chunk_size) as u32), beyond % self.chunk_size)
            }
        }
    }

    /// The first chunk that a file of this size, in bytes, does not have; every file has chunk 0.
    pub fn behind(self, size: u64) -> ChunkIndex {
        if size == 0 { ChunkIndex::FIRST_EXTRA } else { self.locate(size - 1).0.next() }
    }

    /// The largest size of a file.
    pub fn size_limit(self) -> u64 {
        self.range(LAST_INDEX).end
    }

    /// The runs of a range of bytes, in order.
    pub fn runs(self, offset: u64, length: usize) -> impl Iterator<Item = Run> {
        let (mut at, end) = (offset, offset + length as u64);
        std::iter::from_fn(move || {
            let (index, from) = self.locate(at);
            let length = (self.capacity(index) - from).min(end - at) as usize;
            at += length as u64;
            (length > 0).then_some(Run { index, from, length })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    #[test]
    fn chunk_0_holds_256_kib_and_the_others_a_chunk_size_each() {
        let geometry = Geometry::new(4 * MIB);
        for (offset, place) in [
            (0, (0, 0)),
            (256 * KIB - 1, (0, 256 * KIB - 1)),
            (256 * KIB, (1, 0)),
            (4 * MIB, (1, 4 * MIB - 256 * KIB)),
            (4 * MIB + 256 * KIB - 1, (1, 4 * MIB - 1)),
            (4 * MIB + 256 * KIB, (2, 0)),
            (geometry.size_limit() - 1, (LAST_INDEX.0, 4 * MIB - 1)),
        ] {
            let (index, within) = (ChunkIndex(place.0), place.1);
            assert_eq!(geometry.locate(offset), (index, within), "{offset}");
            assert_eq!(geometry.start(index) + within, offset);
        }
        assert_eq!([0, 1].map(|index| geometry.blocks(ChunkIndex(index))), [64, 1024].map(BlockCount));
        assert_eq!(geometry.size_limit(), 256 * KIB + 2_097_152 * 4 * MIB);
        for (size, behind) in [(0, 1), (1, 1), (256 * KIB, 1), (256 * KIB + 1, 2), (4 * MIB + 256 * KIB, 2)] {
            assert_eq!(geometry.behind(size), ChunkIndex(behind), "{size}");
        }
    }

    #[test]
    fn small_chunks_are_all_of_one_size() {
        let geometry = Geometry::new(16 * KIB);
        assert_eq!([0, 1].map(|index| geometry.capacity(ChunkIndex(index))), [16 * KIB, 16 * KIB]);
        assert_eq!(geometry.locate(40 * KIB), (ChunkIndex(2), 8 * KIB));
    }

    #[test]
    fn runs_follow_each_other_without_a_gap() {
        let geometry = Geometry::new(MIB);
        let runs: Vec<Run> = geometry.runs(200 * KIB, 2 * MIB as usize).collect();
        let run = |index, from, length: u64| Run { index: ChunkIndex(index), from, length: length as usize };
        assert_eq!(
            runs,
            [run(0, 200 * KIB, 56 * KIB), run(1, 0, MIB), run(2, 0, MIB - 56 * KIB)],
            "from the first to the last byte"
        );
        assert_eq!(geometry.runs(5, 0).count(), 0);
    }
}
