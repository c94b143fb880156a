//! At home in the system: asking where there is no terminal, what a manager is told, leaving when idle, umount(8)'s helper.

use crate::sandbox::{PROGRAM, Sandbox, eventually, is_root};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A program that notes its arguments in `asked`, and answers with the lines of `answers` in turn.
fn make_agent(sandbox: &Sandbox, name: &str, answers: &str) -> PathBuf {
    let path = sandbox.path(name);
    fs::write(sandbox.path("answers"), answers).unwrap();
    let folder = sandbox.path("");
    let script = format!(
        "#!/bin/sh\ncd '{}' && echo \"$*\" >>asked && head -n1 answers | grep . && sed -i 1d answers\n",
        folder.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The questions so far.
fn asked(sandbox: &Sandbox) -> Vec<String> {
    let text = fs::read_to_string(sandbox.path("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Mounts without a terminal and without a passphrase.
fn mount_alone(sandbox: &Sandbox, agent: &Path, options: &[&str]) -> Command {
    let mut alone = sandbox.prepared(Command::new("setsid"), &[]);
    alone.args(["--wait", PROGRAM, "mount"]).arg(sandbox.backing()).arg(sandbox.plain()).args(options);
    alone.env("CRYPTFS_ASKPASS", agent);
    alone
}

#[test]
fn a_program_asks_where_there_is_no_terminal_and_says_what_went_wrong() {
    let sandbox = Sandbox::with_volume();
    let agent = make_agent(&sandbox, "agent", "wrong\ncorrect horse\n");
    sandbox.succeeds(&mut mount_alone(&sandbox, &agent, &[]));
    sandbox.unmounts();
    let backing = sandbox.backing();
    let question = format!("Encrypted volume {}. Passphrase or recovery key: ", backing.display());
    let asked = asked(&sandbox);
    assert_eq!((asked.len(), &*asked[0]), (2, question.trim_end()), "{asked:?}");
    assert!(
        asked[1].contains("wrong passphrase or key.") && asked[1].ends_with(question.trim_end()),
        "{asked:?}"
    );
    // Whoever closes the window is not asked again.
    let told = sandbox.fails(&mut mount_alone(&sandbox, &agent, &[]), 14);
    assert!(told.contains("DIR/agent gave no answer"), "{told}");
}

#[test]
fn a_new_passphrase_is_asked_for_twice_until_both_agree() {
    let sandbox = Sandbox::empty();
    let agent = make_agent(&sandbox, "agent", "one\ntwo\nopen sesame\nopen sesame\n");
    let mut init = sandbox.prepared(Command::new("setsid"), &[]);
    init.args(["--wait", PROGRAM, "init", "--no-tpm2", "--no-recovery", "--iter-time=1"])
        .arg(sandbox.backing());
    sandbox.succeeds(init.env("CRYPTFS_ASKPASS", &agent));
    let asked = asked(&sandbox);
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked[2].starts_with("The two differ."), "{asked:?}");
    sandbox.set_passphrase("open sesame\n");
    sandbox.succeeds(&mut sandbox.mount());
    sandbox.unmounts();
}

/// Where systemd runs the machine, its agents are asked: Plymouth, a console, a desktop.
#[test]
fn systemd_asks_at_boot_and_in_services() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    make_agent(&sandbox, "systemd-ask-password", "correct horse\n");
    let mut service = sandbox.prepared(Command::new("unshare"), &[]);
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec setsid --wait \"$@\"";
    service.args(["--mount", "sh", "-c", script, "sh", PROGRAM, "key", "verify"]).arg(sandbox.backing());
    let path = format!("{}:{}", sandbox.path("").display(), std::env::var("PATH").unwrap());
    sandbox.succeeds(service.env("PATH", path).env_remove("CRYPTFS_ASKPASS"));
    let asked = asked(&sandbox);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(
        asked[0].starts_with("--id=cryptfs ") && asked[0].contains(" --timeout=0 Encrypted volume"),
        "{asked:?}"
    );
}

/// mount(8) takes PATH away from its helpers, also at boot.
#[test]
fn systemd_is_asked_for_a_line_of_fstab_though_mount_takes_path_away() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    let agent = make_agent(&sandbox, "systemd-ask-password", "wrong\nwrong\nwrong\n");
    let helper = sandbox.path("mount.fuse.cryptfs");
    symlink(PROGRAM, &helper).unwrap();
    let mut service = sandbox.prepared(Command::new("unshare"), &[]);
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/system && mount --bind \"$agent\" \
        /usr/bin/systemd-ask-password && exec setsid --wait env -u PATH \"$@\"";
    service
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(helper)
        .arg(sandbox.backing())
        .arg(sandbox.plain());
    sandbox.fails(service.env("agent", agent).env_remove("CRYPTFS_ASKPASS"), 13);
    assert_eq!(asked(&sandbox).len(), 3, "{:?}", asked(&sandbox));
}

/// mount(8) takes HOME away, too: without it a line of fstab with `user` was mounted read-only, for want of a state folder.
#[test]
fn a_users_state_folder_is_found_though_mount_takes_home_away() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::with_volume();
    sandbox.give_to_nobody();
    let script = r#"sed "s|^nobody:.*|nobody:x:65534:65534::$at:/bin/sh|" /etc/passwd >"$at/passwd" &&
        mount --bind "$at/passwd" /etc/passwd &&
        exec setpriv --reuid=65534 --regid=65534 --clear-groups env -i "$@""#;
    let mut users = sandbox.prepared(Command::new("unshare"), &[]);
    users.args(["--mount", "sh", "-c", script, "sh", PROGRAM, "ls"]).arg(sandbox.backing());
    users.arg("--passphrase-file").arg(sandbox.path("passphrase")).env("at", sandbox.path(""));
    let told = users.output().unwrap();
    assert!(told.status.success(), "{told:?}");
    assert!(sandbox.path(".local/state/cryptfs").is_dir(), "{told:?}");
}

#[test]
fn what_was_typed_is_kept_where_that_is_asked_for_until_it_opens_nothing() {
    let sandbox = Sandbox::with_volume();
    let agent = make_agent(&sandbox, "agent", "correct horse\n");
    let keeping = ["-o", "keyring=10m"];
    let told = mount_alone(&sandbox, &agent, &keeping).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    sandbox.unmounts();
    if String::from_utf8_lossy(&told.stderr).contains("keyring") {
        return; // A container may have none.
    }
    sandbox.succeeds(&mut mount_alone(&sandbox, &agent, &keeping));
    sandbox.unmounts();
    assert_eq!(asked(&sandbox).len(), 1);
    // Who does not ask for it gets nothing of it.
    sandbox.fails(&mut mount_alone(&sandbox, &agent, &[]), 14);
    let new = sandbox.path("new");
    fs::write(&new, "battery staple").unwrap();
    let info = sandbox.program(&["info".as_ref(), "--json".as_ref(), sandbox.backing().as_ref()]).output();
    let info: serde_json::Value = serde_json::from_slice(&info.unwrap().stdout).unwrap();
    let slot = info["slots"].as_array().unwrap().iter().find(|slot| slot["type"] == "passphrase").unwrap();
    let mut change = sandbox.program(&["key".as_ref(), "change".as_ref(), sandbox.backing().as_ref()]);
    change.arg(slot["id"].as_str().unwrap());
    let passphrase = sandbox.path("passphrase");
    change
        .args(["--iter-time=1", "--passphrase-file"])
        .arg(passphrase)
        .arg("--new-passphrase-file")
        .arg(&new);
    sandbox.succeeds(&mut change);
    make_agent(&sandbox, "agent", "battery staple\n");
    for _ in 0..2 {
        sandbox.succeeds(&mut mount_alone(&sandbox, &agent, &keeping));
        sandbox.unmounts();
    }
    assert_eq!(asked(&sandbox).len(), 3);
}

/// A mount in front, and where it tells what becomes of it.
fn managed(sandbox: &Sandbox) -> (Child, UnixDatagram) {
    let socket = sandbox.path("notify");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let child = sandbox.mount().arg("-f").env("NOTIFY_SOCKET", &socket).spawn().unwrap();
    (child, listener)
}

fn hear(listener: &UnixDatagram) -> String {
    let mut message = [0; 512];
    let length = listener.recv(&mut message).unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

#[test]
fn a_manager_is_told_when_the_mount_answers_and_when_it_ends() {
    let sandbox = Sandbox::with_volume();
    let (mut child, listener) = managed(&sandbox);
    let ready = hear(&listener);
    let status = format!("STATUS=Mounted at {}", sandbox.plain().display());
    assert!(ready.starts_with("READY=1\n") && ready.contains(&status), "{ready}");
    assert!(sandbox.is_mounted());
    fs::write(sandbox.plain().join("f"), "content").unwrap();
    let held = File::open(sandbox.plain().join("f")).unwrap();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let stopping = hear(&listener);
    assert!(stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\n"), "{stopping}");
    // systemd only ever lengthens: what was longer before would count.
    let waiting = hear(&listener);
    let stored = "EXTEND_TIMEOUT_USEC=15000000\nSTATUS=Everything is stored";
    assert!(waiting.starts_with(stored), "{waiting}");
    drop(held);
    assert!(child.wait().unwrap().success());
}

/// Looking on, as a status bar does, is no use.
#[test]
fn an_idle_mount_leaves_unless_something_in_it_is_in_use() {
    let sandbox = Sandbox::with_volume();
    let log = sandbox.path("log");
    sandbox.succeeds(sandbox.mount().args(["-o", "idle=1s", "--log-file"]).arg(&log));
    fs::write(sandbox.plain().join("f"), "content").unwrap();
    let held = File::open(sandbox.plain().join("f")).unwrap();
    let kept =
        || fs::read_to_string(&log).unwrap_or_default().contains("it stays mounted though nothing is asked");
    eventually("it is said who keeps it", kept);
    assert!(sandbox.is_mounted());
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains(&format!("(process {}) uses it", std::process::id())), "{said}");
    // Mount namespaces that other tests make have it, too.
    let is_kept = said.contains("it is mounted at") && !said.contains(" for ");
    assert!(!is_kept, "where it is mounted keeps nothing: {said}");
    drop(held);
    let plain = sandbox.plain();
    eventually("it leaves", || {
        let looked = sandbox.program(&["status".as_ref(), plain.as_ref()]).output().unwrap();
        assert!(matches!(looked.status.code(), Some(0 | 1 | 25 | 36)), "{looked:?}");
        !sandbox.is_mounted()
    });
    sandbox.succeeds(&mut sandbox.mount());
    assert_eq!(fs::read(plain.join("f")).unwrap(), b"content");
    sandbox.unmounts();
}

#[test]
fn umount_8_returns_when_everything_is_written() {
    let sandbox = Sandbox::with_volume();
    let helper = sandbox.path("umount.fuse.cryptfs");
    symlink(PROGRAM, &helper).unwrap();
    let umount = |flags: &[&str]| {
        let mut command = sandbox.prepared(Command::new(&helper), &[sandbox.plain().as_os_str()]);
        command.args(flags).args(["-t", "fuse.cryptfs"]);
        command
    };
    let is_over = || File::open(sandbox.backing().join("cryptfs.json")).unwrap().try_lock_shared().is_ok();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("f"), "content").unwrap();
    sandbox.succeeds(&mut umount(&["-n"]));
    assert!(is_over() && !sandbox.is_mounted());
    sandbox.succeeds(&mut sandbox.mount());
    let held = File::open(sandbox.plain().join("f")).unwrap();
    sandbox.fails(&mut umount(&[]), 26);
    sandbox.succeeds(&mut umount(&["-l"]));
    assert!(!sandbox.is_mounted());
    drop(held);
    eventually("the daemon's end", is_over);
    if !is_root() {
        return;
    }
    sandbox.succeeds(&mut sandbox.mount());
    let daemon = sandbox.daemon().to_string();
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &*daemon]).status().unwrap().success());
    signal("-STOP");
    let begun = Instant::now();
    sandbox.succeeds(&mut umount(&["-f"]));
    assert!(!sandbox.is_mounted() && begun.elapsed() < Duration::from_secs(30));
    signal("-CONT");
    eventually("the daemon's end", is_over);
}

/// Of the user games, whom no other test is.
#[test]
fn all_mounts_of_a_user_are_unmounted_and_no_others() {
    const USER: (u32, u32) = (5, 60);
    if !is_root() {
        return;
    }
    let other = Sandbox::with_volume();
    other.succeeds(&mut other.mount());
    let sandboxes = [Sandbox::empty(), Sandbox::empty()];
    let run = |sandbox: &Sandbox, command: &Command| {
        let mut command = sandbox.as_nobody(command);
        command.uid(USER.0).gid(USER.1);
        command
    };
    for sandbox in &sandboxes {
        sandbox.give_to_nobody();
        let folder = sandbox.path("");
        assert!(Command::new("chown").args(["-R", "5:60"]).arg(folder).status().unwrap().success());
        sandbox.succeeds(&mut run(sandbox, &sandbox.init()));
        sandbox.succeeds(&mut run(sandbox, &sandbox.mount()));
    }
    let all = sandboxes[0].program(&["umount".as_ref(), "--all".as_ref()]);
    sandboxes[0].succeeds(&mut run(&sandboxes[0], &all));
    assert!(sandboxes.iter().all(|sandbox| !sandbox.is_mounted()) && other.is_mounted());
    other.unmounts();
}

/// A unit at login opens nothing that somebody would have to be asked for.
#[test]
fn init_names_a_unit_only_where_it_would_open_the_volume() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::empty();
    let told = sandbox.succeeds(&mut sandbox.init());
    assert!(
        told.contains("\nAt each boot: `cryptfs unit ") && told.contains(" FOLDER --install`."),
        "{told}"
    );
    let sandbox = Sandbox::empty();
    sandbox.give_to_nobody();
    let told = sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.init()));
    assert!(told.contains("cryptfs mount ") && !told.contains("cryptfs unit "), "{told}");
}

/// What was written to the mountpoint while nothing was mounted would otherwise lie there for ever, and be missed.
#[test]
fn what_a_mount_hides_is_told() {
    let sandbox = Sandbox::with_volume();
    let told = || String::from_utf8(sandbox.mount().output().unwrap().stderr).unwrap();
    assert_eq!(told(), "");
    sandbox.unmounts();
    fs::write(sandbox.plain().join("letter"), "content").unwrap();
    let told = told();
    assert!(
        told.contains("plain: is not empty. What lies in it is not encrypted, and is hidden until "),
        "{told}"
    );
    assert!(fs::read_dir(sandbox.plain()).unwrap().next().is_none());
    sandbox.unmounts();
}
