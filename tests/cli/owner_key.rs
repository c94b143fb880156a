//! The owner key as people meet it: a first contact, members and what they ask an owner for, a new owner key, folders
//! exchanged.

use crate::sandbox::Sandbox;
use crate::terminal::on_terminal;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn key(sandbox: &Sandbox, words: &[&str]) -> Command {
    let mut command = sandbox.program(&["key".as_ref(), words[0].as_ref(), sandbox.backing().as_ref()]);
    command.args(&words[1..]);
    command
}

fn with_passphrase(sandbox: &Sandbox, words: &[&str]) -> Command {
    let mut command = key(sandbox, words);
    command.arg("--passphrase-file").arg(sandbox.path("passphrase"));
    command
}

/// An SSH key pair: the private key's file and the public key.
fn pair(sandbox: &Sandbox, name: &str) -> (PathBuf, String) {
    let file = sandbox.path(name);
    let mut make = Command::new("ssh-keygen");
    sandbox.succeeds(make.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&file));
    let public = fs::read_to_string(file.with_extension("pub")).unwrap();
    (file, public.trim().to_owned())
}

fn fingerprint(sandbox: &Sandbox) -> String {
    let info = sandbox.succeeds(&mut sandbox.program(&["info".as_ref(), sandbox.backing().as_ref()]));
    let line = info.lines().find_map(|line| line.strip_prefix("Fingerprint")).unwrap();
    line.trim().to_owned()
}

/// A command on a device that has not seen the volume.
fn elsewhere(command: &mut Command, state: &Path) -> std::process::Output {
    command.env("XDG_STATE_HOME", state).output().unwrap()
}

#[test]
fn first_contact_with_a_passphrase_says_what_is_expected_from_now_on() {
    let sandbox = Sandbox::with_volume();
    let state = sandbox.path("elsewhere");
    let output = elsewhere(&mut with_passphrase(&sandbox, &["verify"]), &state);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains(&fingerprint(&sandbox)), "{told}");
    let again = elsewhere(&mut with_passphrase(&sandbox, &["verify"]), &state);
    assert!(again.status.success() && again.stderr.is_empty(), "{again:?}");
}

#[test]
fn row_47_first_contact_with_a_public_key_wants_the_fingerprint() {
    let sandbox = Sandbox::with_volume();
    let (identity, public) = pair(&sandbox, "id_member");
    sandbox.succeeds(&mut with_passphrase(&sandbox, &["add", "--recipient", &public]));
    let print = fingerprint(&sandbox);
    let verify = |more: &[&str]| {
        let mut verify = sandbox.prepared(Command::new("setsid"), &[]);
        verify.args(["--wait", crate::sandbox::PROGRAM, "key", "verify"]).arg(sandbox.backing());
        verify.arg("--identity").arg(&identity).args(more);
        verify
    };
    let output = elsewhere(&mut verify(&[]), &sandbox.path("a"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(14), "{told}");
    assert!(told.contains(&print) && told.contains("--fingerprint"), "{told}");
    assert_eq!(elsewhere(&mut verify(&["--fingerprint", &print]), &sandbox.path("b")).status.code(), Some(0));
    let other = format!("{}{}", if print.starts_with('0') { '1' } else { '0' }, &print[1..]);
    assert_eq!(
        elsewhere(&mut verify(&["--fingerprint", &other]), &sandbox.path("c")).status.code(),
        Some(17)
    );
    // On a terminal somebody is asked, and nothing is tried before they answer.
    let backing = sandbox.backing();
    let words =
        ["key".as_ref(), "verify".as_ref(), backing.as_os_str(), OsStr::new("--identity"), identity.as_ref()];
    fs::rename(sandbox.path("state"), sandbox.path("kept")).unwrap();
    let passphrase = fs::read_to_string(sandbox.path("passphrase")).unwrap();
    let declined = [("type yes", "\n"), ("assphrase or", &passphrase)];
    for answers in [&declined[..], &[("type yes", "yes\n")]] {
        let (shown, found) = on_terminal(&sandbox, &words, answers);
        assert_eq!(found, Some(0), "{shown}");
        assert!(shown.contains(&print), "{shown}");
        fs::remove_dir_all(sandbox.path("state")).unwrap();
    }
}

#[test]
fn a_member_opens_and_asks_and_an_owner_signs() {
    let sandbox = Sandbox::with_volume();
    let (identity, public) = pair(&sandbox, "id_member");
    sandbox.succeeds(&mut with_passphrase(&sandbox, &["add", "--recipient", &public, "--label", "bob"]));
    let as_member = |words: &[&str]| {
        let mut command = key(&sandbox, words);
        command.arg("--identity").arg(&identity);
        command
    };
    sandbox.succeeds(&mut as_member(&["verify"]));
    let new = sandbox.path("new");
    fs::write(&new, "the member's\n").unwrap();
    let new = new.to_str().unwrap();
    let told = sandbox.fails(&mut as_member(&["add", "--passphrase", "--new-passphrase-file", new]), 14);
    assert!(told.contains("Only a slot of the owner's"), "{told}");
    let list = sandbox.succeeds(&mut key(&sandbox, &["list"]));
    let id = |kind: &str| list.lines().find(|line| line.contains(kind)).unwrap().split(' ').next().unwrap();
    sandbox.fails(&mut as_member(&["remove", id(" recipient ")]), 14);
    let told = sandbox.fails(&mut as_member(&["rotate"]), 31);
    assert!(told.contains("key request"), "{told}");
    sandbox.fails(&mut with_passphrase(&sandbox, &["remove", id(" passphrase ")]), 27);

    let request = sandbox.path("request");
    let request = request.to_str().unwrap();
    let words = ["request", request, "--passphrase", "--iter-time=1", "--new-passphrase-file", new];
    sandbox.succeeds(&mut as_member(&words));
    let verify = || {
        let mut verify = key(&sandbox, &["verify", "--passphrase-file", new]);
        verify.output().unwrap().status.code()
    };
    assert_eq!(verify(), Some(13));
    let told = sandbox.succeeds(&mut with_passphrase(&sandbox, &["sign", request, "--yes"]));
    assert!(told.contains("for a passphrase") && told.contains("Added passphrase slot"), "{told}");
    assert_eq!(verify(), Some(0));
    // A request from before a rotation is of no use, and none makes an owner.
    sandbox.succeeds(&mut with_passphrase(&sandbox, &["rotate", "--recipient", &public]));
    let told = sandbox.fails(&mut with_passphrase(&sandbox, &["sign", request, "--yes"]), 1);
    assert!(told.contains("outdated"), "{told}");
    sandbox.succeeds(&mut as_member(&["verify"]));
    assert_eq!(verify(), Some(13));
}

#[test]
fn a_new_owner_key_is_followed_once_it_is_confirmed() {
    let sandbox = Sandbox::with_volume();
    let state = sandbox.path("elsewhere");
    let verify = || elsewhere(&mut with_passphrase(&sandbox, &["verify"]), &state);
    assert!(verify().status.success());
    let before = fingerprint(&sandbox);
    let told = sandbox.succeeds(&mut with_passphrase(&sandbox, &["rotate", "--owner"]));
    let after = fingerprint(&sandbox);
    assert!(before != after && told.contains(&after), "{told}");
    // The device that did it follows; another one asks.
    sandbox.succeeds(&mut with_passphrase(&sandbox, &["verify"]));
    let output = verify();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(17), "{told}");
    assert!(told.contains("replaced") && told.contains(&before) && told.contains(&after), "{told}");
    let accept = |more: &[&str]| {
        let mut accept = sandbox.program(&["trust".as_ref(), "accept".as_ref(), sandbox.backing().as_ref()]);
        accept.args(more).arg("--passphrase-file").arg(sandbox.path("passphrase"));
        elsewhere(&mut accept, &state)
    };
    assert_eq!(accept(&["--fingerprint", &before]).status.code(), Some(17));
    let output = accept(&["--yes"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains(&format!("was {before}, and is {after}")), "{told}");
    assert!(verify().status.success());
    // Who asks for the new one by name need not confirm it.
    let other = sandbox.path("third");
    assert!(
        elsewhere(&mut with_passphrase(&sandbox, &["verify", "--fingerprint", &after]), &other)
            .status
            .success()
    );
}

#[test]
fn row_48_two_known_volumes_exchanged() {
    let (one, other) = (Sandbox::with_volume(), Sandbox::with_volume());
    let (ours, theirs) = (one.backing(), one.path("theirs"));
    // Both are known to one device.
    fs::rename(other.backing(), &theirs).unwrap();
    let verify = |backing: &Path| {
        let mut verify = one.program(&["key".as_ref(), "verify".as_ref(), backing.as_ref()]);
        verify.arg("--passphrase-file").arg(one.path("passphrase"));
        verify
    };
    one.succeeds(&mut verify(&ours));
    one.succeeds(&mut verify(&theirs));
    let aside = one.path("aside");
    for (from, to) in [(&ours, &aside), (&theirs, &ours), (&aside, &theirs)] {
        fs::rename(from, to).unwrap();
    }
    let told = one.fails(&mut one.mount(), 17);
    assert!(told.contains("is not the volume that this device knows there"), "{told}");
    one.fails(&mut verify(&theirs), 17);
    // Moved elsewhere, nobody is asked.
    let moved = one.path("moved");
    fs::rename(&theirs, &moved).unwrap();
    one.succeeds(&mut verify(&moved));
    let mut accept = one.program(&["trust".as_ref(), "accept".as_ref(), ours.as_ref(), "--yes".as_ref()]);
    let told = one.succeeds(accept.arg("--passphrase-file").arg(one.path("passphrase")));
    assert!(told.contains("In this folder there was another volume"), "{told}");
    one.succeeds(&mut one.mount());
    one.unmounts();
}

#[test]
fn a_volume_of_version_1_is_refused_with_words_of_its_own() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.backing()).unwrap();
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/volumes/v1/cryptfs.json");
    fs::copy(header, sandbox.backing().join("cryptfs.json")).unwrap();
    let told = sandbox.fails(&mut sandbox.mount(), 11);
    assert!(told.contains("format 1, which was never released"), "{told}");
}
