//! Operations on a volume and on the model of it.

use super::super::{FIRST, new, pattern};
use super::model::{Model, Version};
use crate::chunk::InodeId;
use crate::volume::{Error, Inode, Kind, NewInode, Rename, Result, Timestamp, Volume};
use std::rc::Rc;
use std::sync::Arc;

type Path = &'static str;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    Create(Path),
    MakeDirectory(Path),
    Symlink(Path),
    Write {
        path: Path,
        at: u64,
        length: usize,
    },
    /// What a program wrote.
    Put {
        path: Path,
        at: u64,
        data: &'static [u8],
    },
    Append {
        path: Path,
        length: usize,
    },
    Resize {
        path: Path,
        size: u64,
    },
    Punch {
        path: Path,
        at: u64,
        length: u64,
    },
    Link(Path, Path),
    /// A file without a name, of so many bytes, that somebody has open.
    CreateNameless(usize),
    /// What was opened last gets a name, if it has none.
    LinkNameless(Path),
    /// And nobody has it open.
    Unlink(Path),
    /// While somebody has it open.
    UnlinkHeld(Path),
    RemoveDirectory(Path),
    Rename(Path, Path),
    Exchange(Path, Path),
    SetMode(Path, u32),
    SetXattr(Path, usize),
    /// mtime, to the past.
    SetTime(Path),
    Sync(Path),
    /// fdatasync, which times need not survive.
    DataSync(Path),
    SyncDirectory(Path),
    Batch,
    /// What the flusher does twice a second.
    Save,
    Round,
    /// What a checkpoint does while other operations go on.
    Flush(Path),
    /// What the volume need not know any more it forgets.
    Forget(Path),
}

use Operation::*;

/// What operations work on: a volume, the model of it, and the inodes that somebody has open.
pub(super) struct Bench<'a> {
    pub volume: &'a Volume,
    pub model: &'a mut Model,
    pub held: Vec<Arc<Inode>>,
}

impl Bench<'_> {
    /// Does it to both. `false`: it makes no sense here, and nothing was done.
    pub fn run(&mut self, operation: Operation) -> Result<bool> {
        let made = self.act(operation);
        match made {
            Ok(()) => {
                self.model.advance();
                Ok(true)
            }
            Err(
                Error::NotFound
                | Error::Exists
                | Error::NotDirectory
                | Error::IsDirectory
                | Error::NotEmpty
                | Error::Invalid,
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn act(&mut self, operation: Operation) -> Result<()> {
        let now = self.now();
        match operation {
            Create(path) => self.make(path, Kind::File, b""),
            MakeDirectory(path) => self.make(path, Kind::Directory, b""),
            Symlink(path) => self.make(path, Kind::Symlink, b"to somewhere"),
            Write { path, at, length } => self.write_pattern(path, at, length),
            Put { path, at, data } => self.write(path, at, data),
            Append { path, length } => {
                let id = self.model.find(path).ok_or(Error::NotFound)?;
                self.write_pattern(path, self.model.file(id).content.len() as u64, length)
            }
            Resize { path, size } => {
                let inode = self.inode(path)?;
                self.volume.resize(&inode, size, now, 0)?;
                self.changed(&inode, |content| content.resize(size as usize, 0));
                Ok(())
            }
            Punch { path, at, length } => {
                let inode = self.inode(path)?;
                self.volume.punch(&inode, at, length, now)?;
                self.changed(&inode, |content| {
                    let end = content.len().min((at + length) as usize);
                    content[(at as usize).min(end)..end].fill(0);
                });
                Ok(())
            }
            Link(from, to) => {
                let inode = self.inode(from)?;
                let (directory, name) = self.place(to)?;
                self.volume.link(&inode, &directory, name, now)?;
                self.model.put(directory.id(), name, inode.id());
                Ok(())
            }
            Unlink(path) | UnlinkHeld(path) => {
                let (directory, name) = self.place(path)?;
                let inode = self.volume.unlink(&directory, name, now)?;
                self.model.take(directory.id(), name);
                // Of one that cannot be read the name goes and nothing else.
                if let Some(inode) = inode {
                    self.let_go(inode, matches!(operation, UnlinkHeld(_)));
                }
                Ok(())
            }
            RemoveDirectory(path) => {
                let (directory, name) = self.place(path)?;
                let inode = self.volume.remove_directory(&directory, name, now)?.expect("it can be read");
                self.model.take(directory.id(), name);
                self.model.drop_directory(inode.id());
                self.let_go(inode, false);
                Ok(())
            }
            Rename(from, to) => self.rename(from, to, now),
            Exchange(one, other) => {
                let ((a, a_name), (b, b_name)) = (self.place(one)?, self.place(other)?);
                let how = crate::volume::Rename::Exchange;
                self.volume.rename((&a, a_name), (&b, b_name), how, None, now)?;
                let ids = [one, other].map(|path| self.model.find(path).expect("it is there"));
                if ids[0] != ids[1] {
                    self.model.take(a.id(), a_name);
                    self.model.take(b.id(), b_name);
                    self.model.put(b.id(), b_name, ids[0]);
                    self.model.put(a.id(), a_name, ids[1]);
                }
                Ok(())
            }
            SetMode(path, mode) => {
                let inode = self.inode(path)?;
                self.volume.update(&inode, |record| {
                    record.mode = mode;
                    Ok(())
                })?;
                self.model_change(&inode, |version| version.mode = mode);
                Ok(())
            }
            SetXattr(path, length) => {
                let inode = self.inode(path)?;
                let value = pattern(length, self.model.done() as u64);
                let xattrs = vec![(b"user.x".as_slice().into(), value)];
                self.volume.update(&inode, |record| {
                    record.extension.xattrs.clone_from(&xattrs);
                    Ok(())
                })?;
                self.model_change(&inode, |version| version.xattrs = xattrs);
                Ok(())
            }
            SetTime(path) => {
                let (inode, modified) = (self.inode(path)?, now.seconds - 500_000);
                self.volume.set_attributes(&inode, |record| {
                    (record.modified.seconds, record.changed) = (modified, now);
                    false
                })?;
                self.model_change(&inode, |version| version.modified = modified);
                Ok(())
            }
            CreateNameless(length) => self.make_nameless(length),
            LinkNameless(path) => {
                let inode = self.held.last().cloned().ok_or(Error::NotFound)?;
                let (directory, name) = self.place(path)?;
                self.volume.link(&inode, &directory, name, now)?;
                self.held.pop();
                self.model.put(directory.id(), name, inode.id());
                // All of its content comes with the name.
                self.model.replaced_by(inode.id());
                Ok(())
            }
            _ => self.make_last(operation),
        }
    }

    fn make_last(&mut self, operation: Operation) -> Result<()> {
        match operation {
            Sync(path) => {
                let inode = self.inode(path)?;
                if inode.is_directory() {
                    return Err(Error::IsDirectory);
                }
                self.volume.sync(&inode, false)?;
                self.model.promise_file(inode.id());
                self.model.promise_names(inode.id());
            }
            SyncDirectory(path) => {
                let inode = self.inode(path)?;
                if !inode.is_directory() {
                    return Err(Error::NotDirectory);
                }
                self.volume.sync_directory(&inode)?;
                self.model.promise_file(inode.id());
                self.model.promise_tree();
            }
            Batch => {
                self.volume.writeback.commit(&[])?;
                self.model.promise_tree();
            }
            Save => {
                self.volume.writeback.round()?;
                self.model.promise_tree();
                // In a journal that is filling up the checkpoint that was hurried on has to come first.
                if !self.volume.journal.file().is_filling() {
                    self.model.promise_named_files(1 << 20);
                }
            }
            Flush(path) => {
                let inode = self.inode(path)?;
                if !inode.state.read().recorded {
                    return Err(Error::Invalid);
                }
                self.volume.writeback.flush(std::slice::from_ref(&inode))?;
            }
            DataSync(path) => {
                let inode = self.inode(path)?;
                if inode.is_directory() {
                    return Err(Error::IsDirectory);
                }
                self.volume.sync(&inode, true)?;
            }
            Forget(path) => self.volume.release(self.inode(path)?),
            _ => {
                self.volume.checkpoint()?;
                self.model.promise_all();
            }
        }
        Ok(())
    }

    fn rename(&mut self, from: Path, to: Path, now: Timestamp) -> Result<()> {
        let ((a, a_name), (b, b_name)) = (self.place(from)?, self.place(to)?);
        let id = self.model.find(from).ok_or(Error::NotFound)?;
        let target = self.model.find(to);
        let replaced = self.volume.rename((&a, a_name), (&b, b_name), Rename::Replace, None, now)?;
        if target == Some(id) {
            return Ok(());
        }
        if let Some(target) = target {
            self.model.take(b.id(), b_name);
            self.model.drop_directory(target);
        }
        self.model.take(a.id(), a_name);
        self.model.put(b.id(), b_name, id);
        if target.is_some() && self.model.file(id).kind == Kind::File {
            self.model.replaced_by(id);
        }
        if let Some(replaced) = replaced {
            self.let_go(replaced, false);
        }
        Ok(())
    }

    fn make(&mut self, path: Path, kind: Kind, target: &[u8]) -> Result<()> {
        let (directory, name) = self.place(path)?;
        let now = self.now();
        let wanted = NewInode { target, now, ..new(kind) };
        let version = Version {
            kind,
            content: Rc::default(),
            mode: wanted.mode,
            modified: now.seconds,
            xattrs: Vec::new(),
            target: target.to_vec(),
        };
        let inode = self.volume.create(&directory, name, wanted)?;
        self.model.add(inode.id(), version);
        self.model.put(directory.id(), name, inode.id());
        Ok(())
    }

    fn make_nameless(&mut self, length: usize) -> Result<()> {
        let now = self.now();
        let inode = self.volume.create_nameless(&self.inode("")?, NewInode { now, ..new(Kind::File) })?;
        let content = pattern(length, self.model.done() as u64);
        self.volume.write(&inode, 0, &content, now, 0)?;
        self.held.push(inode.clone());
        let version = Version {
            kind: Kind::File,
            content: Rc::new(content),
            mode: 0o644,
            modified: now.seconds,
            xattrs: Vec::new(),
            target: Vec::new(),
        };
        self.model.add(inode.id(), version);
        Ok(())
    }

    fn write_pattern(&mut self, path: Path, at: u64, length: usize) -> Result<()> {
        let data = pattern(length, self.model.done() as u64 + 1000 * length as u64);
        self.write(path, at, &data)
    }

    fn write(&mut self, path: Path, at: u64, data: &[u8]) -> Result<()> {
        let inode = self.inode(path)?;
        self.volume.write(&inode, at, data, self.now(), 0)?;
        self.changed(&inode, |content| {
            let end = at as usize + data.len();
            content.resize(content.len().max(end), 0);
            content[at as usize..end].copy_from_slice(data);
        });
        Ok(())
    }

    fn changed(&mut self, inode: &Arc<Inode>, change: impl FnOnce(&mut Vec<u8>)) {
        let now = self.now().seconds;
        self.model_change(inode, |version| {
            let mut content = (*version.content).clone();
            change(&mut content);
            version.content = Rc::new(content);
            version.modified = now;
        });
    }

    fn model_change(&mut self, inode: &Arc<Inode>, change: impl FnOnce(&mut Version)) {
        let mut version = self.model.file(inode.id()).clone();
        change(&mut version);
        self.model.change(inode.id(), version);
    }

    /// One second after the other.
    fn now(&self) -> Timestamp {
        Timestamp { seconds: 1_700_000_000 + self.model.done() as i64, nanoseconds: 7 }
    }

    fn let_go(&mut self, inode: Arc<Inode>, held: bool) {
        if held { self.held.push(inode) } else { self.volume.release(inode) }
    }

    fn inode(&self, path: Path) -> Result<Arc<Inode>> {
        find(self.volume, path)
    }

    fn place(&self, path: Path) -> Result<(Arc<Inode>, &'static [u8])> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.inode(directory)?, name.as_bytes()))
    }
}

/// By its path; "" is the root.
pub(super) fn find(volume: &Volume, path: &str) -> Result<Arc<Inode>> {
    path.split('/').filter(|part| !part.is_empty()).try_fold(volume.inode(InodeId::ROOT)?, |at, name| {
        volume.lookup(&at, name.as_bytes())?.ok_or(Error::NotFound)
    })
}

/// Around the border between the first two chunks.
pub(super) const BORDER: u64 = FIRST - 100;
