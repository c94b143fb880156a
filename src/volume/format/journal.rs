//! The record of a journal's chunk: where its live stream begins and ends, and whose it is (docs/FORMAT.md section 9).

use super::limits;
use super::wire::{Malformed, Reader};

/// Bytes of the record at most.
pub const RECORD: usize = 24 + limits::LABEL_MAX;
/// Version and kind.
const HEADER: [u8; 8] = [1, 8, 0, 0, 0, 0, 0, 0];

/// What a journal's record says.
#[derive(Debug, PartialEq, Eq)]
pub struct JournalRecord<'a> {
    /// Where the live stream begins, in bytes.
    pub head: u64,
    /// Where it ends.
    pub tail: u64,
    /// What people call the device. Of a longer one the beginning is stored.
    pub label: &'a str,
}

impl<'a> JournalRecord<'a> {
    pub fn encode(&self) -> Vec<u8> {
        let fits = |end: &usize| self.label.is_char_boundary(*end);
        let end = (0..=self.label.len().min(limits::LABEL_MAX)).rfind(fits).unwrap_or(0);
        let label = &self.label[..end];
        [&HEADER, &self.head.to_le_bytes(), &self.tail.to_le_bytes(), label.as_bytes()].concat()
    }

    /// # Errors
    ///
    /// Not a journal's record, or ends that no journal can have, or a label that is none.
    pub fn decode(record: &'a [u8]) -> Result<JournalRecord<'a>, Malformed> {
        let mut reader = Reader(record);
        if reader.array()? != HEADER {
            return Err(Malformed("this is no journal"));
        }
        let (head, tail) = (reader.u64()?, reader.u64()?);
        if head > tail || tail - head > limits::JOURNAL {
            return Err(Malformed("the journal's ends make no sense"));
        }
        let label = str::from_utf8(reader.0).ok().filter(|label| label.len() <= limits::LABEL_MAX);
        Ok(JournalRecord { head, tail, label: label.ok_or(Malformed("the device's label is none"))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_label_is_cut_between_characters() {
        let long = "a".repeat(63) + "é";
        let record = JournalRecord { head: 5, tail: 9, label: &long }.encode();
        assert_eq!(record.len(), 24 + 63);
        assert_eq!(
            JournalRecord::decode(&record),
            Ok(JournalRecord { head: 5, tail: 9, label: &long[..63] })
        );
    }

    #[test]
    fn a_label_that_is_too_long_or_no_text_is_refused() {
        let record = JournalRecord { head: 5, tail: 9, label: "" }.encode();
        let with = |label: &[u8]| [record.as_slice(), label].concat();
        assert_eq!(JournalRecord::decode(&with(b"laptop")).map(|found| found.label), Ok("laptop"));
        assert!(JournalRecord::decode(&with(&[b'a'; 65])).is_err());
        assert!(JournalRecord::decode(&with(b"\xff")).is_err());
    }
}
