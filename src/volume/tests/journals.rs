//! What another device's journal says, where chunk files are of another state than those it was written on.

use super::*;
use crate::store::Area;
use crate::store::memory::Memory;
use crate::volume::mutants::{self, Mutant};
use std::panic::catch_unwind;

/// Brings one device's files of an area to another.
fn deliver(area: Area, from: &Memory, to: &Memory) {
    let snapshot = from.snapshot();
    from.names()
        .into_iter()
        .filter(|name| name.area == area)
        .for_each(|name| to.restore_file(&snapshot, name));
}

/// Two devices with a copy each of a new volume.
fn two_devices() -> [(Fixture, Memory); 2] {
    let (ours, memory) = (Fixture::new(), Memory::new());
    ours.format(Arc::new(memory.clone())).close().unwrap();
    let other = Memory::new();
    deliver(Area::Chunks, &memory, &other);
    let theirs = ours.another(*b"device 2");
    [(ours, memory), (theirs, other)]
}

fn create(volume: &Volume, name: &str) -> Arc<Inode> {
    volume.create(&volume.root().unwrap(), name.as_bytes(), new(Kind::File)).unwrap()
}

/// A name that stands in no batch any more and whose directory is still on its way has not been removed.
#[test]
fn a_batch_does_not_hide_names_that_have_not_arrived() {
    let [(ours, memory), (theirs, other)] = two_devices();
    let volume = ours.open(Arc::new(memory.clone()));
    create(&volume, "first");
    volume.checkpoint().unwrap();
    create(&volume, "second");
    volume.sync_directory(&volume.root().unwrap()).unwrap();
    deliver(Area::Journals, &memory, &other);

    let looking = theirs.open(Arc::new(other.clone()));
    assert!(names(&looking, &looking.root().unwrap()).is_empty());
    create(&looking, "theirs");
    looking.close().unwrap();

    // With the directory as the first device has it, and with what the second made of it since.
    let both = Memory::new();
    deliver(Area::Chunks, &memory, &both);
    deliver(Area::Journals, &memory, &both);
    let there = theirs.another(*b"device 3").open(Arc::new(both));
    assert_eq!(names(&there, &there.root().unwrap()), ["second", "first"]);
    let root = looking.root().unwrap();
    let covered = |name| root.state.read().directory().vector().iter().any(|(device, _)| *device == name);
    assert!(covered(theirs.device) && !covered(ours.device), "what it has not seen it must not cover");
}

/// Content that two devices gave to a file: the later number does not say which to take.
#[test]
fn content_in_anothers_batch_does_not_take_the_place_of_what_it_does_not_know() {
    let [(ours, memory), (theirs, other)] = two_devices();
    let volume = ours.open(Arc::new(memory.clone()));
    file(&volume, "f", b"first");
    volume.close().unwrap();
    deliver(Area::Chunks, &memory, &other);

    let volume = theirs.open(Arc::new(other.clone()));
    let inode = volume.lookup(&volume.root().unwrap(), b"f").unwrap().unwrap();
    volume.write(&inode, 0, b"SECOND", now(), 0).unwrap();
    volume.close().unwrap();

    // Later, by the first device, which has seen nothing of that.
    let volume = ours.open(Arc::new(memory.clone()));
    let inode = volume.lookup(&volume.root().unwrap(), b"f").unwrap().unwrap();
    volume.write(&inode, 0, b"third!", now(), 0).unwrap();
    volume
        .rename(
            (&volume.root().unwrap(), b"f"),
            (&volume.root().unwrap(), b"g"),
            crate::volume::Rename::Replace,
            None,
            now(),
        )
        .unwrap();
    volume.sync(&inode, false).unwrap();
    deliver(Area::Journals, &memory, &other);
    let volume = theirs.open(Arc::new(other.clone()));
    assert_eq!(look(&volume, "g").as_deref(), Some(&b"SECOND"[..]));

    // Where chunk 0 is the one that it was written on, it counts.
    let there = Memory::new();
    deliver(Area::Chunks, &memory, &there);
    deliver(Area::Journals, &memory, &there);
    let volume = theirs.another(*b"device 3").open(Arc::new(there));
    assert_eq!(look(&volume, "g").as_deref(), Some(&b"third!"[..]));
}

/// The rules of this file, each broken once; the tests themselves hold.
#[test]
fn every_broken_rule_is_noticed() {
    for (fault, test) in [
        (Mutant::GapIgnored, a_batch_does_not_hide_names_that_have_not_arrived as fn()),
        (Mutant::ConcurrentTaken, content_in_anothers_batch_does_not_take_the_place_of_what_it_does_not_know),
    ] {
        mutants::plant(Some(fault));
        let noticed = catch_unwind(test).is_err();
        mutants::plant(None);
        assert!(noticed, "{fault:?}");
    }
}
