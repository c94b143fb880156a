//! Rotating the volume's key: cut short anywhere it goes on, and afterwards old slots open nothing.

use crate::sandbox::{Sandbox, eventually};
use crate::terminal::on_terminal;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// Instants at which a rotation is killed; `CRYPTFS_LONG=1` wants the many.
const FEW: u32 = 15;
const MANY: u32 = 100;
const SMALL_FILES: u32 = 200;

fn rotate(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.program(&["key".as_ref(), "rotate".as_ref(), sandbox.backing().as_ref()]);
    command.arg("--passphrase-file").arg(sandbox.path("passphrase"));
    command
}

/// The files of the volume, which has to be mounted.
fn contents(sandbox: &Sandbox) -> BTreeMap<PathBuf, Vec<u8>> {
    fn visit(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else {
                let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.insert(path, bytes);
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(&sandbox.plain(), &mut found);
    found
}

/// The only slot's file and what is in it.
fn slot(sandbox: &Sandbox) -> (PathBuf, Vec<u8>) {
    let files = fs::read_dir(sandbox.backing().join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let mut files = files.filter(|file| fs::read_to_string(file).unwrap().contains("cryptfs-slot"));
    let file = files.next().unwrap();
    assert_eq!(files.next(), None);
    let bytes = fs::read(&file).unwrap();
    (file, bytes)
}

/// Numbers that look random, from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn new() -> Random {
        let given = std::env::var("CRYPTFS_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given
            .unwrap_or_else(|| Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id()));
        println!("CRYPTFS_SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn fill(sandbox: &Sandbox) {
    let plain = sandbox.plain();
    for number in 0..SMALL_FILES {
        let folder = plain.join(format!("folder {}", number % 7));
        fs::create_dir_all(&folder).unwrap();
        let bytes = number.to_string().repeat(number as usize * 7);
        fs::write(folder.join(number.to_string()), bytes).unwrap();
    }
    for number in 1..=3u8 {
        let bytes: Vec<u8> = (0..3_000_000u32 + u32::from(number)).map(|i| (i >> 8) as u8 ^ number).collect();
        fs::write(plain.join(format!("large {number}")), bytes).unwrap();
    }
}

#[test]
fn a_rotation_that_is_killed_goes_on() {
    let sandbox = Sandbox::empty();
    sandbox.succeeds(sandbox.init().args(["--chunk-size", "1M"]));
    sandbox.succeeds(&mut sandbox.mount());
    fill(&sandbox);
    let mut expected = contents(&sandbox);
    sandbox.unmounts();
    let start = Instant::now();
    sandbox.succeeds(&mut rotate(&sandbox));
    let whole = start.elapsed().as_micros() as u64;
    let mut random = Random::new();
    let (mut killed, mut resumed) = (0, 0);
    let instants = if std::env::var_os("CRYPTFS_LONG").is_some() { MANY } else { FEW };
    while killed < instants {
        let mut child = rotate(&sandbox).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // The instant of the kill is what is tried here; nothing is waited for.
        sleep(Duration::from_micros(random.below(whole)));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        killed += u32::from(!output.status.success());
        resumed += u32::from(String::from_utf8(output.stdout).unwrap().contains("Resuming"));
        sandbox.succeeds(&mut sandbox.mount());
        assert!(contents(&sandbox) == expected, "something changed after {killed} kills");
        let path = sandbox.plain().join(format!("folder 1/written after {}", killed % 20));
        let bytes = vec![killed as u8; random.below(20_000) as usize];
        fs::write(&path, &bytes).unwrap();
        expected.insert(path, bytes);
        sandbox.unmounts();
    }
    println!("killed {killed} times, resumed {resumed} times");
    let told = sandbox.succeeds(&mut rotate(&sandbox));
    assert!(told.contains("the old one is destroyed"), "{told}");
    slot(&sandbox);
    sandbox.succeeds(&mut sandbox.mount());
    assert!(contents(&sandbox) == expected);
    sandbox.unmounts();
}

#[test]
fn an_old_slot_put_back_opens_nothing() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("file"), "content").unwrap();
    sandbox.unmounts();
    let (old, bytes) = slot(&sandbox);
    let space = || -> u64 {
        let chunks = Command::new("du")
            .args(["-sk", "--apparent-size"])
            .arg(sandbox.backing().join("chunks"))
            .output();
        String::from_utf8(chunks.unwrap().stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    };
    let before = space();
    sandbox.succeeds(&mut rotate(&sandbox));
    assert!(space() <= before + 64, "{before} KiB became {}", space());
    let (new, _) = slot(&sandbox);
    assert!(!old.exists() && new != old);
    fs::write(&old, &bytes).unwrap();
    // Both are there: the old one is passed over.
    sandbox.succeeds(&mut sandbox.mount());
    assert_eq!(fs::read_to_string(sandbox.plain().join("file")).unwrap(), "content");
    sandbox.unmounts();
    let aside = sandbox.path("aside");
    fs::rename(&new, &aside).unwrap();
    sandbox.fails(&mut sandbox.mount(), 18);
    // A device that has forgotten which slots were removed, but not which keys it expects.
    let volumes = fs::read_dir(sandbox.path("state/cryptfs")).unwrap();
    let state = volumes.map(|entry| entry.unwrap().path()).next().unwrap();
    fs::remove_file(state.join("removed-slots")).unwrap();
    let told = sandbox.fails(&mut sandbox.mount(), 18);
    assert!(told.contains("is outdated; it is not used"), "{told}");
    // A device that never saw the volume hears of it from the list.
    let told = sandbox.fails(sandbox.mount().env("XDG_STATE_HOME", sandbox.path("elsewhere")), 18);
    assert!(told.contains("from before a rotation"), "{told}");
    fs::rename(&aside, &new).unwrap();
    sandbox.succeeds(&mut sandbox.mount());
    sandbox.unmounts();
}

#[test]
fn slots_that_cannot_be_opened_are_named() {
    let sandbox = Sandbox::empty();
    let recovery = sandbox.path("recovery");
    sandbox.succeeds(sandbox.init().arg("--recovery-file").arg(&recovery));
    let list = sandbox.succeeds(&mut sandbox.program(&[
        "key".as_ref(),
        "list".as_ref(),
        sandbox.backing().as_ref(),
    ]));
    let id =
        list.lines().find(|line| line.contains(" recovery ")).unwrap().split(' ').next().unwrap().to_owned();
    let told = sandbox.succeeds(rotate(&sandbox).arg("--recovery-key-file").arg(&recovery));
    assert!(!told.contains("left unchanged") && told.contains(&format!("Replaced slot {id}")), "{told}");
    let told = sandbox.succeeds(&mut rotate(&sandbox));
    assert!(told.contains("left unchanged") && told.contains("cryptfs key add"), "{told}");
    let passphrase = fs::read_to_string(sandbox.path("passphrase")).unwrap();
    fs::copy(&recovery, sandbox.path("passphrase")).unwrap();
    let told = sandbox.fails(&mut sandbox.mount(), 13);
    assert!(told.contains("is outdated; it is not used"), "{told}");
    // Nor does a device that meets the volume with the old keys only.
    let elsewhere = || {
        let mut mount = sandbox.mount();
        mount.env("XDG_STATE_HOME", sandbox.path("elsewhere"));
        mount
    };
    sandbox.fails(&mut elsewhere(), 13);
    sandbox.set_passphrase(&passphrase);
    sandbox.succeeds(&mut elsewhere());
    sandbox.unmounts();
}

#[test]
fn what_another_device_has_not_stored_keeps_the_old_key() {
    let sandbox = Sandbox::with_volume();
    let mut elsewhere = sandbox.mount();
    sandbox.succeeds(elsewhere.env("XDG_STATE_HOME", sandbox.path("elsewhere")));
    fs::write(sandbox.plain().join("file"), "content").unwrap();
    sandbox.unmounts();
    let mut add = sandbox.program(&["key".as_ref(), "add".as_ref(), sandbox.backing().as_ref()]);
    add.args(["--recovery", "--recovery-file"]).arg(sandbox.path("recovery"));
    sandbox.succeeds(add.arg("--passphrase-file").arg(sandbox.path("passphrase")));
    let refused = rotate(&sandbox).output().unwrap();
    let [out, told] =
        [&refused.stdout, &refused.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert_eq!(refused.status.code(), Some(28), "{told}");
    assert!(told.contains("the journal of device") && told.contains("`cryptfs device retire "), "{told}");
    // The recovery key opens nothing from now on, though the rotation has not ended.
    assert!(out.contains("was left unchanged") && out.contains("`cryptfs key add --recovery "), "{out}");
    sandbox.succeeds(elsewhere.env("XDG_STATE_HOME", sandbox.path("elsewhere")));
    assert_eq!(fs::read_to_string(sandbox.plain().join("file")).unwrap(), "content");
    sandbox.unmounts();
    let told = sandbox.succeeds(&mut rotate(&sandbox));
    assert!(told.contains("Resuming"), "{told}");
    sandbox.succeeds(&mut sandbox.mount());
    assert_eq!(fs::read_to_string(sandbox.plain().join("file")).unwrap(), "content");
    let told = sandbox.fails(&mut rotate(&sandbox), 15);
    assert!(told.contains("in use"), "{told}");
    sandbox.unmounts();
}

/// A rotation whose new key is in the slots and whose long part has hardly begun.
fn cut_short(sandbox: &Sandbox) {
    let (old, _) = slot(sandbox);
    let mut child = rotate(sandbox).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("the old slot's end", || !old.exists());
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "the rotation was faster than its end");
}

/// When each chunk file was written last.
fn written(sandbox: &Sandbox) -> BTreeMap<PathBuf, SystemTime> {
    let folders = fs::read_dir(sandbox.backing().join("chunks")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files
        .map(|file| file.unwrap())
        .map(|file| (file.path(), file.metadata().unwrap().modified().unwrap()))
        .collect()
}

#[test]
fn a_mount_goes_on_with_it_beside_other_work_and_after_a_kill() {
    let sandbox = Sandbox::empty();
    sandbox.succeeds(sandbox.init().args(["--chunk-size", "1M"]));
    sandbox.succeeds(&mut sandbox.mount());
    fill(&sandbox);
    for number in 0..40u8 {
        fs::write(sandbox.plain().join(format!("more {number}")), vec![number; 400_000]).unwrap();
    }
    let expected = contents(&sandbox);
    sandbox.unmounts();
    cut_short(&sandbox);
    let log = sandbox.path("log");
    let mount = || {
        let mut mount = sandbox.mount();
        sandbox.succeeds(mount.arg("--log-file").arg(&log).env("CRYPTFS_LOG", "info"));
    };
    let ended = || fs::read_to_string(&log).unwrap_or_default().contains("beside the mount has ended");

    let before = written(&sandbox);
    let anew = || written(&sandbox).iter().filter(|(path, time)| before.get(*path) != Some(*time)).count();
    mount();
    eventually("some progress", || anew() > before.len() / 10);
    Command::new("kill").arg("-KILL").arg(sandbox.daemon().to_string()).status().unwrap();
    eventually("the daemon's end", || fs::read_dir(sandbox.plain()).is_err());
    assert!(!ended() && anew() < before.len(), "it was over before the kill");

    mount();
    let mut slowest = Duration::ZERO;
    let mut number = 0;
    while !ended() {
        let start = Instant::now();
        let mut file = fs::File::create(sandbox.plain().join("folder 1/meanwhile")).unwrap();
        file.write_all(format!("{number}").as_bytes()).unwrap();
        file.sync_all().unwrap();
        slowest = slowest.max(start.elapsed());
        number += 1;
    }
    println!("{number} times written and synced meanwhile, the slowest in {slowest:?}");
    assert!(number > 3 && slowest < Duration::from_secs(10), "{number} times, {slowest:?}");
    fs::remove_file(sandbox.plain().join("folder 1/meanwhile")).unwrap();
    assert!(contents(&sandbox) == expected);
    sandbox.unmounts();

    let done = written(&sandbox);
    let told = sandbox.succeeds(&mut rotate(&sandbox));
    assert!(told.contains("Resuming") && told.contains("the old one is destroyed"), "{told}");
    let again = written(&sandbox).iter().filter(|(path, time)| done.get(*path) != Some(*time)).count();
    assert!(again < 10, "{again} of {} chunk files were written again", done.len());
    sandbox.succeeds(&mut sandbox.mount());
    assert!(contents(&sandbox) == expected);
    sandbox.unmounts();
}

#[test]
fn a_terminal_shows_how_far_it_is_and_a_pipe_does_not() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fill(&sandbox);
    sandbox.unmounts();
    let (backing, passphrase) = (sandbox.backing(), sandbox.path("passphrase"));
    let words: [&OsStr; 5] = [
        "key".as_ref(),
        "rotate".as_ref(),
        backing.as_ref(),
        "--passphrase-file".as_ref(),
        passphrase.as_ref(),
    ];
    let (shown, code) = on_terminal(&sandbox, &words, &[]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("Re-encrypting") && shown.contains(" of "), "{shown:?}");
    let piped = rotate(&sandbox).output().unwrap();
    assert!(piped.status.success());
    assert_eq!(String::from_utf8(piped.stderr).unwrap(), "");
}

/// What lies there after a rotation and was not opened is no way in for whoever removes the last one that is.
#[test]
fn a_slot_of_dead_keys_is_no_way_in() {
    let sandbox = Sandbox::empty();
    let recovery = sandbox.path("recovery");
    sandbox.succeeds(sandbox.init().arg("--recovery-file").arg(&recovery));
    sandbox.succeeds(&mut rotate(&sandbox));
    let key = |arguments: &[&str], secret: &Path| {
        let mut command =
            sandbox.program(&["key".as_ref(), arguments[0].as_ref(), sandbox.backing().as_ref()]);
        command.args(&arguments[1..]).arg("--passphrase-file").arg(secret);
        command
    };
    let list = sandbox.succeeds(&mut sandbox.program(&[
        "key".as_ref(),
        "list".as_ref(),
        sandbox.backing().as_ref(),
    ]));
    let id = |kind| list.lines().find(|line| line.contains(kind)).unwrap().split(' ').next().unwrap();
    let (live, dead) = (id(" passphrase "), id(" recovery "));
    sandbox.fails(&mut key(&["remove", live], &recovery), 27);
    sandbox.succeeds(&mut key(&["remove", dead], &sandbox.path("passphrase")));
    sandbox.succeeds(&mut sandbox.mount());
    sandbox.unmounts();
}
