//! The store in a real folder.
//!
//! What always holds: nothing outside the folder is touched and nothing but a regular file is opened ([`Folder`]); no
//! folder but the backing one is kept open, so that one which vanished or was replaced is noticed at the next call, and
//! few descriptors are needed. An open costs three system calls, a commit's check of the name one.

mod copies;
mod held;
mod pins;
mod renew;
mod settling;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::folder::Folder;
use super::{Area, CopyName, FileName, Marks, Pins, Space, Store, StoreFile, Watch, placeholders_of};
use crate::sys::files::{self, Identity, Kind, OFlags};
use crate::sys::filesystem;
use held::{Held, is_unsupported};
use pins::PinFolder;
use settling::{Losses, Settling};
use watch::DirectoryWatch;

/// A [`Store`] in a folder of a real filesystem.
pub struct Directory {
    folder: Arc<Folder>,
    read_only: bool,
    /// Whether syncfs does all that is wanted of it there.
    syncs_whole: bool,
    closed: Arc<Closed>,
    held: Held,
    pins: Option<Box<PinFolder>>,
    settling: Arc<Settling>,
}

/// Files that were written to and closed here, since somebody watches: what is told of them is no news.
#[derive(Default)]
pub(super) struct Closed {
    is_watched: AtomicBool,
    files: Mutex<HashMap<CString, Identity>>,
}

struct DirectoryFile {
    /// For reading only until something is written: closing it would otherwise look like a change.
    file: File,
    is_writable: AtomicBool,
    is_read_only: bool,
    /// Its times are the machine's own.
    has_marks: bool,
    closed: Arc<Closed>,
    folder: Arc<Folder>,
    path: CString,
    identity: Identity,
    /// Where the file ended when it was opened, until something is written to it. A read that stops there has reached
    /// the end and need not ask for more.
    end: AtomicU64,
    /// What reads go to instead, since `file` fails.
    renewed: Mutex<Option<Arc<File>>>,
    /// How often the folder was mounted anew before it was opened.
    renewals: u64,
    settling: Arc<Settling>,
    /// Connections that were lost before it was opened.
    since: Losses,
}

const NO_END: u64 = u64::MAX;

impl Directory {
    /// Opens the backing folder at `path`; its sub-folders are made when first needed. Whoever writes has the volume's lock
    /// (`Folder::lock`). Read-only on request, and where
    /// the filesystem or its permissions allow no more.
    ///
    /// # Errors
    ///
    /// The folder does not exist or cannot be opened.
    pub fn open(path: &Path, read_only: bool) -> io::Result<Directory> {
        let folder = Folder::open(path)?;
        let read_only = read_only || folder.is_read_only()?;
        let syncs_whole = filesystem::syncs_whole(folder.root())?;
        let held = Held::new(filesystem::holds_space(folder.root())?);
        folder.mark();
        if !read_only {
            folder.keep_locked();
        }
        let (folder, closed) = (Arc::new(folder), Arc::default());
        let settling = Arc::new(Settling::new(!syncs_whole));
        Ok(Directory { folder, read_only, syncs_whole, closed, held, pins: None, settling })
    }

    /// The backing folder itself, for the files in it that are no chunk files.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.read_only { Err(io::Error::from_raw_os_error(libc::EROFS)) } else { Ok(()) }
    }

    fn file(
        &self,
        path: CString,
        (file, status): (File, files::Status),
        is_writable: bool,
    ) -> Arc<dyn StoreFile> {
        let (folder, closed) = (Arc::clone(&self.folder), Arc::clone(&self.closed));
        let (end, is_writable) = (AtomicU64::new(status.length), is_writable.into());
        let identity = status.identity;
        let renewals = self.folder.renewals.load(Ordering::Acquire);
        let settling = Arc::clone(&self.settling);
        Arc::new(DirectoryFile {
            file,
            is_writable,
            is_read_only: self.read_only,
            has_marks: self.syncs_whole,
            closed,
            folder,
            path,
            identity,
            end,
            renewed: Mutex::default(),
            renewals,
            since: settling.losses(),
            settling,
        })
    }
}

fn c_path(name: FileName) -> CString {
    CString::new(name.path()).expect("hex digits and slashes")
}

impl Store for Directory {
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        let path = c_path(name);
        let opened = self.again(|| self.folder.open_file(&path, OFlags::RDONLY))?;
        Ok(self.file(path, opened, false))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>> {
        self.check_writable()?;
        let path = c_path(name);
        let created = self.again(|| match self.folder.create_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.folder.make_way(&path)?;
                self.folder.create_file(&path)
            }
            created => created,
        })?;
        Ok(self.file(path, created, true))
    }

    fn has_placeholder(&self, name: FileName) -> bool {
        let is_file = |path: CString| {
            let status = files::status_of(self.folder.root(), &path);
            status.is_ok_and(|status| status.kind == Kind::Regular)
        };
        placeholders_of(&name.path()).any(|path| CString::new(path).is_ok_and(is_file))
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.check_writable()?;
        self.again(|| match name.area {
            Area::Chunks => self.folder.unlink(&c_path(name)),
            // Who has one removed cannot begin another while a folder stands there.
            Area::Journals => self.folder.make_way(&c_path(name)),
        })
    }

    fn sync_names(&self, names: &[FileName]) -> io::Result<()> {
        let folder = |name: &FileName| match name.area {
            Area::Chunks => CString::new(format!("chunks/{:02x}", name.bytes[0])).expect("hex digits"),
            Area::Journals => c"journals".to_owned(),
        };
        self.renewing(|| self.folder.sync_folders(names.iter().map(folder).collect::<BTreeSet<_>>()))
    }

    fn sync_all(&self) -> io::Result<()> {
        self.renewing(|| filesystem::sync_filesystem(self.folder.root()))
    }

    fn sync_all_is_complete(&self) -> bool {
        self.syncs_whole
    }

    fn list(&self, area: Area, visit: &mut dyn FnMut(&[u8], bool)) -> io::Result<()> {
        self.settled(|| match area {
            Area::Journals => self.folder.visit(c"journals", &mut |name, kind| {
                visit(name.to_bytes(), kind == Kind::Regular);
                Ok(())
            }),
            Area::Chunks => self.folder.visit(c"chunks", &mut |fan_out, kind| {
                if kind != Kind::Folder || !is_fan_out(fan_out) {
                    visit(fan_out.to_bytes(), kind == Kind::Regular);
                }
                if kind != Kind::Folder {
                    return Ok(());
                }
                // A sync client's copy of a folder is looked into as well: it may hold copies of chunk files.
                let below = |name: &CStr| [fan_out.to_bytes(), b"/", name.to_bytes()].concat();
                let path = CString::new([b"chunks/", fan_out.to_bytes()].concat())?;
                self.folder.visit(&path, &mut |name, kind| {
                    visit(&below(name), kind == Kind::Regular);
                    Ok(())
                })
            }),
        })
    }

    fn open_copy(&self, name: &CopyName) -> io::Result<Arc<dyn StoreFile>> {
        let path = copies::path_of(name)?;
        let opened = self.settled(|| self.folder.open_file(&path, OFlags::RDONLY))?;
        Ok(self.file(path, opened, false))
    }

    fn age_of_copy(&self, name: &CopyName) -> io::Result<Duration> {
        files::age_of(self.folder.root(), &copies::path_of(name)?)
    }

    fn age_of_file(&self, name: FileName) -> io::Result<Duration> {
        files::age_of(self.folder.root(), &c_path(name))
    }

    fn exchange_copy(&self, name: &CopyName) -> io::Result<()> {
        self.with_copy(name, copies::exchange)
    }

    fn restore_copy(&self, name: &CopyName) -> io::Result<()> {
        self.with_copy(name, copies::give_name)
    }

    fn remove_copy(&self, name: &CopyName) -> io::Result<()> {
        self.check_writable()?;
        let path = copies::path_of(name)?;
        self.settled(|| self.folder.unlink(&path))
    }

    /// A network's server and another FUSE filesystem may give files any times.
    fn marks(&self, name: FileName) -> io::Result<Option<Marks>> {
        if self.syncs_whole { files::marks_of(self.folder.root(), &c_path(name)) } else { Ok(None) }
    }

    fn watch(&self) -> io::Result<Option<Box<dyn Watch>>> {
        Ok(Some(Box::new(DirectoryWatch::new(&self.folder, &self.closed)?)))
    }

    fn pins(&self) -> Option<&dyn Pins> {
        self.pins.as_deref().map(|pins| pins as &dyn Pins)
    }

    fn space(&self) -> io::Result<Space> {
        let usage = self.again(|| filesystem::usage(self.folder.root()))?;
        Ok(Space {
            block_size: usage.f_frsize,
            blocks: usage.f_blocks,
            free: usage.f_bfree,
            available: usage.f_bavail,
            inodes: usage.f_files,
            free_inodes: usage.f_ffree,
        })
    }

    fn hold(&self, bytes: u64) -> io::Result<bool> {
        self.check_writable()?;
        self.held.hold(self.folder.root(), bytes)
    }

    fn keep_back(&self, bytes: u64) -> io::Result<u64> {
        self.check_writable()?;
        self.held.keep_back(self.folder.root(), bytes)
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }
}

fn is_fan_out(name: &CStr) -> bool {
    matches!(name.to_bytes(), [_, _])
        && name.to_bytes().iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl DirectoryFile {
    /// Before anything is changed.
    fn make_writable(&self) -> io::Result<()> {
        self.end.store(NO_END, Ordering::Relaxed);
        if self.is_read_only {
            return Err(io::Error::from_raw_os_error(libc::EROFS));
        }
        if !self.is_writable.load(Ordering::Acquire) {
            files::make_writable(&self.file)?;
            self.is_writable.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl Drop for DirectoryFile {
    fn drop(&mut self) {
        if *self.is_writable.get_mut() && self.closed.is_watched.load(Ordering::Relaxed) {
            self.closed.files.lock().insert(std::mem::take(&mut self.path), self.identity);
        }
    }
}

impl StoreFile for DirectoryFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        let end = self.end.load(Ordering::Relaxed);
        while filled < out.len() && (filled == 0 || offset + filled as u64 != end) {
            match self.file.read_at(&mut out[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if renew::is_lost(&error) => {
                    self.settling.note_loss(self.since, &error);
                    match self.read_anew(offset + filled as u64, &mut out[filled..], error)? {
                        0 => break,
                        read => filled += read,
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.settled(|| {
            self.make_writable()?;
            files::write_all_at(&self.file, offset, parts)
        })
    }

    fn length(&self) -> io::Result<u64> {
        Ok(files::status(&self.file)?.length)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.settled(|| {
            self.make_writable()?;
            self.file.set_len(length)
        })
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.settled(|| {
            self.make_writable()?;
            match files::allocate(&self.file, 0..length) {
                Err(error) if is_unsupported(&error) => Ok(()),
                result => result,
            }
        })
    }

    fn expect(&self, bytes: Range<u64>) {
        files::read_ahead(&self.file, bytes);
    }

    fn start_sync(&self) {
        files::start_writing(&self.file);
    }

    fn sync(&self) -> io::Result<()> {
        self.settling.note(self.since, self.file.sync_data())
    }

    fn marks(&self) -> io::Result<Option<Marks>> {
        if self.has_marks { files::marks(&self.file) } else { Ok(None) }
    }

    fn is_current(&self) -> io::Result<bool> {
        match self.settled(|| files::status_of(self.folder.root(), &self.path)) {
            Ok(status) => Ok(status.identity == self.identity),
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
