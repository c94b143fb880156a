//! Old volumes stay readable, by this program and by docs/FORMAT.md: the volumes in tests/volumes, which are never made
//! again, and a fresh one, each as a mount shows it and as `scripts/cryptfs-rescue` reads it.

#[path = "cli/sandbox.rs"]
#[allow(dead_code)]
mod sandbox;

use sandbox::Sandbox;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

fn in_tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The independent reader; `words` follow the folder.
fn rescue(sandbox: &Sandbox, folder: &Path, words: &[&OsStr]) -> Command {
    let mut command = Command::new(in_tree("scripts/cryptfs-rescue"));
    command.arg("--passphrase-file").arg(sandbox.path("passphrase")).arg(folder).args(words);
    command
}

/// A copy of a golden volume, and its listing.
fn golden(name: &str) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::empty();
    let volumes = in_tree("tests/volumes/v2");
    let copied = Command::new("cp").arg("-r").arg(volumes.join(name)).arg(sandbox.backing()).status();
    assert!(copied.unwrap().success());
    sandbox.set_passphrase(&fs::read_to_string(volumes.join("passphrase")).unwrap());
    (sandbox, volumes.join(format!("{name}.listing.gz")))
}

fn a_mount_shows(sandbox: &Sandbox, listing: &Path) {
    sandbox.succeeds(&mut sandbox.mount());
    sandbox.succeeds(&mut rescue(sandbox, &sandbox.plain(), &["check-tree".as_ref(), listing.as_ref()]));
    sandbox.succeeds(&mut sandbox.umount());
}

fn the_format_says(sandbox: &Sandbox, listing: &Path) {
    sandbox.succeeds(&mut rescue(sandbox, &sandbox.backing(), &["check-listing".as_ref(), listing.as_ref()]));
}

fn is_read_as_ever(name: &str) {
    let (sandbox, listing) = golden(name);
    the_format_says(&sandbox, &listing);
    a_mount_shows(&sandbox, &listing);
    the_format_says(&sandbox, &listing);
}

#[test]
fn a_golden_volume_is_read_as_ever() {
    is_read_as_ever("clean");
}

#[test]
fn a_golden_volume_with_a_journal_to_replay_is_read_as_ever() {
    is_read_as_ever("crashed");
}

#[test]
fn a_golden_volume_with_entries_beside_its_map_blocks_is_read_as_ever() {
    is_read_as_ever("beside");
}

#[test]
fn a_golden_volume_of_a_file_that_was_being_written_is_read_as_ever() {
    is_read_as_ever("written");
}

#[test]
fn a_golden_volume_of_two_epochs_with_the_live_journal_of_another_device_is_read_as_ever() {
    is_read_as_ever("epochs");
}

#[test]
fn the_independent_reader_agrees_with_the_published_vectors() {
    let sandbox = Sandbox::empty();
    let vectors = in_tree("tests/vectors");
    sandbox.succeeds(&mut rescue(&sandbox, &vectors, &["check-vectors".as_ref()]));
    // And would not if one were another.
    let (file, wrong) = ("root-valid-one.json", sandbox.path("wrong"));
    fs::create_dir(&wrong).unwrap();
    let text = fs::read_to_string(vectors.join(file)).unwrap();
    fs::write(wrong.join(file), text.replace("\"valid\"", "\"damaged\"")).unwrap();
    let told = sandbox.fails(&mut rescue(&sandbox, &wrong, &["check-vectors".as_ref()]), 1);
    assert!(told.contains("valid, not damaged"), "{told}");
}

#[test]
fn a_recovery_key_opens_a_golden_volume() {
    let (sandbox, listing) = golden("clean");
    sandbox.set_passphrase(&fs::read_to_string(in_tree("tests/volumes/v2/recovery")).unwrap());
    the_format_says(&sandbox, &listing);
    a_mount_shows(&sandbox, &listing);
}

#[test]
fn a_fresh_volume_is_rescued_as_a_mount_shows_it() {
    let sandbox = Sandbox::empty();
    sandbox.succeeds(sandbox.init().args(["--no-recovery", "--chunk-size=1M"]));
    sandbox.succeeds(&mut sandbox.mount());
    // Not `xattrs`: few filesystems could hold what is extracted.
    let parts = ["files", "kinds", "names", "beside", "large", "many", "late"];
    sandbox.succeeds(Command::new(in_tree("tests/volumes/fill")).arg(sandbox.plain()).args(parts));
    let listing = sandbox.path("listing");
    let tree = sandbox.succeeds(&mut rescue(&sandbox, &sandbox.plain(), &["tree".as_ref()]));
    fs::write(&listing, tree).unwrap();
    sandbox.succeeds(&mut sandbox.umount());
    the_format_says(&sandbox, &listing);

    let rescued = sandbox.path("rescued");
    sandbox.succeeds(&mut rescue(&sandbox, &sandbox.backing(), &["extract".as_ref(), rescued.as_ref()]));
    sandbox.succeeds(&mut rescue(&sandbox, &rescued, &["check-tree".as_ref(), listing.as_ref()]));
}

#[test]
fn what_is_damaged_is_reported_and_the_rest_is_rescued() {
    let (sandbox, listing) = golden("clean");
    let largest = largest_chunk(&sandbox.backing().join("chunks"));
    let file = File::options().write(true).open(largest).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"damage", 3 * 4096).unwrap();
    let check = ["check-listing".as_ref(), listing.as_ref()];
    let told = sandbox.fails(&mut rescue(&sandbox, &sandbox.backing(), &check), 1);
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains("mapped/mapped at byte") && told.contains("sha256 is None"), "{told}");
}

/// The journal of the device that made it names the file, and only that device knows what is in it.
#[test]
fn a_file_whose_chunk_file_has_not_arrived_is_no_empty_file() {
    let sandbox = Sandbox::empty();
    sandbox.succeeds(sandbox.init().arg("--no-recovery"));
    sandbox.succeeds(&mut sandbox.mount());
    let file = File::create(sandbox.plain().join("file")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; 300_000], 0).unwrap();
    file.sync_all().unwrap();
    let copy = sandbox.path("copy");
    sandbox.succeeds(Command::new("cp").arg("-r").arg(sandbox.backing()).arg(&copy));
    fs::remove_file(largest_chunk(&copy.join("chunks"))).unwrap();
    let output = rescue(&sandbox, &copy, &["list".as_ref()]).output().unwrap();
    let (listed, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!listed.contains("\"file\"") && told.contains("has not arrived"), "{listed}{told}");
    drop(file);
    sandbox.unmounts();
}

fn largest_chunk(folder: &Path) -> PathBuf {
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}
