//! stat, chmod, chown, utimes, access, open, statfs.

use super::acl;
use super::filesystem::Filesystem;
use super::ops::{Attributes, Caller, Kind, NodeId, SetAttributes, SetTime, Statistics, Timestamp};
use super::permission::{EXECUTE, READ, WRITE, owns};
use super::stat::{self, BLOCK};
use super::stored::{CAPABILITY, put, take};
use super::{Error, Result};
use crate::volume::Record;
use crate::volume::limits::NAME_MAX;

const SUID: u32 = libc::S_ISUID;
const SGID: u32 = libc::S_ISGID;
const GROUP_EXECUTE: u32 = libc::S_IXGRP;
/// In the flags of open(2), where the file is to be executed: the kernel's __FMODE_EXEC.
const OPEN_EXECUTE: i32 = 0x20;

/// The bits that a caller clears by changing content or owner: suid, and sgid where it means execution or the caller is
/// not in the group.
pub(super) fn privilege_bits(fs: &Filesystem, caller: Caller, record: &Record) -> u32 {
    let executes = record.mode & GROUP_EXECUTE != 0;
    let clears_sgid =
        record.mode & SGID != 0 && (executes || !fs.may_set_gid(caller, fs.options.gid(record)));
    SUID | if clears_sgid { SGID } else { 0 }
}

/// SETATTR. A new size comes first, as it is what can fail.
pub(super) fn set(
    fs: &Filesystem,
    caller: Caller,
    node: NodeId,
    change: &SetAttributes,
) -> Result<Attributes> {
    let inode = fs.inode(node)?;
    if fs.options.check_permissions {
        inode.view(|record| permitted(fs, caller, record, change))?;
        if change.size.is_some() && !change.by_handle {
            fs.require(caller, &inode, WRITE)?;
        }
    }
    let now = fs.now();
    if let Some(size) = change.size {
        let file = fs.file(node)?;
        let clear = match change.clear_suid_sgid {
            true => file.view(|record| privilege_bits(fs, caller, record)),
            false => 0,
        };
        fs.clear_capability(&file)?;
        fs.volume.resize(&file, size, now, clear)?;
        fs.lost.clear(file.id(), &(size..u64::MAX));
    }
    let SetAttributes { mode, uid, gid, accessed, modified, changed, .. } = *change;
    let touches =
        mode.is_some() || uid.is_some() || gid.is_some() || accessed.is_some() || modified.is_some();
    if touches || changed.is_some() {
        fs.volume.set_attributes(&inode, |record| apply(fs, caller, record, change, now))?;
    }
    Ok(stat::of(&fs.options, fs.number(inode.id()), &inode))
}

/// Applies all but the size; whether that changed an xattr, and then it is no longer than before.
fn apply(
    fs: &Filesystem,
    caller: Caller,
    record: &mut Record,
    change: &SetAttributes,
    now: Timestamp,
) -> bool {
    let mut changes_xattr = false;
    let time = |set: SetTime| match set {
        SetTime::Now => now,
        SetTime::To(time) => time,
    };
    if change.uid.is_some() || change.gid.is_some() {
        if record.kind != Kind::Directory {
            record.mode &= !privilege_bits(fs, caller, record);
            changes_xattr |= take(record, CAPABILITY);
        }
        record.uid = change.uid.unwrap_or(record.uid);
        record.gid = change.gid.unwrap_or(record.gid);
    }
    if let Some(mode) = change.mode {
        record.mode = mode & 0o7777;
        if record.mode & SGID != 0 && !fs.may_set_gid(caller, fs.options.gid(record)) {
            record.mode &= !SGID;
        }
        if let Some(mut access) = acl::stored(record, acl::ACCESS) {
            access.set_mode(mode);
            put(record, acl::ACCESS, access.encode());
            changes_xattr = true;
        }
    }
    record.accessed = change.accessed.map_or(record.accessed, time);
    record.modified = change.modified.map_or(record.modified, time);
    record.changed = change.changed.unwrap_or(now);
    changes_xattr
}

/// The kernel's setattr_prepare, except for the size.
fn permitted(fs: &Filesystem, caller: Caller, record: &Record, change: &SetAttributes) -> Result<()> {
    let owner = owns(fs, record, caller);
    if change.mode.is_some() && !owner {
        return Err(Error::NotPermitted);
    }
    let keeps_uid = change.uid.is_none_or(|uid| uid == fs.options.uid(record));
    let keeps_gid = |gid| gid == fs.options.gid(record) || fs.groups.contain(caller, gid);
    let may_chown = owner && keeps_uid && change.gid.is_none_or(keeps_gid);
    if (change.uid.is_some() || change.gid.is_some()) && caller.uid != 0 && !may_chown {
        return Err(Error::NotPermitted);
    }
    if change.size.is_some() || owner {
        return Ok(());
    }
    match (change.accessed, change.modified) {
        (None, None) => Ok(()),
        (Some(SetTime::Now), Some(SetTime::Now)) => {
            let writable = super::permission::allows(fs, record, caller, WRITE);
            if writable { Ok(()) } else { Err(Error::AccessDenied) }
        }
        _ => Err(Error::NotPermitted),
    }
}

/// OPEN: the access mode that the flags of open(2) ask for.
pub(super) fn open(fs: &Filesystem, caller: Caller, node: NodeId, flags: i32) -> Result<()> {
    let inode = fs.inode(node)?;
    let mut want = match flags & libc::O_ACCMODE {
        libc::O_RDONLY if flags & OPEN_EXECUTE != 0 => EXECUTE,
        libc::O_RDONLY => READ,
        libc::O_WRONLY => WRITE,
        _ => READ | WRITE,
    };
    if flags & libc::O_TRUNC != 0 {
        want |= WRITE;
    }
    if want & WRITE != 0 && inode.view(|record| record.kind) == Kind::Directory {
        return Err(Error::IsDirectory);
    }
    fs.require(caller, &inode, want)
}

/// ACCESS: answered from the record whoever else checks, since to ask is to want to know.
pub(super) fn access(fs: &Filesystem, caller: Caller, node: NodeId, mask: i32) -> Result<()> {
    let inode = fs.inode(node)?;
    let want = mask.cast_unsigned() & (READ | WRITE | EXECUTE);
    let allowed = inode.view(|record| super::permission::allows(fs, record, caller, want));
    if allowed { Ok(()) } else { Err(Error::AccessDenied) }
}

pub(super) fn statistics(fs: &Filesystem) -> Result<Statistics> {
    let space = fs.volume.space()?;
    let blocks = |count: u64| (u128::from(count) * u128::from(space.block_size) / u128::from(BLOCK)) as u64;
    Ok(Statistics {
        block_size: BLOCK,
        blocks: blocks(space.blocks),
        free: blocks(space.free),
        available: blocks(space.available),
        inodes: space.inodes,
        free_inodes: space.free_inodes,
        name_max: NAME_MAX as u32,
    })
}
