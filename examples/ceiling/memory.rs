//! A complete filesystem in memory, without crypto and without a backing folder.
//!
//! The transports' tests run against it, and the benchmark mounts it as the ceiling of what a transport allows.
//! Permissions are the kernel's business (`kernel_permissions`). Lock order: `names`, then at most one directory, then
//! the inode it names; an inode is in `nodes` while it has links or lookups.

#[path = "pages.rs"]
mod pages;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use cryptfs::fs::ops::{
    Allocate, Attributes, Caller, DirectoryEntry, Entry, Kind, NewNode, NodeId, Operations, RenameFlags,
    Seek, SetAttributes, SetTime, SetXattr, Statistics, Times, Timestamp, WriteHow,
};
use cryptfs::fs::{Error, Result};
use pages::{PAGE, Pages};
use parking_lot::{Mutex, RwLock};

const LONGEST_NAME: usize = 255;
const LARGEST_FILE: u64 = i64::MAX as u64;
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;
/// Inode numbers are node numbers plus this, so that a transport that mixes them up is caught.
pub const NUMBER_OFFSET: u64 = 1 << 20;

/// The filesystem; also counts what its tests want to know.
pub struct Memory {
    nodes: RwLock<HashMap<NodeId, Arc<Inode>>>,
    /// Held by whatever changes names; holds the last number given to a node.
    names: Mutex<u64>,
    pub shut_downs: AtomicU64,
    pub opens: AtomicU64,
    pub syncs: AtomicU64,
    /// Names asked for.
    pub asked: AtomicU64,
    /// Whoever holds it holds up every sync.
    pub gate: Mutex<()>,
    /// Makes `statistics` panic.
    pub broken: AtomicBool,
}

struct Inode {
    node: NodeId,
    kind: Kind,
    device: u32,
    born: Timestamp,
    lookups: AtomicU64,
    state: RwLock<State>,
}

struct State {
    mode: u32,
    links: u32,
    uid: u32,
    gid: u32,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    body: Body,
}

enum Body {
    File(Pages),
    Directory(Directory),
    Symlink(Vec<u8>),
    Special,
}

struct Directory {
    parent: NodeId,
    cookies: HashMap<Vec<u8>, u64>,
    entries: BTreeMap<u64, (Vec<u8>, Arc<Inode>)>,
    last_cookie: u64,
}

/// Cookies of `.` and `..`; entries begin behind them.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs() as i64, nanoseconds: since.subsec_nanos() }
}

impl State {
    fn file(&mut self) -> Result<&mut Pages> {
        match &mut self.body {
            Body::File(pages) => Ok(pages),
            Body::Directory(_) => Err(Error::IsDirectory),
            _ => Err(Error::Invalid),
        }
    }

    fn directory(&mut self) -> Result<&mut Directory> {
        match &mut self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Error::NotDirectory),
        }
    }

    fn touch(&mut self) {
        self.modified = now();
        self.changed = self.modified;
    }

    fn clear_suid_sgid(&mut self) {
        self.mode &= !SET_UID;
        if self.mode & GROUP_EXECUTE != 0 {
            self.mode &= !SET_GID;
        }
    }
}

impl Inode {
    fn attributes(&self, state: &State) -> Attributes {
        let (size, blocks) = match &state.body {
            Body::File(pages) => (pages.size, pages.present * (PAGE as u64 / 512)),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Directory(directory) => (directory.entries.len() as u64, 0),
            Body::Special => (0, 0),
        };
        Attributes {
            inode_number: self.number(),
            kind: self.kind,
            mode: state.mode,
            links: state.links,
            uid: state.uid,
            gid: state.gid,
            device: self.device,
            size,
            blocks,
            accessed: state.accessed,
            modified: state.modified,
            changed: state.changed,
            born: self.born,
            links_in_doubt: false,
        }
    }

    fn number(&self) -> u64 {
        self.node.0 + NUMBER_OFFSET
    }

    /// An entry for a reply: one more lookup. The caller holds the directory that names this inode.
    fn entry(&self) -> Entry {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        Entry { node: self.node, generation: None, attributes: self.attributes(&self.state.read()) }
    }
}

fn directory_body(parent: NodeId) -> Body {
    Body::Directory(Directory {
        parent,
        cookies: HashMap::new(),
        entries: BTreeMap::new(),
        last_cookie: DOT_DOT,
    })
}

impl Directory {
    fn find(&self, name: &[u8]) -> Option<&Arc<Inode>> {
        self.cookies.get(name).and_then(|cookie| self.entries.get(cookie)).map(|(_, inode)| inode)
    }

    fn insert(&mut self, name: &[u8], inode: Arc<Inode>) {
        self.last_cookie += 1;
        self.cookies.insert(name.to_vec(), self.last_cookie);
        self.entries.insert(self.last_cookie, (name.to_vec(), inode));
    }

    fn remove(&mut self, name: &[u8]) -> Option<Arc<Inode>> {
        let cookie = self.cookies.remove(name)?;
        self.entries.remove(&cookie).map(|(_, inode)| inode)
    }
}

impl Default for Memory {
    fn default() -> Memory {
        let root =
            Arc::new(inode(NodeId::ROOT, Kind::Directory, 0o755, (0, 0), 0, directory_body(NodeId::ROOT)));
        Memory {
            nodes: RwLock::new(HashMap::from([(NodeId::ROOT, root)])),
            names: Mutex::new(NodeId::ROOT.0),
            shut_downs: AtomicU64::new(0),
            opens: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            gate: Mutex::new(()),
            broken: AtomicBool::new(false),
        }
    }
}

fn inode(node: NodeId, kind: Kind, mode: u32, owner: (u32, u32), device: u32, body: Body) -> Inode {
    let born = now();
    let links = if kind == Kind::Directory { 2 } else { 1 };
    let (uid, gid) = owner;
    let xattrs = BTreeMap::new();
    let (accessed, modified, changed) = (born, born, born);
    let state = State { mode, links, uid, gid, accessed, modified, changed, xattrs, body };
    Inode { node, kind, device, born, lookups: AtomicU64::new(0), state: RwLock::new(state) }
}

impl Memory {
    /// Gives the root directory to a user.
    pub fn give_root_to(&self, uid: u32, gid: u32) {
        if let Ok(root) = self.inode(NodeId::ROOT) {
            let mut state = root.state.write();
            (state.uid, state.gid) = (uid, gid);
        }
    }

    /// How many inodes exist: named or still looked up.
    pub fn inodes(&self) -> usize {
        self.nodes.read().len()
    }

    /// What a file in the root directory holds, as the filesystem (not the kernel's cache) has it.
    pub fn contents(&self, name: &[u8]) -> Option<Vec<u8>> {
        let file = self.find((NodeId::ROOT, name)).ok()??;
        let mut state = file.state.write();
        let pages = state.file().ok()?;
        let mut data = vec![0; pages.size as usize];
        pages.read(0, &mut data);
        Some(data)
    }

    /// The modification time of a file in the root directory, as the filesystem has it.
    pub fn modified(&self, name: &[u8]) -> Option<Timestamp> {
        let file = self.find((NodeId::ROOT, name)).ok()??;
        let state = file.state.read();
        Some(state.modified)
    }

    fn inode(&self, node: NodeId) -> Result<Arc<Inode>> {
        self.nodes.read().get(&node).cloned().ok_or(Error::Stale)
    }

    fn drop_if_unused(&self, inode: &Inode) {
        let mut nodes = self.nodes.write();
        if inode.state.read().links == 0 && inode.lookups.load(Ordering::Relaxed) == 0 {
            nodes.remove(&inode.node);
        }
    }

    /// Makes an inode and its name. `body` gets the node of the directory.
    fn make(&self, caller: Caller, parent: NodeId, name: &[u8], new: &NewNode, body: Body) -> Result<Entry> {
        check_name(name)?;
        let mut last = self.names.lock();
        let directory = self.inode(parent)?;
        let mut state = directory.state.write();
        if state.links == 0 {
            return Err(Error::NotFound);
        }
        let (mut mode, mut gid) = (new.mode & !new.umask, caller.gid);
        if state.mode & SET_GID != 0 {
            gid = state.gid;
            if new.kind == Kind::Directory {
                mode |= SET_GID;
            }
        }
        if state.directory()?.find(name).is_some() {
            return Err(Error::Exists);
        }
        *last += 1;
        let made = Arc::new(inode(NodeId(*last), new.kind, mode, (caller.uid, gid), new.device, body));
        let entry = made.entry();
        self.nodes.write().insert(made.node, Arc::clone(&made));
        state.directory()?.insert(name, made);
        state.links += u32::from(new.kind == Kind::Directory);
        state.touch();
        Ok(entry)
    }

    fn remove(&self, parent: NodeId, name: &[u8], wants_directory: bool) -> Result<()> {
        let _names = self.names.lock();
        let directory = self.inode(parent)?;
        let mut state = directory.state.write();
        let victim = Arc::clone(state.directory()?.find(name).ok_or(Error::NotFound)?);
        check_removable(&victim, wants_directory)?;
        state.directory()?.remove(name);
        state.links -= u32::from(wants_directory);
        state.touch();
        drop(state);
        self.lose_link(&victim);
        Ok(())
    }

    fn lose_link(&self, victim: &Inode) {
        let mut state = victim.state.write();
        state.links = if victim.kind == Kind::Directory { 0 } else { state.links - 1 };
        state.changed = now();
        drop(state);
        self.drop_if_unused(victim);
    }

    /// Puts `inode` under a name that is free, and takes care of the counts of both directories.
    fn attach(&self, to: (NodeId, &[u8]), inode: Arc<Inode>) -> Result<()> {
        let directory = self.inode(to.0)?;
        let mut state = directory.state.write();
        state.links += u32::from(inode.kind == Kind::Directory);
        state.touch();
        state.directory()?.insert(to.1, Arc::clone(&inode));
        drop(state);
        let mut moved = inode.state.write();
        moved.changed = now();
        if let Body::Directory(body) = &mut moved.body {
            body.parent = to.0;
        }
        Ok(())
    }

    fn detach(&self, from: (NodeId, &[u8])) -> Result<Arc<Inode>> {
        let directory = self.inode(from.0)?;
        let mut state = directory.state.write();
        let inode = state.directory()?.remove(from.1).ok_or(Error::NotFound)?;
        state.links -= u32::from(inode.kind == Kind::Directory);
        state.touch();
        Ok(inode)
    }

    fn find(&self, at: (NodeId, &[u8])) -> Result<Option<Arc<Inode>>> {
        let directory = self.inode(at.0)?;
        let mut state = directory.state.write();
        Ok(state.directory()?.find(at.1).cloned())
    }
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > LONGEST_NAME { Err(Error::NameTooLong) } else { Ok(()) }
}

fn check_removable(victim: &Inode, wants_directory: bool) -> Result<()> {
    match &victim.state.read().body {
        Body::Directory(_) if !wants_directory => Err(Error::IsDirectory),
        Body::Directory(body) if !body.entries.is_empty() => Err(Error::NotEmpty),
        Body::Directory(_) => Ok(()),
        _ if wants_directory => Err(Error::NotDirectory),
        _ => Ok(()),
    }
}

fn set_time(time: SetTime) -> Timestamp {
    match time {
        SetTime::Now => now(),
        SetTime::To(time) => time,
    }
}

impl Operations for Memory {
    fn lookup(&self, _: Caller, parent: NodeId, name: &[u8]) -> Result<Option<Entry>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        check_name(name)?;
        let directory = self.inode(parent)?;
        let state = directory.state.read();
        match &state.body {
            Body::Directory(body) => Ok(body.find(name).map(|inode| inode.entry())),
            _ => Err(Error::NotDirectory),
        }
    }

    fn forget(&self, node: NodeId, count: u64) {
        let Ok(inode) = self.inode(node) else { return };
        if inode.lookups.fetch_sub(count, Ordering::Relaxed) == count {
            self.drop_if_unused(&inode);
        }
    }

    fn attributes(&self, node: NodeId) -> Result<Attributes> {
        let inode = self.inode(node)?;
        let state = inode.state.read();
        Ok(inode.attributes(&state))
    }

    fn set_attributes(&self, _: Caller, node: NodeId, change: &SetAttributes) -> Result<Attributes> {
        let inode = self.inode(node)?;
        let mut state = inode.state.write();
        if let Some(size) = change.size {
            if size > LARGEST_FILE {
                return Err(Error::FileTooLarge);
            }
            state.file()?.resize(size);
            state.touch();
            if change.clear_suid_sgid {
                state.clear_suid_sgid();
            }
        }
        if (change.uid.is_some() || change.gid.is_some()) && inode.kind == Kind::File {
            state.clear_suid_sgid();
        }
        state.changed = now();
        let state = &mut *state;
        let plain =
            [(&mut state.mode, change.mode), (&mut state.uid, change.uid), (&mut state.gid, change.gid)];
        plain.into_iter().for_each(|(field, value)| *field = value.unwrap_or(*field));
        let accessed = change.accessed.map(set_time);
        let modified = change.modified.map(set_time);
        let times = [
            (&mut state.accessed, accessed),
            (&mut state.modified, modified),
            (&mut state.changed, change.changed),
        ];
        times.into_iter().for_each(|(field, value)| *field = value.unwrap_or(*field));
        Ok(inode.attributes(state))
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        match &self.inode(node)?.state.read().body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(Error::Invalid),
        }
    }

    fn make_node(&self, caller: Caller, parent: NodeId, name: &[u8], new: &NewNode) -> Result<Entry> {
        let body = if new.kind == Kind::File { Body::File(Pages::default()) } else { Body::Special };
        self.make(caller, parent, name, new, body)
    }

    fn make_directory(
        &self,
        caller: Caller,
        parent: NodeId,
        name: &[u8],
        mode: u32,
        umask: u32,
    ) -> Result<Entry> {
        let new = NewNode { kind: Kind::Directory, mode, umask, device: 0 };
        self.make(caller, parent, name, &new, directory_body(parent))
    }

    fn make_symlink(&self, caller: Caller, parent: NodeId, name: &[u8], target: &[u8]) -> Result<Entry> {
        let new = NewNode { kind: Kind::Symlink, mode: 0o777, umask: 0, device: 0 };
        self.make(caller, parent, name, &new, Body::Symlink(target.to_vec()))
    }

    fn make_nameless(&self, caller: Caller, parent: NodeId, mode: u32, umask: u32) -> Result<Entry> {
        let mut last = self.names.lock();
        self.inode(parent)?;
        *last += 1;
        let node = NodeId(*last);
        let owner = (caller.uid, caller.gid);
        let made = Arc::new(inode(node, Kind::File, mode & !umask, owner, 0, Body::File(Pages::default())));
        made.state.write().links = 0;
        self.nodes.write().insert(node, made.clone());
        Ok(made.entry())
    }

    fn link(&self, _: Caller, node: NodeId, parent: NodeId, name: &[u8]) -> Result<Entry> {
        check_name(name)?;
        let _names = self.names.lock();
        let inode = self.inode(node)?;
        if self.find((parent, name))?.is_some() {
            return Err(Error::Exists);
        }
        inode.state.write().links += 1;
        let entry = inode.entry();
        self.attach((parent, name), inode)?;
        Ok(entry)
    }

    fn unlink(&self, _: Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        self.remove(parent, name, false)
    }

    fn remove_directory(&self, _: Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        self.remove(parent, name, true)
    }

    fn rename(
        &self,
        _: Caller,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        flags: RenameFlags,
    ) -> Result<()> {
        check_name(to.1)?;
        if flags.whiteout {
            return Err(Error::Invalid);
        }
        let _names = self.names.lock();
        let moved = self.find(from)?.ok_or(Error::NotFound)?;
        let target = self.find(to)?;
        if flags.exchange {
            let target = target.ok_or(Error::NotFound)?;
            self.detach(from)?;
            self.detach(to)?;
            self.attach(to, moved)?;
            return self.attach(from, target);
        }
        match target {
            Some(_) if flags.no_replace => return Err(Error::Exists),
            Some(target) if Arc::ptr_eq(&target, &moved) => return Ok(()),
            Some(target) => {
                check_removable(&target, moved.kind == Kind::Directory)?;
                self.detach(to)?;
                self.lose_link(&target);
            }
            None => {}
        }
        self.detach(from)?;
        self.attach(to, moved)
    }

    fn open(&self, _: Caller, _: NodeId, _: i32) -> Result<()> {
        self.opens.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn access(&self, _: Caller, _: NodeId, _: i32) -> Result<()> {
        Ok(())
    }

    fn read(&self, node: NodeId, offset: u64, out: &mut [u8]) -> Result<usize> {
        match &self.inode(node)?.state.read().body {
            Body::File(pages) => Ok(pages.read(offset, out)),
            _ => Err(Error::Invalid),
        }
    }

    fn write(&self, node: NodeId, offset: u64, data: &[u8], how: WriteHow) -> Result<usize> {
        let inode = self.inode(node)?;
        let mut state = inode.state.write();
        state.file()?.write(offset, data);
        if how.times == Times::Set {
            state.touch();
        }
        if how.clear_suid_sgid.is_some() {
            state.clear_suid_sgid();
        }
        Ok(data.len())
    }

    fn sync(&self, _: NodeId, _: bool) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        drop(self.gate.lock());
        Ok(())
    }

    fn sync_directory(&self, _: NodeId, _: bool) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn sync_all(&self) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn read_directory(
        &self,
        node: NodeId,
        cookie: u64,
        plus: bool,
        sink: &mut dyn FnMut(&DirectoryEntry<'_>) -> bool,
    ) -> Result<()> {
        let inode = self.inode(node)?;
        let state = inode.state.read();
        let Body::Directory(directory) = &state.body else { return Err(Error::NotDirectory) };
        let dots = [(DOT, &b"."[..], node), (DOT_DOT, b"..", directory.parent)];
        for (dot, name, node) in dots.into_iter().filter(|(dot, ..)| *dot > cookie) {
            let inode_number = node.0 + NUMBER_OFFSET;
            let kind = Kind::Directory;
            if !sink(&DirectoryEntry { cookie: dot, inode_number, kind, name, entry: None }) {
                return Ok(());
            }
        }
        for (&cookie, (name, inode)) in directory.entries.range(cookie.max(DOT_DOT) + 1..) {
            let entry = plus.then(|| inode.entry());
            let (inode_number, kind) = (inode.number(), inode.kind);
            if !sink(&DirectoryEntry { cookie, inode_number, kind, name, entry }) {
                inode.lookups.fetch_sub(u64::from(plus), Ordering::Relaxed);
                break;
            }
        }
        Ok(())
    }

    fn set_xattr(&self, _: Caller, node: NodeId, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
        let inode = self.inode(node)?;
        let mut state = inode.state.write();
        match (state.xattrs.contains_key(name), how) {
            (true, SetXattr::Create) => return Err(Error::Exists),
            (false, SetXattr::Replace) => return Err(Error::NoData),
            _ => {}
        }
        state.xattrs.insert(name.to_vec(), value.to_vec());
        state.changed = now();
        Ok(())
    }

    fn get_xattr(&self, _: Caller, node: NodeId, name: &[u8]) -> Result<Vec<u8>> {
        self.inode(node)?.state.read().xattrs.get(name).cloned().ok_or(Error::NoData)
    }

    fn list_xattrs(&self, _: Caller, node: NodeId) -> Result<Vec<u8>> {
        let inode = self.inode(node)?;
        let state = inode.state.read();
        Ok(state.xattrs.keys().flat_map(|name| name.iter().copied().chain([0])).collect())
    }

    fn remove_xattr(&self, _: Caller, node: NodeId, name: &[u8]) -> Result<()> {
        let inode = self.inode(node)?;
        let mut state = inode.state.write();
        state.changed = now();
        state.xattrs.remove(name).map(drop).ok_or(Error::NoData)
    }

    fn allocate(
        &self,
        _: Caller,
        node: NodeId,
        offset: u64,
        length: u64,
        how: Allocate,
        times: Times,
    ) -> Result<()> {
        let inode = self.inode(node)?;
        let mut state = inode.state.write();
        let pages = state.file()?;
        let end = offset.checked_add(length).filter(|end| *end <= LARGEST_FILE).ok_or(Error::FileTooLarge)?;
        let keep_size = match how {
            Allocate::PunchHole => true,
            Allocate::ZeroRange { keep_size } => keep_size,
        };
        pages.zero(offset, end.min(pages.size));
        if !keep_size && end > pages.size {
            pages.resize(end);
        }
        if times == Times::Set {
            state.touch();
        }
        Ok(())
    }

    fn seek(&self, node: NodeId, offset: u64, whence: Seek) -> Result<u64> {
        match &self.inode(node)?.state.read().body {
            Body::File(pages) => pages.seek(offset, whence),
            _ => Err(Error::Invalid),
        }
    }

    fn copy_range(
        &self,
        caller: Caller,
        from: (NodeId, u64),
        to: (NodeId, u64),
        length: u64,
        times: Times,
    ) -> Result<u64> {
        let mut data = vec![0; length.min(1 << 20) as usize];
        let length = self.read(from.0, from.1, &mut data)?;
        self.write(
            to.0,
            to.1,
            &data[..length],
            WriteHow { clear_suid_sgid: Some(caller), times, ..WriteHow::default() },
        )?;
        Ok(length as u64)
    }

    fn statistics(&self) -> Result<Statistics> {
        assert!(!self.broken.load(Ordering::Relaxed), "statistics are broken on purpose");
        let (blocks, free) = (1 << 30, 1 << 29);
        Ok(Statistics {
            block_size: PAGE as u32,
            blocks,
            free,
            available: free,
            inodes: 1 << 32,
            free_inodes: 1 << 31,
            name_max: LONGEST_NAME as u32,
        })
    }

    fn shut_down(&self) -> Result<()> {
        self.shut_downs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
