//! What whoever holds the folder makes of its key slots, through the program itself: nothing opens.

use crate::sandbox::Sandbox;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn slot(sandbox: &Sandbox) -> PathBuf {
    let files = fs::read_dir(sandbox.backing().join("keys")).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|file| fs::read_to_string(file).unwrap().contains("cryptfs-slot")).unwrap()
}

#[test]
fn a_slot_of_another_volume() {
    let (sandbox, other) = (Sandbox::with_volume(), Sandbox::with_volume());
    let foreign = slot(&other);
    fs::remove_file(slot(&sandbox)).unwrap();
    fs::copy(&foreign, sandbox.backing().join("keys").join(foreign.file_name().unwrap())).unwrap();
    let told = sandbox.fails(&mut sandbox.mount(), 18);
    assert!(told.contains("not the owner's, and not used, beside the key slots: "), "{told}");
}

#[test]
fn a_slot_with_any_one_field_changed() {
    let sandbox = Sandbox::with_volume();
    let file = slot(&sandbox);
    let text = fs::read_to_string(&file).unwrap();
    let slot: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert!(slot.len() >= 13, "{text}");
    for (name, value) in &slot {
        let mut changed = slot.clone();
        changed[name] = match value {
            Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
            Value::String(text) if name == "type" && text == "passphrase" => "recovery".into(),
            Value::String(text) if text.is_empty() => "x".into(),
            Value::String(text) => {
                let last = if text.ends_with('0') { '1' } else { '0' };
                format!("{}{last}", &text[..text.len() - 1]).into()
            }
            other => panic!("{name}: {other}"),
        };
        fs::write(&file, serde_json::to_string(&changed).unwrap()).unwrap();
        sandbox.fails(&mut sandbox.mount(), 18);
        let list = sandbox.succeeds(&mut sandbox.program(&[
            "key".as_ref(),
            "list".as_ref(),
            sandbox.backing().as_ref(),
        ]));
        assert!(list.contains("not the owner's: "), "{name}: {list}");
    }
    fs::write(&file, text).unwrap();
    sandbox.succeeds(&mut sandbox.mount());
    sandbox.unmounts();
}

/// A volume of the attacker's own, which the victim's identity opens, in the place of the victim's.
#[test]
fn a_volume_of_somebody_else_for_the_victims_public_key() {
    let sandbox = Sandbox::empty();
    let identity = sandbox.path("id_ed25519");
    sandbox.succeeds(
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&identity),
    );
    let public = fs::read_to_string(identity.with_extension("pub")).unwrap();
    let make = |state: &str| {
        let mut init = sandbox.program(&["init".as_ref(), sandbox.backing().as_ref()]);
        init.args(["--no-tpm2", "--no-passphrase", "--recipient", public.trim()]);
        sandbox.succeeds(init.env("XDG_STATE_HOME", sandbox.path(state)));
    };
    let mount = || {
        let mut mount =
            sandbox.program(&["mount".as_ref(), sandbox.backing().as_ref(), sandbox.plain().as_ref()]);
        mount.arg("--identity").arg(&identity);
        mount
    };
    make("state");
    sandbox.succeeds(&mut mount());
    sandbox.unmounts();
    let own = fs::read(sandbox.backing().join("cryptfs.json")).unwrap();
    fs::remove_dir_all(sandbox.backing()).unwrap();
    make("the attacker's state");
    let told = sandbox.fails(&mut mount(), 17);
    assert!(told.contains("is not the volume that this device knows there"), "{told}");
    // The same under the victim's header: there is no list that its owner signed.
    fs::write(sandbox.backing().join("cryptfs.json"), own).unwrap();
    let told = sandbox.fails(&mut mount(), 18);
    assert!(told.contains("none of its key slots counts"), "{told}");
}

/// Two at once must not each take the other's slot for the one that is left.
#[test]
fn two_commands_at_once_leave_a_slot() {
    let sandbox = Sandbox::with_volume();
    let first = slot(&sandbox);
    let mut add = sandbox.program(&["key".as_ref(), "add".as_ref(), sandbox.backing().as_ref()]);
    add.args(["--passphrase", "--owner", "--iter-time=1", "--new-passphrase-file"])
        .arg(sandbox.path("passphrase"));
    sandbox.succeeds(add.arg("--passphrase-file").arg(sandbox.path("passphrase")));
    let files = fs::read_dir(first.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let is_slot = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("cryptfs-slot");
    let slots: Vec<PathBuf> = files.filter(is_slot).collect();
    assert_eq!(slots.len(), 2);
    let remove = |slot: &PathBuf| {
        let id = slot.file_stem().unwrap();
        let mut remove =
            sandbox.program(&["key".as_ref(), "remove".as_ref(), sandbox.backing().as_ref(), id]);
        remove.arg("--passphrase-file").arg(sandbox.path("passphrase"));
        remove
    };
    let keys = fs::File::open(first.parent().unwrap()).unwrap();
    keys.lock().unwrap();
    let told = sandbox.fails(&mut remove(&slots[0]), 15);
    assert!(told.contains("another command is changing the key slots"), "{told}");
    keys.unlock().unwrap();
    sandbox.succeeds(&mut remove(&slots[0]));
    sandbox.fails(&mut remove(&slots[1]), 27);
}
