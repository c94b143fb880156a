//! What is asked of a daemon that does not answer, or of another user's: nobody waits without a word, and nothing is said
//! that is not known.

use crate::sandbox::{Sandbox, eventually, is_root};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

fn signal(daemon: u32, name: &str) {
    assert!(Command::new("kill").args([name, &daemon.to_string()]).status().unwrap().success());
}

fn asks(sandbox: &Sandbox, word: &str) -> Command {
    sandbox.program(&[OsStr::new(word), sandbox.plain().as_ref()])
}

#[test]
fn nobody_waits_without_a_word_for_a_daemon_that_hangs() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("f"), "content").unwrap();
    let daemon = sandbox.daemon();
    signal(daemon, "-STOP");
    let begun = Instant::now();
    let told = sandbox.fails(sandbox.umount().args(["--timeout", "2"]), 30);
    assert!(told.contains("waiting for the volume's daemon to store everything, for 2 s at most"), "{told}");
    assert!(told.contains("still mounted") && told.contains("cryptfs umount --lazy DIR/plain"), "{told}");
    assert!(sandbox.is_mounted());
    let told = sandbox.remarks(&mut asks(&sandbox, "info"));
    assert!(told.is_empty(), "{told}");
    let shown = sandbox.succeeds(&mut asks(&sandbox, "info"));
    assert!(shown.contains("plain (its daemon does not answer"), "{shown}");
    let mut sync = asks(&sandbox, "sync").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    // One that waits can be ended.
    sync.kill().unwrap();
    sync.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(60));
    signal(daemon, "-CONT");
    sandbox.succeeds(&mut asks(&sandbox, "sync"));
    // Those that were left behind are still in it.
    eventually("it is unmounted", || sandbox.umount().output().unwrap().status.success());
}

/// The kernel lets nobody set an attribute who may not write to the root directory.
#[test]
fn everything_is_stored_for_who_may_not_write_to_the_root_directory() {
    let Some(sandbox) = Sandbox::mounted_by_nobody() else { return };
    let plain = sandbox.plain();
    let mut chmod = Command::new("chmod");
    chmod.arg("555").arg(&plain).uid(65534).gid(65534);
    sandbox.succeeds(&mut chmod);
    assert_eq!(sandbox.remarks(&mut sandbox.as_nobody(&asks(&sandbox, "sync"))), "");
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.umount()));
}

#[test]
fn who_may_not_ask_is_told_who_may() {
    let Some(sandbox) = Sandbox::mounted_by_nobody() else { return };
    let told = sandbox.fails(&mut asks(&sandbox, "sync"), 1);
    assert!(
        told.contains("user 65534 mounted it") && told.contains("`sudo -u '#65534' cryptfs sync"),
        "{told}"
    );
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.umount()));
}

#[test]
fn an_import_into_what_cannot_be_written_says_so() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::of_nobody();
    let closed = sandbox.path("closed");
    fs::write(&closed, "content").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.succeeds(Command::new("chmod").args(["-R", "a-w"]).arg(sandbox.backing()));
    let import = sandbox.program(&[
        "import".as_ref(),
        "--passphrase-file".as_ref(),
        sandbox.path("passphrase").as_ref(),
        closed.as_ref(),
        sandbox.backing().as_ref(),
    ]);
    let told = sandbox.fails(&mut sandbox.as_nobody(&import), 19);
    assert!(told.contains("Nothing was changed") && !told.contains("-o ro"), "{told}");
}
