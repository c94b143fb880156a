//! `cryptfs info`: what a folder says of itself, where it is mounted, and what this device expects of it.

use super::advice::{self, Failure};
use super::apart::{self, Question};
use super::args::Info;
use super::key::slot_json;
use super::visible::{self, shown};
use super::{report, unlock};
use crate::keys::Slot;
use crate::mount;
use crate::trust::{LastCheck, Trust};
use serde_json::json;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long daemons have to say what they are.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints what is known of a volume.
///
/// # Errors
///
/// As for [`unlock::peek`]; `Exit::Failed` where /proc/self/mountinfo cannot be read.
pub fn run(arguments: &Info) -> Result<(), Failure> {
    let backing = backing_of(&arguments.path)?;
    let locked = unlock::peek(&backing, &arguments.place)?;
    let header = locked.claims();
    let expected = Trust::pinned_of(locked.uuid()).map_err(|error| advice::state(&error))?;
    let findings = Trust::findings_of(locked.uuid());
    findings.damage.iter().for_each(|error| report::complain(&advice::list_of_findings(error)));
    let findings = findings.list.len();
    let mounts =
        mount::mounts_of(&backing).map_err(|error| advice::system("/proc/self/mountinfo", &error))?;
    let mounts: Vec<_> = mounts.into_iter().map(Place::ask).collect();
    let checked = Trust::last_check(locked.uuid()).map_err(|error| advice::state(&error))?;
    let fingerprint = expected.map(|owner| owner.fingerprint().to_string());
    if arguments.json {
        let slots: Vec<_> = locked.listing.slots.iter().map(slot_json).collect();
        let text = json!({
            "backing": backing.to_string_lossy(),
            "uuid": header.uuid.to_string(),
            "cipher": header.cipher.name(),
            "chunk_size": header.chunk_size.bytes(),
            "created": header.created,
            "fingerprint": fingerprint,
            "mountpoints": mounts.iter().map(Place::text).collect::<Vec<_>>(),
            "stale_mountpoints": mounts.iter().filter(|place| matches!(place.daemon, Daemon::Gone)).map(Place::text).collect::<Vec<_>>(),
            "findings": findings,
            "checked": checked.map(|last| json!({
                "when": last.when,
                "data": last.data,
                "damaged": last.damaged,
                "waiting": last.waiting,
            })),
            "transports": mounts.iter().map(Place::transport).collect::<Vec<_>>(),
            "slots": slots,
            "not_by_the_owner": locked.listing.junk.len() + locked.listing.more_junk,
        });
        return report::print(&format!("{text:#}\n"));
    }
    let mounted: Vec<_> = mounts.iter().map(Place::shown).collect();
    let slots: Vec<_> = locked.listing.slots.iter().map(kind_and_label).collect();
    let lines = [
        ("Volume", header.uuid.to_string()),
        ("Backing folder", shown(&backing).to_string()),
        ("Cipher", header.cipher.name().to_owned()),
        ("Chunk size", format!("{} MiB", header.chunk_size.bytes() >> 20)),
        ("Created", report::time(header.created)),
        ("Fingerprint", fingerprint.unwrap_or_else(|| "not seen on this device yet".to_owned())),
        ("Mounted at", if mounted.is_empty() { "nowhere".to_owned() } else { mounted.join(", ") }),
        ("Findings", findings.to_string()),
        ("Checked", checked.map_or_else(|| "not yet on this device".to_owned(), last_check)),
        ("Key slots", slots.join(", ")),
    ];
    let text: String =
        lines.iter().map(|(name, value)| format!("{name:<16}{}\n", visible::line(value))).collect();
    report::print(&text)
}

fn last_check(last: LastCheck) -> String {
    let what = if last.data { "all content, too" } else { "without content" };
    let found = match (last.damaged, last.waiting) {
        (0, 0) => "nothing found".to_owned(),
        (damaged, waiting) => format!("{damaged} damaged, {waiting} not arrived"),
    };
    format!("{} ({what}): {found}", report::time(last.when))
}

/// Where the volume is mounted.
struct Place {
    mountpoint: PathBuf,
    daemon: Daemon,
}

enum Daemon {
    /// By the word for its transport.
    Answers(String),
    Gone,
    /// It did not answer in time.
    Silent,
    /// It does not let us in.
    NotKnown,
}

impl Place {
    fn ask(mountpoint: PathBuf) -> Place {
        let answer = apart::ask(Question::Transport, &mountpoint).map(|asked| asked.wait(Some(PATIENCE)));
        let daemon = match answer {
            Ok(Some(Ok(transport))) => Daemon::Answers(transport),
            Ok(Some(Err(error))) if mount::is_gone(&error) => Daemon::Gone,
            Ok(None) => Daemon::Silent,
            Ok(Some(Err(_))) | Err(_) => Daemon::NotKnown,
        };
        Place { mountpoint, daemon }
    }

    fn text(&self) -> Cow<'_, str> {
        self.mountpoint.to_string_lossy()
    }

    fn transport(&self) -> Option<&str> {
        if let Daemon::Answers(transport) = &self.daemon { Some(transport) } else { None }
    }

    fn shown(&self) -> String {
        let at = shown(&self.mountpoint);
        match &self.daemon {
            Daemon::Answers(transport) => format!("{at} (transport {transport})"),
            Daemon::Gone => advice::stale(&self.mountpoint),
            Daemon::Silent => advice::silent(&self.mountpoint),
            Daemon::NotKnown => at.to_string(),
        }
    }
}

fn kind_and_label(slot: &Slot) -> String {
    let kind = slot.kind.slot_type().name();
    match slot.label.as_str() {
        "" => kind.to_owned(),
        label => format!("{kind} ({label})"),
    }
}

/// The folder itself, or the one that is mounted there.
fn backing_of(path: &Path) -> Result<PathBuf, Failure> {
    match mount::find(path) {
        Ok(Some(found)) => Ok(found.entry().source.clone()),
        _ => std::fs::canonicalize(path).map_err(|_| advice::no_folder(path)),
    }
}
