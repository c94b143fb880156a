//! Rows 13, 15, 17 and 22 as a person meets them: what is older than this device has seen it, by itself or all of it.

use crate::sandbox::{Sandbox, eventually};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A session in the mount.
fn session(sandbox: &Sandbox, work: impl FnOnce(&Path)) {
    sandbox.succeeds(&mut mount(sandbox));
    work(&sandbox.plain());
    sandbox.unmounts();
}

fn mount(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.mount();
    command.arg("--log-file").arg(sandbox.path("log"));
    command
}

fn trust(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = sandbox.program(&["trust".as_ref(), arguments[0].as_ref(), sandbox.backing().as_ref()]);
    command.args(&arguments[1..]);
    if arguments[0] == "accept" {
        command.arg("--passphrase-file").arg(sandbox.path("passphrase"));
    }
    command
}

/// What both commands say, once they agree: the mount changes the list meanwhile.
fn findings(sandbox: &Sandbox) -> Vec<String> {
    let found = std::cell::RefCell::new(Vec::new());
    eventually("that status and info agree", || {
        let status = sandbox.succeeds(&mut trust(sandbox, &["status"]));
        let mut lines = status.lines().skip_while(|line| !line.starts_with("Findings: "));
        let count: usize = lines.next().unwrap()["Findings: ".len()..].parse().unwrap();
        // Behind them it says what helps.
        *found.borrow_mut() = lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect();
        assert_eq!(found.borrow().len(), count);
        let info =
            sandbox.program(&["info".as_ref(), sandbox.backing().as_ref(), "--json".as_ref()]).output();
        let info: serde_json::Value = serde_json::from_slice(&info.unwrap().stdout).unwrap();
        info["findings"] == count
    });
    found.into_inner()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// The backing files that differ from those of an earlier copy, below the folder.
fn changed(sandbox: &Sandbox, earlier: &Path) -> Vec<PathBuf> {
    let found = Command::new("find").arg(earlier).args(["-type", "f", "-printf", "%P\n"]).output().unwrap();
    let names = String::from_utf8(found.stdout).unwrap();
    let differs = |name: &PathBuf| {
        fs::read(earlier.join(name)).unwrap() != fs::read(sandbox.backing().join(name)).unwrap_or_default()
    };
    names.lines().map(PathBuf::from).filter(differs).collect()
}

#[test]
fn row_13_an_older_file_reads_as_an_error_until_it_is_accepted() {
    let sandbox = Sandbox::with_volume();
    let earlier = sandbox.path("earlier");
    session(&sandbox, |plain| {
        fs::create_dir(plain.join("papers")).unwrap();
        fs::write(plain.join("papers/a will"), "to the cat").unwrap();
        fs::write(plain.join("other"), "other").unwrap();
    });
    copy(&sandbox.backing(), &earlier);
    session(&sandbox, |plain| {
        // Over what is there, so that neither a name nor the journal changes for it alone.
        let file = fs::File::options().write(true).open(plain.join("papers/a will")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"to the dog", 0).unwrap();
    });
    let chunks: Vec<PathBuf> =
        changed(&sandbox, &earlier).into_iter().filter(|name| name.starts_with("chunks")).collect();
    assert_eq!(chunks.len(), 1, "{chunks:?}");
    let chunk = chunks[0].to_str().unwrap();
    fs::copy(earlier.join(chunk), sandbox.backing().join(chunk)).unwrap();

    sandbox.succeeds(&mut mount(&sandbox));
    let file = sandbox.plain().join("papers/a will");
    for _ in 0..3 {
        let error = fs::read(&file).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{error}");
    }
    assert_eq!(fs::read(sandbox.plain().join("other")).unwrap(), b"other");
    assert_eq!(fs::read_dir(sandbox.plain().join("papers")).unwrap().count(), 1);
    let log = || fs::read_to_string(sandbox.path("log")).unwrap_or_default();
    eventually("the finding", || findings(&sandbox).len() == 1);
    let lines: Vec<String> =
        log().lines().filter(|line| line.contains("papers/a will")).map(str::to_owned).collect();
    let accept = format!("`cryptfs trust accept {} 'papers/a will'`", sandbox.backing().display());
    assert!(lines.len() == 1 && lines[0].contains("is older than it was: of 20"), "{lines:?}");
    assert!(lines[0].contains(chunk) && lines[0].contains(&accept), "{lines:?}");
    let listed = &findings(&sandbox)[0];
    assert!(
        listed.contains("older") && listed.contains(chunk) && listed.ends_with("papers/a will"),
        "{listed}"
    );

    sandbox.fails(&mut trust(&sandbox, &["accept", "--yes"]), 15);
    sandbox.unmounts();
    let told = sandbox.fails(&mut trust(&sandbox, &["accept"]), 14);
    assert!(told.contains("--yes"), "{told}");
    sandbox.fails(&mut trust(&sandbox, &["accept", "papers/nothing", "--yes"]), 33);
    let told = sandbox.succeeds(&mut trust(&sandbox, &["accept", "other", "--yes"]));
    assert!(told.contains("Nothing is older"), "{told}");
    let told = sandbox.succeeds(&mut trust(&sandbox, &["accept", "/papers/a will", "--yes"]));
    assert!(
        told.contains("papers/a will: older: of 20") && told.contains("Accepted as they are: 1"),
        "{told}"
    );
    assert!(findings(&sandbox).is_empty());
    session(&sandbox, |plain| assert_eq!(fs::read(plain.join("papers/a will")).unwrap(), b"to the cat"));
    assert!(findings(&sandbox).is_empty());
}

#[test]
fn row_15_an_older_volume_is_refused_until_it_is_accepted() {
    let sandbox = Sandbox::with_volume();
    let (earlier, newer) = (sandbox.path("earlier"), sandbox.path("newer"));
    session(&sandbox, |plain| fs::write(plain.join("ledger"), "1000").unwrap());
    copy(&sandbox.backing(), &earlier);
    session(&sandbox, |plain| {
        fs::write(plain.join("ledger"), "2").unwrap();
        // A new name: of a change of content alone the file tells by itself.
        fs::write(plain.join("another"), "").unwrap();
    });
    fs::rename(sandbox.backing(), &newer).unwrap();
    copy(&earlier, &sandbox.backing());

    let told = sandbox.fails(&mut mount(&sandbox), 29);
    assert!(told.contains("the volume is older than this device has seen it: of 20"), "{told}");
    assert!(
        told.contains("Nothing was written") && told.contains("`cryptfs trust accept DIR/backing`"),
        "{told}"
    );
    assert!(changed(&sandbox, &earlier).is_empty());
    assert!(!sandbox.is_mounted());

    // The newer one comes back: nothing is to be done.
    fs::rename(sandbox.backing(), sandbox.path("older")).unwrap();
    fs::rename(&newer, sandbox.backing()).unwrap();
    session(&sandbox, |plain| assert_eq!(fs::read(plain.join("ledger")).unwrap(), b"2"));

    fs::rename(sandbox.backing(), &newer).unwrap();
    fs::rename(sandbox.path("older"), sandbox.backing()).unwrap();
    let told = sandbox.succeeds(&mut trust(&sandbox, &["accept", "--yes"]));
    assert!(
        told.contains("a device's journal: older: of 20") && told.contains("ledger: older: of 20"),
        "{told}"
    );
    session(&sandbox, |plain| assert_eq!(fs::read(plain.join("ledger")).unwrap(), b"1000"));
    session(&sandbox, |plain| fs::write(plain.join("ledger"), "3").unwrap());
    assert!(findings(&sandbox).is_empty());
}

#[test]
fn row_15_the_journal_is_gone() {
    let sandbox = Sandbox::with_volume();
    session(&sandbox, |plain| fs::write(plain.join("x"), "x").unwrap());
    fs::remove_dir_all(sandbox.backing().join("journals")).unwrap();
    sandbox.fails(&mut mount(&sandbox), 29);
    let told = sandbox.succeeds(&mut trust(&sandbox, &["accept", "--yes"]));
    assert!(told.contains("a device's journal: gone"), "{told}");
    session(&sandbox, |plain| assert_eq!(fs::read(plain.join("x")).unwrap(), b"x"));
}

/// What was seen here is gone when its file is; what never was has not arrived, and is there as soon as it has.
#[test]
fn row_08_a_file_that_comes_back_is_read_without_a_remount() {
    for known in [true, false] {
        let sandbox = Sandbox::with_volume();
        let earlier = sandbox.path("earlier");
        session(&sandbox, |plain| fs::write(plain.join("early"), "early").unwrap());
        copy(&sandbox.backing(), &earlier);
        session(&sandbox, |plain| fs::write(plain.join("late"), "late".repeat(5000)).unwrap());
        let found = Command::new("find").arg(sandbox.backing().join("chunks")).args(["-type", "f"]).output();
        let files = String::from_utf8(found.unwrap().stdout).unwrap();
        let late = files
            .lines()
            .find(|file| !earlier.join(Path::new(file).strip_prefix(sandbox.backing()).unwrap()).exists());
        let (late, aside) = (PathBuf::from(late.unwrap()), sandbox.path("aside"));
        fs::rename(&late, &aside).unwrap();
        if !known {
            fs::remove_dir_all(sandbox.path("state/cryptfs")).unwrap();
        }
        sandbox.succeeds(&mut mount(&sandbox));
        let read = || fs::read_to_string(sandbox.plain().join("late"));
        assert_eq!(read().unwrap_err().raw_os_error(), Some(5));
        assert_eq!(fs::read(sandbox.plain().join("early")).unwrap(), b"early");
        let kind = if known { "gone" } else { "not-arrived" };
        eventually("the finding", || findings(&sandbox).iter().any(|line| line.contains(kind)));
        fs::rename(&aside, &late).unwrap();
        assert!(read().unwrap() == "late".repeat(5000));
        eventually("that it is forgotten", || findings(&sandbox).is_empty());
        sandbox.unmounts();
        session(&sandbox, |plain| {
            assert!(fs::read_to_string(plain.join("late")).unwrap() == "late".repeat(5000))
        });
    }
}

/// The state folder is lost, or comes back from a backup: no alarm, and what was seen since counts.
#[test]
fn a_state_folder_that_is_lost_or_older_raises_no_alarm() {
    let sandbox = Sandbox::with_volume();
    let (state, old) = (sandbox.path("state/cryptfs"), sandbox.path("old state"));
    session(&sandbox, |plain| fs::write(plain.join("x"), "1").unwrap());
    copy(&state, &old);
    session(&sandbox, |plain| fs::write(plain.join("x"), "2").unwrap());
    fs::remove_dir_all(&state).unwrap();
    copy(&old, &state);
    session(&sandbox, |plain| {
        assert_eq!(fs::read(plain.join("x")).unwrap(), b"2");
        fs::write(plain.join("y"), "3").unwrap();
    });
    fs::remove_dir_all(&state).unwrap();
    session(&sandbox, |plain| {
        assert_eq!(fs::read(plain.join("x")).unwrap(), b"2");
        assert_eq!(fs::read(plain.join("y")).unwrap(), b"3");
    });
    assert!(findings(&sandbox).is_empty());
    let earlier = sandbox.path("earlier");
    copy(&sandbox.backing(), &earlier);
    session(&sandbox, |plain| fs::write(plain.join("z"), "4").unwrap());
    fs::remove_dir_all(sandbox.backing()).unwrap();
    copy(&earlier, &sandbox.backing());
    sandbox.fails(&mut mount(&sandbox), 29);
}

/// The list of findings is for the owner to look at: damage to it is a remark.
#[test]
fn a_damaged_list_of_findings_keeps_nobody_out() {
    let sandbox = Sandbox::with_volume();
    session(&sandbox, |plain| fs::write(plain.join("x"), "1").unwrap());
    let state = fs::read_dir(sandbox.path("state/cryptfs")).unwrap().next().unwrap().unwrap().path();
    let damaged = [b"7 corrupt chunks/aa/bb x\n".to_vec(), b"\xff".repeat(2 << 20)].concat();
    fs::write(state.join("findings"), damaged).unwrap();
    assert_eq!(findings(&sandbox).len(), 1);
    let output = mount(&sandbox).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("cannot be read in full"), "{told}");
    assert_eq!(fs::read(sandbox.plain().join("x")).unwrap(), b"1");
    sandbox.unmounts();
}

/// Two devices in turn, as two state folders.
#[test]
fn two_devices_in_turn_raise_no_alarm() {
    let sandbox = Sandbox::with_volume();
    let (state, others) = (sandbox.path("state/cryptfs"), sandbox.path("state/others"));
    for turn in 0..6 {
        session(&sandbox, |plain| {
            for earlier in 0..turn {
                assert_eq!(
                    fs::read_to_string(plain.join(format!("{earlier}"))).unwrap(),
                    format!("by {earlier}")
                );
            }
            let all = fs::read_to_string(plain.join("all")).unwrap_or_default();
            assert_eq!(all.len(), turn * 6000);
            fs::write(plain.join("all"), all + &"x".repeat(6000)).unwrap();
            fs::write(plain.join(format!("{turn}")), format!("by {turn}")).unwrap();
        });
        assert!(findings(&sandbox).is_empty());
        // The other device's turn.
        fs::rename(&state, sandbox.path("between")).unwrap();
        match fs::rename(&others, &state) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            moved => moved.unwrap(),
        }
        fs::rename(sandbox.path("between"), &others).unwrap();
    }
}

/// A copy at another place is the same volume; one of the two that is behind is noticed, and can be accepted.
#[test]
fn a_copy_at_another_place() {
    let sandbox = Sandbox::with_volume();
    let (first, second) = (sandbox.path("first"), sandbox.path("second"));
    session(&sandbox, |plain| fs::write(plain.join("x"), "1").unwrap());
    copy(&sandbox.backing(), &second);
    fs::rename(sandbox.backing(), &first).unwrap();
    fs::rename(&second, sandbox.backing()).unwrap();
    session(&sandbox, |plain| {
        fs::write(plain.join("x"), "2").unwrap();
        fs::write(plain.join("another"), "").unwrap();
    });
    assert!(findings(&sandbox).is_empty());
    fs::rename(sandbox.backing(), &second).unwrap();
    fs::rename(&first, sandbox.backing()).unwrap();
    let told = sandbox.fails(&mut mount(&sandbox), 29);
    assert!(told.contains("another copy of the folder used"), "{told}");
    sandbox.succeeds(&mut trust(&sandbox, &["accept", "--yes"]));
    session(&sandbox, |plain| assert_eq!(fs::read(plain.join("x")).unwrap(), b"1"));
}

/// Without a place to remember anything cryptfs only reads, unless it is told otherwise, and says what it cannot notice.
#[test]
fn without_a_state_folder() {
    let sandbox = Sandbox::with_volume();
    let earlier = sandbox.path("earlier");
    let program = |mut command: Command| {
        command.env("XDG_STATE_HOME", "/dev/null/nowhere");
        command
    };
    let output = program(mount(&sandbox)).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("mounted read-only"));
    assert_eq!(fs::write(sandbox.plain().join("x"), "0").unwrap_err().raw_os_error(), Some(libc::EROFS));
    sandbox.unmounts();
    let journals = || fs::read_dir(sandbox.backing().join("journals")).map_or(0, Iterator::count);
    let before = journals();
    for content in ["1", "2"] {
        let mut writing = program(mount(&sandbox));
        let output = writing.args(["-o", "stateless"]).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stderr).unwrap().contains("an older state of it"));
        fs::write(sandbox.plain().join("x"), content).unwrap();
        sandbox.unmounts();
        assert_eq!(journals(), before, "a device that is not known again leaves no journal");
        if content == "1" {
            copy(&sandbox.backing(), &earlier);
        }
    }
    fs::remove_dir_all(sandbox.backing()).unwrap();
    copy(&earlier, &sandbox.backing());
    sandbox.succeeds(&mut program(mount(&sandbox)));
    assert_eq!(fs::read(sandbox.plain().join("x")).unwrap(), b"1");
    sandbox.unmounts();
}

/// A daemon is killed right after an fsync, and then one block of the folder is spoilt: what shows is what was synced, or an error,
/// and not what the sync before left.
#[test]
fn a_block_that_is_spoilt_after_a_kill_brings_nothing_older_back() {
    let sandbox = Sandbox::with_volume();
    session(&sandbox, |plain| fs::write(plain.join("file"), vec![1; 9000]).unwrap());
    sandbox.succeeds(&mut mount(&sandbox));
    let file = fs::File::options().write(true).open(sandbox.plain().join("file")).unwrap();
    for content in [2, 3] {
        std::os::unix::fs::FileExt::write_all_at(&file, &[content; 9000], 0).unwrap();
        file.sync_all().unwrap();
    }
    let daemon = sandbox.daemon();
    assert!(Command::new("kill").args(["-9", &daemon.to_string()]).status().unwrap().success());
    drop(file);
    let places = ["backing", "state"];
    places.iter().for_each(|place| copy(&sandbox.path(place), &sandbox.path(&format!("{place} then"))));
    let found =
        Command::new("find").arg(sandbox.backing().join("chunks")).args(["-type", "f"]).output().unwrap();
    let (mut whole, mut failed) = (0, 0);
    for chunk in String::from_utf8(found.stdout).unwrap().lines() {
        for at in (2000..fs::metadata(chunk).unwrap().len()).step_by(4096) {
            let mut bytes = fs::read(chunk).unwrap();
            if bytes[at as usize..][..100].iter().all(|byte| *byte == 0) {
                continue;
            }
            bytes[at as usize] ^= 1;
            fs::write(chunk, bytes).unwrap();
            if mount(&sandbox).status().unwrap().success() {
                match fs::read(sandbox.plain().join("file")) {
                    Ok(content) => {
                        assert!(content == [3; 9000], "{:?} of {chunk} at {at}", content.first());
                        whole += 1;
                    }
                    Err(_) => failed += 1,
                }
                let _ = sandbox.umount().output();
                eventually("the mount's end", || !sandbox.is_mounted());
            }
            for place in places {
                fs::remove_dir_all(sandbox.path(place)).unwrap();
                copy(&sandbox.path(&format!("{place} then")), &sandbox.path(place));
            }
        }
    }
    assert!(whole > 1 && failed > 1, "{whole} {failed}");
}
