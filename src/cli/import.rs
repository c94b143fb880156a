//! `cryptfs import`: a folder or file copied into a volume, without a mount.

use super::advice::{self, Failure};
use super::look::{Unread, below, split};
use super::look_args::Import;
use super::mount::lock_once_written;
use super::{assemble, unlock};
use crate::store::folder::Folder;
use crate::sys::metadata::xattrs;
use crate::volume::{self, Inode, Kind, NewInode, Timestamp, Volume};
use hashbrown::HashMap;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bytes read at a time: whole blocks. A piece of zeros becomes a hole.
const PIECE: usize = 256 << 10;

/// Copies what was named into the volume, and closes that.
///
/// # Errors
///
/// As for [`unlock::unlock`] and [`assemble::volume`]; `Exit::InUse` where the volume is mounted; `Exit::Unreadable`
/// where part of it could not be copied: the rest is there. `Exit::BadVolume` where the volume cannot be written.
pub fn run(arguments: &Import) -> Result<(), Failure> {
    let (backing, path) = split(&arguments.target);
    let folder = Folder::open(&backing).map_err(|_| advice::no_folder(&backing))?;
    let lock = lock_once_written(&folder, &backing);
    let unlocked = unlock::unlock(&backing, &arguments.unlock)?;
    let _unmounted = lock.map_err(|error| advice::locking(&backing, &error))?;
    let failed = |error: volume::Error| advice::volume(&backing, &error);
    let volume = assemble::volume(&backing, &unlocked.opened, &unlocked.trust, false)?;
    volume.start().map_err(failed)?;
    // Hidden by itself where stderr is no terminal.
    let bar = ProgressBar::new_spinner().with_style(style());
    bar.enable_steady_tick(Duration::from_millis(200));
    let (resume, first, unread) = (arguments.resume, HashMap::new(), Unread::default());
    let mut copying = Copying { volume: &volume, resume, first, unread, bar };
    let copied = copying.all(&arguments.source, &path);
    copying.bar.finish_and_clear();
    let closed = volume.close();
    copied.and(closed).map_err(failed)?;
    copying.unread.tell()
}

fn style() -> ProgressStyle {
    let template = "{spinner} {bytes} in {elapsed}, {binary_bytes_per_sec}  {wide_msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

struct Copying<'a> {
    volume: &'a Arc<Volume>,
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
    /// What a folder holds goes into the folder of that path, everything else under its own name; folders on the way are
    /// made.
    fn all(&mut self, source: &Path, path: &[u8]) -> volume::Result<()> {
        let look = match Source::look(source) {
            Ok(look) => look,
            Err(error) => return self.skip(source.as_os_str().as_bytes(), &error),
        };
        let mut at = self.volume.root()?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            at = match self.volume.lookup(&at, name)? {
                Some(folder) => folder,
                None => self.volume.create(&at, name, folder_of(&at))?,
            };
        }
        match look.kind {
            Kind::Directory => self.folder(source, &at, &look, path, path.is_empty()),
            _ => {
                let name = source.file_name().unwrap_or_default().as_bytes();
                self.one(source, &at, name, &below(path, name))
            }
        }
    }

    fn skip(&mut self, path: &[u8], error: &io::Error) -> volume::Result<()> {
        self.unread.remark(path, &format!("not imported: {}", advice::plain(error)));
        Ok(())
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
            self.one(&source.join(&name), directory, name.as_bytes(), &below(path, name.as_bytes()))?;
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
        let has_names = look.kind != Kind::Directory && look.metadata.nlink() > 1;
        let there = self.volume.lookup(directory, name)?;
        if let Some(first) = self.first.get(&id).filter(|_| has_names && there.is_none()) {
            return self.volume.link(first, directory, name, Timestamp::now());
        }
        let inode = match there {
            Some(there) if look.kind == Kind::Directory && is(&there, Kind::Directory) => there,
            Some(there) if self.resume && is_same(&there, &look) => {
                if has_names {
                    self.first.insert(id, there);
                }
                return Ok(());
            }
            Some(there) if self.resume && look.kind == Kind::File && is(&there, Kind::File) => {
                self.volume.resize(&there, 0, None, 0)?;
                there
            }
            Some(_) => return self.skip(path, &io::ErrorKind::AlreadyExists.into()),
            None => self.volume.create(directory, name, look.as_new())?,
        };
        if has_names {
            self.first.insert(id, inode.clone());
        }
        match look.kind {
            Kind::Directory => self.folder(source, &inode, &look, path, false)?,
            Kind::File => {
                let copied = self.content(source, &inode)?;
                match copied {
                    Ok(()) => self.dress(&inode, &look)?,
                    Err(error) => self.skip(path, &error)?,
                }
            }
            _ => self.dress(&inode, &look)?,
        }
        if !has_names {
            self.volume.release(inode);
        }
        Ok(())
    }

    /// Content of a file: errors of the source apart from those of the volume.
    fn content(&mut self, source: &Path, inode: &Arc<Inode>) -> volume::Result<io::Result<()>> {
        let (mut file, mut offset, mut buffer) = match File::open(source) {
            Ok(file) => (file, 0, vec![0; PIECE]),
            Err(error) => return Ok(Err(error)),
        };
        loop {
            let mut filled = 0;
            while filled < PIECE {
                match file.read(&mut buffer[filled..]) {
                    Ok(0) => break,
                    Ok(length) => filled += length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Ok(Err(error)),
                }
            }
            let piece = &buffer[..filled];
            if filled == PIECE && piece.iter().all(|byte| *byte == 0) {
                self.volume.resize(inode, offset + filled as u64, None, 0)?;
            } else {
                self.volume.write(inode, offset, piece, None, 0)?;
            }
            offset += filled as u64;
            self.bar.inc(filled as u64);
            if filled < PIECE {
                return Ok(Ok(()));
            }
        }
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

/// Whether an earlier import brought this already.
fn is_same(there: &Inode, look: &Source) -> bool {
    there.view(|record| {
        let same_size = look.kind != Kind::File || record.size == look.metadata.len();
        record.kind == look.kind && record.modified == look.modified() && same_size
    })
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
