//! Segments of a directory's log: chunks that are written once and never change (docs/FORMAT.md section 8).

use crate::chunk::{BLOCK, BlockNumber, Chunk, Section};
use crate::volume::{Error, Result};

/// Bytes of a segment's length, before its part of the log.
const HEAD: usize = 4;

/// Bytes of log that a segment has room for, in a chunk of that many bytes.
pub fn room(capacity: u64) -> usize {
    capacity as usize - HEAD
}

/// What is written into a new segment.
pub fn encode(log: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((HEAD + log.len()).next_multiple_of(BLOCK));
    bytes.extend_from_slice(&(log.len() as u32).to_le_bytes());
    bytes.extend_from_slice(log);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// Bytes of log in a segment, of which a chunk has room for `capacity` bytes.
///
/// # Errors
///
/// [`Error::Damaged`] or [`Error::NotArrived`] if it cannot be read, or its length makes no sense; the store's.
pub fn length(segment: &Chunk, capacity: u64) -> Result<usize> {
    let mut block = [0; BLOCK];
    segment.read(Section::Data, BlockNumber::FIRST, &mut block)?;
    let length = u32::from_le_bytes(block[..HEAD].try_into().expect("four bytes")) as usize;
    if length > room(capacity) {
        return Err(Error::Damaged(segment.id(), "its length makes no sense".into()));
    }
    Ok(length)
}

/// The log in a segment, of which a chunk has room for `capacity` bytes.
///
/// # Errors
///
/// [`Error::Damaged`] or [`Error::NotArrived`] if it cannot be read, or its length makes no sense; the store's.
pub fn read(segment: &Chunk, capacity: u64) -> Result<Vec<u8>> {
    let end = HEAD + length(segment, capacity)?;
    let mut bytes = vec![0; end.next_multiple_of(BLOCK)];
    segment.read(Section::Data, BlockNumber::FIRST, &mut bytes)?;
    bytes.truncate(end);
    bytes.drain(..HEAD);
    Ok(bytes)
}

/// Whether a segment is written anew together with what follows it: so each is at least twice as long as the next one,
/// there are few, and each byte is written few times.
pub fn joins(length: usize, following: usize, capacity: u64) -> bool {
    length < 2 * following && length + following <= room(capacity)
}
