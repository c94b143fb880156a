use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;
use crate::store::conformance::{self, contents, name};
use crate::store::folder::LockError;

fn store() -> (tempfile::TempDir, Directory) {
    let root = tempfile::tempdir().unwrap();
    let store = Directory::open(root.path(), false).unwrap();
    (root, store)
}

fn make_fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn conforms() {
    let ((_root, mut store), pins) = (store(), tempfile::tempdir().unwrap());
    store.pin_in(&pins.path().join("pins")).unwrap();
    conformance::check(&store);
}

#[test]
fn what_is_no_file_is_not_pinned() {
    let ((root, mut store), pins) = (store(), tempfile::tempdir().unwrap());
    store.pin_in(pins.path()).unwrap();
    let [link, fifo] = [name(Area::Chunks, 0xa7, 1), name(Area::Chunks, 0xa7, 2)];
    fs::create_dir_all(root.path().join("chunks/a7")).unwrap();
    symlink("/etc/passwd", root.path().join(link.path())).unwrap();
    make_fifo(&root.path().join(fifo.path()));
    fs::write(pins.path().join("notes.txt"), "not a pin").unwrap();
    for name in [link, fifo] {
        assert!(store.pins().unwrap().pin(name).is_err());
    }
    assert!(store.pins().unwrap().all_pins().unwrap().is_empty());
}

#[test]
fn files_are_private_and_lie_where_the_design_says() {
    let (root, store) = store();
    store.create(name(Area::Chunks, 0xa7, 1)).unwrap();
    let path = root.path().join("chunks/a7").join(format!("{}01", "5a".repeat(14)));
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn reading_leaves_no_access_time() {
    let (root, store) = store();
    let chunk = name(Area::Chunks, 0xa7, 1);
    store.create(chunk).unwrap().write_at(0, &[IoSlice::new(b"content")]).unwrap();
    let path = root.path().join(chunk.path());
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_times(fs::FileTimes::new().set_accessed(long_ago)).unwrap();
    store.open(chunk).unwrap().read_at(0, &mut [0; 7]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), long_ago);
}

#[test]
fn row_21_whatever_is_no_regular_file_is_refused() {
    let (root, store) = store();
    let outside = tempfile::NamedTempFile::new().unwrap();
    let chunk = name(Area::Chunks, 0xa7, 1);
    let path = root.path().join(chunk.path());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let plant: [&dyn Fn(); 4] = [
        &|| symlink(outside.path(), &path).unwrap(),
        &|| make_fifo(&path),
        &|| drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
        &|| fs::create_dir(&path).unwrap(),
    ];
    for plant in plant {
        plant();
        for read_only in [false, true] {
            let store = Directory::open(root.path(), read_only).unwrap();
            assert_eq!(store.open(chunk).err().unwrap().kind(), io::ErrorKind::InvalidData);
        }
        store.create(chunk).unwrap();
        store.remove(chunk).unwrap();
    }
    // What lies in a folder is somebody's.
    fs::create_dir(&path).unwrap();
    fs::write(path.join("file"), "precious").unwrap();
    store.create(chunk).unwrap();
    let names: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(
        names.iter().any(|name| fs::read(name.join("file")).is_ok_and(|kept| kept == b"precious")),
        "{names:?}"
    );
    assert_eq!(fs::read(outside.path()).unwrap(), b"");
    let journal = name(Area::Journals, 0xa7, 1);
    fs::create_dir_all(root.path().join(journal.path())).unwrap();
    store.remove(journal).unwrap();
    store.remove(journal).unwrap();
    assert_eq!(store.open(journal).err().unwrap().kind(), io::ErrorKind::NotFound);
}

/// Whoever waits to write into a pipe goes on as soon as anybody opens it for reading.
#[test]
fn row_21_what_is_no_regular_file_is_not_opened() {
    let (root, store) = store();
    let chunk = name(Area::Chunks, 0xa7, 1);
    let path = root.path().join(chunk.path());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    make_fifo(&path);
    let waiting = std::thread::spawn({
        let path = path.clone();
        move || drop(fs::File::options().write(true).open(path).unwrap())
    });
    for _ in 0..1000 {
        assert_eq!(store.open(chunk).err().unwrap().kind(), io::ErrorKind::InvalidData);
        assert!(!waiting.is_finished(), "the pipe was opened");
    }
    drop(fs::File::open(&path).unwrap());
    waiting.join().unwrap();
}

#[test]
fn row_21_a_linked_folder_is_not_entered() {
    let (root, store) = store();
    let outside = tempfile::tempdir().unwrap();
    let chunk = name(Area::Chunks, 0xa7, 1);
    let file_name = Path::new(&chunk.path()).file_name().unwrap().to_owned();
    fs::write(outside.path().join(&file_name), "precious").unwrap();
    fs::create_dir(root.path().join("chunks")).unwrap();
    symlink(outside.path(), root.path().join("chunks/a7")).unwrap();
    for result in [store.open(chunk).map(drop), store.remove(chunk)] {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    // As if the folder had vanished.
    store.sync_names(&[chunk]).unwrap();
    // The link makes way for a folder.
    store.create(chunk).unwrap();
    store.create(name(Area::Chunks, 0xa7, 9)).unwrap();
    assert_eq!(fs::read_dir(root.path().join("chunks/a7")).unwrap().count(), 2);
    assert!(fs::symlink_metadata(root.path().join("chunks/a7")).unwrap().is_dir());
    assert_eq!(fs::read(outside.path().join(file_name)).unwrap(), b"precious");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn folders_that_vanish_or_are_replaced_are_noticed() {
    let (root, store) = store();
    let chunk = name(Area::Chunks, 0xa7, 1);
    let old = store.create(chunk).unwrap();
    old.write_at(0, &[IoSlice::new(b"old")]).unwrap();
    store.sync_names(&[chunk]).unwrap();
    fs::rename(root.path().join("chunks/a7"), root.path().join("chunks/elsewhere")).unwrap();
    assert!(!old.is_current().unwrap());
    assert_eq!(store.open(chunk).err().unwrap().kind(), io::ErrorKind::NotFound);
    store.sync_names(&[chunk]).unwrap();
    let new = store.create(chunk).unwrap();
    store.sync_names(&[chunk]).unwrap();
    assert!(new.is_current().unwrap() && !old.is_current().unwrap());
    fs::remove_dir_all(root.path().join("chunks")).unwrap();
    assert!(!new.is_current().unwrap());
    store.create(chunk).unwrap();
    assert_eq!(contents(&*old), b"old");
}

#[test]
fn strangers_are_listed() {
    let (root, store) = store();
    store.create(name(Area::Chunks, 0xa7, 1)).unwrap();
    let chunks = root.path().join("chunks");
    fs::write(chunks.join("readme"), "").unwrap();
    fs::write(chunks.join("a7/copy (conflicted)"), "").unwrap();
    fs::create_dir_all(chunks.join("a7 (copy)/deep")).unwrap();
    symlink("/etc", chunks.join("b0")).unwrap();
    let mut seen = BTreeSet::new();
    store
        .list(Area::Chunks, &mut |name, regular| {
            seen.insert((name.to_vec(), regular));
        })
        .unwrap();
    let genuine = format!("a7/{}01", "5a".repeat(14));
    let expected = [
        ("readme", true),
        ("a7/copy (conflicted)", true),
        (genuine.as_str(), true),
        ("a7 (copy)", false),
        ("a7 (copy)/deep", false),
        ("b0", false),
    ];
    assert_eq!(seen, expected.map(|(name, regular)| (name.as_bytes().to_vec(), regular)).into());
}

#[test]
fn read_only_on_request() {
    let (root, store) = store();
    let chunk = name(Area::Chunks, 1, 1);
    store.create(chunk).unwrap().write_at(0, &[IoSlice::new(b"kept")]).unwrap();
    let store = Directory::open(root.path(), true).unwrap();
    assert!(store.is_read_only());
    for result in [store.create(chunk).map(drop), store.remove(chunk)] {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EROFS));
    }
    let file = store.open(chunk).unwrap();
    assert!(file.write_at(0, &[IoSlice::new(b"lost")]).is_err());
    assert_eq!(contents(&*file), b"kept");
}

#[test]
fn row_21_small_files_are_written_once_and_read_within_bounds() {
    let (root, store) = store();
    let folder = store.folder();
    assert_eq!(folder.count("keys").unwrap(), 0);
    folder.write_new("keys/one.json", b"{1}").unwrap();
    folder.write_new("cryptfs.json", &[b'x'; 100]).unwrap();
    let again = folder.write_new("keys/one.json", b"{2}").unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(folder.read_small("keys/one.json", 3).unwrap(), b"{1}");
    assert_eq!(folder.read_small("keys/one.json", 2).unwrap_err().kind(), io::ErrorKind::InvalidData);
    make_fifo(&root.path().join("keys/two.json"));
    symlink("one.json", root.path().join("keys/three.json")).unwrap();
    for special in ["keys/two.json", "keys/three.json", "keys", "keys/one.json/x", "../x", "/etc/passwd"] {
        assert_eq!(
            folder.read_small(special, 9).unwrap_err().kind(),
            io::ErrorKind::InvalidData,
            "{special}"
        );
    }
    let names = |of: &str| {
        let mut names = Vec::new();
        folder.each_name(of, &mut |name| names.push(name.to_vec())).map(|()| names)
    };
    assert_eq!(names("keys").unwrap(), [b"one.json"]);
    folder.remove_durably("keys/one.json").unwrap();
    folder.remove_durably("keys/one.json").unwrap();
    assert_eq!(names(".").unwrap(), [b"cryptfs.json"]);
}

#[test]
fn one_lock_at_a_time() {
    let (root, store) = store();
    fs::write(root.path().join("cryptfs.json"), "{}").unwrap();
    let other = Folder::open(root.path()).unwrap();
    let lock = store.folder().lock("cryptfs.json").unwrap();
    assert!(matches!(other.lock("cryptfs.json"), Err(LockError::Held)));
    drop(lock);
    drop(other.lock("cryptfs.json").unwrap());
    assert!(matches!(other.lock("missing"), Err(LockError::Io(_))));
}

/// A server may do late what it was sent before.
#[test]
fn after_a_connection_was_lost_nothing_is_changed_or_looked_up_for_a_while() {
    const PAUSE: Duration = Duration::from_millis(100);
    let (_root, mut store) = store();
    store.settling = Arc::new(Settling::pausing(PAUSE));
    let [first, second] = [name(Area::Chunks, 0xa7, 1), name(Area::Chunks, 0xa7, 2)];
    let file = store.create(first).unwrap();
    let calls: [(&str, &dyn Fn() -> io::Result<()>); 9] = [
        ("write", &|| file.write_at(0, &[IoSlice::new(b"content")])),
        ("cut", &|| file.set_length(3)),
        ("allocate", &|| file.allocate(4096)),
        ("look whether it is in place", &|| file.is_current().map(drop)),
        ("open", &|| store.open(first).map(drop)),
        ("create", &|| store.create(second).map(drop)),
        ("make names durable", &|| store.sync_names(&[second])),
        ("remove", &|| store.remove(second)),
        ("list", &|| store.list(Area::Chunks, &mut |_, _| {})),
    ];
    for (what, call) in calls {
        let losses = store.settling.losses();
        store.settling.note_loss(losses, &io::Error::from_raw_os_error(libc::ENOTCONN));
        let begun = std::time::Instant::now();
        call().unwrap();
        assert!(begun.elapsed() >= PAUSE * 9 / 10, "{what}");
    }
}
