//! What carries the requests, and what must be so whichever does.

use crate::sandbox::Sandbox;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";

fn io_uring_is_on() -> bool {
    fs::read_to_string(SWITCH).is_ok_and(|state| state.trim() == "Y")
}

/// The transports that this machine has now.
pub fn transports() -> Vec<&'static str> {
    let _ = fs::write(SWITCH, "Y");
    if !io_uring_is_on() {
        eprintln!("left out, no FUSE over io_uring here: {SWITCH}");
    }
    [Some("device"), cfg!(feature = "fuser").then_some("fuser"), io_uring_is_on().then_some("uring")]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn info_says_which_transport_runs() {
    for transport in transports() {
        let sandbox = Sandbox::with_volume();
        let info = |json: &[&str]| {
            let mut command = sandbox.program(&["info".as_ref(), sandbox.plain().as_ref()]);
            sandbox.succeeds(command.args(json))
        };
        sandbox.succeeds(sandbox.mount().args(["-o", &format!("transport={transport}")]));
        let said = format!("{} (transport {transport})", sandbox.plain().display());
        assert!(info(&[]).contains(&said));
        let json: serde_json::Value = serde_json::from_str(&info(&["--json"])).unwrap();
        assert_eq!(json["transports"], serde_json::json!([transport]));
        sandbox.unmounts();
    }
}

/// The way to a file is checked for each who goes it, also when another has gone it before.
#[test]
fn what_one_may_search_another_may_not() {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    for (transport, checked_by) in transports().into_iter().flat_map(|transport| {
        ["default_permissions", "no_default_permissions"].map(|checked_by| (transport, checked_by))
    }) {
        if !is_root {
            return;
        }
        let sandbox = Sandbox::with_volume();
        fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let options = format!("allow_other,transport={transport},{checked_by}");
        sandbox.succeeds(sandbox.mount().args(["-o", &options]));
        let closed = sandbox.plain().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("file"), "x").unwrap();
        let stat_as_nobody =
            || Command::new("stat").arg(closed.join("file")).uid(65_534).gid(65_534).output().unwrap();
        assert!(stat_as_nobody().status.success(), "{transport}, {checked_by}: {:?}", stat_as_nobody());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(fs::read(closed.join("file")).unwrap(), b"x");
        assert!(!stat_as_nobody().status.success(), "{transport}, {checked_by}");
        sandbox.unmounts();
    }
}
