//! The mounts of this type in this process's mount namespace, as /proc/self/mountinfo has them. Nothing here asks a daemon.

use super::point::{KIND, unescape};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A mount, whether or not its daemon lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: PathBuf,
    /// The backing folder.
    pub source: PathBuf,
    /// The user who mounted.
    pub user: u32,
    pub read_only: bool,
}

/// All of them, in the order in which they were mounted.
///
/// # Errors
/// /proc/self/mountinfo could not be read.
pub fn all() -> io::Result<Vec<Entry>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// Where this folder is mounted now.
///
/// # Errors
/// /proc/self/mountinfo could not be read.
pub fn mounts_of(source: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(all()?.into_iter().filter(|entry| entry.source == source).map(|entry| entry.path).collect())
}

fn parse(table: &[u8]) -> Vec<Entry> {
    table.split(|&byte| byte == b'\n').filter_map(Entry::parse).collect()
}

impl Entry {
    fn parse(line: &[u8]) -> Option<Entry> {
        let mut fields = line.split(|&byte| byte == b' ');
        let (path, options) = (fields.nth(4)?, fields.next()?);
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        if rest.next() != Some(KIND.as_bytes()) {
            return None;
        }
        let (source, super_options) = (rest.next()?, rest.next()?);
        let mut words = super_options.split(|&byte| byte == b',');
        let user =
            words.find_map(|word| std::str::from_utf8(word).ok()?.strip_prefix("user_id=")?.parse().ok());
        let is_read_only = |options: &[u8]| options.split(|&byte| byte == b',').any(|word| word == b"ro");
        Some(Entry {
            path: unescape(path).into(),
            source: unescape(source).into(),
            user: user.unwrap_or(0),
            read_only: is_read_only(options) || is_read_only(super_options),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_this_type_are_found_with_their_users() {
        let table = b"36 35 0:53 / /mnt/a\\040b rw,nosuid shared:1 - fuse.cryptfs /back\\040ing rw,user_id=1000,group_id=7\n\
            37 35 0:54 / /mnt/c ro,nosuid - fuse.cryptfs /c rw,user_id=0\n\
            38 35 0:55 / /mnt/d rw - fuse.sshfs host: rw,user_id=1000\n\
            39 35 0:56 / /mnt/e rw";
        let entry = |path: &str, source: &str, user, read_only| Entry {
            path: path.into(),
            source: source.into(),
            user,
            read_only,
        };
        let wanted = [entry("/mnt/a b", "/back ing", 1000, false), entry("/mnt/c", "/c", 0, true)];
        assert_eq!(parse(table), wanted);
    }
}
