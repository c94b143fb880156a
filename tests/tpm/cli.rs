//! Volumes and their TPM slots through the program itself: mounting without a word, each way in which the TPM refuses
//! with its message and exit code, and the recovery key, which opens the volume every time.

use crate::bus::{ExtendBeforeUnseal, KillTpm};
use crate::swtpm::{Swtpm, helper, is_root};
use crate::wire::{Tpm, Wire};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cryptfs");

/// A volume with a TPM slot and a recovery key.
struct Machine {
    folder: tempfile::TempDir,
    tpm: Swtpm,
}

impl Machine {
    fn new(init: &[&str]) -> Machine {
        let machine = Machine::without_volume();
        fs::write(machine.path("pin"), "1234\n").unwrap();
        fs::write(machine.path("wrong pin"), "4321\n").unwrap();
        let mut command = machine.run("init");
        command.args(["--no-passphrase", "--iter-time=1", "--recovery-file"]).arg(machine.path("recovery"));
        succeeds(command.args(init));
        machine
    }

    fn without_volume() -> Machine {
        let machine = Machine { folder: tempfile::tempdir().unwrap(), tpm: Swtpm::start() };
        fs::create_dir(machine.path("plain")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command on the volume, with this machine's TPM and nobody to ask.
    fn run(&self, words: &str) -> Command {
        self.run_with(PROGRAM, words, self.tpm.tcti().as_str())
    }

    fn run_with(&self, program: impl AsRef<Path>, words: &str, tcti: &str) -> Command {
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(program.as_ref()).args(words.split(' ')).arg(self.path("backing"));
        command.env("XDG_STATE_HOME", self.path("state")).env("TPM2TOOLS_TCTI", tcti).stdin(Stdio::null());
        command
    }

    fn mount(&self) -> Command {
        self.mount_through(self.tpm.tcti().as_str())
    }

    fn mount_through(&self, tcti: &str) -> Command {
        let mut command = self.run_with(PROGRAM, "mount", tcti);
        command.arg(self.path("plain"));
        command
    }

    fn umount(&self) {
        succeeds(Command::new(PROGRAM).arg("umount").arg(self.path("plain")));
    }

    /// Mounting with the TPM only ends with this code and message; the recovery key then opens the volume.
    #[track_caller]
    fn refuses(&self, mount: &mut Command, code: i32, message: &str) {
        let output = mount.args(["--slot", "tpm2"]).output().unwrap();
        let told = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(told.contains(message), "{told}");
        self.recovers();
    }

    #[track_caller]
    fn recovers(&self) {
        succeeds(self.mount().arg("--passphrase-file").arg(self.path("recovery")));
        fs::write(self.path("plain/file"), "content").unwrap();
        self.umount();
    }

    fn slot(&self) -> PathBuf {
        let files = fs::read_dir(self.path("backing/keys")).unwrap().map(|entry| entry.unwrap().path());
        let is_tpm = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("\"tpm2\"");
        files.into_iter().find(is_tpm).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Nothing is mounted unless the test failed.
        let _ = Command::new("umount").arg("-lq").arg(self.path("plain")).stderr(Stdio::null()).status();
    }
}

#[track_caller]
fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{output:?}");
    output
}

#[test]
fn mounting_asks_nothing() {
    let mut machine = Machine::new(&["--pcrs", "7"]);
    for _ in 0..2 {
        machine.tpm.reboot();
        succeeds(&mut machine.mount());
        fs::write(machine.path("plain/file"), "content").unwrap();
        machine.umount();
    }
    // Where the TPM does not help and a secret is given, it says why and the secret is taken.
    machine.tpm.extend_pcr(7);
    let output = succeeds(machine.mount().arg("--passphrase-file").arg(machine.path("recovery")));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("warning: Key slot ") && told.contains("boot state has changed"), "{told}");
    machine.umount();
}

#[test]
fn a_refreshed_slot_keeps_its_pcrs_and_asks_for_a_pin_still() {
    let machine = Machine::new(&["--no-tpm2"]);
    let pin = machine.path("pin");
    let mut add = machine.run("key add");
    add.args(["--tpm2", "--pcrs=7", "--iter-time=1", "--passphrase-file"]).arg(machine.path("recovery"));
    succeeds(add.arg("--new-pin-file").arg(&pin));
    machine.tpm.extend_pcr(7);
    let refresh = || {
        let mut refresh = machine.run("key refresh");
        refresh.args(["--iter-time=1", "--passphrase-file"]).arg(machine.path("recovery"));
        refresh
    };
    assert_eq!(refresh().output().unwrap().status.code(), Some(14), "a slot without a PIN was made");
    succeeds(refresh().arg("--new-pin-file").arg(&pin));
    machine.refuses(&mut machine.mount(), 14, "asks for a PIN");
    succeeds(machine.mount().arg("--pin-file").arg(&pin));
    machine.umount();
    machine.tpm.extend_pcr(7);
    machine.refuses(machine.mount().arg("--pin-file").arg(&pin), 45, "boot state has changed");
}

#[test]
fn a_volume_that_nothing_but_the_tpm_opens_has_to_be_wanted() {
    let machine = Machine::without_volume();
    let init =
        |more: &[&str]| machine.run("init").args(["--tpm2", "--no-passphrase"]).args(more).output().unwrap();
    let output = init(&[]);
    assert_eq!(output.status.code(), Some(27), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("--no-recovery"));
    let output = init(&["--no-recovery"]);
    assert!(output.status.success(), "{output:?}");
    succeeds(&mut machine.mount());
    machine.umount();
}

#[test]
fn a_pin() {
    let machine = Machine::new(&["--pcrs=none"]);
    let (pin, wrong) = (machine.path("pin"), machine.path("wrong pin"));
    let mut add = machine.run("key add");
    add.args(["--tpm2", "--pcrs=none", "--iter-time=1", "--passphrase-file"]).arg(machine.path("recovery"));
    succeeds(add.arg("--new-pin-file").arg(&pin));
    let first = machine.slot_without_pin();
    let mut remove = machine.run("key remove");
    succeeds(remove.arg(first).arg("--passphrase-file").arg(machine.path("recovery")));
    machine.tpm.set_lockout(3, 600);
    succeeds(machine.mount().arg("--pin-file").arg(&pin));
    machine.umount();
    machine.refuses(&mut machine.mount(), 14, "asks for a PIN");
    for left in ["2 of 3", "1 of 3", "0 of 3"] {
        let message = format!("Wrong PIN ({left} tries left)");
        machine.refuses(machine.mount().arg("--pin-file").arg(&wrong), 48, &message);
    }
    machine.refuses(machine.mount().arg("--pin-file").arg(&pin), 49, "Other slots work meanwhile");
    machine.tpm.tool("tpm2_dictionarylockout", &["--clear-lockout"]);
    succeeds(machine.mount().arg("--pin-file").arg(&pin));
    machine.umount();
}

impl Machine {
    fn slot_without_pin(&self) -> String {
        let list = succeeds(self.run("key list").arg("--json")).stdout;
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        let mut slots = list["slots"].as_array().unwrap().iter();
        slots.find(|slot| slot["pin"] == false).unwrap()["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn another_tpm_and_a_cleared_one() {
    let machine = Machine::new(&["--pcrs=none"]);
    let other = Swtpm::start();
    let message = "another TPM, or the TPM was cleared";
    machine.refuses(&mut machine.mount_through(other.tcti().as_str()), 43, message);
    machine.tpm.tool("tpm2_clear", &["-c", "platform"]);
    machine.refuses(&mut machine.mount(), 43, message);
}

#[test]
fn a_changed_boot_state_is_refreshed() {
    let machine = Machine::new(&["--pcrs", "7,11"]);
    machine.tpm.extend_pcr(11);
    machine.refuses(
        &mut machine.mount(),
        45,
        "PCR 7, 11). Unlock with the recovery key, then `cryptfs key refresh /",
    );
    succeeds(machine.run("key refresh").arg("--passphrase-file").arg(machine.path("recovery")));
    succeeds(&mut machine.mount());
    machine.umount();
}

#[test]
fn a_busy_boot() {
    let machine = Machine::new(&["--pcrs", "7"]);
    let through = |times| {
        let wire = Wire::new(machine.tpm.port(), ExtendBeforeUnseal { pcr: 8, times });
        let tcti = crate::swtpm::tcti(wire.port());
        (machine.mount_through(tcti.as_str()), wire)
    };
    succeeds(&mut through(20).0);
    machine.umount();
    machine.refuses(&mut through(100).0, 46, "Try again in a moment");
}

#[test]
fn an_owner_password() {
    let machine = Machine::new(&["--pcrs=none"]);
    machine.tpm.tool("tpm2_changeauth", &["-c", "owner", "pw"]);
    machine.refuses(&mut machine.mount(), 44, "owner hierarchy has a password");
}

#[test]
fn an_altered_slot() {
    let machine = Machine::new(&["--pcrs=none"]);
    let file = machine.slot();
    let text = fs::read_to_string(&file).unwrap();
    let flip = |field: &str, byte: usize| {
        let at = text.find(&format!("\"{field}\": \"")).unwrap() + field.len() + 5 + 2 * byte;
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        fs::write(&file, changed).unwrap();
    };
    let length = |field: &str| {
        let value = &text[text.find(&format!("\"{field}\": \"")).unwrap() + field.len() + 5..];
        value.find('"').unwrap() / 2
    };
    // Every byte is tried on the slot's blobs in `failures`; here that the TPM is not even asked.
    for field in ["public", "private", "srk_name", "wrapped", "signature"] {
        flip(field, length(field) / 2);
        machine.refuses(
            &mut machine.mount_through("device:/nowhere"),
            18,
            "not the owner's, and not used, beside the key slots: ",
        );
    }
    for (from, to) in [("\"label\": \"\"", "\"label\": \"mine\""), ("\"pcrs\": 0", "\"pcrs\": 1")] {
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
        machine.refuses(&mut machine.mount(), 18, "not the owner's");
        let mut refresh = machine.run("key refresh");
        let refreshed = refresh.arg("--passphrase-file").arg(machine.path("recovery")).output().unwrap();
        assert_eq!(refreshed.status.code(), Some(18), "{refreshed:?}");
    }
    fs::write(&file, &text).unwrap();
    succeeds(&mut machine.mount());
    machine.umount();
}

#[test]
fn a_tpm_without_room() {
    let machine = Machine::new(&["--pcrs=none"]);
    Tpm::connect(machine.tpm.port()).fill_session_slots();
    machine.refuses(&mut machine.mount(), 51, "out of memory");
}

#[test]
fn no_tpm_no_helper_and_a_tpm_that_dies() {
    let mut machine = Machine::new(&["--pcrs=none"]);
    machine.refuses(&mut machine.mount_through("device:/nowhere"), 40, "No TPM 2.0 at /nowhere");
    let alone = machine.path("cryptfs");
    install(Path::new(PROGRAM), &alone);
    let mut mount = machine.run_with(&alone, "mount", machine.tpm.tcti().as_str());
    machine.refuses(mount.arg(machine.path("plain")), 54, "cryptfs-tpm is not beside cryptfs");
    let wire = Wire::new(machine.tpm.port(), KillTpm { pid: machine.tpm.pid() });
    machine.refuses(
        &mut machine.mount_through(crate::swtpm::tcti(wire.port()).as_str()),
        52,
        "stopped answering",
    );
    machine.tpm.power_cut();
    succeeds(&mut machine.mount());
    machine.umount();
}

/// The next way in opens, and the owner hears why the TPM did not.
#[test]
fn a_tpm_that_fails_says_so_before_an_identity_opens() {
    let keys = tempfile::tempdir().unwrap();
    let identity = keys.path().join("key");
    succeeds(
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&identity),
    );
    let public = fs::read_to_string(identity.with_extension("pub")).unwrap();
    let machine = Machine::new(&["--pcrs=none", "--recipient", public.trim()]);
    let output = succeeds(machine.mount_through("device:/nowhere").arg("--identity").arg(&identity));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("No TPM 2.0 at /nowhere"), "{told}");
    machine.umount();
}

/// A copy that everybody may run, made by another process: what this one had open for writing may be "busy".
fn install(from: &Path, to: &Path) {
    assert!(Command::new("install").args(["-m", "755"]).args([from, to]).status().unwrap().success());
}

/// The program runs as an ordinary user against a node that only its owner, another one, may open.
#[test]
fn no_permission() {
    let machine = Machine::new(&["--pcrs=none"]);
    let node = machine.path("tpmrm0");
    fs::write(&node, "").unwrap();
    fs::set_permissions(&node, fs::Permissions::from_mode(if is_root() { 0o600 } else { 0 })).unwrap();
    let tcti = format!("device:{}", node.display());
    let (program, of_tpm) = (machine.path("cryptfs"), machine.path("cryptfs-tpm"));
    install(Path::new(PROGRAM), &program);
    install(&helper(), &of_tpm);
    let mut mount = machine.run_with(&program, "mount", &tcti);
    mount.arg(machine.path("plain"));
    if is_root() {
        let all = ["backing", "plain", "state", "."].map(|name| machine.path(name));
        assert!(
            Command::new("chown").args(["-R", "65534:65534"]).args(&all[..3]).status().unwrap().success()
        );
        fs::set_permissions(&all[3], fs::Permissions::from_mode(0o755)).unwrap();
        mount.uid(65534).gid(65534);
    }
    machine.refuses(&mut mount, 41, "Have root add you to the group tss");
}

#[test]
fn init_says_what_opens_the_volume() {
    let machine = Machine::without_volume();
    fs::write(machine.path("passphrase"), "correct horse\n").unwrap();
    let init = |tcti: &str| {
        let mut command = machine.run_with(PROGRAM, "init", tcti);
        let output =
            succeeds(command.arg("--iter-time=1").arg("--passphrase-file").arg(machine.path("passphrase")));
        fs::remove_dir_all(machine.path("backing")).unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told = init("device:/nowhere");
    assert!(told.contains("opens with the passphrase.") && told.contains("No TPM 2.0 at /nowhere"), "{told}");
    let told = init(machine.tpm.tcti().as_str());
    assert!(told.contains("opens with the passphrase or this machine's TPM."), "{told}");
    machine.tpm.tool("tpm2_changeauth", &["-c", "owner", "pw"]);
    let told = init(machine.tpm.tcti().as_str());
    assert!(
        told.contains("opens with the passphrase.") && told.contains("owner hierarchy has a password"),
        "{told}"
    );
    let mut insisting = machine.run("init");
    let output =
        insisting.args(["--tpm2", "--passphrase-file"]).arg(machine.path("passphrase")).output().unwrap();
    assert_eq!(output.status.code(), Some(44), "{output:?}");
    assert!(!machine.path("backing/keys").exists());
}
