//! What is said of the next step where nothing failed: after a command, in a question, beside a value.

use super::{Failure, named, shown};
use crate::cli::exit::Exit;
use crate::keys::{Fingerprint, Label, SlotId, SlotType};
use crate::sys::process;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;

/// The end of the help.
pub const FIRST_STEPS: &str = "To begin: `cryptfs init BACKING`, then `cryptfs mount BACKING MOUNTPOINT`, in the end `cryptfs umount \
                               MOUNTPOINT`. `man cryptfs` has the overview.";

/// Commands of other programs, and what they are called here.
const OTHER_WORDS: [(&str, &str); 9] = [
    ("init", "`cryptfs init BACKING`"),
    ("create", "`cryptfs init BACKING`"),
    ("open", "`cryptfs mount BACKING MOUNTPOINT`"),
    ("unlock", "`cryptfs mount BACKING MOUNTPOINT`"),
    ("close", "`cryptfs umount MOUNTPOINT`"),
    ("lock", "`cryptfs umount MOUNTPOINT`"),
    ("passwd", "`cryptfs key change BACKING`"),
    ("fsck", "`cryptfs check --data BACKING`"),
    ("list", "`cryptfs status`"),
];

/// What may have been meant by words that are no command, beside what clap finds.
pub fn tip(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let first = arguments.get(1)?.to_str()?;
    match error.kind() {
        ErrorKind::MissingRequiredArgument => match (lacking(error)?, first) {
            ("<ID>", _) => Some("`cryptfs key list BACKING` shows the ids of the key slots".to_owned()),
            ("<MOUNTPOINT>", "umount" | "unmount" | "sync") => {
                Some("`cryptfs status` shows where volumes are mounted".to_owned())
            }
            ("<MOUNTPOINT>", _) => {
                Some("MOUNTPOINT is the folder in which the files are to appear, an empty one".to_owned())
            }
            _ => None,
        },
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument => {
            // Other programs have flags for what is a command here.
            let is_command = error.kind() == ErrorKind::InvalidSubcommand;
            let word = if is_command { first } else { first.strip_prefix('-')?.trim_start_matches('-') };
            match OTHER_WORDS.iter().find(|(other, _)| *other == word) {
                Some((_, meant)) => Some(format!("here that is {meant}")),
                None if is_command && (first.contains('/') || Path::new(first).is_dir()) => {
                    let at = shown(first);
                    Some(format!("to mount a volume: `cryptfs mount {at:#} MOUNTPOINT`"))
                }
                None => None,
            }
        }
        _ => None,
    }
}

/// The last of the arguments that are missing.
fn lacking(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(names)) => names.last().map(String::as_str),
        _ => None,
    }
}

/// What a fingerprint looks like.
pub const A_FINGERPRINT: &str = "it is 32 hex digits, as `cryptfs info` shows them";
/// What a device's id looks like.
pub const A_DEVICE: &str = "it is 16 hex digits, as `cryptfs device list` shows them";
/// A slot for the TPM is sealed to no boot state.
pub const NO_BOOT_STATE: &str = "The TPM slot depends on no boot state: whoever boots this machine, with any system, can \
                                 use it. --pcrs and --pin choose otherwise.";
/// Nothing else holds the owner key.
pub const ONLY_OWNERS: &str =
    "Only a slot of the owner's is of use here: `cryptfs key list` says which are, under OWNER.";
/// What stands on the terminal before a new recovery key.
pub const RECOVERY_KEY: &str = "\nThe recovery key of this volume. It opens the volume when everything else fails.\n\
                                Write it down and keep it away from this machine; it is not shown again.\n\n    ";
/// The first signal could not store everything.
pub const MAKE_ROOM: &str =
    "the mount stays; make room, and send the signal again, which gives up what is left";
/// The same, for the service manager.
pub const STATUS_MAKE_ROOM: &str = "STATUS=Still mounted, for lack of space: make room, or give up what is not stored with \
                                    systemctl kill";

/// What a folder that has become a volume opens with.
pub struct Made<'a> {
    pub ways: &'a [&'a str],
    pub has_tpm: bool,
    /// Why there is no slot for the TPM, unless none was wanted.
    pub no_tpm: Option<&'a Failure>,
}

pub fn is_a_volume(backing: &Path, made: &Made<'_>, fingerprint: Fingerprint) -> String {
    let asks = |failure: &Failure| {
        let mut why = failure.to_string();
        if failure.exit == Exit::NoTpm {
            // What helps is the secret that will be asked for.
            why.truncate(why.find(". ").map_or(why.len(), |end| end + 1));
        }
        format!("Mounting will ask for a secret, since no TPM slot was made. {why}\n")
    };
    let asks = made.no_tpm.map(asks).unwrap_or_default();
    let (at, by) = (shown(backing), either(made.ways));
    format!(
        "{asks}{at} is now a cryptfs volume. It opens with {by}.\nFingerprint: {fingerprint}\n\
         Mount it on an empty folder: `mkdir FOLDER && cryptfs mount {at:#} FOLDER`. Close it: `cryptfs umount FOLDER`.\n{}",
        by_itself(&at, made.has_tpm)
    )
}

/// Several ways, of which each is enough.
fn either(ways: &[&str]) -> String {
    match ways.split_last() {
        Some((last, others @ [_, ..])) => format!("{} or {last}", others.join(", ")),
        _ => ways.concat(),
    }
}

/// What mounts it from now on, where it opens then: at boot systemd asks for a passphrase, at login nobody does.
fn by_itself(at: &impl Display, has_tpm: bool) -> String {
    match (process::is_root(), has_tpm) {
        (true, _) => format!("At each boot: `cryptfs unit {at:#} FOLDER --install`.\n"),
        (false, true) => format!("At each login: `cryptfs unit {at:#} FOLDER --user --install`.\n"),
        (false, false) => String::new(),
    }
}

/// A rotation had no secret for a slot.
pub fn slot_left(backing: &Path, id: SlotId, label: &Label) -> String {
    let at = shown(backing);
    let name = named(id, label.as_str());
    format!(
        "Slot {name} was not opened and was left unchanged: it lacks the new key and no longer opens the \
         volume. Replace it: `cryptfs key add --recovery {at:#}` (or --passphrase, --tpm2, --recipient KEY), then `cryptfs key remove \
         {at:#} {id}`.\n"
    )
}

/// A slot that nobody signed was written to a file.
pub fn slot_requested(backing: &Path, out: &Path, kind: SlotType, id: SlotId) -> String {
    let (at, out) = (shown(backing), shown(out));
    format!("{out} holds {} slot {id}. An owner adds it: `cryptfs key sign {at:#} {out:#}`.\n", kind.name())
}

/// Asks a person who has not seen the volume here.
pub fn is_it_the_volume(found: Fingerprint) -> String {
    format!(
        "This device has not seen the volume before. Its fingerprint is {found}.\nIf that is what a device that knows \
         it shows in `cryptfs info`, type yes. Enter alone goes on with a passphrase: "
    )
}

/// A service makes no folder to mount on.
pub fn make_mountpoint(mountpoint: &Path) -> String {
    let at = shown(mountpoint);
    format!("{at} does not exist yet. Make it first: `mkdir {at:#}`.\n")
}

/// A unit was written.
pub fn start_unit(name: &str, is_users: bool) -> String {
    let systemctl = if is_users { "systemctl --user" } else { "systemctl" };
    let when = if is_users { "at each login" } else { "at each boot" };
    format!("Start it now and {when}: `{systemctl} daemon-reload && {systemctl} enable --now '{name}'`.\n")
}

/// A check does not show again what a repair left as it was.
pub fn findings_not_listed(hidden: usize) -> String {
    format!("{hidden} known from an earlier repair are not listed: --all shows them.\n")
}

pub fn secret_is_readable(path: &Path) -> String {
    format!("{}: other users can read this secret; chmod 600 it", shown(path))
}
