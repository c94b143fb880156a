//! `cryptfs device`: which devices write to a volume, and taking one out that is gone.

use crate::sandbox::{Sandbox, eventually};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// The same as another device: its state folder.
fn elsewhere(sandbox: &Sandbox, mut command: Command) -> Command {
    command.env("XDG_STATE_HOME", sandbox.path("elsewhere"));
    command
}

fn device(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command =
        sandbox.program(&["device".as_ref(), arguments[0].as_ref(), sandbox.backing().as_ref()]);
    command.args(&arguments[1..]);
    if arguments[0] != "rename" {
        command.arg("--passphrase-file").arg(sandbox.path("passphrase"));
    }
    command
}

fn devices(sandbox: &Sandbox) -> Vec<Value> {
    let shown = sandbox.succeeds(&mut device(sandbox, &["list", "--json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    shown["devices"].as_array().unwrap().clone()
}

/// The device with this label.
fn labelled(sandbox: &Sandbox, label: &str) -> Option<Value> {
    devices(sandbox).into_iter().find(|device| device["label"] == label)
}

/// Mounts as the other device, creates a file, and is killed: its journal tells of the file.
fn killed_elsewhere(sandbox: &Sandbox) {
    sandbox.succeeds(&mut elsewhere(sandbox, device(sandbox, &["rename", "an old laptop"])));
    sandbox.succeeds(&mut elsewhere(sandbox, sandbox.mount()));
    fs::create_dir(sandbox.plain().join("made there")).unwrap();
    fs::File::open(sandbox.plain().join("made there")).unwrap().sync_all().unwrap();
    let daemon = sandbox.daemon();
    assert!(Command::new("kill").args(["-9", &daemon.to_string()]).status().unwrap().success());
    eventually("the mount of a killed daemon can be taken away", || {
        Command::new("umount").arg(sandbox.plain()).status().unwrap().success() || !sandbox.is_mounted()
    });
}

#[test]
fn a_device_is_listed_by_its_label_and_retired_with_nothing_lost() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("made here"), "1").unwrap();
    sandbox.unmounts();
    killed_elsewhere(&sandbox);
    let before = labelled(&sandbox, "an old laptop").expect("it is listed");
    assert_eq!(before["this_device"], false);
    assert!(
        before["waiting"].as_u64().unwrap() > 0 && before["last_wrote"].as_u64().unwrap() > 1_700_000_000
    );
    assert_eq!(devices(&sandbox).iter().filter(|device| device["this_device"] == true).count(), 1);
    let text = sandbox.succeeds(&mut device(&sandbox, &["list"]));
    assert!(text.contains("an old laptop") && text.contains("(this device)"), "{text}");
    let id = before["id"].as_str().unwrap();
    sandbox.succeeds(&mut device(&sandbox, &["retire", id]));
    assert!(labelled(&sandbox, "an old laptop").is_none());
    sandbox.succeeds(&mut sandbox.mount());
    assert!(sandbox.plain().join("made there").is_dir(), "what its journal said is stored");
    assert_eq!(fs::read(sandbox.plain().join("made here")).unwrap(), b"1");
    sandbox.unmounts();
    let told = sandbox.fails(&mut device(&sandbox, &["retire", id]), 1);
    assert!(told.contains("no journal of that device"), "{told}");
}

#[test]
fn a_device_whose_journal_is_damaged_is_retired_by_force_only() {
    let sandbox = Sandbox::with_volume();
    killed_elsewhere(&sandbox);
    let id = labelled(&sandbox, "an old laptop").unwrap()["id"].as_str().unwrap().to_owned();
    let journal = fs::read_dir(sandbox.backing().join("journals")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&journal).unwrap();
    bytes[100] ^= 1;
    bytes[4096 + 100] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let told = sandbox.fails(&mut device(&sandbox, &["retire", &id]), 5);
    assert!(told.contains("cryptfs check"), "{told}");
    assert_eq!(fs::read(&journal).unwrap(), bytes, "it is left alone");
    sandbox.succeeds(&mut device(&sandbox, &["retire", "--force", &id]));
    assert!(!journal.exists());
}

#[test]
fn a_device_does_not_retire_itself() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("x"), "1").unwrap();
    sandbox.unmounts();
    let own = devices(&sandbox).into_iter().find(|device| device["this_device"] == true).unwrap();
    let told = sandbox.fails(&mut device(&sandbox, &["retire", own["id"].as_str().unwrap()]), 1);
    assert!(told.contains("this device"), "{told}");
    let told = sandbox.fails(&mut device(&sandbox, &["retire", "no id"]), 2);
    assert!(told.contains("16 hex digits"), "{told}");
}
