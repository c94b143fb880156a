//! What is shown of an inode.

use super::ops::{Attributes, Kind, Timestamp};
use super::options::Options;
use crate::chunk::{self, InodeId};
use crate::volume::{Inode, Record};
use std::time::Duration;

pub(super) const BLOCK: u32 = chunk::BLOCK as u32;
/// How long after the removal of a name a reply may still overtake that of the removal.
const DOUBT: Duration = Duration::from_secs(10);

/// Attributes as a transport shows them.
pub(super) fn of(options: &Options, number: u64, inode: &Inode) -> Attributes {
    let only_for = options.only_for.filter(|_| inode.id() == InodeId::ROOT);
    let closed = if only_for.is_some() { 0o077 } else { 0 };
    inode.view_names(|record, lost| Attributes {
        inode_number: number,
        kind: record.kind,
        mode: options.mode(record) & !closed,
        links: record.links_count,
        uid: only_for.unwrap_or_else(|| options.uid(record)),
        gid: options.gid(record),
        device: record.device,
        size: size(record),
        blocks: blocks(record),
        accessed: record.accessed,
        modified: record.modified,
        changed: record.changed,
        born: record.born,
        links_in_doubt: lost.is_some_and(|lost| lost.elapsed() < DOUBT),
    })
}

/// Of 512 bytes. Content that may be inline counts like a block of its own: archivers take a file without blocks for one
/// without data.
fn blocks(record: &Record) -> u64 {
    let inline = if record.size <= u64::from(BLOCK) { record.size } else { 0 };
    record.allocated.max(inline).div_ceil(512)
}

fn size(record: &Record) -> u64 {
    match record.kind {
        Kind::Symlink => record.extension.target.len() as u64,
        _ => record.size,
    }
}

/// What is said of an inode whose record cannot be read. No links: a transport must not cache it.
pub(super) fn unreadable(inode_number: u64, kind: Kind) -> Attributes {
    let never = Timestamp::default();
    Attributes {
        inode_number,
        kind,
        mode: 0,
        links: 0,
        uid: 0,
        gid: 0,
        device: 0,
        size: 0,
        blocks: 0,
        accessed: never,
        modified: never,
        changed: never,
        born: never,
        links_in_doubt: false,
    }
}
