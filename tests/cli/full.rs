//! A backing disk that is full, and a daemon that is ended: what a write, a close or an unmount said is true afterwards.

use crate::sandbox::{Sandbox, eventually, is_root};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A volume whose backing folder lies on a disk of its own, in memory. Only root can mount one.
struct Disk(Sandbox);

impl Disk {
    fn new() -> Disk {
        let disk = Disk(Sandbox::empty());
        fs::create_dir(disk.0.backing()).unwrap();
        disk.0.succeeds(
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "none"]).arg(disk.0.backing()),
        );
        disk.0.succeeds(&mut disk.0.init());
        disk.mounts("device");
        fs::write(disk.0.plain().join("first"), "content").unwrap();
        disk.0.unmounts();
        disk
    }

    fn mounts(&self, transport: &str) {
        self.0.succeeds(self.0.mount().arg("-o").arg(format!("transport={transport}")));
    }

    fn fill(&self) {
        let mut filler = File::create(self.0.backing().join("filler")).unwrap();
        for step in [1 << 20, 4096, 1] {
            while filler.write_all(&vec![0; step]).is_ok() {}
        }
    }

    fn give_room(&self) {
        fs::remove_file(self.0.backing().join("filler")).unwrap();
    }

    /// Makes 300 small files; returns which of them nobody said anything against.
    fn make_files(&self) -> Vec<usize> {
        let path = |n: &usize| self.0.plain().join(format!("f{n}"));
        (0..300).filter(|n| fs::write(path(n), content_of(*n)).is_ok()).collect()
    }

    fn has_files(&self, kept: &[usize]) {
        for &n in kept {
            let found = fs::read(self.0.plain().join(format!("f{n}"))).unwrap();
            assert!(found == content_of(n), "f{n} has {} bytes", found.len());
        }
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

fn content_of(n: usize) -> Vec<u8> {
    vec![n as u8 | 1; 100 + 15 * n]
}

fn send(signal: &str, process: u32) {
    assert!(Command::new("kill").arg(signal).arg(process.to_string()).status().unwrap().success());
}

#[test]
fn a_full_disk_is_told_at_the_write_or_nothing_is_lost() {
    if !is_root() {
        return;
    }
    for transport in ["device", "auto"] {
        for is_full_before in [true, false] {
            let disk = Disk::new();
            disk.mounts(transport);
            if is_full_before {
                disk.fill();
            }
            let kept = disk.make_files();
            if !is_full_before {
                disk.fill();
                assert_eq!(kept.len(), 300);
            }
            disk.0.unmounts();
            disk.mounts(transport);
            disk.has_files(&kept);
            disk.0.unmounts();
        }
    }
}

/// An attribute for which no space was set aside.
fn set_long_attribute(disk: &Disk) {
    let set = "import os, sys; os.setxattr(sys.argv[1], 'user.long', b'x' * 40000)";
    disk.0.succeeds(Command::new("python3").args(["-c", set]).arg(disk.0.plain().join("first")));
}

#[test]
fn umount_stays_where_not_everything_can_be_stored() {
    if !is_root() {
        return;
    }
    for discards in [false, true] {
        let disk = Disk::new();
        disk.mounts("device");
        disk.fill();
        set_long_attribute(&disk);
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
        let get = "import os, sys; print(len(os.listxattr(sys.argv[1])))";
        let found =
            disk.0.succeeds(Command::new("python3").args(["-c", get]).arg(disk.0.plain().join("first")));
        assert_eq!(found.trim() == "1", !discards);
        assert_eq!(fs::read_to_string(disk.0.plain().join("first")).unwrap(), "content");
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
        let disk = Disk::new();
        let log = disk.0.path("log");
        let mut daemon = disk.0.mount();
        let mut daemon = daemon.arg("-f").stderr(File::create(&log).unwrap()).spawn().unwrap();
        let logs = |words: &str| fs::read_to_string(&log).unwrap().contains(words);
        eventually("the mount", || disk.0.is_mounted());
        disk.fill();
        set_long_attribute(&disk);
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

/// Half a second after a change it is where only the machine's end takes it along.
#[test]
fn what_was_closed_outlives_a_killed_daemon() {
    for writeback in ["writeback", "no_writeback"] {
        let sandbox = Sandbox::with_volume();
        let files = [("small", 700), ("block", 5000), ("large", 1 << 20)];
        let path = |name: &str| sandbox.plain().join(name);
        let content = |length: usize, seed: usize| -> Vec<u8> {
            (0..length).map(|at| (at * at + at / 251 + seed) as u8).collect()
        };
        sandbox.succeeds(sandbox.mount().args(["-o", writeback]));
        for (seed, kind) in ["new", "changed"].iter().enumerate() {
            for (name, length) in files {
                fs::write(path(name), content(length, seed)).unwrap();
            }
            std::thread::sleep(Duration::from_secs(1));
            send("-KILL", sandbox.daemon());
            eventually("the daemon's end", || fs::read_dir(sandbox.plain()).is_err());
            sandbox.succeeds(sandbox.mount().args(["-o", writeback]));
            for (name, length) in files {
                let found = fs::read(path(name)).unwrap();
                assert!(found == content(length, seed), "{kind} {name}: {} bytes", found.len());
            }
        }
        sandbox.unmounts();
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
