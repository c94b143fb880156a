//! Several users: whose mount it is, what an ordinary one may, what is said where something is missing.

use crate::child::*;
use crate::live::*;
use cryptfs::mount::{Options, Transport};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

on_each_transport! {
    suid_goes_when_somebody_writes
    an_ordinary_user_mounts_and_unmounts
    each_missing_piece_has_its_own_error
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
