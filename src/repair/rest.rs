//! What is left of a file of which something is lost, copied beside it.

use super::PARTIAL;
use super::apply::Apply;
use crate::chunk::{BLOCK, BlockNumber, Chunk, ChunkId, ChunkIndex, InodeId, Section};
use crate::volume::{Content, Inode, Kind, Lost, NewInode, Result};
use std::ops::Range;
use std::sync::Arc;

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;

impl Apply<'_> {
    /// Copies what is left of a file to a name beside it.
    pub(super) fn copy_rest(
        &self,
        id: InodeId,
        directory: InodeId,
        name: &[u8],
        further: &[ChunkIndex],
    ) -> Result<(Vec<u8>, Vec<Range<u64>>)> {
        let directory = self.volume.inode(directory)?;
        let name = self.free_name(&directory, name, Some(PARTIAL))?;
        let node = self.reader.node(id);
        let record = node.as_ref().ok().map(|node| &node.record);
        let (uid, gid) = directory.view(|record| (record.uid, record.gid));
        let new = NewInode {
            kind: Kind::File,
            mode: record.map_or(0o600, |record| record.mode & 0o777),
            uid: record.map_or(uid, |record| record.uid),
            gid: record.map_or(gid, |record| record.gid),
            device: 0,
            target: b"",
            xattrs: Vec::new(),
            now: record.map_or(self.now, |record| record.modified),
        };
        // It has its name once it is whole: an interrupted repair leaves none that seems to have lost more.
        let copy = self.volume.create_nameless(&directory, new)?;
        let lost = match &node {
            Ok(node) => {
                self.volume.resize(&copy, node.record.size, self.now, 0)?;
                self.copy_node(&copy, &mut Content::new(self.reader, node))?
            }
            Err(_) => self.copy_chunks(&copy, id, further)?,
        };
        self.volume.link(&copy, &directory, &name, self.now)?;
        Ok((name, lost))
    }

    fn copy_node(&self, copy: &Arc<Inode>, content: &mut Content<'_>) -> Result<Vec<Range<u64>>> {
        let layout = content.layout();
        let (mut lost, mut buffer) = (layout.lost, vec![0; PIECE]);
        for range in layout.data {
            for offset in (range.start..range.end).step_by(PIECE) {
                let length = (range.end - offset).min(PIECE as u64) as usize;
                let known = lost.len();
                content.read_rest(offset, &mut buffer[..length.next_multiple_of(BLOCK)], &mut lost);
                let is_lost = |at: u64| {
                    lost[known.saturating_sub(1)..].iter().any(|Lost { range, .. }| range.contains(&at))
                };
                for (at, block) in (offset..).step_by(BLOCK).zip(buffer[..length].chunks(BLOCK)) {
                    if !is_lost(at) {
                        self.volume.write(copy, at, block, self.now, 0)?;
                    }
                }
            }
        }
        let mut lost: Vec<Range<u64>> = lost.into_iter().map(|lost| lost.range).collect();
        lost.sort_by_key(|range| range.start);
        Ok(lost)
    }

    /// Of a file whose first chunk is lost: what the others hold, each in its place.
    fn copy_chunks(&self, copy: &Arc<Inode>, id: InodeId, further: &[ChunkIndex]) -> Result<Vec<Range<u64>>> {
        let geometry = self.reader.geometry();
        let (mut lost, mut end) = (Vec::new(), 0);
        for index in further {
            let (whole, blocks) = (geometry.range(*index), geometry.blocks(*index));
            if whole.start > end {
                lost.push(end..whole.start);
            }
            end = whole.end;
            let Ok(chunk) = Chunk::open(self.reader.context(), ChunkId { inode: id, index: *index }, blocks)
            else {
                lost.push(whole);
                continue;
            };
            let (mut from, mut block) = (BlockNumber::FIRST, [0; BLOCK]);
            while from < blocks.end()
                && let Ok(Some(number)) = chunk.next_present(Section::Data, from)
            {
                let at = whole.start + number.start();
                match chunk.read(Section::Data, number, &mut block) {
                    Ok(()) => self.volume.write(copy, at, &block, self.now, 0)?,
                    Err(_) => lost.push(at..at + BLOCK as u64),
                }
                from = number.next();
            }
        }
        Ok(lost)
    }
}
