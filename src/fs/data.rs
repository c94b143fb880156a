//! Contents of regular files: read, write, fallocate, lseek, copy_file_range.

use super::attributes::privilege_bits;
use super::filesystem::Filesystem;
use super::ops::{Allocate, Caller, NodeId, Seek, Times, Timestamp, WriteHow};
use super::{Error, Result};
use crate::volume::Inode;
use std::sync::Arc;

/// How much a copy holds in memory.
const COPY_STEP: u64 = 1 << 20;

pub(super) fn read(fs: &Filesystem, node: NodeId, offset: u64, out: &mut [u8]) -> Result<usize> {
    let inode = fs.file(node)?;
    if fs.lost.touch(inode.id(), &(offset..offset.saturating_add(out.len() as u64))) {
        return Err(Error::Io);
    }
    Ok(fs.volume.read(&inode, offset, out)?)
}

pub(super) fn write(fs: &Filesystem, node: NodeId, offset: u64, data: &[u8], how: WriteHow) -> Result<usize> {
    let inode = fs.file(node)?;
    let clear = |caller| inode.view(|record| privilege_bits(fs, caller, record));
    let clear_mode = how.clear_suid_sgid.map_or(0, clear);
    // Before it marks a page as changed the kernel sees to them itself; what is set since then stays.
    if !how.from_cache {
        fs.clear_capability(&inode)?;
    }
    let now = fs.new_times(how.times);
    let asked = offset;
    let offset = if how.appends { append_at(&inode, asked) } else { asked };
    let range = offset..offset.saturating_add(data.len() as u64);
    let clears = has_any(&inode, clear_mode);
    let written = fs.volume.write(&inode, offset, data, now, clear_mode).map_err(Error::from);
    match written {
        Ok(()) => {
            fs.lost.clear(inode.id(), &range);
            tell_of_attributes(fs, node, clears || offset != asked);
        }
        Err(error) if how.from_cache => {
            fs.lost.add(inode.id(), range, error);
            // The next write(2) has to ask for them, and is told.
            tell_of_attributes(fs, node, true);
        }
        Err(_) => {}
    }
    written?;
    Ok(data.len())
}

/// Where an append goes that the kernel asks for at the end of the file as it knows that: at the end as it is, if another device's
/// version took the file's place since then. Who asks the kernel not to append for once (RWF_NOAPPEND) asks for a place
/// before the end.
fn append_at(inode: &Inode, asked: u64) -> u64 {
    let end = inode.view(|record| record.size);
    if asked > end || (asked < end && inode.is_another_than_shown()) { end } else { asked }
}

/// FALLOCATE.
pub(super) fn allocate(
    fs: &Filesystem,
    caller: Caller,
    node: NodeId,
    offset: u64,
    length: u64,
    how: Allocate,
    times: Times,
) -> Result<()> {
    let inode = fs.file(node)?;
    if length == 0 {
        return Err(Error::Invalid);
    }
    let end =
        offset.checked_add(length).filter(|&end| i64::try_from(end).is_ok()).ok_or(Error::FileTooLarge)?;
    let now = fs.new_times(times);
    let size = inode.view(|record| record.size);
    let clear_mode = unprivileged_bits(fs, caller, &inode);
    let clears = has_any(&inode, clear_mode);
    fs.clear_capability(&inode)?;
    if how == (Allocate::ZeroRange { keep_size: false }) && end > size {
        fs.volume.resize(&inode, end, now, clear_mode)?;
    }
    fs.volume.punch(&inode, offset, length, now)?;
    fs.lost.clear(inode.id(), &(offset..end));
    fs.volume.set_attributes(&inode, |record| {
        record.mode &= !clear_mode;
        record.changed = now.unwrap_or(record.changed);
        false
    })?;
    tell_of_attributes(fs, node, clears);
    Ok(())
}

fn has_any(inode: &Inode, bits: u32) -> bool {
    bits != 0 && inode.view(|record| record.mode & bits != 0)
}

/// After a direct write, fallocate or a copy the kernel looks for new sizes and times only, and would go on with the mode
/// that it has; after an append elsewhere than it thought, with a wrong size. To forget attributes it waits for nobody.
fn tell_of_attributes(fs: &Filesystem, node: NodeId, is_another: bool) {
    if is_another && let Some(listener) = &*fs.listener.read() {
        listener.attributes(node);
    }
}

/// LSEEK: holes are what the volume does not store; the end of the file counts as one. Where something was lost all is
/// data: who skips holes would take it for one, and copy zeros.
pub(super) fn seek(fs: &Filesystem, node: NodeId, offset: u64, whence: Seek) -> Result<u64> {
    let inode = fs.file(node)?;
    let size = inode.view(|record| record.size);
    if let Some(lost) = fs.lost.end(inode.id()).filter(|lost| offset < size.max(*lost)) {
        return Ok(if whence == Seek::Data { offset } else { size.max(lost) });
    }
    if offset >= size {
        return Err(Error::NoSuchDeviceOrAddress);
    }
    match (fs.volume.seek(&inode, offset, whence == Seek::Data)?, whence) {
        (Some(found), _) => Ok(found),
        (None, Seek::Data) => Err(Error::NoSuchDeviceOrAddress),
        (None, Seek::Hole) => Ok(size),
    }
}

/// What a caller takes from a file's mode by changing its content, where the request does not say whether it may not.
fn unprivileged_bits(fs: &Filesystem, caller: Caller, inode: &Inode) -> u32 {
    if caller.uid == 0 { 0 } else { inode.view(|record| privilege_bits(fs, caller, record)) }
}

/// COPY_FILE_RANGE: up to `length` bytes, fewer at the end of the source; `Invalid` if the ranges overlap.
pub(super) fn copy_range(
    fs: &Filesystem,
    caller: Caller,
    from: (NodeId, u64),
    to: (NodeId, u64),
    length: u64,
    times: Times,
) -> Result<u64> {
    let (source, target) = (fs.file(from.0)?, fs.file(to.0)?);
    if fs.lost.touch(source.id(), &(from.1..from.1.saturating_add(length))) {
        return Err(Error::Io);
    }
    let available = source.view(|record| record.size).saturating_sub(from.1);
    let length = length.min(available);
    let end =
        to.1.checked_add(length).filter(|&end| i64::try_from(end).is_ok()).ok_or(Error::FileTooLarge)?;
    if source.id() == target.id() && from.1 < end && to.1 < from.1 + length {
        return Err(Error::Invalid);
    }
    let clear_mode = unprivileged_bits(fs, caller, &target);
    let clears = has_any(&target, clear_mode);
    if length > 0 {
        fs.clear_capability(&target)?;
    }
    let mut buffer = vec![0; length.min(COPY_STEP) as usize];
    let mut copied = 0;
    while copied < length {
        let buffer = &mut buffer[..(length - copied).min(COPY_STEP) as usize];
        let (from, to) = ((&source, from.1 + copied), (&target, to.1 + copied));
        match copy_step(fs, from, to, buffer, fs.new_times(times), clear_mode) {
            Ok(0) => break,
            Ok(count) => copied += count as u64,
            Err(error) if copied == 0 => return Err(error),
            Err(_) => break,
        }
    }
    tell_of_attributes(fs, to.0, clears && copied > 0);
    Ok(copied)
}

fn copy_step(
    fs: &Filesystem,
    from: (&Arc<Inode>, u64),
    to: (&Arc<Inode>, u64),
    buffer: &mut [u8],
    now: Option<Timestamp>,
    clear_mode: u32,
) -> Result<usize> {
    let count = fs.volume.read(from.0, from.1, buffer)?;
    if count > 0 {
        fs.volume.write(to.0, to.1, &buffer[..count], now, clear_mode)?;
        fs.lost.clear(to.0.id(), &(to.1..to.1 + count as u64));
    }
    Ok(count)
}
