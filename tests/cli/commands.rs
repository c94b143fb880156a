//! What commands do where a mount is not as it should be, or not yet.

use crate::sandbox::{PROGRAM, Sandbox, eventually, is_root};
use crate::transports::transports;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn kill_the_daemon(sandbox: &Sandbox) {
    Command::new("kill").arg("-KILL").arg(sandbox.daemon().to_string()).status().unwrap();
    eventually("the daemon's end", || fs::read_dir(sandbox.plain()).is_err());
}

fn info(sandbox: &Sandbox, path: &Path, more: &[&str]) -> String {
    sandbox.succeeds(sandbox.program(&["info".as_ref(), path.as_ref()]).args(more))
}

#[test]
fn sync_makes_durable_what_is_still_open() {
    for transport in transports() {
        for writeback in ["writeback", "no_writeback"] {
            let sandbox = Sandbox::with_volume();
            sandbox.succeeds(sandbox.mount().args(["-o", &format!("transport={transport},{writeback}")]));
            let large = vec![7; 6 << 20];
            let mut open = File::create(sandbox.plain().join("open")).unwrap();
            open.write_all(&large).unwrap();
            fs::create_dir(sandbox.plain().join("folder")).unwrap();
            fs::write(sandbox.plain().join("folder/file"), "small").unwrap();
            sandbox.succeeds(&mut sandbox.program(&["sync".as_ref(), sandbox.plain().as_ref()]));
            kill_the_daemon(&sandbox);
            drop(open);
            sandbox.succeeds(&mut sandbox.mount());
            assert!(fs::read(sandbox.plain().join("open")).unwrap() == large, "{transport}, {writeback}");
            assert_eq!(fs::read(sandbox.plain().join("folder/file")).unwrap(), b"small");
            sandbox.unmounts();
        }
    }
}

#[test]
fn sync_of_what_is_no_mount_says_so() {
    let sandbox = Sandbox::with_volume();
    let told = sandbox.fails(&mut sandbox.program(&["sync".as_ref(), sandbox.plain().as_ref()]), 25);
    assert!(told.contains("there is no cryptfs mount"), "{told}");
}

#[test]
fn a_mount_whose_daemon_is_gone_is_not_said_to_be_mounted() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    kill_the_daemon(&sandbox);
    assert!(info(&sandbox, &sandbox.backing(), &[]).contains("its daemon is gone"));
    let json: serde_json::Value =
        serde_json::from_str(&info(&sandbox, &sandbox.backing(), &["--json"])).unwrap();
    assert_eq!(json["stale_mountpoints"], serde_json::json!([sandbox.plain().to_str().unwrap()]));
    sandbox.unmounts();
}

#[test]
fn a_mountpoint_may_be_a_symbolic_link() {
    let sandbox = Sandbox::with_volume();
    let (first, second) = (sandbox.path("first"), sandbox.path("second"));
    symlink("plain", &first).unwrap();
    symlink(&first, &second).unwrap();
    let command = |name: &str| sandbox.program(&[name.as_ref(), second.as_ref()]);
    for stale in [false, true] {
        let (backing, passphrase) = (sandbox.backing(), sandbox.path("passphrase"));
        let mut mount = sandbox.program(&["mount".as_ref(), backing.as_ref(), second.as_ref()]);
        sandbox.succeeds(mount.arg("--passphrase-file").arg(passphrase));
        assert!(sandbox.is_mounted());
        assert!(info(&sandbox, &second, &[]).contains(backing.to_str().unwrap()));
        sandbox.succeeds(&mut command("sync"));
        if stale {
            kill_the_daemon(&sandbox);
        }
        // As it is typed: its name alone, and as a shell completes it.
        let typed = if stale { "second/" } else { "second" };
        let mut unmount = sandbox.program(&["umount".as_ref(), typed.as_ref()]);
        sandbox.succeeds(unmount.current_dir(sandbox.path("")));
        assert!(!sandbox.is_mounted());
    }
}

#[test]
fn an_init_that_fails_leaves_no_folder() {
    let sandbox = Sandbox::empty();
    fs::remove_file(sandbox.path("passphrase")).unwrap();
    let deep = sandbox.path("new/deep/backing");
    let missing = sandbox.path("passphrase");
    let mut init = sandbox.program(&["init".as_ref(), deep.as_ref(), "--no-tpm2".as_ref()]);
    init.arg("--keys").arg(sandbox.path("new/keys")).arg("--passphrase-file").arg(missing);
    assert!(!init.output().unwrap().status.success());
    assert!(!sandbox.path("new").exists());
    fs::create_dir_all(sandbox.path("new/deep")).unwrap();
    assert!(!init.output().unwrap().status.success());
    assert!(sandbox.path("new/deep").exists() && !deep.exists() && !sandbox.path("new/keys").exists());
}

/// Whoever mounts as another user than made the files, as on another machine, is told how to.
#[test]
fn a_volume_of_another_user_names_the_option() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    Command::new("chown").arg("1234").arg(sandbox.plain()).status().unwrap();
    let as_root = sandbox.program(&["umount".as_ref(), sandbox.plain().as_ref()]).output().unwrap();
    assert!(as_root.status.success());
    sandbox.give_to_nobody();
    let mount = || sandbox.as_nobody(&sandbox.mount());
    let told = mount().output().unwrap();
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && said.contains("-o uid=65534"), "{said}");
    sandbox.unmounts();
    // Whoever else is to own them was chosen, too.
    for chosen in ["uid=65534", "uid=77"] {
        let told = mount().args(["-o", chosen]).output().unwrap();
        assert_eq!((told.status.success(), told.stderr.len()), (true, 0), "{told:?}");
        sandbox.unmounts();
    }
}

/// In a user namespace uid 0 is the user outside: /var/lib is not theirs.
#[test]
fn root_of_a_user_namespace_has_the_users_state_folder() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::empty();
    sandbox.give_to_nobody();
    let script = "unset XDG_STATE_HOME; export HOME=$1
$2 init $1/backing --no-tpm2 --iter-time=1 --passphrase-file $1/passphrase
$2 mount $1/backing $1/plain --passphrase-file $1/passphrase
echo kept >$1/plain/file
$2 umount $1/plain";
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["unshare", "-Urm", "sh", "-exc", script, "sh"]);
    command.arg(sandbox.path("")).arg(sandbox.path("program"));
    let done = command.current_dir(sandbox.path("")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !said.contains("state folder"), "{said}");
    assert!(sandbox.path(".local/state/cryptfs").exists());
}

/// A mount would be seen from outside of the namespace; what makes one of their own is said.
#[test]
fn who_is_in_a_user_namespace_alone_is_told_what_a_mount_needs() {
    let sandbox = Sandbox::with_volume();
    for flags in ["-U", "-Ur"] {
        let mut mount = sandbox.prepared(
            Command::new("unshare"),
            &[
                flags.as_ref(),
                PROGRAM.as_ref(),
                "mount".as_ref(),
                sandbox.backing().as_ref(),
                sandbox.plain().as_ref(),
            ],
        );
        mount.arg("--passphrase-file").arg(sandbox.path("passphrase"));
        let told = sandbox.fails(&mut mount, 24);
        assert!(told.contains("`unshare -Urm` makes both"), "{told}");
    }
}
