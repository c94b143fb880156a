//! The end of a mount: what was acknowledged is stored, and where there is no room for it now, waited for.

use super::filesystem::Filesystem;
use super::{Error, Result};
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How often storing is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How often the log says what is waited for.
const REMIND: Duration = Duration::from_secs(60);

/// Whether somebody said that what cannot be stored is to be given up.
#[derive(Default)]
pub(super) struct Ending {
    is_given_up: Mutex<bool>,
    changed: Condvar,
}

impl Ending {
    pub(super) fn give_up(&self) {
        *self.is_given_up.lock() = true;
        self.changed.notify_all();
    }

    fn is_given_up(&self) -> bool {
        *self.is_given_up.lock()
    }

    fn rest(&self) {
        let mut is_given_up = self.is_given_up.lock();
        let until = Instant::now() + RETRY;
        while !*is_given_up && !self.changed.wait_until(&mut is_given_up, until).timed_out() {}
    }
}

pub(super) fn shut_down(fs: &Filesystem) -> Result<()> {
    let mut told: Option<Instant> = None;
    loop {
        let error = match fs.volume.close() {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !error.is_passing() || fs.ending.is_given_up() {
            log::error!("the last changes could not be stored and are lost: {error}");
            return Err(Error::from(error));
        }
        if told.is_none_or(|told| told.elapsed() > REMIND) {
            log::error!(
                "unmounted, but the last changes are not stored yet: {error}; a signal gives them up"
            );
            told = Some(Instant::now());
        }
        fs.ending.rest();
    }
}
