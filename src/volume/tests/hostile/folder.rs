//! Rows 21 and 24 to 26: what a cloud does to names, modes and kinds of files in a real folder.

use super::*;
use crate::store::directory::Directory;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A victim whose files lie in a folder.
struct OnDisk {
    victim: HostileFixture,
    folder: tempfile::TempDir,
}

impl OnDisk {
    fn new() -> OnDisk {
        let on_disk = OnDisk { victim: HostileFixture::new(), folder: tempfile::tempdir().unwrap() };
        for (name, _) in on_disk.victim.chunks() {
            let path = on_disk.folder.path().join(name.path());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, on_disk.victim.bytes(name)).unwrap();
        }
        on_disk
    }

    fn path(&self, file: &str, index: u32) -> PathBuf {
        self.folder.path().join(self.victim.name(file, index).path())
    }

    fn open(&self) -> Arc<Volume> {
        self.victim.fixture.open(Arc::new(Directory::open(self.folder.path(), false).unwrap()))
    }

    /// The paths that cannot be read; all others are right, and all are listed.
    fn broken(&self) -> Vec<&str> {
        let volume = self.open();
        let mut broken = Vec::new();
        for (path, content) in &self.victim.files {
            match read_path(&volume, path) {
                Ok(found) => assert!(found == *content, "wrong bytes in {path}"),
                Err(error) => {
                    assert_damage(&error, path);
                    broken.push(*path);
                }
            }
        }
        self.victim.check_listing(&volume, "", false, "on disk");
        broken
    }
}

fn rename_to(path: &Path, change: impl Fn(&str) -> String) {
    let name = change(path.file_name().unwrap().to_str().unwrap());
    fs::rename(path, path.with_file_name(name)).unwrap();
}

#[test]
fn row_21_links_pipes_and_folders_in_the_place_of_chunks() {
    let on_disk = OnDisk::new();
    let [small, blocks, one] = ["small", "blocks", "x/one"].map(|file| on_disk.path(file, 0));
    for path in [&small, &blocks, &one] {
        fs::remove_file(path).unwrap();
    }
    symlink(on_disk.path("other", 0), &small).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&blocks).status().unwrap().success());
    fs::create_dir(&one).unwrap();
    assert_eq!(on_disk.broken(), ["blocks", "small", "x/one"]);
}

#[test]
fn row_24_conflict_copies_with_names_that_deceive() {
    let on_disk = OnDisk::new();
    let journals = on_disk.folder.path().join("journals");
    for suffix in
        [" (conflicted copy).", "\n", "\u{202e}gpj.", ".sync-conflict-20260101", "\u{1b}[2J", "%2f.."]
    {
        let copy = |path: &Path| {
            let name = format!("{}{suffix}", path.file_name().unwrap().to_str().unwrap());
            fs::copy(path, path.with_file_name(name)).unwrap();
        };
        copy(&on_disk.path("small", 0));
        copy(&on_disk.path("x", 0));
        let journal = fs::read_dir(&journals).unwrap().next().unwrap().unwrap();
        fs::copy(journal.path(), journals.join(format!("0{suffix}"))).unwrap();
    }
    assert_eq!(on_disk.broken(), [""; 0]);
}

#[test]
fn row_25_the_case_of_names() {
    let on_disk = OnDisk::new();
    rename_to(&on_disk.path("small", 0), str::to_uppercase);
    rename_to(&on_disk.path("big", 1), str::to_uppercase);
    assert_eq!(on_disk.broken(), ["big", "small"]);
}

#[test]
fn row_26_what_the_backing_files_say_of_themselves() {
    let on_disk = OnDisk::new();
    let before = {
        let volume = on_disk.open();
        find(&volume, "blocks").unwrap().view(Clone::clone)
    };
    let path = on_disk.path("blocks", 0);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    // Not every filesystem has these: then there is nothing to ignore.
    let _ = std::process::Command::new("setfattr").args(["-n", "user.evil", "-v", "1"]).arg(&path).status();
    assert_eq!(on_disk.broken(), [""; 0]);
    let volume = on_disk.open();
    assert!(find(&volume, "blocks").unwrap().view(|record| *record == before));
}
