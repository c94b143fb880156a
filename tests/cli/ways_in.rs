//! Where secrets come from.

use crate::sandbox::{PROGRAM, Sandbox, with_input};
use crate::terminal::on_terminal;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

#[test]
fn standard_input_and_credentials() {
    let sandbox = Sandbox::with_volume();
    let (backing, plain) = (sandbox.backing(), sandbox.plain());
    let bare = [OsStr::new("mount"), backing.as_ref(), plain.as_ref()];
    let mut piped = sandbox.program(&bare);
    let output = with_input(piped.args(["--passphrase-file", "-"]), b"correct horse");
    assert!(output.status.success(), "{output:?}");
    sandbox.unmounts();

    fs::create_dir(sandbox.path("credentials")).unwrap();
    fs::copy(sandbox.path("passphrase"), sandbox.path("credentials/cryptfs.passphrase")).unwrap();
    let mut service = sandbox.program(&bare);
    sandbox.succeeds(service.env("CREDENTIALS_DIRECTORY", sandbox.path("credentials")));
    sandbox.unmounts();
}

#[test]
fn a_type_of_slot_is_insisted_on() {
    let sandbox = Sandbox::empty();
    let recovery = sandbox.path("recovery");
    sandbox.succeeds(sandbox.init().arg("--recovery-file").arg(&recovery));
    for (slot, secret, code) in [
        ("passphrase", sandbox.path("passphrase"), 0),
        ("passphrase", recovery.clone(), 13),
        ("recovery", recovery, 0),
        ("recovery", sandbox.path("passphrase"), 13),
    ] {
        let mut verify = sandbox.program(&["key".as_ref(), "verify".as_ref(), sandbox.backing().as_ref()]);
        let output = verify.args(["--slot", slot, "--passphrase-file"]).arg(secret).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{slot}: {output:?}");
    }
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let sandbox = Sandbox::with_volume();
    let mut alone = sandbox.prepared(Command::new("setsid"), &[]);
    alone.args(["--wait", PROGRAM, "mount"]).arg(sandbox.backing()).arg(sandbox.plain());
    let told = sandbox.fails(&mut alone, 14);
    assert!(told.contains("--passphrase-file"), "{told}");
}

#[test]
fn a_terminal_asks_twice_at_init_and_shows_nothing_typed() {
    let sandbox = Sandbox::empty();
    let (backing, plain) = (sandbox.backing(), sandbox.plain());
    let init = [OsStr::new("init"), backing.as_ref(), "--no-tpm2".as_ref(), "--iter-time=1".as_ref()];
    // A letter is taken back, then two answers differ, then two agree.
    let answers = [
        ("New passphrase: ", "open sesamx\u{7f}e\n"),
        ("Repeat it: ", "open sesamy\n"),
        ("New passphrase: ", "open sesame\n"),
        ("Repeat it: ", "open sesame\n"),
    ];
    let (shown, code) = on_terminal(&sandbox, &init, &answers);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("The two differ"), "{shown}");
    assert!(!shown.contains("sesam"), "{shown}");
    let line = shown.lines().map(str::trim).find(|line| line.split('-').count() == 14).expect(&shown);
    assert!(
        shown.find(line) < shown.find("is now a cryptfs volume"),
        "it is shown before its slot is written: {shown}"
    );

    let mount = [OsStr::new("mount"), backing.as_ref(), plain.as_ref()];
    let prompt = "Passphrase or recovery key: ";
    let recovery_key = format!("{}\n", line.to_lowercase());
    let tries: [&[_]; 2] = [&[(prompt, "wrong\n"), (prompt, "open sesame\n")], &[(prompt, &recovery_key)]];
    for answers in tries {
        let (shown, code) = on_terminal(&sandbox, &mount, answers);
        assert_eq!(code, Some(0), "{shown}");
        sandbox.unmounts();
    }
}

#[test]
fn control_c_at_the_prompt_ends_the_program() {
    let sandbox = Sandbox::with_volume();
    let (backing, plain) = (sandbox.backing(), sandbox.plain());
    let mount = ["mount".as_ref(), backing.as_ref(), plain.as_ref()];
    let (shown, code) = on_terminal(&sandbox, &mount, &[("key: ", "sec\u{3}")]);
    assert_eq!(code, Some(130), "{shown}");
}

#[test]
fn a_readable_passphrase_file_is_warned_about() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(Command::new("chmod").arg("644").arg(sandbox.path("passphrase")));
    let output = sandbox.mount().output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("chmod 600"), "{told}");
    sandbox.unmounts();
    sandbox.set_passphrase("\n");
    sandbox.fails(&mut sandbox.mount(), 1);
}
