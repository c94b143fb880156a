//! What is said of the next step where nothing failed: after a command, in a question, beside a value.

use super::Failure;
use crate::keys::{Fingerprint, Label, SlotId, SlotType};
use crate::sys::process;
use std::fmt::Display;
use std::path::Path;

/// What a fingerprint looks like.
pub const A_FINGERPRINT: &str = "it is 32 hex digits, as `cryptfs info` shows them";
/// What a device's id looks like.
pub const A_DEVICE: &str = "it is 16 hex digits, as `cryptfs device list` shows them";
/// A slot for the TPM is sealed to no boot state.
pub const NO_BOOT_STATE: &str = "The TPM slot depends on no boot state: whoever boots this machine, with any system, can \
                                 use it. --pcrs and --pin choose otherwise.";
/// Nothing else holds the owner key.
pub const ONLY_OWNERS: &str = "Only a slot of the owner's is of use here.";
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
    let asks = |failure| format!("Mounting will ask for a secret, since no TPM slot was made. {failure}\n");
    let asks = made.no_tpm.map(asks).unwrap_or_default();
    let (at, by) = (backing.display(), made.ways.join(", "));
    format!(
        "{asks}{at} is now a cryptfs volume. It opens with {by}.\nFingerprint: {fingerprint}\nMount it: `cryptfs mount {at} \
         FOLDER`, where FOLDER is an empty one{}.\n",
        by_itself(&at, made.has_tpm)
    )
}

/// What mounts it from now on, where it opens then: at boot systemd asks for a passphrase, at login nobody does.
fn by_itself(at: &impl Display, has_tpm: bool) -> String {
    match (process::is_root(), has_tpm) {
        (true, _) => format!("; `cryptfs unit {at} FOLDER --install` does at each boot"),
        (false, true) => format!("; `cryptfs unit {at} FOLDER --user --install` does at each login"),
        (false, false) => String::new(),
    }
}

/// A rotation had no secret for a slot.
pub fn slot_left(backing: &Path, id: SlotId, label: &Label) -> String {
    let at = backing.display();
    let name = if label.as_str().is_empty() { String::new() } else { format!(" ({})", label.as_str()) };
    format!(
        "Slot {id}{name} was not opened and was left unchanged: it lacks the new key and no longer opens the \
         volume. Replace it: `cryptfs key add {at}`, then `cryptfs key remove {at} {id}`.\n"
    )
}

/// A slot that nobody signed was written to a file.
pub fn slot_requested(backing: &Path, out: &Path, kind: SlotType, id: SlotId) -> String {
    let (at, out) = (backing.display(), out.display());
    format!("{out} holds {} slot {id}. An owner adds it: `cryptfs key sign {at} {out}`.\n", kind.name())
}

/// Asks a person who has not seen the volume here.
pub fn is_it_the_volume(found: Fingerprint) -> String {
    format!(
        "This device has not seen the volume before. Its fingerprint is {found}.\nIf that is what a device that knows \
         it shows in `cryptfs info`, type yes. Enter alone goes on with a passphrase: "
    )
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
    format!("{}: other users can read this secret; chmod 600 it", path.display())
}
