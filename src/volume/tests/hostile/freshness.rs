//! Rows 9, 13, 14, 15 and 27: whatever is older than this device has seen it, by itself or all of it together; and what
//! looks like it and is none.

use super::*;
use crate::chunk;
use crate::chunk::ChunkIndex;
use crate::volume::{Damage, mutants};
use std::panic::catch_unwind;

/// What a chunk turned out to be, if it was rolled back or deleted.
fn damage_of<T>(outcome: Result<T>) -> (ChunkId, Damage) {
    match outcome.map(drop) {
        Err(Error::Damaged(chunk, damage)) => (chunk, damage),
        outcome => panic!("{outcome:?}"),
    }
}

fn is_rolled_back<T>(outcome: Result<T>, chunk: ChunkId) {
    let (found, damage) = damage_of(outcome);
    assert!(
        found == chunk && matches!(damage, Damage::RolledBack { found, known } if found < known),
        "{damage:?}"
    );
}

impl HostileFixture {
    fn chunk(&self, path: &str, index: u32) -> ChunkId {
        ChunkId { inode: self.ids[path], index: ChunkIndex(index) }
    }

    fn journal(&self) -> ChunkId {
        self.fixture.context(Arc::new(self.store.clone())).own_journal()
    }

    fn all_bytes(&self) -> BTreeMap<FileName, Vec<u8>> {
        self.store.names().into_iter().map(|name| (name, self.bytes(name))).collect()
    }

    /// A session that writes to these paths; everything was left well.
    pub(super) fn write(&self, paths: &[&str], content: &[u8]) {
        let volume = self.open().unwrap();
        for path in paths {
            volume.write(&find(&volume, path).unwrap(), 0, content, now(), 0).unwrap();
        }
        volume.close().unwrap();
        drop(volume);
        self.fixture.remembered.restart();
    }
}

#[test]
fn row_13_an_older_chunk_of_a_file() {
    for path in ["small", "blocks", "x/one", "big"] {
        let victim = HostileFixture::new();
        victim.write(&[path], b"newer");
        victim.store.restore_file(&victim.left, victim.name(path, 0));
        let volume = victim.open().unwrap();
        is_rolled_back(read_path(&volume, path), victim.chunk(path, 0));
        for (other, content) in victim.files.iter().filter(|(other, _)| **other != path) {
            assert!(read_path(&volume, other).unwrap() == *content, "{other} was not touched");
        }
        assert!(names(&volume, &volume.root().unwrap()).contains(&path.split('/').next().unwrap().into()));
        // It can be removed, and is gone then.
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = find(&volume, parent).unwrap();
        assert!(volume.unlink(&parent, name.as_bytes(), now()).unwrap().is_none());
        drop(parent);
        volume.close().unwrap();
    }
}

/// Neither chunk 0 nor its table changed when the second chunk was overwritten.
#[test]
fn row_13_an_older_further_chunk() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let inode = find(&volume, "big").unwrap();
    volume.write(&inode, CHUNK + 5, b"newer", now(), 0).unwrap();
    drop(inode);
    volume.close().unwrap();
    drop(volume);
    victim.fixture.remembered.restart();
    victim.store.restore_file(&victim.left, victim.name("big", 1));
    let volume = victim.open().unwrap();
    let inode = find(&volume, "big").unwrap();
    is_rolled_back(read_all(&volume, &inode), victim.chunk("big", 1));
    let mut first = vec![0; 100];
    volume.read(&inode, 0, &mut first).unwrap();
    assert!(first == victim.files["big"][..100], "the other chunks can be read");
}

#[test]
fn row_13_an_older_directory_and_row_09_with_what_it_names() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let x = find(&volume, "x").unwrap();
    volume.release(volume.unlink(&x, b"one", now()).unwrap().unwrap());
    drop(x);
    volume.close().unwrap();
    drop(volume);
    victim.fixture.remembered.restart();
    for path in ["x", "x/one"] {
        victim.store.restore_file(&victim.left, victim.name(path, 0));
    }
    let volume = victim.open().unwrap();
    is_rolled_back(read_path(&volume, "x/one"), victim.chunk("x", 0));
    assert!(read_path(&volume, "y/one").unwrap() == victim.files["y/one"]);
}

/// Spoiling the newest root brings the one before to light, which is authentic and older.
#[test]
fn row_13_a_corrupt_root_does_not_bring_the_one_before_back() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let inode = find(&volume, "small").unwrap();
    volume.write(&inode, 0, b"newer", now(), 0).unwrap();
    // Durable, and not settled yet.
    volume.writeback.flush(std::slice::from_ref(&inode)).unwrap();
    drop((inode, volume));
    let name = victim.name("small", 0);
    let whole = victim.bytes(name);
    let mut rolled_back = 0;
    for root in 0..2 {
        let mut bytes = whole.clone();
        bytes[root * BLOCK + 100] ^= 1;
        victim.put(name, &bytes);
        match read_path(&victim.open().unwrap(), "small") {
            Ok(content) => assert!(content.starts_with(b"newer")),
            outcome => {
                is_rolled_back(outcome, victim.chunk("small", 0));
                rolled_back += 1;
            }
        }
    }
    assert_eq!(rolled_back, 1);
}

/// Two chunk files of one file, each authentic, of different times.
#[test]
fn row_14_chunk_files_of_two_versions_of_one_file() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let inode = find(&volume, "big").unwrap();
    volume.write(&inode, 0, &pattern(2_300_000, 99), now(), 0).unwrap();
    drop(inode);
    volume.close().unwrap();
    drop(volume);
    let newer = victim.store.snapshot();
    let known = victim.fixture.remembered.snapshot();
    for mix in 1..8_u32 {
        victim.store.restore(&newer);
        victim.fixture.remembered.restore(&known);
        let old = (0..3).filter(|index| mix >> index & 1 == 1);
        old.clone().for_each(|index| victim.store.restore_file(&victim.left, victim.name("big", index)));
        let volume = victim.open().unwrap();
        if mix & 1 == 1 {
            is_rolled_back(find(&volume, "big"), victim.chunk("big", 0));
            continue;
        }
        let bad = bad_blocks(&volume, &find(&volume, "big").unwrap(), &pattern(2_300_000, 99));
        let chunks: std::collections::BTreeSet<u32> =
            bad.iter().map(|block| GEOMETRY.locate((block * BLOCK) as u64).0.0).collect();
        assert_eq!(chunks.into_iter().collect::<Vec<_>>(), old.collect::<Vec<_>>());
    }
}

#[test]
fn row_15_the_whole_volume_as_it_was_before() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    file(&volume, "another name", b"");
    volume.close().unwrap();
    drop(volume);
    victim.fixture.remembered.restart();
    victim.store.restore(&victim.left);
    let before = victim.all_bytes();
    is_rolled_back(victim.open(), victim.journal());
    assert!(victim.all_bytes() == before, "nothing was written");

    // Where only content changed, neither the journal nor the root directory did: each file tells by itself.
    let victim = HostileFixture::new();
    victim.write(&["small"], b"newer");
    victim.store.restore(&victim.left);
    is_rolled_back(read_path(&victim.open().unwrap(), "small"), victim.chunk("small", 0));

    // Where the journal is of the present, the root directory tells.
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    file(&volume, "another name", b"");
    volume.close().unwrap();
    drop(volume);
    victim.fixture.remembered.restart();
    victim.store.restore_file(&victim.left, victim.name("", 0));
    is_rolled_back(victim.open(), victim.chunk("", 0));
}

#[test]
fn row_15_the_own_journal_is_gone() {
    let victim = HostileFixture::new();
    let journal = victim.journal();
    victim.store.remove(victim.file_name(journal)).unwrap();
    assert_eq!(damage_of(victim.open()), (journal, Damage::Deleted));
}

/// A device that never saw the newer state cannot know.
#[test]
fn row_15_a_device_without_a_memory_takes_what_it_finds() {
    let victim = HostileFixture::new();
    victim.write(&["small"], b"newer");
    victim.store.restore(&victim.left);
    victim.forget();
    let volume = victim.open().unwrap();
    assert!(read_path(&volume, "small").unwrap() == victim.files["small"]);
}

/// While it is open, a file is what it was; opened again, an older one is noticed. Nothing is acknowledged against a
/// file that has no name any more.
#[test]
fn row_27_a_chunk_that_is_replaced_while_it_is_open() {
    let victim = HostileFixture::new();
    victim.write(&["small", "blocks"], b"newer");
    let volume = victim.open().unwrap();
    for path in ["small", "blocks"] {
        let inode = find(&volume, path).unwrap();
        victim.store.restore_file(&victim.left, victim.name(path, 0));
        assert!(read_all(&volume, &inode).unwrap().starts_with(b"newer"));
        volume.write(&inode, 1, b"more", now(), 0).unwrap();
        let (chunk, damage) = damage_of(volume.sync(&inode, false));
        assert_eq!((chunk, damage), (victim.chunk(path, 0), Damage::Replaced));
    }
    drop(volume);
    let volume = victim.open().unwrap();
    for path in ["small", "blocks"] {
        is_rolled_back(read_path(&volume, path), victim.chunk(path, 0));
    }
}

/// Between two openings within one mount.
#[test]
fn row_27_a_chunk_that_is_replaced_between_check_and_use() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let inode = find(&volume, "blocks").unwrap();
    volume.write(&inode, 0, b"newer", now(), 0).unwrap();
    volume.checkpoint().unwrap();
    volume.release(inode);
    victim.store.restore_file(&victim.left, victim.name("blocks", 0));
    is_rolled_back(read_path(&volume, "blocks"), victim.chunk("blocks", 0));
}

/// What a session only read, this device has seen all the same.
#[test]
fn row_13_what_was_only_read_is_remembered() {
    let victim = HostileFixture::new();
    victim.write(&["small", "blocks"], b"newer");
    victim.forget();
    let volume = victim.open().unwrap();
    for path in ["small", "blocks"] {
        assert!(read_path(&volume, path).unwrap().starts_with(b"newer"));
    }
    volume.close().unwrap();
    drop(volume);
    victim.fixture.remembered.restart();
    for path in ["small", "blocks"] {
        victim.store.restore_file(&victim.left, victim.name(path, 0));
        is_rolled_back(read_path(&victim.open().unwrap(), path), victim.chunk(path, 0));
    }
}

/// After a crash a live batch makes a chunk 0 anew that never came to be; one that was durable is damaged, and would
/// come back empty.
#[test]
fn row_01_what_was_durable_is_not_made_anew_from_the_journal() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let root = volume.root().unwrap();
    let (fresh, old) = (file(&volume, "fresh", &pattern(9000, 1)), file(&volume, "old", b"small"));
    volume.sync(&old, false).unwrap();
    volume.sync_directory(&root).unwrap();
    volume.writeback.flush(&[fresh.clone(), old.clone()]).unwrap();
    let chunks = [&fresh, &old].map(|inode| ChunkId::first(inode.id()));
    // Killed: the journal holds the batches that brought both of them.
    drop((root, fresh, old, volume));
    for (chunk, name) in chunks.iter().zip(["fresh", "old"]) {
        let mut bytes = victim.bytes(victim.file_name(*chunk));
        (0..(bytes.len() / BLOCK).min(2)).for_each(|root| bytes[root * BLOCK + 50] ^= 1);
        victim.put(victim.file_name(*chunk), &bytes);
        let volume = victim.open().unwrap();
        assert_damage(&read_path(&volume, name).unwrap_err(), name);
    }
}

/// Each check left out once: some test above notices.
#[test]
fn every_broken_rule_is_noticed() {
    use chunk::mutants::Mutant::{DominatesReversed, RollbackTaken};
    let tests: [fn(); 4] = [
        row_13_an_older_chunk_of_a_file,
        row_15_the_whole_volume_as_it_was_before,
        row_13_what_was_only_read_is_remembered,
        row_01_what_was_durable_is_not_made_anew_from_the_journal,
    ];
    let noticed = || tests.map(|test| catch_unwind(test).is_err());
    for fault in [RollbackTaken, DominatesReversed] {
        chunk::mutants::plant(Some(fault));
        let found = noticed();
        chunk::mutants::plant(None);
        assert_eq!(found, [true, true, true, false], "{fault:?}");
    }
    for (fault, expected) in [
        (mutants::Mutant::NotKeptAtClose, [false, false, true, false]),
        (mutants::Mutant::DamageRebuilt, [false, false, false, true]),
    ] {
        mutants::plant(Some(fault));
        let found = noticed();
        mutants::plant(None);
        assert_eq!(found, expected, "{fault:?}");
    }
}
