//! Rows 37 on: what is not there was not "never there". A chunk file that a journal speaks of and that cannot be read
//! is an error, never an empty file, and nothing is written in its place.

use super::*;
use crate::volume::{Rename, mutants};
use std::panic::catch_unwind;

const CONTENT: usize = 9000;

/// A volume that a device works with, and its files as they were at a time.
struct Live {
    victim: HostileFixture,
    volume: Arc<Volume>,
    id: ChunkId,
}

impl Live {
    /// Another file is made first: from then on ids are reserved, and a batch need not name a file before its content.
    fn new(is_first: bool) -> Live {
        let victim = HostileFixture::new();
        let volume = victim.open().unwrap();
        if !is_first {
            volume.sync(&file(&volume, "before", b"x"), false).unwrap();
        }
        let inode = volume.create(&volume.root().unwrap(), b"fresh", new(Kind::File)).unwrap();
        let id = ChunkId::first(inode.id());
        Live { victim, volume, id }
    }

    fn write(&self) {
        let inode = self.volume.inode(self.id.inode).unwrap();
        self.volume.write(&inode, 0, &pattern(CONTENT, 5), now(), 0).unwrap();
    }

    fn sync(&self) {
        self.volume.sync(&self.volume.inode(self.id.inode).unwrap(), false).unwrap();
    }

    fn name(&self) -> FileName {
        self.victim.file_name(self.id)
    }

    /// What another device finds that has never seen the volume, in a copy of the folder without that chunk file, and
    /// once that was delivered.
    fn check_elsewhere(&self, what: &str) {
        let copy = Memory::new();
        copy.restore(&self.victim.store.snapshot());
        copy.remove(self.name()).unwrap();
        let another = self.victim.fixture.another(*b"device 2");
        let volume = another.open(Arc::new(copy.clone()));
        let found = read_path(&volume, "fresh");
        assert!(matches!(found, Err(Error::NotArrived(id)) if id == self.id), "{what}: {found:?}");
        assert!(read_path(&volume, "small").unwrap() == self.victim.files["small"]);
        volume.checkpoint().unwrap();
        volume.close().unwrap();
        drop(volume);
        assert!(!copy.names().contains(&self.name()), "{what}: something was made in its place");
        copy.restore_file(&self.victim.store.snapshot(), self.name());
        let volume = another.open(Arc::new(copy));
        assert!(read_path(&volume, "fresh").unwrap() == pattern(CONTENT, 5), "{what}");
    }
}

/// The device that made the file stays mounted, and its journal speaks of the file.
#[test]
fn row_37_a_chunk_file_of_another_devices_journal_has_not_arrived() {
    for is_first in [false, true] {
        let live = Live::new(is_first);
        live.volume.sync_directory(&live.volume.root().unwrap()).unwrap();
        live.write();
        live.volume.writeback.flush(&[live.volume.inode(live.id.inode).unwrap()]).unwrap();
        live.check_elsewhere("flushed");
        live.sync();
        live.check_elsewhere("synced");
        live.volume.checkpoint().unwrap();
        live.check_elsewhere("after a checkpoint");
        file(&live.volume, "later", b"x");
        live.volume.checkpoint().unwrap();
        live.check_elsewhere("after two checkpoints");
    }
}

/// An older journal is put back after its device has left, and the chunk file is gone.
#[test]
fn row_38_an_older_journal_makes_no_empty_file() {
    for is_first in [false, true] {
        let live = Live::new(is_first);
        live.volume.sync_directory(&live.volume.root().unwrap()).unwrap();
        let journal = live.victim.file_name(live.volume.base.context.own_journal());
        let older = live.victim.bytes(journal);
        live.write();
        live.sync();
        live.volume.close().unwrap();
        live.victim.put(journal, &older);
        live.check_elsewhere("an older journal");
    }
}

/// A batch names the file without content; its first content comes after a kill, in another batch. A block of that journal is spoilt, and
/// the device has forgotten what it knew.
#[test]
fn row_39_the_first_content_after_a_kill_is_settled() {
    let Live { victim, volume, id } = Live::new(false);
    volume.sync_directory(&volume.root().unwrap()).unwrap();
    let journal = victim.file_name(volume.base.context.own_journal());
    drop(volume);
    let volume = victim.open().unwrap();
    let inode = volume.inode(id.inode).unwrap();
    volume.write(&inode, 0, &pattern(300, 5), now(), 0).unwrap();
    volume.sync(&inode, false).unwrap();
    let left = victim.bytes(journal);
    for block in 0..left.len() / BLOCK {
        let copy = Memory::new();
        copy.restore(&victim.store.snapshot());
        let mut spoilt = left.clone();
        spoilt[block * BLOCK + BLOCK / 2] ^= 1;
        put(&copy, journal, &spoilt);
        victim.forget();
        let Ok(volume) = victim.fixture.try_open(Arc::new(copy)) else { continue };
        let found = read_path(&volume, "fresh");
        assert!(found.as_ref().map_or(true, |found| *found == pattern(300, 5)), "{block}: {found:?}");
    }
}

/// Content that a batch carries is not what the file is once a chunk file has more.
#[test]
fn row_38_content_of_a_journal_does_not_stand_in_for_a_newer_chunk_file() {
    let live = Live::new(false);
    let inode = live.volume.inode(live.id.inode).unwrap();
    live.volume.write(&inode, 0, b"carried by a batch", now(), 0).unwrap();
    live.sync();
    live.write();
    live.sync();
    live.check_elsewhere("outgrown");
}

/// What became of a chunk file.
const SPOILS: [&str; 6] = ["missing", "empty", "short", "zeros", "garbage", "flipped"];

fn spoilt(bytes: &[u8], how: &str) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    match how {
        "missing" => return None,
        "empty" => bytes.clear(),
        "short" => bytes.truncate(BLOCK / 2),
        "zeros" => bytes.fill(0),
        "garbage" => bytes.fill(7),
        _ => (0..bytes.len()).step_by(BLOCK).for_each(|at| bytes[at + 100] ^= 1),
    }
    Some(bytes)
}

/// The daemon was killed, then the chunk file was spoilt: for whoever made the file it is an error, whether or not the
/// device still remembers, and nothing is written over it. What comes back later reads right.
fn check_at_home(victim: &HostileFixture, id: ChunkId, path: &str, is_right: &dyn Fn(&Volume) -> Result<()>) {
    let (left, name) = (victim.store.snapshot(), victim.file_name(id));
    let (whole, known) = (victim.bytes(name), victim.fixture.remembered.snapshot());
    for (how, forgets) in SPOILS.iter().flat_map(|how| [(how, false), (how, true)]) {
        let what = format!("{path}: {how}, forgotten: {forgets}");
        victim.store.restore(&left);
        victim.fixture.remembered.restore(&if forgets { Default::default() } else { known.clone() });
        let now = spoilt(&whole, how);
        match &now {
            Some(bytes) => victim.put(name, bytes),
            None => victim.store.remove(name).unwrap(),
        }
        for _ in 0..2 {
            let volume = victim.open().unwrap();
            let found = is_right(&volume);
            assert!(found.is_err_and(|error| is_damage(&error)), "{what}: no error");
            volume.checkpoint().unwrap();
            volume.close().unwrap();
            let there = victim.store.names().contains(&name).then(|| victim.bytes(name));
            assert!(there == now, "{what}: something was written over it");
            victim.fixture.remembered.restart();
        }
        victim.put(name, &whole);
        is_right(&victim.open().unwrap()).unwrap_or_else(|error| panic!("{what}: it came back: {error}"));
    }
}

fn is_fresh(content: &[u8]) -> impl Fn(&Volume) -> Result<()> + '_ {
    move |volume| {
        let found = read_path(volume, "fresh")?;
        assert!(found == content, "{} other bytes", found.len());
        Ok(())
    }
}

#[test]
fn row_39_what_fsync_returned_for_is_known_to_the_journal() {
    for (is_first, named_before, small) in [
        (true, false, false),
        (false, false, false),
        (false, true, false),
        (false, false, true),
        (false, true, true),
    ] {
        let live = Live::new(is_first);
        if small {
            let inode = live.volume.inode(live.id.inode).unwrap();
            live.volume.write(&inode, 0, b"carried by a batch", now(), 0).unwrap();
            live.sync();
        }
        if named_before {
            live.volume.sync_directory(&live.volume.root().unwrap()).unwrap();
        }
        live.write();
        live.sync();
        let Live { victim, volume, id } = live;
        drop(volume);
        check_at_home(&victim, id, "fresh", &is_fresh(&pattern(CONTENT, 5)));
    }
}

/// Nobody asked for it to be durable, but it is, and no batch is needed for it any more.
#[test]
fn row_39_what_a_checkpoint_stored_is_not_made_from_a_batch() {
    let live = Live::new(false);
    live.volume.sync_directory(&live.volume.root().unwrap()).unwrap();
    live.write();
    live.volume.checkpoint().unwrap();
    let Live { victim, volume, id } = live;
    drop(volume);
    check_at_home(&victim, id, "fresh", &is_fresh(&pattern(CONTENT, 5)));
}

#[test]
fn row_39_a_directory_that_was_stored_is_not_made_from_a_batch() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let d = volume.create(&volume.root().unwrap(), b"d", new(Kind::Directory)).unwrap();
    volume.create(&d, b"early", new(Kind::File)).unwrap();
    volume.sync_directory(&d).unwrap();
    volume.create(&d, b"late", new(Kind::File)).unwrap();
    volume.checkpoint().unwrap();
    let id = ChunkId::first(d.id());
    drop((d, volume));
    check_at_home(&victim, id, "d", &|volume| {
        let mut found = list(volume, &find(volume, "d")?)?;
        found.sort();
        assert_eq!(found, ["early", "late"]);
        Ok(())
    });
}

/// Nobody was told that it is durable, but what stands there is not what a crash leaves.
#[test]
fn row_39_damage_is_not_taken_for_what_a_crash_left() {
    let live = Live::new(false);
    live.volume.sync_directory(&live.volume.root().unwrap()).unwrap();
    let inode = live.volume.inode(live.id.inode).unwrap();
    for seed in [4, 5] {
        live.volume.write(&inode, 0, &pattern(CONTENT, seed), now(), 0).unwrap();
        live.volume.writeback.flush(std::slice::from_ref(&inode)).unwrap();
    }
    let Live { victim, volume, id } = live;
    drop((inode, volume));
    victim.forget();
    let (name, mut bytes) = (victim.file_name(id), victim.bytes(victim.file_name(id)));
    bytes[100] ^= 1;
    bytes[BLOCK + 100] ^= 1;
    victim.put(name, &bytes);
    let volume = victim.open().unwrap();
    assert!(read_path(&volume, "fresh").is_err_and(|error| is_damage(&error)));
    volume.close().unwrap();
    assert!(victim.bytes(name) == bytes, "it is left alone");
}

/// A directory that cannot be read when its batches are replayed comes back without what they say: it is repeated until it
/// can be, and until then nothing is built on the directory.
#[test]
fn row_40_what_batches_say_of_a_directory_waits_for_it() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let x = find(&volume, "x").unwrap();
    volume.create(&x, b"fresh", new(Kind::File)).unwrap();
    volume.sync_directory(&x).unwrap();
    drop((x, volume));
    let name = victim.name("x", 0);
    let whole = victim.bytes(name);
    victim.store.remove(name).unwrap();
    for _ in 0..2 {
        let volume = victim.open().unwrap();
        assert!(find(&volume, "x").is_err_and(|error| is_damage(&error)));
        volume.checkpoint().unwrap();
        volume.close().unwrap();
        victim.fixture.remembered.restart();
    }
    let volume = victim.open().unwrap();
    victim.put(name, &whole);
    assert!(find(&volume, "x").is_err_and(|error| is_damage(&error)), "without its newest name");
    volume.close().unwrap();
    drop(volume);
    let volume = victim.open().unwrap();
    let mut found = list(&volume, &find(&volume, "x").unwrap()).unwrap();
    found.sort();
    assert_eq!(found, ["fresh", "one", "two"]);
    volume.close().unwrap();
    assert_eq!(volume.journal.file().len(), 0, "nothing is left of it in the journal");
}

/// A crash while a replay put a batch's content in its place leaves half a chunk file. What an earlier batch says of the
/// file cannot be applied then, and need not be.
#[test]
fn row_40_content_of_a_later_batch_ends_the_wait() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let (root, name) = (volume.root().unwrap(), victim.name("small", 0));
    volume.rename((&root, b"small"), (&root, b"moved"), Rename::Replace, None, now()).unwrap();
    volume.sync_directory(&root).unwrap();
    let small = find(&volume, "moved").unwrap();
    volume.write(&small, 0, &pattern(300, 9), now(), 0).unwrap();
    volume.rename((&root, b"moved"), (&root, b"again"), Rename::Replace, None, now()).unwrap();
    volume.sync(&small, false).unwrap();
    let content = read_path(&volume, "again").unwrap();
    drop((root, small, volume));
    victim.put(name, &[]);
    for _ in 0..2 {
        let volume = victim.open().unwrap();
        volume.checkpoint().unwrap();
        assert!(read_path(&volume, "again").unwrap() == content);
        volume.close().unwrap();
    }
}

/// The rules of this file, each broken once; the tests themselves hold.
#[test]
fn every_broken_rule_is_noticed() {
    use mutants::Mutant::*;
    let elsewhere = row_37_a_chunk_file_of_another_devices_journal_has_not_arrived as fn();
    for (mutant, test) in [
        (MadeFromAnothersJournal, elsewhere),
        (MadeFromAnothersJournal, row_38_an_older_journal_makes_no_empty_file),
        (StoodInForDurable, row_38_content_of_a_journal_does_not_stand_in_for_a_newer_chunk_file),
        (DurableNotTold, row_39_what_fsync_returned_for_is_known_to_the_journal),
        (StandInsKept, row_39_what_a_checkpoint_stored_is_not_made_from_a_batch),
        (StandInsKept, row_39_a_directory_that_was_stored_is_not_made_from_a_batch),
        (DamageTakenForGarbage, row_39_damage_is_not_taken_for_what_a_crash_left),
        (WithheldNotRepeated, row_40_what_batches_say_of_a_directory_waits_for_it),
        (WithheldNotApplied, row_40_what_batches_say_of_a_directory_waits_for_it),
        (WithheldKept, row_40_content_of_a_later_batch_ends_the_wait),
    ] {
        mutants::plant(Some(mutant));
        let noticed = catch_unwind(test).is_err();
        mutants::plant(None);
        assert!(noticed, "{mutant:?}");
    }
}
