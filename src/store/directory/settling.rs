//! A pause after a connection to the backing folder was lost: of what was sent by it the server may do some later still,
//! beside what the next connection asks.
//!
//! A block, a cut or a removal that comes late hits what has taken its place since, and what is read before it is not what is
//! there in the end. Nobody tells when the last of it is done, so nothing is asked by a path and nothing is changed for a
//! while. Whoever comes first waits; once the folder failed again after that, the others are told so at once.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::renew::is_lost;

/// How late a server may be: it has at most what its buffers held, some hundred KiB.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after a pause a descriptor of before it is what its error tells of.
const EXPLAINED: Duration = Duration::from_secs(10);

/// Which connections a descriptor may be of: those after that many were lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Losses(u64);

pub(super) struct Settling {
    /// None on a filesystem of this machine: what it has been told is done.
    pause: Option<Duration>,
    losses: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
}

struct Trouble {
    until: Instant,
    /// Why, once the folder failed again when the pause was over.
    lasting: Option<i32>,
    /// It answered since.
    is_over: bool,
}

impl Settling {
    /// `is_far`: a server may stand between this machine and the folder.
    pub fn new(is_far: bool) -> Settling {
        Settling { pause: is_far.then_some(PAUSE), losses: AtomicU64::new(0), trouble: Mutex::new(None) }
    }

    /// With another pause.
    #[cfg(test)]
    pub fn pausing(pause: Duration) -> Settling {
        Settling { pause: Some(pause), ..Settling::new(true) }
    }

    /// What a descriptor that is opened now may outlive.
    pub fn losses(&self) -> Losses {
        Losses(self.losses.load(Ordering::Acquire))
    }

    /// Waits until what was sent by a connection that is lost is done.
    ///
    /// # Errors
    ///
    /// The last one, where the folder failed again after the last pause, and that was just now.
    pub fn wait(&self) -> io::Result<()> {
        // None was ever lost.
        if self.losses() == Losses(0) {
            return Ok(());
        }
        loop {
            let rest = match &*self.trouble.lock() {
                Some(Trouble { until, lasting, is_over: false }) if *until > Instant::now() => {
                    match lasting {
                        Some(error) => return Err(io::Error::from_raw_os_error(*error)),
                        None => until.saturating_duration_since(Instant::now()),
                    }
                }
                _ => return Ok(()),
            };
            std::thread::sleep(rest);
        }
    }

    /// Takes note of what came of a call, and hands it on. `since`: what its descriptor may have outlived.
    ///
    /// # Errors
    ///
    /// The call's.
    pub fn note<T>(&self, since: Losses, outcome: io::Result<T>) -> io::Result<T> {
        match &outcome {
            Err(error) if is_lost(error) => self.note_loss(since, error),
            Ok(_) if self.losses() > Losses(0) => {
                let mut trouble = self.trouble.lock();
                if let Some(trouble) = trouble.as_mut().filter(|trouble| trouble.until <= Instant::now()) {
                    trouble.is_over = true;
                }
            }
            _ => {}
        }
        outcome
    }

    /// Takes note of an error that a connection which is lost may be the reason for.
    pub fn note_loss(&self, since: Losses, error: &io::Error) {
        let Some(pause) = self.pause else { return };
        let mut trouble = self.trouble.lock();
        let now = Instant::now();
        let is_explained = |trouble: &Trouble| since < self.losses() && now < trouble.until + EXPLAINED;
        if trouble.as_ref().is_some_and(is_explained) {
            return;
        }
        let has_waited = trouble.as_ref().is_some_and(|trouble| !trouble.is_over && trouble.until <= now);
        let lasting = has_waited.then(|| error.raw_os_error().unwrap_or(libc::EIO));
        *trouble = Some(Trouble { until: now + pause, lasting, is_over: false });
        self.losses.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    fn fail(settling: &Settling, since: Losses) {
        settling.note::<()>(since, Err(io::Error::from_raw_os_error(libc::EIO))).unwrap_err();
    }

    /// How long it waits.
    fn waits(settling: &Settling) -> io::Result<Duration> {
        let begun = Instant::now();
        settling.wait().map(|()| begun.elapsed())
    }

    #[test]
    fn who_comes_first_after_a_loss_waits_and_nobody_after_that() {
        let settling = Settling::pausing(SHORT);
        assert!(waits(&settling).unwrap() < SHORT);
        let before = settling.losses();
        fail(&settling, before);
        assert!(waits(&settling).unwrap() >= SHORT - Duration::from_millis(50));
        settling.note(settling.losses(), Ok(())).unwrap();
        assert!(waits(&settling).unwrap() < SHORT);

        fail(&settling, before);
        assert!(
            waits(&settling).unwrap() < SHORT,
            "its descriptor is of the connection that was lost before"
        );
        fail(&settling, settling.losses());
        assert!(waits(&settling).unwrap() >= SHORT - Duration::from_millis(50), "lost again");
    }

    #[test]
    fn what_fails_still_is_told_at_once() {
        let settling = Settling::pausing(SHORT);
        fail(&settling, settling.losses());
        waits(&settling).unwrap();
        fail(&settling, settling.losses());
        let begun = Instant::now();
        assert_eq!(settling.wait().unwrap_err().raw_os_error(), Some(libc::EIO));
        assert!(begun.elapsed() < SHORT);
        std::thread::sleep(SHORT);
        assert!(waits(&settling).unwrap() < SHORT, "then it is tried again");
    }

    #[test]
    fn a_disk_of_this_machine_and_other_errors_hold_nobody_up() {
        let near = Settling::new(false);
        fail(&near, near.losses());
        assert!(waits(&near).unwrap() < SHORT);
        let far = Settling::pausing(SHORT);
        far.note::<()>(far.losses(), Err(io::Error::from_raw_os_error(libc::ENOSPC))).unwrap_err();
        assert!(waits(&far).unwrap() < SHORT);
    }
}
