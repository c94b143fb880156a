//! The reference: a filesystem as plain as can be, all of it in memory under one lock. It shares no code with the real
//! one, so that the same mistake would have to be made twice. It does not check permissions, as with default_permissions,
//! and node numbers are never forgotten.

use crate::fs::ops::*;
use crate::fs::{Error, Result};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use std::collections::BTreeMap;

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";
const EXTENSION_MAX: usize = 262_144;

#[derive(Clone)]
struct Node {
    stat: Attributes,
    content: Vec<u8>,
    target: Vec<u8>,
    entries: BTreeMap<Vec<u8>, u64>,
    parent: u64,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub(super) struct Model {
    nodes: Mutex<BTreeMap<u64, Node>>,
    clock: fn() -> Timestamp,
    size_limit: u64,
}

impl Model {
    /// `root`: the attributes that the root directory starts with.
    pub(super) fn new(root: Attributes, clock: fn() -> Timestamp, size_limit: u64) -> Model {
        let root = Node {
            stat: root,
            content: Vec::new(),
            target: Vec::new(),
            entries: BTreeMap::new(),
            parent: 1,
            xattrs: BTreeMap::new(),
        };
        Model { nodes: Mutex::new(BTreeMap::from([(1, root)])), clock, size_limit }
    }

    fn node(&self, node: NodeId) -> Result<MappedMutexGuard<'_, Node>> {
        MutexGuard::try_map(self.nodes.lock(), |nodes| nodes.get_mut(&node.0)).map_err(|_| Error::Stale)
    }

    fn file(&self, node: NodeId) -> Result<MappedMutexGuard<'_, Node>> {
        let node = self.node(node)?;
        match node.stat.kind {
            Kind::File => Ok(node),
            Kind::Directory => Err(Error::IsDirectory),
            _ => Err(Error::Invalid),
        }
    }

    fn directory(&self, node: NodeId) -> Result<MappedMutexGuard<'_, Node>> {
        let node = self.node(node)?;
        if node.stat.kind == Kind::Directory { Ok(node) } else { Err(Error::NotDirectory) }
    }

    /// The node that a name leads to.
    fn find(&self, parent: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        let directory = self.directory(parent)?;
        if name.len() > 255 {
            return Err(Error::NameTooLong);
        }
        Ok(directory.entries.get(name).copied().map(NodeId))
    }

    fn entry(&self, node: NodeId) -> Result<Entry> {
        Ok(Entry { node, generation: None, attributes: self.attributes(node)? })
    }

    fn create(&self, caller: Caller, parent: NodeId, name: &[u8], new: Node, umask: u32) -> Result<Entry> {
        if self.find(parent, name)?.is_some() {
            return Err(Error::Exists);
        }
        let mut new = new;
        let directory = self.directory(parent)?.clone();
        if directory.stat.links == 0 {
            return Err(Error::NotFound);
        }
        let stat = &mut new.stat;
        (stat.uid, stat.gid) = (caller.uid, caller.gid);
        if directory.stat.mode & 0o2000 != 0 {
            stat.gid = directory.stat.gid;
            if stat.kind == Kind::Directory {
                stat.mode |= 0o2000;
            } else if stat.mode & 0o2010 == 0o2010 && caller.uid != 0 && caller.gid != stat.gid {
                stat.mode &= !0o2000;
            }
        }
        match directory.xattrs.get(DEFAULT) {
            Some(default) if stat.kind != Kind::Symlink => {
                let access = acl_with_mode(default, stat.mode & acl_mode(default));
                stat.mode = stat.mode & !0o777 | acl_mode(&access);
                if access.len() > 4 + 3 * 8 {
                    new.xattrs.insert(ACCESS.to_vec(), access);
                }
                if stat.kind == Kind::Directory {
                    new.xattrs.insert(DEFAULT.to_vec(), default.clone());
                }
            }
            _ => stat.mode &= !umask,
        }
        new.parent = parent.0;
        let number = self.nodes.lock().last_key_value().map_or(0, |(last, _)| *last) + 1;
        self.nodes.lock().insert(number, new);
        self.attach(parent, name, NodeId(number))?;
        self.entry(NodeId(number))
    }

    /// Puts a name into a directory.
    fn attach(&self, parent: NodeId, name: &[u8], node: NodeId) -> Result<()> {
        let is_directory = self.node(node)?.stat.kind == Kind::Directory;
        let mut directory = self.node(parent)?;
        directory.entries.insert(name.to_vec(), node.0);
        directory.stat.links += u32::from(is_directory);
        (directory.stat.modified, directory.stat.changed) = ((self.clock)(), (self.clock)());
        drop(directory);
        self.node(node)?.parent = parent.0;
        Ok(())
    }

    /// Takes a name out of a directory.
    fn detach(&self, parent: NodeId, name: &[u8]) -> Result<NodeId> {
        let node = self.find(parent, name)?.ok_or(Error::NotFound)?;
        let is_directory = self.node(node)?.stat.kind == Kind::Directory;
        let mut directory = self.node(parent)?;
        directory.entries.remove(name);
        directory.stat.links -= u32::from(is_directory);
        (directory.stat.modified, directory.stat.changed) = ((self.clock)(), (self.clock)());
        drop(directory);
        self.node(node)?.stat.changed = (self.clock)();
        Ok(node)
    }

    /// Takes a name out of a directory, and with it a link.
    fn remove(&self, parent: NodeId, name: &[u8]) -> Result<()> {
        let node = self.detach(parent, name)?;
        let mut node = self.node(node)?;
        node.stat.links = if node.stat.kind == Kind::Directory { 0 } else { node.stat.links - 1 };
        Ok(())
    }

    fn is_inside(&self, node: NodeId, ancestor: NodeId) -> bool {
        let parent = self.nodes.lock()[&node.0].parent;
        node == ancestor || (node.0 != 1 && self.is_inside(NodeId(parent), ancestor))
    }

    fn kind(&self, node: NodeId) -> Result<Kind> {
        Ok(self.node(node)?.stat.kind)
    }
}

fn blank(kind: Kind, mode: u32, now: Timestamp) -> Node {
    let stat = Attributes {
        inode_number: 0,
        kind,
        mode,
        links: if kind == Kind::Directory { 2 } else { 1 },
        uid: 0,
        gid: 0,
        device: 0,
        size: 0,
        blocks: 0,
        accessed: now,
        modified: now,
        changed: now,
        born: now,
        links_in_doubt: false,
    };
    Node {
        stat,
        content: Vec::new(),
        target: Vec::new(),
        entries: BTreeMap::new(),
        parent: 0,
        xattrs: BTreeMap::new(),
    }
}

/// The bits of mode that an entry of this tag stands for, in an ACL with or without mask.
fn shift(tag: u8, masked: bool) -> Option<u32> {
    match tag {
        0x01 => Some(6),
        0x10 => Some(3),
        0x04 if !masked => Some(3),
        0x20 => Some(0),
        _ => None,
    }
}

fn has_mask(acl: &[u8]) -> bool {
    acl[4..].chunks(8).any(|entry| entry[0] == 0x10)
}

fn acl_mode(acl: &[u8]) -> u32 {
    let masked = has_mask(acl);
    acl[4..].chunks(8).filter_map(|entry| Some(u32::from(entry[2]) << shift(entry[0], masked)?)).sum()
}

fn acl_with_mode(acl: &[u8], mode: u32) -> Vec<u8> {
    let masked = has_mask(acl);
    let mut acl = acl.to_vec();
    for entry in acl[4..].chunks_mut(8) {
        if let Some(shift) = shift(entry[0], masked) {
            entry[2] = (mode >> shift & 7) as u8;
        }
    }
    acl
}

const CAPABILITY: &[u8] = b"security.capability";

/// As a change of content or owner does.
fn drop_privileges(node: &mut Node, caller: Caller) {
    let foreign = caller.uid != 0 && caller.gid != node.stat.gid;
    node.stat.mode &= if node.stat.mode & 0o010 != 0 || foreign { !0o6000 } else { !0o4000 };
}

impl Operations for Model {
    fn lookup(&self, _: Caller, parent: NodeId, name: &[u8]) -> Result<Option<Entry>> {
        self.find(parent, name)?.map(|node| self.entry(node)).transpose()
    }

    fn forget(&self, _: NodeId, _: u64) {}

    fn attributes(&self, node: NodeId) -> Result<Attributes> {
        let node = self.node(node)?;
        let size = node.content.len() + node.target.len();
        Ok(Attributes { size: size as u64, ..node.stat })
    }

    fn set_attributes(&self, caller: Caller, node: NodeId, change: &SetAttributes) -> Result<Attributes> {
        let now = (self.clock)();
        let time = |set: SetTime| if let SetTime::To(time) = set { time } else { now };
        if let Some(size) = change.size {
            let mut file = self.file(node)?;
            file.xattrs.remove(CAPABILITY);
            if size > self.size_limit {
                return Err(Error::FileTooLarge);
            }
            file.content.resize(size as usize, 0);
            file.stat.modified = now;
            if change.clear_suid_sgid {
                drop_privileges(&mut file, caller);
            }
        }
        let mut inode = self.node(node)?;
        let foreign = |gid: u32| caller.uid != 0 && caller.gid != gid;
        if change.uid.is_some() || change.gid.is_some() {
            if inode.stat.kind != Kind::Directory {
                drop_privileges(&mut inode, caller);
                inode.xattrs.remove(CAPABILITY);
            }
            inode.stat.uid = change.uid.unwrap_or(inode.stat.uid);
            inode.stat.gid = change.gid.unwrap_or(inode.stat.gid);
        }
        if let Some(mode) = change.mode {
            inode.stat.mode = if foreign(inode.stat.gid) { mode & !0o2000 } else { mode };
            if let Some(acl) = inode.xattrs.get_mut(ACCESS) {
                *acl = acl_with_mode(acl, mode);
            }
        }
        inode.stat.accessed = change.accessed.map_or(inode.stat.accessed, time);
        inode.stat.modified = change.modified.map_or(inode.stat.modified, time);
        inode.stat.changed = change.changed.unwrap_or(now);
        drop(inode);
        self.attributes(node)
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let node = self.node(node)?;
        if node.stat.kind == Kind::Symlink { Ok(node.target.clone()) } else { Err(Error::Invalid) }
    }

    fn make_node(&self, caller: Caller, parent: NodeId, name: &[u8], new: &NewNode) -> Result<Entry> {
        let mut node = blank(new.kind, new.mode, (self.clock)());
        node.stat.device = new.device;
        self.create(caller, parent, name, node, new.umask)
    }

    fn make_directory(
        &self,
        caller: Caller,
        parent: NodeId,
        name: &[u8],
        mode: u32,
        umask: u32,
    ) -> Result<Entry> {
        self.create(caller, parent, name, blank(Kind::Directory, mode, (self.clock)()), umask)
    }

    fn make_symlink(&self, caller: Caller, parent: NodeId, name: &[u8], target: &[u8]) -> Result<Entry> {
        match target.len() {
            0 => return Err(Error::NotFound),
            1..4096 => {}
            _ => return Err(Error::NameTooLong),
        }
        let mut node = blank(Kind::Symlink, 0o777, (self.clock)());
        node.target = target.to_vec();
        self.create(caller, parent, name, node, 0)
    }

    fn link(&self, _: Caller, node: NodeId, parent: NodeId, name: &[u8]) -> Result<Entry> {
        let there = self.find(parent, name)?;
        let stat = self.attributes(node)?;
        if stat.kind == Kind::Directory {
            return Err(Error::NotPermitted);
        }
        if stat.links == 0 || self.attributes(parent)?.links == 0 {
            return Err(Error::NotFound);
        }
        if there.is_some() {
            return Err(Error::Exists);
        }
        self.attach(parent, name, node)?;
        let mut inode = self.node(node)?;
        inode.stat.links += 1;
        inode.stat.changed = (self.clock)();
        drop(inode);
        self.entry(node)
    }

    fn unlink(&self, _: Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        let node = self.find(parent, name)?.ok_or(Error::NotFound)?;
        if self.kind(node)? == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        self.remove(parent, name)
    }

    fn remove_directory(&self, _: Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        let node = self.find(parent, name)?.ok_or(Error::NotFound)?;
        if !self.directory(node)?.entries.is_empty() {
            return Err(Error::NotEmpty);
        }
        self.remove(parent, name)
    }

    fn rename(
        &self,
        caller: Caller,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        flags: RenameFlags,
    ) -> Result<()> {
        if flags.exchange && (flags.no_replace || flags.whiteout) {
            return Err(Error::Invalid);
        }
        let (moved, there) = (self.find(from.0, from.1)?, self.find(to.0, to.1)?);
        let moved = moved.ok_or(Error::NotFound)?;
        if self.attributes(to.0)?.links == 0 {
            return Err(Error::NotFound);
        }
        match there {
            Some(_) if flags.no_replace => return Err(Error::Exists),
            None if flags.exchange => return Err(Error::NotFound),
            Some(there) if there == moved => return Ok(()),
            _ => {}
        }
        let is_directory = self.kind(moved)? == Kind::Directory;
        if is_directory && self.is_inside(to.0, moved) {
            return Err(Error::Invalid);
        }
        if flags.exchange {
            let other = there.ok_or(Error::NotFound)?;
            if self.kind(other)? == Kind::Directory && self.is_inside(from.0, other) {
                return Err(Error::Invalid);
            }
            self.detach(from.0, from.1)?;
            self.detach(to.0, to.1)?;
            self.attach(from.0, from.1, other)?;
            return self.attach(to.0, to.1, moved);
        }
        match there {
            Some(there) if self.kind(there)? == Kind::Directory => {
                if !is_directory {
                    return Err(Error::IsDirectory);
                }
                if !self.node(there)?.entries.is_empty() {
                    return Err(Error::NotEmpty);
                }
            }
            Some(_) if is_directory => return Err(Error::NotDirectory),
            _ => {}
        }
        if there.is_some() {
            self.remove(to.0, to.1)?;
        }
        self.detach(from.0, from.1)?;
        self.attach(to.0, to.1, moved)?;
        if flags.whiteout {
            self.create(caller, from.0, from.1, blank(Kind::CharDevice, 0, (self.clock)()), 0)?;
        }
        Ok(())
    }

    fn open(&self, _: Caller, _: NodeId, _: i32) -> Result<()> {
        Ok(())
    }

    fn access(&self, _: Caller, _: NodeId, _: i32) -> Result<()> {
        Ok(())
    }

    fn read(&self, node: NodeId, offset: u64, out: &mut [u8]) -> Result<usize> {
        let file = self.file(node)?;
        let rest = file.content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write(&self, node: NodeId, offset: u64, data: &[u8], how: WriteHow) -> Result<usize> {
        let mut file = self.file(node)?;
        let end = offset as usize + data.len();
        file.xattrs.remove(CAPABILITY);
        if end as u64 > self.size_limit {
            return Err(Error::FileTooLarge);
        }
        if data.is_empty() {
            return Ok(0);
        }
        if file.content.len() < end {
            file.content.resize(end, 0);
        }
        file.content[offset as usize..end].copy_from_slice(data);
        (file.stat.modified, file.stat.changed) = ((self.clock)(), (self.clock)());
        if let Some(caller) = how.clear_suid_sgid {
            drop_privileges(&mut file, caller);
        }
        Ok(data.len())
    }

    fn sync(&self, _: NodeId, _: bool) -> Result<()> {
        Ok(())
    }

    fn sync_directory(&self, node: NodeId, _: bool) -> Result<()> {
        self.directory(node).map(|_| ())
    }

    fn sync_all(&self) -> Result<()> {
        Ok(())
    }

    fn read_directory(
        &self,
        node: NodeId,
        cookie: u64,
        _: bool,
        sink: &mut dyn FnMut(&DirectoryEntry<'_>) -> bool,
    ) -> Result<()> {
        let directory = self.directory(node)?.clone();
        let dots = [(b".".to_vec(), node.0), (b"..".to_vec(), directory.parent)];
        for (place, (name, number)) in dots.into_iter().chain(directory.entries).enumerate() {
            let kind = self.kind(NodeId(number))?;
            let cookie_here = place as u64 + 1;
            let entry =
                DirectoryEntry { cookie: cookie_here, inode_number: number, kind, name: &name, entry: None };
            if cookie_here > cookie && !sink(&entry) {
                break;
            }
        }
        Ok(())
    }

    fn set_xattr(
        &self,
        caller: Caller,
        node: NodeId,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<()> {
        let mut inode = self.node(node)?;
        let there = inode.xattrs.contains_key(name);
        match (name, inode.stat.kind) {
            (ACCESS | DEFAULT, Kind::Symlink) => return Err(Error::NotSupported),
            (ACCESS, _) => {
                inode.stat.mode = inode.stat.mode & !0o777 | acl_mode(value);
                if caller.uid != 0 && caller.gid != inode.stat.gid {
                    inode.stat.mode &= !0o2000;
                }
                inode.xattrs.remove(name);
                if value.len() > 4 + 3 * 8 {
                    inode.xattrs.insert(name.to_vec(), value.to_vec());
                }
                inode.stat.changed = (self.clock)();
                return Ok(());
            }
            (DEFAULT, Kind::Directory) => {}
            (DEFAULT, _) => return Err(Error::AccessDenied),
            (CAPABILITY, _) | (_, Kind::File | Kind::Directory) => {
                if how == SetXattr::Create && there {
                    return Err(Error::Exists);
                }
                if how == SetXattr::Replace && !there {
                    return Err(Error::NoData);
                }
            }
            _ => return Err(Error::NotPermitted),
        }
        let old = inode.xattrs.insert(name.to_vec(), value.to_vec());
        if inode.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > EXTENSION_MAX {
            match old {
                Some(old) => inode.xattrs.insert(name.to_vec(), old),
                None => inode.xattrs.remove(name),
            };
            return Err(Error::NoSpace);
        }
        inode.stat.changed = (self.clock)();
        Ok(())
    }

    fn get_xattr(&self, _: Caller, node: NodeId, name: &[u8]) -> Result<Vec<u8>> {
        self.node(node)?.xattrs.get(name).cloned().ok_or(Error::NoData)
    }

    fn list_xattrs(&self, _: Caller, node: NodeId) -> Result<Vec<u8>> {
        Ok(self.node(node)?.xattrs.keys().flat_map(|name| name.iter().copied().chain([0])).collect())
    }

    fn remove_xattr(&self, _: Caller, node: NodeId, name: &[u8]) -> Result<()> {
        let mut inode = self.node(node)?;
        match (name, inode.stat.kind) {
            (ACCESS | DEFAULT, Kind::Symlink) => return Err(Error::NotSupported),
            (ACCESS | DEFAULT | CAPABILITY, _) | (_, Kind::File | Kind::Directory) => {}
            _ => return Err(Error::NotPermitted),
        }
        if inode.xattrs.remove(name).is_some() {
            inode.stat.changed = (self.clock)();
        } else if name != ACCESS && name != DEFAULT {
            return Err(Error::NoData);
        }
        Ok(())
    }

    fn allocate(
        &self,
        caller: Caller,
        node: NodeId,
        offset: u64,
        length: u64,
        how: Allocate,
        _: Times,
    ) -> Result<()> {
        let mut file = self.file(node)?;
        if length == 0 {
            return Err(Error::Invalid);
        }
        let (size, end) = (file.content.len(), (offset + length) as usize);
        let keeps = how != Allocate::ZeroRange { keep_size: false };
        file.xattrs.remove(CAPABILITY);
        if !keeps && end as u64 > self.size_limit {
            return Err(Error::FileTooLarge);
        }
        if (offset as usize) < size {
            file.content[offset as usize..end.min(size)].fill(0);
        }
        if !keeps && end > size {
            file.content.resize(end, 0);
        }
        (file.stat.modified, file.stat.changed) = ((self.clock)(), (self.clock)());
        if caller.uid != 0 {
            drop_privileges(&mut file, caller);
        }
        Ok(())
    }

    fn seek(&self, node: NodeId, offset: u64, whence: Seek) -> Result<u64> {
        let file = self.file(node)?;
        let rest = file.content.get(offset as usize..).filter(|rest| !rest.is_empty());
        let rest = rest.ok_or(Error::NoSuchDeviceOrAddress)?;
        let is_wanted = |byte: &u8| (*byte != 0) == (whence == Seek::Data);
        match (rest.iter().position(is_wanted), whence) {
            (Some(place), _) => Ok(offset + place as u64),
            (None, Seek::Hole) => Ok(file.content.len() as u64),
            (None, Seek::Data) => Err(Error::NoSuchDeviceOrAddress),
        }
    }

    fn copy_range(
        &self,
        caller: Caller,
        from: (NodeId, u64),
        to: (NodeId, u64),
        length: u64,
        _: Times,
    ) -> Result<u64> {
        let content = self.file(from.0)?.content.clone();
        drop(self.file(to.0)?);
        let rest = content.get(from.1 as usize..).unwrap_or_default();
        let part = &rest[..rest.len().min(length as usize)];
        let length = part.len() as u64;
        if from.0 == to.0 && from.1 < to.1 + length && to.1 < from.1 + length {
            return Err(Error::Invalid);
        }
        if part.is_empty() {
            return Ok(0);
        }
        let clear_suid_sgid = Some(caller).filter(|caller| caller.uid != 0);
        self.write(to.0, to.1, part, WriteHow { clear_suid_sgid, ..WriteHow::default() })
            .map(|count| count as u64)
    }

    fn statistics(&self) -> Result<Statistics> {
        Err(Error::NotImplemented)
    }

    fn shut_down(&self) -> Result<()> {
        Ok(())
    }
}
