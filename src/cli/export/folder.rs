//! An export into a folder. A file appears under its name when it is whole, metadata included: so an export that was
//! interrupted can go on.

use super::{Destination, Source};
use crate::cli::advice::{self, Failure};
use crate::sys::metadata::{self, Special};
use crate::sys::process;
use crate::volume::{Kind, Node, Record};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bits that a change of owner or of an ACL may take away, set last.
const MODE: u32 = 0o7777;

pub struct Folder {
    top: PathBuf,
    resume: bool,
    is_root: bool,
    not_kept: usize,
}

impl Folder {
    /// `kind`: of what is exported. A folder may go into an empty folder, everything else under a new name.
    ///
    /// # Errors
    ///
    /// `Exit::NotEmpty`; `Exit::Failed` where something else is there, or it cannot be read.
    pub fn open(top: &Path, kind: Kind, resume: bool) -> Result<Folder, Failure> {
        let system = |error: io::Error| advice::system(top.display(), &error);
        match fs::read_dir(top) {
            Ok(mut entries) if kind == Kind::Directory => {
                if !resume && entries.next().is_some() {
                    return Err(advice::destination_not_empty(top));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) => return Err(system(io::ErrorKind::AlreadyExists.into())),
            Err(_) if resume && kind != Kind::Directory => {}
            Err(error) => return Err(system(error)),
        }
        Ok(Folder { top: top.to_owned(), resume, is_root: process::is_root(), not_kept: 0 })
    }

    fn at(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() { self.top.clone() } else { self.top.join(OsStr::from_bytes(path)) }
    }

    /// A name beside a file for its parts.
    fn partial(at: &Path) -> PathBuf {
        // Names have at most 255 bytes: this one must not depend on theirs.
        at.with_file_name(".cryptfs-export-partial")
    }

    /// Whether what is there already is this inode, from an earlier run.
    fn is_there(&self, at: &Path, record: &Record) -> bool {
        let Ok(found) = fs::symlink_metadata(at) else { return false };
        let same_kind = match record.kind {
            Kind::File => found.is_file(),
            Kind::Symlink => found.is_symlink(),
            _ => !found.is_dir() && !found.is_file() && !found.is_symlink(),
        };
        let time = (found.mtime(), found.mtime_nsec())
            == (record.modified.seconds, record.modified.nanoseconds.into());
        self.resume && same_kind && time && (record.kind != Kind::File || found.len() == record.size)
    }

    /// Owner, xattrs, mode, times, in an order in which none undoes another.
    fn dress(&mut self, at: &Path, record: &Record) -> io::Result<()> {
        if self.is_root {
            std::os::unix::fs::lchown(at, Some(record.uid), Some(record.gid))?;
        }
        for (name, value) in &record.extension.xattrs {
            if metadata::set_xattr(at, name, value).is_err() {
                self.not_kept += 1;
            }
        }
        if record.kind != Kind::Symlink {
            fs::set_permissions(at, Permissions::from_mode(record.mode & MODE))?;
        }
        let moment = |time: crate::volume::Timestamp| (time.seconds, time.nanoseconds);
        metadata::set_times(at, moment(record.accessed), moment(record.modified))
    }
}

/// Removes a file, if there is one.
fn remove(at: &Path) -> io::Result<()> {
    match fs::remove_file(at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Destination for Folder {
    fn folder(&mut self, path: &[u8], _: &Node) -> io::Result<()> {
        let at = self.at(path);
        match DirBuilder::new().mode(0o700).create(&at) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // The destination itself, or from an earlier run; then perhaps with the modes that it is to have.
                if !fs::symlink_metadata(&at)?.is_dir() {
                    return Err(error);
                }
                if !path.is_empty() {
                    fs::set_permissions(&at, Permissions::from_mode(0o700))?;
                }
                Ok(())
            }
            made => made,
        }
    }

    fn finish_folder(&mut self, path: &[u8], node: &Node) -> io::Result<()> {
        self.dress(&self.at(path), &node.record)
    }

    fn file(&mut self, path: &[u8], node: &Node, source: &mut Source<'_>) -> io::Result<()> {
        let at = self.at(path);
        if self.is_there(&at, &node.record) && source.lost.is_empty() {
            return Ok(());
        }
        let partial = Folder::partial(&at);
        remove(&partial)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        source.copy(&mut |offset, bytes| file.write_all_at(bytes, offset))?;
        file.set_len(source.size)?;
        self.dress(&partial, &node.record)?;
        if !source.lost.is_empty() {
            // With a time of its own, so that the next attempt takes it for another file.
            file.set_modified(SystemTime::now())?;
        }
        fs::rename(&partial, &at)
    }

    fn link(&mut self, path: &[u8], to: &[u8]) -> io::Result<()> {
        let (at, to) = (self.at(path), self.at(to));
        match fs::hard_link(&to, &at) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.resume => {
                fs::remove_file(&at)?;
                fs::hard_link(&to, &at)
            }
            linked => linked,
        }
    }

    fn special(&mut self, path: &[u8], node: &Node) -> io::Result<()> {
        let (at, record) = (self.at(path), &node.record);
        if self.is_there(&at, record) {
            return Ok(());
        }
        if self.resume {
            remove(&at)?;
        }
        let make = |special| metadata::make_special(&at, special, crate::cli::look::device(record));
        match record.kind {
            Kind::Symlink => std::os::unix::fs::symlink(OsStr::from_bytes(&record.extension.target), &at),
            Kind::Fifo => make(Special::Fifo),
            Kind::Socket => make(Special::Socket),
            Kind::CharDevice => make(Special::CharDevice),
            Kind::BlockDevice => make(Special::BlockDevice),
            Kind::File | Kind::Directory => Err(io::ErrorKind::Unsupported.into()),
        }?;
        self.dress(&at, record)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn not_kept(&self) -> usize {
        self.not_kept
    }
}
