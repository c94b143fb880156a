//! How many requests each operation costs, so that one more does not come in unseen. Over each transport of our own.

use crate::child::over_io_uring;
use crate::live::*;
use cryptfs::mount::{Options, Transport};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Requests by opcode between two moments, those that came at all.
fn came(live: &Live, act: impl FnOnce()) -> Vec<(usize, u64)> {
    let before = live.requests.snapshot();
    act();
    let after = live.requests.snapshot();
    let grown = after.iter().zip(before).enumerate();
    grown.map(|(opcode, (after, before))| (opcode, after - before)).filter(|(_, n)| *n > 0).collect()
}

const LOOKUP: usize = 1;
const FORGET: usize = 2;
const GETATTR: usize = 3;
const SETATTR: usize = 4;
const READLINK: usize = 5;
const SYMLINK: usize = 6;
const MKNOD: usize = 8;
const MKDIR: usize = 9;
const UNLINK: usize = 10;
const RMDIR: usize = 11;
const RENAME: usize = 12;
const LINK: usize = 13;
const OPEN: usize = 14;
const WRITE: usize = 16;
const FSYNC: usize = 20;
const SETXATTR: usize = 21;
const GETXATTR: usize = 22;
const LISTXATTR: usize = 23;
const FLUSH: usize = 25;
const OPENDIR: usize = 27;
const READ: usize = 15;
const READDIR: usize = 28;
const CREATE: usize = 35;
const BATCH_FORGET: usize = 42;
const READDIRPLUS: usize = 44;
const STATX: usize = 52;

/// How often each operation is done.
const TIMES: u64 = 20;

/// What was asked, and how often for each operation at most. A STATX counts as the GETATTR that an older kernel sends;
/// forgets come when the kernel likes.
type Row = (&'static str, &'static [(usize, u64)]);

const GOLDEN: &[Row] = &[
    // The kernel tries OPEN, CREATE and, without writeback, FLUSH once, and never again after ENOSYS.
    ("the first file", &[(LOOKUP, 20), (GETATTR, 20), (MKNOD, 20), (OPEN, 1), (FLUSH, 1), (CREATE, 1)]),
    // default_permissions: after each change of a directory its mode is asked again. Writeback: the kernel keeps ctime.
    ("unlink it", &[(GETATTR, 20), (SETATTR, 20), (UNLINK, 20)]),
    // GETXATTR: file capabilities, once after each change of attributes.
    (
        "create and write",
        &[(LOOKUP, 20), (GETATTR, 20), (SETATTR, 20), (MKNOD, 20), (WRITE, 20), (GETXATTR, 20)],
    ),
    ("read what is cached", &[(GETATTR, 21)]),
    // Under writeback each close makes st_blocks doubtful.
    ("stat", &[(GETATTR, 20)]),
    ("stat again", &[]),
    ("open and close", &[]),
    ("a missing name", &[(LOOKUP, 20)]),
    ("a missing name again", &[]),
    ("overwrite", &[(SETATTR, 20), (WRITE, 20), (GETXATTR, 20)]),
    ("overwrite and fsync", &[(SETATTR, 20), (WRITE, 20), (FSYNC, 20), (GETXATTR, 20)]),
    ("fdatasync, nothing written", &[(FSYNC, 20)]),
    ("truncate", &[(SETATTR, 20)]),
    ("chmod", &[(SETATTR, 20)]),
    ("link", &[(LOOKUP, 20), (GETATTR, 20), (SETATTR, 20), (LINK, 20)]),
    ("rename", &[(LOOKUP, 20), (GETATTR, 20), (SETATTR, 20), (RENAME, 20)]),
    ("rename over another", &[(LOOKUP, 20), (GETATTR, 20), (SETATTR, 40), (RENAME, 20)]),
    ("mkdir", &[(LOOKUP, 20), (GETATTR, 20), (MKDIR, 20)]),
    ("rmdir", &[(GETATTR, 20), (RMDIR, 20)]),
    ("symlink", &[(LOOKUP, 20), (GETATTR, 20), (SYMLINK, 20)]),
    ("readlink twice", &[(GETATTR, 1), (READLINK, 20)]),
    ("unlink", &[(GETATTR, 20), (UNLINK, 20)]),
    (
        "extended attributes: set, get, list",
        &[(GETATTR, 1), (SETATTR, 20), (SETXATTR, 20), (GETXATTR, 20), (LISTXATTR, 20)],
    ),
    // One OPENDIR gets ENOSYS; the second of each listing, which is empty, says that it is whole. Then it is cached.
    ("list", &[(GETATTR, 2), (OPENDIR, 1), (READDIR, 1), (READDIRPLUS, 1)]),
];

#[test]
fn no_request_comes_that_could_be_spared_over_dev_fuse() {
    check(Transport::Device, false);
    check(Transport::Device, true);
}

#[test]
fn no_request_comes_that_could_be_spared_over_io_uring() {
    over_io_uring(|transport| check(transport, false));
    over_io_uring(|transport| check(transport, true));
}

/// At most so many, with the writeback cache or without.
fn allowed(name: &str, golden: &[(usize, u64)], opcode: usize, writeback: bool) -> u64 {
    match opcode {
        // The kernel has no times of its own to tell.
        SETATTR if !writeback && !["truncate", "chmod"].contains(&name) => 0,
        // A page that was written in part is not whole in the cache.
        READ if !writeback && name == "read what is cached" => TIMES,
        // Each close asks whether a write failed that nobody waited for.
        FLUSH if writeback => TIMES,
        _ => golden.iter().find(|(known, _)| *known == opcode).map_or(0, |(_, most)| *most),
    }
}

fn check(transport: Transport, writeback: bool) {
    let live = Live::with(&Options { transport, writeback, ..Options::default() });
    let mut rows = Vec::new();
    let row = |rows: &mut Vec<_>, name: &'static str, act: &dyn Fn(&Path)| {
        let came = came(&live, || (0..TIMES).for_each(|n| act(&live.path(&format!("d/{n}")))));
        rows.push((name, came));
    };
    fs::create_dir(live.path("d")).unwrap();
    let renamed = |path: &Path| path.with_extension("renamed");
    let linked = |path: &Path| path.with_extension("linked");
    let below = |path: &Path| path.with_extension("directory");
    row(&mut rows, "the first file", &|path| {
        drop(OpenOptions::new().append(true).create(true).open(path).unwrap())
    });
    row(&mut rows, "unlink it", &|path| fs::remove_file(path).unwrap());
    row(&mut rows, "create and write", &|path| fs::write(path, b"text").unwrap());
    row(&mut rows, "read what is cached", &|path| assert_eq!(fs::read(path).unwrap(), b"text"));
    row(&mut rows, "stat", &|path| {
        fs::metadata(path).unwrap();
    });
    row(&mut rows, "stat again", &|path| {
        fs::metadata(path).unwrap();
    });
    row(&mut rows, "open and close", &|path| drop(File::open(path).unwrap()));
    row(&mut rows, "a missing name", &|path| assert!(!renamed(path).exists()));
    row(&mut rows, "a missing name again", &|path| assert!(!renamed(path).exists()));
    row(&mut rows, "overwrite", &|path| {
        OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"more", 0).unwrap();
    });
    row(&mut rows, "overwrite and fsync", &|path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(b"less", 0).unwrap();
        file.sync_all().unwrap();
    });
    row(&mut rows, "fdatasync, nothing written", &|path| File::open(path).unwrap().sync_data().unwrap());
    row(&mut rows, "truncate", &|path| drop(File::create(path).unwrap()));
    row(&mut rows, "chmod", &|path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap());
    row(&mut rows, "link", &|path| fs::hard_link(path, linked(path)).unwrap());
    row(&mut rows, "rename", &|path| fs::rename(path, renamed(path)).unwrap());
    (0..TIMES).for_each(|n| fs::write(live.path(&format!("d/{n}.other")), b"other").unwrap());
    let other = |path: &Path| path.with_extension("other");
    row(&mut rows, "rename over another", &|path| fs::rename(other(path), linked(path)).unwrap());
    row(&mut rows, "mkdir", &|path| fs::create_dir(below(path)).unwrap());
    row(&mut rows, "rmdir", &|path| fs::remove_dir(below(path)).unwrap());
    row(&mut rows, "symlink", &|path| symlink("target", path).unwrap());
    row(&mut rows, "readlink twice", &|path| {
        fs::read_link(path).unwrap();
        fs::read_link(path).unwrap();
    });
    row(&mut rows, "unlink", &|path| fs::remove_file(path).unwrap());
    let xattrs = "import os,sys\nfor n in range(20): p=f'{sys.argv[1]}/{n}.linked'; os.setxattr(p,'user.a',b'1'); \
        assert os.getxattr(p,'user.a')==b'1'; os.listxattr(p)";
    let all_xattrs = || drop(run(Command::new("python3").args(["-c", xattrs]).arg(live.path("d"))));
    rows.push(("extended attributes: set, get, list", came(&live, all_xattrs)));
    row(&mut rows, "list", &|path| assert!(fs::read_dir(path.parent().unwrap()).unwrap().count() > 0));
    for ((name, came), (expected, golden)) in rows.iter().zip(GOLDEN) {
        assert_eq!(name, expected);
        let mut sums = std::collections::BTreeMap::new();
        for &(opcode, count) in came.iter().filter(|(opcode, _)| !matches!(*opcode, FORGET | BATCH_FORGET)) {
            *sums.entry(if opcode == STATX { GETATTR } else { opcode }).or_insert(0) += count;
        }
        for (opcode, count) in sums {
            let most = allowed(name, golden, opcode, writeback);
            assert!(
                count <= most,
                "{name}: {count} times request {opcode}, at most {most} are expected; {came:?}"
            );
        }
    }
    assert_eq!(rows.len(), GOLDEN.len());
    live.finish();
}
