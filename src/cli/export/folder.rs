//! An export into a folder. A file appears under its name when it is whole, metadata included: so an export that was
//! interrupted can go on.

use super::{Destination, Source};
use crate::cli::advice::{self, Failure};
use crate::sys::metadata::{self, Special};
use crate::sys::process;
use crate::volume::{Kind, Node, Record};
use hashbrown::HashSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bits that a change of owner or of an ACL may take away, set last.
const MODE: u32 = 0o7777;
/// The name that a file has until it is whole.
const PARTIAL: &str = ".cryptfs-export-partial";

pub struct Folder {
    top: PathBuf,
    /// A file of which a part is copied: in the destination, or beside a file that is exported alone. Never a name of its own
    /// folder, where the volume may have any other.
    partial: PathBuf,
    resume: bool,
    is_root: bool,
    not_kept: usize,
    /// What this run found or made, by device and inode number: where case does not count, two names are one.
    made: HashSet<(u64, u64)>,
}

impl Folder {
    /// `kind`: of what is exported. A folder may go into an empty folder, everything else under a new name. `is_taken`: names
    /// of what is exported.
    ///
    /// # Errors
    ///
    /// `Exit::NotEmpty`; `Exit::Failed` where something else is there, or it cannot be read.
    pub fn open(
        top: &Path,
        kind: Kind,
        resume: bool,
        is_taken: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Folder, Failure> {
        let system = |error: io::Error| advice::system(top.display(), &error);
        let is_folder = kind == Kind::Directory;
        match fs::read_dir(top) {
            Ok(mut entries) if is_folder => {
                if !resume && entries.next().is_some() {
                    return Err(advice::destination_not_empty(top));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) => return Err(system(io::ErrorKind::AlreadyExists.into())),
            Err(_) if resume && !is_folder => {}
            Err(error) => return Err(system(error)),
        }
        let mut partial = PARTIAL.to_owned();
        while is_taken(partial.as_bytes()) {
            partial.push('-');
        }
        let partial = if is_folder { top.join(partial) } else { top.with_file_name(partial) };
        let (top, is_root, made) = (top.to_owned(), process::is_root(), HashSet::new());
        Ok(Folder { top, partial, resume, is_root, not_kept: 0, made })
    }

    fn at(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() { self.top.clone() } else { self.top.join(OsStr::from_bytes(path)) }
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

    /// Refuses the name of what this run put there itself, or, if it goes on with nothing, of anything.
    fn check_free(&self, at: &Path) -> io::Result<()> {
        let Ok(found) = fs::symlink_metadata(at) else { return Ok(()) };
        let is_free = self.resume && !self.made.contains(&(found.dev(), found.ino()));
        if is_free { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) }
    }

    fn note(&mut self, at: &Path) {
        if let Ok(found) = fs::symlink_metadata(at) {
            self.made.insert((found.dev(), found.ino()));
        }
    }

    /// Owner, xattrs, mode, times, in an order in which none undoes another; what the destination has no place for is counted.
    fn dress(&mut self, at: &Path, record: &Record) {
        if self.is_root {
            self.count(std::os::unix::fs::lchown(at, Some(record.uid), Some(record.gid)));
        }
        for (name, value) in &record.extension.xattrs {
            self.count(metadata::set_xattr(at, name, value));
        }
        if record.kind != Kind::Symlink {
            self.count(fs::set_permissions(at, Permissions::from_mode(record.mode & MODE)));
        }
        let moment = |time: crate::volume::Timestamp| (time.seconds, time.nanoseconds);
        self.count(metadata::set_times(at, moment(record.accessed), moment(record.modified)));
    }

    fn count(&mut self, set: io::Result<()>) {
        self.not_kept += usize::from(set.is_err());
    }

    /// Copies a file to where it is until it is whole.
    fn copy(&mut self, record: &Record, source: &mut Source<'_>) -> io::Result<()> {
        remove(&self.partial)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.partial)?;
        source.copy(&mut |offset, bytes| file.write_all_at(bytes, offset))?;
        file.set_len(source.size)?;
        self.dress(&self.partial.clone(), record);
        if !source.lost.is_empty() {
            // With a time of its own, so that the next attempt takes it for another file.
            file.set_modified(SystemTime::now())?;
        }
        Ok(())
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
    fn folder(&mut self, path: &[u8], _: &Record) -> io::Result<()> {
        let at = self.at(path);
        match DirBuilder::new().mode(0o700).create(&at) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // The destination itself, to which a symlink may lead.
                if path.is_empty() && fs::metadata(&at)?.is_dir() {
                    return Ok(());
                }
                // From an earlier run; then perhaps with the modes that it is to have.
                if !fs::symlink_metadata(&at)?.is_dir() {
                    return Err(error);
                }
                self.count(fs::set_permissions(&at, Permissions::from_mode(0o700)));
                Ok(())
            }
            made => made,
        }
    }

    fn finish_folder(&mut self, path: &[u8], record: &Record) -> io::Result<()> {
        self.dress(&self.at(path), record);
        Ok(())
    }

    fn file(&mut self, path: &[u8], node: &Node, source: &mut Source<'_>) -> io::Result<()> {
        let at = self.at(path);
        self.check_free(&at)?;
        if !(self.is_there(&at, &node.record) && source.lost.is_empty()) {
            let copied = self.copy(&node.record, source).and_then(|()| fs::rename(&self.partial, &at));
            if copied.is_err() {
                let _ = remove(&self.partial);
            }
            copied?;
        }
        self.note(&at);
        Ok(())
    }

    fn link(&mut self, path: &[u8], to: &[u8]) -> io::Result<()> {
        let (at, to) = (self.at(path), self.at(to));
        let of = |path: &Path| fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()));
        if self.resume && of(&at).is_some() && of(&at) == of(&to) {
            // From an earlier run.
            return Ok(());
        }
        self.check_free(&at)?;
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
        self.check_free(&at)?;
        if self.is_there(&at, record) {
            self.note(&at);
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
        self.dress(&at, record);
        self.note(&at);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn goes_on_after(&self, error: &io::Error) -> bool {
        metadata::concerns_one_file(error)
    }

    fn not_kept(&self) -> usize {
        self.not_kept
    }
}
