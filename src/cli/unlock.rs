//! Opening a volume's keys: what can work without asking is tried first, then what was given, then a person is asked.
//!
//! Before anything is written the keyring is held against what this device, or the caller, expects. Neighbours:
//! `secret_input.rs` has the secrets, `keys` the slots, `trust` the memory of this device.

use super::advice::{self, Failure};
use super::args::{Only, Unlock};
use super::assemble;
use super::exit::Exit;
use super::report;
use super::secret_input::{self, Given};
use crate::keys::tpm::Client;
use crate::keys::{
    Credential, Locked, Opened, RecoveryKey, RecoveryKeyError, SlotError, SlotType, UnlockError,
};
use crate::trust::{Pin, Trust};
use std::path::{Path, PathBuf};

/// How often a person may mistype.
const TRIES: usize = 3;

/// A volume with its keys, which are those that this device expects.
pub struct Unlocked {
    pub locked: Locked,
    pub opened: Opened,
    pub trust: Trust,
}

/// Opens the volume in `backing`.
pub fn unlock(backing: &Path, how: &Unlock) -> Result<Unlocked, Failure> {
    let locked =
        Locked::open(backing, how.place.keys.as_deref()).map_err(|error| advice::opening(backing, &error))?;
    unlock_locked(backing, locked, how)
}

/// Unlocks with the slots that are left in `locked`.
pub fn unlock_locked(backing: &Path, mut locked: Locked, how: &Unlock) -> Result<Unlocked, Failure> {
    let trust = remember(&locked);
    set_aside_removed(&mut locked, &trust)?;
    let mut retired = None;
    let opened = loop {
        let opened = match open_keys(backing, &locked, how) {
            Ok(opened) => opened,
            Err(failure) => return Err(retired.unwrap_or(failure)),
        };
        if check_pin(backing, &opened, &trust, how.fingerprint.is_some())? {
            break opened;
        }
        // Another slot may hold the present keys.
        log::warn!("key slot {} holds the keys from before a rotation; it is not used", opened.slot);
        locked.set_aside(&[opened.slot]);
        retired = Some(advice::retired_keys(backing, opened.slot));
    };
    let present: Vec<_> = locked.listing.slots.iter().map(|slot| slot.id).collect();
    trust.note_slots(&present).map_err(|error| advice::state(&error))?;
    Ok(Unlocked { locked, opened, trust })
}

/// Opens the keys, whatever this device expects.
pub fn open_keys(backing: &Path, locked: &Locked, how: &Unlock) -> Result<Opened, Failure> {
    let opened = Attempt { backing, locked, how }.run()?;
    let found = opened.keyring.fingerprint();
    match how.fingerprint.filter(|expected| *expected != found) {
        Some(expected) => Err(advice::other_volume(backing, found, expected)),
        None => Ok(opened),
    }
}

/// What this device knows of the volume; nothing, and said so, where that cannot be read or written.
pub fn remember(locked: &Locked) -> Trust {
    Trust::open(locked.uuid()).unwrap_or_else(|error| {
        log::warn!(
            "there is no state folder ({error}), so an exchanged volume, an older state of it, or a removed key slot that \
             came back cannot be detected"
        );
        Trust::ephemeral()
    })
}

pub fn set_aside_removed(locked: &mut Locked, trust: &Trust) -> Result<(), Failure> {
    let removed = trust.removed_slots().map_err(|error| advice::state(&error))?;
    for slot in locked.listing.slots.iter().filter(|slot| removed.contains(&slot.id)) {
        log::warn!("key slot {} was removed on this device and has come back; it is not used", slot.id);
    }
    locked.set_aside(&removed);
    Ok(())
}

/// Refuses keys that are not the pinned ones; pins these if none were, or if they are `confirmed`.
/// Returns false for keys that were pinned before a rotation.
pub fn check_pin(backing: &Path, opened: &Opened, trust: &Trust, confirmed: bool) -> Result<bool, Failure> {
    let found = opened.keyring.fingerprint();
    let state = |error| advice::state(&error);
    let backing = &canonical(backing)?;
    let pin = trust.check_pin(&opened.keyring, opened.slot_type).map_err(state)?;
    if pin == Pin::First && !confirmed && trust.knows_another_at(backing).map_err(state)? {
        return Err(advice::exchanged_volume(backing, found));
    }
    if pin == Pin::First {
        // Keys from before a rotation open nothing; pinned, they would have the present ones refused.
        assemble::unquestioned(backing, opened, trust)?;
    }
    let accepted = match pin {
        Pin::Same => Ok(true),
        Pin::First | Pin::Rotated => trust.pin(found).map_err(state).map(|()| true),
        Pin::Mismatch { .. } if confirmed => trust.pin(found).map_err(state).map(|()| true),
        Pin::Mismatch { pinned } => Err(advice::other_volume(backing, found, pinned)),
        Pin::Retired => Ok(false),
    }?;
    if accepted {
        trust.note_place(backing).map_err(state)?;
    }
    Ok(accepted)
}

/// A folder's one path, by which this device remembers what lies there.
pub fn canonical(backing: &Path) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(backing).map_err(|error| advice::system(backing.display(), &error))
}

/// Logs why a credential did not work, where others are still to be tried.
fn warn(failure: Option<Failure>) {
    if let Some(failure) = failure {
        log::warn!("{failure}");
    }
}

struct Attempt<'a> {
    backing: &'a Path,
    locked: &'a Locked,
    how: &'a Unlock,
}

impl Attempt<'_> {
    fn run(&self) -> Result<Opened, Failure> {
        if self.locked.listing.slots.is_empty() {
            return Err(advice::no_slots(self.backing));
        }
        let mut last = None;
        if self.may_use(SlotType::Tpm2) {
            match self.tpm() {
                Ok(opened) => return Ok(opened),
                Err(failure) => last = Some(failure),
            }
        }
        if self.may_use(SlotType::Recipient) {
            for file in &self.how.identities {
                warn(last.take());
                match self.identity(file) {
                    Ok(opened) => return Ok(opened),
                    Err(failure) => last = Some(failure),
                }
            }
        }
        let spoken = self.may_use(SlotType::Passphrase) || self.may_use(SlotType::Recovery);
        match (spoken, self.given()?) {
            (true, Some(secret)) => {
                warn(last);
                self.passphrase(&secret)
            }
            (true, None) if self.how.identities.is_empty() || last.is_none() => {
                warn(last);
                self.ask()
            }
            _ => Err(last.unwrap_or_else(|| advice::unlocking(self.backing, &UnlockError::NoSlot))),
        }
    }

    /// Whether there is a slot of the type and `--slot` does not speak against it.
    fn may_use(&self, slot_type: SlotType) -> bool {
        self.locked.listing.slots.iter().any(|slot| {
            let wanted = match self.how.slot {
                None => true,
                Some(Only::Type(only)) => only == slot_type,
                Some(Only::Slot(only)) => only == slot.id,
            };
            wanted && slot.kind.slot_type() == slot_type
        })
    }

    fn open(&self, credential: &Credential<'_>) -> Result<Opened, UnlockError> {
        match self.how.slot {
            Some(Only::Type(only)) if only != credential.slot_type() => Err(UnlockError::NoSlot),
            Some(Only::Slot(only)) => self.locked.unlock(credential, Some(only)),
            Some(Only::Type(_)) | None => self.locked.unlock(credential, None),
        }
    }

    fn tpm(&self) -> Result<Opened, Failure> {
        let tpm = Client::new(self.how.place.tcti.as_deref()).map_err(|error| advice::tpm(&error))?;
        let pin = self.how.pin_file.as_deref().map(secret_input::from_file).transpose()?;
        let open =
            |pin: Option<&Given>| self.open(&Credential::Tpm { tpm: &tpm, pin: pin.map(|pin| &pin[..]) });
        let needs_pin = |error: &UnlockError| match error {
            UnlockError::Refused(all) => all.iter().any(|(_, error)| matches!(error, SlotError::NeedsPin)),
            UnlockError::NoSlot => false,
        };
        let answer = match open(pin.as_ref()) {
            Err(error) if needs_pin(&error) && self.how.passphrase_file.is_none() => {
                match secret_input::ask("PIN of this machine's TPM (nothing: another way in): ") {
                    Ok(pin) if !pin.is_empty() => open(Some(&pin)),
                    Err(failure) if failure.exit != Exit::NothingToAskOn => return Err(failure),
                    Ok(_) | Err(_) => Err(error),
                }
            }
            answer => answer,
        };
        answer.map_err(|error| advice::unlocking(self.backing, &error))
    }

    fn identity(&self, file: &Path) -> Result<Opened, Failure> {
        let identities = secret_input::identities(file)?;
        self.open(&Credential::Identities(&identities))
            .map_err(|error| advice::unlocking(self.backing, &error))
    }

    /// What was given beforehand.
    fn given(&self) -> Result<Option<Given>, Failure> {
        let credential = || secret_input::credential("cryptfs.passphrase");
        let file = self.how.passphrase_file.clone().or_else(credential);
        file.map(|file| secret_input::from_file(&file)).transpose()
    }

    fn ask(&self) -> Result<Opened, Failure> {
        let mut tries = 1;
        loop {
            let secret = secret_input::ask("Passphrase or recovery key: ")?;
            match self.passphrase(&secret) {
                Err(failure) if tries < TRIES && failure.exit == Exit::WrongSecret => {
                    report::complain(&failure.to_string());
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    /// A passphrase, or a recovery key if it has the form of one.
    fn passphrase(&self, secret: &Given) -> Result<Opened, Failure> {
        let typed = std::str::from_utf8(secret).map_or(Err(RecoveryKeyError::Checksum), RecoveryKey::parse);
        if let Ok(key) = &typed
            && let Ok(opened) = self.open(&Credential::Recovery(key))
        {
            return Ok(opened);
        }
        match (self.open(&Credential::Passphrase(secret)), typed) {
            (Ok(opened), _) => Ok(opened),
            (Err(_), Err(error @ (RecoveryKeyError::Group(_) | RecoveryKeyError::Character { .. })))
                if self.may_use(SlotType::Recovery) =>
            {
                Err(advice::recovery_key(self.backing, error))
            }
            (Err(UnlockError::NoSlot), _) => Err(advice::wrong_secret(self.backing)),
            (Err(error), _) => Err(advice::unlocking(self.backing, &error)),
        }
    }
}
