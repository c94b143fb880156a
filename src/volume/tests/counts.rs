//! What durability costs: exact numbers of store calls, so that a regression shows.

use super::*;
use crate::store::faulty::Faulty;
use crate::store::memory::Memory;
use crate::volume::Rename;

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
    let syncs = |what: &'static str, expected: u64, act: &dyn Fn()| {
        let before = store.counts();
        act();
        let after = store.counts();
        let syncs = after.syncs - before.syncs + after.name_syncs - before.name_syncs + after.sync_alls
            - before.sync_alls;
        println!("{what:<50} {syncs}");
        if syncs != expected {
            wrong.borrow_mut().push((what, syncs, expected));
        }
    };
    let sync = |inode: &Arc<Inode>| volume.sync(inode, false).unwrap();
    let look = |name: &[u8]| volume.lookup(&root, name).unwrap().unwrap();
    syncs("overwrite inside a small file + fsync", 1, &|| {
        volume.write(&warm, 0, b"y", now(), 0).unwrap();
        sync(&warm);
    });
    syncs("the same again: a clean file", 0, &|| sync(&warm));
    syncs("overwrite inside a file of two blocks + fsync", 1, &|| {
        volume.write(&two, 5000, b"y", now(), 0).unwrap();
        sync(&two);
    });
    syncs("append to a file of two blocks + fsync", 1, &|| {
        volume.write(&two, 8000, b"y", now(), 0).unwrap();
        sync(&two);
    });
    syncs("overwrite in the second chunk + fsync", 2, &|| {
        volume.write(&large, 1_060_000, b"y", now(), 0).unwrap();
        sync(&large);
    });
    syncs("chmod + fsync", 1, &|| {
        let change = |record: &mut crate::volume::Record| {
            record.mode = 0o600;
            Ok(())
        };
        volume.update(&warm, change).unwrap();
        sync(&warm);
    });
    syncs("create + write + fsync", 1, &|| {
        let inode = file(&volume, "new", b"some content");
        sync(&inode);
    });
    syncs("create + write of two blocks + fsync", 3, &|| {
        let inode = file(&volume, "new and larger", &pattern(8000, 2));
        sync(&inode);
    });
    syncs("rename + fsync", 1, &|| {
        volume.rename((&root, b"new"), (&root, b"newer"), Rename::Replace, None, now()).unwrap();
        sync(&look(b"newer"));
    });
    syncs("write of a new file + replacing rename + fsync", 1, &|| {
        file(&volume, "draft", b"other content");
        volume.rename((&root, b"draft"), (&root, b"newer"), Rename::Replace, None, now()).unwrap();
        sync(&look(b"newer"));
    });
    syncs("link + fsync", 1, &|| {
        volume.link(&warm, &root, b"linked", now()).unwrap();
        sync(&warm);
    });
    syncs("mkdir + fsync of the parent", 1, &|| {
        volume.create(&root, b"dir", new(Kind::Directory)).unwrap();
        volume.sync_directory(&root).unwrap();
    });
    syncs("unlink + fsync of the parent", 1, &|| {
        let gone = volume.unlink(&root, b"linked", now()).unwrap().unwrap();
        volume.release(gone);
        volume.sync_directory(&root).unwrap();
    });
    syncs("fsync of a clean directory", 0, &|| volume.sync_directory(&root).unwrap());
    volume.round().unwrap();
    volume.round().unwrap();
    syncs("a round with nothing to do", 0, &|| volume.round().unwrap());
    assert!(wrong.borrow().is_empty(), "(what, syncs, expected): {:?}", wrong.borrow());
}
