//! Public keys of others: SSH keys as ssh-keygen makes them, and a plugin of age (tests/support/age-plugin-toy).

use crate::sandbox::{Sandbox, support};
use crate::terminal::on_terminal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn key(sandbox: &Sandbox, command: &str) -> Command {
    sandbox.program(&["key".as_ref(), command.as_ref(), sandbox.backing().as_ref()])
}

fn add(sandbox: &Sandbox, recipient: &str) -> Command {
    let mut add = key(sandbox, "add");
    add.args(["--recipient", recipient, "--passphrase-file"]).arg(sandbox.path("passphrase"));
    add
}

fn verify(sandbox: &Sandbox, identity: &Path) -> Command {
    let mut verify = key(sandbox, "verify");
    verify.arg("--identity").arg(identity);
    verify
}

fn mount(sandbox: &Sandbox, identity: &Path) -> Command {
    let mut mount = sandbox.program(&["mount".as_ref(), sandbox.backing().as_ref()]);
    mount.arg(sandbox.plain()).arg("--identity").arg(identity);
    mount
}

/// The toy's recipient, and a file with its identity.
fn toy(sandbox: &Sandbox, payload: &str) -> (String, PathBuf) {
    let pair = sandbox.succeeds(Command::new(support().join("age-plugin-toy")).arg(payload));
    let (recipient, identity) = pair.trim().split_once('\n').unwrap();
    let file = sandbox.path(payload);
    fs::write(&file, format!("# a toy\n{identity}\n")).unwrap();
    private(sandbox, &file);
    (recipient.to_owned(), file)
}

fn private(sandbox: &Sandbox, file: &Path) {
    sandbox.succeeds(Command::new("chmod").arg("600").arg(file));
}

#[test]
fn an_age_plugin_opens_the_volume() {
    let sandbox = Sandbox::with_volume();
    let (recipient, identity) = toy(&sandbox, "open");
    let told = sandbox.fails(add(&sandbox, &recipient).env("PATH", "/usr/bin:/bin"), 1);
    assert!(told.contains("age-plugin-toy"), "{told}");
    sandbox.succeeds(add(&sandbox, &recipient).arg("--owner"));
    let list = sandbox.succeeds(key(&sandbox, "list").arg("--json"));
    assert!(list.contains(&format!("\"recipient\": \"{recipient}\"")), "{list}");
    sandbox.succeeds(&mut mount(&sandbox, &identity));
    fs::write(sandbox.plain().join("x"), "x").unwrap();
    sandbox.unmounts();
    let told = sandbox.fails(verify(&sandbox, &identity).env("PATH", "/usr/bin:/bin"), 1);
    assert!(told.contains("age-plugin-toy") && told.contains("PATH"), "{told}");
    let (_, other) = toy(&sandbox, "other");
    sandbox.fails(&mut verify(&sandbox, &other), 13);
    let mut rotate = key(&sandbox, "rotate");
    let told = sandbox.succeeds(rotate.arg("--identity").arg(&identity));
    assert!(told.contains("Replaced slot"), "{told}");
    sandbox.succeeds(&mut mount(&sandbox, &identity));
    assert_eq!(fs::read_to_string(sandbox.plain().join("x")).unwrap(), "x");
    sandbox.unmounts();
}

#[test]
fn what_an_age_plugin_wants_is_asked_and_what_it_says_is_told() {
    let sandbox = Sandbox::with_volume();
    let (recipient, identity) = toy(&sandbox, "pin");
    sandbox.succeeds(&mut add(&sandbox, &recipient));
    let told = sandbox.fails(&mut verify(&sandbox, &identity), 1);
    assert!(told.contains("that is not the PIN of the toy"), "{told}");
    let backing = sandbox.backing();
    let verify_there =
        ["key".as_ref(), "verify".as_ref(), backing.as_os_str(), "--identity".as_ref(), identity.as_ref()];
    for (pin, code) in [("1234\n", 0), ("4321\n", 1)] {
        let (shown, found) = on_terminal(&sandbox, &verify_there, &[("PIN of the toy: ", pin)]);
        assert_eq!(found, Some(code), "{shown}");
        assert!(shown.contains("Please look at the toy") && !shown.contains(pin.trim()), "{shown}");
    }
    let (recipient, identity) = toy(&sandbox, "gone");
    sandbox.succeeds(&mut add(&sandbox, &recipient));
    let told = sandbox.fails(&mut verify(&sandbox, &identity), 1);
    assert!(told.contains("the toy is not plugged in"), "{told}");
}

#[test]
fn ssh_keys_of_each_kind() {
    let sandbox = Sandbox::with_volume();
    let backing = sandbox.backing();
    for (kind, bits) in [("ed25519", "256"), ("rsa", "2048")] {
        for passphrase in ["", "sesame"] {
            let file = sandbox.path(&format!("id_{kind}{passphrase}"));
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", kind, "-b", bits, "-C", "anna@home", "-N", passphrase, "-f"]);
            sandbox.succeeds(make.arg(&file));
            let public = fs::read_to_string(file.with_extension("pub")).unwrap();
            sandbox.succeeds(&mut add(&sandbox, public.trim()));
            if passphrase.is_empty() {
                let told = sandbox.succeeds(&mut verify(&sandbox, &file));
                assert!(told.starts_with("Opened by recipient slot "), "{told}");
                sandbox.succeeds(&mut mount(&sandbox, &file));
                sandbox.unmounts();
                continue;
            }
            let told = sandbox.fails(&mut verify(&sandbox, &file), 13);
            assert!(told.contains("under a passphrase"), "{told}");
            let verify_there = [
                "key".as_ref(),
                "verify".as_ref(),
                backing.as_os_str(),
                "--identity".as_ref(),
                file.as_ref(),
            ];
            for (typed, code) in [("sesame\n", 0), ("open\n", 13)] {
                let prompt = "Passphrase of the SSH private key: ";
                let (shown, found) = on_terminal(&sandbox, &verify_there, &[(prompt, typed)]);
                assert_eq!(found, Some(code), "{shown}");
                assert!(!shown.contains(typed.trim()), "{shown}");
            }
        }
    }
}
