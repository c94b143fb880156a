//! An inode's record: what chunk 0 of every inode says about it (docs/FORMAT.md section 7).
//!
//! A decoded record is within all limits of the format, and so is whatever `encode` gives out. Neighbours: `batch`
//! carries records whole; `directory` owns the vector that stands in the extension.

use super::limits::{DEVICES_MAX, EXTENSION_MAX, ROOT_MAX, TARGET_MAX, XATTR_NAME_MAX, XATTR_VALUE_MAX};
use crate::chunk::{Commit, DeviceId};
use crate::volume::format::kinds::{Kind, Times, Timestamp};
pub use crate::volume::format::link::{EntryDot, Link};
use crate::volume::format::link::{decode_dots, dots_length, encode_dots, was_given_later};
use crate::volume::format::stamp::Stamp;
use crate::volume::format::wire::{Malformed, Reader, TooLarge, checked_name, is_name};

const VERSION: u8 = 1;
/// Bytes before the extension.
pub(in crate::volume) const FIXED: usize = 116;
/// Where the flags lie, of which all are in the first byte so far.
const FLAGS_AT: usize = 2;
const MODIFIED_AT: usize = 60;
const CONTENT_AT: usize = 96;
const FLAG_OVERFLOW: u16 = 1;
const FLAG_EXACT: u16 = 2;
/// Type and length.
const ITEM_HEADER: usize = 5;
const ITEM_TARGET: u8 = 1;
const ITEM_XATTR: u8 = 2;
const ITEM_LINK: u8 = 3;
const ITEM_VECTOR: u8 = 4;
const ITEM_ATTRIBUTES: u8 = 5;
const ITEM_VERSION: u8 = 6;
const ITEM_DOTS: u8 = 7;

/// What xattrs and further links leave free: for a directory's vector, and for a longer name, so that an entry can be
/// made, and a file be renamed, whatever its owner has put into it.
pub const EXTENSION_SPARE: usize = 8192;

/// All that is known of an inode besides its content.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    pub kind: Kind,
    /// Permission bits, 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// As in `st_rdev`, Linux's 32-bit encoding.
    pub device: u32,
    /// st_nlink.
    pub links_count: u32,
    /// Bytes.
    pub size: u64,
    /// Bytes beyond chunk 0; a hint.
    pub allocated: u64,
    /// The batch that last set `links_count` and the links.
    pub namespace: Commit,
    pub accessed: Timestamp,
    pub modified: Timestamp,
    pub changed: Timestamp,
    pub born: Timestamp,
    /// The last change of content that chunk 0 holds; in a batch it says nothing.
    pub content: Stamp,
    /// No extra chunk is newer than the chunk table says; in a batch it says nothing.
    pub is_exact: bool,
    pub extension: Extension,
}

/// The parts of a record whose length varies.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Extension {
    /// Of a symlink; empty otherwise.
    pub target: Vec<u8>,
    /// Name and value, sorted by name, no name twice.
    pub xattrs: Vec<(Box<[u8]>, Vec<u8>)>,
    pub links: Vec<Link>,
    /// Of a directory: see [`Directory::vector`](crate::volume::Directory::vector).
    pub vector: Vec<(DeviceId, u64)>,
    /// The last change of mode, owner or xattrs since the inode was made.
    pub attributes: Option<Stamp>,
    /// In a batch that carries content: the version vector of that state. Empty in chunk 0.
    pub version: Vec<(DeviceId, Commit)>,
    /// Type and value of items that this version does not know; written back as they came.
    pub unknown: Vec<(u8, Vec<u8>)>,
}

/// A record as chunk 0 holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded {
    /// The record in the root, at most 1024 bytes.
    pub root: Vec<u8>,
    /// The extension, for metadata blocks 0.., if the root has no room for it; at most 262144 bytes.
    pub overflow: Option<Vec<u8>>,
}

impl Record {
    /// Of a directory, whether its name was given after that of a batch.
    pub fn has_later_name(&self, links: &[Link]) -> bool {
        self.kind == Kind::Directory && was_given_later(links, &self.extension.links) == Some(true)
    }

    /// All but the extension and the times that may be lost.
    pub fn without_times(&self) -> impl PartialEq + use<> {
        let numbers = [self.mode, self.uid, self.gid, self.device, self.links_count];
        (self.kind, numbers, [self.size, self.allocated], self.namespace, self.born)
    }

    /// Bytes of the record that `encode` would put into the root.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the extension exceeds a limit of the format.
    pub fn root_length(&self) -> Result<usize, TooLarge> {
        let length = self.extension.checked_length()?;
        Ok(if FIXED + length <= ROOT_MAX { FIXED + length } else { FIXED })
    }

    /// Bytes of the extension; more than there may be if it is beyond a limit.
    pub fn extension_length(&self) -> usize {
        self.extension.checked_length().unwrap_or(EXTENSION_MAX + 1)
    }

    /// Whether the extension may get longer by `more` bytes. Dots of names give way.
    pub fn has_room(&self, more: usize) -> bool {
        self.extension.length_without_dots().is_ok_and(|length| length + more <= EXTENSION_MAX)
    }

    /// For chunk 0.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the extension exceeds a limit of the format.
    pub fn encode(&self) -> Result<Encoded, TooLarge> {
        let length = self.extension.checked_length()?;
        if FIXED + length <= ROOT_MAX {
            let mut root = Vec::with_capacity(FIXED + length);
            self.encode_fixed(0, length, &mut root);
            self.extension.encode(self.namespace, &mut root);
            return Ok(Encoded { root, overflow: None });
        }
        let mut root = Vec::with_capacity(FIXED);
        self.encode_fixed(FLAG_OVERFLOW, length, &mut root);
        let mut overflow = Vec::with_capacity(length);
        self.extension.encode(self.namespace, &mut overflow);
        Ok(Encoded { root, overflow: Some(overflow) })
    }

    /// For a batch: appends the record with its extension in place, whatever its length.
    ///
    /// # Errors
    ///
    /// As [`Record::encode`]; nothing is appended then.
    pub fn encode_whole(&self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let length = self.extension.checked_length()?;
        out.reserve(FIXED + length);
        self.encode_fixed(0, length, out);
        self.extension.encode(self.namespace, out);
        Ok(())
    }

    /// How many bytes of metadata blocks 0.. `decode` wants besides the root's record; none if all is in the root.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the fixed part ends too early, is of an unknown version, kind or flag, or has a value out of
    /// bounds.
    pub fn overflow_length(root_record: &[u8]) -> Result<Option<usize>, Malformed> {
        let (_, flags, length) = Record::decode_fixed(&mut Reader(root_record))?;
        Ok((flags & FLAG_OVERFLOW != 0).then_some(length))
    }

    /// From chunk 0. `overflow` is exactly what `overflow_length` asked for.
    ///
    /// # Errors
    ///
    /// As [`Record::overflow_length`]; [`Malformed`] also if the extension is in the other place, of another length
    /// than the fixed part says, or has an item that makes no sense.
    pub fn decode(root_record: &[u8], overflow: Option<&[u8]>) -> Result<Record, Malformed> {
        let mut reader = Reader(root_record);
        let (mut record, flags, length) = Record::decode_fixed(&mut reader)?;
        let extension = match (flags & FLAG_OVERFLOW != 0, overflow) {
            (false, None) if root_record.len() <= ROOT_MAX => reader.rest(),
            (true, Some(overflow)) if reader.is_empty() => overflow,
            _ => return Err(Malformed("the extension is not where it should be")),
        };
        record.extension = Extension::decode(extension, length, record.namespace)?;
        Ok(record)
    }

    /// From a batch.
    ///
    /// # Errors
    ///
    /// As [`Record::decode`].
    pub fn decode_whole(bytes: &[u8]) -> Result<Record, Malformed> {
        let mut reader = Reader(bytes);
        let (mut record, flags, length) = Record::decode_fixed(&mut reader)?;
        if flags & FLAG_OVERFLOW != 0 {
            return Err(Malformed("the extension is not in place"));
        }
        record.extension = Extension::decode(reader.rest(), length, record.namespace)?;
        Ok(record)
    }

    /// An encoded record, with this content stamp, these times if they are others, and without the flag that says it is exact.
    pub(in crate::volume) fn inexact(mut encoded: Vec<u8>, content: Stamp, times: Option<Times>) -> Vec<u8> {
        encoded[FLAGS_AT] &= !(FLAG_EXACT as u8);
        let mut bytes = Vec::with_capacity(2 * Timestamp::SIZE);
        times.into_iter().flatten().for_each(|time| time.encode(&mut bytes));
        encoded[MODIFIED_AT..MODIFIED_AT + bytes.len()].copy_from_slice(&bytes);
        bytes.clear();
        content.encode(&mut bytes);
        encoded[CONTENT_AT..CONTENT_AT + Stamp::SIZE].copy_from_slice(&bytes);
        encoded
    }

    fn encode_fixed(&self, flags: u16, extension: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.kind.code()]);
        let exact = if self.is_exact { FLAG_EXACT } else { 0 };
        out.extend_from_slice(&(flags | exact).to_le_bytes());
        for field in [self.mode, self.uid, self.gid, self.device, self.links_count] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        for field in [self.size, self.allocated, self.namespace.0] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        for time in [self.accessed, self.modified, self.changed, self.born] {
            time.encode(out);
        }
        self.content.encode(out);
        out.extend_from_slice(&(extension as u32).to_le_bytes());
    }

    /// The record without its extension, the flags, and the extension's length.
    fn decode_fixed(reader: &mut Reader<'_>) -> Result<(Record, u16, usize), Malformed> {
        if reader.u8()? != VERSION {
            return Err(Malformed("an inode record of another version"));
        }
        let kind = Kind::from_code(reader.u8()?)?;
        let flags = reader.u16()?;
        if flags & !(FLAG_OVERFLOW | FLAG_EXACT) != 0 {
            return Err(Malformed("unknown flags in an inode record"));
        }
        let record = Record {
            kind,
            mode: reader.u32()?,
            uid: reader.u32()?,
            gid: reader.u32()?,
            device: reader.u32()?,
            links_count: reader.u32()?,
            size: reader.u64()?,
            allocated: reader.u64()?,
            namespace: Commit(reader.u64()?),
            accessed: Timestamp::decode(reader)?,
            modified: Timestamp::decode(reader)?,
            changed: Timestamp::decode(reader)?,
            born: Timestamp::decode(reader)?,
            content: Stamp::decode(reader)?,
            is_exact: flags & FLAG_EXACT != 0,
            extension: Extension::default(),
        };
        let length = reader.u32()? as usize;
        if record.mode > 0o7777 {
            return Err(Malformed("not permission bits"));
        }
        if length > EXTENSION_MAX {
            return Err(Malformed("an extension beyond its limit"));
        }
        Ok((record, flags, length))
    }
}

impl Extension {
    /// Bytes that a link of this name takes, but for its dot.
    pub fn link_length(name: &[u8]) -> usize {
        ITEM_HEADER + 12 + name.len()
    }

    /// Its length when encoded, if all of it is within the limits.
    fn checked_length(&self) -> Result<usize, TooLarge> {
        self.length_without_dots().map(|length| length + self.dots_within(length))
    }

    /// Bytes of the item that has the dots of names, behind so many: none where there is no room for it.
    fn dots_within(&self, length: usize) -> usize {
        let dots = optional(dots_length(&self.links));
        if length + dots <= EXTENSION_MAX { dots } else { 0 }
    }

    fn length_without_dots(&self) -> Result<usize, TooLarge> {
        let within = self.target.len() <= TARGET_MAX
            && self.vector.len() <= DEVICES_MAX
            && self.version.len() <= DEVICES_MAX
            && self.links.iter().all(|link| is_name(&link.name))
            && self.xattrs.iter().all(|(name, value)| {
                (1..=XATTR_NAME_MAX).contains(&name.len()) && value.len() <= XATTR_VALUE_MAX
            });
        let length = optional(self.target.len())
            + self
                .xattrs
                .iter()
                .map(|(name, value)| ITEM_HEADER + 1 + name.len() + value.len())
                .sum::<usize>()
            + self.links.iter().map(|link| Extension::link_length(&link.name)).sum::<usize>()
            + optional(16 * self.vector.len())
            + optional(self.attributes.map_or(0, |_| Stamp::SIZE))
            + optional(16 * self.version.len())
            + self.unknown.iter().map(|(_, value)| ITEM_HEADER + value.len()).sum::<usize>();
        if within && length <= EXTENSION_MAX { Ok(length) } else { Err(TooLarge) }
    }

    /// `namespace`: the record's namespace commit.
    fn encode(&self, namespace: Commit, out: &mut Vec<u8>) {
        let start = out.len();
        if !self.target.is_empty() {
            item(ITEM_TARGET, self.target.len(), out);
            out.extend_from_slice(&self.target);
        }
        for (name, value) in &self.xattrs {
            item(ITEM_XATTR, 1 + name.len() + value.len(), out);
            out.push(name.len() as u8);
            out.extend_from_slice(name);
            out.extend_from_slice(value);
        }
        for link in &self.links {
            item(ITEM_LINK, 12 + link.name.len(), out);
            out.extend_from_slice(&link.parent.0);
            out.extend_from_slice(&link.name);
        }
        if !self.vector.is_empty() {
            item(ITEM_VECTOR, 16 * self.vector.len(), out);
            for (device, counter) in &self.vector {
                out.extend_from_slice(&device.0);
                out.extend_from_slice(&counter.to_le_bytes());
            }
        }
        if let Some(stamp) = &self.attributes {
            item(ITEM_ATTRIBUTES, Stamp::SIZE, out);
            stamp.encode(out);
        }
        if !self.version.is_empty() {
            item(ITEM_VERSION, 16 * self.version.len(), out);
            for (device, commit) in &self.version {
                Stamp { device: *device, commit: *commit }.encode(out);
            }
        }
        for (kind, value) in &self.unknown {
            item(*kind, value.len(), out);
            out.extend_from_slice(value);
        }
        if self.dots_within(out.len() - start) > 0 {
            item(ITEM_DOTS, dots_length(&self.links), out);
            encode_dots(&self.links, namespace, out);
        }
    }

    fn decode(bytes: &[u8], length: usize, namespace: Commit) -> Result<Extension, Malformed> {
        if bytes.len() != length {
            return Err(Malformed("an extension of another length"));
        }
        let mut extension = Extension::default();
        let (mut reader, mut dots) = (Reader(bytes), None);
        while !reader.is_empty() {
            let kind = reader.u8()?;
            let mut value = Reader(reader.prefixed()?);
            match kind {
                ITEM_DOTS if dots.replace(value.0).is_some() => return Err(Malformed("dots of names twice")),
                ITEM_DOTS => {}
                _ => extension.decode_item(kind, &mut value)?,
            }
        }
        if let Some(dots) = dots {
            decode_dots(dots, namespace, &mut extension.links)?;
        }
        extension.xattrs.sort_by(|a, b| a.0.cmp(&b.0));
        if extension.xattrs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Malformed("an xattr twice"));
        }
        Ok(extension)
    }

    fn decode_item(&mut self, kind: u8, value: &mut Reader<'_>) -> Result<(), Malformed> {
        match kind {
            ITEM_TARGET => {
                let target = value.rest();
                if !self.target.is_empty() || !(1..=TARGET_MAX).contains(&target.len()) {
                    return Err(Malformed("not the target of a symlink"));
                }
                self.target = target.to_vec();
            }
            ITEM_XATTR => {
                let length = value.u8()?;
                let name = value.take(length.into())?;
                let value = value.rest();
                if name.is_empty() || value.len() > XATTR_VALUE_MAX {
                    return Err(Malformed("not an xattr"));
                }
                self.xattrs.push((name.into(), value.to_vec()));
            }
            ITEM_LINK => {
                let parent = value.inode()?;
                self.links.push(Link { parent, name: checked_name(value.rest())?.into(), dot: None });
            }
            ITEM_VECTOR => {
                if !self.vector.is_empty() || value.is_empty() {
                    return Err(Malformed("not a directory vector"));
                }
                while !value.is_empty() {
                    self.vector.push((value.device()?, value.u64()?));
                }
                let known = |i: usize| self.vector[..i].iter().any(|(device, _)| *device == self.vector[i].0);
                if self.vector.len() > DEVICES_MAX || (1..self.vector.len()).any(known) {
                    return Err(Malformed("not a directory vector"));
                }
            }
            ITEM_ATTRIBUTES => {
                if self.attributes.is_some() {
                    return Err(Malformed("a stamp of attributes twice"));
                }
                self.attributes = Some(Stamp::decode(value)?);
                value.end()?;
            }
            ITEM_VERSION => {
                if !self.version.is_empty() || value.is_empty() {
                    return Err(Malformed("not a version vector"));
                }
                while !value.is_empty() {
                    let Stamp { device, commit } = Stamp::decode(value)?;
                    self.version.push((device, commit));
                }
                let known =
                    |i: usize| self.version[..i].iter().any(|(device, _)| *device == self.version[i].0);
                if self.version.len() > DEVICES_MAX || (1..self.version.len()).any(known) {
                    return Err(Malformed("not a version vector"));
                }
            }
            _ => self.unknown.push((kind, value.rest().to_vec())),
        }
        Ok(())
    }
}

fn optional(length: usize) -> usize {
    if length == 0 { 0 } else { ITEM_HEADER + length }
}

fn item(kind: u8, length: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(length as u32).to_le_bytes());
}

#[cfg(test)]
mod tests;
