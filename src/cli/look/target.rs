//! Which volume is meant, and opening it to be read: with its lock as a mount takes it, or beside the mount.

use crate::chunk::{Forgetful, InodeId, Recall};
use crate::cli::advice::{self, Failure};
use crate::cli::args::Unlock;
use crate::cli::look_args::Where;
use crate::cli::unlock::Unlocked;
use crate::cli::{assemble, mount, report, unlock};
use crate::store::folder::{Folder, Lock, LockError};
use crate::volume::{self, Kind, Node, Reader};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A volume that is read.
pub struct Opened {
    pub reader: Reader,
    /// What of its journals cannot be read.
    pub journals: Vec<volume::Error>,
    pub unlocked: Unlocked,
    /// What this device remembers of the volume's chunks.
    pub recall: Arc<dyn Recall>,
    /// It is mounted.
    pub is_beside: bool,
    /// What is looked at, without a slash at the start or the end.
    pub path: Vec<u8>,
    _unmounted: Option<Lock>,
}

/// What could not be read, to be told at the end.
#[derive(Default)]
pub struct Unread {
    lines: Vec<String>,
}

/// The folder and the path that `VOLUME[:PATH]` stands for: of the colons the first behind the name of a folder.
pub fn split(target: &OsStr) -> (PathBuf, Vec<u8>) {
    let bytes = target.as_bytes();
    let colons = (0..bytes.len()).filter(|at| bytes[*at] == b':');
    let is_folder = |end: &usize| Path::new(OsStr::from_bytes(&bytes[..*end])).is_dir();
    match Some(bytes.len()).into_iter().chain(colons).find(is_folder) {
        Some(end) => {
            let names = bytes.get(end + 1..).unwrap_or_default().split(|byte| *byte == b'/');
            let names: Vec<&[u8]> = names.filter(|name| !name.is_empty()).collect();
            (PathBuf::from(OsStr::from_bytes(&bytes[..end])), names.join(&b'/'))
        }
        None => (PathBuf::from(target), Vec::new()),
    }
}

/// Whether a path, or what of it is there already, lies in a folder or is it.
pub fn is_within(path: &Path, folder: &Path) -> bool {
    let there = path.ancestors().find_map(|above| match above.as_os_str().is_empty() {
        true => Path::new(".").canonicalize().ok(),
        false => above.canonicalize().ok(),
    });
    there.zip(folder.canonicalize().ok()).is_some_and(|(there, folder)| there.starts_with(folder))
}

impl Opened {
    /// Opens the volume; says so on stderr if it is mounted, and which journals cannot be read.
    ///
    /// # Errors
    ///
    /// As for [`Opened::open_at`].
    pub fn open(at: &Where) -> Result<Opened, Failure> {
        let (backing, path) = split(&at.target);
        let opened = Opened::open_at(&backing, path, &at.unlock)?;
        if opened.is_beside {
            report::complain(&advice::read_beside_mount());
        }
        for error in &opened.journals {
            report::complain(&advice::unread_journal(&advice::reading(opened.reader.context(), error)));
        }
        Ok(opened)
    }

    /// The same, saying nothing.
    ///
    /// # Errors
    ///
    /// `Exit::NotAVolume` without such a folder; `Exit::Failed` where it cannot be locked; as for [`unlock::unlock`]
    /// and [`assemble::reader`].
    pub fn open_at(backing: &Path, path: Vec<u8>, how: &Unlock) -> Result<Opened, Failure> {
        let folder = Folder::open(backing).map_err(|_| advice::no_folder(backing))?;
        // Any other trouble with the lock means that the folder is no volume, which unlocking tells better.
        let lock = mount::lock_once_written(&folder, backing);
        let unlocked = unlock::unlock(backing, how)?;
        let lock = match lock {
            Ok(lock) => Some(lock),
            Err(LockError::Held) => None,
            Err(error) => return Err(advice::locking(backing, &error)),
        };
        let recall: Arc<dyn Recall> = match lock {
            Some(_) => assemble::remembered(&unlocked.trust),
            // The mount has it.
            None => Arc::new(Forgetful),
        };
        let (reader, journals) =
            assemble::reader(backing, &unlocked.opened, &unlocked.trust, recall.clone())?;
        Ok(Opened { reader, journals, unlocked, recall, is_beside: lock.is_none(), path, _unmounted: lock })
    }

    /// What the path stands for.
    ///
    /// # Errors
    ///
    /// `Exit::NoSuchPath`; `Exit::Unreadable` where a folder on the way cannot be read.
    pub fn found(&self) -> Result<(InodeId, Kind), Failure> {
        self.reader.find(&self.path).map_err(|error| self.failure(&error))
    }

    /// The inode that the path stands for.
    ///
    /// # Errors
    ///
    /// As for [`Opened::found`], and of the inode.
    pub fn node(&self) -> Result<Node, Failure> {
        let (id, _) = self.found()?;
        self.reader.node(id).map_err(|error| self.failure(&error))
    }

    /// Why what the path stands for cannot be shown.
    pub fn failure(&self, error: &volume::Error) -> Failure {
        match error {
            volume::Error::NotFound | volume::Error::NotDirectory => {
                advice::no_such_path(Path::new(OsStr::from_bytes(&self.path)))
            }
            error => advice::unreadable(
                &advice::escape(&self.path),
                &advice::reading(self.reader.context(), error),
            ),
        }
    }

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    ///
    /// What the reader says of the directory.
    pub fn children(&self, directory: &Node) -> volume::Result<Vec<(Vec<u8>, InodeId, Kind)>> {
        let entries = self.reader.entries(directory)?;
        let mut children: Vec<_> =
            entries.iter_after(0).map(|entry| (entry.name.to_vec(), entry.inode, entry.kind)).collect();
        children.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(children)
    }
}

impl Unread {
    pub fn add(&mut self, opened: &Opened, path: &[u8], error: &volume::Error) {
        let what = advice::reading(opened.reader.context(), error);
        self.lines.push(format!("{}: {what}", advice::escape(path)));
    }

    /// A remark of the command's own.
    pub fn remark(&mut self, path: &[u8], what: &str) {
        self.lines.push(format!("{}: {what}", advice::escape(path)));
    }

    /// Tells all of it.
    ///
    /// # Errors
    ///
    /// `Exit::Unreadable` if there is any.
    pub fn tell(self) -> Result<(), Failure> {
        self.lines.iter().for_each(|line| report::complain(line));
        if self.lines.is_empty() { Ok(()) } else { Err(advice::some_unread(self.lines.len())) }
    }
}

/// A path's name in a folder.
pub fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_colons_the_first_behind_a_folder_counts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a:b")).unwrap();
        let at = |rest: &str| {
            let (backing, path) = split(folder.path().join(rest).as_os_str());
            let backing = backing.strip_prefix(folder.path()).unwrap().to_owned();
            (backing.to_str().unwrap().to_owned(), String::from_utf8(path).unwrap())
        };
        assert_eq!(at("a:b"), ("a:b".into(), String::new()));
        assert_eq!(at("a:b:/c//d:e/"), ("a:b".into(), "c/d:e".into()));
        assert_eq!(at("missing:c"), ("missing:c".into(), String::new()));
    }
}
