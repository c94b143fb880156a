//! Appending bytes to a chunk: full blocks as data blocks, the last partial one inline where there is room for it.
//!
//! Directories keep the tail of their log so (docs/FORMAT.md section 8), journals their batches (section 9). A stream has
//! absolute positions; the block of position p is (p / 4096) mod `modulus`.

use crate::chunk::{BLOCK, BlockCount, BlockNumber, Chunk, Section};
use crate::volume::{Error, Result};

/// Where a stream's blocks lie.
#[derive(Clone, Copy)]
pub struct Stream {
    /// Number of data blocks that positions wrap around in.
    pub modulus: BlockCount,
    /// Bytes that the owner's record and the map entries of the blocks take in the root, at most: they limit the
    /// inline part.
    pub overhead: usize,
}

/// How a directory's tail lies in chunk 0.
pub const TAIL: Stream = Stream { modulus: BlockCount(64), overhead: 1024 + 2 * 32 };

impl Stream {
    /// Bytes that a stream without a beginning cut off can have.
    pub fn limit(self) -> u64 {
        self.modulus.end().start()
    }

    fn block(self, position: u64) -> BlockNumber {
        BlockNumber::of_byte(position % self.limit())
    }

    /// Appends `bytes` at the end, which is at byte `tail`. The next commit of the chunk makes it so.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if the last block cannot be read, or what is inline is of another
    /// length; [`Error::NoSpace`] if no slot or no space is free; the store's.
    pub fn append(self, chunk: &mut Chunk, tail: u64, bytes: &[u8]) -> Result<()> {
        let mut last = self.partial(chunk, tail)?;
        self.append_to(&mut last, chunk, tail, bytes)
    }

    /// The same where the bytes of the last, partial block are at hand: `last`, which holds those of the new one then.
    ///
    /// # Errors
    ///
    /// As [`Stream::append`].
    pub fn append_to(self, last: &mut Vec<u8>, chunk: &mut Chunk, tail: u64, bytes: &[u8]) -> Result<()> {
        let before = last.len();
        last.extend_from_slice(bytes);
        let full = self.write_end(chunk, tail - before as u64, last)?;
        last.drain(..full);
        Ok(())
    }

    /// Writes the end of the stream from the start of a block on; returns how many bytes are in full blocks.
    fn write_end(self, chunk: &mut Chunk, mut position: u64, data: &[u8]) -> Result<usize> {
        let (mut full, rest) = data.split_at(data.len() - data.len() % BLOCK);
        while !full.is_empty() {
            let until_wrap = (self.limit() - self.block(position).start()) as usize;
            let (run, rest) = full.split_at(full.len().min(until_wrap));
            chunk.write_acknowledged(Section::Data, self.block(position), run)?;
            position += run.len() as u64;
            full = rest;
        }
        let block = self.block(position);
        if rest.len() > chunk.inline_capacity(self.overhead) {
            let mut padded = rest.to_vec();
            padded.resize(BLOCK, 0);
            chunk.write_acknowledged(Section::Data, block, &padded)?;
            chunk.set_inline(Vec::new());
        } else {
            if !rest.is_empty() {
                chunk.clear(Section::Data, block..block.next())?;
            }
            chunk.set_inline(rest.to_vec());
        }
        Ok(data.len() - rest.len())
    }

    /// The bytes of [head, tail), where `tail` is the end of the stream, or 0: none of it counts any more.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if a block cannot be read, or what is inline is of another length;
    /// the store's.
    pub fn read(self, chunk: &Chunk, head: u64, tail: u64) -> Result<Vec<u8>> {
        if tail == 0 {
            return Ok(Vec::new());
        }
        let mut position = head - head % BLOCK as u64;
        let end = tail - tail % BLOCK as u64;
        let mut bytes = vec![0; (end.max(position) - position) as usize];
        let mut rest = &mut bytes[..];
        while !rest.is_empty() {
            let until_wrap = (self.limit() - self.block(position).start()) as usize;
            let length = rest.len().min(until_wrap);
            let (run, more) = rest.split_at_mut(length);
            chunk.read(Section::Data, self.block(position), run)?;
            position += length as u64;
            rest = more;
        }
        bytes.extend_from_slice(&self.partial(chunk, tail)?);
        bytes.drain(..(head % BLOCK as u64) as usize);
        Ok(bytes)
    }

    /// Gives back the blocks of the bytes [head, until), all of them older than the end of the stream.
    ///
    /// # Errors
    ///
    /// As [`Chunk::clear`].
    pub fn drop_front(self, chunk: &mut Chunk, head: u64, until: u64) -> Result<()> {
        let whole = |position: u64| position - position % BLOCK as u64;
        let (mut position, end) = (whole(head), whole(until));
        while position < end {
            let block = self.block(position);
            let length = (end - position).min(self.limit() - block.start());
            chunk.clear(Section::Data, block..block.after((length / BLOCK as u64) as u16))?;
            position += length;
        }
        Ok(())
    }

    /// The bytes of the last, partial block of a stream that ends at `tail`.
    ///
    /// # Errors
    ///
    /// As [`Stream::read`].
    pub fn partial(self, chunk: &Chunk, tail: u64) -> Result<Vec<u8>> {
        let length = (tail % BLOCK as u64) as usize;
        let inline = chunk.inline();
        if inline.len() == length {
            return Ok(inline.to_vec());
        }
        if !inline.is_empty() {
            return Err(Error::Damaged(chunk.id(), "the end of its log is of another length".into()));
        }
        let mut block = vec![0; BLOCK];
        chunk.read(Section::Data, self.block(tail), &mut block)?;
        block.truncate(length);
        Ok(block)
    }
}
