//! Has the desktop of whoever mounted show what a person should know of: one notification of each kind, and the next of that
//! kind an hour later at the earliest. What exactly it is about is said by `cryptfs status`, and not here: a notification
//! stands on the lock screen, too.

use super::advice::{self, Notice};
use crate::sys::process;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use zbus::Variant;
use zbus::connection::Builder;

/// The service, and its interface.
const SERVICE: &str = "org.freedesktop.Notifications";
const OBJECT: &str = "/org/freedesktop/Notifications";
/// What the service's specification calls urgencies.
const NORMAL: u8 = 1;
const CRITICAL: u8 = 2;
/// How long it keeps a notification: as it likes.
const ITS_OWN_TIME: i32 = -1;
/// How long the desktop may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
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
        if !self.is_due(notice, Instant::now()) || !has_desktop() {
            return;
        }
        let (title, text) = advice::notice(notice, &self.backing);
        let urgency = if notice == Notice::Conflict { NORMAL } else { CRITICAL };
        // Whoever noticed something does not wait for the desktop.
        let shown = thread::Builder::new().name("notice".into()).spawn(move || {
            if let Err(error) = zbus::block_on(tell(&title, &text, urgency)) {
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

/// Over a connection of its own: a daemon that stays for weeks hangs on no bus.
async fn tell(title: &str, text: &str, urgency: u8) -> zbus::Result<()> {
    let connection = Builder::session().method_timeout(PATIENCE).build().await?;
    let (replaces, icon, actions) = (0_u32, "drive-harddisk", &[][..] as &[&str]);
    let hints = HashMap::from([("urgency", Variant::U8(urgency))]);
    let body = ("cryptfs", replaces, icon, title, text, actions, hints, ITS_OWN_TIME);
    connection.call_method(Some(SERVICE), OBJECT, Some(SERVICE), "Notify", &body).await?;
    Ok(())
}

/// Whether this process belongs to somebody's session. Root's desktop is nobody's.
fn has_desktop() -> bool {
    // mount(8) leaves its helpers none of both variables.
    let folder = || {
        std::env::var_os("XDG_RUNTIME_DIR")
            .map_or_else(|| format!("/run/user/{}", process::user()).into(), PathBuf::from)
    };
    !process::is_root()
        && (std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some() || folder().join("bus").exists())
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
