//! What a mount is on its machine: which rights its files get, who can read its log, and what goes to swap.

use crate::sandbox::Sandbox;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// The kernel's options of the mount.
fn options(sandbox: &Sandbox) -> Vec<String> {
    let plain = sandbox.plain();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|words| words[1] == plain.to_str().unwrap()).unwrap();
    line[3].split(',').map(str::to_owned).collect()
}

#[test]
fn set_user_id_and_devices_work_only_where_root_asks_for_them() {
    let sandbox = Sandbox::with_volume();
    for (words, wanted) in
        [("rw", [true, true]), ("suid,dev", [false, false]), ("suid,dev,nodev", [false, true])]
    {
        sandbox.succeeds(sandbox.mount().args(["-o", words]));
        let options = options(&sandbox);
        let has = ["nosuid", "nodev"].map(|word| options.iter().any(|option| option == word));
        sandbox.unmounts();
        assert_eq!(has, wanted, "{words}: {options:?}");
    }
}

#[test]
fn a_log_is_for_its_owner_and_follows_no_link() {
    let sandbox = Sandbox::with_volume();
    let (log, target) = (sandbox.path("log"), sandbox.path("target"));
    sandbox.succeeds(sandbox.mount().arg("--log-file").arg(&log));
    sandbox.unmounts();
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&target, "mine").unwrap();
    fs::remove_file(&log).unwrap();
    symlink(&target, &log).unwrap();
    sandbox.fails(sandbox.mount().arg("--log-file").arg(&log), 1);
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    assert!(!fs::read_to_string("/proc/self/mounts").unwrap().contains(sandbox.plain().to_str().unwrap()));
}

#[test]
fn a_pipe_that_nobody_reads_is_no_log() {
    let sandbox = Sandbox::with_volume();
    let log = sandbox.path("log");
    assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
    let mut mount = sandbox.prepared(Command::new("timeout"), &[]);
    mount.args(["-k1", "20", crate::sandbox::PROGRAM, "mount"]).arg(sandbox.backing()).arg(sandbox.plain());
    mount.arg("--passphrase-file").arg(sandbox.path("passphrase")).arg("--log-file").arg(&log);
    sandbox.fails(&mut mount, 1);
    assert!(!sandbox.is_mounted());
}

/// KiB of the daemon's memory that are locked.
fn locked(sandbox: &Sandbox) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sandbox.daemon())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn row_36_keys_do_not_go_to_swap() {
    let sandbox = Sandbox::of_nobody();
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.mount()));
    let pages = locked(&sandbox);
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.umount()));
    assert!(pages > 0, "an ordinary user's limit allows for keys");
}
