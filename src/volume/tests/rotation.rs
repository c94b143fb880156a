//! Rotation: everything moves to the newest epoch, and what cannot says so.

use super::*;
use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::store::memory::Memory;
use crate::store::{Area, FileName};
use crate::volume::{Damage, Finding, Remains};
use std::io::IoSlice;
use std::time::{Duration, Instant};

struct Rotation {
    store: Arc<Memory>,
    fixture: Fixture,
    newer: Secret,
}

impl Rotation {
    fn new() -> Rotation {
        Rotation { store: Arc::new(Memory::new()), fixture: Fixture::new(), newer: Secret::random() }
    }

    fn during(&self) -> Arc<Volume> {
        self.open(self.fixture.device, vec![self.newer.duplicate(), self.fixture.content.duplicate()])
            .unwrap()
    }

    fn after(&self) -> crate::volume::Result<Arc<Volume>> {
        self.open(self.fixture.device, vec![self.newer.duplicate()])
    }

    fn open(&self, device: DeviceId, content: Vec<Secret>) -> crate::volume::Result<Arc<Volume>> {
        let context =
            Context::new(self.store.clone(), device, Cipher::Aes256Gcm, &self.fixture.name, content);
        // Another device has a memory of its own.
        let own = device == self.fixture.device;
        let remembered = if own { self.fixture.remembered.clone() } else { Remembered::default() };
        Volume::open(Arc::new(context.remembering(Arc::new(remembered))), options())
    }

    fn reencrypt(&self) -> Remains {
        let volume = self.during();
        let remains = volume.reencrypt(&mut |_, _| true).unwrap();
        volume.close().unwrap();
        remains
    }

    fn bytes(&self, name: FileName) -> Vec<u8> {
        let file = self.store.open(name).unwrap();
        let mut bytes = vec![0; file.length().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        bytes
    }

    fn put(&self, name: FileName, bytes: &[u8]) {
        self.store.create(name).unwrap().write_at(0, &[IoSlice::new(bytes)]).unwrap();
    }
}

fn is_older(finding: &Finding) -> bool {
    matches!(finding.damage, Some(Damage::RolledBack { .. })) && finding.path == Some(b"file".to_vec())
}

fn size(store: &Memory) -> u64 {
    let mut names = Vec::new();
    store.list(Area::Chunks, &mut |name, _| names.extend(FileName::parse(Area::Chunks, name))).unwrap();
    names.into_iter().map(|name| store.open(name).unwrap().length().unwrap()).sum()
}

#[test]
fn everything_opens_without_the_old_epoch_and_takes_no_more_space() {
    let rotation = Rotation::new();
    let volume = rotation.fixture.format(rotation.store.clone());
    for length in [0, 10, 5000, 300_000, 2_500_000] {
        file(&volume, &format!("f{length}"), &pattern(length, 1));
    }
    // Ended without close: there are batches in the journal.
    volume.checkpoint().unwrap();
    drop(volume);
    let before = size(&rotation.store);
    assert!(rotation.reencrypt().is_empty());
    let volume = rotation.after().unwrap();
    for length in [0, 10, 5000, 300_000, 2_500_000] {
        assert!(look(&volume, &format!("f{length}")).unwrap() == pattern(length, 1), "{length}");
    }
    // A file's four spare slots at its end are not worth a truncation.
    assert!(size(&rotation.store) <= before + 8 * 6 * 4096, "{before} became {}", size(&rotation.store));
    volume.close().unwrap();
    assert!(rotation.open(rotation.fixture.device, vec![rotation.fixture.content.duplicate()]).is_err());
}

#[test]
fn it_can_be_left_and_goes_on() {
    let rotation = Rotation::new();
    let volume = rotation.fixture.format(rotation.store.clone());
    (0..200).for_each(|n| drop(file(&volume, &format!("f{n}"), &pattern(5000, n))));
    volume.close().unwrap();
    let volume = rotation.during();
    volume.reencrypt(&mut |done, _| done < 100).unwrap();
    drop(volume);
    assert!(rotation.reencrypt().is_empty());
    let volume = rotation.after().unwrap();
    (0..200).for_each(|n| assert!(look(&volume, &format!("f{n}")).unwrap() == pattern(5000, n), "{n}"));
}

#[test]
fn beside_other_work_it_takes_a_fifth_of_the_time() {
    let rotation = Rotation::new();
    let volume = rotation.fixture.format(rotation.store.clone());
    (0..200).for_each(|n| drop(file(&volume, &format!("f{n}"), &pattern(5000, n))));
    file(&volume, "large", &pattern(20_000_000, 1));
    volume.close().unwrap();
    let volume = rotation.during();
    let (start, mut rests) = (Instant::now(), Duration::ZERO);
    let rest = &mut |time| {
        rests += time;
        true
    };
    assert!(volume.rotation.reencrypt_gently(rest).unwrap().is_empty());
    let worked = start.elapsed();
    assert!(rests > worked * 7 / 2, "{rests:?} of rest for {worked:?} of work");
    volume.close().unwrap();
    rotation.after().unwrap().close().unwrap();
}

#[test]
fn another_devices_journal_is_in_the_way() {
    let rotation = Rotation::new();
    rotation.fixture.format(rotation.store.clone()).close().unwrap();
    let other = DeviceId(*b"device 2");
    let volume = rotation.open(other, vec![rotation.fixture.content.duplicate()]).unwrap();
    file(&volume, "file", b"content");
    volume.close().unwrap();
    assert_eq!(rotation.reencrypt().journals, [other]);
    let both = vec![rotation.newer.duplicate(), rotation.fixture.content.duplicate()];
    rotation.open(other, both).unwrap().close().unwrap();
    assert!(rotation.reencrypt().is_empty());
    assert!(rotation.open(other, vec![rotation.newer.duplicate()]).is_ok());
}

/// A chunk that was rolled back must not come out of a rotation as if it were new.
#[test]
fn a_rolled_back_chunk_stays_one() {
    let rotation = Rotation::new();
    let volume = rotation.fixture.format(rotation.store.clone());
    let inode = file(&volume, "file", &pattern(1_500_000, 1));
    let id = ChunkId { inode: inode.id(), index: ChunkIndex(1) };
    volume.checkpoint().unwrap();
    let name = volume.base.context.file_name(id);
    let older = rotation.bytes(name);
    // Another chunk 1, with a bound of its own.
    volume.resize(&inode, 1000, now(), 0).unwrap();
    volume.checkpoint().unwrap();
    volume.write(&inode, 0, &pattern(1_500_000, 2), now(), 0).unwrap();
    drop(inode);
    volume.close().unwrap();
    rotation.put(name, &older);
    let remains = rotation.reencrypt();
    assert_eq!(remains.chunks.len(), 1);
    assert!(is_older(&remains.chunks[0]), "{:?}", remains.chunks[0]);
    assert_eq!(rotation.bytes(name), older);
}

/// Nothing in the volume refers to the newer one, but this device remembers it.
#[test]
fn a_rolled_back_file_stays_one() {
    let rotation = Rotation::new();
    let volume = rotation.fixture.format(rotation.store.clone());
    let inode = file(&volume, "file", b"older");
    let name = volume.base.context.file_name(ChunkId::first(inode.id()));
    volume.checkpoint().unwrap();
    let older = rotation.bytes(name);
    volume.write(&inode, 0, b"newer", now(), 0).unwrap();
    drop(inode);
    volume.close().unwrap();
    let newer = rotation.bytes(name);
    rotation.put(name, &older);
    let remains = rotation.reencrypt();
    assert!(remains.chunks.len() == 1 && is_older(&remains.chunks[0]));
    assert_eq!(rotation.bytes(name), older);
    rotation.put(name, &newer);
    assert!(rotation.reencrypt().is_empty());
    assert_eq!(look(&rotation.after().unwrap(), "file").unwrap(), b"newer");
}

/// What has not arrived yet may need the old key, if the volume speaks of it.
#[test]
fn half_a_file_is_in_the_way_if_a_name_leads_to_it() {
    for cut in [0, 4096] {
        let rotation = Rotation::new();
        let volume = rotation.fixture.format(rotation.store.clone());
        let folder = volume.create(&volume.root().unwrap(), b"folder", new(Kind::Directory)).unwrap();
        let inode = volume.create(&folder, b"file", new(Kind::File)).unwrap();
        volume.write(&inode, 0, &pattern(1_500_000, 1), now(), 0).unwrap();
        let file_name = |id| volume.base.context.file_name(id);
        let chunk = |inode: InodeId, index| file_name(ChunkId { inode, index: ChunkIndex(index) });
        let strays = [chunk(InodeId([7; 12]), 0), chunk(InodeId([8; 12]), 1), chunk(inode.id(), 9)];
        let (named, folder_file) = ([0, 1].map(|index| chunk(inode.id(), index)), chunk(folder.id(), 0));
        drop((inode, folder));
        volume.close().unwrap();
        drop(volume);
        rotation.fixture.remembered.restore(&Default::default());
        let put = |name, bytes: &[u8]| rotation.put(name, &bytes[..bytes.len().min(cut)]);
        strays[..2].iter().for_each(|stray| put(*stray, &[5; 4096]));
        for name in named {
            let whole = rotation.bytes(name);
            put(name, &whole);
            let remains = rotation.reencrypt().chunks;
            let [Finding { file, path: Some(path), damage: None, .. }] = &remains[..] else {
                panic!("{remains:?}")
            };
            assert!(*file == name && path == b"folder/file");
            rotation.put(name, &whole);
        }
        // The file, which can be read, denies it.
        put(strays[2], &[5; 4096]);
        // Nobody knows what a directory that cannot be read would have named.
        let whole = rotation.bytes(folder_file);
        rotation.put(folder_file, &[5; 3 * 4096]);
        assert_eq!(rotation.reencrypt().chunks.len(), 2);
        rotation.put(folder_file, &whole);
        assert!(rotation.reencrypt().is_empty(), "of what was planted nothing is in the way");
        assert!(rotation.after().unwrap().close().is_ok());
    }
}

#[test]
fn files_that_open_under_no_epoch_are_not_in_the_way() {
    let rotation = Rotation::new();
    let volume = rotation.fixture.format(rotation.store.clone());
    let garbage = volume.base.context.file_name(ChunkId::first(InodeId([7; 12])));
    volume.close().unwrap();
    rotation.put(garbage, &[5; 3 * 4096]);
    assert!(rotation.reencrypt().is_empty());
}
