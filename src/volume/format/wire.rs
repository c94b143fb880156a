//! Reading and writing of the little-endian fields that records, logs and batches consist of.
//!
//! Nothing here allocates: what a length field claims is believed only as far as the bytes at hand reach.

use crate::chunk::{DeviceId, InodeId};
use std::fmt;

/// Bytes that make no sense, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// What was to be encoded exceeds a limit of docs/FORMAT.md section 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more than the format has room for")
    }
}

impl std::error::Error for Malformed {}
impl std::error::Error for TooLarge {}

/// Takes fields off the front of some bytes.
#[derive(Clone)]
pub(in crate::volume) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed("cut short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn inode(&mut self) -> Result<InodeId, Malformed> {
        self.array().map(InodeId)
    }

    pub fn device(&mut self) -> Result<DeviceId, Malformed> {
        self.array().map(DeviceId)
    }

    /// LP(x) of the format.
    pub fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("bytes left over")) }
    }
}

/// Whether `name` may stand in a directory.
pub(in crate::volume) fn is_name(name: &[u8]) -> bool {
    (1..=255).contains(&name.len())
        && name != b"."
        && name != b".."
        && !name.iter().any(|&b| b == b'/' || b == 0)
}

pub(in crate::volume) fn checked_name(name: &[u8]) -> Result<&[u8], Malformed> {
    if is_name(name) { Ok(name) } else { Err(Malformed("not a name")) }
}
