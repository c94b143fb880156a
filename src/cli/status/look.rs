//! What can be seen of one mount: what its daemon says, and what this device remembers of the volume. May take for ever.

use crate::cli::advice::{self, Failure};
use crate::cli::args::Place;
use crate::cli::key::slot_json;
use crate::cli::{report, unlock};
use crate::mount::{self, Status};
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
    pub findings: usize,
    pub not_arrived: usize,
    /// When the first of those was noticed, in seconds since 1970.
    pub not_arrived_since: Option<u64>,
    pub checked: Option<Checked>,
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

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Checked {
    pub when: u64,
    pub data: bool,
    pub damaged: usize,
    pub waiting: usize,
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
pub fn run(path: &Path) -> Result<(), Failure> {
    let found = mount::find(path).map_err(|error| advice::system(path.display(), &error))?;
    let found = found.ok_or_else(|| advice::not_mounted(path))?;
    let mut seen = Seen { answer: ask(path), ..Seen::default() };
    look_at_backing(found.source(), &mut seen);
    let text = serde_json::to_vec(&seen).map_err(|error| advice::system(path.display(), &error.into()))?;
    report::print_as_it_is(&text)
}

fn ask(path: &Path) -> Answer {
    match mount::status_of(path) {
        Ok(status) => Answer::Status(Box::new(status)),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOTCONN | libc::ECONNABORTED) => Answer::Gone,
            Some(libc::EACCES | libc::EPERM) => Answer::Forbidden,
            _ => Answer::Failed(advice::plain(&error)),
        },
    }
}

/// What cannot be read is left out: the mount itself may be well.
fn look_at_backing(backing: &Path, seen: &mut Seen) {
    let Ok(locked) = unlock::peek(backing, &Place::default()) else { return };
    seen.uuid = Some(locked.uuid().to_string());
    seen.slots = Some(locked.listing.slots.iter().map(slot_json).collect());
    let list = Trust::findings_of(locked.uuid()).list;
    let waiting = list.iter().filter(|found| found.kind == "not-arrived");
    seen.not_arrived = waiting.clone().count();
    seen.not_arrived_since = waiting.map(|found| found.when).min();
    seen.findings = list.len() - seen.not_arrived;
    let LastCheck { when, data, damaged, waiting } = match Trust::last_check(locked.uuid()) {
        Ok(Some(last)) => last,
        _ => return,
    };
    seen.checked = Some(Checked { when, data, damaged, waiting });
}
