//! Rows 6, 7, 9 and 22: the chunk files of directories, and files that come back.

use super::*;
use crate::volume::Rename;

#[test]
fn row_06_let_a_directory_read_anothers_contents() {
    let victim = HostileFixture::new();
    let [x, y, root] = ["x", "y", ""].map(|path| victim.name(path, 0));
    let touched = [x, y].map(|name| victim.identify(name));
    let of_x = ["x/one", "x/two"];
    let both = victim.attack(&touched, "two directories change places", || victim.swap(x, y));
    assert_eq!(both, ["x/one", "x/two", "y/one", "y/three"]);
    let one = victim.attack(&touched[..1], "y's chunk as x", || victim.put(x, &victim.bytes(y)));
    assert_eq!(one, of_x);
    let root = victim.attack(&touched[..1], "the root's chunk as x", || victim.put(x, &victim.bytes(root)));
    assert_eq!(root, of_x);
}

#[test]
fn row_07_delete_a_directorys_chunk() {
    let victim = HostileFixture::new();
    let x = victim.name("x", 0);
    let broken =
        victim.attack(&[victim.identify(x)], "a deleted directory", || victim.store.remove(x).unwrap());
    assert_eq!(broken, ["x/one", "x/two"]);
    let volume = victim.open().unwrap();
    assert!(matches!(find(&volume, "x"), Err(Error::Damaged(chunk, _)) if chunk == victim.identify(x)));

    let root = victim.name("", 0);
    let broken =
        victim.attack(&[victim.identify(root)], "a deleted root", || victim.store.remove(root).unwrap());
    assert_eq!(broken, [""], "the volume does not open");
}

#[test]
fn row_07_delete_a_segment_of_a_directory() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let x = find(&volume, "x").unwrap();
    for number in 0..1_500 {
        drop(volume.create(&x, format!("{number:0200}").as_bytes(), new(Kind::Fifo)).unwrap());
    }
    volume.close().unwrap();
    drop((x, volume));
    let segment = victim
        .chunks()
        .into_iter()
        .find(|(_, chunk)| chunk.inode == victim.ids["x"] && !chunk.index.is_first());
    victim.store.remove(segment.expect("a segment").0).unwrap();
    let volume = victim.open().unwrap();
    assert_damage(&list(&volume, &find(&volume, "x").unwrap()).unwrap_err(), "the listing");
    assert!(read_path(&volume, "y/one").unwrap() == victim.files["y/one"]);
}

#[test]
fn row_07_a_missing_directory_is_listed_and_can_be_removed() {
    let victim = HostileFixture::new();
    victim.store.remove(victim.name("x", 0)).unwrap();
    let volume = victim.open().unwrap();
    let root = volume.root().unwrap();
    assert!(names(&volume, &root).contains(&"x".to_owned()));
    let empty = volume.create(&root, b"empty", new(Kind::Directory)).unwrap();
    let over = volume.rename((&root, b"empty"), (&root, b"x"), Rename::Replace, None, now());
    assert_damage(&over.map(drop).unwrap_err(), "what cannot be read is not taken for empty");
    assert!(volume.remove_directory(&root, b"x", now()).unwrap().is_none());
    assert_eq!(root.view(|record| record.links_count), 4, "y and empty are left");
    drop((root, empty));
    volume.close().unwrap();
    let volume = victim.open().unwrap();
    assert!(!names(&volume, &volume.root().unwrap()).contains(&"x".to_owned()));
}

#[test]
fn row_09_bring_back_a_deleted_files_chunk() {
    let victim = HostileFixture::new();
    let deleted = ["small", "blocks", "big", "x/one"];
    let volume = victim.open().unwrap();
    for path in deleted {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = find(&volume, parent).unwrap();
        let gone = volume.unlink(&parent, name.as_bytes(), now()).unwrap().unwrap();
        volume.release(gone);
    }
    let again = file(&volume, "small", b"another small file");
    drop(again);
    volume.close().unwrap();
    drop(volume);
    for path in deleted {
        (0..3).for_each(|index| victim.store.restore_file(&victim.left, victim.name(path, index)));
    }
    for _ in 0..2 {
        let volume = victim.open().unwrap();
        assert_eq!(names(&volume, &volume.root().unwrap()), ["small", "twin", "other", "y", "x"]);
        assert_eq!(names(&volume, &find(&volume, "x").unwrap()), ["two"]);
        assert_eq!(look(&volume, "small").unwrap(), b"another small file");
        volume.close().unwrap();
    }
}

/// The same names and contents under other keys.
#[test]
fn row_22_the_chunks_of_another_volume() {
    let (victim, other) = (HostileFixture::new(), HostileFixture::new());
    for path in ["small", "x", "y/one"] {
        let name = victim.name(path, 0);
        let broken = victim.attack(&[victim.identify(name)], "another volume's chunk", || {
            victim.put(name, &other.bytes(other.name(path, 0)));
        });
        assert!(!broken.is_empty() && broken.iter().all(|broken| broken.starts_with(path)));
    }
    victim.store.restore(&other.left);
    assert!(victim.open().is_err());
}

/// Directories of different times, each authentic, that name each other as their parent: on a device
/// that cannot know, moves end all the same.
#[test]
fn row_13_directories_that_lie_in_each_other() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let root = volume.root().unwrap();
    let (x, y) = (find(&volume, "x").unwrap(), find(&volume, "y").unwrap());
    volume.create(&y, b"z", new(Kind::Directory)).unwrap();
    volume.rename((&root, b"x"), (&y, b"x"), Rename::Replace, None, now()).unwrap();
    volume.checkpoint().unwrap();
    let in_y = victim.store.snapshot();
    volume.rename((&y, b"x"), (&root, b"x"), Rename::Replace, None, now()).unwrap();
    volume.rename((&root, b"y"), (&x, b"y"), Rename::Replace, None, now()).unwrap();
    drop((root, x, y));
    volume.close().unwrap();
    drop(volume);
    victim.store.restore_file(&in_y, victim.name("x", 0));
    victim.forget();
    let volume = victim.open().unwrap();
    let root = volume.root().unwrap();
    let x = find(&volume, "x").unwrap();
    let y = volume.inode(victim.ids["y"]).unwrap();
    assert_eq!(volume.parent(&x).unwrap().id(), y.id());
    assert_eq!(volume.parent(&y).unwrap().id(), x.id());
    let other = volume.create(&root, b"other directory", new(Kind::Directory)).unwrap();
    let moved = volume.rename((&root, b"other directory"), (&y, b"other"), Rename::Replace, None, now());
    assert_damage(&moved.map(drop).unwrap_err(), "a circle");
    drop(other);
}

/// An older directory names a file that has another name by now: removing the old name leaves the file alone.
#[test]
fn row_13_a_name_from_an_older_directory() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let (x, y) = (find(&volume, "x").unwrap(), find(&volume, "y").unwrap());
    volume.rename((&x, b"one"), (&y, b"moved"), Rename::Replace, None, now()).unwrap();
    drop((x, y));
    volume.close().unwrap();
    drop(volume);
    victim.store.restore_file(&victim.left, victim.name("x", 0));
    victim.forget();
    let volume = victim.open().unwrap();
    let (x, y) = (find(&volume, "x").unwrap(), find(&volume, "y").unwrap());
    for (directory, name) in [(&x, b"one".as_slice()), (&y, b"moved")] {
        assert!(read_path(&volume, "y/moved").unwrap() == victim.files["x/one"]);
        if let Some(gone) = volume.unlink(directory, name, now()).unwrap() {
            volume.release(gone);
        }
    }
    drop((x, y));
    volume.close().unwrap();
    let volume = victim.open().unwrap();
    assert_eq!(names(&volume, &find(&volume, "x").unwrap()), ["two"]);
    assert!(!victim.store.names().contains(&victim.name("x/one", 0)));
}
