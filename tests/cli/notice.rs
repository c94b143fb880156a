//! What the desktop is told, over a real session bus.

use crate::sandbox::{Sandbox, eventually, is_root, support};
use serde_json::json;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

const CONFIGURATION: &str = r#"<busconfig>
  <type>session</type><listen>unix:path=BUS</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>"#;

/// How long the program waits for the desktop's answer.
const ITS_PATIENCE: Duration = Duration::from_secs(30);

/// A session bus of the user nobody, and the desktop on it.
struct Bus {
    address: String,
    told: PathBuf,
    running: Vec<Child>,
}

impl Bus {
    fn start(sandbox: &Sandbox) -> Bus {
        let (file, bus, told) = (sandbox.path("bus.conf"), sandbox.path("bus"), sandbox.path("told"));
        fs::write(&file, CONFIGURATION.replace("BUS", bus.to_str().unwrap())).unwrap();
        let address = format!("unix:path={}", bus.display());
        let mut started = Bus { address, told, running: Vec::new() };
        let mut daemon = Command::new("dbus-daemon");
        started.run(daemon.args(["--nofork", "--nopidfile", "--config-file"]).arg(file));
        eventually("the bus", || bus.exists());
        let mut desktop = Command::new("/usr/bin/python3");
        desktop.arg("-B").arg(support().join("desktop.py")).arg(&started.address);
        started.run(desktop.stdout(File::create(&started.told).unwrap()));
        eventually("the desktop", || started.lines().next().is_some_and(|line| line == "ready"));
        started
    }

    fn run(&mut self, command: &mut Command) {
        let running = command.uid(65534).gid(65534).spawn();
        self.running.push(running.expect("scripts/setup --test installs dbus-daemon and python3-gi"));
    }

    fn lines(&self) -> impl Iterator<Item = String> + use<> {
        let text = fs::read_to_string(&self.told).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
    }

    /// What the desktop was to show: each call's arguments.
    fn shown(&self) -> Vec<serde_json::Value> {
        self.lines().skip(1).map(|line| serde_json::from_str(&line).unwrap()).collect()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn inside(sandbox: &Sandbox, script: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir("/").env("plain", sandbox.plain()).uid(65534).gid(65534);
    shell.env("backing", sandbox.backing()).output().unwrap()
}

/// Two files are damaged, and one notification comes, which names neither. Nobody waits for a desktop that does not answer.
#[test]
fn the_desktop_is_told_once() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::of_nobody();
    let bus = Bus::start(&sandbox);
    let mount = || {
        let mut mount = sandbox.as_nobody(&sandbox.mount());
        sandbox.succeeds(mount.env("DBUS_SESSION_BUS_ADDRESS", &bus.address));
    };
    mount();
    let made =
        inside(&sandbox, "for name in one two; do head -c 200000 /dev/zero >$plain/$name || exit 1; done");
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.umount()));
    assert!(made.status.success(), "{made:?}");
    let spoil = "find $backing/chunks -size +100k | while read f; do
        printf spoilt | dd of=$f bs=1 seek=100000 conv=notrunc status=none; done";
    assert!(inside(&sandbox, spoil).status.success());
    mount();
    let begun = Instant::now();
    let read = inside(&sandbox, "cat $plain/one; cat $plain/two");
    assert!(!read.status.success() && begun.elapsed() < ITS_PATIENCE, "{:?}", begun.elapsed());
    let findings = || {
        let plain = sandbox.plain();
        let status = sandbox.program(&["status".as_ref(), "--json".as_ref(), plain.as_ref()]);
        let mut status = sandbox.as_nobody(&status);
        let shown: serde_json::Value = serde_json::from_slice(&status.output().unwrap().stdout).unwrap();
        shown["mounts"][0]["findings"] == 2
    };
    eventually("both are found", findings);
    eventually("the desktop is told", || !bus.shown().is_empty());
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.umount()));
    let shown = bus.shown();
    let text = "Run `cryptfs status`: it says what is wrong and what to do.";
    let title = "Something in backing cannot be read";
    let wanted = json!(["cryptfs", 0, "drive-harddisk", title, text, [], { "urgency": 2 }, -1]);
    assert_eq!(shown, [wanted]);
}
