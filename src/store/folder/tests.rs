//! Which folders are made durable, and when.

use std::fs;

use super::*;

/// Which folders are fsynced, in order, to make names in `paths` durable.
fn synced(folder: &Folder, paths: &[&str]) -> Vec<String> {
    let paths = paths.iter().map(|path| CString::new(*path).unwrap()).collect();
    let mut synced = Vec::new();
    let log = |path: &CStr, _: &File| {
        synced.push(path.to_str().unwrap().to_owned());
        Ok(())
    };
    folder.sync_folders_by(paths, log).unwrap();
    synced
}

#[test]
fn a_folder_is_made_durable_with_those_above_it_once() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::open(root.path()).unwrap();
    let make = |path: &CStr| drop(folder.create_file(path).unwrap());
    // Made by another process, which may have died before it synced them.
    fs::create_dir_all(root.path().join("chunks/01")).unwrap();
    assert_eq!(synced(&folder, &["chunks/01"]), ["chunks/01", "chunks", "."]);
    assert_eq!(synced(&folder, &["chunks/01"]), ["chunks/01"]);
    make(c"chunks/02/x");
    make(c"chunks/03/x");
    make(c"journals/x");
    let both = synced(&folder, &["chunks/01", "chunks/02", "chunks/03", "journals"]);
    assert_eq!(both, ["chunks/01", "chunks/02", "chunks/03", "journals", ".", "chunks"]);
    fs::remove_dir_all(root.path().join("chunks/02")).unwrap();
    assert_eq!(synced(&folder, &["chunks/02"]), ["chunks"]);
    make(c"chunks/02/x");
    assert_eq!(synced(&folder, &["chunks/02"]), ["chunks/02", "chunks"]);
    // Replaced between two syncs, by us and by another: most filesystems give the new folder the inode number of
    // the old one, and for some milliseconds the same time of birth.
    let replaced = root.path().join("chunks/03");
    let born = || fs::metadata(&replaced).unwrap().created().unwrap();
    for _ in 0..50 {
        fs::remove_dir_all(&replaced).unwrap();
        make(c"chunks/03/x");
        assert_eq!(synced(&folder, &["chunks/03"]), ["chunks/03", "chunks"]);
    }
    fs::remove_dir_all(&replaced).unwrap();
    fs::create_dir(&replaced).unwrap();
    let first = born();
    assert_eq!(synced(&folder, &["chunks/03"]).first().unwrap(), "chunks/03");
    while born() == first {
        fs::remove_dir(&replaced).unwrap();
        fs::create_dir(&replaced).unwrap();
    }
    assert_eq!(synced(&folder, &["chunks/03"]), ["chunks/03", "chunks"]);
}

#[test]
fn a_folder_whose_name_could_not_be_synced_is_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::open(root.path()).unwrap();
    drop(folder.create_file(c"chunks/01/x").unwrap());
    let fail_at_parent = |path: &CStr, _: &File| {
        if path == c"chunks" { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    };
    folder.sync_folders_by(BTreeSet::from([c"chunks/01".to_owned()]), fail_at_parent).unwrap_err();
    assert_eq!(synced(&folder, &["chunks/01"]), ["chunks/01", "chunks", "."]);
}
