//! Extended attributes: which there can be, who may, and the two that are ACLs.

use super::acl::{self, Acl};
use super::filesystem::Filesystem;
use super::ops::{Caller, Kind, NodeId, SetXattr};
use super::permission::{READ, WRITE, owns};
use super::stored::{find, put, take};
use super::{Error, Result};
use crate::volume::limits::{XATTR_NAME_MAX, XATTR_VALUE_MAX};
use crate::volume::{Inode, Record};

/// The namespaces of xattr(7).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespace {
    User,
    Trusted,
    Security,
    AccessAcl,
    DefaultAcl,
}

fn namespace(fs: &Filesystem, name: &[u8]) -> Result<Namespace> {
    let named = |prefix: &[u8]| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    match name {
        _ if name.is_empty() || name.len() > XATTR_NAME_MAX => Err(Error::Range),
        acl::ACCESS | acl::DEFAULT if fs.options.no_acls => Err(Error::NotSupported),
        acl::ACCESS => Ok(Namespace::AccessAcl),
        acl::DEFAULT => Ok(Namespace::DefaultAcl),
        _ if named(b"user.") => Ok(Namespace::User),
        _ if named(b"trusted.") => Ok(Namespace::Trusted),
        _ if named(b"security.") => Ok(Namespace::Security),
        _ => Err(Error::NotSupported),
    }
}

pub(super) fn set(
    fs: &Filesystem,
    caller: Caller,
    node: NodeId,
    name: &[u8],
    value: &[u8],
    how: SetXattr,
) -> Result<()> {
    let namespace = namespace(fs, name)?;
    let inode = fs.inode(node)?;
    if value.len() > XATTR_VALUE_MAX {
        return Err(Error::TooBig);
    }
    may_change(fs, caller, &inode, namespace)?;
    let now = fs.now();
    fs.volume.update(&inode, |record| {
        let changed = match namespace {
            Namespace::AccessAcl => set_access(fs, caller, record, value),
            Namespace::DefaultAcl => set_default(record, value),
            Namespace::User | Namespace::Trusted | Namespace::Security => match (how, find(record, name)) {
                (SetXattr::Create, Some(_)) => Err(Error::Exists),
                (SetXattr::Replace, None) => Err(Error::NoData),
                _ => {
                    put(record, name, value.to_vec());
                    Ok(())
                }
            },
        };
        if changed.is_ok() {
            record.changed = now;
        }
        Ok(changed)
    })?
}

/// The mode follows the ACL; one that says no more than the mode is not kept.
fn set_access(fs: &Filesystem, caller: Caller, record: &mut Record, value: &[u8]) -> Result<()> {
    let Some(access) = Acl::parse(value)? else {
        take(record, acl::ACCESS);
        return Ok(());
    };
    record.mode = record.mode & !0o777 | access.mode();
    if !fs.may_set_gid(caller, fs.options.gid(record)) {
        record.mode &= !libc::S_ISGID;
    }
    if access.is_minimal() {
        take(record, acl::ACCESS);
    } else {
        put(record, acl::ACCESS, access.encode());
    }
    Ok(())
}

fn set_default(record: &mut Record, value: &[u8]) -> Result<()> {
    match Acl::parse(value)? {
        None => _ = take(record, acl::DEFAULT),
        Some(_) if record.kind != Kind::Directory => return Err(Error::AccessDenied),
        Some(default) => put(record, acl::DEFAULT, default.encode()),
    }
    Ok(())
}

pub(super) fn get(fs: &Filesystem, caller: Caller, node: NodeId, name: &[u8]) -> Result<Vec<u8>> {
    let inode = fs.inode(node)?;
    match namespace(fs, name)? {
        Namespace::Trusted if caller.uid != 0 => return Err(Error::NoData),
        Namespace::User => fs.require(caller, &inode, READ)?,
        Namespace::Trusted | Namespace::Security | Namespace::AccessAcl | Namespace::DefaultAcl => {}
    }
    inode.view(|record| find(record, name).map(<[u8]>::to_vec)).ok_or(Error::NoData)
}

/// Those of `trusted.` for root only, and ACLs where there are any.
pub(super) fn list(fs: &Filesystem, caller: Caller, node: NodeId) -> Result<Vec<u8>> {
    let is_acl = |name: &[u8]| matches!(name, acl::ACCESS | acl::DEFAULT);
    let visible = |name: &[u8]| {
        (caller.uid == 0 || !name.starts_with(b"trusted.")) && !(fs.options.no_acls && is_acl(name))
    };
    Ok(fs.inode(node)?.view(|record| {
        let names =
            record.extension.xattrs.iter().map(|(name, _)| name.as_ref()).filter(|name| visible(name));
        names.fold(Vec::new(), |mut list, name| {
            list.extend_from_slice(name);
            list.push(0);
            list
        })
    }))
}

/// Removing an ACL that is not there succeeds, as it does on the kernel's own filesystems.
pub(super) fn remove(fs: &Filesystem, caller: Caller, node: NodeId, name: &[u8]) -> Result<()> {
    let inode = fs.inode(node)?;
    let namespace = namespace(fs, name)?;
    may_change(fs, caller, &inode, namespace)?;
    let now = fs.now();
    let was_there = fs.volume.update(&inode, |record| {
        let was_there = take(record, name);
        record.changed = if was_there { now } else { record.changed };
        Ok(was_there)
    })?;
    let may_be_missing = matches!(namespace, Namespace::AccessAcl | Namespace::DefaultAcl);
    if was_there || may_be_missing { Ok(()) } else { Err(Error::NoData) }
}

/// The kernel's xattr_permission for changes. What xattrs a kind of inode can have holds whoever checks permissions.
fn may_change(fs: &Filesystem, caller: Caller, inode: &Inode, namespace: Namespace) -> Result<()> {
    let (kind, sticky, owner) =
        inode.view(|record| (record.kind, record.mode & libc::S_ISVTX != 0, owns(fs, record, caller)));
    match namespace {
        Namespace::User if !matches!(kind, Kind::File | Kind::Directory) => Err(Error::NotPermitted),
        Namespace::User => {
            if kind == Kind::Directory && sticky && !owner && fs.options.check_permissions {
                return Err(Error::NotPermitted);
            }
            fs.require(caller, inode, WRITE)
        }
        Namespace::Trusted | Namespace::Security => {
            if caller.uid != 0 && fs.options.check_permissions {
                return Err(Error::NotPermitted);
            }
            Ok(())
        }
        Namespace::AccessAcl | Namespace::DefaultAcl if kind == Kind::Symlink => Err(Error::NotSupported),
        Namespace::AccessAcl | Namespace::DefaultAcl => fs.require_owner(caller, inode),
    }
}
