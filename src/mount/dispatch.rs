//! Decodes one request, asks the filesystem, encodes its answer: everything of our own transport that does not care
//! how requests come and go, so that a ring can use it as the device loop does.
//!
//! Always holds: a malformed request is EINVAL; nothing is allocated here. OPEN, OPENDIR, CREATE and FLUSH get ENOSYS
//! where the kernel can do without (it then uses MKNOD for CREATE and has nothing to RELEASE; where permissions are ours
//! to check it cannot, since who creates a file may open it whatever its mode; FLUSH is wanted where a writeback cache has
//! writes that nobody waited for), as do INTERRUPT (no
//! operation waits for long), locks (the kernel's own do) and whatever is not known. Neighbours: `protocol`, `reply`,
//! `server`.

use std::sync::Arc;

use super::positions::{self, Positions};
use super::protocol::{self as wire, Body, InHeader, opcode, valid};
use super::reply::{self, Answer, Errno, Listing};
use super::{Requests, Transport, control, policy};
use crate::fs::Error;
use crate::fs::ops::{
    Caller, Entry, Kind, NewNode, NodeId, Operations, RenameFlags, Seek, SetAttributes, SetTime, Times,
    Timestamp, WriteHow,
};

const MALFORMED: Errno = Errno(libc::EINVAL);
const SET_GID: u32 = 0o2000;

/// What INIT negotiated, and the filesystem that answers.
pub struct Dispatcher {
    pub operations: Arc<dyn Operations>,
    pub requests: Arc<Requests>,
    /// The transport, for those who ask for its name.
    pub transport: Transport,
    /// OPEN is to be answered, because permissions are the filesystem's to check.
    pub opens: bool,
    /// Where positions in listings are to be small: OPENDIR is answered then.
    pub positions: Option<Positions>,
    /// Of every node but the root that has none of its own.
    pub generation: u64,
    /// SETXATTR comes in its longer form.
    pub long_setxattr: bool,
    /// The kernel holds data that we have not seen, and keeps the times of it.
    pub writeback: bool,
}

/// Whether the kernel waits for a reply to this request.
pub fn wants_reply(opcode: u32) -> bool {
    !matches!(opcode, opcode::FORGET | opcode::BATCH_FORGET)
}

/// Whether a request may have to wait for the backing folder, or has much to encrypt.
pub fn may_take_long(header: &InHeader) -> bool {
    const LARGE: u32 = 32 << 10;
    match header.opcode {
        opcode::FSYNC | opcode::FSYNCDIR | opcode::COPY_FILE_RANGE | opcode::COPY_FILE_RANGE_64 => true,
        opcode::FALLOCATE => true,
        // To ask for everything to be made durable is to set an attribute of the root, or to ask for it.
        opcode::SETXATTR | opcode::GETXATTR => header.node == NodeId::ROOT.0,
        opcode::WRITE => header.length > LARGE,
        opcode::READ | opcode::LOOKUP | opcode::READDIRPLUS => true,
        _ => false,
    }
}

fn set_time(flags: u32, set: u32, now: u32, seconds: i64, nanoseconds: u32) -> Option<SetTime> {
    match flags {
        flags if flags & now != 0 => Some(SetTime::Now),
        flags if flags & set != 0 => Some(SetTime::To(Timestamp { seconds, nanoseconds })),
        _ => None,
    }
}

impl Dispatcher {
    /// Answers one request into `out`, which has room for the largest reply.
    ///
    /// # Errors
    ///
    /// What the operation says; EINVAL for a request that is cut off or makes no sense; ENOSYS for one that is not
    /// served.
    pub fn answer(&self, header: &InHeader, body: Body<'_>, out: &mut [u8]) -> Answer {
        let node = NodeId(header.node);
        match header.opcode {
            opcode::LOOKUP => self.lookup(header, body, out),
            opcode::FORGET | opcode::BATCH_FORGET => self.forget(header, body),
            opcode::GETATTR => self.attributes(node, body, out),
            opcode::STATX => reply::put(out, &reply::statx(&self.operations.attributes(node)?)),
            opcode::SETATTR => self.set_attributes(header, body, out),
            opcode::READLINK => reply::put_bytes(out, &self.operations.read_link(node)?),
            opcode::MKNOD | opcode::MKDIR | opcode::SYMLINK | opcode::LINK => self.make(header, body, out),
            opcode::UNLINK | opcode::RMDIR => self.remove(header, body),
            opcode::RENAME | opcode::RENAME2 => self.rename(header, body),
            opcode::OPEN if self.opens => self.open(header, body, out),
            opcode::CREATE if self.opens => self.create(header, body, out),
            opcode::TMPFILE => self.create_nameless(header, body, out),
            opcode::RELEASE | opcode::DESTROY => Ok(0),
            opcode::READ => self.read(node, body, out),
            opcode::WRITE => self.write(header, body, out),
            opcode::FSYNC | opcode::FSYNCDIR => self.sync(header, body),
            opcode::FLUSH if self.writeback => {
                self.operations.flush(node)?;
                Ok(0)
            }
            opcode::OPENDIR | opcode::RELEASEDIR => self.open_directory(header, body, out),
            opcode::READDIR | opcode::READDIRPLUS => self.list(header, body, out),
            opcode::STATFS => self.statistics(out),
            opcode::SETXATTR => self.set_xattr(header, body),
            opcode::GETXATTR | opcode::LISTXATTR => self.get_xattr(header, body, out),
            opcode::REMOVEXATTR => {
                let mut body = body;
                let name = body.name().ok_or(MALFORMED)?;
                self.operations.remove_xattr(caller(header), node, name)?;
                Ok(0)
            }
            opcode::ACCESS => self.access(header, body),
            opcode::FALLOCATE => self.allocate(header, body),
            opcode::LSEEK => self.seek(node, body, out),
            opcode::COPY_FILE_RANGE | opcode::COPY_FILE_RANGE_64 => self.copy_range(header, body, out),
            _ => Err(Errno(libc::ENOSYS)),
        }
    }

    fn times(&self) -> Times {
        if self.writeback { Times::Keep } else { Times::Set }
    }

    /// stat(2) has no handle; a write that the kernel gathers does.
    fn attributes(&self, node: NodeId, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::GetattrIn = body.take().ok_or(MALFORMED)?;
        if self.writeback && asked.flags & wire::GETATTR_HANDLE != 0 {
            self.operations.tell_lost(node)?;
        }
        reply::put(out, &reply::attributes(&self.operations.attributes(node)?))
    }

    fn lookup(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let name = body.name().ok_or(MALFORMED)?;
        let node = NodeId(header.node);
        // No program's names, but the kernel's ways from a handle to its file, and upward from there.
        let found = match name {
            b"." => self.operations.find(node)?,
            b".." => Some(self.operations.parent(node)?),
            name => self.operations.lookup(caller(header), node, name)?,
        };
        self.put_entry(out, found.as_ref())
    }

    fn put_entry(&self, out: &mut [u8], entry: Option<&Entry>) -> Answer {
        reply::put(out, &reply::entry(entry, self.generation, policy::entry_lifetime(self.opens)))
    }

    fn forget(&self, header: &InHeader, mut body: Body<'_>) -> Answer {
        if header.opcode == opcode::FORGET {
            let one: wire::ForgetIn = body.take().ok_or(MALFORMED)?;
            self.operations.forget(NodeId(header.node), one.count);
            return Ok(0);
        }
        let batch: wire::BatchForgetIn = body.take().ok_or(MALFORMED)?;
        for _ in 0..batch.count {
            let one: wire::ForgetOne = body.take().ok_or(MALFORMED)?;
            self.operations.forget(NodeId(one.node), one.count);
        }
        Ok(0)
    }

    fn set_attributes(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::SetattrIn = body.take().ok_or(MALFORMED)?;
        let has = |bit: u32| asked.valid & bit != 0;
        let changed = Timestamp { seconds: asked.ctime, nanoseconds: asked.ctime_ns };
        let (valid, atime, mtime) = (asked.valid, asked.atime, asked.mtime);
        let change = SetAttributes {
            mode: has(valid::MODE).then_some(asked.mode & 0o7777),
            uid: has(valid::UID).then_some(asked.uid),
            gid: has(valid::GID).then_some(asked.gid),
            size: has(valid::SIZE).then_some(asked.size),
            accessed: set_time(valid, valid::ATIME, valid::ATIME_NOW, atime, asked.atime_ns),
            modified: set_time(valid, valid::MTIME, valid::MTIME_NOW, mtime, asked.mtime_ns),
            changed: has(valid::CTIME).then_some(changed),
            clear_suid_sgid: has(valid::KILL_SUIDGID),
            by_handle: has(valid::FH),
        };
        let now = self.operations.set_attributes(caller(header), NodeId(header.node), &change)?;
        reply::put(out, &reply::attributes(&now))
    }

    fn make(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let made = match header.opcode {
            opcode::MKNOD => self.make_node(header, &mut body),
            opcode::MKDIR => self.make_directory(header, &mut body),
            opcode::SYMLINK => self.make_symlink(header, &mut body),
            _ => self.link(header, &mut body),
        }?;
        self.put_entry(out, Some(&made))
    }

    fn make_node(&self, header: &InHeader, body: &mut Body<'_>) -> Result<Entry, Errno> {
        let asked: wire::MknodIn = body.take().ok_or(MALFORMED)?;
        let name = body.name().ok_or(MALFORMED)?;
        let kind = policy::kind_of(asked.mode).ok_or(MALFORMED)?;
        let new = NewNode { kind, mode: asked.mode & 0o7777, umask: asked.umask, device: asked.device };
        Ok(self.operations.make_node(caller(header), NodeId(header.node), name, &new)?)
    }

    fn make_directory(&self, header: &InHeader, body: &mut Body<'_>) -> Result<Entry, Errno> {
        let asked: wire::MkdirIn = body.take().ok_or(MALFORMED)?;
        let name = body.name().ok_or(MALFORMED)?;
        let (parent, mode) = (NodeId(header.node), asked.mode & 0o7777);
        Ok(self.operations.make_directory(caller(header), parent, name, mode, asked.umask)?)
    }

    fn make_symlink(&self, header: &InHeader, body: &mut Body<'_>) -> Result<Entry, Errno> {
        let name = body.name().ok_or(MALFORMED)?;
        let target = body.name().ok_or(MALFORMED)?;
        Ok(self.operations.make_symlink(caller(header), NodeId(header.node), name, target)?)
    }

    fn link(&self, header: &InHeader, body: &mut Body<'_>) -> Result<Entry, Errno> {
        let asked: wire::LinkIn = body.take().ok_or(MALFORMED)?;
        let name = body.name().ok_or(MALFORMED)?;
        Ok(self.operations.link(caller(header), NodeId(asked.node), NodeId(header.node), name)?)
    }

    fn remove(&self, header: &InHeader, mut body: Body<'_>) -> Answer {
        let name = body.name().ok_or(MALFORMED)?;
        let (caller, parent) = (caller(header), NodeId(header.node));
        match header.opcode {
            opcode::UNLINK => self.operations.unlink(caller, parent, name)?,
            _ => self.operations.remove_directory(caller, parent, name)?,
        }
        Ok(0)
    }

    fn rename(&self, header: &InHeader, mut body: Body<'_>) -> Answer {
        let asked = if header.opcode == opcode::RENAME {
            let short: wire::RenameIn = body.take().ok_or(MALFORMED)?;
            wire::Rename2In { new_parent: short.new_parent, ..wire::Rename2In::default() }
        } else {
            body.take().ok_or(MALFORMED)?
        };
        let from = (NodeId(header.node), body.name().ok_or(MALFORMED)?);
        let to = (NodeId(asked.new_parent), body.name().ok_or(MALFORMED)?);
        let flags = RenameFlags {
            no_replace: asked.flags & libc::RENAME_NOREPLACE != 0,
            exchange: asked.flags & libc::RENAME_EXCHANGE != 0,
            whiteout: asked.flags & libc::RENAME_WHITEOUT != 0,
        };
        self.operations.rename(caller(header), from, to, flags)?;
        Ok(0)
    }

    fn open(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::OpenIn = body.take().ok_or(MALFORMED)?;
        self.operations.open(caller(header), NodeId(header.node), asked.flags as i32)?;
        reply::put(out, &wire::OpenOut { open_flags: wire::OPEN_KEEP_CACHE, ..wire::OpenOut::default() })
    }

    /// Who made a file may open it, whatever its mode; who finds one there may if its mode allows.
    fn create(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::CreateIn = body.take().ok_or(MALFORMED)?;
        let name = body.name().ok_or(MALFORMED)?;
        let new = NewNode { kind: Kind::File, mode: asked.mode & 0o7777, umask: asked.umask, device: 0 };
        let entry = policy::create(
            &*self.operations,
            caller(header),
            (NodeId(header.node), name),
            &new,
            asked.flags as i32,
        )?;
        self.put_opened(out, &entry)
    }

    /// Its RELEASE comes also where OPEN is not wanted.
    fn create_nameless(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::CreateIn = body.take().ok_or(MALFORMED)?;
        let (caller, parent) = (caller(header), NodeId(header.node));
        let entry = self.operations.make_nameless(caller, parent, asked.mode & 0o7777, asked.umask)?;
        self.put_opened(out, &entry)
    }

    fn put_opened(&self, out: &mut [u8], entry: &Entry) -> Answer {
        let length = self.put_entry(out, Some(entry))?;
        let opened = wire::OpenOut { open_flags: wire::OPEN_KEEP_CACHE, ..wire::OpenOut::default() };
        Ok(length + reply::put(&mut out[length..], &opened)?)
    }

    fn read(&self, node: NodeId, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::ReadIn = body.take().ok_or(MALFORMED)?;
        let room = out.get_mut(..asked.size as usize).ok_or(MALFORMED)?;
        Ok(self.operations.read(node, asked.offset, room)?)
    }

    fn write(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::WriteIn = body.take().ok_or(MALFORMED)?;
        let data = body.bytes(asked.size).ok_or(MALFORMED)?;
        let how = WriteHow {
            clear_suid_sgid: (asked.write_flags & wire::WRITE_KILL_SUIDGID != 0).then(|| caller(header)),
            from_cache: asked.write_flags & wire::WRITE_CACHE != 0,
            appends: asked.write_flags & wire::WRITE_CACHE == 0 && asked.flags & libc::O_APPEND as u32 != 0,
            times: self.times(),
        };
        let written = self.operations.write(NodeId(header.node), asked.offset, data, how)?;
        reply::put(out, &wire::WriteOut { size: written as u32, padding: 0 })
    }

    fn sync(&self, header: &InHeader, mut body: Body<'_>) -> Answer {
        let asked: wire::FsyncIn = body.take().ok_or(MALFORMED)?;
        let (node, data_only) = (NodeId(header.node), asked.flags & wire::FSYNC_DATA_ONLY != 0);
        match header.opcode {
            opcode::FSYNC => self.operations.sync(node, data_only)?,
            _ => self.operations.sync_directory(node, data_only)?,
        }
        Ok(0)
    }

    fn open_directory(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let positions = self.positions.as_ref().ok_or(Errno(libc::ENOSYS))?;
        if header.opcode == opcode::OPENDIR {
            return reply::put(out, &wire::OpenOut { handle: positions.open(), ..wire::OpenOut::default() });
        }
        let released: wire::ReleaseIn = body.take().ok_or(MALFORMED)?;
        positions.close(released.handle);
        Ok(0)
    }

    fn list(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::ReadIn = body.take().ok_or(MALFORMED)?;
        let room = out.get_mut(..asked.size as usize).ok_or(MALFORMED)?;
        let plus = header.opcode == opcode::READDIRPLUS;
        let entries = plus.then(|| (self.generation, policy::entry_lifetime(self.opens)));
        let mut listing = Listing::new(room, entries);
        let opened = (NodeId(header.node), asked.handle);
        positions::list(
            self.positions.as_ref(),
            &*self.operations,
            opened,
            asked.offset,
            plus,
            &mut |entry| listing.push(entry),
        )?;
        Ok(listing.used())
    }

    fn statistics(&self, out: &mut [u8]) -> Answer {
        let s = self.operations.statistics()?;
        let statfs = wire::StatfsOut {
            blocks: s.blocks,
            free: s.free,
            available: s.available,
            files: s.inodes,
            free_files: s.free_inodes,
            block_size: s.block_size,
            name_max: s.name_max,
            fragment_size: s.block_size,
            ..wire::StatfsOut::default()
        };
        reply::put(out, &statfs)
    }

    fn set_xattr(&self, header: &InHeader, mut body: Body<'_>) -> Answer {
        let asked = if self.long_setxattr {
            body.take().ok_or(MALFORMED)?
        } else {
            let short: wire::SetxattrShortIn = body.take().ok_or(MALFORMED)?;
            wire::SetxattrIn { size: short.size, flags: short.flags, ..wire::SetxattrIn::default() }
        };
        let name = body.name().ok_or(MALFORMED)?;
        let value = body.bytes(asked.size).ok_or(MALFORMED)?;
        let (caller, node) = (caller(header), NodeId(header.node));
        self.await_writes_before(node, name);
        if let Some(done) = control::set(&*self.operations, caller, node, name) {
            done?;
            return Ok(0);
        }
        self.operations.set_xattr(caller, node, name, value, policy::set_xattr_mode(asked.flags as i32))?;
        if asked.extra_flags & wire::SETXATTR_ACL_KILL_SGID != 0 {
            let mode = self.operations.attributes(node)?.mode;
            if mode & SET_GID != 0 {
                let change = SetAttributes { mode: Some(mode & !SET_GID), ..SetAttributes::default() };
                self.operations.set_attributes(caller, node, &change)?;
            }
        }
        Ok(0)
    }

    /// The kernel sent what it held before it asked for everything to be stored; another thread may still be at it.
    fn await_writes_before(&self, node: NodeId, name: &[u8]) {
        if control::is_sync(node, name) {
            self.requests.await_writes();
        }
    }

    fn get_xattr(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::GetxattrIn = body.take().ok_or(MALFORMED)?;
        let (caller, node) = (caller(header), NodeId(header.node));
        let value = if header.opcode == opcode::LISTXATTR {
            self.operations.list_xattrs(caller, node)?
        } else {
            let name = body.name().ok_or(MALFORMED)?;
            self.await_writes_before(node, name);
            match control::get(&*self.operations, caller, node, name, self.transport) {
                Some(known) => known?,
                None => self.operations.get_xattr(caller, node, name)?,
            }
        };
        match asked.size {
            0 => reply::put(out, &wire::GetxattrOut { size: value.len() as u32, padding: 0 }),
            size if value.len() > size as usize => Err(Error::Range.into()),
            _ => reply::put_bytes(out, &value),
        }
    }

    fn access(&self, header: &InHeader, mut body: Body<'_>) -> Answer {
        let asked: wire::AccessIn = body.take().ok_or(MALFORMED)?;
        self.operations.access(caller(header), NodeId(header.node), asked.mask as i32)?;
        Ok(0)
    }

    fn allocate(&self, header: &InHeader, mut body: Body<'_>) -> Answer {
        let asked: wire::FallocateIn = body.take().ok_or(MALFORMED)?;
        let how = policy::allocation(asked.mode as i32).ok_or(Errno(libc::EOPNOTSUPP))?;
        let (caller, node) = (caller(header), NodeId(header.node));
        self.operations.allocate(caller, node, asked.offset, asked.length, how, self.times())?;
        Ok(0)
    }

    fn seek(&self, node: NodeId, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::LseekIn = body.take().ok_or(MALFORMED)?;
        let whence = match asked.whence as i32 {
            libc::SEEK_DATA => Seek::Data,
            libc::SEEK_HOLE => Seek::Hole,
            _ => return Err(MALFORMED),
        };
        let offset = self.operations.seek(node, asked.offset, whence)?;
        reply::put(out, &wire::LseekOut { offset })
    }

    fn copy_range(&self, header: &InHeader, mut body: Body<'_>, out: &mut [u8]) -> Answer {
        let asked: wire::CopyFileRangeIn = body.take().ok_or(MALFORMED)?;
        let from = (NodeId(header.node), asked.offset_in);
        let to = (NodeId(asked.node_out), asked.offset_out);
        let length = asked.length.min(u64::from(u32::MAX));
        let copied = self.operations.copy_range(caller(header), from, to, length, self.times())?;
        match header.opcode {
            opcode::COPY_FILE_RANGE => reply::put(out, &wire::WriteOut { size: copied as u32, padding: 0 }),
            _ => reply::put(out, &wire::CopyFileRangeOut { copied }),
        }
    }
}

fn caller(header: &InHeader) -> Caller {
    Caller { uid: header.uid, gid: header.gid, pid: header.pid }
}
