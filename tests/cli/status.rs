//! `cryptfs status`: how mounts are doing, what is wrong, and that nothing which hangs holds it up.

use crate::sandbox::{PROGRAM, Sandbox, eventually};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

fn status(sandbox: &Sandbox) -> Command {
    sandbox.program(&["status".as_ref(), "--json".as_ref(), sandbox.plain().as_ref()])
}

/// What it says of the mount, and its exit code.
fn asked(mut command: Command) -> (Value, Option<i32>) {
    let output = command.output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    (shown["mounts"][0].clone(), output.status.code())
}

fn troubles(mount: &Value) -> Vec<String> {
    let all = mount["troubles"].as_array().unwrap();
    all.iter().map(|trouble| trouble["what"].as_str().unwrap().to_owned()).collect()
}

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// The chunk files, the largest first.
fn chunks(sandbox: &Sandbox) -> Vec<PathBuf> {
    let found = Command::new("find").arg(sandbox.backing().join("chunks")).args(["-type", "f"]).output();
    let text = String::from_utf8(found.unwrap().stdout).unwrap();
    let mut files: Vec<PathBuf> = text.lines().map(PathBuf::from).collect();
    files.sort_by_key(|file| std::cmp::Reverse(fs::metadata(file).unwrap().len()));
    files
}

#[test]
fn a_mount_that_is_well_is_shown_with_its_volume() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("f"), "content").unwrap();
    let settled = || asked(status(&sandbox)).0["daemon"]["unstored"] == 0;
    eventually("everything is stored", settled);
    let (mount, code) = asked(status(&sandbox));
    assert_eq!((code, troubles(&mount)), (Some(0), vec![]), "{mount}");
    assert_eq!(mount["backing"], sandbox.backing().to_str().unwrap());
    assert_eq!(mount["daemon"]["process"], sandbox.daemon());
    assert!(mount["daemon"]["since"].as_u64().unwrap() > 1_700_000_000);
    assert!(mount["daemon"]["available"].as_u64() < mount["daemon"]["capacity"].as_u64());
    assert_eq!(mount["daemon"]["devices"][0]["this_device"], true);
    assert_eq!(mount["slots"][0]["type"], "passphrase");
    let text = sandbox.succeeds(&mut sandbox.program(&["status".as_ref(), sandbox.plain().as_ref()]));
    assert!(text.contains(mount["uuid"].as_str().unwrap()) && text.contains("Key slots"), "{text}");
    sandbox.unmounts();
    let told = sandbox.fails(&mut status(&sandbox), 25);
    assert!(told.contains("DIR/plain: there is no cryptfs mount."), "{told}");
}

#[test]
fn a_daemon_that_hangs_or_is_gone_holds_nobody_up() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let daemon = sandbox.daemon();
    signal(daemon, "-STOP");
    let begun = Instant::now();
    let (mount, code) = asked(status(&sandbox));
    let took = begun.elapsed();
    signal(daemon, "-CONT");
    assert_eq!((code, troubles(&mount)), (Some(36), vec!["silent".to_owned()]));
    assert!(took < Duration::from_secs(30), "{took:?}");
    signal(daemon, "-KILL");
    eventually("the daemon's end", || troubles(&asked(status(&sandbox)).0) == ["gone"]);
    let told = sandbox.fails(&mut status(&sandbox), 36);
    assert!(told.contains("1 of 1 mount needs you"), "{told}");
}

#[test]
fn damage_needs_a_person_and_what_has_not_arrived_only_time() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("f"), "content".repeat(50_000)).unwrap();
    sandbox.unmounts();
    let chunk = chunks(&sandbox)[0].clone();
    let aside = sandbox.path("aside");
    fs::rename(&chunk, &aside).unwrap();
    fs::remove_dir_all(sandbox.path("state/cryptfs")).unwrap();
    sandbox.succeeds(&mut sandbox.mount());
    let read = || fs::read(sandbox.plain().join("f"));
    assert!(read().is_err());
    eventually("what has not arrived is told", || asked(status(&sandbox)).1 == Some(37));
    let (mount, _) = asked(status(&sandbox));
    assert_eq!(troubles(&mount), ["not-arrived"]);
    assert!(mount["not_arrived_since"].as_u64().unwrap() > 1_700_000_000);
    fs::rename(&aside, &chunk).unwrap();
    assert!(read().is_ok());
    eventually("it has arrived", || asked(status(&sandbox)).1 == Some(0));
    sandbox.unmounts();
    let mut file = File::options().write(true).open(&chunk).unwrap();
    file.seek(SeekFrom::Start(100_000)).unwrap();
    file.write_all(&[7; 64]).unwrap();
    sandbox.succeeds(&mut sandbox.mount());
    assert!(read().is_err());
    eventually("the damage is told", || asked(status(&sandbox)).1 == Some(36));
    assert_eq!(troubles(&asked(status(&sandbox)).0), ["damaged"]);
    sandbox.unmounts();
}

/// Of a damaged file that nobody read.
#[test]
fn what_a_check_of_all_content_found_is_not_taken_back_by_one_without_content() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("f"), "content".repeat(50_000)).unwrap();
    sandbox.unmounts();
    let mut file = File::options().write(true).open(&chunks(&sandbox)[0]).unwrap();
    file.seek(SeekFrom::Start(100_000)).unwrap();
    file.write_all(&[7; 64]).unwrap();
    let check = |options: &[&str]| {
        let mut check = sandbox.program(&["check".as_ref(), sandbox.backing().as_ref()]);
        check.args(options).arg("--passphrase-file").arg(sandbox.path("passphrase"));
        check.output().unwrap().status.code()
    };
    assert_eq!(check(&[]), Some(0), "what it does not read it does not find");
    assert_ne!(check(&["--data"]), Some(0));
    assert_eq!(check(&[]), Some(0));
    sandbox.succeeds(&mut sandbox.mount());
    let (mount, code) = asked(status(&sandbox));
    assert_eq!((code, troubles(&mount)), (Some(36), vec!["found-by-check".to_owned()]), "{mount}");
    let advice = mount["troubles"][0]["text"].as_str().unwrap();
    assert!(advice.contains("cryptfs check --data "), "{advice}");
    sandbox.unmounts();
}

#[test]
fn each_user_sees_their_own_mounts_and_root_all() {
    let Some(sandbox) = Sandbox::mounted_by_nobody() else { return };
    let (mount, code) = asked(sandbox.as_nobody(&status(&sandbox)));
    assert_eq!((code, &mount["user"]), (Some(0), &Value::from(65534)), "{mount}");
    let (mount, code) = asked(status(&sandbox));
    assert_eq!((code, troubles(&mount)), (Some(37), vec!["forbidden".to_owned()]), "{mount}");
    // What their device remembers is not what root's does.
    let unknown = ["findings", "not_arrived", "checked", "daemon"].map(|name| mount[name].is_null());
    assert_eq!((unknown, mount["uuid"].is_string()), ([true; 4], true), "{mount}");
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.umount()));

    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(sandbox.mount().args(["-o", "allow_other"]));
    let all = sandbox.program(&["status".as_ref(), "--json".as_ref()]);
    let listed = |command: &mut Command| {
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains(sandbox.plain().to_str().unwrap())
    };
    let mut theirs = Command::new("setpriv");
    theirs.args(["--reuid=65534", "--regid=65534", "--clear-groups", "getfattr", "-n", "cryptfs.status"]);
    let refused = theirs.arg(sandbox.plain()).output().unwrap();
    assert!(!refused.status.success(), "devices are nobody else's business: {refused:?}");
    let mut all = all;
    assert!(listed(&mut all), "{PROGRAM} status");
    sandbox.unmounts();
}

fn write(sandbox: &Sandbox, name: &str) -> std::io::Result<()> {
    let mut file = File::create(sandbox.plain().join(name))?;
    file.write_all(name.as_bytes())?;
    file.sync_all()
}

/// After its daemon was killed all of these are there.
fn survive_a_kill(sandbox: &Sandbox, names: &[&str]) {
    signal(sandbox.daemon(), "-KILL");
    eventually("the daemon's end", || troubles(&asked(status(sandbox)).0) == ["gone"]);
    sandbox.succeeds(&mut sandbox.mount());
    for name in names {
        assert_eq!(fs::read_to_string(sandbox.plain().join(name)).unwrap(), *name);
    }
    sandbox.unmounts();
}

/// As when somebody tidies up the backing folder, or a sync client takes a journal for a deleted one, or gives it another name.
#[test]
fn a_volume_whose_journals_are_taken_away_goes_on() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    write(&sandbox, "before").unwrap();
    fs::remove_dir_all(sandbox.backing().join("journals")).unwrap();
    write(&sandbox, "after").unwrap();
    survive_a_kill(&sandbox, &["before", "after"]);
}

/// A copy of this device's folders is in use elsewhere, and the client brings what that does.
#[test]
fn a_volume_that_stopped_goes_on_when_it_is_remounted() {
    let (sandbox, twin) = (Sandbox::with_volume(), Sandbox::empty());
    for folder in ["backing", "state"] {
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(sandbox.path(folder)).arg(twin.path("."));
        sandbox.succeeds(&mut copy);
    }
    let journal = |sandbox: &Sandbox| {
        let mut found = fs::read_dir(sandbox.backing().join("journals")).unwrap();
        found.next().unwrap().unwrap().path()
    };
    for (sandbox, name) in [(&sandbox, "before"), (&twin, "elsewhere")] {
        sandbox.succeeds(&mut sandbox.mount());
        write(sandbox, name).unwrap();
        sandbox.succeeds(&mut sandbox.program(&["sync".as_ref(), sandbox.plain().as_ref()]));
    }
    let (ours, aside) = (journal(&sandbox), sandbox.path("aside"));
    fs::copy(&ours, &aside).unwrap();
    fs::copy(journal(&twin), sandbox.path("new")).unwrap();
    twin.unmounts();
    fs::rename(sandbox.path("new"), &ours).unwrap();
    assert!(write(&sandbox, "meanwhile").is_err());
    let (mount, code) = asked(status(&sandbox));
    assert_eq!((code, troubles(&mount)), (Some(36), vec!["stopped".to_owned()]));
    fs::rename(aside, &ours).unwrap();
    let mut remount = sandbox.mount();
    sandbox.succeeds(remount.args(["-o", "remount"]));
    eventually("everything is stored", || asked(status(&sandbox)).1 == Some(0));
    write(&sandbox, "after").unwrap();
    survive_a_kill(&sandbox, &["before", "meanwhile", "after"]);
}

/// Nextcloud and its relatives put a small file beside the place of one that they fetch on demand.
#[test]
fn what_is_only_a_placeholder_is_told_to_be_fetched() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("f"), "content".repeat(50_000)).unwrap();
    sandbox.unmounts();
    let chunk = chunks(&sandbox)[0].clone();
    let (aside, placeholder) =
        (sandbox.path("aside"), PathBuf::from(format!("{}.nextcloud", chunk.display())));
    fs::rename(&chunk, &aside).unwrap();
    fs::write(&placeholder, " ").unwrap();
    let fetch = "is only a placeholder: have your sync client fetch it";

    let passphrase = sandbox.path("passphrase");
    let reading = |words: &[&str]| {
        let mut command = sandbox.program(&[words[0].as_ref(), sandbox.backing().as_ref()]);
        command.args(&words[1..]).arg("--passphrase-file").arg(&passphrase);
        command
    };
    let checked = reading(&["check"]).output().unwrap();
    let text = String::from_utf8(checked.stdout).unwrap() + &String::from_utf8(checked.stderr).unwrap();
    assert!(checked.status.code() == Some(5) && text.contains(fetch), "{text}");
    let out = sandbox.path("out");
    let told = sandbox.fails(&mut reading(&["export", out.to_str().unwrap()]), 32);
    assert!(told.contains(fetch), "{told}");

    sandbox.succeeds(&mut sandbox.mount());
    let read = || fs::read(sandbox.plain().join("f"));
    assert_eq!(read().unwrap_err().raw_os_error(), Some(5));
    eventually("the placeholder is told", || asked(status(&sandbox)).1 == Some(37));
    let (mount, _) = asked(status(&sandbox));
    assert_eq!((troubles(&mount), &mount["placeholders"]), (vec!["placeholders".to_owned()], &1.into()));
    let text = sandbox.succeeds(&mut sandbox.program(&[
        "trust".as_ref(),
        "status".as_ref(),
        sandbox.backing().as_ref(),
    ]));
    assert!(text.contains("placeholder"), "{text}");
    // The client fetches it.
    fs::rename(&aside, &chunk).unwrap();
    fs::remove_file(&placeholder).unwrap();
    assert!(read().unwrap() == "content".repeat(50_000).as_bytes());
    eventually("it is there", || asked(status(&sandbox)).1 == Some(0));
    sandbox.unmounts();

    let header = sandbox.backing().join("cryptfs.json");
    fs::rename(&header, header.with_extension("json.nextcloud")).unwrap();
    let told = sandbox.fails(&mut sandbox.mount(), 19);
    assert!(told.contains(fetch), "{told}");
}

/// Who names a folder cannot forge a line of what is told of it.
#[test]
fn a_mountpoint_is_shown_on_one_line() {
    let sandbox = Sandbox::with_volume();
    let place = sandbox.path("a\n  Findings        0\u{1b}[2J");
    fs::create_dir(&place).unwrap();
    let mut mount = sandbox.program(&["mount".as_ref(), sandbox.backing().as_ref(), place.as_ref()]);
    sandbox.succeeds(mount.arg("--passphrase-file").arg(sandbox.path("passphrase")));
    for words in ["status", "info"] {
        let text = sandbox.succeeds(&mut sandbox.program(&[words.as_ref(), place.as_ref()]));
        assert!(text.contains(r"a\n  Findings        0\u001b[2J"), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("Findings        0")).count(), 2, "{text}");
    }
    sandbox.succeeds(&mut sandbox.program(&["umount".as_ref(), place.as_ref()]));
}
