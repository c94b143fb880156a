//! What is no attack raises no alarm: devices in turn, a sync that stops half-way and goes on, two devices at once (row 16,
//! as far as one device can know).

use super::*;
use crate::volume::{Damage, Rename};

/// Reads everything there is, below the root; what cannot be read with its error.
fn read_tree(volume: &Volume) -> BTreeMap<String, Result<Vec<u8>>> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![String::new()]);
    while let Some(at) = waiting.pop() {
        let listed = find(volume, &at).and_then(|inode| list(volume, &inode));
        for name in listed.unwrap_or_default() {
            let path = if at.is_empty() { name } else { format!("{at}/{name}") };
            match find(volume, &path) {
                Ok(inode) if inode.is_directory() => waiting.push(path),
                inode => drop(found.insert(path, inode.and_then(|inode| read_all(volume, &inode)))),
            }
        }
    }
    found
}

fn all_right(volume: &Volume) -> BTreeMap<String, Vec<u8>> {
    read_tree(volume).into_iter().map(|(path, content)| (path, content.unwrap())).collect()
}

/// Changes of all kinds: contents, names, sizes, a file that comes and one that goes.
fn work(volume: &Volume, seed: u64) {
    for path in ["small", "blocks", "big", "x/one"] {
        let inode = find(volume, path).unwrap();
        volume.write(&inode, seed * 7, &pattern(700, seed), now(), 0).unwrap();
    }
    let (x, y) = (find(volume, "x").unwrap(), find(volume, "y").unwrap());
    let new = volume.create(&y, format!("new {seed}").as_bytes(), new(Kind::File)).unwrap();
    volume.write(&new, 0, &pattern(6000, seed), now(), 0).unwrap();
    let names = names(volume, &x);
    let two = names.iter().find(|name| name.starts_with("two")).unwrap();
    let moved = format!("two {seed}");
    volume.rename((&x, two.as_bytes()), (&x, moved.as_bytes()), Rename::Replace, None, now()).unwrap();
    if seed % 2 == 1 {
        let gone = file(volume, "passing", b"passing");
        drop(gone);
    } else if let Some(gone) = volume.unlink(&volume.root().unwrap(), b"passing", now()).unwrap() {
        volume.release(gone);
    }
}

#[test]
fn row_16_two_devices_in_turn_and_then_a_rollback() {
    let victim = HostileFixture::new();
    let devices = [victim.fixture.another(victim.fixture.device.0), victim.fixture.another(*b"device 2")];
    let mut before = victim.left.clone();
    for turn in 1..8 {
        let device = &devices[turn as usize % 2];
        let volume = device.try_open(Arc::new(victim.store.clone())).unwrap();
        all_right(&volume);
        before = victim.store.snapshot();
        work(&volume, turn);
        all_right(&volume);
        volume.close().unwrap();
        drop(volume);
        device.remembered.restart();
    }
    // The device that only read the last turn's work knows it all the same.
    let volume = devices[0].try_open(Arc::new(victim.store.clone())).unwrap();
    let small = find(&volume, "small").unwrap();
    let vector = volume.base.context.recall.known(ChunkId::first(small.id()));
    assert_eq!(vector.unwrap().0.len(), 2);
    all_right(&volume);
    volume.close().unwrap();
    drop((small, volume));
    devices[0].remembered.restart();
    victim.store.restore_file(&before, victim.name("small", 0));
    let volume = devices[0].try_open(Arc::new(victim.store.clone())).unwrap();
    assert!(matches!(read_path(&volume, "small"), Err(Error::Damaged(_, Damage::RolledBack { .. }))));
}

/// Another device's work arrives file by file, in any order. Until all of it is there, some cannot be read; nothing of it
/// is ever called older, and what is waited for can be read as soon as it comes, without opening the volume anew.
#[test]
fn a_sync_that_stops_half_way_and_goes_on() {
    for seed in 0..12 {
        let victim = HostileFixture::new();
        let writer = victim.fixture.another(*b"device 2");
        let volume = victim.open().unwrap();
        all_right(&volume);
        volume.close().unwrap();
        drop(volume);
        let here = Memory::new();
        here.restore(&victim.store.snapshot());
        let volume = writer.try_open(Arc::new(victim.store.clone())).unwrap();
        work(&volume, 1);
        volume.checkpoint().unwrap();
        work(&volume, 2);
        volume.close().unwrap();
        drop(volume);
        let expected = all_right(&writer.try_open(Arc::new(victim.store.clone())).unwrap());

        let there = victim.store.snapshot();
        let mut coming: Vec<FileName> = victim.store.names();
        coming.extend(here.names().into_iter().filter(|name| !victim.store.names().contains(name)));
        coming.sort_by_key(|name| name.bytes.map(|byte| byte.wrapping_mul(2 * seed + 1)));
        let half = coming.len() / 2;
        coming[..half].iter().for_each(|name| here.restore_file(&there, *name));
        let volume = victim.fixture.try_open(Arc::new(here.clone())).unwrap();
        for (path, content) in read_tree(&volume) {
            match content {
                Ok(_) | Err(Error::NotArrived(_)) | Err(Error::Damaged(_, Damage::Deleted)) => {}
                Err(error) => panic!("{path}: {error}"),
            }
        }
        let waited: Vec<String> = read_tree(&volume)
            .into_iter()
            .filter(|(_, content)| matches!(content, Err(Error::NotArrived(_))))
            .map(|(path, _)| path)
            .collect();
        coming[half..].iter().for_each(|name| here.restore_file(&there, *name));
        for path in waited.iter().filter(|path| expected.contains_key(*path)) {
            assert!(read_path(&volume, path).unwrap() == expected[path], "{path} has arrived");
        }
        drop(volume);
        let volume = victim.fixture.try_open(Arc::new(here)).unwrap();
        assert!(all_right(&volume) == expected);
    }
}

/// Both devices changed the same files without knowing of each other; the provider kept one of each.
#[test]
fn row_16_two_devices_at_once_are_a_conflict_and_no_attack() {
    let victim = HostileFixture::new();
    let other = victim.fixture.another(*b"device 2");
    let theirs = Memory::new();
    theirs.restore(&victim.left);
    for (device, store) in [(&victim.fixture, &victim.store), (&other, &theirs)] {
        let volume = device.try_open(Arc::new(store.clone())).unwrap();
        for path in ["small", "blocks"] {
            let inode = find(&volume, path).unwrap();
            volume.write(&inode, 0, &device.device.0, now(), 0).unwrap();
        }
        volume.close().unwrap();
    }
    let kept = theirs.snapshot();
    ["small", "blocks"].iter().for_each(|path| victim.store.restore_file(&kept, victim.name(path, 0)));
    for _ in 0..2 {
        let volume = victim.open().unwrap();
        for path in ["small", "blocks"] {
            assert!(read_path(&volume, path).unwrap().starts_with(b"device 2"));
        }
        volume.close().unwrap();
        victim.fixture.remembered.restart();
    }
}

/// The program is killed at any time, and what was not written down is forgotten.
#[test]
fn a_memory_that_is_behind() {
    let victim = HostileFixture::new();
    let known = victim.fixture.remembered.snapshot();
    for seed in 1..6 {
        let volume = victim.open().unwrap();
        work(&volume, seed);
        volume.checkpoint().unwrap();
        match seed % 3 {
            0 => victim.fixture.remembered.restore(&known),
            1 => victim.fixture.remembered.restart(),
            _ => victim.forget(),
        }
        drop(volume);
        all_right(&victim.open().unwrap());
    }
}
