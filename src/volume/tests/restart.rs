//! A volume that stopped goes on.

use super::*;
use crate::store::FileName;
use crate::store::faulty::{ERRORS, Fault, Faulty};
use crate::store::memory::{Item, Memory, Snapshot};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Damage, Error};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is done to this device's journal while the volume is in use.
type Done = fn(&Memory, FileName, &Snapshot);

const REMOVED: Done = |memory, name, _| memory.put(&Item::File(name), None);
const OLDER: Done = |memory, name, before| memory.restore_file(before, name);

struct Stopped {
    fixture: Fixture,
    memory: Memory,
    store: Arc<Faulty>,
    volume: Arc<Volume>,
}

/// A volume with a file that only a batch has, and what its folder was before that.
fn with_batch() -> (Stopped, FileName, Snapshot) {
    let (fixture, memory) = (Fixture::new(), Memory::new());
    let store = Arc::new(Faulty::new(Arc::new(memory.clone())));
    let volume = fixture.format(store.clone());
    let context = volume.base.context.clone();
    let journal = context.file_name(context.own_journal());
    volume.sync(&file(&volume, "old", b"in its place"), false).unwrap();
    volume.checkpoint().unwrap();
    let before = memory.snapshot();
    volume.sync(&file(&volume, "durable", b"in a batch"), false).unwrap();
    (Stopped { fixture, memory, store, volume }, journal, before)
}

/// The same, which stopped at the next batch, as another process wrote its journal, before this was done.
fn stopped(done: Done) -> Stopped {
    let (stopped, journal, before) = with_batch();
    let Stopped { fixture, memory, volume, .. } = &stopped;
    let elsewhere = Memory::new();
    elsewhere.restore(&memory.snapshot());
    let remembered = Remembered::of(fixture.remembered.snapshot());
    let twin = fixture.try_open_with(Arc::new(elsewhere.clone()), &remembered).unwrap();
    twin.sync(&file(&twin, "theirs", b"2"), false).unwrap();
    memory.restore_file(&elsewhere.snapshot(), journal);
    let inode = file(volume, "waits", b"in memory");
    assert!(matches!(volume.sync(&inode, false), Err(Error::Damaged(_, Damage::Replaced))));
    assert!(matches!(volume.sync(&inode, false), Err(Error::Stopped)));
    assert!(volume.condition().stopped.is_some());
    done(memory, journal, &before);
    stopped
}

/// After a kill.
fn check_all_there(stopped: Stopped) {
    let Stopped { fixture, memory, volume, .. } = stopped;
    drop(volume);
    let volume = fixture.open(Arc::new(memory));
    for (name, content) in
        [("old", "in its place"), ("durable", "in a batch"), ("waits", "in memory"), ("after", "too")]
    {
        assert_eq!(look(&volume, name).as_deref(), Some(content.as_bytes()), "{name}");
    }
    volume.close().unwrap();
}

/// Where it can be opened after a kill in the middle, nothing durable is missing.
fn check_killed(stopped: &Stopped) {
    let memory = Memory::new();
    memory.restore(&stopped.memory.snapshot());
    let remembered = Remembered::of(stopped.fixture.remembered.snapshot());
    if let Ok(volume) = stopped.fixture.try_open_with(Arc::new(memory), &remembered) {
        for (name, content) in [("old", "in its place"), ("durable", "in a batch")] {
            assert_eq!(look(&volume, name).as_deref(), Some(content.as_bytes()), "{name}");
        }
    }
}

#[test]
fn a_volume_whose_journal_was_taken_away_goes_on_with_all_that_it_said() {
    for done in [REMOVED, OLDER] {
        let stopped = stopped(done);
        // The flusher tried, too.
        stopped.volume.base.note_checkpoint(&Err::<(), _>(Error::Stopped));
        stopped.volume.restart().unwrap();
        let condition = stopped.volume.condition();
        assert_eq!((condition.stopped, condition.delayed), (None, None));
        stopped.volume.sync(&file(&stopped.volume, "after", b"too"), false).unwrap();
        check_all_there(stopped);
    }
}

/// A sync client gives it another name, or puts an older one there: nobody has to do anything.
#[test]
fn a_journal_that_a_client_takes_away_is_written_anew() {
    for done in [REMOVED, OLDER] {
        let (running, journal, before) = with_batch();
        done(&running.memory, journal, &before);
        for name in ["waits", "after"] {
            let content = if name == "waits" { "in memory" } else { "too" };
            running.volume.sync(&file(&running.volume, name, content.as_bytes()), false).unwrap();
        }
        assert_eq!(running.volume.condition().stopped, None);
        check_all_there(running);
    }
}

#[test]
fn what_fails_while_a_journal_is_written_anew_costs_nothing() {
    for (error, done) in ERRORS.iter().flat_map(|error| [(*error, REMOVED), (*error, OLDER)]) {
        for number in 0.. {
            let (running, journal, before) = with_batch();
            done(&running.memory, journal, &before);
            let inode = file(&running.volume, "waits", b"in memory");
            let begins = running.store.calls() + number;
            running.store.fail_when(move |call| (call.number == begins).then_some(Fault::Error(error)));
            let synced = running.volume.sync(&inode, false);
            let is_over = running.store.calls() <= begins;
            running.store.heal();
            if synced.is_err() {
                check_killed(&running);
            }
            running.volume.restart().unwrap();
            running.volume.sync(&inode, false).unwrap();
            running.volume.sync(&file(&running.volume, "after", b"too"), false).unwrap();
            check_all_there(running);
            if is_over {
                break;
            }
        }
    }
}

/// The volume goes on by itself after that, or at the next try.
#[test]
fn what_fails_while_a_volume_goes_on_costs_nothing() {
    let errors = ERRORS.iter().flat_map(|error| [(*error, false), (*error, true)]);
    for ((error, lasts), done) in errors.zip([REMOVED, OLDER, OLDER, REMOVED].iter().cycle()) {
        for number in 0.. {
            let stopped = stopped(*done);
            let begins = stopped.store.calls() + number;
            stopped.store.fail_when(move |call| {
                let fails = call.number == begins || lasts && call.number > begins;
                fails.then_some(Fault::Error(error))
            });
            let restarted = stopped.volume.restart();
            let is_over = restarted.is_ok() && number > 40;
            stopped.store.heal();
            if restarted.is_err() {
                check_killed(&stopped);
            }
            stopped.volume.restart().unwrap();
            stopped.volume.sync_all().unwrap();
            stopped.volume.sync(&file(&stopped.volume, "after", b"too"), false).unwrap();
            check_all_there(stopped);
            if is_over {
                break;
            }
        }
    }
}

/// Another machine with a copy of this device's state folder writes as this device does.
#[test]
fn a_journal_that_another_process_wrote_is_left_alone() {
    let (fixture, memory) = (Fixture::new(), Memory::new());
    let volume = fixture.format(Arc::new(memory.clone()));
    let context = volume.base.context.clone();
    let journal = context.file_name(context.own_journal());
    volume.sync(&file(&volume, "ours", b"1"), false).unwrap();
    let elsewhere = Memory::new();
    elsewhere.restore(&memory.snapshot());
    let twin = fixture.open(Arc::new(elsewhere.clone()));
    twin.sync(&file(&twin, "theirs", b"2"), false).unwrap();
    memory.restore_file(&elsewhere.snapshot(), journal);
    let there = memory.snapshot().bytes(journal);
    assert!(volume.sync(&file(&volume, "waits", b"3"), false).is_err());
    assert!(matches!(volume.restart(), Err(Error::Damaged(_, Damage::Replaced))));
    assert!(volume.condition().stopped.is_some());
    assert_eq!(memory.snapshot().bytes(journal), there);
}

/// Nothing can go on from a batch that was begun, and is neither pending nor there.
#[test]
fn what_stopped_for_good_stays_so() {
    let volume = Fixture::new().format(Arc::new(Memory::new()));
    volume.restart().unwrap();
    volume.base.stop_for_good(&Error::NoSpace);
    assert!(matches!(volume.restart(), Err(Error::Stopped)));
    assert!(volume.condition().stopped.is_some());
}

#[test]
fn every_broken_rule_is_noticed() {
    let faults = [
        Mutant::RestartedEmpty,
        Mutant::RestartedOverTwin,
        Mutant::RestartedForGood,
        Mutant::StoppedByClient,
    ];
    for fault in faults {
        mutants::plant(Some(fault));
        let noticed = catch_unwind(AssertUnwindSafe(|| {
            what_fails_while_a_volume_goes_on_costs_nothing();
            a_journal_that_another_process_wrote_is_left_alone();
            what_stopped_for_good_stays_so();
            a_journal_that_a_client_takes_away_is_written_anew();
        }));
        mutants::plant(None);
        assert!(noticed.is_err(), "{fault:?}");
    }
}
