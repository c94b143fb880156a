//! Two devices, each with a copy of the backing folder, and a client that copies files between the two.

use crate::sandbox::{Sandbox, eventually};
use crate::transports::transports;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A second device, with a copy of what the first one has.
fn another(first: &Sandbox) -> Sandbox {
    let second = Sandbox::empty();
    fs::copy(first.path("passphrase"), second.path("passphrase")).unwrap();
    let copied = Command::new("cp").arg("-a").args([first.backing(), second.backing()]).status();
    assert!(copied.unwrap().success());
    second
}

fn mount(sandbox: &Sandbox, options: &str) {
    let mut command = sandbox.mount();
    sandbox.succeeds(command.arg("--log-file").arg(sandbox.path("log")).args(["-o", options]));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let found = Command::new("find").arg(folder).args(["-type", "f", "-printf", "%P\n"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// The client: what differs is copied file by file and put into its place by a rename; what is gone is removed.
fn deliver(from: &Sandbox, to: &Sandbox, spared: &[PathBuf]) {
    from.succeeds(&mut from.program(&["sync".as_ref(), from.plain().as_ref()]));
    let (source, target) = (from.backing(), to.backing());
    for file in files(&source) {
        let bytes = fs::read(source.join(&file)).unwrap();
        if fs::read(target.join(&file)).is_ok_and(|there| there == bytes) {
            continue;
        }
        let place = target.join(&file);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        let aside = target.join("on its way");
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, place).unwrap();
    }
    for file in files(&target).iter().filter(|file| !spared.contains(file) && !source.join(file).exists()) {
        fs::remove_file(target.join(file)).unwrap();
    }
}

/// Content and time of the last change of every file and folder.
fn state(folder: &Path) -> BTreeMap<PathBuf, (i64, i64, Vec<u8>)> {
    let found = Command::new("find").arg(folder).output().unwrap();
    let paths = String::from_utf8(found.stdout).unwrap();
    let look = |path: &str| {
        let status = fs::metadata(path).unwrap();
        (PathBuf::from(path), (status.mtime(), status.mtime_nsec(), fs::read(path).unwrap_or_default()))
    };
    paths.lines().map(look).collect()
}

fn read_everything(folder: &Path) {
    assert!(Command::new("grep").args(["-r", "x"]).arg(folder).output().unwrap().stderr.is_empty());
}

/// Also on a device that has just met another one's journal and newer chunks.
#[test]
fn looking_writes_nothing() {
    let first = Sandbox::with_volume();
    mount(&first, "rw");
    fs::create_dir(first.plain().join("folder")).unwrap();
    fs::write(first.plain().join("folder/one"), "1").unwrap();
    let second = another(&first);
    for round in 0..3 {
        let file = File::create(first.plain().join(format!("folder/{round}"))).unwrap();
        file.write_all_at(b"in a batch", 0).unwrap();
        file.sync_all().unwrap();
        deliver(&first, &second, &[]);
        let before = state(&second.backing());
        mount(&second, "rw");
        read_everything(&second.plain());
        assert!(second.plain().join(format!("folder/{round}")).exists());
        second.unmounts();
        assert!(state(&second.backing()) == before, "looking changed the folder");
    }
    first.unmounts();
}

#[test]
fn what_another_device_does_is_seen_without_a_remount() {
    let transports = transports();
    let kinds = transports.iter().flat_map(|transport| ["", ",writeback"].map(|more| (transport, more)));
    for (transport, more) in kinds {
        let first = Sandbox::with_volume();
        mount(&first, "rw");
        fs::create_dir(first.plain().join("folder")).unwrap();
        fs::write(first.plain().join("folder/file"), "before").unwrap();
        fs::write(first.plain().join("stays"), "short").unwrap();
        first.succeeds(&mut first.program(&["sync".as_ref(), first.plain().as_ref()]));
        let second = another(&first);
        mount(&second, &format!("transport={transport}{more}"));
        let (ours, theirs) = (first.plain(), second.plain());

        // What the kernel knows by now: listings, attributes, pages, and what there is not.
        read_everything(&theirs);
        assert!(!theirs.join("new").exists());
        let open = File::open(theirs.join("stays")).unwrap();
        let journal = files(&second.backing()).into_iter().filter(|file| file.starts_with("journals"));
        let journal: Vec<_> = journal.filter(|file| !first.backing().join(file).exists()).collect();

        fs::write(ours.join("stays"), "and gets longer").unwrap();
        fs::write(ours.join("new"), "new").unwrap();
        fs::create_dir(ours.join("other")).unwrap();
        fs::rename(ours.join("folder/file"), ours.join("other/moved")).unwrap();
        deliver(&first, &second, &journal);
        let delivered = Instant::now();
        eventually("that all is seen", || {
            fs::read(theirs.join("stays")).is_ok_and(|found| found == b"and gets longer")
                && fs::read(theirs.join("new")).is_ok_and(|found| found == b"new")
                && fs::read(theirs.join("other/moved")).is_ok_and(|found| found == b"before")
                && !theirs.join("folder/file").exists()
        });
        eprintln!("{transport}{more}: seen after {:?}", delivered.elapsed());
        let mut found = String::new();
        if more.is_empty() {
            (&open).read_to_string(&mut found).unwrap();
            assert_eq!(found, "and gets longer", "who has it open");
        }
        drop(open);
        assert_eq!(fs::read_dir(&theirs).unwrap().count(), 4);

        fs::remove_file(ours.join("new")).unwrap();
        fs::remove_dir(ours.join("folder")).unwrap();
        deliver(&first, &second, &journal);
        eventually("that it is gone", || !theirs.join("new").exists() && !theirs.join("folder").exists());
        fs::write(theirs.join("other/theirs"), "goes on").unwrap();
        second.unmounts();
        first.unmounts();
        let log = fs::read_to_string(second.path("log")).unwrap();
        assert!(!log.contains("error") && !log.contains("warning"), "{log}");
        let status = second.program(&["trust".as_ref(), "status".as_ref(), second.backing().as_ref()]);
        let mut status = status;
        assert!(second.succeeds(&mut status).contains("Findings: 0"));
    }
}

/// The kernel asks again only for what it is told of; what merging makes no client brings.
#[test]
fn names_that_come_with_a_conflict_copy_are_seen_without_a_remount() {
    for transport in transports() {
        let first = Sandbox::with_volume();
        mount(&first, "rw");
        fs::write(first.plain().join("both"), "first").unwrap();
        first.succeeds(&mut first.program(&["sync".as_ref(), first.plain().as_ref()]));
        let second = another(&first);
        mount(&second, &format!("transport={transport}"));
        let list = || fs::read_dir(second.plain()).unwrap().count();
        for sandbox in [&first, &second] {
            fs::write(sandbox.plain().join("both"), sandbox.plain().as_os_str().as_encoded_bytes()).unwrap();
            sandbox.succeeds(&mut sandbox.program(&["sync".as_ref(), sandbox.plain().as_ref()]));
        }
        let ours = files(&first.backing()).into_iter().filter(|file| file.starts_with("chunks"));
        let differ = |file: &PathBuf| {
            let [ours, theirs] = [&first, &second].map(|sandbox| fs::read(sandbox.backing().join(file)));
            ours.unwrap() != theirs.unwrap_or_default()
        };
        for file in ours.filter(differ) {
            let mut copy = second.backing().join(&file).into_os_string();
            copy.push("~");
            fs::copy(first.backing().join(&file), copy).unwrap();
        }
        assert_eq!(list(), 1);
        eventually("that the conflict file is listed", || list() == 2);
        second.unmounts();
        first.unmounts();
    }
}

/// Names before content, half a file, deletion before its folder: an error for that file until the rest is here, and
/// none that stays.
#[test]
fn what_has_not_arrived_is_an_error_until_it_does() {
    let first = Sandbox::with_volume();
    mount(&first, "rw");
    fs::write(first.plain().join("early"), "early").unwrap();
    first.succeeds(&mut first.program(&["sync".as_ref(), first.plain().as_ref()]));
    let second = another(&first);
    mount(&second, "rw");
    let theirs = second.plain();
    read_everything(&theirs);
    fs::write(first.plain().join("late"), "late".repeat(9000)).unwrap();
    fs::remove_file(first.plain().join("early")).unwrap();
    first.unmounts();

    let (source, target) = (first.backing(), second.backing());
    let is_new = |file: &PathBuf| file.starts_with("chunks") && !target.join(file).exists();
    let [late] = files(&source).into_iter().filter(is_new).collect::<Vec<_>>().try_into().unwrap();
    let bytes = fs::read(source.join(&late)).unwrap();
    let gone =
        files(&target).into_iter().filter(|file| file.starts_with("chunks") && !source.join(file).exists());
    gone.for_each(|file| fs::remove_file(target.join(file)).unwrap());
    for file in files(&source).into_iter().filter(|file| *file != late) {
        fs::copy(source.join(&file), target.join("on its way")).unwrap();
        fs::rename(target.join("on its way"), target.join(file)).unwrap();
    }
    let read = || fs::read_to_string(theirs.join("late"));
    eventually("the name", || theirs.join("late").symlink_metadata().is_ok() || read().is_err_and(is_io));
    assert!(is_io(read().unwrap_err()));
    eventually("that the other is gone", || !theirs.join("early").exists());
    fs::create_dir_all(target.join(&late).parent().unwrap()).unwrap();
    fs::write(target.join(&late), &bytes[..bytes.len() / 2]).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(read().is_err_and(is_io));
    fs::write(target.join(&late), &bytes).unwrap();
    eventually("the content", || read().is_ok_and(|found| found == "late".repeat(9000)));
    let findings = || {
        let mut status = second.program(&["trust".as_ref(), "status".as_ref(), target.as_ref()]);
        second.succeeds(&mut status)
    };
    eventually("that no finding stays", || findings().contains("Findings: 0"));
    second.unmounts();
}

fn is_io(error: std::io::Error) -> bool {
    error.raw_os_error() == Some(5)
}
