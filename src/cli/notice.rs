//! Has the desktop of whoever mounted show what a person should know of: one notification of each kind, and the next of that
//! kind an hour later at the earliest. What exactly it is about is said by `cryptfs status`, and not here: other users can
//! read the arguments of a program.

use super::advice::{self, Notice};
use crate::sys::process;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PROGRAM: &str = "notify-send";
/// How long nothing more of one kind is shown.
const QUIET: Duration = Duration::from_secs(3600);

/// What was shown of a volume.
pub struct Notices {
    backing: PathBuf,
    shown: Mutex<HashMap<Notice, Instant>>,
}

impl Notices {
    pub fn new(backing: &Path) -> Notices {
        Notices { backing: backing.to_owned(), shown: Mutex::default() }
    }

    /// Shows it, if there is a desktop, unless one of its kind was shown lately.
    pub fn show(&self, notice: Notice) {
        if !self.is_due(notice, Instant::now()) || !has_desktop(|name| std::env::var_os(name)) {
            return;
        }
        let (title, text) = advice::notice(notice, &self.backing);
        let urgency = if notice == Notice::Conflict { "normal" } else { "critical" };
        let mut command = Command::new(PROGRAM);
        command.args([
            "--app-name=cryptfs",
            "--icon=drive-harddisk",
            "--urgency",
            urgency,
            "--",
            &title,
            &text,
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Whoever noticed something does not wait for the desktop.
        let shown = thread::Builder::new().name("notice".into()).spawn(move || {
            if let Err(error) = command.status() {
                log::debug!("the desktop cannot be told: {error}");
            }
        });
        shown.map_or_else(|error| log::debug!("the desktop cannot be told: {error}"), drop);
    }

    fn is_due(&self, notice: Notice, now: Instant) -> bool {
        let mut shown = self.shown.lock();
        let is_due = shown.get(&notice).is_none_or(|last| now.duration_since(*last) >= QUIET);
        if is_due {
            shown.insert(notice, now);
        }
        is_due
    }
}

/// Whether this process belongs to somebody's session. Root's desktop is nobody's.
fn has_desktop(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let has_bus =
        || variable("XDG_RUNTIME_DIR").is_some_and(|folder| Path::new(&folder).join("bus").exists());
    !process::is_root() && (variable("DBUS_SESSION_BUS_ADDRESS").is_some() || has_bus())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_in_an_hour() {
        let notices = Notices::new(Path::new("/vault"));
        let begun = Instant::now();
        assert!(notices.is_due(Notice::Damage, begun) && !notices.is_due(Notice::Damage, begun));
        assert!(notices.is_due(Notice::Conflict, begun));
        assert!(!notices.is_due(Notice::Damage, begun + QUIET - Duration::from_secs(1)));
        assert!(notices.is_due(Notice::Damage, begun + QUIET));
    }
}
