//! readdir, with and without attributes.

use super::Result;
use super::filesystem::Filesystem;
use super::ops::{DirectoryEntry, Kind, NodeId};
use crate::chunk::InodeId;
use crate::volume::Inode;

/// Positions behind the two entries that no directory stores; those of the others are at least [`FIRST_STORED`].
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;
const FIRST_STORED: u64 = 256;
/// The largest, and not negative as an offset of a file is.
const LAST: u64 = i64::MAX as u64;
/// Entries taken from the volume at a time, so that their inodes are read without its lock on the directory.
const BATCH: usize = 64;

struct Stored {
    cookie: u64,
    name: Vec<u8>,
    id: InodeId,
    kind: Kind,
}

/// The position behind an entry with this cookie, and the other way round. The newest come first, with the largest
/// cookies; but programs take positions to grow along a listing, and whatever lies before the last one not to be its end.
fn mirrored(cookie: u64) -> u64 {
    LAST - cookie.min(LAST - FIRST_STORED)
}

pub(super) fn read(
    fs: &Filesystem,
    node: NodeId,
    position: u64,
    plus: bool,
    sink: &mut dyn FnMut(&DirectoryEntry<'_>) -> bool,
) -> Result<()> {
    let directory = fs.directory(node)?;
    for (dot, name) in [(DOT, b".".as_slice()), (DOT_DOT, b"..")] {
        if position >= dot {
            continue;
        }
        let id = if dot == DOT { directory.id() } else { fs.volume.parent(&directory)?.id() };
        let kind = Kind::Directory;
        if !sink(&DirectoryEntry { cookie: dot, inode_number: fs.number(id), kind, name, entry: None }) {
            return Ok(());
        }
    }
    // Behind `..` come all others.
    let mut after = if position < FIRST_STORED { 0 } else { mirrored(position) };
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        fs.volume.read_directory(&directory, after, &mut |cookie, name, id, kind| {
            batch.push(Stored { cookie, name: name.to_vec(), id, kind });
            batch.len() < BATCH
        })?;
        let mut read = Vec::new();
        if plus {
            fs.volume.expect_entries(&directory, after)?;
            // From the end, since the volume reads them from the start.
            read.extend(batch.iter().rev().filter_map(|stored| fs.volume.inode(stored.id).ok()));
        }
        for stored in &batch {
            if !give(fs, &directory, stored, plus, sink) {
                return Ok(());
            }
        }
        match batch.last() {
            Some(last) if batch.len() == BATCH => after = last.cookie,
            _ => return Ok(()),
        }
    }
}

/// Whether the sink took it. One that cannot be read is listed as such: whoever asks for more is told why.
fn give(
    fs: &Filesystem,
    directory: &Inode,
    stored: &Stored,
    plus: bool,
    sink: &mut dyn FnMut(&DirectoryEntry<'_>) -> bool,
) -> bool {
    let entry = plus.then(|| {
        directory.was_asked_for(&stored.name);
        match fs.volume.named_inode(directory, &stored.name, stored.id) {
            Ok(inode) => fs.enter(inode),
            Err(_) => fs.enter_unreadable(stored.id, stored.kind),
        }
    });
    let taken = sink(&DirectoryEntry {
        cookie: mirrored(stored.cookie),
        inode_number: fs.number(stored.id),
        kind: stored.kind,
        name: &stored.name,
        entry,
    });
    if let (false, Some(entry)) = (taken, entry) {
        fs.leave(entry.node, 1);
    }
    taken
}
