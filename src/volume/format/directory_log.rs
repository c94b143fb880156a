//! The records of a directory's log (docs/FORMAT.md section 8), as its tail, its segments and batches hold them.

use crate::chunk::{Commit, DeviceId, InodeId};
use crate::volume::format::kinds::Kind;
use crate::volume::format::wire::{Malformed, Reader, checked_name};

const ADD: u8 = 1;
const REMOVE: u8 = 2;
/// Bytes of an add without the name.
pub const ADD_LENGTH: usize = 24;
/// The largest counter: a cookie has to fit a signed 64-bit file offset.
pub const COUNTER_MAX: u64 = (1 << 55) - 1;

/// Names an entry of a directory: the position of a device in a vector, and a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dot {
    pub device: u8,
    pub counter: u64,
}

/// Who adds entries, and a number that no counter of theirs is below: one taken for a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    pub device: DeviceId,
    pub now: Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRecord<'a> {
    Add { dot: Dot, kind: Kind, inode: InodeId, name: &'a [u8] },
    Remove(Dot),
}

impl Dot {
    pub fn cookie(self) -> u64 {
        self.counter << 8 | u64::from(self.device)
    }

    pub fn from_cookie(cookie: u64) -> Dot {
        Dot { device: cookie as u8, counter: cookie >> 8 }
    }
}

impl LogRecord<'_> {
    /// The name of an add is a valid one.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            LogRecord::Add { dot, kind, inode, name } => {
                out.extend_from_slice(&[ADD, dot.device, kind.code(), name.len() as u8]);
                out.extend_from_slice(&dot.counter.to_le_bytes());
                out.extend_from_slice(&inode.0);
                out.extend_from_slice(name);
            }
            LogRecord::Remove(dot) => {
                out.extend_from_slice(&[REMOVE, dot.device, 0, 0]);
                out.extend_from_slice(&dot.counter.to_le_bytes());
            }
        }
    }
}

/// The records of a log, in order; ends behind the first error.
///
/// # Errors
///
/// [`Malformed`] for a record that ends too early, is of an unknown type or kind, or has a counter out of bounds or a
/// name that cannot be one.
pub fn records(log: &[u8]) -> impl Iterator<Item = Result<LogRecord<'_>, Malformed>> {
    let mut reader = Reader(log);
    std::iter::from_fn(move || {
        let next = (!reader.is_empty()).then(|| decode(&mut reader))?;
        if next.is_err() {
            reader.rest();
        }
        Some(next)
    })
}

fn decode<'a>(reader: &mut Reader<'a>) -> Result<LogRecord<'a>, Malformed> {
    let [action, device, kind, length] = reader.array()?;
    let dot = Dot { device, counter: reader.u64()? };
    if !(1..=COUNTER_MAX).contains(&dot.counter) {
        return Err(Malformed("a dot's counter out of range"));
    }
    match (action, kind, length) {
        (ADD, ..) => {
            let kind = Kind::from_code(kind)?;
            let inode = reader.inode()?;
            let name = checked_name(reader.take(length.into())?)?;
            Ok(LogRecord::Add { dot, kind, inode, name })
        }
        (REMOVE, 0, 0) => Ok(LogRecord::Remove(dot)),
        _ => Err(Malformed("not a record of a directory's log")),
    }
}
