//! Row 29: which files whoever holds two snapshots of the backing folder sees change. Which of their slots do is held at
//! the volume's layer.

use super::Fixture;
use super::fixture::files_below;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Every file of the backing folder.
fn capture(fixture: &Fixture) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(&fixture.sandbox.backing())
        .into_iter()
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect()
}

/// What a backing file is, by name and index.
fn describe(fixture: &Fixture, file: &Path) -> String {
    let of = |path: &&str| fixture.chunks(path).iter().any(|chunk| chunk == file);
    match ["small", "blocks", "big", "x", "x/one", "y"].iter().find(|path| of(path)) {
        Some(path) => (*path).to_owned(),
        None if file.starts_with(fixture.sandbox.backing().join("journals")) => "journal".to_owned(),
        None => file.display().to_string(),
    }
}

fn expect(act: impl FnOnce(&Path), expected: &[&str]) {
    let fixture = Fixture::new();
    let before = capture(&fixture);
    fixture.session(act);
    let after = capture(&fixture);
    let all = before.keys().chain(after.keys()).filter(|file| before.get(*file) != after.get(*file));
    let mut changed: Vec<String> = all.map(|file| describe(&fixture, file)).collect();
    changed.sort();
    changed.dedup();
    assert_eq!(changed, expected);
}

#[test]
fn row_29_nothing_changes_without_a_change() {
    expect(|_| (), &[]);
    expect(|plain| drop(fs::read(plain.join("big")).unwrap()), &[]);
    expect(|plain| assert_eq!(fs::metadata(plain.join("x/two")).unwrap().len(), 90), &[]);
    expect(|plain| assert_eq!(fs::read_dir(plain.join("x")).unwrap().count(), 2), &[]);
}

#[test]
fn row_29_a_change_shows_in_the_files_of_what_changed_only() {
    for path in ["small", "blocks"] {
        let write = |plain: &Path| {
            let file = File::options().write(true).open(plain.join(path)).unwrap();
            file.write_all_at(b"!", 5).unwrap();
        };
        let expected = [path];
        expect(write, &expected);
        let append = |plain: &Path| {
            File::options().append(true).open(plain.join(path)).unwrap().write_all(b"!").unwrap();
        };
        expect(append, &expected);
    }
    let chmod =
        |plain: &Path| fs::set_permissions(plain.join("blocks"), Permissions::from_mode(0o600)).unwrap();
    expect(chmod, &["blocks"]);
    let rename = |plain: &Path| fs::rename(plain.join("x/one"), plain.join("y/moved")).unwrap();
    expect(rename, &["journal", "x", "x/one", "y"]);
}
