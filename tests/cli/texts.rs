//! Help texts and the manual against their committed copies. `CRYPTFS_BLESS=1` rewrites the copies.

use crate::sandbox::PROGRAM;
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

#[test]
fn completions_of_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(PROGRAM).args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("umount"));
    }
}
