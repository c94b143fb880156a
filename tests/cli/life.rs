//! A volume from init to unmount.

use crate::sandbox::{PROGRAM, Sandbox, eventually, is_root};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn what_was_written_is_there_after_a_remount() {
    let sandbox = Sandbox::with_volume();
    let plain = sandbox.plain();
    sandbox.succeeds(&mut sandbox.mount());
    assert!(sandbox.is_mounted());
    let large: Vec<u8> = (0..5_000_000_u32).flat_map(|n| n.to_le_bytes()).take(9 << 20).collect();
    fs::write(plain.join("large"), &large).unwrap();
    fs::create_dir(plain.join("folder")).unwrap();
    fs::write(plain.join("folder/small"), "small").unwrap();
    fs::set_permissions(plain.join("folder/small"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("folder/small", plain.join("link")).unwrap();
    sandbox.unmounts();
    assert!(!sandbox.is_mounted());
    assert_eq!(fs::read_dir(&plain).unwrap().count(), 0);

    sandbox.succeeds(&mut sandbox.mount());
    assert!(fs::read(plain.join("large")).unwrap() == large);
    assert_eq!(fs::read_to_string(plain.join("link")).unwrap(), "small");
    assert_eq!(fs::metadata(plain.join("folder/small")).unwrap().mode() & 0o7777, 0o640);
    sandbox.unmounts();
}

#[test]
fn a_read_only_mount_writes_nothing() {
    let sandbox = Sandbox::with_volume();
    let snapshot = || Command::new("find").arg(sandbox.backing()).args(["-printf", "%p %T@ %s\n"]).output();
    let before = snapshot().unwrap().stdout;
    sandbox.succeeds(sandbox.mount().args(["-o", "ro"]));
    assert!(fs::write(sandbox.plain().join("x"), "x").is_err());
    sandbox.unmounts();
    assert_eq!(String::from_utf8(snapshot().unwrap().stdout), String::from_utf8(before));
}

#[test]
fn a_signal_unmounts_and_loses_nothing() {
    for signal in ["-TERM", "-INT", "-HUP"] {
        let sandbox = Sandbox::with_volume();
        let mut daemon = sandbox.mount().arg("-f").spawn().unwrap();
        eventually("the mount", || sandbox.is_mounted());
        fs::write(sandbox.plain().join("x"), signal).unwrap();
        Command::new("kill").arg(signal).arg(daemon.id().to_string()).status().unwrap();
        assert_eq!(daemon.wait().unwrap().code(), Some(0), "{signal}");
        assert!(!sandbox.is_mounted(), "{signal}");
        sandbox.succeeds(&mut sandbox.mount());
        assert_eq!(fs::read_to_string(sandbox.plain().join("x")).unwrap(), signal);
        sandbox.unmounts();
    }
}

#[test]
fn a_killed_daemon_is_replaced_by_mount_or_cleared_by_umount() {
    let sandbox = Sandbox::with_volume();
    let kill = || {
        fs::File::open(sandbox.plain().join("x")).unwrap().sync_all().unwrap();
        Command::new("kill").arg("-KILL").arg(sandbox.daemon().to_string()).status().unwrap();
        eventually("the daemon's end", || fs::read_dir(sandbox.plain()).is_err());
    };
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("x"), "kept").unwrap();
    kill();
    sandbox.succeeds(&mut sandbox.mount());
    assert_eq!(fs::read_to_string(sandbox.plain().join("x")).unwrap(), "kept");
    kill();
    sandbox.unmounts();
    sandbox.succeeds(&mut sandbox.mount());
    assert_eq!(fs::read_to_string(sandbox.plain().join("x")).unwrap(), "kept");
    sandbox.unmounts();
}

#[test]
fn umount_refuses_what_is_in_use() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let held = fs::File::create(sandbox.plain().join("x")).unwrap();
    let told = sandbox.fails(&mut sandbox.umount(), 26);
    assert!(told.contains(&format!("(process {}) uses it", std::process::id())), "{told}");
    drop(held);
    sandbox.unmounts();
}

#[test]
fn row_36_the_daemons_memory_is_its_own() {
    let sandbox = Sandbox::with_volume();
    let mut shell = sandbox.prepared(Command::new("sh"), &[]);
    shell.args(["-c", "ulimit -c 1000; exec \"$@\"", "sh", PROGRAM]).args(sandbox.mount().get_args());
    sandbox.succeeds(&mut shell);
    let process = format!("/proc/{}", sandbox.daemon());
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let words = fs::read_to_string(format!("{process}/cmdline")).unwrap();
    assert!(!words.contains("correct horse"));
    let environment = fs::read(format!("{process}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("correct horse"));
    assert_eq!(fs::read_link(format!("{process}/cwd")).unwrap(), std::path::Path::new("/"));
    for descriptor in 0..3 {
        let target = fs::read_link(format!("{process}/fd/{descriptor}")).unwrap();
        assert_eq!(target, std::path::Path::new("/dev/null"));
    }
    sandbox.unmounts();
}

/// Only root can become somebody else; as anybody else the other tests are this one.
#[test]
fn row_36_an_ordinary_user_mounts_and_nobody_can_trace_the_daemon() {
    let Some(sandbox) = Sandbox::mounted_by_nobody() else { return };
    let file = sandbox.plain().join("x");
    let mut shell = Command::new("sh");
    sandbox.succeeds(shell.uid(65534).gid(65534).args(["-c", "echo mine > \"$0\" && cat \"$0\""]).arg(&file));
    // PR_SET_DUMPABLE 0 is what makes /proc/PID root's, and ptrace(2) impossible for the process's own user.
    assert_eq!(fs::metadata(format!("/proc/{}/environ", sandbox.daemon())).unwrap().uid(), 0);
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.umount()));
    assert!(!sandbox.is_mounted());
}

#[test]
fn mount_8_finds_the_helper() {
    let sandbox = Sandbox::with_volume();
    let helper = sandbox.path("mount.fuse.cryptfs");
    symlink(PROGRAM, &helper).unwrap();
    let options =
        format!("rw,user=anna,dev,suid,_netdev,x-y,passphrase-file={}", sandbox.path("passphrase").display());
    let call = |extra: &[&str]| {
        let mut command = sandbox.prepared(Command::new(&helper), &[]);
        command.arg(sandbox.backing()).arg(sandbox.plain()).args(extra).args(["-o", &options]);
        command
    };
    sandbox.succeeds(&mut call(&["-f"]));
    assert!(!sandbox.is_mounted());
    sandbox.succeeds(&mut call(&["-n", "-t", "fuse.cryptfs"]));
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let line = mounts.lines().find(|line| line.contains(sandbox.plain().to_str().unwrap())).unwrap();
    assert!(line.contains(" fuse.cryptfs rw,noexec,"), "{line}");
    assert!(!line.contains("nosuid"), "{line}");
    sandbox.unmounts();
    sandbox.fails(call(&[]).args(["-o", "nonsense"]), 2);
    sandbox.succeeds(call(&["-s"]).args(["-o", "nonsense"]));
    sandbox.unmounts();
}

#[test]
fn a_copy_without_any_metadata_shows_the_same_tree() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("x"), "x").unwrap();
    fs::set_permissions(sandbox.plain().join("x"), fs::Permissions::from_mode(0o751)).unwrap();
    sandbox.unmounts();
    let copy = sandbox.path("copy");
    sandbox.succeeds(Command::new("cp").arg("-r").arg(sandbox.backing()).arg(&copy));
    sandbox.succeeds(
        sandbox
            .program(&["mount".as_ref(), copy.as_ref()])
            .arg(sandbox.plain())
            .args(["--passphrase-file".as_ref(), sandbox.path("passphrase").as_os_str()]),
    );
    assert_eq!(fs::metadata(sandbox.plain().join("x")).unwrap().mode() & 0o7777, 0o751);
    sandbox.unmounts();
}

#[test]
fn info_of_a_mountpoint_is_that_of_its_volume() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let json = |path: std::path::PathBuf| {
        let text =
            sandbox.succeeds(&mut sandbox.program(&["info".as_ref(), path.as_ref(), "--json".as_ref()]));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let info = json(sandbox.plain());
    assert_eq!(info, json(sandbox.backing()));
    assert_eq!(info["cipher"], "aes-256-gcm");
    assert_eq!(info["chunk_size"], 4 << 20);
    assert_eq!(info["mountpoints"][0], sandbox.plain().to_str().unwrap());
    assert_eq!(info["slots"][0]["type"], "passphrase");
    assert_eq!(info["fingerprint"].as_str().unwrap().len(), 39);
    sandbox.unmounts();
}

/// As a file server's clients keep them over a restart of the machine.
#[test]
fn a_file_is_opened_by_the_handle_that_an_earlier_mount_gave() {
    if !is_root() {
        eprintln!("left out: only root may open by handle");
        return;
    }
    const SCRIPT: &str = include_str!("../support/handles.py");
    for transport in ["auto", "device"] {
        let sandbox = Sandbox::with_volume();
        let mounts = || {
            let mut mount = sandbox.mount();
            sandbox.succeeds(mount.args(["-o", &format!("transport={transport}")]));
        };
        let script = |kept: &str, name: &str| {
            let mut script = Command::new("python3");
            script.args(["-c", SCRIPT]).arg(sandbox.plain()).arg(sandbox.path(kept)).arg(name);
            sandbox.succeeds(&mut script).trim().to_owned()
        };
        mounts();
        fs::create_dir(sandbox.plain().join("folder")).unwrap();
        fs::write(sandbox.plain().join("folder/file"), "content").unwrap();
        script("file", "folder/file");
        script("folder", "folder");
        for _ in 0..2 {
            assert_eq!(script("file", ""), "content");
            assert_eq!(script("folder", ""), "['file']");
            sandbox.unmounts();
            mounts();
        }
        fs::remove_file(sandbox.plain().join("folder/file")).unwrap();
        assert_eq!(script("file", ""), libc::ESTALE.to_string());
        sandbox.unmounts();
    }
}
