//! The type `tpm2`: a secret that this machine's TPM gives back, and a PIN if one was set.
//!
//! A PIN is stretched to two halves: one the TPM checks, the other goes into the slot key. So a broken TPM still
//! leaves a search over stretched PINs.

use super::{Defect, Field, Members, SlotError, SlotKey, Stretch};
use crate::crypto::{self, Cost, CostError};
use crate::keys::tpm::{
    Answer, Client, PcrBank, PcrMask, SealedSecret, TEMPLATE_ECC_P256, TpmSlotFields, new_secret,
};
use crate::keys::{HeaderDigest, SlotId};
use std::ops::RangeInclusive;

const BANK: &str = "sha256";
const PERSISTENT: RangeInclusive<u64> = 0x8100_0000..=0x81ff_ffff;

/// What the TPM needs in order to give the sealed secret back, and what a PIN is stretched with.
pub struct Tpm2 {
    /// Where the TPM was reached at enrolment: to show, never to follow.
    pub tcti_hint: String,
    pub sealed: TpmSlotFields,
    /// There if and only if the sealed secret asks for a PIN.
    stretch: Option<Stretch>,
}

/// Something that seals secrets to this machine.
pub trait Sealer {
    /// Where it is reached, in the TSS's notation.
    fn tcti(&self) -> String;
    /// Seals `secret` to this machine, to the present values of `pcrs`, and to `auth` where there is one.
    ///
    /// # Errors
    ///
    /// As for [`Client::seal`].
    fn seal(&self, secret: SealedSecret, pcrs: PcrMask, auth: Option<&[u8]>) -> Answer<TpmSlotFields>;
    /// Gives back what `seal` sealed.
    ///
    /// # Errors
    ///
    /// As for [`Client::unseal`].
    fn unseal(&self, sealed: &TpmSlotFields, auth: Option<&[u8]>) -> Answer<SealedSecret>;
}

impl Sealer for Client {
    fn tcti(&self) -> String {
        Client::tcti(self).as_str().to_owned()
    }

    fn seal(&self, secret: SealedSecret, pcrs: PcrMask, auth: Option<&[u8]>) -> Answer<TpmSlotFields> {
        Client::seal(self, secret, pcrs, auth)
    }

    fn unseal(&self, sealed: &TpmSlotFields, auth: Option<&[u8]>) -> Answer<SealedSecret> {
        Client::unseal(self, sealed, auth)
    }
}

/// A PIN and what it may cost to stretch it.
#[derive(Clone, Copy)]
pub struct NewPin<'a> {
    pub pin: &'a [u8],
    pub cost: Cost,
}

impl Tpm2 {
    /// Seals a fresh secret; returns the slot's members and its key.
    pub(super) fn enrol(
        volume: &HeaderDigest,
        id: SlotId,
        tpm: &dyn Sealer,
        pcrs: PcrMask,
        pin: Option<NewPin<'_>>,
    ) -> Result<(Tpm2, SlotKey), SlotError> {
        let mut secret = new_secret();
        crypto::fill_random(&mut secret[..]);
        let mut copy = new_secret();
        copy.copy_from_slice(&secret[..]);
        let stretch = pin.map(|pin| Stretch::new(pin.cost));
        let halves = halves(stretch.as_ref(), pin.map(|pin| pin.pin))?;
        let (k1, k2) = split(halves.as_ref());
        let sealed = tpm.seal(copy, pcrs, k2).map_err(SlotError::Tpm)?;
        let key = slot_key(&secret, k1, volume, id);
        Ok((Tpm2 { tcti_hint: tpm.tcti(), sealed, stretch }, key))
    }

    /// The slot's key, from this machine's TPM.
    pub(super) fn key(
        &self,
        volume: &HeaderDigest,
        id: SlotId,
        tpm: &dyn Sealer,
        pin: Option<&[u8]>,
    ) -> Result<SlotKey, SlotError> {
        let halves = halves(self.stretch.as_ref(), pin)?;
        let (k1, k2) = split(halves.as_ref());
        let secret = tpm.unseal(&self.sealed, k2).map_err(SlotError::Tpm)?;
        Ok(slot_key(&secret, k1, volume, id))
    }

    pub(super) fn parse(members: &mut Members) -> Result<Tpm2, Defect> {
        let template = members.number("template", TEMPLATE_ECC_P256.into()..=TEMPLATE_ECC_P256.into())? as u8;
        if members.text("bank")? != BANK {
            return Err(Defect::Invalid("bank"));
        }
        let tcti_hint = members.text("tcti_hint")?;
        if tcti_hint.len() > 256 || tcti_hint.chars().any(char::is_control) {
            return Err(Defect::Invalid("tcti_hint"));
        }
        let parent = members.number("parent", 0..=*PERSISTENT.end())?;
        if parent != 0 && !PERSISTENT.contains(&parent) {
            return Err(Defect::Invalid("parent"));
        }
        let pcrs = members.number("pcrs", 0..=u32::MAX.into())? as u32;
        let stretch = parse_stretch(members)?;
        let sealed = TpmSlotFields {
            parent: parent as u32,
            template,
            srk_name: members.array("srk_name")?,
            bank: PcrBank::Sha256,
            pcrs: PcrMask::from_bits(pcrs).map_err(|_| Defect::Invalid("pcrs"))?,
            policy_digest: members.array("policy")?,
            pin: stretch.is_some(),
            public: members.bytes("public", 1..=TpmSlotFields::MAX_PUBLIC_LENGTH)?,
            private: members.bytes("private", 1..=TpmSlotFields::MAX_PRIVATE_LENGTH)?,
        };
        Ok(Tpm2 { tcti_hint, sealed, stretch })
    }

    pub(super) fn fields(&self) -> Vec<(&'static str, Field<'_>)> {
        let PcrBank::Sha256 = self.sealed.bank;
        let mut fields = vec![
            ("tcti_hint", Field::Text(&self.tcti_hint)),
            ("parent", Field::Number(self.sealed.parent.into())),
            ("template", Field::Number(self.sealed.template.into())),
            ("srk_name", Field::Bytes(&self.sealed.srk_name)),
            ("bank", Field::Text(BANK)),
            ("pcrs", Field::Number(self.sealed.pcrs.bits().into())),
            ("policy", Field::Bytes(&self.sealed.policy_digest)),
            ("pin", Field::Number(self.stretch.is_some().into())),
        ];
        match &self.stretch {
            Some(stretch) => fields.extend(stretch.fields()),
            None => {
                fields.push(("salt", Field::Bytes(&[])));
                fields.extend(["memory", "passes", "lanes"].map(|name| (name, Field::Number(0))));
            }
        }
        fields.push(("public", Field::Bytes(&self.sealed.public)));
        fields.push(("private", Field::Bytes(&self.sealed.private)));
        fields
    }

    /// What it costs to stretch the PIN, if one was set.
    pub fn pin_cost(&self) -> Option<Cost> {
        self.stretch.as_ref().map(Stretch::cost)
    }
}

fn parse_stretch(members: &mut Members) -> Result<Option<Stretch>, Defect> {
    if members.number("pin", 0..=1)? == 1 {
        return Stretch::parse(members).map(Some);
    }
    members.bytes("salt", 0..=0)?;
    for name in ["memory", "passes", "lanes"] {
        members.number(name, 0..=0)?;
    }
    Ok(None)
}

type Halves = Box<zeroize::Zeroizing<[u8; 64]>>;

fn halves(stretch: Option<&Stretch>, pin: Option<&[u8]>) -> Result<Option<Halves>, SlotError> {
    let Some(stretch) = stretch else { return Ok(None) };
    let pin = pin.ok_or(SlotError::NeedsPin)?;
    stretch.run(pin).map(Some).map_err(|CostError| SlotError::NoMemory(stretch.cost()))
}

/// What goes into the slot key, and what the TPM checks.
fn split(halves: Option<&Halves>) -> (&[u8], Option<&[u8]>) {
    match halves {
        Some(halves) => (&halves[..32], Some(&halves[32..])),
        None => (&[], None),
    }
}

fn slot_key(secret: &SealedSecret, k1: &[u8], volume: &HeaderDigest, id: SlotId) -> SlotKey {
    SlotKey(crypto::extract_and_expand(&[&secret[..], k1], &[b"cryptfs v2 tpm2", &volume.0, &id.0]))
}
