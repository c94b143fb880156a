//! What can be seen of one mount: what its daemon says, and what this device remembers of the volume. May take for ever.

use crate::cli::advice::{self, Failure};
use crate::cli::args::Place;
use crate::cli::key::slot_json;
use crate::cli::ledger::PLACEHOLDER;
use crate::cli::{report, unlock};
use crate::mount::{self, Entry, Status};
use crate::sys::process;
use crate::trust::{LastCheck, Trust};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::path::Path;

/// Handed from the process that looks to the one that prints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    pub answer: Answer,
    pub uuid: Option<String>,
    pub slots: Option<Vec<Value>>,
    /// What this device remembers of the volume; `None` where that is not known here.
    pub findings: Option<usize>,
    pub not_arrived: Option<usize>,
    /// Those of them that are only placeholders.
    #[serde(default)]
    pub placeholders: usize,
    /// When the first of those was noticed, in seconds since 1970.
    pub not_arrived_since: Option<u64>,
    pub checked: Check,
}

/// What came of asking the daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Status(Box<Status>),
    /// There is none any more.
    Gone,
    /// It answers its own user only.
    Forbidden,
    Failed(String),
}

/// What this device remembers of checks.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub enum Check {
    #[default]
    NotKnown,
    Never,
    Done(Checked),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Checked {
    pub when: u64,
    pub data: bool,
    pub damaged: usize,
    pub waiting: usize,
}

impl Check {
    pub fn done(self) -> Option<Checked> {
        if let Check::Done(checked) = self { Some(checked) } else { None }
    }
}

impl Default for Answer {
    fn default() -> Answer {
        Answer::Failed("nobody was asked".to_owned())
    }
}

impl Seen {
    pub fn not_asked(error: &io::Error) -> Seen {
        Seen { answer: Answer::Failed(advice::plain(error)), ..Seen::default() }
    }

    pub fn status(&self) -> Option<&Status> {
        match &self.answer {
            Answer::Status(status) => Some(status),
            _ => None,
        }
    }
}

/// Looks, and prints what was seen as JSON.
///
/// # Errors
///
/// `Exit::NotMounted`; `Exit::Failed` where /proc/self/mountinfo cannot be read, or stdout cannot be written.
pub fn run(path: &Path) -> Result<(), Failure> {
    let found = super::wanted(std::slice::from_ref(&path.to_owned()))?;
    let found = found.first().ok_or_else(|| advice::not_mounted(path))?;
    let mut seen = Seen { answer: ask(path), ..Seen::default() };
    look_at_backing(found, &mut seen);
    let text = serde_json::to_vec(&seen).map_err(|error| advice::system(path.display(), &error.into()))?;
    report::print_as_it_is(&text)
}

fn ask(path: &Path) -> Answer {
    match mount::status_of(path) {
        Ok(status) => Answer::Status(Box::new(status)),
        Err(error) if mount::is_gone(&error) => Answer::Gone,
        Err(error) => match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => Answer::Forbidden,
            _ => Answer::Failed(advice::plain(&error)),
        },
    }
}

/// What cannot be read stays unknown: the mount itself may be well. So does what the user who mounted remembers, and this
/// one does not.
fn look_at_backing(mount: &Entry, seen: &mut Seen) {
    let Ok(locked) = unlock::peek(&mount.source, &Place::default()) else { return };
    seen.uuid = Some(locked.uuid().to_string());
    seen.slots = Some(locked.listing.slots.iter().map(slot_json).collect());
    if mount.user != process::user() {
        return;
    }
    let findings = Trust::findings_of(locked.uuid());
    if findings.damage.is_none() || !findings.list.is_empty() {
        let (waiting, damaged): (Vec<_>, Vec<_>) =
            findings.list.iter().partition(|found| found.kind == "not-arrived" || found.kind == PLACEHOLDER);
        seen.findings = Some(damaged.len());
        seen.not_arrived = Some(waiting.len());
        seen.placeholders = waiting.iter().filter(|found| found.kind == PLACEHOLDER).count();
        seen.not_arrived_since = waiting.iter().map(|found| found.when).min();
    }
    seen.checked = match Trust::last_check(locked.uuid()) {
        Ok(Some(LastCheck { when, data, damaged, waiting })) => {
            Check::Done(Checked { when, data, damaged, waiting })
        }
        Ok(None) => Check::Never,
        Err(_) => Check::NotKnown,
    };
}
