//! What durability costs: exact numbers of store calls, so that a regression shows.

use super::*;
use crate::store::faulty::Faulty;
use crate::store::memory::Memory;

#[test]
fn fsync_costs_one_fdatasync() {
    let fixture = Fixture::new();
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    let warm = file(&volume, "warm", b"x");
    volume.sync(&warm, false).unwrap();
    volume.round().unwrap();
    let syncs = |what: &str, expected: u64, act: &dyn Fn()| {
        let before = store.counts();
        act();
        let after = store.counts();
        let syncs = after.syncs - before.syncs + after.name_syncs - before.name_syncs + after.sync_alls
            - before.sync_alls;
        assert_eq!(syncs, expected, "{what}");
    };
    syncs("overwrite inside a small file + fsync", 1, &|| {
        volume.write(&warm, 0, b"y", now(), 0).unwrap();
        volume.sync(&warm, false).unwrap();
    });
    syncs("the same again: a clean file", 0, &|| volume.sync(&warm, false).unwrap());
    syncs("create + write + fsync", 1, &|| {
        let inode = file(&volume, "new", b"some content");
        volume.sync(&inode, false).unwrap();
    });
    syncs("rename + fsync", 1, &|| {
        volume
            .rename((&root, b"new"), (&root, b"newer"), crate::volume::Rename::Replace, None, now())
            .unwrap();
        let inode = volume.lookup(&root, b"newer").unwrap().unwrap();
        volume.sync(&inode, false).unwrap();
    });
    syncs("mkdir + fsync of the parent", 1, &|| {
        volume.create(&root, b"dir", new(Kind::Directory)).unwrap();
        volume.sync_directory(&root).unwrap();
    });
}
