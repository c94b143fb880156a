//! Mounts as /proc/PID/mountinfo has them, which is taken apart here and nowhere else. Nothing here asks a daemon.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What stands there as the type of our mounts.
pub(super) const KIND: &str = "fuse.cryptfs";

/// A mount, whether or not its daemon lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The mount's number in its mount namespace.
    pub(super) id: String,
    /// The number of the mounted filesystem, `major:minor`, as /sys/class/bdi has it too.
    pub device: String,
    pub path: PathBuf,
    pub(super) kind: String,
    /// The backing folder.
    pub source: PathBuf,
    /// The user who mounted.
    pub user: u32,
    pub read_only: bool,
}

/// All mounts of this type in this process's mount namespace, in the order in which they were mounted.
///
/// # Errors
///
/// /proc/self/mountinfo could not be read.
pub fn all() -> io::Result<Vec<Entry>> {
    Ok(read(Path::new("/proc/self"))?.into_iter().filter(Entry::is_ours).collect())
}

/// Where this folder is mounted now.
///
/// # Errors
///
/// /proc/self/mountinfo could not be read.
pub fn mounts_of(source: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(all()?.into_iter().filter(|entry| entry.source == source).map(|entry| entry.path).collect())
}

/// Mounts of all types that the process of this folder of /proc sees.
pub(super) fn read(process: &Path) -> io::Result<Vec<Entry>> {
    Ok(parse(&fs::read(process.join("mountinfo"))?))
}

fn parse(table: &[u8]) -> Vec<Entry> {
    table.split(|&byte| byte == b'\n').filter_map(Entry::parse).collect()
}

impl Entry {
    pub(super) fn is_ours(&self) -> bool {
        self.kind == KIND
    }

    fn parse(line: &[u8]) -> Option<Entry> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let mut fields = line.split(|&byte| byte == b' ');
        let (id, device) = (fields.next()?, fields.nth(1)?);
        let (path, options) = (fields.nth(1)?, fields.next()?);
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        let (kind, source, super_options) = (rest.next()?, rest.next()?, rest.next()?);
        let mut words = super_options.split(|&byte| byte == b',');
        let user =
            words.find_map(|word| std::str::from_utf8(word).ok()?.strip_prefix("user_id=")?.parse().ok());
        let is_read_only = |options: &[u8]| options.split(|&byte| byte == b',').any(|word| word == b"ro");
        Some(Entry {
            id: text(id),
            device: text(device),
            path: unescape(path).into(),
            kind: text(kind),
            source: unescape(source).into(),
            user: user.unwrap_or(0),
            read_only: is_read_only(options) || is_read_only(super_options),
        })
    }
}

/// Undoes the octal escapes of /proc/self/mountinfo and fstab(5).
pub fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                plain.push(byte);
                rest = &tail[3..];
            }
            _ => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn lines_are_taken_apart_and_those_that_are_none_left_out() {
        let table = b"36 35 0:53 / /mnt/a\\040b rw,nosuid shared:1 - fuse.cryptfs /back\\040ing rw,user_id=1000,group_id=7\n\
            37 35 0:54 / /mnt/c ro,nosuid - fuse.cryptfs /c rw,user_id=0\n\
            38 35 0:55 / /mnt/d rw - fuse.sshfs host: rw,user_id=1000\n\
            39 35 0:56 / /mnt/e rw\n\n";
        let entry = |numbers: (&str, &str), path: &str, kind: &str, source: &str, user, read_only| Entry {
            id: numbers.0.into(),
            device: numbers.1.into(),
            path: path.into(),
            kind: kind.into(),
            source: source.into(),
            user,
            read_only,
        };
        let wanted = [
            entry(("36", "0:53"), "/mnt/a b", KIND, "/back ing", 1000, false),
            entry(("37", "0:54"), "/mnt/c", KIND, "/c", 0, true),
            entry(("38", "0:55"), "/mnt/d", "fuse.sshfs", "host:", 1000, false),
        ];
        assert_eq!(parse(table), wanted);
        assert_eq!(wanted.map(|entry| entry.is_ours()), [true, true, false]);
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(br"/a\040b\134c\011d"), OsStr::new("/a b\\c\td"));
        assert_eq!(unescape(br"/plain\9"), OsStr::new(r"/plain\9"));
    }
}
