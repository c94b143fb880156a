//! The helper program itself: what it refuses, what it keeps to itself.

use crate::swtpm::{DEADLINE, Swtpm, helper};
use crate::{SECRET, secret};
use cryptfs::keys::tpm::protocol::{Request, Response, read_frame, write_frame};
use cryptfs::keys::tpm::{PcrBank, PcrMask, Tcti};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

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

/// A process whose memory others may not read belongs to root in /proc, whoever runs it; it is looked at while it
/// waits for its request.
#[test]
fn memory_is_kept_from_others() {
    let mut child = start(&[]);
    let limits = format!("/proc/{}/limits", child.id());
    let start = Instant::now();
    let hardened = loop {
        let text = std::fs::read_to_string(&limits).unwrap();
        let core = text.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        if core.split_whitespace().skip(4).take(2).eq(["0", "0"]) {
            break true;
        }
        if start.elapsed() > DEADLINE {
            break false;
        }
    };
    drop(child.stdin.take());
    let mut rest = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    child.wait().unwrap();
    assert!(hardened && rest.is_empty());
}
