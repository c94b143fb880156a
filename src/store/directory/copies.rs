//! Sync clients' copies: their names, exchanged with those of chunk files, also where the filesystem cannot exchange names or
//! give a file two of them (exFAT, network folders, other FUSE filesystems).

use super::{Directory, c_path};
use crate::store::CopyName;
use crate::store::folder::split;
use crate::sys::files::{self, OFlags};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, ErrorKind};

/// How the name ends of what is not written yet; nobody takes that for a copy.
const UNFINISHED: &[u8] = b".cryptfs.tmp";
/// Names that are tried for what is put aside.
const TRIES: usize = 8;

/// What a filesystem says that cannot do it at all.
fn is_impossible(error: &io::Error) -> bool {
    let known = [libc::EPERM, libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP, libc::EMLINK];
    error.raw_os_error().is_some_and(|number| known.contains(&number))
}

fn longer(name: &CStr, end: &[u8]) -> io::Result<CString> {
    Ok(CString::new([name.to_bytes(), end].concat())?)
}

pub(super) fn path_of(name: &CopyName) -> io::Result<CString> {
    Ok(CString::new([b"chunks/", &name.path[..]].concat())?)
}

impl Directory {
    /// Does something with the name of a copy and that of its chunk file, in their folder.
    pub(super) fn with_copy(
        &self,
        name: &CopyName,
        work: impl Fn(&File, &CStr, &CStr) -> io::Result<()>,
    ) -> io::Result<()> {
        self.check_writable()?;
        let (copy, file) = (path_of(name)?, c_path(name.of));
        let ((parent, copy), (_, file)) = (split(&copy), split(&file));
        self.settled(|| work(&self.folder.open_folder(&parent, OFlags::PATH)?, copy, file))
    }
}

/// Has two files exchange their names, at one moment where that can be had.
pub(super) fn exchange(parent: &File, copy: &CStr, file: &CStr) -> io::Result<()> {
    match files::exchange(parent, copy, file) {
        Err(error) if is_impossible(&error) => exchange_in_steps(parent, copy, file),
        exchanged => exchanged,
    }
}

/// At each moment the file's name leads to one of them, and the other one has a name that a copy can have.
fn exchange_in_steps(parent: &File, copy: &CStr, file: &CStr) -> io::Result<()> {
    files::status_of(parent, copy)?;
    let mut aside = copy.to_owned();
    for _ in 0..TRIES {
        aside = longer(&aside, b"~")?;
        match give_name(parent, file, &aside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            given => {
                given?;
                files::rename(parent, copy, file)?;
                return files::rename(parent, &aside, copy);
            }
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Gives a file another name as well, or puts a file like it there; nothing that has that name is replaced.
pub(super) fn give_name(parent: &File, name: &CStr, other: &CStr) -> io::Result<()> {
    match files::link(parent, name, parent, other) {
        Err(error) if is_impossible(&error) => put_like(parent, name, other),
        linked => linked,
    }
}

fn put_like(parent: &File, name: &CStr, other: &CStr) -> io::Result<()> {
    let unfinished = longer(name, UNFINISHED)?;
    let mut source = files::open_beneath(parent, name, OFlags::RDONLY)?;
    let mut copied =
        files::open_beneath(parent, &unfinished, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
    let put = io::copy(&mut source, &mut copied)
        .and_then(|_| copied.sync_all())
        .and_then(|()| files::rename_to_free(parent, &unfinished, other));
    if put.is_err() {
        _ = files::unlink(parent, &unfinished);
    }
    put
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, read};

    const FILE: &CStr = c"0546448c57bcb60770df650a958823";
    const COPY: &CStr = c"0546448c57bcb60770df650a958823 (1)";

    /// A folder with what is in place, and a copy.
    fn folder() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [(FILE, "in place"), (COPY, "copy")] {
            fs::write(folder.path().join(name.to_str().unwrap()), content).unwrap();
        }
        let parent = File::open(folder.path()).unwrap();
        (folder, parent)
    }

    fn all(folder: &tempfile::TempDir) -> Vec<(String, String)> {
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let content = |name: &str| String::from_utf8(read(folder.path().join(name)).unwrap()).unwrap();
        let mut found: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| name(entry.unwrap())).collect();
        found.sort();
        found.into_iter().map(|name| (name.clone(), content(&name))).collect()
    }

    fn named(found: &[(&CStr, &str)]) -> Vec<(String, String)> {
        found.iter().map(|(name, content)| (name.to_str().unwrap().into(), (*content).into())).collect()
    }

    #[test]
    fn names_are_exchanged_in_steps() {
        let (folder, parent) = folder();
        exchange_in_steps(&parent, COPY, FILE).unwrap();
        assert_eq!(all(&folder), named(&[(FILE, "copy"), (COPY, "in place")]));
    }

    /// What an exchange that was cut off put aside stays.
    #[test]
    fn what_lies_aside_is_not_replaced() {
        let (folder, parent) = folder();
        let aside = longer(COPY, b"~").unwrap();
        fs::write(folder.path().join(aside.to_str().unwrap()), "aside").unwrap();
        exchange_in_steps(&parent, COPY, FILE).unwrap();
        assert_eq!(all(&folder), named(&[(FILE, "copy"), (COPY, "in place"), (&aside, "aside")]));
    }

    #[test]
    fn nothing_is_put_aside_for_a_copy_that_is_gone() {
        let (folder, parent) = folder();
        files::unlink(&parent, COPY).unwrap();
        assert_eq!(exchange_in_steps(&parent, COPY, FILE).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(all(&folder), named(&[(FILE, "in place")]));
    }

    #[test]
    fn a_file_like_it_is_put_where_nothing_is() {
        let (folder, parent) = folder();
        let error = put_like(&parent, COPY, FILE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(all(&folder), named(&[(FILE, "in place"), (COPY, "copy")]));
        files::unlink(&parent, FILE).unwrap();
        put_like(&parent, COPY, FILE).unwrap();
        assert_eq!(all(&folder), named(&[(FILE, "copy"), (COPY, "copy")]));
    }

    #[test]
    fn what_is_put_aside_is_a_copy_and_what_is_unfinished_is_none() {
        let path = |end: &[u8]| [b"05/", COPY.to_bytes(), end].concat();
        assert!(CopyName::parse(&path(b"~")).is_some());
        assert!(CopyName::parse(&path(UNFINISHED)).is_none());
    }
}
