//! The transport over the fuser crate: each of its callbacks is one operation, each reply goes out inline.
//!
//! Always holds: nothing that a handler does ends its thread; a panic is answered with EIO (fuser answers a reply that
//! was dropped) and logged. OPEN, OPENDIR, CREATE and FLUSH are answered with ENOSYS where the kernel can do without:
//! it then never sends them again, uses MKNOD for CREATE, and has nothing to RELEASE.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, Config, CopyFileRangeFlags, Errno, FileHandle, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, Notifier, OpenFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, SessionACL, TimeOrNow, WriteFlags,
};

use super::adapter_values::{file_attr, from_system, kind, nothing, set_time};
use super::positions::{self, Positions};
use super::{Options, Transport, control, policy};
use crate::fs::ops::{
    Attributes, Caller, DirectoryEntry, Entry, Kind, NewNode, NodeId, Operations, RenameFlags, Seek,
    SetAttributes, Times, WriteHow,
};
use crate::fs::{Error, Result};

pub type Session = fuser::Session<Adapter>;

/// Answers INIT on a freshly mounted device.
///
/// # Errors
///
/// What fuser says of the first exchange with the kernel.
pub fn connect(operations: Arc<dyn Operations>, device: File, options: &Options) -> io::Result<Session> {
    let mut config = Config::default();
    config.n_threads = Some(options.threads.max(1));
    config.clone_fd = true;
    let notifier = Arc::new(OnceLock::new());
    let writeback = options.writeback;
    let adapter = Adapter {
        operations,
        notifier: writeback.then(|| Arc::clone(&notifier)),
        times: if writeback { Times::Keep } else { Times::Set },
        wanted: InitFlags::from_bits_retain(policy::wanted(options)),
        opens: !options.kernel_permissions,
        positions: options.small_positions.then(Positions::default),
        generation: Generation(policy::generation()),
    };
    let session = Session::from_fd(adapter, OwnedFd::from(device), SessionACL::All, config)?;
    notifier.get_or_init(|| session.notifier());
    Ok(session)
}

/// Serves until the connection ends.
///
/// # Errors
///
/// What fuser says: that of reading the device, of a further way into it, or of a thread that cannot be started.
pub fn run(session: Session) -> io::Result<()> {
    session.run()
}

/// Holds the operations as fuser wants to call them.
pub struct Adapter {
    operations: Arc<dyn Operations>,
    wanted: InitFlags,
    /// Under the writeback cache: to have a file flushed before it is asked where its data lies (see `device`).
    notifier: Option<Arc<OnceLock<Notifier>>>,
    times: Times,
    /// OPEN and CREATE are to be answered, because permissions are the filesystem's to check.
    opens: bool,
    /// Where positions in listings are to be small: OPENDIR is answered then.
    positions: Option<Positions>,
    generation: Generation,
}

fn guard(what: &str, act: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(act)).is_err() {
        log::error!("{what} panicked and was answered with EIO");
    }
}

fn number(error: Error) -> Errno {
    Errno::from_i32(error.errno())
}

fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), pid: request.pid() }
}

fn node(number: INodeNo) -> NodeId {
    NodeId(number.0)
}

fn reply_attributes(reply: ReplyAttr, node: NodeId, result: Result<Attributes>) {
    match result {
        Ok(attributes) => reply.attr(&policy::lifetime(&attributes), &file_attr(node, &attributes)),
        Err(error) => reply.error(number(error)),
    }
}

fn reply_empty(reply: ReplyEmpty, result: Result<()>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(number(error)),
    }
}

fn reply_xattr(reply: ReplyXattr, size: u32, result: Result<Vec<u8>>) {
    match result {
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(error) => reply.error(number(error)),
    }
}

fn reply_written(reply: ReplyWrite, result: Result<usize>) {
    match result {
        Ok(written) => reply.written(written as u32),
        Err(error) => reply.error(number(error)),
    }
}

impl Adapter {
    /// fuser has one lifetime for the entry and its attributes.
    fn lifetime(&self, attributes: &Attributes) -> Duration {
        policy::lifetime(attributes).min(policy::entry_lifetime(self.opens))
    }

    fn list(
        &self,
        opened: (NodeId, FileHandle),
        position: u64,
        plus: bool,
        sink: &mut dyn FnMut(&DirectoryEntry<'_>) -> bool,
    ) -> Result<()> {
        let (node, FileHandle(handle)) = opened;
        positions::list(self.positions.as_ref(), &*self.operations, (node, handle), position, plus, sink)
    }

    fn reply_entry(&self, reply: ReplyEntry, result: Result<Entry>) {
        match result {
            Ok(Entry { node, attributes, .. }) => {
                let attr = file_attr(node, &attributes);
                reply.entry(&self.lifetime(&attributes), &attr, self.generation);
            }
            Err(error) => reply.error(number(error)),
        }
    }
}

impl fuser::Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let granted = self.wanted & config.capabilities();
        if let Err(lacking) = config.add_capabilities(granted) {
            log::debug!("the kernel takes back {lacking:?}");
        }
        let limits = [
            config.set_max_write(policy::MAX_REQUEST).is_ok(),
            config.set_max_background(policy::MAX_BACKGROUND).is_ok(),
        ];
        if limits.contains(&false) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        guard("lookup", || match self.operations.lookup(caller(request), node(parent), name.as_bytes()) {
            Ok(None) => reply.entry(&policy::entry_lifetime(self.opens), &nothing(0), Generation(0)),
            Ok(Some(entry)) => self.reply_entry(reply, Ok(entry)),
            Err(error) => reply.error(number(error)),
        });
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        guard("forget", || self.operations.forget(node(ino), count));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        guard("getattr", || {
            let told = if handle.is_some() { self.operations.tell_lost(node(ino)) } else { Ok(()) };
            reply_attributes(reply, node(ino), told.and_then(|()| self.operations.attributes(node(ino))));
        });
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        changed: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = SetAttributes {
            mode: mode.map(|mode| mode & 0o7777),
            uid,
            gid,
            size,
            accessed: accessed.map(set_time),
            modified: modified.map(set_time),
            changed: changed.map(from_system),
            // fuser does not hand on FATTR_KILL_SUIDGID; who is not root has no CAP_FSETID.
            clear_suid_sgid: size.is_some() && request.uid() != 0,
            by_handle: handle.is_some(),
        };
        guard("setattr", || {
            let result = self.operations.set_attributes(caller(request), node(ino), &change);
            reply_attributes(reply, node(ino), result);
        });
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        guard("readlink", || match self.operations.read_link(node(ino)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(number(error)),
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        guard("mknod", || {
            let result = policy::kind_of(mode).ok_or(Error::Invalid).and_then(|kind| {
                let new = NewNode { kind, mode: mode & 0o7777, umask, device };
                self.operations.make_node(caller(request), node(parent), name.as_bytes(), &new)
            });
            self.reply_entry(reply, result);
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        guard("mkdir", || {
            let (parent, name) = (node(parent), name.as_bytes());
            self.reply_entry(
                reply,
                self.operations.make_directory(caller(request), parent, name, mode & 0o7777, umask),
            );
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        guard("unlink", || {
            reply_empty(reply, self.operations.unlink(caller(request), node(parent), name.as_bytes()));
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        guard("rmdir", || {
            let result = self.operations.remove_directory(caller(request), node(parent), name.as_bytes());
            reply_empty(reply, result);
        });
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        guard("symlink", || {
            let target = target.as_os_str().as_bytes();
            let result = self.operations.make_symlink(caller(request), node(parent), name.as_bytes(), target);
            self.reply_entry(reply, result);
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: fuser::RenameFlags,
        reply: ReplyEmpty,
    ) {
        let flags = RenameFlags {
            no_replace: flags.contains(fuser::RenameFlags::RENAME_NOREPLACE),
            exchange: flags.contains(fuser::RenameFlags::RENAME_EXCHANGE),
            whiteout: flags.contains(fuser::RenameFlags::RENAME_WHITEOUT),
        };
        guard("rename", || {
            let from = (node(parent), name.as_bytes());
            let to = (node(new_parent), new_name.as_bytes());
            reply_empty(reply, self.operations.rename(caller(request), from, to, flags));
        });
    }

    fn link(&self, request: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        guard("link", || {
            let result = self.operations.link(caller(request), node(ino), node(parent), name.as_bytes());
            self.reply_entry(reply, result);
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if !self.opens {
            return reply.error(Errno::ENOSYS);
        }
        guard("open", || match self.operations.open(caller(request), node(ino), flags.0) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(number(error)),
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        if !self.opens {
            return reply.error(Errno::ENOSYS);
        }
        guard("create", || {
            let new = NewNode { kind: Kind::File, mode: mode & 0o7777, umask, device: 0 };
            let at = (node(parent), name.as_bytes());
            match policy::create(&*self.operations, caller(request), at, &new, flags) {
                Ok(Entry { node, attributes, .. }) => {
                    let (lifetime, attr) = (self.lifetime(&attributes), file_attr(node, &attributes));
                    let (handle, flags) = (FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
                    reply.created(&lifetime, &attr, self.generation, handle, flags);
                }
                Err(error) => reply.error(number(error)),
            }
        });
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        guard("read", || {
            let mut out = vec![0; size as usize];
            match self.operations.read(node(ino), offset, &mut out) {
                Ok(length) => reply.data(&out[..length]),
                Err(error) => reply.error(number(error)),
            }
        });
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        opened: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let how = WriteHow {
            clear_suid_sgid: flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID).then(|| caller(request)),
            from_cache: flags.contains(WriteFlags::FUSE_WRITE_CACHE),
            appends: !flags.contains(WriteFlags::FUSE_WRITE_CACHE) && opened.0 & libc::O_APPEND != 0,
            times: self.times,
        };
        guard("write", || reply_written(reply, self.operations.write(node(ino), offset, data, how)));
    }

    fn flush(&self, _: &Request, ino: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        match self.times {
            Times::Keep => guard("flush", || reply_empty(reply, self.operations.flush(node(ino)))),
            Times::Set => reply.error(Errno::ENOSYS),
        }
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        guard("fsync", || reply_empty(reply, self.operations.sync(node(ino), data_only)));
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match &self.positions {
            Some(positions) => reply.opened(FileHandle(positions.open()), FopenFlags::empty()),
            None => reply.error(Errno::ENOSYS),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        if let Some(positions) = &self.positions {
            positions.close(handle.0);
        }
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        position: u64,
        mut reply: ReplyDirectory,
    ) {
        guard("readdir", || {
            let mut sink = |entry: &DirectoryEntry<'_>| {
                let name = OsStr::from_bytes(entry.name);
                !reply.add(INodeNo(entry.inode_number), entry.cookie, kind(entry.kind), name)
            };
            match self.list((node(ino), handle), position, false, &mut sink) {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(number(error)),
            }
        });
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        position: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        guard("readdirplus", || {
            let mut sink = |entry: &DirectoryEntry<'_>| {
                let (attributes, lifetime) = match &entry.entry {
                    Some(found) => {
                        (file_attr(found.node, &found.attributes), self.lifetime(&found.attributes))
                    }
                    None => (nothing(entry.inode_number), Duration::ZERO),
                };
                let name = OsStr::from_bytes(entry.name);
                !reply.add(attributes.ino, entry.cookie, name, &lifetime, &attributes, self.generation)
            };
            match self.list((node(ino), handle), position, true, &mut sink) {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(number(error)),
            }
        });
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        guard("fsyncdir", || reply_empty(reply, self.operations.sync_directory(node(ino), data_only)));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        guard("statfs", || match self.operations.statistics() {
            Ok(s) => reply.statfs(
                s.blocks,
                s.free,
                s.available,
                s.inodes,
                s.free_inodes,
                s.block_size,
                s.name_max,
                s.block_size,
            ),
            Err(error) => reply.error(number(error)),
        });
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        guard("setxattr", || {
            let (caller, node, name) = (caller(request), node(ino), name.as_bytes());
            let how = policy::set_xattr_mode(flags);
            let result = control::set(&*self.operations, caller, node, name)
                .unwrap_or_else(|| self.operations.set_xattr(caller, node, name, value, how));
            reply_empty(reply, result);
        });
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        guard("getxattr", || {
            let (node, name) = (node(ino), name.as_bytes());
            let caller = caller(request);
            let result = control::get(&*self.operations, caller, node, name, Transport::Fuser)
                .unwrap_or_else(|| self.operations.get_xattr(caller, node, name));
            reply_xattr(reply, size, result);
        });
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        guard("listxattr", || {
            reply_xattr(reply, size, self.operations.list_xattrs(caller(request), node(ino)));
        });
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        guard("removexattr", || {
            reply_empty(reply, self.operations.remove_xattr(caller(request), node(ino), name.as_bytes()));
        });
    }

    fn access(&self, request: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        guard("access", || {
            reply_empty(reply, self.operations.access(caller(request), node(ino), mask.bits()));
        });
    }

    fn fallocate(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        guard("fallocate", || {
            let result = policy::allocation(mode).ok_or(Error::NotSupported).and_then(|how| {
                self.operations.allocate(caller(request), node(ino), offset, length, how, self.times)
            });
            reply_empty(reply, result);
        });
    }

    fn lseek(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let whence = if whence == libc::SEEK_DATA { Seek::Data } else { Seek::Hole };
        let (operations, notifier) = (Arc::clone(&self.operations), self.notifier.clone());
        let seek = move || {
            guard("lseek", || match operations.seek(node(ino), offset as u64, whence) {
                Ok(found) => reply.offset(found as i64),
                Err(error) => reply.error(number(error)),
            });
        };
        let Some(notifier) = notifier else { return seek() };
        let flush_first = move || {
            if let Some(Err(error)) = notifier.get().map(|notifier| notifier.inval_inode(ino, 0, 0)) {
                log::debug!("node {ino} was not flushed: {error}");
            }
            seek();
        };
        if let Err(error) = thread::Builder::new().name("fuse-seek".into()).spawn(flush_first) {
            log::error!("a thread for lseek could not be started: {error}");
        }
    }

    fn copy_file_range(
        &self,
        request: &Request,
        from: INodeNo,
        _: FileHandle,
        from_offset: u64,
        to: INodeNo,
        _: FileHandle,
        to_offset: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        guard("copy_file_range", || {
            let (from, to) = ((node(from), from_offset), (node(to), to_offset));
            let length = length.min(u64::from(u32::MAX));
            let copied = self.operations.copy_range(caller(request), from, to, length, self.times);
            reply_written(reply, copied.map(|copied| copied as usize));
        });
    }
}
