//! Sealing: the secret goes into the TPM encrypted and comes out as a blob that only this TPM can load.
//!
//! The bus is trusted at this moment as to which TPM it is (there is nothing yet to compare the storage root key
//! with); from then on the slot holds the key's name.

use super::fault::{Fault, Step, at};
use super::session::Policy;
use super::template;
use super::tpm::Tpm;
use cryptfs::keys::tpm::{
    AuthValue, PcrBank, PcrMask, SealedSecret, TEMPLATE_ECC_P256, TpmError, TpmSlotFields,
};
use tss_esapi::structures::{Auth, SensitiveData};
use tss_esapi::traits::Marshall;

/// What to seal, and to what.
pub struct Wish {
    pub secret: SealedSecret,
    pub bank: PcrBank,
    pub pcrs: PcrMask,
    pub auth: Option<AuthValue>,
}

/// Seals a secret to this TPM, to what the PCRs say now, and to the authorization value if there is one.
///
/// # Errors
///
/// [`TpmError::OwnerPassword`] without a storage root key to seal under; [`TpmError::NoPcrBank`]; else as for [`at`].
pub fn seal(tpm: &mut Tpm, wish: &Wish) -> Result<TpmSlotFields, Fault> {
    let pin = wish.auth.is_some();
    let parent = tpm.parent_for_sealing()?;
    check_bank(tpm, wish.bank, wish.pcrs)?;
    let policy = Policy { bank: wish.bank, pcrs: wish.pcrs, pin };
    let (session, digest) = tpm.policy_session(&parent, policy)?;
    tpm.end_session(session)?;
    let policy_digest = digest.value().try_into().map_err(|_| TpmError::OtherTpm)?;

    let public = template::sealed_object(digest, pin)?;
    let auth = wish.auth.as_ref().map(|auth| Auth::try_from(auth.bytes())).transpose();
    let auth = at(Step::Seal, auth)?;
    let secret = at(Step::Seal, SensitiveData::try_from(&wish.secret[..]))?;
    let session = tpm.hmac_session(&parent)?;
    let created = tpm.context.execute_with_session(Some(session), |context| {
        context.create(parent.key, public, auth, Some(secret), None, None)
    });
    let created = at(Step::Seal, created)?;
    Ok(TpmSlotFields {
        parent: parent.handle,
        template: TEMPLATE_ECC_P256,
        srk_name: parent.name,
        bank: wish.bank,
        pcrs: wish.pcrs,
        policy_digest,
        pin,
        public: at(Step::Seal, created.out_public.marshall())?,
        private: created.out_private.value().to_vec(),
    })
}

/// A TPM evaluates a policy over PCRs of a bank that it does not have without complaint: it would hold for anyone.
fn check_bank(tpm: &mut Tpm, bank: PcrBank, pcrs: PcrMask) -> Result<(), Fault> {
    let first = pcrs.numbers().next();
    let Some(first) = first else { return Ok(()) };
    let first = PcrMask::from_bits(1 << first).map_err(|_| TpmError::NoPcrBank)?;
    let selection = template::pcr_selection(bank, first)?;
    let (_, _, values) = at(Step::Session, tpm.context.pcr_read(selection))?;
    if values.len() == 1 { Ok(()) } else { Err(TpmError::NoPcrBank.into()) }
}
