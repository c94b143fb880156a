//! A software TPM per test: own state, own ports, gone when dropped or when the test's thread dies.
//!
//! A pair of neighbouring ports is needed because the TSS takes the control port to be the data port plus one.

use cryptfs::keys::tpm::{Client, Tcti};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything here may take before the test gives up.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A running swtpm.
pub struct Swtpm {
    folder: TempDir,
    process: Child,
    port: u16,
}

impl Swtpm {
    /// A TPM fresh from the factory.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (process, port) = launch(folder.path());
        Self { folder, process, port }
    }

    /// Where it listens: data here, control on the next port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn tcti(&self) -> Tcti {
        tcti(self.port)
    }

    /// A client of the program under test.
    pub fn client(&self) -> Client {
        client(self.tcti())
    }

    /// A reboot as an operating system does it: PCRs and sessions start anew, nothing counts as a failed try.
    pub fn reboot(&mut self) {
        self.tool("tpm2_shutdown", &["--clear"]);
        self.power_cut();
    }

    /// The power goes and comes back. After a PIN was used this costs a try.
    pub fn power_cut(&mut self) {
        self.kill();
        (self.process, self.port) = launch(self.folder.path());
    }

    /// The TPM dies and stays dead.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The process, for whoever has to kill it while this is borrowed.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Runs one of tpm2-tools and returns what it printed.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let output = run_tool(self.port, self.folder.path(), program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Locks after so many failed tries; each is forgotten after so many seconds.
    pub fn set_lockout(&self, max_tries: u32, interval_seconds: u32) {
        let (tries, interval) = (max_tries.to_string(), interval_seconds.to_string());
        let arguments = ["--setup-parameters", "-n", &tries, "-t", &interval, "-l", &interval];
        self.tool("tpm2_dictionarylockout", &arguments);
    }

    pub fn extend_pcr(&self, number: u32) {
        self.tool("tpm2_pcrextend", &[&format!("{number}:sha256={}", "5".repeat(64))]);
    }

    /// Leaves a storage root key where systemd would.
    pub fn keep_storage_root_key(&self) {
        let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
        self.tool("tpm2_createprimary", &["-G", "ecc256:null:aes128cfb", "-a", attributes, "-c", "srk.ctx"]);
        self.tool("tpm2_evictcontrol", &["-C", "o", "-c", "srk.ctx", "0x81000001"]);
        self.tool("tpm2_flushcontext", &["-t"]);
    }

    /// Drops every key and session that somebody left loaded.
    pub fn flush(&self) {
        self.tool("tpm2_flushcontext", &["-t"]);
        self.tool("tpm2_flushcontext", &["-l"]);
    }

    /// The folder that tools run in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        // Both fail only if the test has killed it already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn tcti(port: u16) -> Tcti {
    Tcti::parse(&format!("swtpm:host=127.0.0.1,port={port}")).unwrap()
}

/// The helper that cargo built for this test.
pub fn helper() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_cryptfs-tpm"))
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The helper as somebody who is not root. As root, that is a script in `folder` that runs a copy, which anybody may
/// read, as user nobody.
pub fn helper_of_ordinary_user(folder: &Path) -> PathBuf {
    if !is_root() {
        return helper();
    }
    let (copy, text, script) = (folder.join("cryptfs-tpm"), folder.join("text"), folder.join("as-nobody"));
    let setpriv = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    std::fs::write(&text, format!("#!/bin/sh\nexec {setpriv} {}\n", copy.display())).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    // By another process: what this one had open for writing may be "busy" through a child that another test starts.
    for (from, to) in [(helper(), &copy), (text, &script)] {
        assert!(Command::new("install").args(["-m", "755"]).args([&from, to]).status().unwrap().success());
    }
    script
}

pub fn client(tcti: Tcti) -> Client {
    Client::with_helper(helper(), tcti, DEADLINE)
}

/// Runs one of tpm2-tools in `folder` against the TPM at `port`.
pub fn run_tool(port: u16, folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("TPM2TOOLS_TCTI", tcti(port).as_str())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install the package tpm2-tools"))
}

/// Two listeners on neighbouring ports of the loopback interface.
pub fn free_pair() -> (TcpListener, TcpListener) {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    loop {
        let first = bind(0).unwrap();
        let port = first.local_addr().unwrap().port();
        if let Some(second) = port.checked_add(1).and_then(|next| bind(next).ok()) {
            return (first, second);
        }
    }
}

/// Starts swtpm on free ports; if somebody else was faster to take them, on others.
fn launch(state: &Path) -> (Child, u16) {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let port = free_pair().0.local_addr().unwrap().port();
        let mut process = spawn(state, port);
        while process.try_wait().unwrap().is_none() && Instant::now() < deadline {
            if listens(process.id(), port) && listens(process.id(), port + 1) {
                return (process, port);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        process.wait().unwrap();
    }
    panic!("swtpm did not start within {DEADLINE:?}");
}

/// Whether this very process listens there. Trying to connect would not tell: somebody else may have taken the port,
/// and on loopback a connection to a port that nobody listens on can even come to be with itself.
fn listens(pid: u32, port: u16) -> bool {
    let (suffix, listening) = (format!(":{port:04X}"), "0A");
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let socket = table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let found = columns[1].ends_with(&suffix) && columns[3] == listening;
        found.then(|| PathBuf::from(format!("socket:[{}]", columns[9])))
    });
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let mut links =
        files.into_iter().flatten().flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    socket.is_some_and(|socket| links.any(|link| link == socket))
}

fn spawn(state: &Path, port: u16) -> Child {
    assert!(
        Command::new("swtpm").arg("--version").output().is_ok(),
        "swtpm is missing: install the package swtpm (and tpm2-tools)"
    );
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "swtpm", "socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg(format!("--tpmstate=dir={}", state.display()))
        .arg(format!("--server=type=tcp,bindaddr=127.0.0.1,port={port}"))
        .arg(format!("--ctrl=type=tcp,bindaddr=127.0.0.1,port={}", port + 1))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("setpriv: install the package util-linux")
}
