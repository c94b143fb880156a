//! `cryptfs status`: every mount of this user, what is wrong with it, and what helps.
//!
//! Each mount is looked at by a process of its own (`look.rs`, `apart.rs`), and those that take too long are left behind.
//! `shown.rs` prints.

mod look;
mod shown;
mod trouble;

use super::advice::{self, Failure};
use super::home_args::Status;
use super::{apart, report};
use crate::mount::{self, Entry};
use crate::sys::process;
use look::Seen;
use serde_json::json;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use trouble::Trouble;

/// How long the processes that look have.
const PATIENCE: Duration = Duration::from_secs(5);

/// A mount, what was seen of it, and what is wrong.
struct Mount {
    entry: Entry,
    /// `None`: looking took too long.
    seen: Option<Seen>,
    troubles: Vec<Trouble>,
}

/// Prints how mounts are doing.
///
/// # Errors
///
/// `Exit::NeedsAPerson` or `Exit::Waiting` by what was seen; else as for [`look::run`].
pub fn run(arguments: &Status) -> Result<(), Failure> {
    if arguments.look {
        return arguments.mountpoints.iter().try_for_each(|path| look::run(path));
    }
    let mounts: Vec<Mount> = look_at_all(wanted(&arguments.mountpoints)?);
    let text = match arguments.json {
        true => {
            let shown: Vec<_> = mounts.iter().map(shown::as_json).collect();
            format!("{:#}\n", json!({ "mounts": shown }))
        }
        false if mounts.is_empty() => "No volume is mounted by this user.\n".to_owned(),
        false => mounts.iter().map(shown::as_text).collect::<Vec<_>>().join("\n"),
    };
    report::print(&text)?;
    let count = |wanted: fn(&Mount) -> bool| mounts.iter().filter(|mount| wanted(mount)).count();
    match (count(Mount::needs_a_person), count(|mount| !mount.troubles.is_empty())) {
        (0, 0) => Ok(()),
        (0, waiting) => Err(advice::mounts_wait(waiting, mounts.len())),
        (bad, _) => Err(advice::mounts_need_a_person(bad, mounts.len())),
    }
}

impl Mount {
    fn needs_a_person(&self) -> bool {
        self.troubles.iter().any(Trouble::needs_a_person)
    }
}

/// The mounts of this user, or those that were asked for.
fn wanted(paths: &[PathBuf]) -> Result<Vec<Entry>, Failure> {
    let all = mount::all().map_err(|error| advice::system("/proc/self/mountinfo", &error))?;
    let user = process::user();
    if paths.is_empty() {
        return Ok(all.into_iter().filter(|entry| user == 0 || entry.user == user).collect());
    }
    let find = |path: &PathBuf| {
        let absolute = mount::absolute(path).unwrap_or_else(|_| path.clone());
        all.iter().rfind(|entry| entry.path == absolute).cloned().ok_or_else(|| advice::not_mounted(path))
    };
    paths.iter().map(find).collect()
}

/// Looks at all of them at once.
fn look_at_all(entries: Vec<Entry>) -> Vec<Mount> {
    let deadline = Instant::now() + PATIENCE;
    let begin = |entry: &Entry| {
        apart::begin(&["status".as_ref(), "--look".as_ref(), "--".as_ref(), entry.path.as_os_str()])
    };
    let looking: Vec<_> = entries.into_iter().map(|entry| (begin(&entry), entry)).collect();
    let mut mounts = Vec::new();
    for (looking, entry) in looking {
        let said = match looking {
            Ok(answer) => answer.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok(),
            Err(error) => Some(Err(error)),
        };
        let seen = said.map(|said| {
            let seen = said.and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
            seen.unwrap_or_else(|error| Seen::not_asked(&error))
        });
        let troubles = trouble::of(seen.as_ref());
        mounts.push(Mount { entry, seen, troubles });
    }
    mounts
}
