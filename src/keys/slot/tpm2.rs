//! The type `tpm2`: a secret that this machine's TPM gives back, and a PIN if one was set.

use super::{Defect, Field, Members, Stretch};

/// What the TPM needs in order to give the sealed secret back.
pub struct Tpm2 {
    pub tcti_hint: String,
    /// 0: derive the storage root key anew; else a persistent handle.
    pub parent: u32,
    /// Name of the storage root key, with its algorithm in front.
    pub srk_name: [u8; 34],
    pub pcrs: u32,
    pub policy: [u8; 32],
    pub public: Vec<u8>,
    pub private: Vec<u8>,
    /// With a PIN: what it is stretched with.
    pub(super) pin: Option<Stretch>,
}

/// The one template of storage root keys: ECC P-256, AES-128-CFB, no dictionary attack protection.
const TEMPLATE: u64 = 1;
/// The one PCR bank.
const BANK: &str = "sha256";

impl Tpm2 {
    pub(super) fn parse(members: &mut Members) -> Result<Tpm2, Defect> {
        members.number("template", TEMPLATE..=TEMPLATE)?;
        if members.text("bank")? != BANK {
            return Err(Defect::Invalid("bank"));
        }
        let tcti_hint = members.text("tcti_hint")?;
        if tcti_hint.len() > 256 || tcti_hint.chars().any(char::is_control) {
            return Err(Defect::Invalid("tcti_hint"));
        }
        let parent = members.number("parent", 0..=0x81ff_ffff)? as u32;
        if parent != 0 && parent < 0x8100_0000 {
            return Err(Defect::Invalid("parent"));
        }
        Ok(Tpm2 {
            tcti_hint,
            parent,
            srk_name: members.array("srk_name")?,
            pcrs: members.number("pcrs", 0..=0xff_ffff)? as u32,
            policy: members.array("policy")?,
            pin: parse_pin(members)?,
            public: members.bytes("public", 1..=1024)?,
            private: members.bytes("private", 1..=1024)?,
        })
    }

    pub(super) fn fields(&self) -> Vec<(&'static str, Field<'_>)> {
        let mut fields = vec![
            ("tcti_hint", Field::Text(&self.tcti_hint)),
            ("parent", Field::Number(self.parent.into())),
            ("template", Field::Number(TEMPLATE)),
            ("srk_name", Field::Bytes(&self.srk_name)),
            ("bank", Field::Text(BANK)),
            ("pcrs", Field::Number(self.pcrs.into())),
            ("policy", Field::Bytes(&self.policy)),
            ("pin", Field::Number(self.pin.is_some().into())),
        ];
        match &self.pin {
            Some(stretch) => fields.extend(stretch.fields()),
            None => {
                fields.push(("salt", Field::Bytes(&[])));
                fields.extend(["memory", "passes", "lanes"].map(|name| (name, Field::Number(0))));
            }
        }
        fields.push(("public", Field::Bytes(&self.public)));
        fields.push(("private", Field::Bytes(&self.private)));
        fields
    }

    /// Whether a PIN was set.
    pub fn has_pin(&self) -> bool {
        self.pin.is_some()
    }
}

fn parse_pin(members: &mut Members) -> Result<Option<Stretch>, Defect> {
    if members.number("pin", 0..=1)? == 1 {
        return Stretch::parse(members).map(Some);
    }
    members.bytes("salt", 0..=0)?;
    for name in ["memory", "passes", "lanes"] {
        members.number(name, 0..=0)?;
    }
    Ok(None)
}
