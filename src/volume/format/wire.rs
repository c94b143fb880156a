//! Reading and writing of the little-endian fields that records, logs and batches consist of.
//!
//! Nothing here allocates: a length field is trusted only as far as the bytes at hand reach.

use super::limits::NAME_MAX;
use crate::chunk::{DeviceId, InodeId};

/// Bytes that make no sense, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// What was to be encoded exceeds a limit of docs/FORMAT.md section 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than the format has room for")]
pub struct TooLarge;

/// Takes fields off the front of some bytes.
#[derive(Clone)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed("cut short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    /// The next byte.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next two bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next twelve bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left.
    pub fn inode(&mut self) -> Result<InodeId, Malformed> {
        self.array().map(InodeId)
    }

    /// The next eight bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left.
    pub fn device(&mut self) -> Result<DeviceId, Malformed> {
        self.array().map(DeviceId)
    }

    /// LP(x) of the format.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left than it says.
    pub fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if something is.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("bytes left over")) }
    }
}

/// Whether `name` may stand in a directory.
pub fn is_name(name: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name != b"."
        && name != b".."
        && !name.iter().any(|&b| b == b'/' || b == 0)
}

/// The name, if it may stand in a directory.
///
/// # Errors
///
/// [`Malformed`] if it may not, as [`is_name`] says.
pub fn checked_name(name: &[u8]) -> Result<&[u8], Malformed> {
    if is_name(name) { Ok(name) } else { Err(Malformed("not a name")) }
}
