//! A backing disk that is full, and a daemon that is ended: what a write, a close or an unmount said is true afterwards.

use crate::sandbox::{Sandbox, eventually, is_root};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A volume whose backing folder lies on a disk of its own. Only root can mount one.
struct Disk(Sandbox);

impl Disk {
    /// In memory, of 16 MiB.
    fn new() -> Disk {
        Disk::mounted(|command| command.args(["-t", "tmpfs", "-o", "size=16m", "none"]))
    }

    /// Of 64 MiB, on a filesystem that cannot hold space for anybody.
    fn that_holds_nothing() -> Disk {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(64 << 20).unwrap();
        let mut make = Command::new("mkfs.ext4");
        let made = make.args(["-q", "-O", "^extents,^64bit", "-m", "0"]).arg(image.path()).status().unwrap();
        assert!(made.success());
        Disk::mounted(|command| command.args(["-o", "loop"]).arg(image.path()))
    }

    fn mounted(of: impl FnOnce(&mut Command) -> &mut Command) -> Disk {
        let disk = Disk(Sandbox::empty());
        fs::create_dir(disk.0.backing()).unwrap();
        disk.0.succeeds(of(&mut Command::new("mount")).arg(disk.0.backing()));
        let _ = fs::remove_dir(disk.0.backing().join("lost+found"));
        disk.0.succeeds(&mut disk.0.init());
        disk.mounts("device");
        (0..40).for_each(|n| fs::write(disk.small(n), "content").unwrap());
        disk.0.unmounts();
        disk
    }

    /// Files that are there from the beginning.
    fn small(&self, number: usize) -> PathBuf {
        self.0.plain().join(format!("small {number}"))
    }

    fn mounts(&self, transport: &str) {
        self.0.succeeds(self.0.mount().arg("-o").arg(format!("transport={transport}")));
    }

    fn fill(&self) {
        let filler = File::options().append(true).create(true).open(self.0.backing().join("filler"));
        let mut filler = filler.unwrap();
        for step in [1 << 20, 4096, 1] {
            while filler.write_all(&vec![0; step]).is_ok() {}
        }
    }

    /// Leaves so many bytes.
    fn fill_but(&self, bytes: u64) {
        let mut filler = File::create(self.0.backing().join("filler")).unwrap();
        while self.available() > bytes {
            filler.write_all(&vec![0; 1 << 20]).unwrap();
        }
    }

    fn available(&self) -> u64 {
        let found = self.0.succeeds(Command::new("stat").args(["-f", "-c", "%a %S"]).arg(self.0.backing()));
        found.split_whitespace().map(|number| number.parse::<u64>().unwrap()).product()
    }

    fn give_room(&self) {
        fs::remove_file(self.0.backing().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.0.is_mounted() {
            let _ = Command::new("umount").arg("-l").arg(self.0.plain()).status();
        }
        let _ = Command::new("umount").arg("-l").arg(self.0.backing()).status();
    }
}

fn send(signal: &str, process: u32) {
    assert!(Command::new("kill").arg(signal).arg(process.to_string()).status().unwrap().success());
}

/// Has something accepted while there is space, more than what is kept back, and fills the disk before it is stored, which
/// would be a moment later.
fn accept_and_fill(disk: &Disk, daemon: u32) {
    let set = "import os, signal, sys\n\
        for path in sys.argv[2:]: os.setxattr(path, 'user.long', b'x' * 40000)\n\
        os.kill(int(sys.argv[1]), signal.SIGSTOP)";
    let mut python = Command::new("python3");
    disk.fill_but(12 << 20);
    disk.0.succeeds(python.args(["-c", set]).arg(daemon.to_string()).args((0..40).map(|n| disk.small(n))));
    disk.fill();
    send("-CONT", daemon);
}

/// The file was accepted: it is there after a remount, whoever took the rest of the space meanwhile.
#[test]
fn what_is_accepted_on_a_full_disk_is_stored() {
    if !is_root() {
        return;
    }
    for (transport, room) in [("device", 2 << 20), ("device", 0)] {
        let disk = Disk::new();
        disk.mounts(transport);
        match room {
            0 => disk.fill(),
            room => disk.fill_but(room),
        }
        let path = |n: usize| disk.0.plain().join(n.to_string());
        let accepted: Vec<_> =
            (0..300).filter(|&n| fs::write(path(n), format!("content {n}")).is_ok()).collect();
        assert!(accepted.len() < 300 && (room == 0 || accepted.len() > 20), "{} files", accepted.len());
        disk.fill();
        disk.0.unmounts();
        disk.mounts(transport);
        for n in accepted {
            assert_eq!(fs::read_to_string(path(n)).unwrap(), format!("content {n}"));
        }
        disk.0.unmounts();
    }
}

/// The kernel accepts what it gathers, and throws away what is refused later: somebody who writes without an end is told.
#[test]
fn who_goes_on_writing_under_writeback_learns_of_a_full_disk() {
    if !is_root() {
        return;
    }
    for transport in ["device", "uring"] {
        let disk = Disk::new();
        disk.mounts(&format!("{transport},writeback"));
        let mut file = File::create(disk.0.plain().join("large")).unwrap();
        let (block, deadline) = (vec![1; 1 << 20], Instant::now() + Duration::from_secs(60));
        let error = loop {
            match file.write_all(&block) {
                Ok(()) => assert!(Instant::now() < deadline, "{transport}: it goes on and on"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{transport}");
        assert!(file.sync_all().is_err(), "{transport}");
        // Who only looks is told nothing but what there is.
        fs::metadata(disk.0.plain().join("large")).unwrap();
        drop(file);
        fs::remove_file(disk.0.plain().join("large")).unwrap();
        // The kernel forgets what was removed when it comes to that.
        eventually("room", || fs::write(disk.0.plain().join("after"), "content").is_ok());
        disk.0.unmounts();
        disk.mounts(transport);
        assert_eq!(fs::read_to_string(disk.0.plain().join("after")).unwrap(), "content");
        disk.0.unmounts();
    }
}

#[test]
fn umount_stays_where_not_everything_can_be_stored() {
    if !is_root() {
        return;
    }
    for discards in [false, true] {
        let disk = Disk::that_holds_nothing();
        disk.mounts("device");
        accept_and_fill(&disk, disk.0.daemon());
        let told = disk.0.fails(&mut disk.0.umount(), 30);
        assert!(told.contains("still mounted") && told.contains("--discard"), "{told}");
        assert!(disk.0.is_mounted());
        if discards {
            disk.0.succeeds(disk.0.umount().arg("--discard"));
            assert!(!disk.0.is_mounted());
        } else {
            disk.give_room();
            disk.0.unmounts();
        }
        disk.mounts("device");
        let get = "import os, sys; print(sum(len(os.listxattr(path)) for path in sys.argv[1:]))";
        let found =
            disk.0.succeeds(Command::new("python3").args(["-c", get]).args((0..40).map(|n| disk.small(n))));
        assert_eq!(found.trim() == "40", !discards, "{found}");
        (0..40).for_each(|n| assert_eq!(fs::read_to_string(disk.small(n)).unwrap(), "content"));
        disk.0.unmounts();
    }
}

/// umount(8) cannot be refused: then the daemon stays until there is room, or a signal says that nobody waits for it.
#[test]
fn a_daemon_that_cannot_store_everything_stays() {
    if !is_root() {
        return;
    }
    for gives_up in [false, true] {
        let disk = Disk::that_holds_nothing();
        let log = disk.0.path("log");
        let mut daemon = disk.0.mount();
        let mut daemon = daemon.arg("-f").stderr(File::create(&log).unwrap()).spawn().unwrap();
        let logs = |words: &str| fs::read_to_string(&log).unwrap().contains(words);
        eventually("the mount", || disk.0.is_mounted());
        accept_and_fill(&disk, daemon.id());
        send("-TERM", daemon.id());
        eventually("the refusal", || logs("the mount stays"));
        assert!(disk.0.is_mounted());
        assert!(Command::new("umount").arg(disk.0.plain()).status().unwrap().success());
        eventually("the warning", || logs("not stored yet"));
        let code = if gives_up {
            send("-TERM", daemon.id());
            30
        } else {
            disk.give_room();
            0
        };
        assert_eq!(daemon.wait().unwrap().code(), Some(code), "{}", fs::read_to_string(&log).unwrap());
    }
}

/// Writes through a mapping, and keeps it.
fn map(sandbox: &Sandbox) -> Child {
    let script = "import mmap, os, sys\n\
        file = os.open(sys.argv[1], os.O_RDWR)\n\
        mapped = mmap.mmap(file, 4096)\n\
        mapped[:6] = b'mapped'\n\
        print('ready', flush=True)\n\
        sys.stdin.read()";
    let mut child = Command::new("python3");
    child.args(["-c", script]).arg(sandbox.plain().join("mapped"));
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

/// A shutdown: what a process still has open is on the disk before the daemon lets go of the mount.
#[test]
fn a_signal_stores_what_is_still_held() {
    for writeback in ["writeback", "no_writeback"] {
        let sandbox = Sandbox::with_volume();
        sandbox.succeeds(sandbox.mount().args(["-o", writeback]));
        fs::write(sandbox.plain().join("mapped"), [0; 4096]).unwrap();
        let held = File::create(sandbox.plain().join("held")).unwrap();
        held.write_all_at(b"written", 0).unwrap();
        let mut child = map(&sandbox);
        let daemon = sandbox.daemon();
        send("-TERM", daemon);
        eventually("the end of the mount", || !sandbox.is_mounted());
        send("-KILL", daemon);
        drop((held, child.stdin.take()));
        child.wait().unwrap();
        eventually("the daemon's end", || !fs::exists(format!("/proc/{daemon}")).unwrap());
        sandbox.succeeds(&mut sandbox.mount());
        assert_eq!(fs::read(sandbox.plain().join("held")).unwrap(), b"written", "{writeback}");
        assert_eq!(&fs::read(sandbox.plain().join("mapped")).unwrap()[..6], b"mapped", "{writeback}");
        sandbox.unmounts();
    }
}

/// Changes never cease, so that no checkpoint comes before the end: what was closed three seconds before that is whole. (It
/// should be one second; a machine that runs other tests is slow.)
#[test]
fn a_dead_daemon_takes_no_small_file_along() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let path = |n: usize| sandbox.plain().join(n.to_string());
    let content = |n: usize| n.to_string().repeat(if n.is_multiple_of(10) { 50_000 } else { 500 });
    let begun = Instant::now();
    let mut closed = Vec::new();
    while begun.elapsed() < Duration::from_millis(4500) {
        fs::write(path(closed.len()), content(closed.len())).unwrap();
        closed.push(begun.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
    let daemon = sandbox.daemon();
    send("-KILL", daemon);
    let wanted = closed.iter().filter(|at| **at + Duration::from_secs(3) < begun.elapsed()).count();
    eventually("the daemon's end", || !fs::exists(format!("/proc/{daemon}")).unwrap());
    sandbox.succeeds(&mut sandbox.mount());
    assert!(wanted > 10, "{wanted} files");
    for n in 0..wanted {
        let found = fs::read_to_string(path(n)).unwrap_or_default();
        assert!(found == content(n), "file {n} of {wanted} has {} bytes", found.len());
    }
    sandbox.unmounts();
}
