//! What durability costs: exactly which syncs, so that a regression shows.

use super::*;
use crate::store::Area;
use crate::store::faulty::{Call, Event, Faulty};
use crate::store::memory::Memory;
use crate::volume::Rename;

/// What a call makes durable, if it is one that does.
fn sync_of(event: &Event) -> Option<&'static str> {
    match event.call {
        Call::Sync if event.name.is_some_and(|name| name.area == Area::Journals) => Some("journal"),
        Call::Sync => Some("chunk"),
        Call::SyncNames => Some("names"),
        Call::SyncAll => Some("everything"),
        _ => None,
    }
}

#[test]
fn fsync_costs_one_fdatasync() {
    let fixture = Fixture::new();
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    let warm = file(&volume, "warm", b"x");
    volume.sync(&warm, false).unwrap();
    volume.round().unwrap();
    let two = file(&volume, "two blocks", &pattern(8000, 1));
    let large = file(&volume, "two chunks", &pattern(1_100_000, 1));
    volume.round().unwrap();
    volume.round().unwrap();
    let wrong = std::cell::RefCell::new(Vec::new());
    let syncs = |what: &'static str, expected: &[&'static str], act: &dyn Fn()| {
        store.reset();
        act();
        let syncs: Vec<_> = store.log().iter().filter_map(sync_of).collect();
        println!("{what:<50} {syncs:?}");
        if syncs != expected {
            wrong.borrow_mut().push((what, syncs));
        }
    };
    let sync = |inode: &Arc<Inode>| volume.sync(inode, false).unwrap();
    let look = |name: &[u8]| volume.lookup(&root, name).unwrap().unwrap();
    syncs("overwrite inside a small file + fsync", &["chunk"], &|| {
        volume.write(&warm, 0, b"y", now(), 0).unwrap();
        sync(&warm);
    });
    syncs("the same again: a clean file", &[], &|| sync(&warm));
    syncs("overwrite inside a file of two blocks + fsync", &["chunk"], &|| {
        volume.write(&two, 5000, b"y", now(), 0).unwrap();
        sync(&two);
    });
    syncs("append to a file of two blocks + fsync", &["chunk"], &|| {
        volume.write(&two, 8000, b"y", now(), 0).unwrap();
        sync(&two);
    });
    syncs("overwrite in the second chunk + fsync", &["chunk", "chunk"], &|| {
        volume.write(&large, 1_060_000, b"y", now(), 0).unwrap();
        sync(&large);
    });
    syncs("chmod + fsync", &["chunk"], &|| {
        let change = |record: &mut crate::volume::Record| {
            record.mode = 0o600;
            Ok(())
        };
        volume.update(&warm, change).unwrap();
        sync(&warm);
    });
    syncs("create + write + fsync", &["journal"], &|| {
        let inode = file(&volume, "new", b"some content");
        sync(&inode);
    });
    syncs("create + write of two blocks + fsync", &["chunk", "names", "journal"], &|| {
        let inode = file(&volume, "new and larger", &pattern(8000, 2));
        sync(&inode);
    });
    syncs("rename + fsync", &["journal"], &|| {
        volume.rename((&root, b"new"), (&root, b"newer"), Rename::Replace, None, now()).unwrap();
        sync(&look(b"newer"));
    });
    syncs("write of a new file + replacing rename + fsync", &["journal"], &|| {
        file(&volume, "draft", b"other content");
        volume.rename((&root, b"draft"), (&root, b"newer"), Rename::Replace, None, now()).unwrap();
        sync(&look(b"newer"));
    });
    syncs("link + fsync", &["journal"], &|| {
        volume.link(&warm, &root, b"linked", now()).unwrap();
        sync(&warm);
    });
    syncs("mkdir + fsync of the parent", &["journal"], &|| {
        volume.create(&root, b"dir", new(Kind::Directory)).unwrap();
        volume.sync_directory(&root).unwrap();
    });
    syncs("unlink + fsync of the parent", &["journal"], &|| {
        let gone = volume.unlink(&root, b"linked", now()).unwrap().unwrap();
        volume.release(gone);
        volume.sync_directory(&root).unwrap();
    });
    syncs("fsync of a clean directory", &[], &|| volume.sync_directory(&root).unwrap());
    volume.round().unwrap();
    volume.round().unwrap();
    syncs("a round with nothing to do", &[], &|| volume.round().unwrap());
    assert!(wrong.borrow().is_empty(), "unexpected: {:?}", wrong.borrow());
}
