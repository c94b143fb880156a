//! Advice for damage in a volume, older versions, and missing files.

use super::{Exit, Failure, failure, shown};
use crate::chunk::{ChunkId, Commit};
use crate::cli::report::commit_time;
use crate::cli::visible;
use crate::trust::VersionsUnavailable;
use crate::volume::{Damage, Finding};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A finding as one line: what it is about, what is wrong with it, where that lies, and what helps.
pub fn finding(backing: &Path, finding: &Finding) -> String {
    let (at, object, file) = (shown(backing), object(finding), finding.file.path());
    let accept = match &finding.path {
        Some(path) if !path.is_empty() => {
            let path = shown(OsStr::from_bytes(path));
            format!("`cryptfs trust accept {at:#} {path:#}`")
        }
        _ => format!("`cryptfs trust accept {at:#}`"),
    };
    let (what, help) = match &finding.damage {
        None if finding.is_placeholder => {
            (super::ONLY_A_PLACEHOLDER.to_owned(), "It can be read as soon as that file is there.".to_owned())
        }
        None => (
            "has not arrived yet".to_owned(),
            "It can be read once the sync client has downloaded it.".to_owned(),
        ),
        Some(Damage::Deleted) => (
            "is gone".to_owned(),
            format!("Restore that file from the provider's history; if it was deleted on purpose, {accept}."),
        ),
        Some(Damage::RolledBack { found, known }) => (
            format!("is older than it was: {}", ages(*found, *known)),
            format!("Restore the newer one from the provider's history; if this is on purpose, {accept}."),
        ),
        Some(Damage::Replaced) => (
            "was exchanged while it was open".to_owned(),
            "Unmount, let the sync client finish, and mount again.".to_owned(),
        ),
        Some(Damage::Corrupt(why)) => (
            format!("is damaged: {why}"),
            "Restore that file from a copy or from the provider's history, or remove the entry.".to_owned(),
        ),
    };
    format!("{object}: {what} ({file}). {help}")
}

/// What a finding is about, fit for one line.
pub fn object(finding: &Finding) -> String {
    match &finding.path {
        Some(path) => escape(path),
        None => nameless(finding.chunk),
    }
}

/// A path in the volume, fit for one line. The root is `/`.
pub fn escape(path: &[u8]) -> String {
    if path.is_empty() {
        return "/".to_owned();
    }
    visible::line(&String::from_utf8_lossy(path))
}

/// What a chunk without a path is.
pub fn nameless(chunk: ChunkId) -> String {
    match chunk.inode.journal_of() {
        Some(_) => "a device's journal".to_owned(),
        None => "something without a readable path".to_owned(),
    }
}

/// By how much something is older.
pub fn ages(found: Commit, known: Commit) -> String {
    format!("of {}, not of {}", commit_time(found), commit_time(known))
}

/// The volume's root directory, or this device's journal, is older than it was, or gone.
pub(super) fn rolled_back(backing: &Path, damage: &Damage) -> Failure {
    let at = shown(backing);
    let how = match damage {
        Damage::RolledBack { found, known } => {
            format!("is older than this device has seen it: {}", ages(*found, *known))
        }
        _ => "lacks a chunk file that this device has always found in it".to_owned(),
    };
    failure(
        Exit::RolledBack,
        format!(
            "{at}: the volume {how}. Nothing was written. Let the sync client finish, or restore the newer state; if an \
             older one was restored, or another copy of the folder used, on purpose: `cryptfs trust accept {at:#}`."
        ),
    )
}

/// What this device remembers of the volume's chunks cannot be opened.
pub fn versions(error: &VersionsUnavailable) -> Failure {
    match error {
        VersionsUnavailable::InUse => failure(
            Exit::InUse,
            "Another copy of this volume is mounted on this machine. Unmount it first: `findmnt -t fuse.cryptfs` lists \
             them.",
        ),
        VersionsUnavailable::Store(_) => failure(
            Exit::Failed,
            format!(
                "This device's record of the volume's file versions cannot be used: {error}. Repair or remove it."
            ),
        ),
    }
}

/// There is no object of this path in the volume.
pub fn no_such_path(path: &Path) -> Failure {
    failure(
        Exit::NoSuchPath,
        format!("{}: there is no such path in the volume. Give it from the volume's root.", shown(path)),
    )
}

/// A file's name is none that this volume gives.
pub fn no_chunk_file(file: &Path) -> Failure {
    failure(
        Exit::NoSuchPath,
        format!(
            "{}: this volume has no chunk file of that name. Give its folder too, as in chunks/a7/3f0c….",
            shown(file)
        ),
    )
}

/// No directory that can be read leads to the owner of a chunk file.
pub fn nothing_leads_to(file: &Path) -> Failure {
    failure(
        Exit::NoSuchPath,
        format!(
            "{}: it is this volume's, and nothing that can be read leads to what it belongs to: that was deleted, or \
             is damaged. See `cryptfs check`.",
            shown(file)
        ),
    )
}

/// A confirmation is needed and there is no terminal.
pub fn no_answer() -> Failure {
    failure(Exit::NothingToAskOn, "There is no terminal to ask on; --yes accepts all that is listed.")
}

/// The confirmation was refused.
pub fn not_accepted() -> Failure {
    failure(Exit::Failed, "Nothing was accepted.")
}
