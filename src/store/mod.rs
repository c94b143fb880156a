//! Where chunk files lie.
//!
//! Knows names and bytes, no keys and no contents. Above: `chunk`, `volume`. Implementation: `directory`, a real
//! folder. Compiled for tests only: `memory`, `faulty` (errors on demand) and `power` (what a power cut may leave).

#[cfg(test)]
mod conformance;
pub mod directory;
#[cfg(test)]
pub mod faulty;
pub mod folder;
#[cfg(any(test, fuzzing))]
pub mod image;
#[cfg(any(test, fuzzing))]
pub mod memory;
mod pins;
#[cfg(test)]
pub mod power;
mod watch;

pub use crate::sys::files::Marks;
pub use pins::{PinName, Pinned, Pins};
pub use watch::{Ender, Seen, Watch};

use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;

/// The folder of the backing directory that a file lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Area {
    /// `chunks/xx/…`, fanned out by the first byte of the name.
    Chunks,
    /// `journals/…`.
    Journals,
}

/// The name of a chunk file: 16 bytes that look random, written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName {
    pub area: Area,
    pub bytes: [u8; 16],
}

impl FileName {
    /// The name of a file, given as its path below the area's folder; `None` if it is no chunk file's.
    pub fn parse(area: Area, path: &[u8]) -> Option<FileName> {
        let digits = match (area, path) {
            (Area::Chunks, [a, b, b'/', rest @ ..]) => [&[*a, *b], rest].concat(),
            (Area::Chunks, _) => return None,
            (Area::Journals, path) => path.to_vec(),
        };
        // Lower case only: a name in upper case was made by a cloud that does not keep case.
        let bytes = HEXLOWER.decode(&digits).ok()?.try_into().ok()?;
        Some(FileName { area, bytes })
    }

    /// The path below the backing directory: `chunks/a7/3f0c…` or `journals/a73f0c…`.
    pub fn path(&self) -> String {
        let hex = HEXLOWER.encode(&self.bytes);
        match self.area {
            Area::Chunks => format!("chunks/{}/{}", &hex[..2], &hex[2..]),
            Area::Journals => format!("journals/{hex}"),
        }
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// A sync client's copy of a chunk file, in the folder of that file, under a name that has the file's digits in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyName {
    /// The file it is a copy of.
    pub of: FileName,
    /// Its path below the area's folder.
    pub path: Vec<u8>,
}

impl CopyName {
    /// Of a path below `chunks/`; `None` if no copy can have that name. The digits stand in it as a whole run. What is on its
    /// way and about to take a chunk file's place is no copy, nor is a placeholder.
    pub fn parse(path: &[u8]) -> Option<CopyName> {
        let [a, b, b'/', name @ ..] = path else { return None };
        if is_temporary(name) || placeholder_for(name).is_some() {
            return None;
        }
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let mut runs = name.split(|byte| !is_digit(byte)).filter(|run| run.len() == DIGITS);
        let digits = runs.next().filter(|run| run.len() < name.len())?;
        let of = FileName::parse(Area::Chunks, &[&[*a, *b, b'/'][..], digits].concat())?;
        Some(CopyName { of, path: path.to_vec() })
    }
}

/// How the names of placeholders end: small files that a client shows for those that it fetches on demand, where the real
/// ones would be ("virtual files" of Nextcloud, ownCloud and OpenCloud).
const PLACEHOLDER: [&str; 3] = [".nextcloud", ".owncloud", ".opencloud"];

/// The path of the file that this one is only a placeholder for.
pub fn placeholder_for(path: &[u8]) -> Option<&[u8]> {
    PLACEHOLDER.iter().find_map(|end| path.strip_suffix(end.as_bytes()))
}

/// The paths that a placeholder for this file may have.
pub fn placeholders_of(path: &str) -> impl Iterator<Item = String> {
    PLACEHOLDER.iter().map(move |end| format!("{path}{end}"))
}

/// Digits of a chunk file's name in its folder.
const DIGITS: usize = 30;
/// How the names of files end that clients are still writing.
const TEMPORARY: [&str; 3] = [".tmp", ".partial", ".part"];

/// Whether a client is still writing the file of this name, which it gives another one then.
pub fn is_temporary(name: &[u8]) -> bool {
    name.starts_with(b".") || TEMPORARY.iter().any(|end| name.ends_with(end.as_bytes()))
}

/// Space on the backing filesystem, in blocks of `block_size` bytes, as statfs(2) reports it.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    pub block_size: u64,
    pub blocks: u64,
    pub free: u64,
    pub available: u64,
    pub inodes: u64,
    pub free_inodes: u64,
}

/// A set of named files with explicit durability. Errors are `io::Error`s that carry the OS error number where there
/// is one; a missing file is `ErrorKind::NotFound`; whatever is not a regular file is refused with `InvalidData`.
pub trait Store: Send + Sync + 'static {
    /// Opens an existing file, for writing too unless the store is read-only.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidData` for what is no regular file, or lies behind a link; else open(2)'s.
    fn open(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>>;
    /// Makes a new empty file (and its folder). A file that already has the name is unlinked first.
    ///
    /// # Errors
    ///
    /// EROFS in a read-only store; ENOSPC, EDQUOT; else what making a file or its folder says.
    fn create(&self, name: FileName) -> io::Result<Arc<dyn StoreFile>>;
    /// Whether a client shows a placeholder for it, which it fetches when somebody asks the client to.
    fn has_placeholder(&self, _name: FileName) -> bool {
        false
    }
    /// Unlinks. Does not complain about a file that is not there.
    ///
    /// # Errors
    ///
    /// EROFS in a read-only store; EISDIR for a folder in a chunk file's place, while one in a journal's goes or, if it is
    /// not empty, is put aside; else unlink(2)'s.
    fn remove(&self, name: FileName) -> io::Result<()>;
    /// Makes the coming and going of these names durable: fsync of their folders, and of `chunks/` where one is new.
    ///
    /// # Errors
    ///
    /// fsync(2)'s. A failure is final: a power cut may take back what these names did since the last success.
    fn sync_names(&self, names: &[FileName]) -> io::Result<()>;
    /// Makes everything written so far durable, contents and names: syncfs.
    ///
    /// # Errors
    ///
    /// syncfs(2)'s. A failure is final, as for [`StoreFile::sync`].
    fn sync_all(&self) -> io::Result<()>;
    /// Whether that is as good as an fdatasync of every file: not on a network's or another FUSE filesystem.
    fn sync_all_is_complete(&self) -> bool {
        true
    }
    /// Visits every entry of an area: the path below the area and whether it is a regular file. Names that are no
    /// chunk names are visited too. Order is arbitrary.
    ///
    /// # Errors
    ///
    /// That of opening or reading a folder; what was visited before it stays visited. A missing folder is an empty
    /// one.
    fn list(&self, area: Area, visit: &mut dyn FnMut(&[u8], bool)) -> io::Result<()>;
    /// Opens a sync client's copy.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`]; `NotFound` in a store that sync clients do not see.
    fn open_copy(&self, _name: &CopyName) -> io::Result<Arc<dyn StoreFile>> {
        Err(io::ErrorKind::NotFound.into())
    }
    /// Since when it has had the names that it has.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Unsupported` in a store that sync clients do not see; else statx(2)'s.
    fn age_of_copy(&self, _name: &CopyName) -> io::Result<Duration> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Since when a chunk file has had its name.
    ///
    /// # Errors
    ///
    /// As for [`Store::age_of_copy`].
    fn age_of_file(&self, _name: FileName) -> io::Result<Duration> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Has one and the chunk file, which has to be there, exchange their names: at one moment, or where the filesystem cannot do
    /// that, so that the chunk file's name leads to one of them at each moment and the other one is a copy.
    ///
    /// # Errors
    ///
    /// `NotFound` unless both are there; EROFS; `Unsupported` as for [`Store::age_of_copy`].
    fn exchange_copy(&self, _name: &CopyName) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Gives one the name of the chunk file as well, by a hard link, unless something has that name. Where there are no hard links
    /// the chunk file is another one like it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`; `NotFound` without the copy; EROFS; `Unsupported` as for [`Store::age_of_copy`].
    fn restore_copy(&self, _name: &CopyName) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Unlinks one. Does not complain about a copy that is not there.
    ///
    /// # Errors
    ///
    /// As for [`Store::remove`].
    fn remove_copy(&self, _name: &CopyName) -> io::Result<()> {
        Ok(())
    }
    /// What tells whether a file was changed since, whoever did it; `None` where that is not certain.
    ///
    /// # Errors
    ///
    /// `NotFound`; else statx(2)'s.
    fn marks(&self, _name: FileName) -> io::Result<Option<Marks>> {
        Ok(None)
    }
    /// What notices what becomes of the files, whoever does it, once it has begun; `None` where that cannot be had.
    ///
    /// # Errors
    ///
    /// EMFILE where this user watches too many already.
    fn watch(&self) -> io::Result<Option<Box<dyn Watch>>> {
        Ok(None)
    }
    /// Keeps what clients replace; `None` where that cannot be had.
    fn pins(&self) -> Option<&dyn Pins> {
        None
    }
    /// How much space there is and how much is free.
    ///
    /// # Errors
    ///
    /// statfs(2)'s.
    fn space(&self) -> io::Result<Space>;
    /// Holds that many bytes of the backing filesystem in all, physically, beside what the files take, in the place of
    /// what was held before. False where that cannot be. After an error as much is held as before.
    ///
    /// # Errors
    ///
    /// ENOSPC, EDQUOT; EROFS in a read-only store; else fallocate(2)'s or ftruncate(2)'s.
    fn hold(&self, bytes: u64) -> io::Result<bool>;
    /// Where nothing can be held: keeps back so many bytes in all, which others may find a moment after they are given
    /// back, as best it can. Returns how many; after an error too there may be more or less than before.
    ///
    /// # Errors
    ///
    /// As [`Store::hold`].
    fn keep_back(&self, _bytes: u64) -> io::Result<u64> {
        Ok(0)
    }
    fn is_read_only(&self) -> bool;
}

/// One open file. Offsets and lengths are bytes.
pub trait StoreFile: Send + Sync {
    /// Reads until `out` is full or the file ends; returns the number of bytes read.
    ///
    /// # Errors
    ///
    /// pread(2)'s, where opening the file again does not help either; part of `out` may be filled.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Somebody will read these bytes soon: a disk may fetch them meanwhile.
    fn expect(&self, _bytes: Range<u64>) {}
    /// Writes everything or fails; after a failure any part may have been written.
    ///
    /// # Errors
    ///
    /// ENOSPC, EDQUOT, EFBIG; EROFS in a read-only store; else pwritev(2)'s, or that of opening the file for writing.
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;
    /// Bytes.
    ///
    /// # Errors
    ///
    /// statx(2)'s.
    fn length(&self) -> io::Result<u64>;
    /// Cuts the file, or makes it longer by zeros.
    ///
    /// # Errors
    ///
    /// EFBIG; EROFS in a read-only store; else ftruncate(2)'s, or that of opening the file for writing.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Allocates space up to `length`, growing the file; quietly does nothing where the filesystem cannot.
    ///
    /// # Errors
    ///
    /// ENOSPC, EDQUOT, with any part allocated; EROFS in a read-only store; else fallocate(2)'s.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Starts what `sync` will wait for, where several files are to be synced: the disk then works on all of them.
    fn start_sync(&self) {}
    /// fdatasync. A failure is final: what was written since the last success may be lost.
    ///
    /// # Errors
    ///
    /// fdatasync(2)'s: EIO, ENOSPC, EDQUOT.
    fn sync(&self) -> io::Result<()>;
    /// What tells whether it was changed since; `None` where that is not certain.
    ///
    /// # Errors
    ///
    /// statx(2)'s.
    fn marks(&self) -> io::Result<Option<Marks>> {
        Ok(None)
    }
    /// Whether the name this file was opened under still names it (a sync client may have replaced it).
    ///
    /// # Errors
    ///
    /// statx(2)'s; that nothing has the name any more is no error.
    fn is_current(&self) -> io::Result<bool>;
}
