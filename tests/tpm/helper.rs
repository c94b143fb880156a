//! The helper program itself: what it refuses, what it keeps to itself.

use crate::swtpm::{Swtpm, helper, helper_of_ordinary_user, is_root};
use crate::{SECRET, secret};
use cryptfs::keys::tpm::protocol::{Request, Response, read_frame, write_frame};
use cryptfs::keys::tpm::{PcrBank, PcrMask, Tcti};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn start(environment: &[(&str, &str)]) -> Child {
    Command::new(helper())
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The TSS's tracing prints secrets; whoever sets its variables gets nothing.
#[test]
fn tracing_stays_off() {
    let tpm = Swtpm::start();
    let log = tpm.folder().join("log");
    let mut child = start(&[("TSS2_LOG", "all+trace"), ("TSS2_LOGFILE", log.to_str().unwrap())]);
    let (bank, pcrs) = (PcrBank::Sha256, PcrMask::NONE);
    let request = Request::Seal { tcti: tpm.tcti(), secret: secret(), bank, pcrs, auth: None };
    write_frame(child.stdin.as_mut().unwrap(), &request.encode()).unwrap();
    let answer = read_frame(child.stdout.as_mut().unwrap()).unwrap();
    assert!(matches!(Response::decode(&answer), Ok(Response::Sealed(_))));
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(!log.exists());
    assert!(!output.stdout.windows(SECRET.len()).any(|window| window == SECRET));
}

/// What is no frame, or holds a TCTI that would run a program, ends the helper with a word and no answer.
#[test]
fn bad_frames_are_refused() {
    let request = Request::Probe { tcti: Tcti::parse("device").unwrap() }.encode();
    let with_command = String::from_utf8_lossy(&request).replace("device", "cmd:ls").into_bytes();
    for body in [&b""[..], b"GET / HTTP/1.1", &request[..request.len() - 1], &with_command] {
        let mut child = start(&[]);
        write_frame(child.stdin.as_mut().unwrap(), body).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("malformed frame"));
    }
}

/// A process whose memory others may not read belongs to root in /proc, whoever runs it. It is looked at while it
/// waits for its request.
#[test]
fn memory_is_kept_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(helper_of_ordinary_user(folder.path()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let read = |file| std::fs::read_to_string(process.join(file)).unwrap();
    let is_hardened = || {
        let (status, limits) = (read("status"), read("limits"));
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        status.starts_with("Name:\tcryptfs-tpm\n")
            && core.split_whitespace().skip(4).take(2).eq(["0", "0"])
            && std::fs::metadata(process.join("limits")).unwrap().uid() == 0
    };
    let start = Instant::now();
    while !is_hardened() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let hardened = is_hardened();
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(hardened);
}

/// The inner half of the next test: which TPM is chosen in this environment.
#[test]
fn environment() {
    println!("chosen: {}", Tcti::choose(None).unwrap().as_str());
}

/// A program with more rights than the user who started it does not follow that user's environment.
#[test]
fn the_environment_of_somebody_with_fewer_rights_is_ignored() {
    let program = std::env::current_exe().unwrap();
    let chosen = |mut command: Command| {
        let arguments = ["--exact", "helper::environment", "--nocapture"];
        let output = command.args(arguments).env("TCTI", "swtpm:port=1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find_map(|line| Some(line.split_once("chosen: ")?.1.to_owned()))
    };
    assert_eq!(chosen(Command::new(&program)).as_deref(), Some("swtpm:port=1"));
    if is_root() {
        let mut as_set_user_id = Command::new("setpriv");
        as_set_user_id.args(["--ruid", "65534"]).arg(&program);
        assert_eq!(chosen(as_set_user_id).as_deref(), Some("device:/dev/tpmrm0"));
    }
}
