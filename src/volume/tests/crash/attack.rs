//! What another process does to the folder under a live mount, and the workloads around it.

use super::operation::BORDER;
use super::operation::Operation::{self, *};
use crate::chunk::BLOCK;
use crate::store::power::Power;
use crate::store::{FileName, Store};

/// What another process does to a chunk file, durably.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Attack {
    /// A file that reads the same takes its place.
    Same,
    /// One that reads as it did before the workload.
    Older,
    Garbage,
    /// An empty one.
    Empty,
    Gone,
    /// All but its first block is cut off, in place.
    Cut,
    /// It is written over, in place.
    Overwritten,
}

const ATTACKS: [Attack; 7] = [
    Attack::Same,
    Attack::Older,
    Attack::Garbage,
    Attack::Empty,
    Attack::Gone,
    Attack::Cut,
    Attack::Overwritten,
];

/// One of each sort: the name leads elsewhere, nowhere, or to the same file.
const FEW: [Attack; 3] = [Attack::Same, Attack::Gone, Attack::Overwritten];

impl Attack {
    /// The mount cannot notice by the file's name.
    pub fn is_in_place(self) -> bool {
        matches!(self, Attack::Cut | Attack::Overwritten)
    }

    /// `false`: there is no file, or what would take its place is the same.
    pub fn run(self, store: &Power, before: &Power, name: FileName) -> bool {
        let Some(now) = bytes(store, name) else { return false };
        match self {
            Attack::Same => store.exchange(name, Some(&now)),
            Attack::Older => match bytes(before, name) {
                Some(then) if then != now => store.exchange(name, Some(&then)),
                _ => return false,
            },
            Attack::Garbage => store.exchange(name, Some(&[7; 3 * BLOCK])),
            Attack::Empty => store.exchange(name, Some(&[])),
            Attack::Gone => store.exchange(name, None),
            Attack::Cut => store.overwrite(name, &now[..now.len().min(BLOCK)]),
            Attack::Overwritten => store.overwrite(name, &vec![7; now.len()]),
        }
        true
    }
}

fn bytes(store: &Power, name: FileName) -> Option<Vec<u8>> {
    let file = store.open(name).ok()?;
    let mut bytes = vec![0; file.length().expect("it is in memory") as usize];
    file.read_at(0, &mut bytes).expect("it is in memory");
    Some(bytes)
}

/// What is corrupt, and what is done with it before and afterwards.
pub(super) struct Subject {
    pub path: &'static str,
    pub index: u32,
    /// Stands before everything else.
    first: Option<Operation>,
    pub changes: &'static [Operation],
    /// A directory's log is moved into segments.
    pub is_narrow: bool,
}

const SUBJECT: Subject = Subject { path: "", index: 0, first: None, changes: &[], is_narrow: false };

const TWO_CHUNKS: &[Operation] =
    &[Write { path: "c", at: BORDER + 20, length: 200 }, Write { path: "c", at: 10, length: 20 }];

pub(super) const SUBJECTS: [Subject; 8] = [
    Subject {
        path: "a",
        changes: &[Write { path: "a", at: 50, length: 200 }, Append { path: "a", length: 5000 }],
        ..SUBJECT
    },
    Subject {
        path: "n",
        first: Some(Create("n")),
        changes: &[Append { path: "n", length: 300 }, Append { path: "n", length: 5000 }],
        ..SUBJECT
    },
    Subject {
        path: "b",
        changes: &[Write { path: "b", at: 10, length: 20 }, Append { path: "b", length: 5000 }],
        ..SUBJECT
    },
    Subject { path: "c", changes: TWO_CHUNKS, ..SUBJECT },
    Subject { path: "c", index: 1, changes: TWO_CHUNKS, ..SUBJECT },
    Subject { path: "s", changes: &[SetXattr("s", 20), SetMode("s", 0o600)], ..SUBJECT },
    Subject { path: "d", changes: &[Create("d/n"), Unlink("d/x"), SetMode("d", 0o700)], ..SUBJECT },
    Subject {
        path: "d",
        changes: &[Create("d/one more name of some length"), Unlink("d/name of some length 3")],
        is_narrow: true,
        ..SUBJECT
    },
];

/// So many that a narrow directory has segments.
pub(super) const MORE: [Operation; 12] = [
    Symlink("s"),
    Create("r"),
    Write { path: "r", at: 0, length: 50 },
    Create("d/name of some length 1"),
    Create("d/name of some length 2"),
    Round,
    Create("d/name of some length 3"),
    Create("d/name of some length 4"),
    Create("d/name of some length 5"),
    Round,
    Create("d/name of some length 6"),
    Round,
];

impl Subject {
    pub fn sync(&self) -> Operation {
        if self.path == "d" { SyncDirectory("d") } else { Sync(self.path) }
    }

    /// What may stand before the attack.
    fn before(&self) -> Vec<Operation> {
        self.changes.iter().copied().chain([self.sync(), Batch, Round, Flush(self.path)]).collect()
    }

    /// What may stand behind it.
    fn after(&self) -> Vec<Operation> {
        let renames = match self.path {
            "d" => [Rename("d", "m"), Rename("d", "e")],
            path => [Rename(path, "m"), Rename(path, "r")],
        };
        let linked = if self.path == "d" { SetXattr("d", 30) } else { Link(self.path, "e/l") };
        let others = [self.sync(), Batch, Round, Unlink(self.path), linked];
        self.changes.iter().copied().chain(others).chain(renames).collect()
    }

    /// Every attack with all that stand before and behind it, two at the most; a few attacks also among three.
    pub fn sequences(&self) -> Vec<(Vec<Operation>, Attack, Vec<Operation>)> {
        let up_to_two = |of: Vec<Operation>| {
            let pairs = of.iter().flat_map(|first| of.iter().map(|second| vec![*first, *second]));
            let one: Vec<_> = of.iter().map(|first| vec![*first]).collect();
            [vec![Vec::new()], one, pairs.collect()].concat()
        };
        let (before, after) = (up_to_two(self.before()), up_to_two(self.after()));
        let all = before.iter().flat_map(|before| after.iter().map(move |after| (before, after)));
        let mut sequences = Vec::new();
        for (before, after) in all {
            let attacks = match before.len() + after.len() {
                0..=2 => &ATTACKS[..],
                3 => &FEW,
                _ => &[],
            };
            let before: Vec<Operation> = self.first.iter().chain(before).copied().collect();
            sequences.extend(attacks.iter().map(|attack| (before.clone(), *attack, after.clone())));
        }
        sequences
    }
}
