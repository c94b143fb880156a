//! What real programs do: SQLite in both journal modes, and git, as `tests/traces/record` saw them. Besides the oracle,
//! the program itself is asked about what each crash left.

use super::super::Fixture;
use super::check::{check, said};
use super::operation::Operation::{self, *};
use super::recorder::Point;
use super::{Start, Tally};
use crate::chunk::remembered::{Remembered, Snapshot};
use crate::store::power::Power;
use crate::test_rng::seed;
use crate::volume::{Inode, Kind, Volume};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

struct Program {
    name: &'static str,
    recording: &'static [u8],
    /// Finds out, in a folder of what was found, how many of the program's steps are there.
    ask: fn(&Path) -> Result<usize, String>,
    /// Acknowledged steps that may be missing.
    late: usize,
}

const SQLITE_DELETE: Program = Program {
    name: "SQLite, rollback journal",
    recording: include_bytes!("../../../../tests/traces/sqlite-delete"),
    ask: ask_sqlite,
    late: 0,
};
const SQLITE_WAL: Program = Program {
    name: "SQLite, write-ahead log",
    recording: include_bytes!("../../../../tests/traces/sqlite-wal"),
    ask: ask_sqlite,
    late: 0,
};
/// It does not sync the name of what it renames last.
const GIT: Program =
    Program { name: "git", recording: include_bytes!("../../../../tests/traces/git"), ask: ask_git, late: 1 };

/// A recording.
#[derive(Default)]
struct Trace {
    /// Was there long ago.
    before: Vec<Operation>,
    after: Vec<Operation>,
    /// How many operations were over when the program said each time that what it did will last.
    acknowledged: Vec<usize>,
}

impl Trace {
    fn parse(mut rest: &'static [u8]) -> Trace {
        let mut trace = Trace::default();
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').expect("a line's end");
            let line = std::str::from_utf8(&rest[..end]).expect("text");
            rest = &rest[end + 1..];
            let number = |text: &str| text.parse::<u64>().expect("a number");
            let operation = match line.split(' ').collect::<Vec<_>>()[..] {
                ["create", path] => Create(path),
                ["mkdir", path] => MakeDirectory(path),
                ["write", path, at, length] => {
                    let (data, behind) = rest.split_at(number(length) as usize);
                    rest = &behind[1..];
                    Put { path, at: number(at), data }
                }
                ["resize", path, size] => Resize { path, size: number(size) },
                ["mode", path, mode] => SetMode(path, u32::from_str_radix(mode, 8).expect("a mode")),
                ["sync", path] => Sync(path),
                ["syncdir", path] => SyncDirectory(path),
                ["rename", from, to] => Rename(from, to),
                ["link", from, to] => Link(from, to),
                ["unlink", path] => Unlink(path),
                ["base"] => {
                    trace.before = std::mem::take(&mut trace.after);
                    continue;
                }
                ["ack"] => {
                    trace.acknowledged.push(trace.after.len());
                    continue;
                }
                _ => panic!("{line}"),
            };
            trace.after.push(operation);
        }
        trace
    }
}

/// Writes everything that a volume holds into a folder.
fn extract(volume: &Volume, directory: &Arc<Inode>, to: &Path) -> crate::volume::Result<()> {
    let mut entries = Vec::new();
    volume.read_directory(directory, 0, &mut |_, name, _, kind| {
        entries.push((String::from_utf8(name.to_vec()).expect("text"), kind));
        true
    })?;
    for (name, kind) in entries {
        let inode = volume.lookup(directory, name.as_bytes())?.expect("it was listed");
        let path = to.join(name);
        if kind == Kind::Directory {
            std::fs::create_dir(&path).expect("a folder");
            extract(volume, &inode, &path)?;
        } else {
            std::fs::write(&path, super::super::content(volume, &inode)).expect("a file");
        }
    }
    Ok(())
}

fn ask_program(
    program: &Program,
    fixture: &Fixture,
    store: Power,
    known: &Snapshot,
) -> Result<usize, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let volume = said("opening", fixture.try_open_with(Arc::new(store), &Remembered::of(known.clone())))?;
    said("reading", extract(&volume, &said("opening", volume.root())?, folder.path()))?;
    (program.ask)(folder.path())
}

/// What a command prints; its complaints if it fails.
fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().expect("scripts/setup --test installs it");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{command:?}: {} {}", text(&output.stdout), text(&output.stderr))),
    }
}

/// Each transaction adds a row and counts it in another table.
fn ask_sqlite(folder: &Path) -> Result<usize, String> {
    let sql = "pragma integrity_check; select count(*), coalesce(max(n), 0), (select n from last) from t;
        select count(*) from t where replace(v, n || ' ', '') <> '' or length(v) <> 150 * (length(n) + 1);";
    let said = output(Command::new("sqlite3").arg(folder.join("db")).arg(sql))?;
    let rows = said.split('\n').nth(1).and_then(|line| line.split('|').next()).unwrap_or_default();
    let whole = said == format!("ok\n{rows}|{rows}|{rows}\n0");
    rows.parse().ok().filter(|_| whole).ok_or(said)
}

/// One commit was there before.
fn ask_git(folder: &Path) -> Result<usize, String> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").args(["-c", "safe.directory=*", "-C"]).arg(folder);
        output(git.args(arguments))
    };
    git(&["fsck", "--strict", "--full", "--no-dangling"])?;
    git(&["ls-files", "--stage"])?;
    let commits: usize = git(&["rev-list", "--count", "HEAD"])?.parse().map_err(|_| "no number")?;
    Ok(commits - 1)
}

/// Cuts the power at each of every `step` crash points of a recording.
fn replay(program: &Program, step: usize) {
    let trace = Trace::parse(program.recording);
    let start = Start::new(&trace.before);
    let recorded = start
        .record(start.store.kill(), start.known.clone(), None, &trace.after)
        .unwrap_or_else(|error| panic!("{error}"));
    let (model, points) = recorded.expect("it makes sense");
    let (seed, mut tally) = (seed(), Tally::default());
    for (number, Point { store, known, done }) in points.into_iter().enumerate() {
        if !number.wrapping_add(seed as usize).is_multiple_of(step) {
            continue;
        }
        let seed = seed.wrapping_add(number as u64);
        for cut in store.enumerate_cuts(3, seed) {
            if !tally.is_new(&cut, &known, done) {
                continue;
            }
            let least = trace.acknowledged.iter().filter(|at| **at <= done).count();
            let found = ask_program(program, &start.fixture, cut.kill(), &known);
            let kept = found.and_then(|found| {
                match (least.saturating_sub(program.late)..=least + 1).contains(&found) {
                    true => Ok(()),
                    false => Err(format!("{found} steps are there, {least} were acknowledged")),
                }
            });
            kept.and_then(|()| check(&start.fixture, Arc::new(cut), known.clone(), &model, done))
                .unwrap_or_else(|error| {
                    panic!("{}: cut {number} after {done}, seed {seed}: {error}", program.name)
                });
        }
    }
    println!("{}: {} states of {} operations", program.name, tally.states.len(), trace.after.len());
}

#[test]
fn sqlite_with_a_rollback_journal_survives() {
    replay(&SQLITE_DELETE, 9);
}

#[test]
fn sqlite_with_a_write_ahead_log_survives() {
    replay(&SQLITE_WAL, 9);
}

#[test]
fn git_survives() {
    replay(&GIT, 15);
}

/// By `scripts/crash`.
#[test]
#[ignore = "minutes: scripts/crash"]
fn every_crash_of_real_programs_is_survived() {
    for program in [SQLITE_DELETE, SQLITE_WAL, GIT] {
        replay(&program, 1);
    }
}
