//! The mount, over a filesystem in memory: each transport, as root and as an ordinary user.

#[path = "../examples/ceiling/memory.rs"]
mod memory;
#[path = "mount/requests.rs"]
mod requests;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use cryptfs::mount::{MountError, Options, Requests, Transport, Unmounter, clear_stale, mount, transport_of};
use memory::Memory;

const PATIENCE: Duration = Duration::from_secs(60);

/// A mount that is served by a thread of this test.
struct Live {
    directory: tempfile::TempDir,
    memory: Arc<Memory>,
    unmounter: Unmounter,
    server: Option<JoinHandle<std::io::Result<()>>>,
    requests: Arc<Requests>,
}

impl Live {
    fn new(transport: Transport) -> Live {
        Live::with(&Options { transport, ..Options::default() })
    }

    fn with(options: &Options) -> Live {
        let directory = tempfile::tempdir().unwrap();
        let memory = Arc::new(Memory::default());
        let owner = fs::metadata(directory.path()).unwrap();
        memory.give_root_to(owner.uid(), owner.gid());
        let mounted = mount(memory.clone(), directory.path(), options).unwrap();
        let (unmounter, requests) = (mounted.unmounter(), mounted.requests());
        let server = Some(thread::spawn(move || mounted.run()));
        Live { directory, memory, unmounter, server, requests }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn wait_for_end(&mut self) {
        let server = self.server.take().unwrap();
        wait_until("the server ends", || server.is_finished());
        server.join().unwrap().unwrap();
        assert_eq!(self.memory.shut_downs.load(Ordering::SeqCst), 1);
    }

    fn finish(mut self) {
        self.unmounter.unmount().unwrap();
        self.wait_for_end();
        assert!(!mounts().contains(self.directory.path().to_str().unwrap()));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.server.is_some() {
            let _ = self.unmounter.unmount();
        }
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}\n{}", mounts());
        thread::sleep(Duration::from_millis(2));
    }
}

fn mounts() -> String {
    fs::read_to_string("/proc/mounts").unwrap()
}

fn mount_line(path: &Path) -> Option<String> {
    let path = format!(" {} ", path.display());
    mounts().lines().find(|line| line.contains(&path)).map(str::to_owned)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn run(command: &mut Command) -> std::process::Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

macro_rules! on_each_transport {
    ($($test:ident)*) => {
        mod fuser_transport {
            $(#[test] fn $test() { super::$test(super::Transport::Fuser) })*
        }
        mod device_transport {
            $(#[test] fn $test() { super::$test(super::Transport::Device) })*
        }
        mod uring_transport {
            $(#[test] fn $test() { super::over_io_uring(super::$test) })*
        }
    };
}

on_each_transport! {
    the_mount_table_shows_type_source_and_flags
    files_read_back_what_was_written
    names_links_and_special_files
    attributes_and_extended_attributes
    times_survive_the_writeback_cache
    a_directory_can_be_listed_while_it_changes
    shared_mappings_and_direct_io
    sparse_files
    an_unlinked_open_file_lives_until_it_is_closed
    a_lazy_unmount_waits_for_the_last_open_file
    a_panic_is_an_error_and_no_more
    opens_are_asked_only_without_kernel_permissions
    suid_goes_when_somebody_writes
    nobody_elses_mount_is_taken_away
    many_threads_at_once
    an_ordinary_user_mounts_and_unmounts
    each_missing_piece_has_its_own_error
    a_dead_daemons_mount_is_recognised_and_removed
    a_mount_says_what_carries_its_requests
    names_are_not_remembered_where_the_filesystem_checks_permissions
    a_slow_request_holds_up_nobody
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

fn files_read_back_what_was_written(transport: Transport) {
    for writeback in [true, false] {
        let live = Live::with(&Options { writeback, transport, ..Options::default() });
        let data: Vec<u8> = (0..5_000_001u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(live.path("big"), &data).unwrap();
        assert!(fs::read(live.path("big")).unwrap() == data);
        let file = OpenOptions::new().write(true).open(live.path("big")).unwrap();
        file.write_all_at(b"patched", 4_094).unwrap();
        file.set_len(6_000_000).unwrap();
        file.sync_all().unwrap();
        drop(file);
        let read = fs::read(live.path("big")).unwrap();
        assert_eq!((read.len(), &read[4_094..4_101]), (6_000_000, &b"patched"[..]));
        assert!(read[5_000_001..].iter().all(|byte| *byte == 0));
        for part in ["one", "two", "three"] {
            let mut file = OpenOptions::new().append(true).create(true).open(live.path("log")).unwrap();
            file.write_all(part.as_bytes()).unwrap();
        }
        assert_eq!(fs::read(live.path("log")).unwrap(), b"onetwothree");
        File::create(live.path("log")).unwrap();
        assert_eq!(fs::metadata(live.path("log")).unwrap().len(), 0);
        assert_eq!(live.memory.syncs.load(Ordering::Relaxed), 1);
        live.finish();
    }
}

fn names_links_and_special_files(transport: Transport) {
    let live = Live::new(transport);
    fs::create_dir_all(live.path("a/b/c")).unwrap();
    fs::write(live.path("a/file"), b"text").unwrap();
    fs::rename(live.path("a/file"), live.path("a/b/c/moved")).unwrap();
    assert!(!live.path("a/file").exists());
    fs::hard_link(live.path("a/b/c/moved"), live.path("second")).unwrap();
    assert_eq!(fs::metadata(live.path("second")).unwrap().nlink(), 2);
    symlink("a/b/c/moved", live.path("soft")).unwrap();
    assert_eq!(fs::read_link(live.path("soft")).unwrap(), Path::new("a/b/c/moved"));
    assert_eq!(fs::read(live.path("soft")).unwrap(), b"text");
    run(Command::new("mkfifo").arg(live.path("pipe")));
    assert!(fs::metadata(live.path("pipe")).unwrap().file_type().is_fifo());
    let refused = fs::remove_dir(live.path("a/b")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENOTEMPTY));
    let refused = fs::write(live.path(&"n".repeat(256)), b"").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENAMETOOLONG));
    fs::write(live.path(&"n".repeat(255)), b"").unwrap();
    run(Command::new("stat").arg("-f").arg(live.directory.path()));
    live.finish();
}

fn attributes_and_extended_attributes(transport: Transport) {
    let live = Live::new(transport);
    let path = live.path("file");
    fs::write(&path, b"x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode(), 0o100_640);
    let set = "import os,sys; p=sys.argv[1]; os.setxattr(p,'user.one',b'1'*3000); os.setxattr(p,'user.two',b''); \
        assert sorted(os.listxattr(p))==['user.one','user.two']; assert os.getxattr(p,'user.one')==b'1'*3000; \
        os.removexattr(p,'user.two'); assert os.listxattr(p)==['user.one']";
    run(Command::new("python3").args(["-c", set]).arg(&path));
    if is_root() {
        let refused = "import os,sys,errno\ntry: os.setxattr(sys.argv[1],'security.capability',b'\\1'*20)\n\
            except OSError as e: sys.exit(0 if e.errno in (errno.EOPNOTSUPP, errno.EINVAL) else 1)\nsys.exit(2)";
        run(Command::new("python3").args(["-c", refused]).arg(&path));
    }
    let mut umask = Command::new("sh");
    umask.args(["-c", r#"umask 027; mkdir "$0/d"; : >"$0/f"; stat -c %a "$0/d" "$0/f""#]);
    assert_eq!(run(umask.arg(live.directory.path())).stdout, b"750\n640\n");
    live.finish();
}

fn times_survive_the_writeback_cache(transport: Transport) {
    for writeback in [true, false] {
        let live = Live::with(&Options { writeback, transport, ..Options::default() });
        let (written, dated) = (live.path("written"), live.path("dated"));
        fs::write(&written, b"some").unwrap();
        let shown = fs::metadata(&written).unwrap();
        let file = File::create(&dated).unwrap();
        let past = SystemTime::UNIX_EPOCH - Duration::from_millis(1_250);
        file.set_modified(past).unwrap();
        file.sync_all().unwrap();
        drop(file);
        let kept = live.memory.modified(b"written").unwrap();
        assert_eq!((kept.seconds, i64::from(kept.nanoseconds)), (shown.mtime(), shown.mtime_nsec()));
        let kept = live.memory.modified(b"dated").unwrap();
        assert_eq!((kept.seconds, kept.nanoseconds), (-2, 750_000_000));
        assert_eq!(fs::metadata(&dated).unwrap().modified().unwrap(), past);
        live.finish();
    }
}

fn a_directory_can_be_listed_while_it_changes(transport: Transport) {
    let live = Live::new(transport);
    let directory = live.path("many");
    fs::create_dir(&directory).unwrap();
    for n in 0..10_000 {
        File::create(directory.join(format!("stays-{n}"))).unwrap();
        if n % 10 == 0 {
            File::create(directory.join(format!("goes-{n}"))).unwrap();
        }
    }
    let mut seen = BTreeSet::new();
    for (n, entry) in fs::read_dir(&directory).unwrap().enumerate() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(seen.insert(name.clone()), "{name} was listed twice");
        if n % 11 == 0 {
            let _ = fs::remove_file(directory.join(format!("goes-{}", n / 11 * 10)));
            File::create(directory.join(format!("comes-{n}"))).unwrap();
        }
    }
    assert_eq!(seen.iter().filter(|name| name.starts_with("stays-")).count(), 10_000);
    let again: BTreeSet<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(again.iter().all(|name| !name.to_str().unwrap().starts_with("goes-")));
    fs::remove_dir_all(&directory).unwrap();
    live.finish();
}

fn shared_mappings_and_direct_io(transport: Transport) {
    let live = Live::new(transport);
    let path = live.path("mapped");
    fs::write(&path, vec![b'a'; 3 * 4096]).unwrap();
    let script = "import mmap,sys,os; f=open(sys.argv[1],'r+b'); m=mmap.mmap(f.fileno(),0); \
        assert m[4095:4097]==b'aa'; m[4090:4100]=b'0123456789'; m.flush(); m.close()";
    run(Command::new("python3").args(["-c", script]).arg(&path));
    assert_eq!(&fs::read(&path).unwrap()[4_089..4_101], b"a0123456789a");
    let direct = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
    let mut room = vec![0u8; 3 * 4096];
    let start = room.as_ptr().align_offset(4096);
    let page = &mut room[start..start + 4096];
    direct.read_exact_at(page, 4096).unwrap();
    assert_eq!(&page[..5], b"6789a");
    page.fill(b'z');
    direct.write_all_at(page, 8192).unwrap();
    drop(direct);
    assert_eq!(&fs::read(&path).unwrap()[8_191..8_194], b"azz");
    live.finish();
}

fn sparse_files(transport: Transport) {
    let live = Live::new(transport);
    let path = live.path("sparse");
    // Not synced: what is only in the kernel's cache is data too.
    let script = "import os,sys; f=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT|os.O_EXCL); os.ftruncate(f,1<<30); \
        os.pwrite(f,b'data',1<<29); assert os.lseek(f,0,os.SEEK_DATA)==1<<29; \
        assert os.lseek(f,1<<29,os.SEEK_HOLE)==(1<<29)+4096";
    run(Command::new("python3").args(["-c", script]).arg(&path));
    assert_eq!(fs::metadata(&path).unwrap().blocks(), 8);
    run(Command::new("fallocate").args(["-p", "-o", "536870912", "-l", "4096"]).arg(&path));
    assert_eq!(fs::metadata(&path).unwrap().blocks(), 0);
    let copy = "import os,sys; f,g=(os.open(p,os.O_RDWR|os.O_CREAT) for p in sys.argv[1:]); os.pwrite(f,b'more',4096); \
        os.pwrite(g,b'old-old',0); assert os.copy_file_range(f,g,4,4096,0)==4; assert os.pread(g,9,0)==b'moreold'";
    run(Command::new("python3").args(["-c", copy]).args([&path, &live.path("copy")]));
    fs::write(live.path("from"), b"0123456789").unwrap();
    fs::copy(live.path("from"), live.path("to")).unwrap();
    assert_eq!(fs::read(live.path("to")).unwrap(), b"0123456789");
    live.finish();
}

fn an_unlinked_open_file_lives_until_it_is_closed(transport: Transport) {
    let live = Live::new(transport);
    let path = live.path("gone");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"still here").unwrap();
    fs::remove_file(&path).unwrap();
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), live.memory.inodes()), ("still here", 2));
    drop(file);
    wait_until("the inode is forgotten", || live.memory.inodes() == 1);
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

fn a_panic_is_an_error_and_no_more(transport: Transport) {
    let live = Live::with(&Options { threads: 1, transport, ..Options::default() });
    live.memory.broken.store(true, Ordering::Relaxed);
    let output = Command::new("stat").arg("-f").arg(live.directory.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Input/output error"));
    live.memory.broken.store(false, Ordering::Relaxed);
    run(Command::new("stat").arg("-f").arg(live.directory.path()));
    live.finish();
}

fn opens_are_asked_only_without_kernel_permissions(transport: Transport) {
    for kernel_permissions in [true, false] {
        let options = Options { kernel_permissions, acls: false, transport, ..Options::default() };
        let live = Live::with(&options);
        for n in 0..10 {
            fs::write(live.path("file"), [n]).unwrap();
            assert_eq!(fs::read(live.path("file")).unwrap(), [n]);
        }
        let expected = if kernel_permissions { 0 } else { 20 };
        assert_eq!(live.memory.opens.load(Ordering::Relaxed), expected);
        live.finish();
    }
}

fn suid_goes_when_somebody_writes(transport: Transport) {
    if !is_root() {
        return;
    }
    for writeback in [true, false] {
        let options = Options { allow_other: true, writeback, transport, ..Options::default() };
        let live = Live::with(&options);
        fs::set_permissions(live.directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        for (name, script) in [("write", "printf x >>\"$0\""), ("truncate", "truncate -s 1 \"$0\"")] {
            let path = live.path(name);
            fs::write(&path, b"xyz").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
            run(as_nobody("sh").args(["-c", script]).arg(&path));
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o777, "after {name}");
        }
        live.finish();
    }
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

fn many_threads_at_once(transport: Transport) {
    let live = Live::with(&Options { threads: 4, transport, ..Options::default() });
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let home = live.path(&format!("worker-{worker}"));
            thread::spawn(move || {
                fs::create_dir(&home).unwrap();
                for n in 0..200 {
                    let (path, moved) = (home.join(format!("{n}")), home.join(format!("moved-{n}")));
                    let data = vec![n as u8; 1 + n * 701];
                    fs::write(&path, &data).unwrap();
                    fs::rename(&path, &moved).unwrap();
                    assert!(fs::read(&moved).unwrap() == data);
                    if n % 3 == 0 {
                        fs::remove_file(&moved).unwrap();
                    }
                }
                assert_eq!(fs::read_dir(&home).unwrap().count(), 133);
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    live.finish();
}

const NOBODY: &str = "65534";

fn as_nobody(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(program);
    command
}

/// A directory of `nobody`'s with a copy of this program beside the mountpoint.
fn nobodys_home() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (program, mountpoint) = (home.path().join("program"), home.path().join("plain"));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::create_dir(&mountpoint).unwrap();
    run(Command::new("chown").arg(NOBODY).arg(&mountpoint));
    (home, program, mountpoint)
}

/// Not a test of its own: what other tests run in a process of its own. Mounts at `$MOUNTPOINT` and serves.
#[test]
#[ignore = "the child of other tests"]
fn serve() {
    let mountpoint = PathBuf::from(std::env::var_os("MOUNTPOINT").unwrap());
    let memory = Arc::new(Memory::default());
    let owner = fs::metadata("/proc/self").unwrap();
    memory.give_root_to(owner.uid(), owner.gid());
    let mut options = Options { source: "commas,and\\backslashes".into(), ..Options::default() };
    options.transport = transport_named(&std::env::var("TRANSPORT").unwrap());
    options.allow_other = std::env::var_os("ALLOW_OTHER").is_some();
    match mount(memory.clone(), &mountpoint, &options) {
        Ok(mounted) => mounted.run().unwrap(),
        Err(error) => panic!("{error}"),
    }
    assert_eq!(memory.shut_downs.load(Ordering::SeqCst), 1);
}

fn transport_named(name: &str) -> Transport {
    Transport::ALL.into_iter().find(|transport| transport.name() == name).unwrap()
}

const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";

/// Runs a test over io_uring where this machine can, and says so where it cannot. Root turns it on, and leaves it on:
/// the tests run at the same time.
fn over_io_uring(test: fn(Transport)) {
    let _ = fs::write(SWITCH, "Y");
    match fs::read_to_string(SWITCH) {
        Ok(state) if state.trim() == "Y" => test(Transport::Uring),
        state => eprintln!("left out, no FUSE over io_uring here: {SWITCH}: {state:?}"),
    }
}

fn server(command: &mut Command, transport: Transport, mountpoint: &Path) -> std::process::Child {
    command
        .args(["--ignored", "--exact", "serve", "--nocapture"])
        .env("MOUNTPOINT", mountpoint)
        .env("TRANSPORT", transport.name())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn an_ordinary_user_mounts_and_unmounts(transport: Transport) {
    if !is_root() {
        return;
    }
    let (_home, program, mountpoint) = nobodys_home();
    let mut child = server(&mut as_nobody(&program), transport, &mountpoint);
    wait_until("the user's mount is there", || mount_line(&mountpoint).is_some());
    let line = mount_line(&mountpoint).unwrap();
    assert!(line.starts_with(r"commas,and\134backslashes "), "{line}");
    assert!(line.contains(" fuse.cryptfs ") && line.contains("user_id=65534"), "{line}");
    // Writes that the kernel flushes as root keep their time.
    let script =
        "cd \"$0\"; echo text >a; mv a b; cat b; touch -d 2001-02-03 b; echo more >>b; mkdir d; rmdir d";
    run(as_nobody("sh").args(["-ec", script]).arg(&mountpoint));
    assert_eq!(fs::read_dir(&mountpoint).unwrap_err().raw_os_error(), Some(libc::EACCES));
    run(as_nobody("fusermount3").arg("-u").arg(&mountpoint));
    assert!(child.wait().unwrap().success());
    assert_eq!(mount_line(&mountpoint), None);
}

/// What the child says when it cannot mount.
fn complaint(command: &mut Command, transport: Transport, mountpoint: &Path) -> String {
    let output = server(command, transport, mountpoint).wait_with_output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn each_missing_piece_has_its_own_error(transport: Transport) {
    if !is_root() {
        return;
    }
    let (home, program, mountpoint) = nobodys_home();
    let expect = |command: &mut Command, at: &Path, words: &str| {
        let complaint = complaint(command, transport, at);
        assert!(complaint.contains(words), "expected {words:?}, got {complaint}");
    };
    if !fs::read_to_string("/etc/fuse.conf").unwrap_or_default().lines().any(|l| l == "user_allow_other") {
        let mut command = as_nobody(&program);
        expect(command.env("ALLOW_OTHER", "1"), &mountpoint, "allow_other is not permitted");
    }
    expect(&mut as_nobody(&program), home.path(), "no permission to mount there");
    let mut without_path = as_nobody("/usr/bin/env");
    expect(without_path.arg("PATH=/nonexistent").arg(&program), &mountpoint, "fusermount3 was not found");
    let in_a_bare_dev = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", &format!("mount -t tmpfs none /dev; {script}")]).arg(&program);
        command
    };
    expect(&mut in_a_bare_dev("exec \"$0\" \"$@\""), &mountpoint, "there is no /dev/fuse");
    let script = format!(
        "mknod -m 600 /dev/fuse c 10 229; exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$0\" \"$@\""
    );
    expect(&mut in_a_bare_dev(&script), &mountpoint, "no permission to open /dev/fuse");
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

fn a_mount_says_what_carries_its_requests(transport: Transport) {
    let live = Live::new(transport);
    assert_eq!(transport_of(live.directory.path()).unwrap(), transport.name());
    fs::write(live.path("file"), b"x").unwrap();
    assert!(transport_of(&live.path("file")).is_err());
    let listed = "import os,sys; assert os.listxattr(sys.argv[1])==[]";
    run(Command::new("python3").args(["-c", listed]).arg(live.directory.path()));
    live.finish();
}

/// Over io_uring, all who run on one CPU share a queue.
fn a_slow_request_holds_up_nobody(transport: Transport) {
    let live = Live::new(transport);
    fs::write(live.path("file"), b"x").unwrap();
    let on_one_cpu = |program: &str| {
        let mut command = Command::new("taskset");
        command.args(["-c", "0", program]);
        command
    };
    // The first tells that syncs are slow; during the second somebody asks for something else.
    for number in 1..=2 {
        let gate = live.memory.gate.lock();
        let mut slow = on_one_cpu("sync").arg(live.path("file")).spawn().unwrap();
        wait_until("the sync came", || live.memory.syncs.load(Ordering::Relaxed) == number);
        thread::sleep(Duration::from_millis(20));
        let mut quick = on_one_cpu("stat");
        let mut quick = quick.arg("-f").arg(live.directory.path()).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut answered = number == 1;
        while !answered && Instant::now() < deadline {
            answered = quick.try_wait().unwrap().is_some();
            thread::sleep(Duration::from_millis(2));
        }
        // Nobody may be left waiting when this fails.
        drop(gate);
        assert!(slow.wait().unwrap().success() && quick.wait().unwrap().success());
        assert!(answered, "what is quick waited for what is slow");
    }
    live.finish();
}

/// A name that the kernel knows is one that nobody checks the way to.
fn names_are_not_remembered_where_the_filesystem_checks_permissions(transport: Transport) {
    for (kernel_permissions, asked) in [(true, 1), (false, 3)] {
        let live = Live::with(&Options { kernel_permissions, acls: false, transport, ..Options::default() });
        for _ in 0..3 {
            assert!(!live.path("missing").exists());
        }
        assert_eq!(live.memory.asked.load(Ordering::Relaxed), asked, "missing");
        fs::write(live.path("file"), b"x").unwrap();
        let before = live.memory.asked.load(Ordering::Relaxed);
        for _ in 0..3 {
            assert!(live.path("file").exists());
        }
        let asked = live.memory.asked.load(Ordering::Relaxed) - before;
        assert_eq!(asked, if kernel_permissions { 0 } else { 3 }, "there");
        live.finish();
    }
}

#[test]
fn our_own_transport_tells_nodes_from_inode_numbers() {
    let live = Live::new(Transport::Device);
    fs::write(live.path("file"), b"x").unwrap();
    let listed = || fs::read_dir(live.directory.path()).unwrap().next().unwrap().unwrap();
    let number = fs::metadata(live.path("file")).unwrap().ino();
    assert!(number > memory::NUMBER_OFFSET);
    assert_eq!(std::os::unix::fs::DirEntryExt::ino(&listed()), number);
    let script = "import os,sys; os.utime(sys.argv[1], (5,5))";
    run(Command::new("python3").args(["-c", script]).arg(live.path("file")));
    let born = run(Command::new("stat").args(["-c", "%W"]).arg(live.path("file"))).stdout;
    assert!(String::from_utf8_lossy(&born).trim().parse::<u64>().unwrap() > 1_000_000_000);
    live.finish();
}
