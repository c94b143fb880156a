//! What operations cost: exactly which syncs and how many calls of the store, so that a regression shows.

use super::*;
use crate::chunk::ChunkIndex;
use crate::store::faulty::{Call, Event, Faulty};
use crate::store::memory::Memory;
use crate::store::{Area, FileName};
use crate::volume::Rename;
use std::collections::{BTreeSet, HashMap};

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
    volume.checkpoint().unwrap();
    let two = file(&volume, "two blocks", &pattern(8000, 1));
    let large = file(&volume, "two chunks", &pattern(1_100_000, 1));
    volume.checkpoint().unwrap();
    volume.checkpoint().unwrap();
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
    // Chunk 0 first tells that others may be newer; once in a burst.
    syncs("overwrite in the second chunk + fsync", &["chunk", "chunk"], &|| {
        volume.write(&large, 1_060_000, b"y", now(), 0).unwrap();
        sync(&large);
    });
    syncs("overwrite there again + fsync", &["chunk"], &|| {
        volume.write(&large, 1_060_000, b"z", now(), 0).unwrap();
        sync(&large);
    });
    let set_times = || {
        let change = |record: &mut crate::volume::Record| {
            record.accessed.seconds -= 1000;
            false
        };
        volume.set_attributes(&large, change).unwrap();
    };
    syncs("times set + fsync", &["chunk"], &|| {
        set_times();
        sync(&large);
    });
    syncs("overwrite there again + times set + fsync", &["chunk", "chunk"], &|| {
        volume.write(&large, 1_060_000, b"z", now(), 0).unwrap();
        set_times();
        sync(&large);
    });
    for (what, at) in [("append to the second chunk", 1_200_000), ("write into a hole of it", 1_150_000)] {
        syncs(what, &["chunk", "chunk"], &|| {
            volume.write(&large, at, b"b", now(), 0).unwrap();
            sync(&large);
        });
    }
    syncs("overwrite there again + fdatasync", &["chunk"], &|| {
        volume.write(&large, 1_060_000, b"a", now(), 0).unwrap();
        volume.sync(&large, true).unwrap();
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
    volume.checkpoint().unwrap();
    volume.checkpoint().unwrap();
    syncs("a checkpoint with nothing to do", &[], &|| volume.checkpoint().unwrap());
    assert!(wrong.borrow().is_empty(), "unexpected: {:?}", wrong.borrow());
}

/// Each kind of call and how often, in the order of their first.
fn calls_of(log: &[Event]) -> String {
    let mut counted: Vec<(Call, usize)> = Vec::new();
    for event in log {
        match counted.iter_mut().find(|(call, _)| *call == event.call) {
            Some((_, times)) => *times += 1,
            None => counted.push((event.call, 1)),
        }
    }
    let each: Vec<_> = counted.iter().map(|(call, times)| format!("{call:?} {times}")).collect();
    each.join(", ")
}

#[test]
fn calls_of_the_store() {
    let fixture = Fixture::new();
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let volume = fixture.format(store.clone());
    let wrong = std::cell::RefCell::new(Vec::new());
    let calls = |what: &'static str, expected: &str, act: &dyn Fn()| {
        store.reset();
        act();
        let calls = calls_of(&store.log());
        println!("{what:<50} {calls}");
        if calls != expected {
            wrong.borrow_mut().push((what, calls));
        }
    };
    let root = volume.root().unwrap();
    volume.checkpoint().unwrap();
    let make = |names: std::ops::Range<usize>| {
        for number in names {
            file(&volume, &format!("small {number}"), &pattern(3000, number as u64));
        }
    };
    calls("create a file of 3,000 bytes", "Space 1, Hold 1", &|| make(0..1));
    calls(
        "a checkpoint after it",
        "Create 2, Allocate 1, Write 5, Sync 5, IsCurrent 4, SyncNames 2, Length 1, Hold 1, Space 1",
        &|| volume.checkpoint().unwrap(),
    );
    calls("create 100 files of 3,000 bytes", "Hold 2", &|| make(1..101));
    calls(
        "a checkpoint after them",
        "Write 108, Sync 7, IsCurrent 103, Create 100, SyncAll 3, SyncNames 1, Hold 1, Space 1, SetLength 1",
        &|| volume.checkpoint().unwrap(),
    );
    let look = |name: &str| volume.lookup(&root, name.as_bytes()).unwrap().unwrap();
    calls("look up, read and change attributes, warm", "Open 1, Read 1", &|| {
        let inode = look("small 7");
        content(&volume, &inode);
        volume
            .update(&inode, |record| {
                record.mode = 0o600;
                Ok(())
            })
            .unwrap();
    });
    calls("rename", "", &|| {
        volume.rename((&root, b"small 7"), (&root, b"other"), Rename::Replace, None, now()).unwrap();
    });
    calls(
        "a checkpoint after both",
        "Write 7, Sync 6, IsCurrent 3, Open 1, Read 3, Length 2, Space 1",
        &|| volume.checkpoint().unwrap(),
    );
    calls("unlink 100 files", "Open 100, Read 100, Hold 1", &|| {
        for number in (0..101).filter(|number| *number != 7) {
            let gone = volume.unlink(&root, format!("small {number}").as_bytes(), now()).unwrap().unwrap();
            volume.release(gone);
        }
    });
    calls(
        "a checkpoint after it",
        "Write 6, Sync 2, IsCurrent 65, SetLength 1, Read 39, Open 37, Remove 100, SyncAll 1, Hold 1, Space 1",
        &|| volume.checkpoint().unwrap(),
    );
    let large = file(&volume, "large", b"");
    calls("write 1 MiB in 8 parts", "Create 2, Write 8", &|| {
        for part in 0..8 {
            volume.write(&large, part << 17, &pattern(1 << 17, part), now(), 0).unwrap();
        }
    });
    calls("fsync it", "Write 6, Sync 3, IsCurrent 3, SyncNames 2", &|| volume.sync(&large, false).unwrap());
    calls("overwrite 16 blocks of it at random, and fsync", "Write 20, Sync 3, IsCurrent 3", &|| {
        for block in 0..16 {
            volume.write(&large, (block * 53 % 250) << 12, &pattern(4096, block), now(), 0).unwrap();
        }
        volume.sync(&large, false).unwrap();
    });
    drop(large);
    drop(root);
    volume.close().unwrap();
    drop(volume);
    let opened = std::cell::OnceCell::new();
    calls("mount", "SyncAll 1, List 1, Open 2, Read 2", &|| {
        assert!(opened.set(fixture.open(store.clone())).is_ok());
    });
    let volume = opened.get().unwrap();
    let root = volume.root().unwrap();
    calls("look up a file, cold", "Read 2, Open 1", &|| {
        drop(volume.lookup(&root, b"large").unwrap().unwrap())
    });
    let large = volume.lookup(&root, b"large").unwrap().unwrap();
    calls("read 128 KiB in its middle, cold", "Read 7, Open 1", &|| {
        volume.read(&large, 1 << 19, &mut vec![0; 1 << 17]).unwrap();
    });
    assert!(wrong.borrow().is_empty(), "unexpected: {:?}", wrong.borrow());
}

/// For each fdatasync, whether what it makes durable takes new space: then the filesystem below has to commit its own journal
/// too, which costs a flush of the disk more.
fn take_space(log: &[Event]) -> Vec<bool> {
    let mut files: HashMap<FileName, (BTreeSet<u64>, bool)> = HashMap::new();
    let mut syncs = Vec::new();
    for event in log {
        let Some(name) = event.name else { continue };
        let (blocks, is_new) = files.entry(name).or_default();
        match event.call {
            Call::Write => {
                for block in event.offset / 4096..(event.offset + event.length).div_ceil(4096) {
                    *is_new |= blocks.insert(block);
                }
            }
            Call::SetLength => blocks.retain(|block| block * 4096 < event.offset),
            Call::Sync => syncs.push(std::mem::take(is_new)),
            _ => {}
        }
    }
    syncs
}

#[test]
fn few_fdatasyncs_take_new_space() {
    let fixture = Fixture::new();
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let volume = fixture.format(store.clone());
    // What is pending goes first, so that the rest is by itself.
    volume.checkpoint().unwrap();
    // As SQLite writes a rollback journal: once it is durable, its head says so.
    let journal = file(&volume, "rollback journal", &pattern(512, 1));
    for (at, length) in [(512, 4), (516, 4096), (4612, 4), (4616, 4), (4620, 4096), (8716, 4)] {
        volume.write(&journal, at, &pattern(length, at), now(), 0).unwrap();
    }
    volume.sync(&journal, true).unwrap();
    let before = take_space(&store.log()).len();
    volume.write(&journal, 0, b"durable", now(), 0).unwrap();
    volume.sync(&journal, true).unwrap();
    assert_eq!(take_space(&store.log())[before..], [false]);
    let before = take_space(&store.log()).len();
    for number in 0..64 {
        let inode = file(&volume, &format!("f{number}"), &pattern(1000, number));
        volume.sync(&inode, false).unwrap();
    }
    let syncs = &take_space(&store.log())[before..];
    let dear = syncs.iter().filter(|takes| **takes).count();
    assert!(syncs.len() == 64 && dear <= 8, "{dear} of {}", syncs.len());
}

/// A round makes no chunk file and waits for the disk once, however many new files there are: whoever makes them wants the
/// disk. What it stored of others no checkpoint opens again.
#[test]
fn a_round_costs_one_fdatasync() {
    let fixture = Fixture::new();
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let volume = fixture.format(store.clone());
    let made: Vec<_> = (0..40).map(|n| file(&volume, &format!("f{n}"), &pattern(1000, n))).collect();
    volume.checkpoint().unwrap();
    let count = |act: &dyn Fn()| {
        store.reset();
        act();
        let log = store.log();
        let syncs: Vec<_> = log.iter().filter_map(sync_of).collect();
        let times = |call| log.iter().filter(|event| event.call == call).count();
        (syncs, times(Call::Create), times(Call::Open), times(Call::IsCurrent))
    };
    let round = || volume.writeback.round().unwrap();
    (0..300).for_each(|n| drop(file(&volume, &format!("g{n}"), &pattern(1000, n))));
    assert_eq!(count(&round), (vec!["journal"], 0, 0, 1), "new files");
    assert_eq!(count(&round), (vec![], 0, 0, 0), "nothing new");
    let root = volume.root().unwrap();
    let names = (0..40).map(|n| (format!("f{n}"), format!("h{n}")));
    names.into_iter().for_each(|(from, to)| {
        let (from, to) = ((&root, from.as_bytes()), (&root, to.as_bytes()));
        volume.rename(from, to, Rename::Replace, None, now()).unwrap();
    });
    assert_eq!(count(&round), (vec!["journal"], 0, 0, 1), "new names");
    volume.checkpoint().unwrap();
    made.iter().for_each(|inode| volume.write(inode, 0, b"y", now(), 0).unwrap());
    assert!(count(&round).3 >= 40, "files that have a chunk file");
    made.iter().for_each(|inode| inode.state.write().close(ChunkIndex::FIRST));
    assert_eq!(count(&|| volume.checkpoint().unwrap()), (vec![], 0, 0, 0), "they are stored");
}

/// Removing files is left to the flusher: on a disk it takes long.
#[test]
fn who_unlinks_many_files_waits_for_none_to_be_removed() {
    let fixture = Fixture::new();
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let volume = fixture.format(store.clone());
    let root = volume.root().unwrap();
    let unlink = |name: &str| {
        let gone = volume.unlink(&root, name.as_bytes(), now()).unwrap().unwrap();
        volume.release(gone);
    };
    (0..6000).for_each(|n| drop(volume.create(&root, format!("f{n}").as_bytes(), new(Kind::File)).unwrap()));
    volume.checkpoint().unwrap();
    store.reset();
    (0..5900).for_each(|n| unlink(&format!("f{n}")));
    volume.writeback.commit(&[]).unwrap();
    (5900..6000).for_each(|n| unlink(&format!("f{n}")));
    let removed = || store.log().iter().filter(|event| event.call == Call::Remove).count();
    assert_eq!(removed(), 0);
    volume.checkpoint().unwrap();
    assert!(removed() >= 6000);
}

/// Where syncfs does nothing, as on most FUSE filesystems, every file is synced by itself however many they are.
#[test]
fn many_files_are_synced_one_by_one_where_one_syncfs_does_not_do() {
    for complete in [true, false] {
        let (fixture, memory) = (Fixture::new(), Arc::new(Memory::new()));
        let store = if complete { Faulty::new(memory) } else { Faulty::without_sync_all(memory) };
        let store = Arc::new(store);
        let volume = fixture.format(store.clone());
        let inodes: Vec<_> = (0..32).map(|n| file(&volume, &format!("f{n}"), &pattern(5000, n))).collect();
        volume.writeback.commit(&[]).unwrap();
        store.reset();
        volume.writeback.flush(&inodes).unwrap();
        let counts = store.counts();
        let (alone, together) = if complete { (0, 1) } else { (32, 0) };
        assert_eq!((counts.syncs, counts.sync_alls), (alone, together));
    }
}

/// A mount answers before all chunk files are listed, however many there are; what there is to merge is looked for all the
/// same, even if the volume is closed at once.
#[test]
fn whoever_starts_a_volume_does_not_wait_for_a_list_of_all_files() {
    let fixture = Fixture::new();
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    fixture.format(store.clone()).close().unwrap();
    let volume = fixture.open(store.clone());
    let listed = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let by = listed.clone();
    store.fail_when(move |event| {
        if event.call == Call::List {
            by.lock().push(std::thread::current().name().map(str::to_owned));
        }
        None
    });
    volume.start().unwrap();
    volume.follow();
    volume.close().unwrap();
    assert_eq!(*listed.lock(), [Some("merge".to_owned())]);
}
