//! Opening a volume's keys: what can work without asking is tried first, then what was given, then a person is asked.
//!
//! Whose volume this is is decided before any secret is tried: by what this device pinned, by a fingerprint that the
//! caller gave, or by a person who compares one. Neighbours: `secret_input.rs` has the secrets, `keys` the slots,
//! `trust` the memory of this device.

use super::advice::{self, Failure};
use super::args::{Only, Place, Unlock};
use super::exit::Exit;
use super::kept::Kept;
use super::report;
use super::secret_input::{self, Given};
use super::values::SlotName;
use crate::keys::tpm::Client;
use crate::keys::{
    Contact, Credential, Expected, Fingerprint, Found, Locked, Opened, RecoveryKey, RecoveryKeyError, Slot,
    SlotError, SlotId, SlotType, UnlockError, VolumeId,
};
use crate::trust::{Trust, TrustUnavailable};
use std::path::{Path, PathBuf};

/// How often a person may mistype.
const TRIES: usize = 3;
/// Files of a key folder that are named in the log.
const NAMED: usize = 3;

/// A volume with its keys, which are those that this device expects.
pub struct Unlocked {
    pub locked: Locked,
    pub opened: Opened,
    pub trust: Trust,
}

/// Opens the volume in `backing`.
///
/// # Errors
///
/// As for [`look`] and [`unlock_locked`].
pub fn unlock(backing: &Path, how: &Unlock) -> Result<Unlocked, Failure> {
    let (locked, trust) = look(backing, &how.place, how.fingerprint)?;
    unlock_locked(backing, locked, trust, how)
}

/// Opens the volume for something that the owner is to sign.
///
/// # Errors
///
/// As for [`unlock`].
pub fn unlock_as_owner(backing: &Path, how: &Unlock) -> Result<Unlocked, Failure> {
    let (mut locked, trust) = look(backing, &how.place, how.fingerprint)?;
    locked.keep_owners();
    let unlocked = unlock_locked(backing, locked, trust, how);
    unlocked.inspect_err(|failure| {
        if matches!(failure.exit, Exit::WrongSecret | Exit::NoSuchSlot | Exit::NothingToAskOn) {
            report::complain(advice::ONLY_OWNERS);
        }
    })
}

/// Opens the volume with the slots that `locked` has left.
///
/// # Errors
///
/// As for [`identify`], [`open_keys`] and [`accept`].
pub fn unlock_locked(
    backing: &Path,
    locked: Locked,
    trust: Trust,
    how: &Unlock,
) -> Result<Unlocked, Failure> {
    identify(backing, &locked, &trust)?;
    tell_what_does_not_count(&locked);
    let opened = open_keys(backing, &locked, how)?;
    accept(backing, &locked, &trust)?;
    Ok(Unlocked { locked, opened, trust })
}

/// Looks at the key folder as this device knows the volume.
///
/// # Errors
///
/// As for [`find`]; `Exit::Failed` where the key folder, or this device's record of the volume, cannot be read.
pub fn look(
    backing: &Path,
    place: &Place,
    confirmed: Option<Fingerprint>,
) -> Result<(Locked, Trust), Failure> {
    let found = find(backing, place)?;
    let trust = remember(found.uuid());
    let state = |error| advice::state(&error);
    let expected = Expected { confirmed, ..trust.expected().map_err(state)? };
    let own = trust.own_slot().map_err(state)?;
    let locked = found.look(&expected).map_err(|error| advice::opening(backing, &error))?;
    Ok((locked.with_local(own.into_iter().collect()), trust))
}

/// Looks at the key folder without making anything, for those who only show it.
///
/// # Errors
///
/// As for [`look`].
pub fn peek(backing: &Path, place: &Place) -> Result<Locked, Failure> {
    let found = find(backing, place)?;
    let expected = Trust::expected_of(found.uuid()).map_err(|error| advice::state(&error))?;
    found.look(&expected).map_err(|error| advice::opening(backing, &error))
}

/// Reads the header.
///
/// # Errors
///
/// `Exit::NotAVolume`, `Exit::NewerFormat`, `Exit::DamagedHeader`; `Exit::Failed` where it cannot be read.
pub fn find(backing: &Path, place: &Place) -> Result<Found, Failure> {
    Found::open(backing, place.keys.as_deref()).map_err(|error| advice::opening(backing, &error))
}

/// What this device knows of the volume; nothing, and said so, where that cannot be read or written.
fn remember(volume: VolumeId) -> Trust {
    Trust::open(volume).unwrap_or_else(|error| {
        log::warn!(
            "there is no state folder ({error}), so an exchanged volume, an older state of it, or a removed key slot that \
             came back cannot be detected"
        );
        Trust::ephemeral()
    })
}

/// Refuses a volume whose owner key is not the one that is expected here, or one that is not expected in this folder.
///
/// # Errors
///
/// `Exit::OtherVolume`; `Exit::NoSuchSlot` or `Exit::DamagedHeader` without slots or a list of them; `Exit::Failed`
/// where this device's records cannot be read.
pub fn identify(backing: &Path, locked: &Locked, trust: &Trust) -> Result<(), Failure> {
    let found = locked.owner.fingerprint();
    match &locked.contact {
        Contact::Known | Contact::Confirmed | Contact::First => {}
        Contact::Succeeded { pinned } => {
            return Err(advice::owner_replaced(backing, found, pinned.fingerprint()));
        }
        Contact::Other { pinned } => return Err(advice::other_volume(backing, found, pinned.fingerprint())),
        Contact::NotConfirmed { expected } => return Err(advice::other_volume(backing, found, *expected)),
        Contact::Unclear(owners) => {
            let all: Vec<_> = owners.iter().map(|owner| owner.fingerprint()).collect();
            return Err(advice::unclear_owner(backing, &all));
        }
    }
    let elsewhere = trust.knows_another_at(&canonical(backing)?).map_err(|error| advice::state(&error))?;
    if elsewhere && locked.contact != Contact::Confirmed {
        return Err(advice::exchanged_volume(backing, found));
    }
    match locked.list.newest() {
        Some(_) => Ok(()),
        None if locked.listing.is_empty() => Err(advice::no_slots(backing, 0)),
        None => Err(advice::no_list(backing)),
    }
}

/// Names slots that were revoked or outdated, and what the owner did not make: it may be an attack.
fn tell_what_does_not_count(locked: &Locked) {
    for (slot, why) in &locked.listing.spent {
        log::warn!("key slot {} is {why}; it is not used", slot.id);
    }
    let junk = &locked.listing.junk;
    let count = junk.len() + locked.listing.more_junk;
    if count > 0 {
        let names: Vec<_> = junk.iter().take(NAMED).map(|(name, _)| name.as_str()).collect();
        let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
        log::warn!("not the owner's, and not used, beside the key slots: {}{more}", names.join(", "));
    }
}

/// Opens the keys, whatever this device expects.
///
/// # Errors
///
/// `Exit::WrongSecret`, `Exit::NoSuchSlot`, `Exit::NothingToAskOn`, `Exit::Interrupted`; else what the last way that
/// was tried says, as `advice::slot` has it.
pub fn open_keys(backing: &Path, locked: &Locked, how: &Unlock) -> Result<Opened, Failure> {
    let slot = match &how.slot {
        Some(Only::Slot(name)) => Some(named(backing, name, locked.usable().map(|slot| slot.id))?),
        Some(Only::Type(_)) | None => None,
    };
    Attempt { backing, locked, how, slot }.run()
}

/// The slot that is meant, of these.
///
/// # Errors
///
/// `Exit::NoSuchSlot` where its first digits are those of none, or of several.
pub fn named(
    backing: &Path,
    name: &SlotName,
    ids: impl IntoIterator<Item = SlotId>,
) -> Result<SlotId, Failure> {
    name.among(ids).map_err(|count| advice::unclear_slot(backing, name.digits(), count))
}

/// From now on this device expects what was found.
///
/// # Errors
///
/// `Exit::Failed` where this device's record of the volume cannot be written.
pub fn accept(backing: &Path, locked: &Locked, trust: &Trust) -> Result<(), Failure> {
    if locked.contact == Contact::First {
        let found = locked.owner.fingerprint();
        report::complain(&format!(
            "This device has not seen the volume before. From now on it expects the fingerprint {found}."
        ));
    }
    let present: Vec<_> = locked.listing.slots.iter().map(|slot| slot.id).collect();
    let note = || -> Result<(), TrustUnavailable> {
        trust.pin(locked.owner, &locked.list)?;
        trust.note_slots(&present)?;
        Ok(())
    };
    let place = canonical(backing)?;
    note().and_then(|()| trust.note_place(&place)).map_err(|error| advice::state(&error))
}

/// A folder's one path, by which this device remembers what lies there.
///
/// # Errors
///
/// `Exit::Failed` where there is no such folder, or one on the way cannot be searched.
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
    /// The only one that is to be tried.
    slot: Option<SlotId>,
}

impl Attempt<'_> {
    fn run(&self) -> Result<Opened, Failure> {
        if self.locked.usable().next().is_none() {
            let others = self.locked.listing.spent.len() + self.locked.listing.junk.len();
            return Err(advice::no_slots(self.backing, others));
        }
        let mut last = None;
        let given = self.given()?;
        let beside = self.may_use(SlotType::Tpm2)
            || (self.may_use(SlotType::Recipient) && !self.how.identities.is_empty());
        let confirmed = !beside || self.confirmed(given.is_some(), &mut last)?;
        if self.may_use(SlotType::Tpm2) && confirmed {
            match self.tpm() {
                Ok(opened) => return Ok(opened),
                Err(failure) => last = Some(failure),
            }
        }
        if self.may_use(SlotType::Recipient) && confirmed {
            for file in &self.how.identities {
                warn(last.take());
                match self.identity(file) {
                    Ok(opened) => return Ok(opened),
                    Err(failure) => last = Some(failure),
                }
            }
        }
        let spoken = self.may_use(SlotType::Passphrase) || self.may_use(SlotType::Recovery);
        match (spoken, given) {
            (true, Some(secret)) => {
                warn(last);
                self.passphrase(&secret)
            }
            (true, None) if self.how.identities.is_empty() || last.is_none() => {
                let why = last.as_ref().map(Failure::to_string);
                warn(last);
                self.ask(why)
            }
            _ => {
                Err(last
                    .unwrap_or_else(|| advice::unlocking(self.backing, self.locked, &UnlockError::NoSlot)))
            }
        }
    }

    /// Whether slots may be tried that can be anybody's: of a TPM and of public keys. A person who has not seen the volume
    /// here compares its fingerprint; with a passphrase nobody has to.
    fn confirmed(&self, has_passphrase: bool, last: &mut Option<Failure>) -> Result<bool, Failure> {
        if self.locked.contact != Contact::First {
            return Ok(true);
        }
        let found = self.locked.owner.fingerprint();
        if has_passphrase {
            return Ok(false);
        }
        match secret_input::confirm(&advice::is_it_the_volume(found)) {
            Err(failure) if failure.exit == Exit::NothingToAskOn => {
                *last = Some(advice::not_confirmed(self.backing, found));
                Ok(false)
            }
            answer => answer,
        }
    }

    /// Whether there is a slot of the type and `--slot` does not speak against it.
    fn may_use(&self, slot_type: SlotType) -> bool {
        self.locked.usable().any(|slot: &Slot| {
            let wanted = match &self.how.slot {
                Some(Only::Type(only)) => *only == slot_type,
                Some(Only::Slot(_)) | None => self.slot.is_none_or(|only| only == slot.id),
            };
            wanted && slot.kind.slot_type() == slot_type
        })
    }

    fn open(&self, credential: &Credential<'_>) -> Result<Opened, UnlockError> {
        match &self.how.slot {
            Some(Only::Type(only)) if *only != credential.slot_type() => Err(UnlockError::NoSlot),
            _ => self.locked.unlock(credential, self.slot),
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
                let before = advice::question(self.backing, None);
                match secret_input::ask_about(
                    &before,
                    "PIN of this machine's TPM (nothing: another way in): ",
                ) {
                    Ok(pin) if !pin.is_empty() => open(Some(&pin)),
                    Err(failure) if failure.exit != Exit::NothingToAskOn => return Err(failure),
                    Ok(_) | Err(_) => Err(error),
                }
            }
            answer => answer,
        };
        answer.map_err(|error| advice::unlocking(self.backing, self.locked, &error))
    }

    fn identity(&self, file: &Path) -> Result<Opened, Failure> {
        let identities = secret_input::identities(file)?;
        self.open(&Credential::Identities(&identities))
            .map_err(|error| advice::unlocking(self.backing, self.locked, &error))
    }

    /// What was given beforehand.
    fn given(&self) -> Result<Option<Given>, Failure> {
        let credential = || secret_input::credential("cryptfs.passphrase");
        let file = self.how.passphrase_file.clone().or_else(credential);
        file.map(|file| secret_input::from_file(&file)).transpose()
    }

    /// Takes what the kernel kept, else asks. `why`: what was tried before that needs no answer.
    fn ask(&self, mut why: Option<String>) -> Result<Opened, Failure> {
        let kept = self.how.keyring.and_then(|duration| Kept::new(self.locked.uuid(), duration));
        if let Some(opened) = kept.as_ref().and_then(|kept| self.try_kept(kept)) {
            return Ok(opened);
        }
        let mut tries = 1;
        loop {
            let before = advice::question(self.backing, why.as_deref());
            let secret = secret_input::ask_about(&before, "Passphrase or recovery key: ")?;
            match self.passphrase(&secret) {
                Err(failure) if tries < TRIES && failure.exit == Exit::WrongSecret => {
                    report::complain(&failure.to_string());
                    why = Some(failure.to_string());
                    tries += 1;
                }
                Ok(opened) => {
                    kept.inspect(|kept| kept.keep(&secret));
                    return Ok(opened);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn try_kept(&self, kept: &Kept) -> Option<Opened> {
        let secret = kept.find()?;
        let opened = self.passphrase(&secret).ok();
        if opened.is_none() {
            kept.forget();
        }
        opened
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
            (Err(error), _) => Err(advice::unlocking(self.backing, self.locked, &error)),
        }
    }
}
