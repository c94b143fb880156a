//! Key slots, from the command line.

use crate::sandbox::Sandbox;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

fn key(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = sandbox.program(&["key".as_ref(), arguments[0].as_ref(), sandbox.backing().as_ref()]);
    command.args(&arguments[1..]);
    command
}

fn unlocked(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = key(sandbox, arguments);
    command.arg("--passphrase-file").arg(sandbox.path("passphrase"));
    command
}

fn slots(sandbox: &Sandbox) -> Vec<(String, String)> {
    let text = sandbox.succeeds(&mut key(sandbox, &["list", "--json"]));
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let field = |slot: &serde_json::Value, name| slot[name].as_str().unwrap().to_owned();
    list["slots"].as_array().unwrap().iter().map(|slot| (field(slot, "type"), field(slot, "id"))).collect()
}

fn id_of(sandbox: &Sandbox, kind: &str) -> String {
    slots(sandbox).into_iter().find(|(found, _)| found == kind).unwrap().1
}

#[test]
fn a_recovery_key_opens_the_volume_and_the_passphrase_may_go() {
    let sandbox = Sandbox::with_volume();
    let out = sandbox.path("recovery");
    sandbox.succeeds(
        unlocked(&sandbox, &["add", "--recovery", "--label", "paper", "--owner"])
            .arg("--recovery-file")
            .arg(&out),
    );
    let old = id_of(&sandbox, "passphrase");
    // What opens the slot that goes does not count.
    let told = sandbox.fails(&mut unlocked(&sandbox, &["remove", &old]), 13);
    assert!(told.contains(&format!("Slot {old} is not tried, since it is to go")), "{told}");
    fs::copy(&out, sandbox.path("passphrase")).unwrap();
    sandbox.succeeds(&mut unlocked(&sandbox, &["remove", &old]));
    let last = id_of(&sandbox, "recovery");
    // The first digits are enough, of a slot that is there.
    let told = sandbox.succeeds(&mut unlocked(&sandbox, &["verify", "--slot", &last[..4]]));
    assert!(told.starts_with("Opened by recovery slot "), "{told}");
    let told = sandbox.fails(&mut unlocked(&sandbox, &["remove", &old[..8]]), 18);
    assert!(told.contains(&format!("there is no key slot {}…. `cryptfs key list", &old[..8])), "{told}");
    sandbox.fails(&mut unlocked(&sandbox, &["remove", &last]), 27);
    sandbox.fails(&mut unlocked(&sandbox, &["remove", &old]), 18);
    sandbox.succeeds(&mut key(&sandbox, &["remove", &last, "--force"]));
    assert_eq!(slots(&sandbox), []);
}

#[test]
fn row_17_a_removed_slot_that_comes_back_is_not_used() {
    let sandbox = Sandbox::with_volume();
    let id = id_of(&sandbox, "passphrase");
    let file = sandbox.backing().join("keys").join(format!("{id}.json"));
    let copy = fs::read(&file).unwrap();
    fs::write(sandbox.path("second"), "another").unwrap();
    let mut add = unlocked(&sandbox, &["add", "--passphrase", "--owner", "--iter-time=1"]);
    sandbox.succeeds(add.arg("--new-passphrase-file").arg(sandbox.path("second")));
    let mut remove = key(&sandbox, &["remove", &id, "--passphrase-file"]);
    sandbox.succeeds(remove.arg(sandbox.path("second")));
    fs::write(&file, copy).unwrap();
    let told = sandbox.fails(&mut sandbox.mount(), 13);
    assert!(told.contains(&format!("key slot {id} is revoked; it is not used")), "{told}");
    let backing = sandbox.backing();
    let status =
        sandbox.succeeds(&mut sandbox.program(&["trust".as_ref(), "status".as_ref(), backing.as_ref()]));
    assert!(status.contains("is revoked"), "{status}");
}

#[test]
fn a_changed_passphrase() {
    let sandbox = Sandbox::with_volume();
    let id = id_of(&sandbox, "passphrase");
    fs::write(sandbox.path("new"), "another\n").unwrap();
    let mut change = unlocked(&sandbox, &["change", &id[..6], "--iter-time=1"]);
    sandbox.succeeds(change.arg("--new-passphrase-file").arg(sandbox.path("new")));
    assert_eq!(slots(&sandbox).len(), 1);
    sandbox.fails(&mut sandbox.mount(), 13);
    sandbox.set_passphrase("another");
    sandbox.succeeds(&mut unlocked(&sandbox, &["verify"]));
}

/// Where it is clear which one is meant, its id need not be looked up.
#[test]
fn the_only_passphrase_is_changed_without_its_id() {
    let sandbox = Sandbox::with_volume();
    fs::write(sandbox.path("new"), "another\n").unwrap();
    let change = || {
        let mut change = unlocked(&sandbox, &["change", "--iter-time=1"]);
        change.arg("--new-passphrase-file").arg(sandbox.path("new"));
        change
    };
    sandbox.succeeds(&mut change());
    sandbox.set_passphrase("another");
    sandbox.succeeds(&mut unlocked(&sandbox, &["verify"]));
    let mut add = unlocked(&sandbox, &["add", "--passphrase", "--iter-time=1"]);
    sandbox.succeeds(add.arg("--new-passphrase-file").arg(sandbox.path("new")));
    let told = sandbox.fails(&mut change(), 18);
    assert!(told.contains("name the slot to change; `cryptfs key list DIR/backing`"), "{told}");
}

#[test]
fn a_recipient_and_an_identity() {
    let sandbox = Sandbox::with_volume();
    let identity = sandbox.path("id_ed25519");
    sandbox.succeeds(
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&identity),
    );
    let public = fs::read_to_string(identity.with_extension("pub")).unwrap();
    sandbox.succeeds(&mut unlocked(&sandbox, &["add", "--recipient", public.trim()]));
    let told = sandbox.succeeds(key(&sandbox, &["verify", "--identity"]).arg(&identity));
    assert!(told.starts_with("Opened by recipient slot "), "{told}");
    sandbox.succeeds(sandbox.program(&["mount".as_ref(), sandbox.backing().as_ref()]).args([
        sandbox.plain().as_os_str(),
        OsStr::new("--identity"),
        identity.as_ref(),
    ]));
    sandbox.unmounts();
}

#[test]
fn detached_keys() {
    let sandbox = Sandbox::empty();
    let keys = sandbox.path("elsewhere");
    sandbox.succeeds(sandbox.init().arg("--keys").arg(&keys));
    assert!(!sandbox.backing().join("keys").exists());
    let told = sandbox.fails(&mut sandbox.mount(), 18);
    assert!(told.contains("--keys"), "{told}");
    let option = format!("keys={}", keys.display());
    sandbox.succeeds(sandbox.mount().args(["-o", &option]));
    sandbox.unmounts();
}

#[test]
fn without_a_tpm_another_way_is_needed() {
    let sandbox = Sandbox::with_volume();
    let mut add = unlocked(&sandbox, &["add", "--tpm2", "--tcti", "device:/nowhere"]);
    let told = sandbox.fails(&mut add, 40);
    assert!(told.contains("No TPM 2.0 at /nowhere"), "{told}");
}
