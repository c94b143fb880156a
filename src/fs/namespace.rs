//! Names: lookup, creation, links, removal, rename.

use super::acl;
use super::filesystem::Filesystem;
use super::ops::{Caller, Entry, Kind, NewNode, NodeId, RenameFlags};
use super::permission::{EXECUTE, WRITE};
use super::{Error, Result};
use crate::chunk::InodeId;
use crate::volume::limits::{NAME_MAX, TARGET_MAX};
use crate::volume::{self, Inode, NewInode, Record, Rename};
use std::sync::Arc;

const SGID: u32 = libc::S_ISGID;

/// What is to be made.
struct Wanted<'a> {
    kind: Kind,
    mode: u32,
    umask: u32,
    device: u32,
    target: &'a [u8],
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX { Err(Error::NameTooLong) } else { Ok(()) }
}

/// A directory in which the caller wants to find names (or change them, with `WRITE`), and a name fit for it.
fn parent(fs: &Filesystem, caller: Caller, node: NodeId, name: &[u8], want: u32) -> Result<Arc<Inode>> {
    let directory = fs.directory(node)?;
    fs.require(caller, &directory, want | EXECUTE)?;
    check_name(name)?;
    Ok(directory)
}

pub(super) fn lookup(fs: &Filesystem, caller: Caller, node: NodeId, name: &[u8]) -> Result<Option<Entry>> {
    let directory = parent(fs, caller, node, name, 0)?;
    directory.was_asked_for(name);
    match fs.volume.lookup(&directory, name) {
        Ok(found) => Ok(found.map(|inode| fs.enter(inode))),
        Err(error @ (volume::Error::Damaged(..) | volume::Error::NotArrived(_))) => {
            let (id, kind) = stored_entry(fs, &directory, name)?.ok_or(error)?;
            Ok(Some(fs.enter_unreadable(id, kind)))
        }
        Err(error) => Err(error.into()),
    }
}

/// What the directory itself says of a name.
fn stored_entry(fs: &Filesystem, directory: &Arc<Inode>, name: &[u8]) -> Result<Option<(InodeId, Kind)>> {
    let mut found = None;
    fs.volume.read_directory(directory, 0, &mut |_, stored, id, kind| {
        if stored == name {
            found = Some((id, kind));
        }
        found.is_none()
    })?;
    Ok(found)
}

pub(super) fn read_link(fs: &Filesystem, node: NodeId) -> Result<Vec<u8>> {
    fs.inode(node)?.view(|record| match record.kind {
        Kind::Symlink => Ok(record.extension.target.clone()),
        _ => Err(Error::Invalid),
    })
}

pub(super) fn make_node(
    fs: &Filesystem,
    caller: Caller,
    node: NodeId,
    name: &[u8],
    new: &NewNode,
) -> Result<Entry> {
    let &NewNode { kind, mode, umask, device } = new;
    if matches!(kind, Kind::Directory | Kind::Symlink) {
        return Err(Error::Invalid);
    }
    create(fs, caller, node, name, Wanted { kind, mode, umask, device, target: b"" })
}

pub(super) fn make_directory(
    fs: &Filesystem,
    caller: Caller,
    node: NodeId,
    name: &[u8],
    mode: u32,
    umask: u32,
) -> Result<Entry> {
    create(fs, caller, node, name, Wanted { kind: Kind::Directory, mode, umask, device: 0, target: b"" })
}

pub(super) fn make_symlink(
    fs: &Filesystem,
    caller: Caller,
    node: NodeId,
    name: &[u8],
    target: &[u8],
) -> Result<Entry> {
    match target.len() {
        0 => return Err(Error::NotFound),
        1..=TARGET_MAX => {}
        _ => return Err(Error::NameTooLong),
    }
    create(fs, caller, node, name, Wanted { kind: Kind::Symlink, mode: 0o777, umask: 0, device: 0, target })
}

fn create(fs: &Filesystem, caller: Caller, node: NodeId, name: &[u8], wanted: Wanted<'_>) -> Result<Entry> {
    let directory = parent(fs, caller, node, name, WRITE)?;
    let new = directory.view(|record| inherit(fs, caller, record, &wanted));
    Ok(fs.enter(fs.volume.create(&directory, name, new)?))
}

/// A file that no name leads to until it is linked.
pub(super) fn make_nameless(
    fs: &Filesystem,
    caller: Caller,
    node: NodeId,
    mode: u32,
    umask: u32,
) -> Result<Entry> {
    let directory = fs.directory(node)?;
    fs.require(caller, &directory, WRITE | EXECUTE)?;
    let wanted = Wanted { kind: Kind::File, mode, umask, device: 0, target: b"" };
    let new = directory.view(|record| inherit(fs, caller, record, &wanted));
    Ok(fs.enter(fs.volume.create_nameless(&directory, new)?))
}

/// What a new inode takes from its directory: the group and setgid bit of a setgid one, and the ACL that a default ACL
/// makes, which then stands in for the umask.
fn inherit<'a>(fs: &Filesystem, caller: Caller, directory: &Record, wanted: &Wanted<'a>) -> NewInode<'a> {
    let &Wanted { kind, mut mode, umask, device, target } = wanted;
    mode &= 0o7777;
    let mut gid = caller.gid;
    if directory.mode & SGID != 0 {
        gid = directory.gid;
        if kind == Kind::Directory {
            mode |= SGID;
        } else if mode & libc::S_IXGRP != 0 && !fs.may_set_gid(caller, gid) {
            mode &= !SGID;
        }
    }
    let mut xattrs: Vec<(Box<[u8]>, Vec<u8>)> = Vec::new();
    match fs.acl(directory, acl::DEFAULT) {
        Some(default) if kind != Kind::Symlink => {
            let (access, masked) = default.inherit(mode);
            mode = masked;
            if !access.is_minimal() {
                xattrs.push((acl::ACCESS.into(), access.encode()));
            }
            if kind == Kind::Directory {
                xattrs.push((acl::DEFAULT.into(), default.encode()));
            }
        }
        _ => mode &= !(umask & 0o777),
    }
    let device = if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { device } else { 0 };
    NewInode { kind, mode, uid: caller.uid, gid, device, target, xattrs, now: fs.now() }
}

pub(super) fn link(fs: &Filesystem, caller: Caller, node: NodeId, to: NodeId, name: &[u8]) -> Result<Entry> {
    let inode = fs.inode(node)?;
    let directory = parent(fs, caller, to, name, WRITE)?;
    if inode.is_directory() {
        return Err(Error::NotPermitted);
    }
    fs.volume.link(&inode, &directory, name, fs.now())?;
    Ok(fs.enter(inode))
}

pub(super) fn unlink(fs: &Filesystem, caller: Caller, node: NodeId, name: &[u8]) -> Result<()> {
    let directory = parent(fs, caller, node, name, WRITE)?;
    fs.require_removal(caller, &directory, name)?;
    fs.release_if_unknown(fs.volume.unlink(&directory, name, fs.now())?);
    Ok(())
}

pub(super) fn remove_directory(fs: &Filesystem, caller: Caller, node: NodeId, name: &[u8]) -> Result<()> {
    let directory = parent(fs, caller, node, name, WRITE)?;
    fs.require_removal(caller, &directory, name)?;
    fs.release_if_unknown(fs.volume.remove_directory(&directory, name, fs.now())?);
    Ok(())
}

pub(super) fn rename(
    fs: &Filesystem,
    caller: Caller,
    from: (NodeId, &[u8]),
    to: (NodeId, &[u8]),
    flags: RenameFlags,
) -> Result<()> {
    let how = match flags {
        RenameFlags { exchange: true, no_replace: true, .. } => return Err(Error::Invalid),
        RenameFlags { exchange: true, whiteout: true, .. } => return Err(Error::Invalid),
        RenameFlags { exchange: true, .. } => Rename::Exchange,
        RenameFlags { no_replace: true, .. } => Rename::NoReplace,
        RenameFlags { .. } => Rename::Replace,
    };
    let source = parent(fs, caller, from.0, from.1, WRITE)?;
    let target = parent(fs, caller, to.0, to.1, WRITE)?;
    if fs.options.check_permissions {
        may_rename(fs, caller, (&source, from.1), (&target, to.1), how)?;
    }
    let whiteout = flags.whiteout.then(|| {
        let wanted = Wanted { kind: Kind::CharDevice, mode: 0, umask: 0, device: 0, target: b"" };
        source.view(|record| inherit(fs, caller, record, &wanted))
    });
    let replaced = fs.volume.rename((&source, from.1), (&target, to.1), how, whiteout, fs.now())?;
    fs.release_if_unknown(replaced);
    Ok(())
}

/// Both names go from where they are, and a directory that gets another parent is written itself.
fn may_rename(
    fs: &Filesystem,
    caller: Caller,
    from: (&Arc<Inode>, &[u8]),
    to: (&Arc<Inode>, &[u8]),
    how: Rename,
) -> Result<()> {
    fs.require_removal(caller, from.0, from.1)?;
    let moved = fs.volume.lookup(from.0, from.1)?.ok_or(Error::NotFound)?;
    let replaced = fs.volume.lookup(to.0, to.1)?;
    if replaced.is_some() {
        fs.require_removal(caller, to.0, to.1)?;
    }
    if from.0.id() == to.0.id() {
        return Ok(());
    }
    let exchanged = replaced.filter(|_| matches!(how, Rename::Exchange));
    for inode in std::iter::once(moved).chain(exchanged) {
        if inode.view(|record| record.kind) == Kind::Directory {
            fs.require(caller, &inode, WRITE)?;
        }
    }
    Ok(())
}
