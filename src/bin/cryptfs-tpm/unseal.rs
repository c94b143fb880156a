//! Unsealing: first everything that can be refused without costing a try, then the one command that can.

use super::fault::{Fault, Step, at};
use super::session::Policy;
use super::tpm::{Parent, Tpm};
use cryptfs::keys::tpm::{AuthValue, SealedSecret, TpmError, TpmSlotFields, new_secret};
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::session_handles::PolicySession;
use tss_esapi::structures::{Auth, Private, Public};
use tss_esapi::traits::{Marshall, UnMarshall};

/// How often a session is begun again because a PCR was extended between the policy's look and the command.
const MAX_TRIES: u32 = 30;

/// Gives back what was sealed.
///
/// # Errors
///
/// [`TpmError::OtherTpm`] under another storage root key; [`TpmError::Damaged`] for fields that were changed;
/// [`TpmError::BootStateChanged`]; [`TpmError::PcrsKeepChanging`] after 30 tries; [`Fault::WrongAuth`] and
/// [`Fault::Locked`] of a PIN; else as for [`at`].
pub fn unseal(
    tpm: &mut Tpm,
    fields: &TpmSlotFields,
    auth: Option<&AuthValue>,
) -> Result<SealedSecret, Fault> {
    let public = checked_public(fields)?;
    let parent = tpm.parent(fields.parent, fields.template)?;
    if parent.name != fields.srk_name {
        return Err(TpmError::OtherTpm.into());
    }
    let object = load(tpm, &parent, public, fields)?;
    if let Some(auth) = auth {
        let auth = at(Step::Load, Auth::try_from(auth.bytes()))?;
        at(Step::Load, tpm.context.tr_set_auth(object.into(), auth))?;
    }
    for _ in 0..MAX_TRIES {
        match unseal_once(tpm, &parent, object, fields) {
            Err(Fault::PcrsChanged) => {}
            // Without a PIN nothing but the session can have been refused.
            Err(Fault::WrongAuth) if !fields.pin => return Err(TpmError::OtherTpm.into()),
            other => return other,
        }
    }
    Err(TpmError::PcrsKeepChanging.into())
}

/// The object's public part, if it is what [`super::seal`] makes. The TPM checks that it belongs to the private part.
fn checked_public(fields: &TpmSlotFields) -> Result<Public, Fault> {
    let public = at(Step::Load, Public::unmarshall(&fields.public))?;
    let canonical = at(Step::Load, public.marshall())?;
    let no_da = public.object_attributes().no_da();
    if canonical == fields.public
        && public.auth_policy().value() == fields.policy_digest
        && no_da != fields.pin
    {
        Ok(public)
    } else {
        Err(TpmError::Damaged.into())
    }
}

fn load(tpm: &mut Tpm, parent: &Parent, public: Public, fields: &TpmSlotFields) -> Result<KeyHandle, Fault> {
    let private = at(Step::Load, Private::try_from(fields.private.as_slice()))?;
    let session = tpm.hmac_session(parent)?;
    let loaded =
        tpm.context.execute_with_session(Some(session), |context| context.load(parent.key, private, public));
    let object = at(Step::Load, loaded)?;
    tpm.end_session(session)?;
    Ok(object)
}

fn unseal_once(
    tpm: &mut Tpm,
    parent: &Parent,
    object: KeyHandle,
    fields: &TpmSlotFields,
) -> Result<SealedSecret, Fault> {
    let policy = Policy { bank: fields.bank, pcrs: fields.pcrs, pin: fields.pin };
    let (session, digest) = tpm.policy_session(parent, policy)?;
    // Before Unseal, which would count a try even though no PIN was wrong.
    if digest.value() != fields.policy_digest {
        return Err(TpmError::BootStateChanged { pcrs: fields.pcrs }.into());
    }
    let result = unseal_in(tpm, session, object);
    if matches!(result, Err(Fault::PcrsChanged)) {
        tpm.end_session(session)?;
    }
    result
}

fn unseal_in(tpm: &mut Tpm, session: PolicySession, object: KeyHandle) -> Result<SealedSecret, Fault> {
    let unsealed =
        tpm.context.execute_with_session(Some(session.into()), |context| context.unseal(object.into()));
    let unsealed = at(Step::Unseal, unsealed)?;
    let mut secret = new_secret();
    if unsealed.value().len() != secret.len() {
        return Err(TpmError::Damaged.into());
    }
    secret.copy_from_slice(unsealed.value());
    // The next response overwrites ESYS's own copy of the secret.
    at(Step::Query, tpm.context.execute_without_session(|context| context.get_random(32)))?;
    Ok(secret)
}
