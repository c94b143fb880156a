//! What must not get out: secrets and names into the log, the TSS into the program.

use crate::sandbox::{PROGRAM, Sandbox};
use std::fs;
use std::process::Command;

const PASSPHRASE: &str = "correct horse 4711";
const NAMES: [&str; 3] = ["a telling folder", "a telling file", "told by a link"];

/// A session with all that is logged, in the log file and on the terminal.
fn session(sandbox: &Sandbox, secret: &str, transport: &str) -> String {
    let said = |mut command: Command| {
        let output = command.env("CRYPTFS_LOG", "trace").output().unwrap();
        assert!(output.status.success(), "{command:?} {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let mut mount = sandbox.mount_with(&sandbox.path(secret));
    mount.arg("--log-file").arg(sandbox.path("log")).args(["-o", &format!("transport={transport}")]);
    let mut told = said(mount);
    let [folder, file, link] = NAMES;
    let folder = sandbox.plain().join(folder);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(file), "content").unwrap();
    fs::File::open(folder.join(file)).unwrap().sync_all().unwrap();
    std::os::unix::fs::symlink(file, folder.join(link)).unwrap();
    assert_eq!(fs::read(folder.join(link)).unwrap(), b"content");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    assert!(fs::metadata(folder.join("not there")).is_err());
    fs::remove_dir_all(&folder).unwrap();
    told += &said(sandbox.umount());
    told + &fs::read_to_string(sandbox.path("log")).unwrap()
}

/// The longest run of these characters.
fn longest(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.split(|c| !is_part(c)).map(str::len).max().unwrap_or(0)
}

#[test]
fn no_secret_is_logged_at_any_level_and_names_at_debug_at_most() {
    let sandbox = Sandbox::empty();
    sandbox.set_passphrase(&format!("{PASSPHRASE}\n"));
    let mut init = sandbox.init();
    init.arg("--recovery-file").arg(sandbox.path("recovery")).env("CRYPTFS_LOG", "trace");
    let output = init.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let recovery = fs::read_to_string(sandbox.path("recovery")).unwrap();
    let mut told = String::from_utf8(output.stderr).unwrap();
    for (secret, transport) in [("passphrase", "auto"), ("recovery", "auto"), ("passphrase", "device")] {
        told += &session(&sandbox, secret, transport);
    }
    assert!(told.contains("debug:"), "everything is logged");
    let digits: String = recovery.trim().chars().filter(char::is_ascii_alphanumeric).collect();
    for secret in [PASSPHRASE, recovery.trim(), &digits] {
        assert!(!told.contains(secret), "{told}");
    }
    for line in told.lines() {
        // A key has 32 bytes; an id, which may be told, 16 at most.
        let numbers = line.split(['[', ']']).map(|list| list.split(", ").count()).max().unwrap_or(0);
        let as_text = longest(line, |c| c.is_ascii_alphanumeric() || "+=".contains(c));
        assert!(as_text <= 40 && numbers < 32, "this may be a key: {line}");
        let names = NAMES.iter().any(|name| line.contains(name));
        assert!(!names || line.contains("debug: "), "{line}");
    }
}

/// Who has no TPM needs no TSS: only the helper links it.
#[test]
fn the_program_links_no_tss() {
    let linked = Command::new("ldd").arg(PROGRAM).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    assert!(linked.contains("libc.so") && !linked.contains("tss2"), "{linked}");
    let program = fs::read(PROGRAM).unwrap();
    assert!(!program.windows(9).any(|bytes| bytes == b"libtss2-"), "it is not loaded later, either");
}
