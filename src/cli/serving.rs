//! The life of a mount in its daemon: serving, what a signal does, leaving when nobody needs it, and what a manager such as
//! systemd is told of that.

use super::advice;
use crate::mount::{self, Holder, Mounted, RunError, Unmounter};
use crate::sys::daemon::Termination;
use crate::sys::service;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the mount is idle, at most and at least.
const LOOKS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How long a manager is to wait at most, once it asked for the end, for everything to be stored, or for room to be made.
const STORING: Duration = Duration::from_secs(300);
/// For how long it is told to wait each time; it is told again while something is stored, and once when only those are
/// waited for who hold files in the mount. systemd can only be told to wait longer, never to wait less.
const STEP: Duration = Duration::from_secs(15);
const STEPS: Duration = Duration::from_secs(5);

/// Serves until somebody unmounts, a signal asks for it, or nothing was asked for as long as `idle` says.
///
/// # Errors
///
/// [`RunError::Transport`] where a thread cannot be started; else as for [`Mounted::run`].
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

/// Has the manager wait for a step before it kills this process.
fn patience() -> String {
    format!("EXTEND_TIMEOUT_USEC={}", STEP.as_micros())
}

/// Says something again and again for as long as it lives.
struct Repeating {
    _ends: Sender<()>,
}

impl Repeating {
    /// Each time that `pause` has passed, and for no longer than `most`.
    fn begin(pause: Duration, most: Duration, say: impl Fn() + Send + 'static) -> Repeating {
        let (ends, end) = channel::<()>();
        let deadline = Instant::now() + most;
        let repeat = move || {
            while end.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) && Instant::now() < deadline {
                say();
            }
        };
        if let Err(error) = thread::Builder::new().name("patience".into()).spawn(repeat) {
            log::debug!("the service manager cannot be asked to wait: {error}");
        }
        Repeating { _ends: ends }
    }

    fn patience() -> Repeating {
        Repeating::begin(STEPS, STORING, || tell(&[&patience()]))
    }
}

/// At a signal everything is stored first, whoever still holds files in the mount: what asked for the end may soon kill this
/// process. Where there is no space for that the mount stays, until there is or a second signal comes.
fn obey(signals: &Termination, unmounter: &Unmounter) {
    let mut has_refused = false;
    let mut making_room = None;
    while signals.wait().is_ok() {
        drop(making_room.take());
        tell(&["STOPPING=1", &patience(), "STATUS=Storing what was written"]);
        let storing = Repeating::patience();
        let mut status = "STATUS=Everything is stored; waiting for the last file in it to be closed";
        if has_refused || unmounter.has_ended() {
            status = "STATUS=Giving up what cannot be stored";
            unmounter.give_up();
        } else if let Err(error) = unmounter.store() {
            log::error!("not everything could be stored: {error}");
            status = "STATUS=Not everything could be stored; waiting for the last file in it to be closed";
            if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) {
                log::error!("{}", advice::MAKE_ROOM);
                tell(&[&patience(), advice::STATUS_MAKE_ROOM]);
                making_room = Some(Repeating::patience());
                has_refused = true;
                continue;
            }
        }
        drop(storing);
        tell(&[&patience(), status]);
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
        let why = why_it_stays(unmounter, at, &error);
        if why != told {
            log::warn!("{}: it stays mounted though nothing is asked of it: {why}", at.display());
            tell(&[&format!("STATUS=Mounted at {}; idle, but {why}", at.display())]);
            told = why;
        }
        // What that asked itself does not count.
        (asked, since) = (unmounter.asked(), Instant::now());
    }
}

/// That it is mounted where it is keeps nothing.
fn why_it_stays(unmounter: &Unmounter, at: &Path, error: &std::io::Error) -> String {
    let mut holders = mount::of_device(unmounter.device());
    holders.retain(|holder| !matches!(holder, Holder::Mount(path) if path == at));
    match holders.is_empty() {
        true => error.to_string(),
        false => holders.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_again_and_again_ends_with_its_reason_and_in_time() {
        // The receiver is told when the thread has ended.
        let said = |most| {
            let (sender, receiver) = channel();
            let say = move || {
                let _ = sender.send(());
            };
            (Repeating::begin(Duration::from_millis(1), most, say), receiver)
        };
        let long = Duration::from_secs(60);
        let (repeating, receiver) = said(long);
        assert_eq!([receiver.recv_timeout(long), receiver.recv_timeout(long)], [Ok(()); 2]);
        drop(repeating);
        while receiver.recv_timeout(long).is_ok() {}
        assert_eq!(receiver.recv_timeout(long), Err(RecvTimeoutError::Disconnected));
        let (_repeating, receiver) = said(Duration::ZERO);
        assert_eq!(receiver.recv_timeout(long), Err(RecvTimeoutError::Disconnected));
    }
}
