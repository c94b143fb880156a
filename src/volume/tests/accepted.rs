//! What is accepted can be stored: a disk that fills up, by us or by another program, is told to whoever writes.

use super::disk::{Disk, of_size};
use super::*;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::{Error, Rename, Result};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Files by name, as they were accepted.
type Files = BTreeMap<String, Vec<u8>>;

/// Ends the volume while another program holds all the space that is left, and looks at what is there.
fn check_stored(fixture: &Fixture, volume: Arc<Volume>, disk: &Mutex<Disk>, wanted: &Files) {
    disk.lock().others_take(usize::MAX);
    assert_eq!(disk.lock().free(), 0);
    volume.close().expect("all that was accepted can be stored");
    let store = volume.base.context.store.clone();
    drop(volume);
    let volume = fixture.open(store);
    let found: Files = names(&volume, &volume.root().unwrap())
        .into_iter()
        .map(|name| (name.clone(), look(&volume, &name).unwrap()))
        .collect();
    for (name, content) in wanted {
        let other = found.get(name).and_then(|found| found.iter().zip(content).position(|(a, b)| a != b));
        assert_eq!(other, None, "{name} of {} bytes", content.len());
        let is_right = found.get(name) == Some(content);
        assert!(is_right, "{name}: {} bytes, of {}", found.get(name).map_or(0, Vec::len), content.len());
    }
    assert_eq!(found.len(), wanted.len());
}

fn try_file(volume: &Volume, name: &str, content: &[u8]) -> Result<()> {
    let root = volume.root().unwrap();
    let inode = volume.create(&root, name.as_bytes(), new(Kind::File))?;
    let written = volume.write(&inode, 0, content, now(), 0);
    if written.is_err()
        && let Some(gone) = volume.unlink(&root, name.as_bytes(), now()).unwrap()
    {
        drop(inode);
        volume.release(gone);
    }
    written
}

/// Fills the disk with files of one size, and returns those that were accepted.
fn fill(volume: &Volume, length: usize) -> Files {
    let mut accepted = Files::new();
    loop {
        let name = format!("f{}", accepted.len());
        let content = pattern(length, accepted.len() as u64);
        match try_file(volume, &name, &content) {
            Ok(()) => drop(accepted.insert(name, content)),
            Err(Error::NoSpace) => return accepted,
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

/// After this process dies, on a disk that has room again.
fn has_all_after_a_death(fixture: &Fixture, volume: Arc<Volume>, disk: &Mutex<Disk>, accepted: Files) {
    let store = volume.base.context.store.clone();
    drop(volume);
    disk.lock().others_take(0);
    let volume = fixture.open(store);
    for (name, content) in accepted {
        assert!(look(&volume, &name).as_deref() == Some(&content), "{name}");
    }
}

#[test]
fn files_that_are_accepted_on_a_full_disk_are_stored() {
    for length in [0, 10, 3000, 5000, 100_000, 1_200_000] {
        let (store, disk) = of_size(3000);
        let fixture = Fixture::new();
        let volume = fixture.format(store);
        let accepted = fill(&volume, length);
        println!("{} files of {length} bytes", accepted.len());
        assert!(accepted.len() > 3, "{length}: full after {}", accepted.len());
        check_stored(&fixture, volume, &disk, &accepted);
    }
}

/// That these tests can fail: where nothing is held, and much seems to be left, some of what is accepted cannot be stored.
#[test]
fn what_nothing_is_held_for_is_not_stored() {
    let (store, disk) = of_size(3000);
    disk.lock().holds_nothing = true;
    let volume = Fixture::new().format(store);
    fill(&volume, 3000);
    disk.lock().others_take(usize::MAX);
    assert!(matches!(volume.close(), Err(Error::NoSpace)));
}

/// A quota that the filesystem does not tell, as that of btrfs: once it was met, what is accepted is stored.
#[test]
fn once_a_quota_was_met_what_is_accepted_is_stored() {
    let (store, disk) = of_size(3000);
    disk.lock().holds_nothing = true;
    let fixture = Fixture::new();
    let volume = fixture.format(store);
    // The journal is in use, and has room ahead.
    try_file(&volume, "before", b"").unwrap();
    volume.sync_all().unwrap();
    disk.lock().others_take(usize::MAX);
    assert!(matches!(try_file(&volume, "large", &pattern(4 << 20, 1)), Err(Error::NoSpace)));
    {
        let mut disk = disk.lock();
        disk.others_take(0);
        let free = disk.free();
        disk.others_take(free - 100);
    }
    let accepted = fill(&volume, 3000);
    assert!(!accepted.is_empty());
    has_all_after_a_death(&fixture, volume, &disk, accepted);
}

/// What comes once space runs out, where none can be held, would take it from what was accepted until then.
#[test]
fn what_was_accepted_before_space_ran_out_is_stored_first() {
    let (store, disk) = of_size(20_000);
    disk.lock().holds_nothing = true;
    let fixture = Fixture::new();
    let volume = fixture.format(store);
    let accepted: Files = (0..5).map(|n| (format!("f{n}"), pattern(3 << 20, n))).collect();
    accepted.iter().for_each(|(name, content)| drop(file(&volume, name, content)));
    volume.base.context.headroom.be_careful();
    try_file(&volume, "last", b"last").unwrap();
    disk.lock().others_take(usize::MAX);
    has_all_after_a_death(&fixture, volume, &disk, accepted);
}

/// To the last block, by us, where nothing is written in place: what deletes has to be stored before anything goes.
#[test]
fn a_disk_that_is_full_of_our_own_files_is_emptied_by_deleting() {
    let (store, disk) = of_size(3000);
    (disk.lock().holds_nothing, disk.lock().copies) = (true, true);
    let fixture = Fixture::new();
    let volume = fixture.format(store);
    let root = volume.root().unwrap();
    let mut accepted = Files::new();
    for number in 0.. {
        volume.base.context.headroom.be_careful();
        let (name, content) = (format!("f{number}"), pattern(200_000, number));
        match try_file(&volume, &name, &content) {
            Ok(()) => drop(accepted.insert(name, content)),
            Err(Error::NoSpace) => break,
            Err(error) => panic!("{error}"),
        }
        volume.checkpoint().unwrap();
    }
    disk.lock().others_take(usize::MAX);
    for name in ["f0", "f1"] {
        let gone = volume.unlink(&root, name.as_bytes(), now()).unwrap().expect("its last name");
        volume.release(gone);
        accepted.remove(name);
    }
    volume.checkpoint().expect("what was deleted goes");
    assert!(disk.lock().free() > 90, "{} blocks", disk.lock().free());
    try_file(&volume, "after", b"after").unwrap();
    accepted.insert("after".into(), b"after".into());
    drop(root);
    check_stored(&fixture, volume, &disk, &accepted);
}

/// Where nothing can be held each change of names is stored at once: one that cannot be is refused, and is not there.
#[test]
fn names_that_are_refused_are_not_there() {
    let (store, disk) = of_size(3000);
    let fixture = Fixture::new();
    let volume = fixture.format(store);
    let root = volume.root().unwrap();
    let inode = volume.create(&root, b"there", new(Kind::File)).unwrap();
    volume.sync_all().unwrap();
    disk.lock().holds_nothing = true;
    disk.lock().others_take(usize::MAX);
    let counter = std::cell::Cell::new(0);
    let next = || counter.replace(counter.get() + 1);
    let refused = |change: &dyn Fn(&[u8]) -> Result<()>| {
        (0..10_000).map(|_| format!("{}{}", next(), "n".repeat(200))).find(|name| {
            volume.base.context.headroom.be_careful();
            match change(name.as_bytes()) {
                Ok(()) => false,
                Err(Error::NoSpace) => true,
                Err(error) => panic!("{error}"),
            }
        })
    };
    let is_there = |name: &[u8]| volume.entry(&root, name).unwrap().is_some();
    for kind in [Kind::File, Kind::Directory] {
        let name =
            refused(&|name| volume.create(&root, name, new(kind)).map(drop)).expect("it is full at last");
        assert!(!is_there(name.as_bytes()), "{name}");
    }
    let name = refused(&|name| volume.link(&inode, &root, name, now())).expect("it is full");
    assert!(!is_there(name.as_bytes()) && inode.view(|record| record.links_count) == 1, "{name}");
    let called = std::cell::RefCell::new(b"there".to_vec());
    let name = refused(&|name| {
        volume.rename((&root, &called.borrow()), (&root, name), Rename::Replace, None, now())?;
        called.replace(name.to_vec());
        Ok(())
    });
    let name = name.expect("it is full");
    assert!(!is_there(name.as_bytes()) && is_there(&called.borrow()), "{name}");
}

/// What takes the place of another name cannot be taken back: a refusal would leave the kernel with the file that was there,
/// and what is written to that later would be lost.
#[test]
fn a_rename_over_another_name_is_done_or_refused() {
    for how in [Rename::Replace, Rename::Exchange] {
        let (store, disk) = of_size(3000);
        let fixture = Fixture::new();
        let volume = fixture.format(store);
        let root = volume.root().unwrap();
        let [new_one, old_one] = ["new", "old"].map(|name| file(&volume, name, name.as_bytes()).id());
        volume.sync_all().unwrap();
        disk.lock().holds_nothing = true;
        disk.lock().others_take(usize::MAX);
        let fits = |number: &usize| {
            volume.base.context.headroom.be_careful();
            let name = format!("{number}{}", "n".repeat(200));
            volume.create(&root, name.as_bytes(), new(Kind::File)).is_ok()
        };
        let full = (0..10_000).find(|number| !fits(number));
        assert!(full.is_some(), "it is full at last");
        volume.base.context.headroom.be_careful();
        let renamed = volume.rename((&root, b"new"), (&root, b"old"), how, None, now());
        let found = volume.entry(&root, b"old").unwrap().unwrap().0;
        let wanted = if renamed.is_ok() { new_one } else { old_one };
        assert_eq!(found, wanted, "{how:?}: {:?}", renamed.as_ref().err());
        if let Some(replaced) = renamed.unwrap_or_default() {
            volume.release(replaced);
        }
        disk.lock().others_take(0);
        drop(root);
        volume.close().unwrap();
        let volume = fixture.open(volume.base.context.store.clone());
        let content = if found == new_one { "new" } else { "old" };
        assert_eq!(look(&volume, "old").as_deref(), Some(content.as_bytes()), "{how:?}");
    }
}

/// A refusal would leave the kernel with content that is gone, and that is gone for everybody after the next mount.
#[test]
fn a_file_is_made_smaller_or_stays_as_it_is() {
    for size in [0, 100, 8192] {
        let (store, disk) = of_size(3000);
        let fixture = Fixture::new();
        let volume = fixture.format(store);
        let inode = file(&volume, "f", &pattern(20_000, 1));
        volume.sync_all().unwrap();
        (disk.lock().holds_nothing, disk.lock().copies) = (true, true);
        disk.lock().others_take(usize::MAX);
        volume.base.context.headroom.be_careful();
        let resized = volume.resize(&inode, size, now(), 0);
        let found = inode.view(|record| record.size);
        assert_eq!(found, if resized.is_ok() { size } else { 20_000 }, "{resized:?}");
        volume.base.context.headroom.be_careful();
        let punched = volume.punch(&inode, 0, 4096, now());
        let mut wanted = pattern(20_000, 1);
        wanted.truncate(found as usize);
        if punched.is_ok() {
            let end = wanted.len().min(4096);
            wanted[..end].fill(0);
        }
        assert!(content(&volume, &inode) == wanted, "{size}: {punched:?}");
        disk.lock().others_take(0);
        drop(inode);
        volume.close().unwrap();
        let volume = fixture.open(volume.base.context.store.clone());
        assert!(look(&volume, "f").as_deref() == Some(&wanted), "{size}");
    }
}

/// One that is refused its name has none, keeps its content, and takes another name once there is space.
#[test]
fn a_file_without_a_name_is_refused_one_while_there_is_no_space() {
    for length in [3000, 100_000] {
        let (store, disk) = of_size(3000);
        let fixture = Fixture::new();
        let volume = fixture.format(store);
        let root = volume.root().unwrap();
        let content = pattern(length, 1);
        let nameless = || {
            let inode = volume.create_nameless(&root, new(Kind::File)).unwrap();
            volume.write(&inode, 0, &content, now(), 0).unwrap();
            inode
        };
        let (named, never) = (nameless(), nameless());
        disk.lock().holds_nothing = true;
        disk.lock().others_take(usize::MAX);
        let refused = |inode: &Arc<Inode>, name: &[u8]| {
            volume.base.context.headroom.be_careful();
            let linked = volume.link(inode, &root, name, now());
            assert!(matches!(linked, Err(Error::NoSpace)), "{length}: {linked:?}");
            assert!(volume.entry(&root, name).unwrap().is_none());
            assert_eq!(inode.view(|record| record.links_count), 0);
            assert!(super::content(&volume, inode) == content);
        };
        // The journal has some room ahead, which names take first.
        let small = |number: usize| {
            volume.base.context.headroom.be_careful();
            volume.create(&root, format!("{number}{}", "n".repeat(200)).as_bytes(), new(Kind::File)).is_ok()
        };
        let full = (0..10_000).find(|number| !small(*number)).expect("it is full at last");
        [b"1", b"2"].iter().for_each(|name| refused(&named, *name));
        refused(&never, b"never");
        disk.lock().others_take(0);
        volume.link(&named, &root, b"named", now()).unwrap();
        volume.release(never);
        drop((named, root));
        volume.close().unwrap();
        let volume = fixture.open(volume.base.context.store.clone());
        assert!(look(&volume, "named").as_deref() == Some(&content), "{length}");
        assert_eq!(names(&volume, &volume.root().unwrap()).len(), full + 1);
    }
}

/// At once, or just before it is stored.
#[test]
fn another_program_may_take_all_that_is_left() {
    let (store, disk) = of_size(1500);
    let fixture = Fixture::new();
    let volume = fixture.format(store);
    let mut accepted = Files::new();
    for n in 0..50 {
        let (name, content) = (format!("f{n}"), pattern(n * 500, n as u64));
        try_file(&volume, &name, &content).unwrap();
        accepted.insert(name, content);
        if n == 20 {
            disk.lock().others_take(usize::MAX);
            assert!(matches!(try_file(&volume, "large", &pattern(4 << 20, 1)), Err(Error::NoSpace)));
            disk.lock().others_take(0);
        }
    }
    check_stored(&fixture, volume, &disk, &accepted);
}

/// Everything that a file goes through, on a disk that is nearly full all the time.
#[test]
fn whatever_is_accepted_at_random_is_stored() {
    let mut rng = TestRng(seed());
    for _ in 0..variable("CRYPTFS_FULL_ROUNDS").unwrap_or(2) {
        lower_limits(1 << 20, 20_000, 8192);
        let blocks = 700 + rng.below(1500);
        let (store, disk) = of_size(blocks);
        let fixture = Fixture::new();
        let volume = fixture.format(store);
        let mut files = Files::new();
        for step in 0..200 {
            act(&mut rng, &volume, &disk, &mut files, step);
        }
        check_stored(&fixture, volume, &disk, &files);
    }
}

fn act(rng: &mut TestRng, volume: &Volume, disk: &Mutex<Disk>, files: &mut Files, step: u64) {
    let root = volume.root().unwrap();
    let some = |rng: &mut TestRng, files: &Files| {
        let at = rng.below(files.len());
        files.keys().nth(at).cloned()
    };
    let accepted = |outcome: Result<()>| match outcome {
        Ok(()) => true,
        Err(Error::NoSpace) => false,
        Err(error) => panic!("{error}"),
    };
    let chosen = some(rng, files);
    match (rng.below(12), chosen) {
        (0..=4, _) | (_, None) => {
            let name = format!("{}{step}", "n".repeat(rng.below(200)));
            let content = pattern([0, 100, 3000, 9000, 200_000, 1_300_000][rng.below(6)], step);
            if accepted(try_file(volume, &name, &content)) {
                files.insert(name, content);
            }
        }
        (5 | 6, Some(name)) => {
            let inode = volume.lookup(&root, name.as_bytes()).unwrap().unwrap();
            let at = rng.below(1 + files[&name].len());
            let data = pattern(1 + rng.below(30_000), step);
            let whole = files.get_mut(&name).unwrap();
            if accepted(volume.write(&inode, at as u64, &data, now(), 0)) {
                let end = at + data.len();
                whole.resize(whole.len().max(end), 0);
                whole[at..end].copy_from_slice(&data);
            } else {
                // A part of it may have been.
                let size = whole.len();
                *whole = content(volume, &inode);
                assert_eq!(whole.len(), size);
            }
        }
        (7, Some(name)) => {
            let to = format!("{}{step}", "r".repeat(rng.below(200)));
            let to = if rng.below(2) == 0 { some(rng, files).unwrap() } else { to };
            let renamed =
                volume.rename((&root, name.as_bytes()), (&root, to.as_bytes()), Rename::Replace, None, now());
            if accepted(renamed.map(|replaced| replaced.into_iter().for_each(|gone| volume.release(gone))))
                && name != to
            {
                let content = files.remove(&name).unwrap();
                files.insert(to, content);
            }
        }
        (8, Some(name)) => {
            if let Some(gone) = volume.unlink(&root, name.as_bytes(), now()).unwrap() {
                volume.release(gone);
            }
            files.remove(&name);
        }
        (9, Some(name)) => {
            let inode = volume.lookup(&root, name.as_bytes()).unwrap().unwrap();
            let size = rng.below(1_500_000);
            if accepted(volume.resize(&inode, size as u64, now(), 0)) {
                files.get_mut(&name).unwrap().resize(size, 0);
            }
        }
        (10, Some(name)) => {
            let inode = volume.lookup(&root, name.as_bytes()).unwrap().unwrap();
            let value = pattern(rng.below(6000), step);
            let set = volume.update(&inode, |record| {
                record.extension.xattrs = vec![(b"user.x".as_slice().into(), value)];
                Ok(())
            });
            accepted(set);
        }
        (_, Some(name)) => match rng.below(3) {
            0 => drop(volume.checkpoint()),
            1 => {
                let inode = volume.lookup(&root, name.as_bytes()).unwrap().unwrap();
                accepted(volume.sync(&inode, false));
            }
            _ => disk.lock().others_take(rng.below(1000)),
        },
    }
}
