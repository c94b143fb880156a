//! Reading a volume without a mount, held against what a mount shows by content and metadata.

use crate::sandbox::Sandbox;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn in_tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a folder holds: the tool that FORMAT.md's independent reader compares trees with.
fn tree(sandbox: &Sandbox, folder: &Path) -> Vec<u8> {
    let mut rescue = Command::new(in_tree("scripts/cryptfs-rescue"));
    rescue.arg("--passphrase-file").arg(sandbox.path("passphrase")).arg(folder).arg("tree");
    sandbox.succeeds(&mut rescue).into_bytes()
}

fn same_tree(sandbox: &Sandbox, folder: &Path, listing: &Path) {
    let mut rescue = Command::new(in_tree("scripts/cryptfs-rescue"));
    rescue
        .arg("--passphrase-file")
        .arg(sandbox.path("passphrase"))
        .arg(folder)
        .arg("check-tree")
        .arg(listing);
    sandbox.succeeds(&mut rescue);
}

/// A command on a path in the volume.
fn look(sandbox: &Sandbox, words: &[&str], path: &str) -> Command {
    let mut target = sandbox.backing().into_os_string();
    if !path.is_empty() {
        target.push(":");
        target.push(path);
    }
    let mut command = sandbox.program(&[words[0].as_ref(), target.as_ref()]);
    command.args(&words[1..]).arg("--passphrase-file").arg(sandbox.path("passphrase"));
    command
}

/// A volume with one of each, and the listing of it that a mount gives.
fn filled(parts: &[&str]) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::empty();
    sandbox.succeeds(sandbox.init().args(["--no-recovery", "--chunk-size=1M"]));
    sandbox.succeeds(&mut sandbox.mount());
    sandbox.succeeds(Command::new(in_tree("tests/volumes/fill")).arg(sandbox.plain()).args(parts));
    let listing = sandbox.path("listing");
    fs::write(&listing, tree(&sandbox, &sandbox.plain())).unwrap();
    sandbox.unmounts();
    (sandbox, listing)
}

#[test]
fn whose_a_journal_is_can_be_asked() {
    let sandbox = Sandbox::with_volume();
    sandbox.succeeds(&mut sandbox.mount());
    fs::create_dir(sandbox.plain().join("folder")).unwrap();
    fs::File::open(sandbox.plain()).unwrap().sync_all().unwrap();
    let journal = fs::read_dir(sandbox.backing().join("journals")).unwrap().next().unwrap().unwrap().path();
    sandbox.unmounts();
    let locate = |words: &[&str]| {
        let mut locate = look(&sandbox, &[&["locate"], words].concat(), "");
        sandbox.succeeds(locate.arg("--chunk").arg(&journal))
    };
    let shown: serde_json::Value = serde_json::from_str(&locate(&["--json"])).unwrap();
    let device = shown["journal_of"].as_str().unwrap();
    assert_eq!(locate(&[]), format!("the journal of the device {device}\n"));
    let info = sandbox
        .program(&["device".as_ref(), "list".as_ref(), sandbox.backing().as_ref()])
        .arg("--passphrase-file")
        .arg(sandbox.path("passphrase"))
        .output();
    let listed = String::from_utf8(info.unwrap().stdout).unwrap();
    assert!(listed.contains(device), "{device}\n{listed}");
}

#[test]
fn an_export_is_what_a_mount_shows() {
    let (sandbox, listing) = filled(&["files", "kinds", "names", "large", "many"]);
    let (folder, streamed) = (sandbox.path("exported"), sandbox.path("streamed"));
    let export = || look(&sandbox, &["export", folder.to_str().unwrap()], "");
    sandbox.succeeds(&mut export());
    same_tree(&sandbox, &folder, &listing);
    assert!(sandbox.fails(&mut export(), 16).contains("--resume"));
    // One that was cut short goes on: what is there stays, and what is missing or of another time comes.
    let inode = |name: &str| std::os::unix::fs::MetadataExt::ino(&fs::metadata(folder.join(name)).unwrap());
    let before = inode("files/size-20000");
    fs::remove_file(folder.join("files/sparse")).unwrap();
    fs::write(folder.join("files/size-4097"), "other").unwrap();
    sandbox.succeeds(export().arg("--resume"));
    same_tree(&sandbox, &folder, &listing);
    assert_eq!(inode("files/size-20000"), before);

    fs::create_dir(&streamed).unwrap();
    let mut stream = look(&sandbox, &["export", "-"], "").stdout(Stdio::piped()).spawn().unwrap();
    let mut extract = Command::new("tar");
    extract
        .args(["--extract", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--directory"])
        .arg(&streamed);
    sandbox.succeeds(extract.stdin(stream.stdout.take().unwrap()));
    // Sockets are what a tar stream cannot hold.
    assert!(stream.wait().unwrap().success());
    let socket = streamed.join("kinds/socket");
    assert!(!socket.exists());
    let held = fs::read_to_string(&listing).unwrap();
    let extracted = String::from_utf8(tree(&sandbox, &streamed)).unwrap();
    let lines = |text: &str| {
        text.lines().filter(|line| !line.contains("socket")).map(str::to_owned).collect::<Vec<_>>()
    };
    // The folder of the socket was touched by nothing else.
    assert_eq!(lines(&extracted), lines(&held));
}

#[test]
fn a_volume_is_listed_without_a_mount_and_beside_one() {
    let (sandbox, _) = filled(&["files", "kinds"]);
    assert_eq!(sandbox.succeeds(&mut look(&sandbox, &["ls"], "")), "files\nkinds\n");
    let long = sandbox.succeeds(&mut look(&sandbox, &["ls", "-l"], "files/size-1000"));
    assert!(long.starts_with('-') && long.contains(" 1000 ") && long.ends_with(" size-1000\n"), "{long}");
    let all = sandbox.succeeds(&mut look(&sandbox, &["ls", "-R"], ""));
    assert!(all.starts_with("/:\nfiles\nkinds\n\nfiles:\n") && all.contains("\nkinds:\nblock\n"), "{all}");
    let json = sandbox.succeeds(&mut look(&sandbox, &["ls", "-R", "--json"], ""));
    let objects: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sparse = objects.iter().find(|object| object["path"] == "files/sparse").unwrap();
    assert_eq!((&sparse["size"], &sparse["kind"]), (&(9 << 20).into(), &"file".into()));
    let drawn = sandbox.succeeds(&mut look(&sandbox, &["tree"], ""));
    assert!(drawn.starts_with("/\n├── files\n│   ├── hole\n"), "{drawn}");
    let stat: serde_json::Value =
        serde_json::from_str(&sandbox.succeeds(&mut look(&sandbox, &["stat", "--json"], "kinds/long-link")))
            .unwrap();
    assert_eq!((&stat["links"], stat["target"].as_str().unwrap().len()), (&2.into(), 4000));
    // A hard link counts once: 1 + 1000 + … bytes, whatever else names them.
    let sum = sandbox.succeeds(&mut look(&sandbox, &["du", "-s"], ""));
    let sizes: u64 = [0, 1, 1000, 3000, 4095, 4096, 4097, 20000].iter().sum();
    assert_eq!(sum, format!("{}\t/\n", sizes + (9 << 20) + 100_000));
    sandbox.fails(&mut look(&sandbox, &["ls"], "files/none"), 33);
    sandbox.fails(&mut look(&sandbox, &["cat"], "files"), 1);

    sandbox.succeeds(&mut sandbox.mount());
    let beside = look(&sandbox, &["cat"], "files/size-20000").output().unwrap();
    assert!(beside.status.success());
    assert_eq!(beside.stdout, fs::read(sandbox.plain().join("files/size-20000")).unwrap());
    assert!(String::from_utf8(beside.stderr).unwrap().contains("is mounted"));
    sandbox.unmounts();
}

#[test]
fn of_a_folder_that_is_partly_there_the_rest_is_read() {
    let (sandbox, _) = filled(&["files"]);
    let file = |path: &str| {
        let stat = sandbox.succeeds(&mut look(&sandbox, &["stat"], path));
        let line = stat.lines().find_map(|line| line.strip_prefix("Chunk file")).unwrap();
        sandbox.backing().join(line.trim())
    };
    let (gone, spoilt) = (file("files/size-1000"), file("files/size-20000"));
    let whole = sandbox.succeeds(&mut look(&sandbox, &["cat"], "files/hole"));
    fs::remove_file(gone).unwrap();
    let writable = fs::File::options().write(true).open(spoilt).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&writable, b"damage", 3 * 4096).unwrap();
    let told = sandbox.fails(&mut look(&sandbox, &["ls", "-l"], "files"), 32);
    assert!(told.contains("files/size-1000: its chunk file is gone (chunks/"), "{told}");
    sandbox.fails(&mut look(&sandbox, &["cat"], "files/size-1000"), 32);
    let folder = sandbox.path("exported");
    let told = sandbox.fails(&mut look(&sandbox, &["export", folder.to_str().unwrap()], ""), 32);
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(told.contains("files/size-20000: bytes ") && told.contains("are lost"), "{told}");
    assert_eq!(fs::read_to_string(folder.join("files/hole")).unwrap(), whole);
    let rescued = fs::read(folder.join("files/size-20000")).unwrap();
    assert!(rescued.len() == 20000 && rescued.iter().filter(|byte| **byte == 0).count() >= 4096);
}

#[test]
fn an_import_is_what_a_mount_would_have_copied() {
    let (sandbox, listing) = filled(&["files", "kinds", "names", "many"]);
    let folder = sandbox.path("exported");
    sandbox.succeeds(&mut look(&sandbox, &["export", folder.to_str().unwrap()], ""));
    // Into another volume, in two goes, the first one cut short.
    let other = Sandbox::with_volume();
    let import = |resume: bool| {
        let mut command = other.program(&["import".as_ref(), folder.as_ref(), other.backing().as_ref()]);
        command.args(resume.then_some("--resume")).arg("--passphrase-file").arg(other.path("passphrase"));
        command
    };
    let some = folder.join("files/size-20000");
    let bytes = fs::read(&some).unwrap();
    let time = fs::metadata(&some).unwrap().modified().unwrap();
    fs::write(&some, "half").unwrap();
    other.succeeds(&mut import(false));
    fs::write(&some, bytes).unwrap();
    fs::File::options().append(true).open(&some).unwrap().set_modified(time).unwrap();
    let told = other.fails(&mut import(false), 32);
    assert!(
        told.contains("files/size-20000: not imported: the volume has that already. --resume goes on"),
        "{told}"
    );
    other.succeeds(&mut import(true));
    other.succeeds(&mut other.mount());
    // The root is the volume's own.
    let lines = |bytes: &[u8]| {
        let text = str::from_utf8(bytes).unwrap();
        text.lines().filter(|line| !line.contains("\"path\": \".\"")).map(str::to_owned).collect::<Vec<_>>()
    };
    let held = lines(&tree(&other, &other.plain()));
    other.unmounts();
    assert_eq!(held, lines(&fs::read(&listing).unwrap()));
}
