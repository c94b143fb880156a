//! Every error of the store at every call of a mixed workload, one at a time: the caller is told, nothing that was
//! acknowledged is lost, nothing panics or hangs, and when the error has passed, or after a new mount, work goes on.

use super::Start;
use super::check::{Found, check, said};
use super::model::Model;
use super::operation::Operation::{self, *};
use super::operation::{BORDER, Bench};
use crate::chunk::remembered::Remembered;
use crate::store::faulty::{Call, ERRORS, Fault, Faulty};
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

/// Runs the workload with a fault at one call; `None` if there are fewer calls.
fn run(start: &Start, number: u64, fault: Fault) -> Result<Option<(Call, Outcome)>, String> {
    let power = start.store.kill();
    let store = Arc::new(Faulty::new(Arc::new(power.clone())));
    store.fail_nth(number, fault);
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
    let found = Found::of(&healthy)?;
    let versions = found.versions.into_iter().map(|(id, version)| (id, vec![version])).collect();
    let mut model = Model::new(Vec::new(), found.tree, versions);
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
        let faults = ERRORS.map(Fault::Error).into_iter().chain([Fault::Short(libc::ENOSPC)]);
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
