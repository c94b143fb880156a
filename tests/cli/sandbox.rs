//! A place for one test: a volume, a mountpoint, a passphrase and a state folder of its own, and no mount left behind.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_cryptfs");

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    /// Folders and a passphrase, no volume yet.
    pub fn empty() -> Sandbox {
        let sandbox = Sandbox { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(sandbox.plain()).unwrap();
        fs::create_dir(sandbox.path("state")).unwrap();
        sandbox.set_passphrase("correct horse\n");
        sandbox
    }

    /// With a volume.
    pub fn with_volume() -> Sandbox {
        let sandbox = Sandbox::empty();
        sandbox.succeeds(&mut sandbox.init());
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn backing(&self) -> PathBuf {
        self.path("backing")
    }

    pub fn plain(&self) -> PathBuf {
        self.path("plain")
    }

    /// With a volume of the user nobody.
    pub fn of_nobody() -> Sandbox {
        let sandbox = Sandbox::empty();
        sandbox.give_to_nobody();
        sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.init()));
        sandbox
    }

    /// The same, mounted by that user. `None`: only root can become somebody else.
    pub fn mounted_by_nobody() -> Option<Sandbox> {
        let sandbox = is_root().then(Sandbox::of_nobody)?;
        sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.mount()));
        Some(sandbox)
    }

    /// Lets the user nobody work here, with a copy of the program: the one under test may lie where only root comes.
    pub fn give_to_nobody(&self) {
        let mut install = Command::new("install");
        self.succeeds(install.args(["-m", "755", PROGRAM]).arg(self.path("program")));
        self.succeeds(Command::new("chown").args(["-R", "65534:65534"]).arg(self.folder.path()));
    }

    /// What this runs the program for, by that user.
    pub fn as_nobody(&self, command: &Command) -> Command {
        let arguments: Vec<&OsStr> = command.get_args().collect();
        let mut command = self.prepared(Command::new(self.path("program")), &arguments);
        command.uid(65534).gid(65534).current_dir(self.folder.path());
        command
    }

    pub fn set_passphrase(&self, text: &str) {
        fs::write(self.path("passphrase"), text).unwrap();
        let chmod = Command::new("chmod").arg("600").arg(self.path("passphrase")).status();
        assert!(chmod.unwrap().success());
    }

    /// The program, with nothing inherited that could answer a question.
    pub fn program(&self, arguments: &[&OsStr]) -> Command {
        self.prepared(Command::new(PROGRAM), arguments)
    }

    pub fn prepared(&self, mut command: Command, arguments: &[&OsStr]) -> Command {
        command.args(arguments).env("XDG_STATE_HOME", self.path("state")).env("PATH", path());
        command
            .env_remove("CREDENTIALS_DIRECTORY")
            .env_remove("CRYPTFS_LOG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    pub fn init(&self) -> Command {
        let (backing, passphrase) = (self.backing(), self.path("passphrase"));
        self.program(&[
            "init".as_ref(),
            backing.as_ref(),
            "--no-tpm2".as_ref(),
            "--iter-time=1".as_ref(),
            "--passphrase-file".as_ref(),
            passphrase.as_ref(),
        ])
    }

    pub fn mount(&self) -> Command {
        self.mount_with(&self.path("passphrase"))
    }

    /// With a file that holds a passphrase or a recovery key.
    pub fn mount_with(&self, secret: &Path) -> Command {
        let (backing, plain) = (self.backing(), self.plain());
        self.program(&[
            "mount".as_ref(),
            backing.as_ref(),
            plain.as_ref(),
            "--passphrase-file".as_ref(),
            secret.as_ref(),
        ])
    }

    pub fn umount(&self) -> Command {
        self.program(&["umount".as_ref(), self.plain().as_ref()])
    }

    /// Unmounts, which has to succeed. A test beside this one that starts a program has copies of all descriptors of this
    /// process for a moment, those of files in the mount too: then it is in use.
    pub fn unmounts(&self) {
        let start = Instant::now();
        loop {
            let output = self.umount().output().unwrap();
            let is_busy = output.status.code() == Some(26) && start.elapsed() < Duration::from_secs(5);
            if !is_busy {
                return assert!(output.status.success(), "{output:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command that has to succeed; returns its stdout.
    pub fn succeeds(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that has to succeed; returns its stderr with this sandbox's path as DIR.
    pub fn remarks(&self, command: &mut Command) -> String {
        self.fails(command, 0)
    }

    /// Runs a command that has to end with this code; returns its stderr with this sandbox's path as DIR.
    pub fn fails(&self, command: &mut Command, code: i32) -> String {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{command:?}\n{output:?}");
        self.anonymous(&output)
    }

    fn anonymous(&self, output: &Output) -> String {
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        text.replace(self.folder.path().to_str().unwrap(), "DIR")
    }

    /// Whether something is mounted at the mountpoint.
    pub fn is_mounted(&self) -> bool {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.lines().any(|line| line.split(' ').nth(4) == self.plain().to_str())
    }

    /// The process that serves the mount: the one with the volume in its command line.
    pub fn daemon(&self) -> u32 {
        let backing = self.backing();
        let serves = |process: &Path| {
            let words = fs::read(process.join("cmdline")).unwrap_or_default();
            words.split(|&byte| byte == 0).any(|word| word == backing.as_os_str().as_encoded_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let mut numbers =
            processes.filter(|path| serves(path)).filter_map(|path| path.file_name()?.to_str()?.parse().ok());
        numbers.next().expect("a process serves the mount")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // One mount may lie on another, where a test found that a second one is not refused.
        while self.is_mounted() {
            if !Command::new("umount")
                .arg("-l")
                .arg(self.plain())
                .status()
                .is_ok_and(|status| status.success())
            {
                return;
            }
        }
    }
}

/// What the tests bring along for the program to run.
pub fn support() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support")
}

/// The usual PATH with that in front: age's plugins are looked for there.
fn path() -> OsString {
    let usual = std::env::var_os("PATH").unwrap();
    std::env::join_paths(std::iter::once(support()).chain(std::env::split_paths(&usual))).unwrap()
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Waits until `done`.
pub fn eventually(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        let mounts = || fs::read_to_string("/proc/mounts").unwrap();
        assert!(start.elapsed() < PATIENCE, "{what} did not happen; mounts:\n{}", mounts());
        std::thread::yield_now();
    }
}

/// Runs a command with `input` on its standard input.
pub fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}
