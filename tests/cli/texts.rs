//! Help texts and the manual against their committed copies. `CRYPTFS_BLESS=1` rewrites the copies.

use crate::sandbox::{PROGRAM, Sandbox};
use std::fs;
use std::path::Path;
use std::process::Command;

fn same(copy: &str, found: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(copy);
    if std::env::var_os("CRYPTFS_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted.as_bytes() == found, "{copy} is out of date: CRYPTFS_BLESS=1 cargo test --test cli texts");
}

#[test]
fn help() {
    for words in [
        "",
        "init",
        "mount",
        "umount",
        "sync",
        "status",
        "unit",
        "info",
        "check",
        "ls",
        "tree",
        "cat",
        "stat",
        "locate",
        "du",
        "export",
        "import",
        "key",
        "key list",
        "key add",
        "key remove",
        "key change",
        "key refresh",
        "key rotate",
        "key request",
        "key sign",
        "key verify",
        "trust",
        "trust status",
        "trust accept",
        "device",
        "device list",
        "device rename",
        "device retire",
    ] {
        let output = Command::new(PROGRAM).args(words.split_whitespace()).arg("--help").output().unwrap();
        assert!(output.status.success());
        let name = format!("cryptfs {words}").trim_end().replace(' ', "-");
        same(&format!("tests/cli/help/{name}.txt"), &output.stdout);
    }
}

#[test]
fn manual() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Command::new(PROGRAM).arg("man").arg(folder.path()).status().unwrap().success());
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    for name in names(folder.path()) {
        let copy = format!("man/{}", name.to_str().unwrap());
        same(&copy, &fs::read(folder.path().join(name)).unwrap());
    }
    assert_eq!(names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("man")), names(folder.path()));
}

/// What bash offers for the last of these words, by the script that scripts/install puts where bash looks.
fn offered(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let script = r#"
        source <(cryptfs completions bash)
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _cryptfs_values cryptfs "${@: -1}" "${@: -2:1}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = sandbox.prepared(Command::new("bash"), &[]);
    let beside = Path::new(PROGRAM).parent().unwrap();
    bash.env("PATH", format!("{}:/usr/bin:/bin", beside.display())).current_dir(sandbox.path(""));
    let output = bash.args(["-c", script, "bash", "cryptfs"]).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn shells_complete_volumes_mountpoints_slots_and_options() {
    let sandbox = Sandbox::with_volume();
    let (backing, plain) = (sandbox.backing(), sandbox.plain());
    let (backing, plain) = (backing.to_str().unwrap(), plain.to_str().unwrap());
    assert_eq!(offered(&sandbox, &["umo"]), ["umount"]);
    for command in [&["mount", ""][..], &["key", "list", &backing[..3]], &["ls", ""], &["unit", ""]] {
        let offered = offered(&sandbox, command);
        assert!(offered.iter().any(|found| found == backing), "{command:?}: {offered:?}");
    }
    assert!(offered(&sandbox, &["mount", ""]).contains(&"plain".to_owned()), "folders as everywhere");
    sandbox.succeeds(&mut sandbox.mount());
    let mounted = offered(&sandbox, &["umount", ""]);
    sandbox.unmounts();
    assert!(mounted.iter().any(|found| found == plain), "{mounted:?}");
    let info =
        sandbox.succeeds(&mut sandbox.program(&["info".as_ref(), "--json".as_ref(), backing.as_ref()]));
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let slot = info["slots"][0]["id"].as_str().unwrap();
    assert_eq!(offered(&sandbox, &["key", "remove", backing, &slot[..2]]), [slot]);
    assert_eq!(offered(&sandbox, &["mount", backing, plain, "-o", "ro,thr"]), ["ro,threads="]);
}

#[test]
fn completions_of_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(PROGRAM).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("umount") && script.contains("CRYPTFS_COMPLETE"));
    }
}
