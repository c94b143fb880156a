//! Two devices on one volume: what one learns of the other.

mod arriving;
mod meeting;

use super::*;
use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::store::faulty::Faulty;
use crate::store::memory::Memory;
use crate::store::{FileName, Store, Watch};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Change, Changed, Observer, Rename};
use std::panic::catch_unwind;
use std::time::Duration;

/// Reads everything that a directory leads to.
fn look_around(volume: &Volume, directory: &Arc<Inode>) {
    for name in names(volume, directory) {
        let inode = volume.lookup(directory, name.as_bytes()).unwrap().unwrap();
        match inode.view(|record| record.kind) {
            Kind::Directory => look_around(volume, &inode),
            Kind::File => drop(content(volume, &inode)),
            _ => {}
        }
    }
}

/// What another device's journal says, and what it stored since this device was here last, is shown, and nothing is written.
#[test]
fn looking_writes_nothing() {
    let (ours, memory) = (Fixture::new(), Memory::new());
    let theirs = ours.another(*b"device 2");
    ours.format(Arc::new(memory.clone())).close().unwrap();
    let volume = theirs.open(Arc::new(memory.clone()));
    let root = volume.root().unwrap();
    let below = volume.create(&root, b"below", new(Kind::Directory)).unwrap();
    file(&volume, "stored", b"stored");
    volume.checkpoint().unwrap();
    let carried = volume.create(&below, b"carried", new(Kind::File)).unwrap();
    volume.write(&carried, 0, b"in a batch", now(), 0).unwrap();
    volume.sync(&carried, false).unwrap();
    volume.rename((&root, b"stored"), (&below, b"moved"), Rename::Replace, None, now()).unwrap();
    volume.sync_directory(&below).unwrap();

    let store = Arc::new(Faulty::new(Arc::new(memory.clone())));
    for _ in 0..2 {
        let volume = ours.try_open(store.clone()).unwrap();
        store.reset();
        let root = volume.root().unwrap();
        look_around(&volume, &root);
        let below = volume.lookup(&root, b"below").unwrap().unwrap();
        assert_eq!(names(&volume, &below).len(), 2);
        volume.checkpoint().unwrap();
        volume.sync_all().unwrap();
        drop((root, below));
        volume.close().unwrap();
        let counts = store.counts();
        assert_eq!((counts.creates, counts.writes, counts.removes), (0, 0, 0));
    }

    // With a change of their own it is stored.
    let volume = ours.open(Arc::new(memory.clone()));
    let below = volume.lookup(&volume.root().unwrap(), b"below").unwrap().unwrap();
    volume.create(&below, b"ours", new(Kind::File)).unwrap();
    drop(below);
    volume.close().unwrap();
    drop(volume);
    Volume::discard_own_journal(&theirs.context(Arc::new(memory.clone()))).unwrap();
    let volume = ours.another(*b"device 3").open(Arc::new(memory));
    let below = volume.lookup(&volume.root().unwrap(), b"below").unwrap().unwrap();
    let mut found = names(&volume, &below);
    found.sort();
    assert_eq!(found, ["carried", "moved", "ours"]);
}

type Work = Box<dyn FnOnce() + Send>;

/// What is told upward.
#[derive(Clone, Default)]
struct Told {
    changes: Arc<parking_lot::Mutex<Vec<Change>>>,
    /// Done while it is told next.
    meanwhile: Arc<parking_lot::Mutex<Option<Work>>>,
}

impl Observer for Told {
    fn changed(&self, changes: &[Change]) {
        self.changes.lock().extend_from_slice(changes);
        let meanwhile = self.meanwhile.lock().take();
        meanwhile.into_iter().for_each(|work| work());
    }
}

impl Told {
    fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock())
    }

    /// Names that were told, whatever the directory.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for change in self.take() {
            if let Changed::Names(changed) = change.what {
                names.extend(changed.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()));
            }
        }
        names.sort();
        names
    }
}

/// Two devices, each mounted, each with a folder of its own, and a client that copies between them.
struct Two {
    stores: [Memory; 2],
    volumes: [Arc<Volume>; 2],
    told: Told,
    watch: Box<dyn Watch>,
}

impl Two {
    fn new() -> Two {
        Two::over(|memory| Arc::new(memory))
    }

    /// The second one's volume lies over what `store` makes of its folder.
    fn over(store: impl FnOnce(Memory) -> Arc<dyn Store>) -> Two {
        let (ours, memory) = (Fixture::new(), Memory::new());
        let theirs = ours.another(*b"device 2");
        ours.format(Arc::new(memory.clone())).close().unwrap();
        let stores = [memory.clone(), Memory::new()];
        stores[1].restore(&memory.snapshot());
        let volumes = [ours.open(Arc::new(stores[0].clone())), theirs.open(store(stores[1].clone()))];
        let told = Told::default();
        volumes[1].observe(Box::new(told.clone()));
        let watch = stores[1].watch().unwrap().unwrap();
        Two { stores, volumes, told, watch }
    }

    /// The files of the first that differ from the second's: deletions too.
    fn differing(&self) -> Vec<FileName> {
        let [ours, theirs] = self.stores.each_ref().map(Memory::snapshot);
        let mut names = [self.stores[0].names(), self.stores[1].names()].concat();
        names.sort();
        names.dedup();
        let own = self.volumes[1].base.context.file_name(self.volumes[1].base.context.own_journal());
        names.retain(|name| *name != own && ours.bytes(*name) != theirs.bytes(*name));
        names
    }

    /// Copies these files, in this order, each taken in by itself.
    fn deliver(&mut self, names: &[FileName]) {
        let snapshot = self.stores[0].snapshot();
        for name in names {
            self.stores[1].restore_file(&snapshot, *name);
            self.arrive();
        }
    }

    fn deliver_all(&mut self) {
        self.volumes[0].checkpoint().unwrap();
        self.deliver(&self.differing());
    }

    fn arrive(&mut self) {
        let mut seen = Vec::new();
        self.watch.wait(Some(Duration::ZERO), &mut seen).unwrap();
        self.volumes[1].arrivals.take_in(&seen);
    }

    fn theirs(&self) -> (Arc<Volume>, Arc<Inode>) {
        (self.volumes[1].clone(), self.volumes[1].root().unwrap())
    }
}

/// Watching a folder takes a while to begin: what was replaced meanwhile and is in memory is looked at then, journals too.
#[test]
fn what_arrives_before_the_folder_is_watched_is_seen() {
    let two = Two::new();
    let root = two.volumes[0].root().unwrap();
    file(&two.volumes[0], "stored", b"stored");
    two.volumes[0].checkpoint().unwrap();
    let (volume, theirs) = two.theirs();
    assert!(names(&volume, &theirs).is_empty());
    let root_file = volume.base.context.file_name(ChunkId::first(InodeId::ROOT));
    two.stores[1].restore_file(&two.stores[0].snapshot(), root_file);
    volume.arrivals.take_in(&volume.arrivals.begin());
    let found = names(&volume, &theirs);
    assert!(found.contains(&"stored".to_owned()), "{found:?}");
    // What is in a journal only.
    two.volumes[0].rename((&root, b"stored"), (&root, b"moved"), Rename::Replace, None, now()).unwrap();
    two.volumes[0].sync_directory(&root).unwrap();
    let journal = two.volumes[0].base.context.file_name(two.volumes[0].base.context.own_journal());
    two.stores[1].restore_file(&two.stores[0].snapshot(), journal);
    volume.arrivals.take_in(&volume.arrivals.begin());
    let found = names(&volume, &theirs);
    assert!(found.contains(&"moved".to_owned()), "{found:?}");
}

/// Whatever order the files come in: seen without another mount, told, and without a finding that stays.
#[test]
fn what_another_device_does_is_seen() {
    for order in 0..6 {
        let mut two = Two::new();
        let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
        let (theirs, their_root) = two.theirs();
        let below = ours.create(&root, b"below", new(Kind::Directory)).unwrap();
        let inode = ours.create(&below, b"file", new(Kind::File)).unwrap();
        ours.write(&inode, 0, b"first", now(), 0).unwrap();
        assert_eq!(look(&theirs, "below"), None);
        two.deliver_all();
        assert_eq!(two.told.names(), ["below"]);
        let their_below = theirs.lookup(&their_root, b"below").unwrap().unwrap();
        let file = theirs.lookup(&their_below, b"file").unwrap().unwrap();
        assert_eq!(content(&theirs, &file), b"first");
        two.told.take();

        // Changed, renamed, made, removed.
        let gone = ours.create(&below, b"gone", new(Kind::File)).unwrap();
        two.deliver_all();
        assert_eq!(names(&theirs, &their_below), ["gone", "file"]);
        assert_eq!(two.told.names(), ["gone"]);
        ours.write(&inode, 0, b"later", now(), 0).unwrap();
        ours.rename((&below, b"file"), (&root, b"moved"), Rename::Replace, None, now()).unwrap();
        ours.release(ours.unlink(&below, b"gone", now()).unwrap().unwrap());
        drop(gone);
        ours.checkpoint().unwrap();
        let mut names_to_come = two.differing();
        let count = names_to_come.len();
        names_to_come.rotate_left(order % count);
        if order >= 3 {
            names_to_come.reverse();
        }
        two.deliver(&names_to_come);
        assert_eq!(two.told.names(), ["file", "gone", "moved"], "{order}");
        assert!(names(&theirs, &their_below).is_empty());
        assert_eq!(look(&theirs, "moved").unwrap(), b"later");
        assert_eq!(content(&theirs, &file), b"later", "who has it open sees it too");
        drop((their_below, file));
        // Nothing was written.
        let before = two.stores[1].snapshot();
        theirs.checkpoint().unwrap();
        assert!(
            two.stores[1]
                .names()
                .iter()
                .all(|name| { before.bytes(*name) == two.stores[1].snapshot().bytes(*name) })
        );
        // Theirs goes on.
        file_in(&theirs, &their_root, "theirs", b"theirs");
        theirs.checkpoint().unwrap();
        assert_eq!(look(&theirs, "theirs").unwrap(), b"theirs");
    }
}

fn file_in(volume: &Volume, directory: &Arc<Inode>, name: &str, content: &[u8]) -> Arc<Inode> {
    let inode = volume.create(directory, name.as_bytes(), new(Kind::File)).unwrap();
    volume.write(&inode, 0, content, now(), 0).unwrap();
    inode
}

/// A batch of another device's journal is applied as soon as it is here.
#[test]
fn a_journal_that_arrives_is_applied() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    assert!(names(&theirs, &their_root).is_empty());
    let carried = file_in(&ours, &root, "carried", b"in a batch");
    ours.sync(&carried, false).unwrap();
    two.deliver(&two.differing());
    assert_eq!(two.told.names(), ["carried"]);
    assert_eq!(look(&theirs, "carried").unwrap(), b"in a batch");
    let not_synced = file_in(&theirs, &their_root, "not synced", b"x");
    file_in(&ours, &root, "more", b"more");
    ours.sync_directory(&root).unwrap();
    two.deliver(&two.differing());
    assert!(look(&theirs, "not synced").is_some() && theirs.entry(&their_root, b"more").unwrap().is_some());
    theirs.checkpoint().unwrap();
    drop((not_synced, their_root));
    theirs.close().unwrap();
    let again = names(&theirs, &theirs.root().unwrap());
    assert!(again.contains(&"not synced".into()) && again.contains(&"carried".into()));
}

/// Chunk 0 must not say more of this device's own entries than durable batches do, whatever arrives: a batch that adds one
/// would be passed over.
#[test]
fn what_is_in_no_batch_is_not_covered_by_what_arrives() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    file_in(&theirs, &their_root, "not synced", b"x");
    file_in(&ours, &root, "ours", b"y");
    ours.sync_directory(&root).unwrap();
    two.deliver(&two.differing());
    let unstored = their_root.state.write().take_unstored().unwrap();
    let counter = |device| unstored.vector.iter().find(|entry| entry.0 == device).unwrap().1;
    assert!(counter(ours.base.context.device) > 0);
    assert_eq!(counter(theirs.base.context.device), 0);
}

/// What has changes of its own gives way to what arrives in its place, and stands beside that.
#[test]
fn what_is_dirty_is_saved_beside() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, _) = two.theirs();
    let inode = file_in(&ours, &root, "both", b"before");
    two.deliver_all();
    let file = theirs.lookup(&theirs.root().unwrap(), b"both").unwrap().unwrap();
    theirs.write(&file, 0, b"theirs", now(), 0).unwrap();
    ours.write(&inode, 0, b"ours!!", now(), 0).unwrap();
    ours.sync(&inode, false).unwrap();
    two.deliver(&two.differing());
    assert_eq!(content(&theirs, &file), b"ours!!");
    theirs.merge().unwrap();
    let root = theirs.root().unwrap();
    let names = names(&theirs, &root);
    let beside = names.iter().find(|name| name.starts_with("both (conflict 20")).unwrap();
    let beside = theirs.lookup(&root, beside.as_bytes()).unwrap().unwrap();
    assert_eq!(content(&theirs, &beside), b"theirs");
}

/// What is older than what is in memory is not taken.
#[test]
fn what_is_older_is_not_taken() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    let old = two.stores[0].snapshot();
    file_in(&ours, &root, "new", b"new");
    two.deliver_all();
    assert_eq!(names(&theirs, &their_root), ["new"]);
    two.told.take();
    let name = theirs.base.context.file_name(ChunkId::first(InodeId::ROOT));
    two.stores[1].restore_file(&old, name);
    two.arrive();
    assert_eq!(names(&theirs, &their_root), ["new"]);
    assert!(two.told.take().is_empty());
}

/// Chunk files are not held open: what took the place of one counts as a whole, before anybody tells of it.
#[test]
fn what_is_opened_again_is_of_one_version() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    let inode = file_in(&ours, &root, "file", b"short");
    let below = ours.create(&root, b"below", new(Kind::Directory)).unwrap();
    file_in(&ours, &root, "renamed", b"short");
    two.deliver_all();
    let closed = |path: &str| {
        let inode = theirs.lookup(&theirs.root().unwrap(), path.as_bytes()).unwrap().unwrap();
        inode.state.write().close(ChunkIndex::FIRST);
        inode
    };
    let (file, their_below, renamed) = (closed("file"), closed("below"), closed("renamed"));
    theirs
        .rename((&their_root, b"renamed"), (&their_root, b"by them"), Rename::Replace, None, now())
        .unwrap();
    for inode in [&inode, &ours.lookup(&root, b"renamed").unwrap().unwrap()] {
        ours.write(inode, 0, b"longer than before", now(), 0).unwrap();
    }
    file_in(&ours, &below, "within", b"");
    ours.checkpoint().unwrap();
    let (snapshot, names_to_come) = (two.stores[0].snapshot(), two.differing());
    let is_theirs = |name: &&FileName| **name != theirs.base.context.file_name(ChunkId::first(InodeId::ROOT));
    names_to_come.iter().filter(is_theirs).for_each(|name| two.stores[1].restore_file(&snapshot, *name));
    two.told.take();

    theirs.read(&file, 0, &mut [0]).unwrap();
    assert_eq!(content(&theirs, &file), b"longer than before");
    assert_eq!(names(&theirs, &their_below), ["within"]);
    theirs.checkpoint().unwrap();
    assert_eq!(content(&theirs, &renamed), b"longer than before");
    assert_eq!(look(&theirs, "by them").unwrap(), b"longer than before");
    two.arrive();
    assert!(!two.told.take().is_empty(), "what was opened before it was told of is told");
    let again = two.volumes[1].clone();
    drop((file, their_below, renamed, their_root));
    again.close().unwrap();
    assert_eq!(look(&again, "by them").unwrap(), b"longer than before");
}

/// The rules of this file, each broken once; the tests themselves hold.
#[test]
fn every_broken_rule_is_noticed() {
    for (fault, test) in [
        (Mutant::LookingWrites, looking_writes_nothing as fn()),
        (Mutant::ArrivedUnseen, what_is_older_is_not_taken),
        (Mutant::DirtyReplaced, what_is_dirty_is_saved_beside),
        (Mutant::OtherOpened, what_is_opened_again_is_of_one_version),
        (Mutant::ReplacedRemoved, meeting::what_only_a_journal_told_of_is_deleted_as_far_as_it_told),
        (Mutant::JoinedUntold, meeting::names_that_a_checkpoint_joins_are_told),
        (Mutant::MergedUntold, meeting::names_that_merging_makes_are_told),
        (Mutant::StoppedByExchange, meeting::a_directory_that_cannot_be_joined_now_does_not_stop_the_volume),
        (Mutant::RebuiltAbandoned, meeting::what_is_replaced_again_while_it_is_rebuilt_is_saved_beside),
        (Mutant::DeletedJoined, meeting::a_deleted_directory_takes_in_nothing),
        (Mutant::DeletedTold, meeting::a_deleted_directory_is_told_nothing),
        (Mutant::GoingNamed, meeting::a_file_that_is_going_gets_no_name),
        (Mutant::PendingCovered, what_is_in_no_batch_is_not_covered_by_what_arrives),
    ] {
        mutants::plant(Some(fault));
        let noticed = catch_unwind(test).is_err();
        mutants::plant(None);
        assert!(noticed, "{fault:?}");
    }
}
