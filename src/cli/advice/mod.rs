//! Everything that cryptfs tells people when something goes wrong: one sentence on what, one on what helps.
//!
//! Below this module errors are typed and give no advice; here each is matched exhaustively and gets its exit code. This
//! file has what all commands share; `keys.rs`, `identity.rs`, `rotation.rs`, `tpm.rs` and `mount.rs` have the errors of those layers.

mod absent;
mod check;
mod devices;
mod folders;
mod freshness;
mod identity;
mod keys;
mod mount;
mod next;
mod reading;
mod rotation;
mod status;
mod tpm;

pub use absent::*;
pub use check::*;
pub use devices::*;
pub use folders::*;
pub use freshness::*;
pub use identity::*;
pub use keys::*;
pub use mount::*;
pub use next::*;
pub use reading::*;
pub use rotation::*;
pub use status::*;
pub use tpm::*;

use super::exit::Exit;
use super::mount_options::{BadOption, DESCRIPTIONS};
use super::secret_input::LONGEST;
use super::visible::shown;
use crate::trust::TrustUnavailable;
use crate::volume;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitStatus;

/// A command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn failure(exit: Exit, message: impl Into<String>) -> Failure {
    Failure { exit, message: message.into() }
}

/// An error of the operating system, about `what`.
pub fn system(what: impl fmt::Display, error: &io::Error) -> Failure {
    failure(Exit::Failed, format!("{what}: {}.{}", plain(error), against(error)))
}

/// What helps against an error of the operating system that says nothing of it, with a blank in front.
fn against(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            " What it lies on is mounted read-only, on purpose or since its disk failed (`dmesg` tells). Have it mounted for \
             writing, and try again."
        }
        io::ErrorKind::StorageFull => " Make room on that disk, and try again.",
        io::ErrorKind::QuotaExceeded => {
            " Delete something of this user's there, or have the quota raised, and try again."
        }
        io::ErrorKind::PermissionDenied => " This user may not do that there; `ls -ld` shows whose it is.",
        io::ErrorKind::NotConnected
        | io::ErrorKind::TimedOut
        | io::ErrorKind::StaleNetworkFileHandle
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => {
            " Bring back the server or the disk that it lies on, and try again."
        }
        _ => match error.raw_os_error() {
            Some(libc::EIO) => {
                " See whether the disk or the server that it lies on is well (`dmesg`), and try again."
            }
            _ => "",
        },
    }
}

/// Where a second name of chunk files would have been kept.
pub fn not_pinned(folder: &Path, error: &io::Error) -> String {
    format!(
        "{}: {}. Large files that another device changes at the same time may lose one of the two versions.",
        shown(folder),
        plain(error)
    )
}

/// The error without Rust's "(os error 2)".
pub fn plain(error: &io::Error) -> String {
    plain_text(&error.to_string())
}

/// A text that quotes errors, without those numbers.
fn plain_text(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once(')').map_or(part, |(_, rest)| rest))
}

pub fn secret_file(path: &Path, error: &io::Error) -> Failure {
    let path = shown(path);
    match error.kind() {
        io::ErrorKind::FileTooLarge => {
            failure(Exit::Failed, format!("{path}: a passphrase has at most {LONGEST} bytes."))
        }
        _ => failure(Exit::Failed, format!("{path}: cannot read the secret: {}.", plain(error))),
    }
}

pub fn empty_secret(path: &Path) -> Failure {
    failure(Exit::Failed, format!("{}: holds no passphrase: it is empty.", shown(path)))
}

pub fn no_terminal() -> Failure {
    failure(
        Exit::NothingToAskOn,
        "There is no terminal to ask for the passphrase on, and no program that asks for it elsewhere. Give it with \
         --passphrase-file FILE, or - for standard input; or name such a program in CRYPTFS_ASKPASS.",
    )
}

/// A new secret is wanted. `flag`: which takes it from a file.
pub fn nobody_to_make_it_up(flag: &str) -> Failure {
    failure(
        Exit::NothingToAskOn,
        format!(
            "There is no terminal to ask for the new secret on, and no program that asks for it elsewhere. Give it with \
             {flag} FILE, or - for standard input; or name such a program in CRYPTFS_ASKPASS."
        ),
    )
}

pub fn nobody_to_show_it_to() -> Failure {
    failure(
        Exit::NothingToAskOn,
        "There is no terminal to show the recovery key on. Have it written to a file: --recovery-file OUT.",
    )
}

/// The program that was to ask could not be run, or what it answered not be read.
pub fn agent(program: &Path, error: &io::Error) -> Failure {
    failure(
        Exit::NothingToAskOn,
        format!("{}: the passphrase could not be asked for with it: {}.", shown(program), plain(error)),
    )
}

/// Nobody answered there, or whoever was asked said no.
pub fn no_answer_by(program: &Path, ended: ExitStatus) -> Failure {
    failure(
        Exit::NothingToAskOn,
        format!("{} gave no answer ({ended}); the volume stays closed. Try again.", shown(program)),
    )
}

/// What a question begins with where nothing else tells what it is about.
pub fn question(backing: &Path, why: Option<&str>) -> String {
    // Only what happened: what helps is to answer.
    let why =
        why.and_then(|why| why.split(". ").next()).map(|why| why.trim_end_matches('.').to_owned() + ". ");
    format!("{}Encrypted volume {}. ", why.unwrap_or_default(), shown(backing))
}

pub fn terminal(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => failure(Exit::Interrupted, "Interrupted."),
        io::ErrorKind::UnexpectedEof => {
            failure(Exit::NothingToAskOn, "The terminal was closed; nothing was done.")
        }
        io::ErrorKind::FileTooLarge => {
            failure(Exit::Failed, format!("A passphrase has at most {LONGEST} bytes."))
        }
        _ => system("The terminal", error),
    }
}

pub fn option(error: &BadOption) -> Failure {
    let forms = match error {
        BadOption::Value(word) => forms(word),
        BadOption::Unknown(_) | BadOption::Conflict(..) => Vec::new(),
    };
    let forms = if forms.is_empty() { String::new() } else { format!(": {}", forms.join(", ")) };
    failure(Exit::Usage, format!("{error}{forms}. `man 5 cryptfs` lists them."))
}

/// How an option is written, as its description has it.
fn forms(word: &str) -> Vec<&'static str> {
    let name = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
    let all = DESCRIPTIONS.iter().flat_map(|(words, _)| words.split(", "));
    all.filter(|form| form.contains('=') && name(form) == name(word)).collect()
}

/// Of a file that a client shows, and has not fetched: nothing fetches it by itself.
pub const ONLY_A_PLACEHOLDER: &str =
    "is only a placeholder: have your sync client fetch it (\"make available offline\")";

/// The folder is there, and not for this user.
pub fn shut(folder: &Path) -> Failure {
    let at = shown(folder);
    failure(
        Exit::Failed,
        format!(
            "{at}: this user may not read that folder, or cryptfs.json in it. `ls -la {at:#}` shows whose they are."
        ),
    )
}

/// A placeholder stands for a file without which the volume cannot be opened.
pub fn opening_placeholder(backing: &Path, file: &str) -> Failure {
    let at = shown(backing);
    failure(Exit::BadVolume, format!("{at}: {file} {ONLY_A_PLACEHOLDER}. Then mount again."))
}

/// A volume whose keys are right could not be opened or made.
pub fn volume(backing: &Path, error: &volume::Error) -> Failure {
    let at = shown(backing);
    let help = match error {
        volume::Error::NotArrived(_) => "Wait for the sync client to finish, then mount again.",
        volume::Error::Damaged(_, damage @ (volume::Damage::RolledBack { .. } | volume::Damage::Deleted)) => {
            return rolled_back(backing, damage);
        }
        volume::Error::Damaged(..) => "Restore that file from a copy or from the provider's history.",
        volume::Error::NoSpace => "Free space on the backing folder's disk.",
        volume::Error::ReadOnly => {
            let help = "Nothing was changed: this user may not write there, or the disk is read-only.";
            return failure(
                Exit::BadVolume,
                format!("{at}: {error}. {help} `ls -ld {at:#}` shows whose it is."),
            );
        }
        volume::Error::NotFound
        | volume::Error::Exists
        | volume::Error::NotDirectory
        | volume::Error::IsDirectory
        | volume::Error::NotEmpty
        | volume::Error::Invalid
        | volume::Error::NameTooLong
        | volume::Error::FileTooLarge
        | volume::Error::TooManyLinks
        | volume::Error::Stopped
        | volume::Error::Store(_) => "Check the folder's disk and its sync client.",
    };
    failure(Exit::BadVolume, format!("{at}: {error}. {help}"))
}

pub fn no_root(backing: &Path) -> Failure {
    failure(
        Exit::BadVolume,
        format!("{}: its root directory cannot be read. Restore the folder from a copy.", shown(backing)),
    )
}

pub fn no_memory() -> Failure {
    failure(Exit::Failed, "There is not enough memory to derive a key from a passphrase: 64 MiB are needed.")
}

/// The list of findings is incomplete; only a warning, since nothing depends on it.
pub fn list_of_findings(error: &TrustUnavailable) -> String {
    format!("The list of findings for this volume cannot be read in full: {error}. Nothing else is affected.")
}

/// This device's record of the volume exists but cannot be used.
pub fn state(error: &TrustUnavailable) -> Failure {
    failure(
        Exit::Failed,
        format!("This device's record of the volume cannot be used: {error}. Repair or remove it."),
    )
}

#[cfg(test)]
mod tests;
