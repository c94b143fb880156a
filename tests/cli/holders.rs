//! Who keeps a mount: `cryptfs umount` and a second mount name them, and never wait without a word.

use crate::sandbox::{PROGRAM, Sandbox, eventually, is_root};
use std::fs::{self, File};
use std::process::Command;

fn unmounts_in_the_end(sandbox: &Sandbox) {
    let backing = sandbox.backing();
    eventually("the daemon's end", || {
        File::open(backing.join("cryptfs.json")).unwrap().try_lock_shared().is_ok()
    });
}

#[test]
fn who_uses_a_mount_is_named() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let mut sleeper = Command::new("sleep").arg("600").current_dir(sandbox.plain()).spawn().unwrap();
    let told = sandbox.fails(&mut sandbox.umount(), 26);
    assert!(told.contains(&format!("sleep (process {}) uses it", sleeper.id())), "{told}");
    assert!(sandbox.is_mounted());
    sandbox.succeeds(sandbox.umount().arg("--lazy"));
    assert!(!sandbox.is_mounted());
    let told = sandbox.fails(&mut sandbox.mount(), 15);
    assert!(told.contains("cryptfs (process "), "{told}");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    unmounts_in_the_end(&sandbox);
}

#[test]
fn a_mount_that_lives_on_elsewhere_is_told() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let other = sandbox.path("other");
    fs::create_dir(&other).unwrap();
    sandbox.succeeds(Command::new("mount").arg("--bind").arg(sandbox.plain()).arg(&other));
    let told = sandbox.fails(sandbox.umount().args(["--timeout", "2"]), 34);
    assert_eq!(
        told.matches("it is mounted at DIR/other too").count(),
        2,
        "while it waits, and at the end: {told}"
    );
    let told = sandbox.fails(&mut sandbox.mount(), 15);
    assert!(told.contains("it is mounted at DIR/other"), "{told}");
    assert!(Command::new("umount").arg(&other).status().unwrap().success());
    unmounts_in_the_end(&sandbox);
}

/// In a mount namespace that holds no other test's mount.
#[test]
fn all_places_of_a_mount_go_before_its_daemon_is_waited_for() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    fs::create_dir(sandbox.path("other")).unwrap();
    let mut alone = sandbox.prepared(Command::new("unshare"), &[]);
    let script = "umount -i -l -a -t fuse.cryptfs; \"$0\" mount \"$@\" && mount --bind plain other && \"$0\" umount --all --timeout 20";
    alone.args(["-m", "--propagation", "private", "sh", "-c", script]).arg(PROGRAM);
    alone.args(sandbox.mount().get_args().skip(1)).current_dir(sandbox.path(""));
    sandbox.succeeds(&mut alone);
}

#[test]
fn a_mount_in_another_namespace_is_told() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let mut command = Command::new("unshare");
    let mut container = command.args(["-m", "--propagation", "private", "sleep", "600"]).spawn().unwrap();
    let process = container.id();
    let is_there = || fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name == "sleep\n");
    eventually("the container", is_there);
    let told = sandbox.fails(sandbox.umount().args(["--timeout", "2"]), 34);
    assert!(told.contains(&format!("it is mounted at DIR/plain for sleep (process {process})")), "{told}");
    let told = sandbox.fails(&mut sandbox.mount(), 15);
    assert!(told.contains(&format!("sleep (process {process})")), "{told}");
    container.kill().unwrap();
    container.wait().unwrap();
    unmounts_in_the_end(&sandbox);
}

/// The kernel's threads are in the namespace outside too, and tell nobody anything.
#[test]
fn a_mount_outside_of_this_namespace_is_told() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let mut inside = sandbox.prepared(Command::new("unshare"), &[]);
    inside.args(["-m", "--propagation", "private", PROGRAM]).args(sandbox.umount().get_args());
    let told = sandbox.fails(inside.args(["--timeout", "1"]), 34);
    assert!(told.contains("it is mounted at DIR/plain for ") && !told.contains("kthreadd"), "{told}");
    sandbox.unmounts();
}
