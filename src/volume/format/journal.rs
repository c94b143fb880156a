//! The record of a journal's chunk: where its live stream begins and ends (docs/FORMAT.md section 9).

use super::limits;
use super::wire::{Malformed, Reader};

/// Bytes of the record.
pub const RECORD: usize = 24;
/// Version and kind.
const HEADER: [u8; 8] = [1, 8, 0, 0, 0, 0, 0, 0];

/// `head` and `tail`: positions in the stream, in bytes.
pub fn encode(head: u64, tail: u64) -> Vec<u8> {
    [HEADER, head.to_le_bytes(), tail.to_le_bytes()].concat()
}

/// # Errors
/// Not a journal's record, or ends that no journal can have.
pub fn decode(record: &[u8]) -> Result<(u64, u64), Malformed> {
    let mut reader = Reader(record);
    if reader.array()? != HEADER {
        return Err(Malformed("this is no journal"));
    }
    let (head, tail) = (reader.u64()?, reader.u64()?);
    if !reader.is_empty() || head > tail || tail - head > limits::JOURNAL {
        return Err(Malformed("the journal's ends make no sense"));
    }
    Ok((head, tail))
}
