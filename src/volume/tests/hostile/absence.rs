//! Rows 37 on: what is not there was not "never there". A chunk file that a journal speaks of and that cannot be read
//! is an error, never an empty file, and nothing is written in its place.

use super::*;
use crate::volume::mutants;
use std::panic::catch_unwind;

const CONTENT: usize = 9000;

/// A volume that a device works with, and its files as they were at a time.
struct Live {
    house: House,
    volume: Arc<Volume>,
    id: ChunkId,
}

impl Live {
    /// Another file is made first: from then on ids are reserved, and a batch need not name a file before its content.
    fn new(is_first: bool) -> Live {
        let house = House::new();
        let volume = house.open().unwrap();
        if !is_first {
            volume.sync(&file(&volume, "before", b"x"), false).unwrap();
        }
        let inode = volume.create(&volume.root().unwrap(), b"fresh", new(Kind::File)).unwrap();
        let id = ChunkId { inode: inode.id(), index: 0 };
        Live { house, volume, id }
    }

    fn write(&self) {
        let inode = self.volume.inode(self.id.inode).unwrap();
        self.volume.write(&inode, 0, &pattern(CONTENT, 5), now(), 0).unwrap();
    }

    fn sync(&self) {
        self.volume.sync(&self.volume.inode(self.id.inode).unwrap(), false).unwrap();
    }

    fn name(&self) -> FileName {
        self.house.file_name(self.id)
    }

    /// What another device finds that has never seen the volume, in a copy of the folder without that chunk file, and
    /// once that was delivered.
    fn check_elsewhere(&self, what: &str) {
        let copy = Memory::new();
        copy.restore(&self.house.store.snapshot());
        copy.remove(self.name()).unwrap();
        let another = self.house.fixture.another(*b"device 2");
        let volume = another.open(Arc::new(copy.clone()));
        let found = read_path(&volume, "fresh");
        assert!(matches!(found, Err(Error::NotArrived(id)) if id == self.id), "{what}: {found:?}");
        assert!(read_path(&volume, "small").unwrap() == self.house.files["small"]);
        volume.checkpoint().unwrap();
        volume.close().unwrap();
        drop(volume);
        assert!(!copy.names().contains(&self.name()), "{what}: something was made in its place");
        copy.restore_file(&self.house.store.snapshot(), self.name());
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
        let journal = live.house.file_name(live.volume.base.context.own_journal());
        let older = live.house.bytes(journal);
        live.write();
        live.sync();
        live.volume.close().unwrap();
        live.house.put(journal, &older);
        live.check_elsewhere("an older journal");
    }
}

#[test]
fn a_file_made_from_anothers_journal_is_noticed() {
    for test in [
        row_37_a_chunk_file_of_another_devices_journal_has_not_arrived as fn(),
        row_38_an_older_journal_makes_no_empty_file,
    ] {
        mutants::plant(Some(mutants::Mutant::MadeFromAnothersJournal));
        let outcome = catch_unwind(test);
        mutants::plant(None);
        assert!(outcome.is_err());
    }
}
