//! What is said of mounts that something is wrong with, and of systemd units.

use super::{Exit, Failure, failure, plain_text, shown, system};
use crate::cli::status::Trouble;
use crate::mount::Entry;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

/// What is wrong, and the next step.
pub fn trouble(trouble: &Trouble, mount: &Entry) -> String {
    let (at, backing) = (shown(&mount.path), shown(&mount.source));
    match trouble {
        Trouble::Silent => format!(
            "The daemon did not answer for five seconds. If {backing} lies on a server or a disk that is gone, bring that \
             back; `cryptfs umount --lazy {at:#}` takes the mount away."
        ),
        Trouble::Gone => {
            format!("The daemon is gone. `cryptfs umount {at:#}` takes the mount away; then mount again.")
        }
        Trouble::Forbidden => format!("The daemon answers user {} only: ask as that user.", mount.user),
        Trouble::NotAsked(why) => format!(
            "The daemon could not be asked: {why}. Its log says more: `journalctl -t cryptfs`, or the file of log-file=. If \
             {backing} is away, bring it back; else `cryptfs umount {at:#}`, and mount again.",
            why = plain_text(why),
        ),
        Trouble::Stopped(why) => format!(
            "The volume stopped, and nothing is written any more: {why}. Check the disk and the sync client of {backing}; then \
             `cryptfs mount -o remount {backing:#} {at:#}` has it go on. `cryptfs umount {at:#}` says what was not stored.",
            why = plain_text(why),
        ),
        Trouble::Delayed(why) => format!(
            "Not everything can be stored: {why}. It is tried again by itself. If the disk of {backing} is full, make \
             room there, or delete something in {at}; if it is away or fails, bring it back.",
            why = plain_text(why),
        ),
        Trouble::Damaged(count) => format!(
            "{}. `cryptfs trust status {backing:#}` lists them and says what helps.",
            counted(
                *count,
                "file or folder is damaged or older than it was",
                "files or folders are damaged or older than they were"
            )
        ),
        Trouble::FoundByCheck { damaged, data } => format!(
            "The last check found {}. `cryptfs check {}{backing:#}` shows it again.",
            counted(*damaged, "thing damaged", "things damaged"),
            if *data { "--data " } else { "" }
        ),
        Trouble::Conflicts(count) => format!(
            "{}: the other version is a file beside it, with \"conflict\" in its name. Keep what you want of the two, and \
             delete the other.",
            counted(*count, "file was changed on two devices", "files were changed on two devices")
        ),
        Trouble::Placeholders(count) => format!(
            "{}: have your sync client fetch {backing} (\"make available offline\"). `cryptfs trust status {backing:#}` lists \
             them.",
            counted(*count, "file or folder is only a placeholder", "files or folders are only placeholders")
        ),
        Trouble::NotArrived(count) => format!(
            "{} not arrived yet. Let the sync client of {backing} finish; nothing else has to be done.",
            counted(*count, "file or folder has", "files or folders have")
        ),
    }
}

fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

pub fn mounts_need_a_person(bad: usize, all: usize) -> Failure {
    let verb = if bad == 1 { "needs" } else { "need" };
    failure(
        Exit::NeedsAPerson,
        format!("{bad} of {} {verb} you: see above.", counted(all, "mount", "mounts")),
    )
}

pub fn mounts_wait(waiting: usize, all: usize) -> Failure {
    let verb = if waiting == 1 { "waits" } else { "wait" };
    failure(Exit::Waiting, format!("{waiting} of {} {verb}: see above.", counted(all, "mount", "mounts")))
}

/// A path, a mount option or a unit's name.
pub fn unit_text(text: &OsStr) -> Failure {
    failure(
        Exit::Usage,
        format!("{:?}: this cannot stand in a systemd unit: it has control characters or is no text.", text),
    )
}

pub fn nobody_at_login() -> &'static str {
    "At login nobody can be asked for a passphrase yet: the volume has to open with a TPM slot, -o passphrase-file=FILE, or \
     a program that CRYPTFS_ASKPASS names."
}

pub fn no_unit_folder() -> Failure {
    failure(Exit::Failed, "Where this user's systemd looks for units is not known: HOME is not set.")
}

pub fn installing_unit(path: &Path, error: &io::Error, is_users: bool) -> Failure {
    let at = shown(path);
    match error.kind() {
        io::ErrorKind::PermissionDenied if !is_users => failure(
            Exit::Failed,
            format!(
                "{at}: only root may write there. Run this as root, or with --user for a unit of your own."
            ),
        ),
        _ => system(at, error),
    }
}

pub fn other_unit(path: &Path) -> Failure {
    failure(
        Exit::Failed,
        format!(
            "{}: there is another unit of that name, which cryptfs did not make. Nothing was written.",
            shown(path)
        ),
    )
}

/// What the desktop is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    Damage,
    Conflict,
    /// Not everything can be stored.
    Delayed,
    Stopped,
}

/// Title and text of a notification.
pub fn notice(notice: Notice, backing: &Path) -> (String, String) {
    let name = shown(backing.file_name().unwrap_or(backing.as_os_str()));
    let title = match notice {
        Notice::Damage => format!("Something in {name} cannot be read"),
        Notice::Conflict => format!("A file in {name} was changed on two devices"),
        Notice::Delayed => format!("Not everything in {name} can be stored"),
        Notice::Stopped => format!("{name} stopped: nothing is written any more"),
    };
    (title, "Run `cryptfs status`: it says what is wrong and what to do.".to_owned())
}
