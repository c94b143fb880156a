//! A file's content: which places hold data, which are holes, and which cannot be read.

use super::{Error, Node, Reader, Result};
use crate::chunk::{BLOCK, BlockNumber, Chunk, ChunkIndex, Commit, Section};
use crate::volume::format::geometry::Run;
use std::ops::Range;

/// Places of a file, in bytes, in increasing order. Everything else up to its size is a hole.
#[derive(Debug, Default)]
pub struct Layout {
    pub data: Vec<Range<u64>>,
    pub lost: Vec<Lost>,
}

/// A place of a file that cannot be read.
#[derive(Debug)]
pub struct Lost {
    pub range: Range<u64>,
    pub error: Error,
}

/// The content of one file, one chunk open at a time.
pub struct Content<'a> {
    reader: &'a Reader,
    node: &'a Node,
    further: Result<Vec<(ChunkIndex, Commit)>>,
    open: Option<Chunk>,
}

impl<'a> Content<'a> {
    pub fn new(reader: &'a Reader, node: &'a Node) -> Content<'a> {
        Content { reader, node, further: node.further(), open: None }
    }

    fn size(&self) -> u64 {
        self.node.record.size
    }

    /// Where there is data and where something is lost, as far as roots and tables tell: blocks are not read.
    pub fn layout(&mut self) -> Layout {
        let (mut layout, size) = (Layout::default(), self.size());
        if !self.node.inline().is_empty() {
            layout.data.push(0..size);
            return layout;
        }
        if self.node.head().is_none() {
            return layout;
        }
        let geometry = self.reader.geometry;
        let mut indices = vec![ChunkIndex::FIRST];
        match &self.further {
            Ok(further) => indices.extend(further.iter().map(|(index, _)| *index)),
            Err(error) => {
                let (range, error) = (geometry.capacity(ChunkIndex::FIRST).min(size)..size, error.again());
                layout.lost.extend((!range.is_empty()).then_some(Lost { range, error }));
            }
        }
        let mut lost = Vec::new();
        for index in indices {
            let Range { start, end } = geometry.range(index);
            let whole = start.min(size)..end.min(size);
            if whole.is_empty() {
                continue;
            }
            match self.runs(index) {
                Ok(runs) => {
                    let within = runs.into_iter().map(|run| start + run.start..(start + run.end).min(size));
                    within.filter(|run| !run.is_empty()).for_each(|run| append(&mut layout.data, run));
                }
                Err(error) => lost.push(Lost { range: whole, error }),
            }
        }
        layout.lost.splice(0..0, lost);
        layout
    }

    /// The runs of blocks that are present in a chunk, in bytes from its start.
    fn runs(&mut self, index: ChunkIndex) -> Result<Vec<Range<u64>>> {
        let blocks = self.reader.geometry.blocks(index).end();
        let Some(chunk) = self.chunk(index)? else { return Ok(Vec::new()) };
        let (mut runs, mut from) = (Vec::new(), BlockNumber::FIRST);
        while from < blocks
            && let Some(start) = chunk.next_present(Section::Data, from)?
        {
            from = chunk.next_absent(Section::Data, start)?.min(blocks);
            runs.push(start.start()..from.start());
        }
        Ok(runs)
    }

    /// Fills `out` with what is at `offset`, both whole blocks; beyond the size are zeros.
    ///
    /// # Errors
    ///
    /// If any of it cannot be read; what is in `out` then is unspecified.
    pub fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        out.fill(0);
        let inline = self.node.inline();
        if self.node.head().is_none() || !inline.is_empty() {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(inline.len());
            let length = out.len().min(inline.len() - from);
            out[..length].copy_from_slice(&inline[from..from + length]);
            return Ok(());
        }
        let (mut at, mut rest, size) = (offset, &mut out[..], self.size());
        for Run { index, from, length } in self.reader.geometry.runs(offset, rest.len()) {
            let (run, more) = rest.split_at_mut(length);
            if let Some(chunk) = self.chunk(index)? {
                chunk.read(Section::Data, BlockNumber::of_byte(from), run)?;
                // Bytes beyond the size count for nothing.
                let valid = size.saturating_sub(at).min(length as u64) as usize;
                run[valid..].fill(0);
            }
            at += length as u64;
            rest = more;
        }
        Ok(())
    }

    /// The same, with zeros for the blocks that cannot be read; those are appended to `lost`.
    pub fn read_rest(&mut self, offset: u64, out: &mut [u8], lost: &mut Vec<Lost>) {
        let Err(error) = self.read(offset, out) else { return };
        if out.len() <= BLOCK {
            out.fill(0);
            let end = (offset + out.len() as u64).min(self.size());
            match lost.last_mut() {
                Some(last) if last.range.end == offset => last.range.end = end,
                _ => lost.push(Lost { range: offset..end, error }),
            }
            return;
        }
        for (at, block) in (offset..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            self.read_rest(at, block, lost);
        }
    }

    /// A chunk of the file; `None` where it has none.
    fn chunk(&mut self, index: ChunkIndex) -> Result<Option<&Chunk>> {
        if index.is_first() {
            return Ok(self.node.head());
        }
        let further = self.further.as_ref().map_err(Error::again)?;
        let Ok(at) = further.binary_search_by_key(&index, |(index, _)| *index) else { return Ok(None) };
        if self.open.as_ref().is_none_or(|open| open.id().index != index) {
            self.open = Some(self.reader.open_extra(self.node, index, further[at].1)?);
        }
        Ok(self.open.as_ref())
    }
}

/// Appends a range to a list, to the last one if it goes on there.
fn append(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}
