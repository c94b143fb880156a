//! What works beside those who ask: flusher, readahead, merging, a rotation and the watch of the folder, all at once.

use super::*;
use crate::store::directory::Directory;
use crate::volume::Rename;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than changes wait for a round, shorter than they wait for a checkpoint.
const WORK: Duration = Duration::from_millis(700);
const PATIENCE: Duration = Duration::from_secs(30);

/// Changes of each kind until the flusher has made a round.
fn work(volume: &Volume, own: &Arc<Inode>, other: &Arc<Inode>) {
    let begun = Instant::now();
    for n in 0.. {
        let name = format!("{n}").into_bytes();
        let inode = volume.create(own, &name, new(Kind::File)).unwrap();
        volume.write(&inode, 0, &pattern(n * 97 % 9000, 3), now(), 0).unwrap();
        match n % 5 {
            0 => volume.sync(&inode, false).unwrap(),
            1 => {
                let to = [&name[..], b" moved"].concat();
                volume.rename((own, &name), (other, &to), Rename::Replace, None, now()).unwrap();
            }
            2 => volume.resize(&inode, 20_000, now(), 0).unwrap(),
            3 => drop(volume.unlink(own, &name, now()).unwrap().map(|inode| volume.release(inode))),
            _ => drop(names(volume, own)),
        }
        volume.expect_entries(own, 0).unwrap();
        if begun.elapsed() > WORK {
            return;
        }
    }
}

/// Each lock is taken in its order, or a thread panics, which `close` hands on (`base/threads.rs`).
#[test]
fn threads_beside_operations_take_locks_in_order() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store: Arc<dyn Store> = Arc::new(Directory::open(folder.path(), false).unwrap());
    let fixture = Fixture::new();
    fixture.format(store.clone()).close().unwrap();
    // A rotation is under way.
    let epochs = vec![Secret::random(), fixture.content.duplicate()];
    let context = Context::new(store, fixture.device, Cipher::Aes256Gcm, &fixture.name, epochs);
    let context = context.remembering(Arc::new(fixture.remembered.clone()));
    let context = Arc::new(context);
    let volume = Volume::open(context.clone(), options()).unwrap();
    volume.start().unwrap();
    volume.follow();
    let root = volume.root().unwrap();
    let [one, two] =
        [&b"one"[..], b"two"].map(|name| volume.create(&root, name, new(Kind::Directory)).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| work(&volume, &one, &two));
        scope.spawn(|| work(&volume, &two, &one));
    });
    let stored = Instant::now();
    while volume.condition().unstored > 0 {
        assert!(stored.elapsed() < PATIENCE, "{:?}", volume.condition());
        thread::sleep(Duration::from_millis(1));
    }
    volume.close().unwrap();
    drop((one, two, root, volume));
    assert_eq!(Arc::strong_count(&context), 1, "what is closed with it can be");
}
