//! What this device keeps of an inode outside of the backing folder: how its chunk file looked, and what chunk 0 said. Never
//! in the folder, so that the bytes are nobody else's affair.

use crate::chunk::Marks;
use crate::chunk::{Commit, Version};
use crate::volume::format::record::Record;
use crate::volume::format::wire::{Malformed, Reader, TooLarge};

const FORM: u8 = 1;

pub struct Kept {
    /// Of chunk 0's file, when it said this.
    pub marks: Marks,
    pub version: Version,
    /// Chunk 0 names no other chunks.
    pub is_alone: bool,
    pub record: Record,
}

impl Kept {
    /// What is kept of an inode, as bytes.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the record exceeds a limit of the format.
    pub fn encode(
        marks: &Marks,
        version: &Version,
        is_alone: bool,
        record: &Record,
    ) -> Result<Vec<u8>, TooLarge> {
        let mut out = vec![FORM, u8::from(is_alone)];
        out.extend_from_slice(&marks.inode.to_le_bytes());
        out.extend_from_slice(&marks.length.to_le_bytes());
        for (seconds, nanoseconds) in [marks.changed, marks.modified] {
            out.extend_from_slice(&seconds.to_le_bytes());
            out.extend_from_slice(&nanoseconds.to_le_bytes());
        }
        out.extend_from_slice(&(version.0.len() as u16).to_le_bytes());
        for (device, commit) in &version.0 {
            out.extend_from_slice(&device.0);
            out.extend_from_slice(&commit.0.to_le_bytes());
        }
        record.encode_whole(&mut out)?;
        Ok(out)
    }

    /// From bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if they are of another form, end too early, or make no sense.
    pub fn decode(bytes: &[u8]) -> Result<Kept, Malformed> {
        let mut reader = Reader(bytes);
        if reader.u8()? != FORM {
            return Err(Malformed("kept in another form"));
        }
        let is_alone = reader.u8()? == 1;
        let (inode, length) = (reader.u64()?, reader.u64()?);
        let mut time = || Ok((reader.u64()? as i64, reader.u32()?));
        let (changed, modified) = (time()?, time()?);
        let devices = reader.u16()?;
        let entries = (0..devices).map(|_| Ok((reader.device()?, Commit(reader.u64()?))));
        let version = Version(entries.collect::<Result<_, Malformed>>()?);
        let record = Record::decode_whole(reader.rest())?;
        Ok(Kept { marks: Marks { inode, length, changed, modified }, version, is_alone, record })
    }
}
