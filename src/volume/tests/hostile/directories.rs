//! Rows 6, 7, 9 and 22: the chunk files of directories, and files that come back.

use super::*;
use crate::volume::Rename;

#[test]
fn row_06_let_a_directory_read_anothers_contents() {
    let house = House::new();
    let [x, y, root] = ["x", "y", ""].map(|path| house.name(path, 0));
    let touched = [x, y].map(|name| house.identify(name));
    let of_x = ["x/one", "x/two"];
    let both = house.attack(&touched, "two directories change places", || house.swap(x, y));
    assert_eq!(both, ["x/one", "x/two", "y/one", "y/three"]);
    let one = house.attack(&touched[..1], "y's chunk as x", || house.put(x, &house.bytes(y)));
    assert_eq!(one, of_x);
    let root = house.attack(&touched[..1], "the root's chunk as x", || house.put(x, &house.bytes(root)));
    assert_eq!(root, of_x);
}

#[test]
fn row_07_delete_a_directorys_chunk() {
    let house = House::new();
    let x = house.name("x", 0);
    let broken = house.attack(&[house.identify(x)], "a deleted directory", || house.store.remove(x).unwrap());
    assert_eq!(broken, ["x/one", "x/two"]);
    let volume = house.open().unwrap();
    assert!(matches!(find(&volume, "x"), Err(Error::Damaged(chunk, _)) if chunk == house.identify(x)));

    let root = house.name("", 0);
    let broken =
        house.attack(&[house.identify(root)], "a deleted root", || house.store.remove(root).unwrap());
    assert_eq!(broken, [""], "the volume does not open");
}

#[test]
fn row_07_delete_a_segment_of_a_directory() {
    let house = House::new();
    let volume = house.open().unwrap();
    let x = find(&volume, "x").unwrap();
    for number in 0..1_500 {
        drop(volume.create(&x, format!("{number:0200}").as_bytes(), new(Kind::Fifo)).unwrap());
    }
    volume.close().unwrap();
    drop((x, volume));
    let segment = house
        .chunks()
        .into_iter()
        .find(|(_, chunk)| chunk.inode == house.ids["x"] && !chunk.index.is_first());
    house.store.remove(segment.expect("a segment").0).unwrap();
    let volume = house.open().unwrap();
    assert_damage(&list(&volume, &find(&volume, "x").unwrap()).unwrap_err(), "the listing");
    assert!(read_path(&volume, "y/one").unwrap() == house.files["y/one"]);
}

#[test]
fn row_07_a_missing_directory_is_listed_and_can_be_removed() {
    let house = House::new();
    house.store.remove(house.name("x", 0)).unwrap();
    let volume = house.open().unwrap();
    let root = volume.root().unwrap();
    assert!(names(&volume, &root).contains(&"x".to_owned()));
    let empty = volume.create(&root, b"empty", new(Kind::Directory)).unwrap();
    let over = volume.rename((&root, b"empty"), (&root, b"x"), Rename::Replace, None, now());
    assert_damage(&over.map(drop).unwrap_err(), "what cannot be read is not taken for empty");
    assert!(volume.remove_directory(&root, b"x", now()).unwrap().is_none());
    assert_eq!(root.view(|record| record.links_count), 4, "y and empty are left");
    drop((root, empty));
    volume.close().unwrap();
    let volume = house.open().unwrap();
    assert!(!names(&volume, &volume.root().unwrap()).contains(&"x".to_owned()));
}

#[test]
fn row_09_bring_back_a_deleted_files_chunk() {
    let house = House::new();
    let deleted = ["small", "blocks", "big", "x/one"];
    let volume = house.open().unwrap();
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
        (0..3).for_each(|index| house.store.restore_file(&house.left, house.name(path, index)));
    }
    for _ in 0..2 {
        let volume = house.open().unwrap();
        assert_eq!(names(&volume, &volume.root().unwrap()), ["small", "twin", "other", "y", "x"]);
        assert_eq!(names(&volume, &find(&volume, "x").unwrap()), ["two"]);
        assert_eq!(look(&volume, "small").unwrap(), b"another small file");
        volume.close().unwrap();
    }
}

/// The same names and contents under other keys.
#[test]
fn row_22_the_chunks_of_another_volume() {
    let (house, other) = (House::new(), House::new());
    for path in ["small", "x", "y/one"] {
        let name = house.name(path, 0);
        let broken = house.attack(&[house.identify(name)], "another volume's chunk", || {
            house.put(name, &other.bytes(other.name(path, 0)));
        });
        assert!(!broken.is_empty() && broken.iter().all(|broken| broken.starts_with(path)));
    }
    house.store.restore(&other.left);
    assert!(house.open().is_err());
}

/// Directories of different times, each authentic, that name each other as their parent: on a device
/// that cannot know, moves end all the same.
#[test]
fn row_13_directories_that_lie_in_each_other() {
    let house = House::new();
    let volume = house.open().unwrap();
    let root = volume.root().unwrap();
    let (x, y) = (find(&volume, "x").unwrap(), find(&volume, "y").unwrap());
    volume.create(&y, b"z", new(Kind::Directory)).unwrap();
    volume.rename((&root, b"x"), (&y, b"x"), Rename::Replace, None, now()).unwrap();
    volume.checkpoint().unwrap();
    let in_y = house.store.snapshot();
    volume.rename((&y, b"x"), (&root, b"x"), Rename::Replace, None, now()).unwrap();
    volume.rename((&root, b"y"), (&x, b"y"), Rename::Replace, None, now()).unwrap();
    drop((root, x, y));
    volume.close().unwrap();
    drop(volume);
    house.store.restore_file(&in_y, house.name("x", 0));
    house.forget();
    let volume = house.open().unwrap();
    let root = volume.root().unwrap();
    let x = find(&volume, "x").unwrap();
    let y = volume.inode(house.ids["y"]).unwrap();
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
    let house = House::new();
    let volume = house.open().unwrap();
    let (x, y) = (find(&volume, "x").unwrap(), find(&volume, "y").unwrap());
    volume.rename((&x, b"one"), (&y, b"moved"), Rename::Replace, None, now()).unwrap();
    drop((x, y));
    volume.close().unwrap();
    drop(volume);
    house.store.restore_file(&house.left, house.name("x", 0));
    house.forget();
    let volume = house.open().unwrap();
    let (x, y) = (find(&volume, "x").unwrap(), find(&volume, "y").unwrap());
    for (directory, name) in [(&x, b"one".as_slice()), (&y, b"moved")] {
        assert!(read_path(&volume, "y/moved").unwrap() == house.files["x/one"]);
        if let Some(gone) = volume.unlink(directory, name, now()).unwrap() {
            volume.release(gone);
        }
    }
    drop((x, y));
    volume.close().unwrap();
    let volume = house.open().unwrap();
    assert_eq!(names(&volume, &find(&volume, "x").unwrap()), ["two"]);
    assert!(!house.store.names().contains(&house.name("x/one", 0)));
}
