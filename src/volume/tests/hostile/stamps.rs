//! Row 49: a file of several chunks is of one state, also where it is seen for the first time; and what a crash left
//! ahead of chunk 0 is kept.

use super::*;
use crate::volume::mutants::{self, Mutant};
use std::panic::catch_unwind;

/// A probe into each chunk of "big", as far as it can be read.
fn probes(volume: &Volume) -> Vec<Option<Vec<u8>>> {
    let inode = find(volume, "big").unwrap();
    let probe = |index: u64| {
        let mut bytes = vec![0; 64];
        volume.read(&inode, index * CHUNK + 100, &mut bytes).ok().map(|_| bytes)
    };
    (0..3).map(probe).collect()
}

/// The same probes into a content.
fn expected(content: &[u8]) -> Vec<Vec<u8>> {
    (0..3).map(|index| content[index * CHUNK as usize + 100..][..64].to_vec()).collect()
}

fn every_mix_of_two_states_reads_as_one() {
    let victim = HostileFixture::new();
    let (before, after) = (victim.files["big"].clone(), pattern(2_300_000, 99));
    let volume = victim.open().unwrap();
    volume.write(&find(&volume, "big").unwrap(), 0, &after, now(), 0).unwrap();
    volume.close().unwrap();
    drop(volume);
    let newer = victim.store.snapshot();
    for mix in 0..8_u32 {
        victim.store.restore(&newer);
        for index in (0..3).filter(|index| mix >> index & 1 == 1) {
            victim.store.restore_file(&victim.left, victim.name("big", index));
        }
        victim.forget();
        let volume = victim.open().unwrap();
        let state = if mix & 1 == 1 { &before } else { &after };
        for (index, (found, due)) in probes(&volume).into_iter().zip(expected(state)).enumerate() {
            let fits = (mix >> index & 1) == (mix & 1);
            assert_eq!(found, fits.then_some(due), "mix {mix:03b}, chunk {index}");
        }
    }
}

#[test]
fn row_49_chunks_of_two_states_at_first_contact() {
    every_mix_of_two_states_reads_as_one();
}

/// Writes into the second chunk, as far as fdatasync, and is killed.
fn killed_ahead_of_chunk_0(victim: &HostileFixture) -> Vec<u8> {
    let mut content = victim.files["big"].clone();
    let volume = victim.open().unwrap();
    let inode = find(&volume, "big").unwrap();
    for seed in [7, 8] {
        let part = pattern(9000, seed);
        volume.write(&inode, CHUNK + 50, &part, now(), 0).unwrap();
        volume.sync(&inode, true).unwrap();
        content[CHUNK as usize + 50..][..9000].copy_from_slice(&part);
    }
    drop(inode);
    drop(volume);
    victim.fixture.remembered.restart();
    content
}

fn reads(fixture: &Fixture, store: &Memory, content: &[u8], who: &str) {
    let volume = fixture.open(Arc::new(store.clone()));
    let found: Vec<_> = probes(&volume).into_iter().map(|probe| probe.expect("it can be read")).collect();
    assert_eq!(found, expected(content), "{who}");
}

fn a_crash_ahead_of_chunk_0_is_taken_over_by_another_device() {
    let victim = HostileFixture::new();
    let mut content = killed_ahead_of_chunk_0(&victim);
    reads(&victim.fixture.another(*b"device 3"), &victim.store, &content, "a device that only looks");
    let other = victim.fixture.another(*b"device 2");
    let volume = other.open(Arc::new(victim.store.clone()));
    let inode = find(&volume, "big").unwrap();
    volume.write(&inode, 5, b"other", now(), 0).unwrap();
    volume.close().unwrap();
    drop((inode, volume));
    content[5..10].copy_from_slice(b"other");
    reads(&victim.fixture.another(*b"device 3"), &victim.store, &content, "a new device");
    reads(&victim.fixture, &victim.store, &content, "the one that crashed");
}

#[test]
fn what_a_crash_left_ahead_of_chunk_0_is_kept() {
    let victim = HostileFixture::new();
    let content = killed_ahead_of_chunk_0(&victim);
    reads(&victim.fixture, &victim.store, &content, "the same device");
    // Chunk 0 is committed for another reason, and chunk 1 is not looked at meanwhile.
    let volume = victim.open().unwrap();
    volume.write(&find(&volume, "big").unwrap(), 2_400_000, b"x", now(), 0).unwrap();
    volume.close().unwrap();
    drop(volume);
    victim.forget();
    reads(&victim.fixture, &victim.store, &content, "a device without a memory");
    a_crash_ahead_of_chunk_0_is_taken_over_by_another_device();
}

/// The provider kept chunk 0 of a moment at which the file was being written, and puts it beside chunks of a later one.
fn chunk_0_of_a_burst_reads_with_nothing_later() {
    let victim = HostileFixture::new();
    let volume = victim.open().unwrap();
    let inode = find(&volume, "big").unwrap();
    let write = |at: u64, seed: u64| {
        volume.write(&inode, at, &pattern(9000, seed), now(), 0).unwrap();
        volume.sync(&inode, false).unwrap();
    };
    write(2 * CHUNK + 50, 7);
    let during = victim.store.snapshot();
    write(50, 8);
    write(CHUNK + 50, 9);
    victim.store.restore_file(&during, victim.name("big", 0));
    let fixture = victim.fixture.another(*b"device 3");
    let found = probes(&fixture.open(Arc::new(victim.store.clone())));
    assert_eq!(found[1], None, "chunk 0 is from before, chunk 1 from after");
    victim.store.restore_file(&during, victim.name("big", 1));
    let found = probes(&victim.fixture.another(*b"device 3").open(Arc::new(victim.store.clone())));
    let moment = [&victim.files["big"][CHUNK as usize + 100..][..64], &pattern(9000, 7)[50..114]];
    assert_eq!([1, 2].map(|at| found[at].as_deref()), moment.map(Some), "all are of one moment");
}

#[test]
fn row_49_chunk_0_of_a_file_that_was_being_written() {
    chunk_0_of_a_burst_reads_with_nothing_later();
}

/// Looking changes nothing, also where chunk 0 has not followed.
#[test]
fn to_look_at_what_a_crash_left_writes_nothing() {
    let victim = HostileFixture::new();
    killed_ahead_of_chunk_0(&victim);
    let volume = victim.open().unwrap();
    volume.close().unwrap();
    drop(volume);
    let name = victim.name("big", 0);
    let before = victim.bytes(name);
    let volume = victim.open().unwrap();
    probes(&volume);
    volume.close().unwrap();
    assert!(victim.bytes(name) == before);
}

#[test]
fn mistakes_about_stamps_are_noticed() {
    for (mutant, test) in [
        (Mutant::StampIgnored, every_mix_of_two_states_reads_as_one as fn()),
        (Mutant::LaterBaseIgnored, chunk_0_of_a_burst_reads_with_nothing_later),
        (Mutant::NotAnnounced, what_a_crash_left_ahead_of_chunk_0_is_kept),
        (Mutant::FollowsNothingDurable, what_a_crash_left_ahead_of_chunk_0_is_kept),
        (Mutant::NewerNotNamed, a_crash_ahead_of_chunk_0_is_taken_over_by_another_device),
    ] {
        mutants::plant(Some(mutant));
        let outcome = catch_unwind(test);
        mutants::plant(None);
        assert!(outcome.is_err(), "{mutant:?} was not noticed");
    }
}
