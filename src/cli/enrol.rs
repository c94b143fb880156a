//! What new slots are made with: the secrets of `init`, `key add`, `key change` and `key refresh`.

use super::advice::{self, Failure};
use super::args::{Enrolment, Place};
use super::report;
use super::secret_input::{self, Given};
use crate::crypto::Cost;
use crate::keys::tpm::{Client, PcrMask, secure_boot_is_on};
use crate::keys::{Enrol, NewPin, RecoveryKey, Tpm2, measured_cost};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A TPM to seal to, and the PIN.
pub struct NewTpm {
    tpm: Client,
    pcrs: PcrMask,
    pin: Option<(Given, Cost)>,
}

/// The TPM of this machine, if one answers.
///
/// # Errors
///
/// As `advice::tpm` has it: `Exit::NoTpm`, `Exit::TpmForbidden`, `Exit::NoTpmHelper`, …
pub fn probe_tpm(place: &Place) -> Result<Client, Failure> {
    let tpm = Client::new(place.tcti.as_deref()).map_err(|error| advice::tpm(&error))?;
    tpm.probe().map_err(|error| advice::tpm(&error))?;
    Ok(tpm)
}

/// What a new slot is sealed to. `old`: the slot that it replaces, whose PCRs it keeps, and that it has a PIN.
///
/// # Errors
///
/// As for [`new_passphrase`], of the PIN; as for [`cost`].
pub fn new_tpm(tpm: Client, how: &Enrolment, old: Option<&Tpm2>) -> Result<NewTpm, Failure> {
    let usual = || if secure_boot_is_on() { PcrMask::SECURE_BOOT } else { PcrMask::NONE };
    let pcrs = how.pcrs.or(old.map(|old| old.sealed.pcrs)).unwrap_or_else(usual);
    if pcrs.is_empty() {
        report::complain(advice::NO_BOOT_STATE);
    }
    let pin = match &how.new_pin_file {
        Some(file) => Some(secret_input::from_file(file)?),
        None if how.pin || old.is_some_and(|old| old.pin_cost().is_some()) => {
            Some(secret_input::ask_new("New PIN for the TPM slot: ", "--new-pin-file")?)
        }
        None => None,
    };
    let pin = pin.map(|pin| Ok((pin, cost(how)?))).transpose()?;
    Ok(NewTpm { tpm, pcrs, pin })
}

impl NewTpm {
    pub fn enrol(&self) -> Enrol<'_> {
        let pin = self.pin.as_ref().map(|(pin, cost)| NewPin { pin, cost: *cost });
        Enrol::Tpm { tpm: &self.tpm, pcrs: self.pcrs, pin }
    }
}

/// What trying one passphrase is to cost.
///
/// # Errors
///
/// `Exit::Failed` without 64 MiB of memory to measure with.
pub fn cost(how: &Enrolment) -> Result<Cost, Failure> {
    measured_cost(how.cost).map_err(|_| advice::no_memory())
}

/// Reads a new passphrase from a file, or asks for it.
///
/// # Errors
///
/// As for [`secret_input::from_file`] or [`secret_input::ask_new`].
pub fn new_passphrase(file: Option<&Path>) -> Result<Given, Failure> {
    match file {
        Some(file) => secret_input::from_file(file),
        None => secret_input::ask_new("New passphrase: ", "--new-passphrase-file"),
    }
}

/// Writes a recovery key to the file that was asked for, before anything depends on it.
///
/// # Errors
///
/// `Exit::Failed` where anything has that name, or the file cannot be written: part of it may be there.
pub fn write_recovery_key(key: &RecoveryKey, out: &Path) -> Result<(), Failure> {
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(out)?;
        let text = key.to_text();
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(|error| advice::system(out.display(), &error))
}

/// Shows a recovery key on the terminal, not on stdout, which may be a log.
///
/// # Errors
///
/// As for [`secret_input::show`].
pub fn show_recovery_key(key: &RecoveryKey) -> Result<(), Failure> {
    let text = key.to_text();
    secret_input::show(&[advice::RECOVERY_KEY, &text, "\n\n"])
}

/// Takes back the file of a recovery key that opens nothing.
pub fn discard(out: &Path) {
    // The failure that made it useless is the one to report.
    let _ = fs::remove_file(out);
}
