//! Batches: what the journal says happened, all of it or nothing (docs/FORMAT.md section 9).
//!
//! This is the bytes only; when a batch is written, applied and dropped is the journal's affair.

use super::limits::{BATCH_MAX, DEVICES_MAX};
use crate::chunk::{ChunkCount, Commit, DeviceId, InodeId};
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::record::{Link, Record};
use crate::volume::format::wire::{Malformed, Reader, TooLarge, checked_name};

/// Length of the payload, number of records, batch number.
const HEADER: usize = 16;
/// Bytes of a batch that carries a small file.
const USUAL: usize = 4096;

/// Without the counter that [`DIRECTORY`] has: no longer written.
const DIRECTORY_PLAIN: u8 = 1;
/// Without dots: no longer written.
const NAMESPACE_PLAIN: u8 = 2;
const INODE: u8 = 3;
const DELETE: u8 = 4;
const ORPHAN: u8 = 5;
const RESERVE: u8 = 6;
const DIRECTORY: u8 = 7;
const DELETION: u8 = 8;
const DURABLE: u8 = 9;
const NAMESPACE: u8 = 10;
/// What an inode record says of its content if that is of a version beside the one in place.
const ASIDE: u8 = 2;

/// One record of a batch.
#[derive(Clone, PartialEq, Debug)]
pub enum Item<'a> {
    /// For [`Directory::apply`](crate::volume::Directory::apply).
    Directory {
        inode: InodeId,
        /// The counter that the directory's vector had for the journal's device before the batch.
        before: u64,
        devices: Vec<DeviceId>,
        log: &'a [u8],
    },
    Namespace {
        inode: InodeId,
        links_count: u32,
        modified: Timestamp,
        changed: Timestamp,
        links: Vec<Link>,
    },
    /// `content`: all of the file's content, if it is known.
    Inode {
        inode: InodeId,
        commit: Commit,
        record: Box<Record>,
        content: Option<&'a [u8]>,
    },
    /// Content of a file beside which another device's version is in its place.
    Aside {
        inode: InodeId,
        commit: Commit,
        record: Box<Record>,
        content: &'a [u8],
    },
    Delete {
        inode: InodeId,
        chunks: ChunkCount,
    },
    Orphan {
        inode: InodeId,
        chunks: ChunkCount,
    },
    Reserve(Vec<InodeId>),
    /// The last name went, of an inode that was known in this version.
    Deletion(Deletion<'a>),
    /// Chunk 0 of these inodes was durable by these commits.
    Durable(Vec<(InodeId, Commit)>),
}

/// What was known of an inode when its last name was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deletion<'a> {
    pub inode: InodeId,
    pub kind: Kind,
    pub parent: InodeId,
    pub name: &'a [u8],
    /// Of a directory its own vector, of anything else the version vector of chunk 0.
    pub vector: Vec<(DeviceId, u64)>,
}

/// What one commit of the journal made true.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch<'a> {
    pub number: Commit,
    pub items: Vec<Item<'a>>,
}

/// A batch under construction. Each method appends one record, or nothing if it fails: because something in it exceeds
/// a limit of the format, or because the batch would not fit the journal.
pub struct Builder {
    bytes: Vec<u8>,
    records: u32,
}

impl Default for Builder {
    fn default() -> Builder {
        let mut bytes = Vec::with_capacity(USUAL);
        bytes.resize(HEADER, 0);
        Builder { bytes, records: 0 }
    }
}

impl Builder {
    /// `before`: the counter of the journal's device in the directory's vector before this batch. `vector`: the
    /// directory's, at any time after the records of `log` were made.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the vector has more than 255 devices, or the batch has no room for it.
    pub fn directory(
        &mut self,
        inode: InodeId,
        before: u64,
        vector: &[(DeviceId, u64)],
        log: &[u8],
    ) -> Result<(), TooLarge> {
        self.record(DIRECTORY, |out| {
            out.extend_from_slice(&inode.0);
            out.extend_from_slice(&before.to_le_bytes());
            out.push(
                u8::try_from(vector.len()).ok().filter(|&n| usize::from(n) <= DEVICES_MAX).ok_or(TooLarge)?,
            );
            vector.iter().for_each(|(device, _)| out.extend_from_slice(&device.0));
            out.extend_from_slice(log);
            Ok(())
        })
    }

    /// The namespace part of an inode.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if a link has no valid name, or the batch has no room for it.
    pub fn namespace(
        &mut self,
        inode: InodeId,
        links_count: u32,
        modified: Timestamp,
        changed: Timestamp,
        links: &[Link],
    ) -> Result<(), TooLarge> {
        self.record(NAMESPACE, |out| {
            out.extend_from_slice(&inode.0);
            out.extend_from_slice(&links_count.to_le_bytes());
            modified.encode(out);
            changed.encode(out);
            out.extend_from_slice(&(links.len() as u32).to_le_bytes());
            links.iter().try_for_each(|link| link.encode(out))
        })
    }

    /// The record of an inode. `content`: all of it, if the batch carries that.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the record exceeds a limit of the format, or the batch has no room for it.
    pub fn inode(
        &mut self,
        inode: InodeId,
        commit: Commit,
        record: &Record,
        content: Option<&[u8]>,
    ) -> Result<(), TooLarge> {
        self.inode_with(inode, commit, record, (u8::from(content.is_some()), content.unwrap_or_default()))
    }

    /// Content of a file beside which another device's version is in its place.
    ///
    /// # Errors
    ///
    /// As [`Builder::inode`].
    pub fn aside(
        &mut self,
        inode: InodeId,
        commit: Commit,
        record: &Record,
        content: &[u8],
    ) -> Result<(), TooLarge> {
        self.inode_with(inode, commit, record, (ASIDE, content))
    }

    fn inode_with(
        &mut self,
        inode: InodeId,
        commit: Commit,
        record: &Record,
        (has_content, bytes): (u8, &[u8]),
    ) -> Result<(), TooLarge> {
        self.record(INODE, |out| {
            out.extend_from_slice(&inode.0);
            out.extend_from_slice(&commit.0.to_le_bytes());
            let start = prefix(out);
            record.encode_whole(out)?;
            fill_prefix(out, start);
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
            out.push(has_content);
            Ok(())
        })
    }

    /// A deleted inode, which has so many chunks at the most.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the batch has no room for it.
    pub fn delete(&mut self, inode: InodeId, chunks: ChunkCount) -> Result<(), TooLarge> {
        self.chunks(DELETE, inode, chunks)
    }

    /// An orphan, which has so many chunks at the most.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the batch has no room for it.
    pub fn orphan(&mut self, inode: InodeId, chunks: ChunkCount) -> Result<(), TooLarge> {
        self.chunks(ORPHAN, inode, chunks)
    }

    /// Chunk files of these ids may exist, though no batch names them.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the batch has no room for it.
    pub fn reserve(&mut self, inodes: &[InodeId]) -> Result<(), TooLarge> {
        self.record(RESERVE, |out| {
            inodes.iter().for_each(|inode| out.extend_from_slice(&inode.0));
            Ok(())
        })
    }

    /// What was known of an inode when its last name was taken. Read and ignored so far, and written by tests only.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the batch has no room for it.
    #[cfg(test)]
    pub fn deletion(&mut self, deletion: &Deletion<'_>) -> Result<(), TooLarge> {
        self.record(DELETION, |out| {
            let Deletion { inode, kind, parent, name, vector } = deletion;
            out.extend_from_slice(&inode.0);
            out.push(kind.code());
            out.extend_from_slice(&parent.0);
            out.extend_from_slice(&(name.len() as u32).to_le_bytes());
            out.extend_from_slice(name);
            for (device, counter) in vector {
                out.extend_from_slice(&device.0);
                out.extend_from_slice(&counter.to_le_bytes());
            }
            Ok(())
        })
    }

    /// Chunk 0 of these inodes was durable by these commits.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the batch has no room for it.
    pub fn durable(&mut self, inodes: &[(InodeId, Commit)]) -> Result<(), TooLarge> {
        self.record(DURABLE, |out| {
            for (inode, commit) in inodes {
                out.extend_from_slice(&inode.0);
                out.extend_from_slice(&commit.0.to_le_bytes());
            }
            Ok(())
        })
    }

    /// All records of another one.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the batch has no room for all of them; then none is appended.
    pub fn append(&mut self, other: &Builder) -> Result<(), TooLarge> {
        if self.bytes.len() + other.bytes.len() - HEADER > BATCH_MAX {
            return Err(TooLarge);
        }
        self.bytes.extend_from_slice(&other.bytes[HEADER..]);
        self.records += other.records;
        Ok(())
    }

    /// The batch. `number`: of the journal's commit that is to hold it.
    pub fn finish(mut self, number: Commit) -> Vec<u8> {
        let payload = (self.bytes.len() - HEADER) as u32;
        self.bytes[..4].copy_from_slice(&payload.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&self.records.to_le_bytes());
        self.bytes[8..HEADER].copy_from_slice(&number.0.to_le_bytes());
        self.bytes
    }

    fn chunks(&mut self, kind: u8, inode: InodeId, chunks: ChunkCount) -> Result<(), TooLarge> {
        self.record(kind, |out| {
            out.extend_from_slice(&inode.0);
            out.extend_from_slice(&chunks.0.to_le_bytes());
            Ok(())
        })
    }

    fn record(
        &mut self,
        kind: u8,
        value: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLarge>,
    ) -> Result<(), TooLarge> {
        let before = self.bytes.len();
        self.bytes.push(kind);
        let start = prefix(&mut self.bytes);
        let done = value(&mut self.bytes);
        if done.is_err() || self.bytes.len() > BATCH_MAX {
            self.bytes.truncate(before);
            return Err(TooLarge);
        }
        fill_prefix(&mut self.bytes, start);
        self.records += 1;
        Ok(())
    }
}

/// Leaves room for the length of what follows; `fill_prefix` then wants the answer.
fn prefix(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

fn fill_prefix(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    out[start - 4..start].copy_from_slice(&length.to_le_bytes());
}

/// The batches of a journal's live stream.
///
/// # Errors
///
/// [`Malformed`] if a length leads beyond the stream, a record is of an unknown type or makes no sense, or a batch
/// has another number of records than it says.
pub fn parse(stream: &[u8]) -> Result<Vec<Batch<'_>>, Malformed> {
    let mut reader = Reader(stream);
    let mut batches = Vec::new();
    while !reader.is_empty() {
        let (length, records) = (reader.u32()?, reader.u32()?);
        let number = Commit(reader.u64()?);
        let mut payload = Reader(reader.take(length as usize)?);
        let mut items = Vec::new();
        while !payload.is_empty() {
            let kind = payload.u8()?;
            items.push(parse_item(kind, Reader(payload.prefixed()?))?);
        }
        if items.len() != records as usize {
            return Err(Malformed("a batch with another number of records"));
        }
        batches.push(Batch { number, items });
    }
    Ok(batches)
}

fn parse_item(kind: u8, mut value: Reader<'_>) -> Result<Item<'_>, Malformed> {
    let item = match kind {
        DIRECTORY | DIRECTORY_PLAIN => {
            let inode = value.inode()?;
            let before = if kind == DIRECTORY { value.u64()? } else { 0 };
            let count = value.u8()?;
            let devices = (0..count).map(|_| value.device()).collect::<Result<_, _>>()?;
            Item::Directory { inode, before, devices, log: value.rest() }
        }
        DELETION => Item::Deletion(parse_deletion(&mut value)?),
        NAMESPACE | NAMESPACE_PLAIN => parse_namespace(&mut value, kind == NAMESPACE)?,
        INODE => parse_inode(&mut value)?,
        DELETE => Item::Delete { inode: value.inode()?, chunks: ChunkCount(value.u32()?) },
        ORPHAN => Item::Orphan { inode: value.inode()?, chunks: ChunkCount(value.u32()?) },
        RESERVE => {
            let mut inodes = Vec::new();
            while !value.is_empty() {
                inodes.push(value.inode()?);
            }
            Item::Reserve(inodes)
        }
        DURABLE => {
            let mut inodes = Vec::new();
            while !value.is_empty() {
                inodes.push((value.inode()?, Commit(value.u64()?)));
            }
            Item::Durable(inodes)
        }
        _ => return Err(Malformed("unknown type of record in a batch")),
    };
    value.end()?;
    Ok(item)
}

fn parse_deletion<'a>(value: &mut Reader<'a>) -> Result<Deletion<'a>, Malformed> {
    let inode = value.inode()?;
    let kind = Kind::from_code(value.u8()?)?;
    let (parent, name) = (value.inode()?, checked_name(value.prefixed()?)?);
    let mut vector = Vec::new();
    while !value.is_empty() {
        vector.push((value.device()?, value.u64()?));
    }
    Ok(Deletion { inode, kind, parent, name, vector })
}

fn parse_namespace<'a>(value: &mut Reader<'_>, has_dots: bool) -> Result<Item<'a>, Malformed> {
    let inode = value.inode()?;
    let links_count = value.u32()?;
    let modified = Timestamp::decode(value)?;
    let changed = Timestamp::decode(value)?;
    let count = value.u32()?;
    let links = (0..count).map(|_| Link::decode(value, has_dots)).collect::<Result<_, _>>()?;
    Ok(Item::Namespace { inode, links_count, modified, changed, links })
}

fn parse_inode<'a>(value: &mut Reader<'a>) -> Result<Item<'a>, Malformed> {
    let inode = value.inode()?;
    let commit = Commit(value.u64()?);
    let record = Box::new(Record::decode_whole(value.prefixed()?)?);
    let bytes = value.prefixed()?;
    let content = match (value.u8()?, bytes) {
        (0, []) => None,
        (1, bytes) => Some(bytes),
        (ASIDE, content) => return Ok(Item::Aside { inode, commit, record, content }),
        _ => return Err(Malformed("content that is not there")),
    };
    Ok(Item::Inode { inode, commit, record, content })
}

#[cfg(test)]
mod tests;
