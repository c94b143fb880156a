//! Every error of the store at every call of a mixed workload, one at a time, and such that last: the caller is told,
//! nothing that was acknowledged is lost, nothing panics or hangs, and when the error has passed work goes on. An fdatasync
//! that fails loses of what it covers whatever it likes.

use super::Start;
use super::check::{Found, check, check_leftovers, said};
use super::model::Model;
use super::operation::Operation::{self, *};
use super::operation::{BORDER, Bench};
use crate::chunk::remembered::Remembered;
use crate::store::faulty::{Call, ERRORS, Event, Fault, Faulty};
use crate::store::power::{Extreme, Power, Seeded};
use crate::volume::Error;
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Something of everything.
const WORKLOAD: [Operation; 22] = [
    Create("n"),
    Append { path: "n", length: 300 },
    Sync("n"),
    Append { path: "b", length: 9000 },
    Sync("b"),
    MakeDirectory("e/f"),
    SyncDirectory("e"),
    Write { path: "b", at: BORDER, length: 300 },
    Round,
    Rename("n", "d/x"),
    Link("a", "e/f/l"),
    Sync("a"),
    Append { path: "a", length: 6000 },
    Round,
    Unlink("b"),
    Rename("d", "e/d"),
    SetXattr("a", 5000),
    Sync("a"),
    Round,
    Resize { path: "a", size: 10 },
    Sync("a"),
    Round,
];

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// No operation noticed.
    Unnoticed,
    /// An operation failed, and went well when it was tried again.
    Passing,
    /// It was told, and the volume stopped.
    Stopped,
    /// Mounting failed, and went well when it was tried again.
    NotMounted,
}

/// Fails as planned, and has an fdatasync that fails lose what it covers.
pub(super) fn fail_when(
    store: &Faulty,
    power: &Power,
    seed: u64,
    mut plan: impl FnMut(&Event) -> Option<Fault> + Send + 'static,
) {
    let (power, mut choose) = (power.clone(), Seeded::new(seed));
    store.fail_when(move |event| {
        let fault = plan(event);
        match (event.call, event.name, fault) {
            (Call::Sync, Some(name), Some(Fault::Error(_))) => power.lose_unsynced(name, &mut choose),
            (Call::SyncAll, _, Some(Fault::Error(_))) => power.lose_all_unsynced(&mut choose),
            _ => {}
        }
        fault
    });
}

/// Runs the workload with a fault at one call; `None` if there are fewer calls.
fn run(start: &Start, number: u64, fault: Fault) -> Result<Option<(Call, Outcome)>, String> {
    let power = start.store.kill();
    let store = Arc::new(Faulty::new(Arc::new(power.clone())));
    fail_when(&store, &power, number, move |event| (event.number == number).then_some(fault));
    let mut outcome = Outcome::Unnoticed;
    let remembered = Remembered::of(start.known.clone());
    let open = || start.fixture.try_open_with(store.clone(), &remembered);
    let volume = match open() {
        Ok(volume) => volume,
        Err(_) => {
            outcome = Outcome::NotMounted;
            store.heal();
            said("mounting again", open())?
        }
    };
    let healthy =
        start.fixture.try_open_with(Arc::new(start.store.kill()), &Remembered::of(start.known.clone()));
    let healthy = said("opening", healthy)?;
    let mut model = Model::of(Found::of(&healthy)?);
    let mut bench = Bench { volume: &volume, model: &mut model, held: Vec::new() };
    for operation in WORKLOAD {
        match bench.run(operation) {
            Ok(done) => assert!(done, "{operation:?} makes sense"),
            Err(Error::Stopped) => {
                outcome = Outcome::Stopped;
                break;
            }
            Err(_) => {
                outcome = Outcome::Passing;
                match bench.run(operation) {
                    Ok(_) => {}
                    Err(Error::Stopped) => {
                        outcome = Outcome::Stopped;
                        break;
                    }
                    Err(error) => return Err(format!("{operation:?} failed again: {error:?}")),
                }
            }
        }
    }
    let Some(failed) = store.log().into_iter().find(|event| event.fault.is_some()) else { return Ok(None) };
    store.heal();
    let done = model.done();
    // What the interrupted operation was to do may have happened.
    model.advance();
    for cut in power.enumerate_cuts(2, number) {
        check(&start.fixture, Arc::new(cut), remembered.snapshot(), &model, done)?;
    }
    Ok(Some((failed.call, outcome)))
}

#[test]
fn every_fault_at_every_call() {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let start = Start::new(&super::workloads::FILES);
        let faults =
            ERRORS.map(Fault::Error).into_iter().chain([Fault::Short(libc::ENOSPC), Fault::ShortRead]);
        let mut table: BTreeMap<(String, String), BTreeMap<Outcome, usize>> = BTreeMap::new();
        for fault in faults {
            for number in 0.. {
                sender.send((fault, number)).expect("the test waits");
                let ran = run(&start, number, fault)
                    .unwrap_or_else(|error| panic!("{fault:?} at {number}: {error}"));
                let Some((call, outcome)) = ran else { break };
                let row = table.entry((format!("{fault:?}"), format!("{call:?}"))).or_default();
                *row.entry(outcome).or_default() += 1;
            }
        }
        for ((fault, call), outcomes) in table {
            println!("{fault:<14} {call:<10} {outcomes:?}");
        }
    });
    let mut last = None;
    loop {
        match receiver.recv_timeout(Duration::from_secs(60)) {
            Ok(at) => last = Some(at),
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs at {last:?}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    worker.join().unwrap_or_else(|_| panic!("it failed at {last:?}"));
}

/// What fails while a want lasts.
struct Want {
    what: &'static str,
    number: i32,
    hits: fn(Call) -> bool,
}

fn takes_space(call: Call) -> bool {
    matches!(call, Call::Write | Call::Create | Call::Allocate | Call::SetLength | Call::SyncNames)
}

const WANTS: [Want; 10] = [
    Want { what: "no space", number: libc::ENOSPC, hits: takes_space },
    Want { what: "over quota", number: libc::EDQUOT, hits: takes_space },
    Want {
        what: "no descriptors",
        number: libc::EMFILE,
        hits: |call| matches!(call, Call::Open | Call::Create | Call::Remove | Call::SyncNames | Call::List),
    },
    Want {
        what: "no permission",
        number: libc::EACCES,
        hits: |call| {
            let names =
                [Call::Open, Call::Create, Call::Remove, Call::SyncNames, Call::List, Call::IsCurrent];
            names.contains(&call)
        },
    },
    Want {
        what: "no memory",
        number: libc::ENOMEM,
        hits: |call| !matches!(call, Call::Sync | Call::SyncAll),
    },
    Want {
        what: "no space at fdatasync",
        number: libc::ENOSPC,
        hits: |call| matches!(call, Call::Sync | Call::SyncAll),
    },
    Want { what: "read-only", number: libc::EROFS, hits: |call| takes_space(call) || call == Call::Remove },
    Want { what: "errors", number: libc::EIO, hits: |_| true },
    Want { what: "no connection", number: libc::ENOTCONN, hits: |_| true },
    Want {
        what: "errors at fdatasync",
        number: libc::EIO,
        hits: |call| matches!(call, Call::Sync | Call::SyncAll),
    },
];

/// Runs the workload while a want lasts from one call on, for so many tries of whatever it keeps from happening.
fn run_in_want(start: &Start, number: u64, tries: usize, want: &Want) -> Result<Option<Outcome>, String> {
    let power = start.store.kill();
    let store = Arc::new(Faulty::new(Arc::new(power.clone())));
    let remembered = Remembered::of(start.known.clone());
    let volume = said("opening", start.fixture.try_open_with(store.clone(), &remembered))?;
    let found = Found::of(&volume)?;
    let versions = found.versions.into_iter().map(|(id, version)| (id, vec![version])).collect();
    let mut model = Model::new(Vec::new(), found.tree, versions);
    let mut bench = Bench { volume: &volume, model: &mut model, held: Vec::new() };
    let (begins, error, hits) = (store.calls() + number, want.number, want.hits);
    let lasting =
        move |event: &Event| (event.number >= begins && hits(event.call)).then_some(Fault::Error(error));
    fail_when(&store, &power, number, lasting);
    let (mut outcome, mut left) = (Outcome::Unnoticed, tries);
    for operation in WORKLOAD {
        loop {
            match bench.run(operation) {
                Ok(done) => {
                    assert!(done, "{operation:?} makes sense");
                    break;
                }
                Err(Error::Stopped) => return Err(format!("it stopped at {operation:?}")),
                Err(error) if left == 0 => return Err(format!("{operation:?} fails for ever: {error:?}")),
                Err(_) => outcome = Outcome::Passing,
            }
            left -= 1;
            if left == 0 {
                // While it lasts nothing of what was acknowledged is lost.
                let done = bench.model.done();
                let mut model = bench.model.clone();
                model.advance();
                let known = remembered.snapshot();
                check(&start.fixture, Arc::new(power.cut(&mut Extreme::Oldest)), known, &model, done)?;
                store.heal();
                left = 2;
            }
        }
    }
    if !store.log().iter().any(|event| event.fault.is_some()) {
        return Ok(None);
    }
    store.heal();
    let done = model.done();
    said("closing", volume.close())?;
    check_leftovers(&volume, &*store)?;
    let known = remembered.snapshot();
    check(&start.fixture, Arc::new(power.cut(&mut Extreme::Oldest)), known, &model, done)?;
    Ok(Some(outcome))
}

#[test]
fn wants_that_last_and_pass() {
    let start = Start::new(&super::workloads::FILES);
    for want in WANTS {
        let mut outcomes: BTreeMap<Outcome, usize> = BTreeMap::new();
        for tries in [1, 4, 25] {
            for number in (0..).step_by(7) {
                let ran = run_in_want(&start, number, tries, &want)
                    .unwrap_or_else(|error| panic!("{} from {number}, {tries} tries: {error}", want.what));
                let Some(outcome) = ran else { break };
                *outcomes.entry(outcome).or_default() += 1;
            }
        }
        println!("{:<22} {outcomes:?}", want.what);
    }
}
