//! All credentials of the owner at once: a rotation gives the new key to every slot that they open.
//!
//! Unlike `unlock.rs`, which is content with the first that works. A secret that was given and opens nothing is an
//! error: a slot that was mistyped would be left behind.

use super::advice::{self, Failure};
use super::key_args::Rotate;
use super::secret_input::{self, Given};
use crate::crypto::recipient::Identities;
use crate::keys::tpm::Client;
use crate::keys::{Credential, Locked, Means, Opened, RecoveryKey, SlotType};

/// Secrets, and public keys that the caller vouches for.
pub struct Ways<'a> {
    tpm: Option<(Client, Option<Given>)>,
    identities: Vec<Identities>,
    passphrase: Option<Given>,
    recovery: Option<RecoveryKey>,
    recipients: &'a [String],
}

impl<'a> Ways<'a> {
    /// What was given; asks for the rest if neither passphrase nor recovery key was.
    ///
    /// # Errors
    ///
    /// That of reading or asking for a secret; `Exit::WrongSecret` for a recovery key that is mistyped; where a slot
    /// is for the TPM that of its helper, as `advice::tpm` has it.
    pub fn collect(arguments: &'a Rotate, locked: &Locked) -> Result<Ways<'a>, Failure> {
        let backing = arguments.backing.as_path();
        let there = |wanted| locked.listing.slots.iter().any(|slot| slot.kind.slot_type() == wanted);
        let pin = arguments.pin_file.as_deref().map(secret_input::from_file).transpose()?;
        let tcti = arguments.place.tcti.as_deref();
        let tpm = there(SlotType::Tpm2).then(|| Client::new(tcti)).transpose();
        let identities = arguments.identities.iter().map(|file| secret_input::identities(file));
        let identities = identities.collect::<Result<Vec<_>, _>>()?;
        let mut passphrase = arguments.passphrase_file.as_deref().map(secret_input::from_file).transpose()?;
        let mut recovery = arguments.recovery_key_file.as_deref().map(secret_input::from_file).transpose()?;
        if passphrase.is_none() && recovery.is_none() && identities.is_empty() {
            let ask = |wanted, prompt: &str| -> Result<Option<Given>, Failure> {
                let answer = there(wanted).then(|| secret_input::ask(prompt)).transpose()?;
                Ok(answer.filter(|answer| !answer.is_empty()))
            };
            passphrase =
                ask(SlotType::Passphrase, "Passphrase (empty: its slot does not get the new key): ")?;
            recovery = ask(SlotType::Recovery, "Recovery key (empty: its slot does not get the new key): ")?;
        }
        let recovery = recovery.map(|typed| {
            let typed = std::str::from_utf8(&typed).unwrap_or_default();
            RecoveryKey::parse(typed).map_err(|error| advice::recovery_key(backing, error))
        });
        Ok(Ways {
            tpm: tpm.map_err(|error| advice::tpm(&error))?.map(|tpm| (tpm, pin)),
            identities,
            passphrase,
            recovery: recovery.transpose()?,
            recipients: &arguments.recipients,
        })
    }

    fn credentials(&self) -> Vec<Credential<'_>> {
        let tpm =
            self.tpm.iter().map(|(tpm, pin)| Credential::Tpm { tpm, pin: pin.as_ref().map(|pin| &pin[..]) });
        let spoken = self.passphrase.iter().map(|passphrase| Credential::Passphrase(passphrase));
        let written = self.recovery.iter().map(Credential::Recovery);
        spoken.chain(written).chain(self.identities.iter().map(Credential::Identities)).chain(tpm).collect()
    }

    pub fn means(&self) -> Vec<Means<'_>> {
        let public = self.recipients.iter().map(|key| Means::PublicKey(key));
        self.credentials().into_iter().map(Means::Credential).chain(public).collect()
    }

    /// Opens the volume with the first that is an owner's, having tried all.
    ///
    /// # Errors
    ///
    /// That of the first secret that opens nothing; `Exit::NotOwner`; of a TPM only where nothing else opens the
    /// volume.
    pub fn open(&self, arguments: &Rotate, locked: &Locked) -> Result<Opened, Failure> {
        let backing = arguments.backing.as_path();
        let (mut found, mut why) = (None, None);
        for credential in self.credentials() {
            match (locked.unlock_as_owner(&credential), &credential) {
                (Ok(opened), _) if opened.keyring.seed().is_some() => drop(found.get_or_insert(opened)),
                (Ok(_), _) => drop(why.get_or_insert_with(|| advice::not_owner(backing))),
                (Err(error), Credential::Tpm { .. }) => {
                    let failure = advice::unlocking(backing, locked, &error);
                    log::warn!("{failure}");
                    why.get_or_insert(failure);
                }
                (Err(error), _) => return Err(advice::unlocking(backing, locked, &error)),
            }
        }
        found.ok_or_else(|| why.unwrap_or_else(|| advice::wrong_secret(backing)))
    }
}
