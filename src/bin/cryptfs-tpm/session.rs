//! Sessions: always salted to the storage root key, with parameters encrypted both ways, so that the wire shows
//! neither secret nor authorization value to anybody who only listens, or who is not the TPM of that key.

use super::fault::{Fault, Step, at};
use super::template;
use super::tpm::{Parent, Tpm};
use cryptfs::keys::tpm::{PcrBank, PcrMask, TpmError};
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{Digest, SymmetricDefinition};

/// What has to hold for the TPM to unseal.
#[derive(Clone, Copy)]
pub struct Policy {
    pub bank: PcrBank,
    pub pcrs: PcrMask,
    pub pin: bool,
}

impl Tpm {
    /// A session for commands under the storage root key.
    ///
    /// # Errors
    ///
    /// [`TpmError::OutOfSlots`]; [`TpmError::OtherTpm`] where the TPM does not have that key; else as for [`at`].
    pub fn hmac_session(&mut self, parent: &Parent) -> Result<AuthSession, Fault> {
        self.session(SessionType::Hmac, parent)
    }

    /// A session in which `policy` was evaluated against the machine's present state, and what came out.
    ///
    /// With a PIN, PolicyAuthValue puts the object's authorization value into the keys of the session's HMAC and of
    /// its parameter encryption. The session is not bound to the object besides: that would add nothing, and ESYS
    /// leaves the value out of the HMAC of a bound session even where, as here, the TPM does not.
    ///
    /// # Errors
    ///
    /// As for [`Tpm::hmac_session`]. That the machine's state is another than at enrolment is no error: it shows in
    /// the digest.
    pub fn policy_session(
        &mut self,
        parent: &Parent,
        policy: Policy,
    ) -> Result<(PolicySession, Digest), Fault> {
        let session = self.session(SessionType::Policy, parent)?;
        let session = at(Step::Session, PolicySession::try_from(session))?;
        if !policy.pcrs.is_empty() {
            let selection = template::pcr_selection(policy.bank, policy.pcrs)?;
            // No expected value: the session's digest is compared as a whole.
            at(Step::Session, self.context.policy_pcr(session, Digest::default(), selection))?;
        }
        if policy.pin {
            at(Step::Session, self.context.policy_auth_value(session))?;
        }
        let digest = at(Step::Session, self.context.policy_get_digest(session))?;
        Ok((session, digest))
    }

    /// Frees a session's place in the TPM.
    ///
    /// # Errors
    ///
    /// As for [`at`].
    pub fn end_session(&mut self, session: impl Into<SessionHandle>) -> Result<(), Fault> {
        at(Step::Query, self.context.flush_context(ObjectHandle::from(session.into())))
    }

    fn session(&mut self, kind: SessionType, parent: &Parent) -> Result<AuthSession, Fault> {
        let session = at(
            Step::Session,
            self.context.start_auth_session(
                Some(parent.key),
                None,
                None,
                kind,
                SymmetricDefinition::AES_128_CFB,
                HashingAlgorithm::Sha256,
            ),
        )?
        .ok_or(TpmError::OtherTpm)?;
        let (attributes, mask) =
            SessionAttributesBuilder::new().with_decrypt(true).with_encrypt(true).build();
        at(Step::Session, self.context.tr_sess_set_attributes(session, attributes, mask))?;
        Ok(session)
    }
}
