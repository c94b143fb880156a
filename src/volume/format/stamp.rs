//! Stamps: which change of content a chunk holds, and whether it belongs to what chunk 0 says (docs/FORMAT.md section 7).

use crate::chunk::{Commit, DeviceId};
use crate::volume::format::kinds::{Times, Timestamp};
use crate::volume::format::wire::{Malformed, Reader};

/// Names one change of content: the device that made it, and a commit number taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub device: DeviceId,
    pub commit: Commit,
}

/// The record of a chunk of index 1 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraRecord {
    /// Of the last change of this chunk's content.
    pub stamp: Stamp,
    /// What the chunk table said of this chunk, as last durable, when it was changed; 0: nothing.
    pub follows: Commit,
    /// The content stamp of the chunk 0 that was durable then.
    pub base: Stamp,
    /// The file's mtime and ctime then. Segments of a directory have none.
    pub times: Option<Times>,
}

/// How a chunk relates to what chunk 0 says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is the version that the chunk table names.
    Exact,
    /// It was changed on that chunk 0, which has not followed yet.
    Newer,
    /// The chunk table names a later version.
    Older,
    /// It belongs to another state of the file.
    Foreign,
}

/// Bytes of a record without times.
const BARE: usize = 2 * Stamp::SIZE + 8;

impl Stamp {
    /// Bytes.
    pub const SIZE: usize = 16;
    /// Nothing has been stored yet.
    pub const NONE: Stamp = Stamp { device: DeviceId([0; 8]), commit: Commit(0) };

    pub(in crate::volume) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.device.0);
        out.extend_from_slice(&self.commit.0.to_le_bytes());
    }

    pub(in crate::volume) fn decode(reader: &mut Reader<'_>) -> Result<Stamp, Malformed> {
        Ok(Stamp { device: reader.device()?, commit: Commit(reader.u64()?) })
    }
}

impl ExtraRecord {
    pub(in crate::volume) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BARE + 2 * Timestamp::SIZE);
        self.stamp.encode(&mut out);
        out.extend_from_slice(&self.follows.0.to_le_bytes());
        self.base.encode(&mut out);
        self.times.into_iter().flatten().for_each(|time| time.encode(&mut out));
        out
    }

    pub(in crate::volume) fn decode(record: &[u8]) -> Result<ExtraRecord, Malformed> {
        let mut reader = Reader(record);
        let stamp = Stamp::decode(&mut reader)?;
        let follows = Commit(reader.u64()?);
        let base = Stamp::decode(&mut reader)?;
        let mut time = || Timestamp::decode(&mut reader);
        let times = if record.len() > BARE { Some([time()?, time()?]) } else { None };
        reader.end()?;
        Ok(ExtraRecord { stamp, follows, base, times })
    }

    /// `named`: what the chunk table says of it, not 0. `content`: chunk 0's content stamp. `is_exact`: whether it is that.
    pub(in crate::volume) fn fit(&self, named: Commit, content: Stamp, is_exact: bool) -> Fit {
        let is_later = |stamp: Stamp| stamp.device == content.device && stamp.commit > content.commit;
        let same_state = is_later(self.stamp) && !is_later(self.base) || self.base == content;
        match self.stamp.commit.cmp(&named) {
            std::cmp::Ordering::Equal => Fit::Exact,
            std::cmp::Ordering::Less => Fit::Older,
            std::cmp::Ordering::Greater if !is_exact && same_state && self.follows <= named => Fit::Newer,
            std::cmp::Ordering::Greater => Fit::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(device: u8, commit: u64) -> Stamp {
        Stamp { device: DeviceId([device; 8]), commit: Commit(commit) }
    }

    fn record() -> ExtraRecord {
        ExtraRecord { stamp: stamp(1, 500), follows: Commit(400), base: stamp(2, 450), times: None }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let time = |seconds| Timestamp { seconds, nanoseconds: 7 };
        for (times, length) in [(None, 40), (Some([time(-5), time(9)]), 64)] {
            let record = ExtraRecord { times, ..record() };
            let bytes = record.encode();
            assert_eq!(bytes.len(), length);
            assert_eq!(ExtraRecord::decode(&bytes), Ok(record));
            assert!(ExtraRecord::decode(&bytes[..length - 1]).is_err());
            assert!(ExtraRecord::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_chunk_fits_its_own_state_of_the_file_and_no_other() {
        let record = record();
        for (named, content, fit) in [
            (500, stamp(3, 510), Fit::Exact),
            (501, stamp(1, 510), Fit::Older),
            // Chunk 0 had not followed: the crash of the device that wrote both.
            (400, stamp(1, 420), Fit::Newer),
            (450, stamp(1, 460), Fit::Newer),
            // Or of one that wrote upon another device's chunk 0.
            (400, stamp(2, 450), Fit::Newer),
            // An older chunk 0 of the same device, or one that somebody else wrote meanwhile.
            (399, stamp(1, 410), Fit::Foreign),
            (400, stamp(2, 451), Fit::Foreign),
            (400, stamp(3, 450), Fit::Foreign),
            // What the device wrote before it went on upon a chunk 0 of somebody else's.
            (450, stamp(1, 510), Fit::Foreign),
        ] {
            assert_eq!(record.fit(Commit(named), content, false), fit, "{named}, {content:?}");
            let exact = if fit == Fit::Newer { Fit::Foreign } else { fit };
            assert_eq!(record.fit(Commit(named), content, true), exact, "{named}, {content:?}");
        }
        let record = ExtraRecord { base: stamp(1, 460), ..record };
        // An earlier chunk 0 of the device, which a client brought back; and one of which it was not certain yet.
        assert_eq!(record.fit(Commit(400), stamp(1, 450), false), Fit::Foreign);
        assert_eq!(record.fit(Commit(400), stamp(1, 470), false), Fit::Newer);
    }
}
