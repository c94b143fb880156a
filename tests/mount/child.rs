//! A mount that a process of its own serves, as whoever it may be.

use crate::live::run;
use crate::memory::Memory;
use cryptfs::mount::{Options, Transport, mount};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub const NOBODY: &str = "65534";

pub fn as_nobody(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(program);
    command
}

/// A directory of `nobody`'s with a copy of this program beside the mountpoint.
pub fn nobodys_home() -> (tempfile::TempDir, PathBuf, PathBuf) {
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
    Transport::ALL.iter().copied().find(|transport| transport.name() == name).unwrap()
}

const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";

/// Runs a test over io_uring where this machine can, and says so where it cannot. Root turns it on, and leaves it on:
/// the tests run at the same time.
pub fn over_io_uring(test: fn(Transport)) {
    let _ = fs::write(SWITCH, "Y");
    match fs::read_to_string(SWITCH) {
        Ok(state) if state.trim() == "Y" => test(Transport::Uring),
        state => eprintln!("left out, no FUSE over io_uring here: {SWITCH}: {state:?}"),
    }
}

pub fn server(command: &mut Command, transport: Transport, mountpoint: &Path) -> std::process::Child {
    command
        .args(["--ignored", "--exact", "child::serve", "--nocapture"])
        .env("MOUNTPOINT", mountpoint)
        .env("TRANSPORT", transport.name())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the child says when it cannot mount.
pub fn complaint(command: &mut Command, transport: Transport, mountpoint: &Path) -> String {
    let output = server(command, transport, mountpoint).wait_with_output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
