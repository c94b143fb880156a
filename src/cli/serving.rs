//! The life of a mount in its daemon: serving, what a signal does, leaving when nobody needs it, and what a manager such as
//! systemd is told of that.

use crate::mount::{self, Mounted, RunError, Unmounter};
use crate::sys::daemon::Termination;
use crate::sys::service;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the mount is idle, at most and at least.
const LOOKS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How long a manager is to wait, once it asked for the end, for everything to be stored; then for those who hold files in
/// the mount, whom it may wait for in vain.
const STORING: Duration = Duration::from_secs(300);
const CLOSING: Duration = Duration::from_secs(15);

/// Serves until somebody unmounts, a signal asks for it, or nothing was asked for as long as `idle` says.
pub fn serve(mounted: Mounted, signals: Termination, idle: Option<Duration>) -> Result<(), RunError> {
    let named = |name: &str| thread::Builder::new().name(name.into());
    let unmounter = mounted.unmounter();
    named("signals").spawn(move || obey(&signals, &unmounter)).map_err(RunError::Transport)?;
    if let Some(limit) = idle {
        let (unmounter, at) = (mounted.unmounter(), mounted.mountpoint().to_owned());
        named("idle").spawn(move || leave_when_idle(&unmounter, &at, limit)).map_err(RunError::Transport)?;
    }
    tell(&["READY=1", &format!("STATUS=Mounted at {}", mounted.mountpoint().display())]);
    let served = mounted.run();
    tell(&["STOPPING=1"]);
    served
}

/// Tells the manager that started this process, if there is one.
fn tell(lines: &[&str]) {
    if let Err(error) = service::tell(lines) {
        log::debug!("the service manager cannot be told: {error}");
    }
}

/// Has the manager wait so long before it kills this process.
fn patience(duration: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", duration.as_micros())
}

/// At a signal everything is stored first, whoever still holds files in the mount: what asked for the end may soon kill this
/// process. Where there is no space for that the mount stays, until there is or a second signal comes.
fn obey(signals: &Termination, unmounter: &Unmounter) {
    let mut has_refused = false;
    while signals.wait().is_ok() {
        tell(&["STOPPING=1", &patience(STORING), "STATUS=Storing what was written"]);
        let mut status = "STATUS=Everything is stored; waiting for the last file in it to be closed";
        if has_refused || unmounter.has_ended() {
            status = "STATUS=Giving up what cannot be stored";
            unmounter.give_up();
        } else if let Err(error) = unmounter.store() {
            log::error!("not everything could be stored: {error}");
            status = "STATUS=Not everything could be stored; waiting for the last file in it to be closed";
            if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) {
                log::error!(
                    "the mount stays; make room, and send the signal again, which gives up what is left"
                );
                tell(&[
                    &patience(STORING),
                    "STATUS=Still mounted, for lack of space: make room, or stop again to give up what is not stored",
                ]);
                has_refused = true;
                continue;
            }
        }
        tell(&[&patience(CLOSING), status]);
        if let Err(error) = unmounter.unmount() {
            log::error!("cannot unmount: {error}");
        }
    }
}

/// Unmounts once nothing was asked for so long and nobody uses the mount. Who keeps it is said once.
fn leave_when_idle(unmounter: &Unmounter, at: &Path, limit: Duration) {
    let (mut asked, mut since) = (unmounter.asked(), Instant::now());
    let mut told = String::new();
    while !unmounter.has_ended() {
        thread::sleep((limit / 10).clamp(LOOKS.0, LOOKS.1));
        let now = unmounter.asked();
        if now != asked {
            (asked, since) = (now, Instant::now());
            told.clear();
        }
        if since.elapsed() < limit {
            continue;
        }
        let Err(error) = unmounter.leave() else {
            log::info!("{}: unmounted, as nothing was asked of it", at.display());
            return;
        };
        let why = why_it_stays(unmounter, &error);
        if why != told {
            log::warn!("{}: it stays mounted though nothing is asked of it: {why}", at.display());
            tell(&[&format!("STATUS=Mounted at {}; idle, but {why}", at.display())]);
            told = why;
        }
        // What that asked itself does not count.
        (asked, since) = (unmounter.asked(), Instant::now());
    }
}

fn why_it_stays(unmounter: &Unmounter, error: &std::io::Error) -> String {
    let holders = mount::of_device(unmounter.device());
    match holders.is_empty() {
        true => error.to_string(),
        false => holders.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}
