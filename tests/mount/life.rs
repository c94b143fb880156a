//! A mount from its line in the mount table to its end, also an untimely one.

use crate::child::server;
use crate::live::*;
use crate::memory::Memory;
use cryptfs::mount::{MountError, Options, Transport, clear_stale, mount, transport_of};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

on_each_transport! {
    the_mount_table_shows_type_source_and_flags
    a_mount_says_what_carries_its_requests
    a_lazy_unmount_waits_for_the_last_open_file
    nobody_elses_mount_is_taken_away
    a_dead_daemons_mount_is_recognised_and_removed
    a_panic_is_an_error_and_no_more
}

fn the_mount_table_shows_type_source_and_flags(transport: Transport) {
    let options = Options {
        source: r"a source,with\odd=chars".into(),
        no_exec: true,
        no_dev: true,
        no_suid: true,
        read_only: true,
        transport,
        ..Options::default()
    };
    let live = Live::with(&options);
    let line = mount_line(live.directory.path()).unwrap();
    let fields: Vec<_> = line.split(' ').collect();
    assert_eq!(fields[0], r"a\040source,with\134odd=chars");
    assert_eq!(fields[2], "fuse.cryptfs");
    for flag in ["ro", "noexec", "nodev", "nosuid", "default_permissions"] {
        assert!(fields[3].split(',').any(|found| found == flag), "{flag} is missing in {line}");
    }
    let refused = fs::write(live.path("file"), b"x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    live.finish();
}

fn a_mount_says_what_carries_its_requests(transport: Transport) {
    let live = Live::new(transport);
    assert_eq!(transport_of(live.directory.path()).unwrap(), transport.name());
    fs::write(live.path("file"), b"x").unwrap();
    assert!(transport_of(&live.path("file")).is_err());
    let listed = "import os,sys; assert os.listxattr(sys.argv[1])==[]";
    run(Command::new("python3").args(["-c", listed]).arg(live.directory.path()));
    live.finish();
}

fn a_lazy_unmount_waits_for_the_last_open_file(transport: Transport) {
    let mut live = Live::new(transport);
    let file = File::create(live.path("file")).unwrap();
    live.unmounter.unmount().unwrap();
    assert_eq!(mount_line(live.directory.path()), None);
    file.write_all_at(b"late", 0).unwrap();
    assert!(!live.server.as_ref().unwrap().is_finished());
    assert_eq!(live.memory.shut_downs.load(Ordering::SeqCst), 0);
    drop(file);
    live.wait_for_end();
    assert_eq!(live.memory.contents(b"file").unwrap(), b"late");
}

fn nobody_elses_mount_is_taken_away(transport: Transport) {
    if !is_root() {
        return;
    }
    let mut live = Live::new(transport);
    let on_top = ["-t", "tmpfs", "tmpfs"];
    run(Command::new("mount").args(on_top).arg(live.directory.path()));
    live.unmounter.unmount().unwrap();
    assert!(
        mounts()
            .lines()
            .any(|line| line.starts_with("tmpfs ") && line.contains(live.directory.path().to_str().unwrap()))
    );
    run(Command::new("umount").arg(live.directory.path()));
    run(Command::new("umount").arg(live.directory.path()));
    live.wait_for_end();
    run(Command::new("mount").args(on_top).arg(live.directory.path()));
    live.unmounter.unmount().unwrap();
    assert!(mount_line(live.directory.path()).is_some());
    run(Command::new("umount").arg(live.directory.path()));
}

fn a_dead_daemons_mount_is_recognised_and_removed(transport: Transport) {
    let directory = tempfile::tempdir().unwrap();
    let mut child = server(&mut Command::new(std::env::current_exe().unwrap()), transport, directory.path());
    wait_until("the mount is there", || mount_line(directory.path()).is_some());
    assert!(clear_stale(directory.path()).is_err(), "a living mount was taken away");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the mount is stale", || {
        let options = Options { transport, ..Options::default() };
        matches!(mount(Arc::new(Memory::default()), directory.path(), &options), Err(MountError::Stale))
    });
    clear_stale(directory.path()).unwrap();
    assert_eq!(mount_line(directory.path()), None);
}

fn a_panic_is_an_error_and_no_more(transport: Transport) {
    let live = Live::with(&Options { threads: 1, transport, ..Options::default() });
    live.memory.broken.store(true, Ordering::Relaxed);
    let output = Command::new("stat").arg("-f").arg(live.directory.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Input/output error"));
    live.memory.broken.store(false, Ordering::Relaxed);
    run(Command::new("stat").arg("-f").arg(live.directory.path()));
    live.finish();
}

#[test]
fn bad_mountpoints_have_their_own_errors() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let attempt = |path: &Path| mount(Arc::new(Memory::default()), path, &Options::default()).err().unwrap();
    assert!(matches!(attempt(&directory.path().join("missing")), MountError::NoMountpoint));
    assert!(matches!(attempt(&file), MountError::NotDirectory));
    assert!(matches!(attempt(&file.join("below")), MountError::NotDirectory));
}

#[test]
fn a_mount_that_is_never_served_goes_away() {
    let directory = tempfile::tempdir().unwrap();
    let mounted = mount(Arc::new(Memory::default()), directory.path(), &Options::default()).unwrap();
    assert!(mount_line(directory.path()).is_some());
    drop(mounted);
    assert_eq!(mount_line(directory.path()), None);
}
