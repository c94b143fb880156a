//! What an inode can be and when things happened to it, with their bytes (docs/FORMAT.md section 7).

use crate::volume::format::wire::{Malformed, Reader};

/// Seconds and nanoseconds since 1970-01-01 UTC; `seconds` may be negative, `nanoseconds` is 0..1_000_000_000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// mtime and ctime.
pub type Times = [Timestamp; 2];

/// What an inode is. The discriminants are the codes on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    File = 1,
    Directory = 2,
    Symlink = 3,
    Fifo = 4,
    Socket = 5,
    CharDevice = 6,
    BlockDevice = 7,
}

impl Kind {
    /// The number that stands for it on disk.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind that a number stands for on disk.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it stands for none.
    pub fn from_code(code: u8) -> Result<Kind, Malformed> {
        match code {
            1 => Ok(Kind::File),
            2 => Ok(Kind::Directory),
            3 => Ok(Kind::Symlink),
            4 => Ok(Kind::Fifo),
            5 => Ok(Kind::Socket),
            6 => Ok(Kind::CharDevice),
            7 => Ok(Kind::BlockDevice),
            _ => Err(Malformed("unknown kind of inode")),
        }
    }
}

impl Timestamp {
    /// Bytes.
    pub const SIZE: usize = 12;

    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.seconds.to_le_bytes());
        out.extend_from_slice(&self.nanoseconds.to_le_bytes());
    }

    /// Takes it off the front of some bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if those end too early, or the nanoseconds make a second.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Timestamp, Malformed> {
        let time = Timestamp { seconds: reader.u64()?.cast_signed(), nanoseconds: reader.u32()? };
        if time.nanoseconds < 1_000_000_000 {
            Ok(time)
        } else {
            Err(Malformed("nanoseconds beyond a second"))
        }
    }
}
