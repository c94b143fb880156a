//! `cryptfs import`: a folder or file copied into a volume, without a mount.

use super::advice::{self, Failure};
use super::look::{Unread, below, is_within, split};
use super::look_args::Import;
use super::mount::lock_once_written;
use super::{assemble, unlock};
use crate::chunk::BLOCK;
use crate::store::folder::Folder;
use crate::sys::metadata::{next_data, open_to_copy, xattrs};
use crate::volume::{self, Error, Inode, Kind, NewInode, Timestamp, Volume};
use hashbrown::HashMap;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Bytes read at a time: whole blocks. A piece of zeros becomes a hole.
const PIECE: usize = 256 << 10;
/// Bytes, to which a name can still be added.
const LONG_PATH: usize = 2 << 10;

/// Copies what was named into the volume, and closes that.
///
/// # Errors
///
/// As for [`unlock::unlock`] and [`assemble::volume`]; `Exit::InUse` where the volume is mounted; `Exit::Failed` where there
/// is no such source, `Exit::Usage` where it lies in the backing folder or the path cannot be one, `Exit::NoSuchPath` where
/// the path leads to no folder; `Exit::Unreadable` where part of it could not be copied: the rest is there.
/// `Exit::BadVolume` where the volume cannot be written.
pub fn run(arguments: &Import) -> Result<(), Failure> {
    let (backing, path) = split(&arguments.target);
    let folder = Folder::open(&backing).map_err(|_| advice::no_folder(&backing))?;
    let source = &arguments.source;
    let look = Source::look(source).map_err(|error| advice::system(source.display(), &error))?;
    if is_within(source, &backing) {
        return Err(advice::import_of_itself(source));
    }
    let lock = lock_once_written(&folder, &backing);
    let unlocked = unlock::unlock(&backing, &arguments.unlock)?;
    let _unmounted = lock.map_err(|error| advice::locking(&backing, &error))?;
    let failed = |error: Error| advice::volume(&backing, &error);
    let itself = fs::metadata(&backing).map_err(|error| advice::system(backing.display(), &error))?;
    let volume = assemble::volume(&backing, &unlocked.opened, &unlocked.trust, false)?;
    volume.start().map_err(failed)?;
    volume.follow();
    // Hidden by itself where stderr is no terminal.
    let bar = ProgressBar::new_spinner().with_style(style());
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut copying = Copying {
        volume: &volume,
        itself: (itself.dev(), itself.ino()),
        resume: arguments.resume,
        first: HashMap::new(),
        unread: Unread::default(),
        bar,
    };
    let copied = match copying.target(&path) {
        Ok(at) => copying.all(source, &look, &at, &path).map_err(failed),
        Err(error @ (Error::NotDirectory | Error::Invalid | Error::NameTooLong)) => {
            Err(advice::no_folder_to_import_into(&path, &error))
        }
        Err(error) => Err(failed(error)),
    };
    copying.bar.finish_and_clear();
    let closed = volume.close().map_err(failed);
    // What was left out until then is told also where it ended early.
    let told = copying.unread.tell();
    copied.and(closed).and(told)
}

fn style() -> ProgressStyle {
    let template = "{spinner} {bytes} in {elapsed}, {binary_bytes_per_sec}  {wide_msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

struct Copying<'a> {
    volume: &'a Arc<Volume>,
    /// The backing folder's device and inode number.
    itself: (u64, u64),
    resume: bool,
    /// What has several names, by device and inode number.
    first: HashMap<(u64, u64), Arc<Inode>>,
    unread: Unread,
    bar: ProgressBar,
}

/// A file's own attributes.
struct Source {
    metadata: Metadata,
    kind: Kind,
    xattrs: Vec<(Box<[u8]>, Vec<u8>)>,
    target: Vec<u8>,
}

impl Source {
    fn look(at: &Path) -> io::Result<Source> {
        let metadata = fs::symlink_metadata(at)?;
        let of = metadata.file_type();
        let kind = match () {
            () if of.is_dir() => Kind::Directory,
            () if of.is_symlink() => Kind::Symlink,
            () if of.is_fifo() => Kind::Fifo,
            () if of.is_socket() => Kind::Socket,
            () if of.is_char_device() => Kind::CharDevice,
            () if of.is_block_device() => Kind::BlockDevice,
            () => Kind::File,
        };
        let target = match kind {
            Kind::Symlink => fs::read_link(at)?.into_os_string().into_vec(),
            _ => Vec::new(),
        };
        let mut xattrs: Vec<_> =
            xattrs(at)?.into_iter().map(|(name, value)| (name.into_boxed_slice(), value)).collect();
        xattrs.sort_unstable();
        Ok(Source { metadata, kind, xattrs, target })
    }

    fn modified(&self) -> Timestamp {
        Timestamp { seconds: self.metadata.mtime(), nanoseconds: self.metadata.mtime_nsec() as u32 }
    }

    fn accessed(&self) -> Timestamp {
        Timestamp { seconds: self.metadata.atime(), nanoseconds: self.metadata.atime_nsec() as u32 }
    }

    fn as_new(&self) -> NewInode<'_> {
        NewInode {
            kind: self.kind,
            mode: self.metadata.mode() & 0o7777,
            uid: self.metadata.uid(),
            gid: self.metadata.gid(),
            device: match self.kind {
                Kind::CharDevice | Kind::BlockDevice => self.metadata.rdev() as u32,
                _ => 0,
            },
            target: &self.target,
            xattrs: self.xattrs.clone(),
            now: Timestamp::now(),
        }
    }
}

impl Copying<'_> {
    /// The folder of a path; those on the way are made.
    fn target(&self, path: &[u8]) -> volume::Result<Arc<Inode>> {
        let mut at = self.volume.root()?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            at = match self.volume.lookup(&at, name)? {
                Some(folder) => folder,
                None => self.volume.create(&at, name, folder_of(&at))?,
            };
        }
        if is(&at, Kind::Directory) { Ok(at) } else { Err(Error::NotDirectory) }
    }

    /// What a folder holds goes into the folder of that path, everything else under its own name.
    fn all(&mut self, source: &Path, look: &Source, at: &Arc<Inode>, path: &[u8]) -> volume::Result<()> {
        match look.kind {
            Kind::Directory => self.folder(source, at, look, path, path.is_empty()),
            _ => {
                let name = source.file_name().unwrap_or_default().as_bytes();
                self.one(source, at, name, &below(path, name))
            }
        }
    }

    fn skip(&mut self, path: &[u8], error: &io::Error) -> volume::Result<()> {
        self.leave(path, &advice::plain(error));
        Ok(())
    }

    fn leave(&mut self, path: &[u8], why: &str) {
        self.unread.remark(path, &format!("not imported: {why}"));
    }

    /// `keeps_own`: the volume's root keeps its attributes.
    fn folder(
        &mut self,
        source: &Path,
        directory: &Arc<Inode>,
        look: &Source,
        path: &[u8],
        keeps_own: bool,
    ) -> volume::Result<()> {
        let mut names = Vec::new();
        let near = near(source);
        let source = near.as_ref().map_or(source, |(_, path)| path);
        match fs::read_dir(source) {
            Err(error) => self.skip(path, &error)?,
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) => names.push(entry.file_name()),
                        Err(error) => self.skip(path, &error)?,
                    }
                }
            }
        }
        names.sort_unstable();
        for name in names {
            let path = below(path, name.as_bytes());
            match self.one(&source.join(&name), directory, name.as_bytes(), &path) {
                Err(error) if concerns_one_file(&error) => self.leave(&path, &error.to_string()),
                copied => copied?,
            }
        }
        if keeps_own { Ok(()) } else { self.dress(directory, look) }
    }

    fn one(&mut self, source: &Path, directory: &Arc<Inode>, name: &[u8], path: &[u8]) -> volume::Result<()> {
        let look = match Source::look(source) {
            Ok(look) => look,
            Err(error) => return self.skip(path, &error),
        };
        self.bar.set_message(advice::escape(path));
        let id = (look.metadata.dev(), look.metadata.ino());
        if id == self.itself {
            self.leave(path, "it is the volume's own folder");
            return Ok(());
        }
        let has_names = look.kind != Kind::Directory && look.metadata.nlink() > 1;
        let there = self.volume.lookup(directory, name)?;
        if let Some(first) = self.first.get(&id).filter(|_| has_names && there.is_none()) {
            match self.volume.link(first, directory, name, Timestamp::now()) {
                // Its record has no room for more: this one, and those after it, are names of a copy.
                Err(Error::TooManyLinks) => {
                    self.unread.remark(path, "is a copy: a file cannot have so many names");
                }
                linked => return linked,
            }
        }
        // Before anything is made in the volume.
        let file = match look.kind {
            Kind::File => match open_to_copy(source) {
                Ok(file) => Some(file),
                Err(error) => return self.skip(path, &error),
            },
            _ => None,
        };
        let inode = match there {
            Some(there) if look.kind == Kind::Directory && is(&there, Kind::Directory) => there,
            Some(there) if self.resume && is_same(&there, &look) => {
                if has_names {
                    self.first.insert(id, there);
                }
                return Ok(());
            }
            Some(there) if self.resume && may_go_on(&there, &look) => {
                if look.kind == Kind::File {
                    self.volume.resize(&there, 0, None, 0)?;
                }
                there
            }
            Some(_) => {
                self.unread.remark(path, advice::IN_THE_WAY);
                return Ok(());
            }
            None if !look.as_new().has_room() => {
                self.leave(path, "its extended attributes are larger than a file's may be");
                return Ok(());
            }
            None => self.volume.create(directory, name, look.as_new())?,
        };
        if has_names {
            self.first.insert(id, inode.clone());
        }
        if look.kind == Kind::Directory {
            self.folder(source, &inode, &look, path, false)?;
        } else {
            match file.map_or(Ok(Ok(())), |file| self.content(&file, &inode))? {
                Ok(()) => self.dress(&inode, &look)?,
                Err(error) => {
                    self.unread.remark(path, &format!("imported in part: {}", advice::plain(&error)));
                }
            }
        }
        if !has_names {
            self.volume.release(inode);
        }
        Ok(())
    }

    /// Content of a file: errors of the source apart from those of the volume.
    fn content(&mut self, file: &File, inode: &Arc<Inode>) -> volume::Result<io::Result<()>> {
        let (mut end, mut buffer) = (0, vec![0; PIECE]);
        loop {
            let data = match next_data(file, end) {
                Ok(Some(data)) => data,
                Ok(None) if end > 0 || !is_made_up(file) => break,
                Ok(None) => 0..u64::MAX,
                Err(error) => return Ok(Err(error)),
            };
            // Whole blocks, of which part may be a hole.
            end = data.start - data.start % BLOCK as u64;
            while end < data.end {
                let wanted = (data.end - end).min(PIECE as u64) as usize;
                let filled = match fill(file, end, &mut buffer[..wanted]) {
                    Ok(filled) => filled,
                    Err(error) => return Ok(Err(error)),
                };
                let piece = &buffer[..filled];
                let is_hole = filled == PIECE && piece.iter().all(|byte| *byte == 0);
                if !is_hole && filled > 0 {
                    self.volume.write(inode, end, piece, None, 0)?;
                }
                end += filled as u64;
                self.bar.inc(filled as u64);
                if filled < wanted {
                    break;
                }
            }
            if end < data.end {
                break;
            }
        }
        let size = file.metadata().map_or(end, |metadata| metadata.len().max(end));
        self.volume.resize(inode, size, None, 0)?;
        Ok(Ok(()))
    }

    /// Owner, mode and times, which what was done since may have changed.
    fn dress(&self, inode: &Arc<Inode>, look: &Source) -> volume::Result<()> {
        let new = look.as_new();
        self.volume.update(inode, |record| {
            (record.mode, record.uid, record.gid) = (new.mode, new.uid, new.gid);
            (record.accessed, record.modified) = (look.accessed(), look.modified());
            record.extension.xattrs = new.xattrs;
            Ok(())
        })
    }
}

fn is(inode: &Inode, kind: Kind) -> bool {
    inode.view(|record| record.kind == kind)
}

/// A short path to a folder that has a long one, of which the kernel takes 4 KiB at once; good for as long as the file is.
fn near(folder: &Path) -> Option<(File, PathBuf)> {
    if folder.as_os_str().len() < LONG_PATH {
        return None;
    }
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let opened = File::options().read(true).custom_flags(flags).open(folder).ok()?;
    let path = format!("/proc/self/fd/{}", opened.as_raw_fd()).into();
    Some((opened, path))
}

/// Whether an earlier import brought this already.
fn is_same(there: &Inode, look: &Source) -> bool {
    there.view(|record| {
        let same_size = look.kind != Kind::File || record.size == look.metadata.len();
        record.kind == look.kind && record.modified == look.modified() && same_size
    })
}

/// Whether what an earlier import began can be ended: it was there before it had its attributes.
fn may_go_on(there: &Inode, look: &Source) -> bool {
    let new = look.as_new();
    there.view(|record| {
        let same = record.device == new.device && record.extension.target == new.target;
        record.kind == look.kind && same && look.kind != Kind::Directory
    })
}

/// Whether a file may have content although it has no length, as those of /proc do.
fn is_made_up(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.len() == 0 && metadata.blocks() == 0)
}

/// Reads as much as there is.
fn fill(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether the volume goes on without that one.
fn concerns_one_file(error: &Error) -> bool {
    match error {
        Error::NotFound
        | Error::Exists
        | Error::NotDirectory
        | Error::IsDirectory
        | Error::NotEmpty
        | Error::Invalid
        | Error::NameTooLong
        | Error::FileTooLarge
        | Error::TooManyLinks
        | Error::Damaged(..)
        | Error::NotArrived(_) => true,
        Error::NoSpace | Error::ReadOnly | Error::Stopped | Error::Store(_) => false,
    }
}

/// A folder that is made on the way.
fn folder_of(parent: &Inode) -> NewInode<'static> {
    let (uid, gid) = parent.view(|record| (record.uid, record.gid));
    let (target, xattrs): (&[u8], _) = (b"", Vec::new());
    NewInode {
        kind: Kind::Directory,
        mode: 0o755,
        uid,
        gid,
        device: 0,
        target,
        xattrs,
        now: Timestamp::now(),
    }
}
