//! What a sync client has to upload for a change: which chunk files it touches, and how large those are then. The goals
//! are those of docs/PERFORMANCE.md; `scripts/economy` measures the same on a mount.

use super::*;
use crate::chunk::ChunkIndex;
use crate::store::faulty::{Call, Faulty};
use crate::store::memory::Memory;
use crate::volume::Rename;
use std::collections::BTreeSet;

const NOTE: usize = 2000;
/// Names in the folder.
const NOTES: usize = 1000;
const MIB: u64 = 1 << 20;

/// A mounted volume with a folder of notes, another folder, and two large files.
struct Desk {
    store: Arc<Faulty>,
    memory: Memory,
    volume: Arc<Volume>,
    folder: Arc<Inode>,
    other: Arc<Inode>,
}

/// Bytes and files.
#[derive(Debug, PartialEq)]
struct Uploads {
    bytes: u64,
    files: usize,
}

impl Desk {
    fn new(chunk_size: u64) -> Desk {
        let (fixture, memory) = (Fixture::new(), Memory::new());
        let store = Arc::new(Faulty::new(Arc::new(memory.clone())));
        let context = fixture.context(store.clone());
        Volume::format(&context, chunk_size, 0, 0).unwrap();
        let open_files = NonZeroUsize::new(64).unwrap();
        let volume =
            Volume::open(context, Options { chunk_size, read_only: false, open_files, stateless: false })
                .unwrap();
        let root = volume.root().unwrap();
        let make = |name: &[u8]| volume.create(&root, name, new(Kind::Directory)).unwrap();
        let desk = Desk { folder: make(b"notes"), other: make(b"other notes"), store, memory, volume };
        for number in 0..NOTES {
            desk.note(&format!("note {number}.txt"), number as u64);
        }
        file(&desk.volume, "2 MB", &pattern(2_000_000, 1));
        file(&desk.volume, "large", &pattern(12 * MIB as usize, 1));
        desk.rest();
        // A mount that has changed something before.
        desk.note("first.txt", 1);
        desk.rest();
        desk
    }

    fn note(&self, name: &str, seed: u64) -> Arc<Inode> {
        let inode = self.volume.create(&self.folder, name.as_bytes(), new(Kind::File)).unwrap();
        self.volume.write(&inode, 0, &pattern(NOTE, seed), now(), 0).unwrap();
        inode
    }

    fn look(&self, name: &[u8]) -> Arc<Inode> {
        self.volume.lookup(&self.folder, name).unwrap().unwrap()
    }

    /// What the flusher does once nothing changes any more.
    fn rest(&self) {
        self.volume.checkpoint().unwrap();
        self.volume.checkpoint().unwrap();
    }

    /// What is uploaded for a change: each file that was written to, once, whole.
    fn cost(&self, change: impl FnOnce()) -> Uploads {
        self.store.reset();
        change();
        self.rest();
        let changes = [Call::Create, Call::Write, Call::SetLength, Call::Allocate];
        let log = self.store.log();
        let touched = log.iter().filter(|event| changes.contains(&event.call)).filter_map(|event| event.name);
        let lengths: Vec<u64> = BTreeSet::from_iter(touched)
            .into_iter()
            .filter_map(|name| Some(self.memory.open(name).ok()?.length().unwrap()))
            .collect();
        Uploads { bytes: lengths.iter().sum(), files: lengths.len() }
    }

    fn write(&self, name: &str, at: u64) {
        let root = self.volume.root().unwrap();
        let inode = self.volume.lookup(&root, name.as_bytes()).unwrap().unwrap();
        self.volume.write(&inode, at, b"x", now(), 0).unwrap();
    }
}

/// Row by row: bytes and files that a change may cost.
#[test]
fn a_change_costs_what_it_may() {
    let (desk, wrong) = (Desk::new(4 * MIB), std::cell::RefCell::new(Vec::new()));
    let row = |what: &'static str, bytes: u64, files: usize, change: &dyn Fn()| {
        let cost = desk.cost(change);
        println!("{what:<30} {:>9} in {}", cost.bytes, cost.files);
        if cost.bytes > bytes || cost.files > files {
            wrong.borrow_mut().push((what, cost));
        }
    };
    let Desk { volume, folder, other, .. } = &desk;
    let rename = |from: (&Arc<Inode>, &[u8]), to: (&Arc<Inode>, &[u8])| {
        let replaced = volume.rename(from, to, Rename::Replace, None, now()).unwrap();
        replaced.into_iter().for_each(|replaced| volume.release(replaced));
    };
    row("create a note", 60_000, 4, &|| drop(desk.note("new.txt", 2)));
    row("save a note by rename", 60_000, 4, &|| {
        let draft = desk.note(".note.swp", 3);
        volume.sync(&draft, false).unwrap();
        rename((folder, b".note.swp"), (folder, b"note 1.txt"));
    });
    row("rename a note", 60_000, 4, &|| rename((folder, b"note 2.txt"), (folder, b"renamed.txt")));
    row("move a note", 60_000, 4, &|| rename((folder, b"note 3.txt"), (other, b"note 3.txt")));
    row("delete a note", 60_000, 4, &|| {
        let gone = volume.unlink(folder, b"note 6.txt", now()).unwrap().unwrap();
        volume.release(gone);
    });
    row("rewrite a note in place", 30_000, 2, &|| {
        volume.write(&desk.look(b"note 4.txt"), 0, &pattern(NOTE, 5), now(), 0).unwrap();
    });
    row("chmod a note", 30_000, 2, &|| {
        let change = |record: &mut crate::volume::Record| {
            record.mode = 0o600;
            Ok(())
        };
        volume.update(&desk.look(b"note 5.txt"), change).unwrap();
    });
    row("1 byte in a file of 2 MB", 2_100_000, 2, &|| desk.write("2 MB", 1_400_000));
    row("1 byte in a large file", 4_600_000, 2, &|| desk.write("large", 8 * MIB));
    row("reading everything", 0, 0, &|| {
        for number in 10..20 {
            content(volume, &desk.look(format!("note {number}.txt").as_bytes()));
        }
        names(volume, other);
    });
    assert!(wrong.borrow().is_empty(), "too much: {:?}", wrong.borrow());
    let desk = Desk::new(MIB);
    let cost = desk.cost(|| desk.write("large", 8 * MIB));
    assert!(cost.bytes <= 1_400_000 && cost.files <= 2, "with chunks of 1 MiB: {cost:?}");
}

/// The log of the folder goes from its tail into segments, and those are joined: what that costs is shared.
#[test]
fn a_thousand_creations_cost_a_thousand_times_what_one_may() {
    let desk = Desk::new(4 * MIB);
    let costs: Vec<Uploads> =
        (0..1000).map(|number| desk.cost(|| drop(desk.note(&format!("new {number}.txt"), number)))).collect();
    let (bytes, files) = costs.iter().fold((0, 0), |sum, cost| (sum.0 + cost.bytes, sum.1 + cost.files));
    println!(
        "{} bytes in {:.3} files, the worst {:?}",
        bytes / 1000,
        files as f64 / 1000.,
        costs.iter().max_by_key(|cost| cost.bytes)
    );
    assert!(bytes <= 60_000 * 1000 && files <= 4 * 1000, "{bytes} bytes in {files} files");
}

/// Clients that upload a file when it is closed get it soon after its last change, and not in the midst of changes.
#[test]
fn chunk_files_at_rest_are_closed() {
    let (fixture, store) = (Fixture::new(), Arc::new(Faulty::new(Arc::new(Memory::new()))));
    let volume = fixture.format(store.clone());
    let inodes: Vec<_> =
        (0..3).map(|number| file(&volume, &format!("{number}"), &pattern(300_000, number))).collect();
    volume.checkpoint().unwrap();
    let open = store.open_files();
    assert!(open > 6, "two chunks each: {open}");
    assert!(volume.cache.close_resting(), "they may have changed a moment ago");
    assert_eq!(store.open_files(), open);
    volume.write(&inodes[0], 5, b"changed", now(), 0).unwrap();
    assert!(!volume.cache.close_resting(), "what waits for a checkpoint is looked at after it");
    assert_eq!(store.open_files(), 2, "the journal, and what changed");
    volume.checkpoint().unwrap();
    assert!(volume.cache.close_resting(), "one of them changed");
    assert!(!volume.cache.close_resting());
    assert_eq!(store.open_files(), 1, "the journal");
    for (number, inode) in (0..).zip(&inodes) {
        let mut expected = pattern(300_000, number);
        if number == 0 {
            expected[5..12].copy_from_slice(b"changed");
        }
        assert!(content(&volume, inode) == expected);
    }
    assert!(!volume.cache.close_resting(), "what is only read stays open");
    assert_eq!(store.open_files(), 7);
}

/// What many changes at once put into the journal is not copied again with each one that follows.
#[test]
fn the_journal_is_small_again_after_a_burst() {
    let desk = Desk::new(4 * MIB);
    for number in 0..5000 {
        drop(desk.volume.create(&desk.other, format!("{number}").as_bytes(), new(Kind::File)).unwrap());
    }
    desk.rest();
    for number in 0..3 {
        let cost = desk.cost(|| drop(desk.note(&format!("later {number}"), 1)));
        assert!(cost.bytes <= 60_000 && cost.files <= 4, "{cost:?}");
    }
}

/// A long log is in few segments, each much longer than the next.
#[test]
fn segments_are_few() {
    let (fixture, store) = (Fixture::new(), Arc::new(Memory::new()));
    let volume = fixture.format(store);
    let root = volume.root().unwrap();
    for round in 0..40 {
        for number in 0..400 {
            drop(volume.create(&root, format!("{round} {number}").as_bytes(), new(Kind::File)).unwrap());
        }
        volume.checkpoint().unwrap();
    }
    let named = {
        let mut state = root.state.write();
        volume.cache.open_first_chunk(&root, &mut state).unwrap();
        state.named_chunks(ChunkIndex::FIRST_EXTRA).unwrap()
    };
    assert!((2..=6).contains(&named.len()), "{named:?}");
}
