//! A folder whose contents somebody else may have chosen: every path is opened below it, through no link, and only
//! regular files are read.
//!
//! What always holds: whatever stands at a name, opening it has no effect, does not wait and ends in a regular file or
//! in an error (`InvalidData`); a small file is never overwritten, and is durable with its name once written.
//! `directory` builds the store on this; `keys` and `volume` read the header and the key slots through it.

mod lock;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

pub use lock::{Lock, LockError};

use crate::locks::{Mutex, Rank};
use crate::sys::files::{self, Kind, OFlags};

/// The file by which a volume's folder is known again.
const MARK: &str = "cryptfs.json";
const MARK_MOST: usize = 1 << 20;

/// An open folder. Paths are relative to it, with `/` between components.
pub struct Folder {
    root: File,
    /// Where it is.
    path: PathBuf,
    /// What it is known again by.
    mark: OnceLock<Vec<u8>>,
    /// How often another one took its place under its path.
    pub(super) renewals: AtomicU64,
    /// Whether this process has the lock of the volume, and takes it anew with the folder; that lock.
    locks: AtomicBool,
    lock: Mutex<Option<Lock>>,
    /// Folders whose own name is known to be durable, by path.
    linked: Mutex<BTreeMap<CString, Incarnation>>,
    /// The files belong to somebody else: then access times change as the filesystem likes.
    is_anothers: AtomicBool,
    /// Folders that were put aside.
    aside: AtomicU64,
}

/// Which folder has a path: a sync client may remove one and make another, and inode numbers are soon used again.
#[derive(PartialEq)]
struct Incarnation {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Folder {
    /// Opens a folder by a path that the user named, so links in it are followed.
    ///
    /// # Errors
    ///
    /// open(2)'s: `NotFound`, ENOTDIR, EACCES. That of the working directory, where `path` is relative.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let root = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path)?;
        Ok(Folder {
            root,
            path: std::path::absolute(path)?,
            mark: OnceLock::new(),
            renewals: AtomicU64::new(0),
            locks: AtomicBool::new(false),
            lock: Mutex::new(Rank::FolderLock, None),
            linked: Mutex::new(Rank::LinkedFolders, BTreeMap::new()),
            is_anothers: AtomicBool::new(false),
            aside: AtomicU64::new(0),
        })
    }

    /// Takes note of what it is known again by, if it has that yet.
    pub(super) fn mark(&self) {
        if let Ok(mark) = self.read_small(MARK, MARK_MOST) {
            // A second one is the same.
            let _ = self.mark.set(mark);
        }
    }

    /// Where its path leads to it again, since it was mounted anew: stands for what is there from now on. An empty mountpoint
    /// is not the folder, nor another volume; and if another process has the lock of it now, it stays as it was.
    pub(super) fn renew(&self) -> bool {
        let is_same = |opened: &Folder| {
            opened.mark();
            self.mark.get().is_some_and(|mark| opened.mark.get() == Some(mark))
        };
        let Some(opened) = Folder::open(&self.path).ok().filter(is_same) else { return false };
        let mut held = self.lock.lock();
        let lock = match self.locks.load(Ordering::Relaxed).then(|| opened.lock(MARK)).transpose() {
            // It leads to what it led to before, or somebody else here noticed it first.
            Err(LockError::Held) if opened.is_locked_here() => None,
            Err(LockError::Held) => {
                log::error!("the backing folder was mounted anew, and another process uses the volume there");
                return false;
            }
            lock => lock.unwrap_or(None),
        };
        if files::become_as(&self.root, &opened.root).is_err() {
            return false;
        }
        if lock.is_some() {
            *held = lock;
        }
        drop(held);
        self.linked.lock().clear();
        self.renewals.fetch_add(1, Ordering::AcqRel);
        log::warn!("the backing folder was mounted anew");
        true
    }

    pub(super) fn root(&self) -> &File {
        &self.root
    }

    /// Whether the folder refuses writes: a read-only filesystem or no permission.
    ///
    /// # Errors
    ///
    /// faccessat(2)'s, except EROFS and EACCES.
    pub fn is_read_only(&self) -> io::Result<bool> {
        match files::may_write(&self.root) {
            Ok(()) => Ok(false),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EROFS | libc::EACCES)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Opens a regular file. Anything else is not even opened, as opening a device may do something, but where it was
    /// put there just now. Reading leaves no access time: that would be a write, and tell what was read.
    pub(super) fn open_file(&self, path: &CStr, flags: OFlags) -> io::Result<(File, files::Status)> {
        let makes = flags.contains(OFlags::CREATE);
        let is_special = |status: files::Status| status.kind != Kind::Regular;
        if !makes && files::status_of(&self.root, path).is_ok_and(is_special) {
            return Err(not_regular());
        }
        let quietly =
            if self.is_anothers.load(Ordering::Relaxed) { OFlags::empty() } else { OFlags::NOATIME };
        let file = match files::open_beneath(&self.root, path, flags | quietly) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) && !quietly.is_empty() => {
                self.is_anothers.store(true, Ordering::Relaxed);
                files::open_beneath(&self.root, path, flags)
            }
            opened => opened,
        };
        let file = file.map_err(refusal)?;
        let status = files::status(&file)?;
        if status.kind == Kind::Regular { Ok((file, status)) } else { Err(not_regular()) }
    }

    /// Makes a new file and the folders above it, in the place of whatever is no folder there. `AlreadyExists` when
    /// anything has that name.
    pub(super) fn create_file(&self, path: &CStr) -> io::Result<(File, files::Status)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        match self.open_file(path, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folders(&split(path).0)?;
                self.open_file(path, flags)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.clear_way(&split(path).0)?;
                self.make_folders(&split(path).0)?;
                self.open_file(path, flags)
            }
            result => result,
        }
    }

    fn make_folders(&self, path: &CStr) -> io::Result<()> {
        if path == c"." {
            return Ok(());
        }
        let (parent, name) = split(path);
        self.make_folders(&parent)?;
        match files::make_folder(&self.open_folder(&parent, OFlags::PATH)?, name) {
            Ok(()) => {
                self.linked.lock().remove(path);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes whatever stands in the place of a folder and is none: a link that somebody put there.
    fn clear_way(&self, path: &CStr) -> io::Result<()> {
        let (parent, name) = split(path);
        let parent = self.open_folder(&parent, OFlags::PATH)?;
        if files::status_of(&parent, name)?.kind != Kind::Folder {
            files::unlink(&parent, name)?;
            self.linked.lock().remove(path);
        }
        Ok(())
    }

    pub(super) fn open_folder(&self, path: &CStr, flags: OFlags) -> io::Result<File> {
        files::open_beneath(&self.root, path, flags | OFlags::DIRECTORY).map_err(refusal)
    }

    /// Unlinks a file; not durable by itself. Quiet when it is not there.
    pub(super) fn unlink(&self, path: &CStr) -> io::Result<()> {
        let (parent, name) = split(path);
        match self.open_folder(&parent, OFlags::PATH).and_then(|parent| files::unlink(&parent, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Unlinks whatever stands in the place of a file, an empty folder too. One that is not empty is put aside. Quiet when
    /// nothing is there.
    pub(super) fn make_way(&self, path: &CStr) -> io::Result<()> {
        let (parent, name) = split(path);
        match self.unlink(path) {
            Err(error) if error.raw_os_error() == Some(libc::EISDIR) => {}
            unlinked => return unlinked,
        }
        let parent = self.open_folder(&parent, OFlags::PATH)?;
        match files::remove_folder(&parent, name) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTEMPTY) => {
                let number = self.aside.fetch_add(1, Ordering::Relaxed);
                let aside = format!(".aside-{}-{number}", std::process::id());
                let aside = CString::new([name.to_bytes(), aside.as_bytes()].concat())?;
                files::rename(&parent, name, &aside)
            }
            removed => removed,
        }
    }

    /// Makes the names in these folders durable. The name of a folder itself is made durable the first time that the
    /// folder is met, whoever made it: an earlier process may have died between mkdir and fsync.
    pub(super) fn sync_folders(&self, paths: BTreeSet<CString>) -> io::Result<()> {
        self.sync_folders_by(paths, |_, folder| folder.sync_all())
    }

    fn sync_folders_by(
        &self,
        mut paths: BTreeSet<CString>,
        mut sync: impl FnMut(&CStr, &File) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut met = Vec::new();
        while !paths.is_empty() {
            let mut above = BTreeSet::new();
            for path in paths {
                let (parent, _) = split(&path);
                match self.open_folder(&path, OFlags::RDONLY) {
                    Ok(folder) => {
                        sync(&path, &folder)?;
                        let found = Incarnation::of(&folder)?;
                        if path.as_c_str() != c"." && self.linked.lock().get(&path) != Some(&found) {
                            above.insert(parent);
                            met.push((path, found));
                        }
                    }
                    // Vanished when it became empty, or something else was put there: then it is the going of the
                    // folder that has to be durable.
                    Err(error)
                        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
                            && path.as_c_str() != c"." =>
                    {
                        self.linked.lock().remove(&path);
                        above.insert(parent);
                    }
                    Err(error) => return Err(error),
                }
            }
            paths = above;
        }
        self.linked.lock().extend(met);
        Ok(())
    }

    /// Reads a whole file of at most `max` bytes; a longer one is `InvalidData`.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a longer file and for whatever is no regular file; `NotFound`; what the system says.
    pub fn read_small(&self, path: &str, max: usize) -> io::Result<Vec<u8>> {
        let (file, _) = self.open_file(&CString::new(path)?, OFlags::RDONLY)?;
        let mut bytes = Vec::new();
        file.take(max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {max} bytes")));
        }
        Ok(bytes)
    }

    /// Writes a new file under its own name, durably; `AlreadyExists` when anything has that name. What a failure left
    /// half-made is removed again.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`; what the system says, ENOSPC among it.
    pub fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let path = CString::new(path)?;
        let (file, _) = self.create_file(&path)?;
        let written = files::write_all_at(&file, 0, &[IoSlice::new(bytes)])
            .and_then(|()| file.sync_all())
            .and_then(|()| self.sync_folders(BTreeSet::from([split(&path).0])));
        if written.is_err() {
            // The first error is the one to report.
            let _ = self.unlink(&path);
        }
        written
    }

    /// Unlinks a file durably. Quiet when it is not there.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path with a zero byte; `InvalidData` where its folder is no folder; else unlink(2)'s or
    /// fsync(2)'s.
    pub fn remove_durably(&self, path: &str) -> io::Result<()> {
        let path = CString::new(path)?;
        self.unlink(&path)?;
        self.sync_folders(BTreeSet::from([split(&path).0]))
    }

    /// Tells the name of each regular file in a folder (`.` is this one), in no order; of none when there is no such
    /// folder. There may be any number of them.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path with a zero byte; `InvalidData` where it is no folder; else that of reading it. What
    /// was told before it stays told.
    pub fn each_name(&self, folder: &str, tell: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.visit(&CString::new(folder)?, &mut |name, kind| {
            if kind == Kind::Regular {
                tell(name.to_bytes());
            }
            Ok(())
        })
    }

    /// How many regular files there are in a folder.
    ///
    /// # Errors
    ///
    /// As for [`Folder::each_name`].
    pub fn count(&self, folder: &str) -> io::Result<usize> {
        let mut count = 0;
        self.each_name(folder, &mut |_| count += 1).map(|()| count)
    }

    /// Visits the entries of a folder, in no order; none when there is no such folder.
    pub(super) fn visit(
        &self,
        path: &CStr,
        visit: &mut dyn FnMut(&CStr, Kind) -> io::Result<()>,
    ) -> io::Result<()> {
        let folder = match self.open_folder(path, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folder => folder?,
        };
        for entry in files::entries(folder.try_clone()?)? {
            let (name, kind) = entry?;
            let kind = match kind.map_or_else(|| Ok(files::status_of(&folder, &name)?.kind), Ok) {
                // Unlinked since it was listed.
                Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => continue,
                kind => kind?,
            };
            visit(&name, kind)?;
        }
        Ok(())
    }
}

impl Incarnation {
    fn of(folder: &File) -> io::Result<Incarnation> {
        let metadata = folder.metadata()?;
        Ok(Incarnation { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() })
    }
}

/// The folder and the last component of a path.
pub(super) fn split(path: &CStr) -> (CString, &CStr) {
    let bytes = path.to_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let parent = CString::new(&bytes[..slash]).expect("part of a C string has no zero byte");
            (parent, &path[slash + 1..])
        }
        None => (c".".to_owned(), path),
    }
}

/// What openat2 says of something that is no regular file, or not reached without a link.
fn refusal(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ELOOP | libc::EXDEV | libc::ENOTDIR | libc::EISDIR | libc::ENXIO) => {
            io::Error::new(io::ErrorKind::InvalidData, error)
        }
        _ => error,
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a regular file")
}

#[cfg(test)]
mod tests;
