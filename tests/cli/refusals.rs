//! What is refused: each with its own exit code, and words that name the way out.

use crate::sandbox::{PROGRAM, Sandbox};
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

/// The words, and nothing else, on stderr.
pub fn told(text: &str, wanted: &str) {
    assert_eq!(text.trim_end(), format!("cryptfs: {wanted}"));
}

#[test]
fn a_folder_that_is_no_volume() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.backing()).unwrap();
    told(
        &sandbox.fails(&mut sandbox.mount(), 10),
        "DIR/backing: is not a cryptfs volume: it is empty. Where one is mounted at times, give the folder that it is stored \
         in; `cryptfs init DIR/backing` makes a new one.",
    );
    fs::write(sandbox.backing().join("letter"), "").unwrap();
    told(
        &sandbox.fails(&mut sandbox.mount(), 10),
        "DIR/backing: is not a cryptfs volume: it has no cryptfs.json. Give the folder that a volume is stored in; a new \
         one needs an empty folder: `cryptfs init FOLDER`.",
    );
    fs::remove_file(sandbox.backing().join("letter")).unwrap();
    fs::remove_dir(sandbox.backing()).unwrap();
    told(
        &sandbox.fails(&mut sandbox.mount(), 10),
        "DIR/backing: there is no such folder. If it lies on a stick or a server, connect that first. `cryptfs init \
         DIR/backing` makes a new volume.",
    );
}

/// A new volume is not advised in the place of one that is lost, away or next to it.
#[test]
fn a_new_volume_is_advised_only_where_there_is_none() {
    let sandbox = Sandbox::with_volume();
    let info = |folder: &std::path::Path| {
        sandbox.fails(&mut sandbox.program(&["info".as_ref(), folder.as_ref()]), 10)
    };
    told(
        &info(&sandbox.backing().join("keys")),
        "DIR/backing/keys: is a part of the volume in DIR/backing. Give that folder: DIR/backing.",
    );
    fs::rename(sandbox.backing().join("cryptfs.json"), sandbox.path("header")).unwrap();
    let lost = "DIR/backing: lacks cryptfs.json, without which a volume cannot be opened. Let the sync client finish, or \
                restore that file from a copy or from the provider's history; it never changes.";
    told(&info(&sandbox.backing()), lost);
    told(&sandbox.fails(&mut sandbox.mount(), 10), lost);
    // The folder of a disk that is not mounted now.
    fs::rename(sandbox.backing(), sandbox.path("elsewhere")).unwrap();
    let away = info(&sandbox.backing());
    assert!(
        away.contains("there was a volume when this device last looked")
            || away.contains("There was a volume"),
        "{away}"
    );
    fs::create_dir(sandbox.backing()).unwrap();
    let away = info(&sandbox.backing());
    assert!(away.contains("connect that first") && !away.contains("init"), "{away}");
}

/// The commands in it can be typed, whatever the path is.
#[test]
fn a_path_in_advice_is_one_word_of_a_shell() {
    let sandbox = Sandbox::empty();
    let folder = sandbox.path("anna's folder");
    fs::create_dir(&folder).unwrap();
    let told = sandbox.fails(&mut sandbox.program(&["info".as_ref(), folder.as_ref()]), 10);
    assert!(told.contains(r"`cryptfs init 'DIR/anna'\''s folder'`"), "{told}");
}

/// Whoever gives the mountpoint is told which folder is meant, and not to make a volume inside the volume.
#[test]
fn a_mount_is_not_where_the_volume_is_stored() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    let (plain, inner) = (sandbox.plain(), sandbox.plain().join("inner"));
    fs::create_dir(&inner).unwrap();
    for (command, folder, shown) in [("check", &plain, "DIR/plain"), ("ls", &inner, "DIR/plain/inner")] {
        told(
            &sandbox.fails(&mut sandbox.program(&[command.as_ref(), folder.as_ref()]), 10),
            &format!(
                "{shown}: is in the mount of DIR/backing, and not where the volume is stored. Give that folder: DIR/backing."
            ),
        );
    }
    sandbox.unmounts();
}

/// It is not a folder beside the chunk files, as it would be with other programs.
#[test]
fn a_path_in_the_volume_has_its_colon() {
    let sandbox = Sandbox::with_volume();
    told(
        &sandbox.fails(&mut sandbox.program(&["ls".as_ref(), sandbox.backing().join("a/b").as_ref()]), 10),
        "DIR/backing/a/b: there is no such folder. What is in the volume is named behind a colon: DIR/backing:a/b.",
    );
}

/// Init is killed wherever it may be: what it leaves is a volume, nothing, or something that `--force` makes one.
#[test]
fn an_init_that_is_killed() {
    let start = Instant::now();
    drop(Sandbox::with_volume());
    let whole = start.elapsed();
    let mut begun = 0;
    for part in 0..20 {
        let sandbox = Sandbox::empty();
        let mut child = sandbox.init().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The instant of the kill is what is tried here; nothing is waited for.
        sleep(whole * part / 20);
        child.kill().unwrap();
        child.wait().unwrap();
        if fs::metadata(sandbox.backing().join("cryptfs.json")).is_ok_and(|header| header.len() > 0) {
            sandbox.fails(&mut sandbox.init(), 16);
        } else if fs::read_dir(sandbox.backing().join("keys")).is_ok_and(|mut keys| keys.next().is_some()) {
            begun += 1;
            let told = sandbox.fails(&mut sandbox.init(), 16);
            assert!(told.contains("incomplete volume"), "{told}");
            sandbox.succeeds(sandbox.init().arg("--force"));
        } else {
            sandbox.succeeds(&mut sandbox.init());
        }
        sandbox.succeeds(&mut sandbox.mount());
        sandbox.unmounts();
    }
    println!("cut short between the slots and the header: {begun} of 20");
}

#[test]
fn an_init_that_failed_leaves_no_trace() {
    let sandbox = Sandbox::empty();
    let recovery = sandbox.path("recovery");
    sandbox.fails(sandbox.init().args(["--recipient", "nonsense", "--recovery-file"]).arg(&recovery), 2);
    assert!(!recovery.exists() && !sandbox.backing().join("keys").exists());
    sandbox.succeeds(sandbox.init().arg("--recovery-file").arg(&recovery));
}

/// As if it had been killed just before the header.
#[test]
fn an_init_without_its_last_step() {
    let sandbox = Sandbox::with_volume();
    fs::write(sandbox.backing().join("cryptfs.json"), "").unwrap();
    sandbox.fails(&mut sandbox.init(), 16);
    sandbox.succeeds(sandbox.init().arg("--force"));
    sandbox.succeeds(&mut sandbox.mount());
    fs::write(sandbox.plain().join("file"), "content").unwrap();
    sandbox.unmounts();
    // With files in it, it is a volume that has lost its header.
    fs::remove_file(sandbox.backing().join("cryptfs.json")).unwrap();
    let told = sandbox.fails(sandbox.init().arg("--force"), 16);
    assert!(told.contains("holds slots already"), "{told}");
}

#[test]
fn row_19_a_newer_or_damaged_header() {
    let sandbox = Sandbox::with_volume();
    let file = sandbox.backing().join("cryptfs.json");
    let header = fs::read_to_string(&file).unwrap();
    let with = |from: &str, to: &str| {
        assert!(header.contains(from), "{header}");
        fs::write(&file, header.replacen(from, to, 1)).unwrap();
    };
    with("\"version\": 2", "\"version\": 1");
    told(
        &sandbox.fails(&mut sandbox.mount(), 11),
        "DIR/backing: has format 1, which was never released and is not read any more. Copy its files out with the \
         program that made it, then `cryptfs init` a new folder.",
    );
    with("\"version\": 2", "\"version\": 3");
    told(
        &sandbox.fails(&mut sandbox.mount(), 11),
        "DIR/backing: has format 3, which is newer than this program. Install a newer cryptfs.",
    );
    fs::write(
        &file,
        header.replacen("\"critical\": []", "\"critical\": [\"compression\", \"\\u001b[2J\"]", 1),
    )
    .unwrap();
    told(
        &sandbox.fails(&mut sandbox.mount(), 11),
        "DIR/backing: was made with \"compression\", \"\\u{1b}[2J\", which this program does not know. Install a newer cryptfs.",
    );
    with("\"cipher\"", "\"cypher\"");
    told(
        &sandbox.fails(&mut sandbox.mount(), 12),
        "DIR/backing: its cryptfs.json is damaged: member \"cipher\" is missing. Restore that file from a copy; it \
         never changes.",
    );
    fs::write(&file, "no JSON").unwrap();
    told(
        &sandbox.fails(&mut sandbox.mount(), 12),
        "DIR/backing: its cryptfs.json is not a JSON object. Restore that file from a copy; it never changes.",
    );
    with("4194304", "8388608");
    told(
        &sandbox.fails(&mut sandbox.mount(), 12),
        "DIR/backing: its cryptfs.json is not signed by the owner key, or changed since. Restore that file from a copy; \
         it never changes.",
    );
}

#[test]
fn a_wrong_passphrase() {
    let sandbox = Sandbox::with_volume();
    sandbox.set_passphrase("battery staple\n");
    told(
        &sandbox.fails(&mut sandbox.mount(), 13),
        "DIR/backing: wrong passphrase or key. `cryptfs key list DIR/backing` shows what opens the volume.",
    );
}

#[test]
fn a_second_mount() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    told(
        &sandbox.fails(&mut sandbox.mount(), 15),
        "DIR/backing: is in use on this machine already: it is mounted at DIR/plain.",
    );
    sandbox.unmounts();
}

#[test]
fn a_folder_that_is_not_empty() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.backing()).unwrap();
    fs::write(sandbox.backing().join("notes"), "").unwrap();
    told(
        &sandbox.fails(&mut sandbox.init(), 16),
        "DIR/backing: is not empty. Choose another folder, or insist with --force.",
    );
    sandbox.succeeds(sandbox.init().arg("--force"));
    let again = sandbox.fails(sandbox.init().arg("--force"), 16);
    assert!(again.contains("is a cryptfs volume already"), "{again}");
}

#[test]
fn mountpoints_that_cannot_be() {
    let sandbox = Sandbox::with_volume();
    fs::remove_dir(sandbox.plain()).unwrap();
    told(
        &sandbox.fails(&mut sandbox.mount(), 22),
        "DIR/plain: does not exist. Make it first: `mkdir DIR/plain`.",
    );
    fs::write(sandbox.plain(), "").unwrap();
    told(
        &sandbox.fails(&mut sandbox.mount(), 22),
        "DIR/plain: is not a folder. Only a folder can be a mountpoint.",
    );
    told(
        &sandbox.fails(&mut sandbox.umount(), 25),
        "DIR/plain: there is no cryptfs mount. `cryptfs status` lists those there are.",
    );
}

/// Each of two folders was given where the other belongs.
#[test]
fn a_folder_in_the_place_of_another() {
    let sandbox = Sandbox::with_volume();
    let mut swapped =
        sandbox.program(&["mount".as_ref(), sandbox.plain().as_ref(), sandbox.backing().as_ref()]);
    told(
        &sandbox.fails(&mut swapped, 10),
        "DIR/plain: is not a cryptfs volume, but DIR/backing is one: `cryptfs mount DIR/backing DIR/plain`.",
    );
    sandbox.succeeds(&mut sandbox.mount());
    for command in ["umount", "sync", "status"] {
        told(
            &sandbox.fails(&mut sandbox.program(&[command.as_ref(), sandbox.backing().as_ref()]), 25),
            "DIR/backing: is the folder of a volume, which is mounted at DIR/plain. Give that place: DIR/plain.",
        );
    }
    sandbox.succeeds(&mut sandbox.program(&["unmount".as_ref(), sandbox.plain().as_ref()]));
}

/// Nobody types a passphrase only to learn that it is of no use.
#[test]
fn what_nothing_has_to_be_asked_for_is_refused_without_a_question() {
    let sandbox = Sandbox::with_volume();
    let alone = |words: &[&str]| {
        let mut command = sandbox.prepared(Command::new("setsid"), &[]);
        command.args(["--wait", PROGRAM]).args(words).arg(sandbox.backing()).env_remove("CRYPTFS_ASKPASS");
        command
    };
    let text = sandbox.fails(&mut alone(&["init"]), 16);
    assert!(text.contains("is a cryptfs volume already. `cryptfs mount DIR/backing MOUNTPOINT`"), "{text}");
    let text = sandbox.fails(alone(&["key", "change"]).arg("00112233445566778899aabbccddeeff"), 18);
    assert!(text.contains("`cryptfs key list DIR/backing`"), "{text}");
    // What is missing is the new secret.
    let secret = sandbox.path("passphrase");
    let new = |words: &[&str]| sandbox.fails(alone(words).arg("--passphrase-file").arg(&secret), 14);
    let text = new(&["key", "add", "--passphrase"]);
    assert!(
        text.contains("ask for the new secret on") && text.contains("--new-passphrase-file FILE"),
        "{text}"
    );
    let text = new(&["key", "add", "--recovery"]);
    assert!(text.contains("to show the recovery key on") && text.contains("--recovery-file OUT"), "{text}");
}

/// Words of other programs.
#[test]
fn what_is_no_command_is_told_what_is() {
    let sandbox = Sandbox::with_volume();
    let backing = sandbox.backing();
    let backing = backing.to_str().unwrap();
    for (words, tip) in [
        (&["-init", backing][..], "tip: here that is `cryptfs init BACKING`"),
        (&["passwd", backing], "tip: here that is `cryptfs key change BACKING`"),
        (&["--passwd", backing], "tip: here that is `cryptfs key change BACKING`"),
        (&[backing, "/plain"], "tip: to mount a volume: `cryptfs mount DIR/backing MOUNTPOINT`"),
        (&["/nowhere/vault", "/plain"], "tip: to mount a volume: `cryptfs mount /nowhere/vault MOUNTPOINT`"),
        (&["key", "remove", backing], "tip: `cryptfs key list BACKING` shows the ids of the key slots"),
        (&["umount"], "tip: `cryptfs status` shows where volumes are mounted"),
        (&["mount", backing], "tip: MOUNTPOINT is the folder in which the files are to appear"),
    ] {
        let words: Vec<_> = words.iter().map(|word| word.as_ref()).collect();
        let text = sandbox.fails(&mut sandbox.program(&words), 2);
        assert!(text.contains(tip), "{words:?}: {text}");
    }
    for words in [&["init", "--nonsense"][..], &["key", "list"]] {
        let words: Vec<_> = words.iter().map(|word| word.as_ref()).collect();
        let text = sandbox.fails(&mut sandbox.program(&words), 2);
        assert!(!text.contains("here that is") && !text.contains("key list BACKING"), "{words:?}: {text}");
    }
}

#[test]
fn options_that_do_not_exist() {
    let sandbox = Sandbox::with_volume();
    told(
        &sandbox.fails(sandbox.mount().args(["-o", "r0"]), 2),
        "-o r0: there is no such mount option. `man 5 cryptfs` lists them.",
    );
    told(
        &sandbox.fails(sandbox.mount().args(["-o", "idle=soon"]), 2),
        "-o idle=soon: this mount option needs another value: idle=TIME. `man 5 cryptfs` lists them.",
    );
    sandbox.fails(sandbox.mount().arg("--nonsense"), 2);
}

/// Needs root: an empty /dev in a mount namespace of its own.
#[test]
fn no_dev_fuse() {
    let sandbox = Sandbox::with_volume();
    let script = "mount -t tmpfs none /dev && exec \"$@\"";
    let mount = sandbox.mount();
    let arguments: Vec<_> = mount.get_args().collect();
    let mut command = sandbox.prepared(Command::new("unshare"), &[]);
    command.args(["-m", "sh", "-c", script, "sh", PROGRAM]).args(arguments);
    told(
        &sandbox.fails(&mut command, 20),
        "There is no /dev/fuse. Load the kernel module as root: `modprobe fuse`.",
    );
}

#[test]
fn no_fusermount3() {
    let sandbox = Sandbox::empty();
    sandbox.give_to_nobody();
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.init()));
    told(
        &sandbox.fails(sandbox.as_nobody(&sandbox.mount()).env("PATH", "/nowhere"), 21),
        "fusermount3 is not installed; ordinary users need it: `apt install fuse3`, or mount as root.",
    );
}

#[test]
fn row_22_another_volume_in_the_place_of_the_known_one() {
    let sandbox = Sandbox::with_volume();
    // The same volume id with other keys: what a provider could forge whole, were it not for the pin.
    let (other, json) = (Sandbox::with_volume(), "cryptfs.json");
    let id = |sandbox: &Sandbox| {
        let text = fs::read_to_string(sandbox.backing().join(json)).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["uuid"].as_str().unwrap().to_owned()
    };
    let state = |sandbox: &Sandbox| sandbox.path("state/cryptfs").join(id(sandbox));
    fs::remove_dir_all(state(&other)).unwrap();
    fs::create_dir_all(state(&other)).unwrap();
    fs::copy(state(&sandbox).join("pin"), state(&other).join("pin")).unwrap();
    let words = other.fails(&mut other.mount(), 17);
    assert!(
        words.contains("Nothing was written") && words.contains("`cryptfs trust accept DIR/backing`"),
        "{words}"
    );
    let passphrase = other.path("passphrase");
    let mut accept = other.program(&["trust".as_ref(), "accept".as_ref(), other.backing().as_ref()]);
    other.succeeds(accept.arg("--yes").arg("--passphrase-file").arg(passphrase));
    other.succeeds(&mut other.mount());
    other.unmounts();
}

#[test]
fn row_22_a_volume_of_another_id_in_the_place_of_the_known_one() {
    let (known, other) = (Sandbox::with_volume(), Sandbox::with_volume());
    fs::rename(known.backing(), known.path("aside")).unwrap();
    fs::rename(other.backing(), known.backing()).unwrap();
    let words = known.fails(&mut known.mount(), 17);
    assert!(words.contains("Nothing was written") && words.contains("exchanged"), "{words}");
    let mut accept = known.program(&["trust".as_ref(), "accept".as_ref(), known.backing().as_ref()]);
    known.succeeds(accept.arg("--yes").arg("--passphrase-file").arg(known.path("passphrase")));
    known.succeeds(&mut known.mount());
    known.unmounts();
}

#[test]
fn an_expected_fingerprint() {
    let sandbox = Sandbox::with_volume();
    sandbox.fails(sandbox.mount().args(["-o", "fingerprint=00112233445566778899aabbccddeeff"]), 17);
    let info = sandbox.succeeds(&mut sandbox.program(&["info".as_ref(), sandbox.backing().as_ref()]));
    let line = info.lines().find_map(|line| line.strip_prefix("Fingerprint")).unwrap();
    let option = format!("fingerprint={}", line.replace(' ', ""));
    sandbox.succeeds(sandbox.mount().args(["-o", &option]));
    sandbox.unmounts();
}

#[test]
fn nobody_who_listens_is_no_failure() {
    let sandbox = Sandbox::empty();
    let deaf = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    sandbox.succeeds(sandbox.init().stdout(deaf()));
    sandbox.succeeds(sandbox.program(&["completions".as_ref(), "bash".as_ref()]).stdout(deaf()));
    let mut info = sandbox.program(&["info".as_ref(), sandbox.path("nothing").as_os_str()]);
    assert_eq!(info.stderr(deaf()).status().unwrap().code(), Some(10));
}
