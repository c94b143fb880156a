//! How findings of a check, and the steps of a repair, are told.

use super::{Exit, Failure, escape, failure, shown};
use crate::check::{Finding, Trouble, What};
use crate::repair::{Home, Step};
use crate::volume::Damage;
use std::path::Path;

/// A finding as one line: what it is about, what is wrong, and in which file.
pub fn check_finding(finding: &Finding) -> String {
    let object = match (&finding.path, &finding.file) {
        (Some(path), _) => escape(path),
        (None, Some(file)) => file.clone(),
        (None, None) => "the volume".to_owned(),
    };
    let file = match (&finding.path, &finding.file) {
        (Some(_), Some(file)) => format!(" ({file})"),
        _ => String::new(),
    };
    format!("{object}: {}{file}", what(&finding.what))
}

fn what(what: &What) -> String {
    match what {
        What::Foreign => "is none of cryptfs's files".to_owned(),
        What::DeadSlot(why) => format!("is a key slot that opens nothing: {why}"),
        What::ConflictCopy => {
            "has a sync client's copy of a chunk file, which the next mount merges if it can".to_owned()
        }
        What::Garbage(why) => format!("belongs to nothing, and cannot be read: {}", trouble(why)),
        What::Unused => "is needed by nothing; a crash or a deletion under way leaves such files".to_owned(),
        What::Content { range, trouble: why } => {
            format!("bytes {} to {} cannot be read: {}", range.start, range.end, trouble(why))
        }
        What::Entries(why) => format!("what is in this folder cannot be read: {}", trouble(why)),
        What::Table(why) => format!("which chunks it has cannot be read: {}", trouble(why)),
        What::Dangling { trouble: why, .. } => format!("cannot be read: {}", trouble(why)),
        What::Root(why) => format!("the root directory cannot be read: {}", trouble(why)),
        What::Unnamed { may_come: true, .. } => {
            "is in no folder; the one it says it is in may be on its way".to_owned()
        }
        What::Unnamed { .. } => "is in no folder any more".to_owned(),
        What::Returned => {
            "was removed on this device and is back: the next mount names it again if another device changed it".to_owned()
        }
        What::Links { may_come: true, .. } => {
            "has other names than it says; another device's change may be on its way".to_owned()
        }
        What::Links { may_come: false, .. } => "has other names than it says".to_owned(),
        What::FormerNames => {
            "says that it has names which are gone since several devices changed them: the next mount that shows it puts that right".to_owned()
        }
        What::LinkCount { found, due } => format!("has a link count of {found} instead of {due}"),
        What::Twice { .. } => "this name stands twice in its folder".to_owned(),
        What::SeveralNames { may_come: true } => {
            "is a folder with several names; that one was removed may be on its way".to_owned()
        }
        What::SeveralNames { may_come: false } => "is a folder with several names".to_owned(),
        What::Cycle { may_come: true } => {
            "is a folder that lies in itself; another device's change may be on its way".to_owned()
        }
        What::Cycle { may_come: false } => "is a folder that lies in itself".to_owned(),
        What::Journal(why) => {
            format!("a device's journal cannot be read, its newest changes may be missing: {}", trouble(why))
        }
    }
}

fn trouble(trouble: &Trouble) -> String {
    match trouble {
        Trouble::NotArrived => "it has not arrived yet".to_owned(),
        Trouble::Placeholder => format!("it {}", super::ONLY_A_PLACEHOLDER),
        Trouble::Damage(Damage::RolledBack { found, known }) => {
            format!("it is older than it was: {}", super::ages(*found, *known))
        }
        Trouble::Damage(damage) => damage.to_string(),
        Trouble::Store(error) => error.clone(),
    }
}

/// A step of a repair as one line, for what has a path now.
pub fn repair_step(step: &Step, path: Option<&[u8]>) -> Option<String> {
    let object = path.map_or_else(|| "something without a readable path".to_owned(), escape);
    let to = |name: &[u8]| escape(name);
    Some(match step {
        Step::Accept { .. } => format!("Take {object} as it is, although it is older than it was."),
        Step::NewJournal => {
            "Begin a new journal for this device; the damaged one is kept in the state folder.".to_owned()
        }
        Step::NewRoot => {
            "Begin a new root directory; what says that it was in it gets its name back.".to_owned()
        }
        Step::Adopt { home: Home::Back { name, .. }, .. }
        | Step::AddName { home: Home::Back { name, .. }, .. } => {
            format!("Put {} back into its folder.", to(name))
        }
        Step::Adopt { home: Home::Rebuilt { name, .. }, .. }
        | Step::AddName { home: Home::Rebuilt { name, .. }, .. } => {
            format!("Put {} into a new folder in place of the lost one.", to(name))
        }
        Step::Adopt { home: Home::Found { folders, name }, .. }
        | Step::AddName { home: Home::Found { folders, name }, .. } => {
            let all: Vec<&[u8]> = folders.iter().chain([name]).map(Vec::as_slice).collect();
            format!("Put {object} at lost+found/{}.", to(&all.join(&b'/')))
        }
        Step::Nest { name, .. } => {
            format!("Put what is left of the folder {} into that of the lost one above it.", to(name))
        }
        Step::Replace { .. } => format!("Put what is left of the folder {object} in its place."),
        Step::CopyRest { name, .. } => {
            format!("Copy what is left of {object} to {}.partial beside it.", to(name))
        }
        Step::RemoveName { path, name, .. } => {
            format!("Remove the name {}: what it stood for is lost.", to(path.as_ref().unwrap_or(name)))
        }
        Step::PartNames { .. } => format!("Give the second of two entries named {object} a number."),
        Step::OneName { .. } => format!("Leave the folder {object} one of its names."),
        Step::LeaveRing { .. } => "Take a folder that lies in itself out of there.".to_owned(),
        Step::CorrectLinks { .. } => format!("Correct the names and the count of links that {object} has."),
        Step::Keep { .. } | Step::Settle { .. } => return None,
    })
}

/// `data`: content was looked at, without which a repair would not find the same. `has_older`: some of it is only older than
/// it was.
pub fn found_damage(count: usize, data: bool, has_older: bool, at: &Path) -> Failure {
    let at = shown(at);
    let data = if data { "--data " } else { "" };
    let older = match has_older {
        true => format!(" What is older on purpose: `cryptfs trust accept {at:#}`."),
        false => String::new(),
    };
    failure(
        Exit::Damaged,
        format!(
            "{count} found. Restore the files that are named from a copy or from the provider's history; what cannot be \
             restored: `cryptfs check --repair {data}{at:#}`.{older}"
        ),
    )
}

/// Behind the list of what this device found damaged.
pub fn what_helps_against_findings(at: &Path) -> String {
    let at = shown(at);
    format!(
        "\nRestore these files from a copy or from the provider's history; what has not arrived, let the sync client fetch.\n\
         `cryptfs check --data {at:#}` says what is still so, and with --repair saves what can be read. What is older or gone on \
         purpose: `cryptfs trust accept {at:#}`.\n"
    )
}

pub fn found_waiting(count: usize) -> Failure {
    failure(
        Exit::NotArrived,
        format!(
            "{count} not arrived yet. Let the sync client finish, and have it fetch what is only a placeholder; then check again."
        ),
    )
}

pub fn repaired() -> Failure {
    failure(Exit::Repaired, "Everything that was wrong is repaired.")
}

pub fn repair_beside_mount(at: &Path) -> Failure {
    failure(Exit::InUse, format!("{}: the volume is mounted. Unmount it to repair it.", shown(at)))
}

pub fn repair_not_confirmed() -> Failure {
    failure(Exit::Damaged, "Nothing was changed.")
}
