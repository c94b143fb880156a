//! Asking the TPM about itself.

use super::fault::{Fault, Step, at};
use super::tpm::Tpm;
use cryptfs::keys::tpm::{Lockout, TpmError, TpmInfo};
use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::structures::CapabilityData;

/// Who made the TPM, and how many tries it would give.
///
/// # Errors
///
/// [`Fault::Gone`]; [`TpmError::OtherTpm`] for an answer of another form; else as for [`at`].
pub fn probe(tpm: &mut Tpm) -> Result<TpmInfo, Fault> {
    let letters = property(tpm, PropertyTag::Manufacturer)?.to_be_bytes();
    let manufacturer =
        letters.iter().filter(|letter| letter.is_ascii_graphic()).map(|l| char::from(*l)).collect();
    Ok(TpmInfo { manufacturer, lockout: lockout(tpm)? })
}

/// How many tries failed, and what happens then.
///
/// # Errors
///
/// As for [`probe`].
pub fn lockout(tpm: &mut Tpm) -> Result<Lockout, Fault> {
    Ok(Lockout {
        failed_tries: property(tpm, PropertyTag::LockoutCounter)?,
        max_tries: property(tpm, PropertyTag::MaxAuthFail)?,
        interval_seconds: property(tpm, PropertyTag::LockoutInterval)?,
    })
}

/// One property. Not `get_tpm_property`, which remembers what it was told: these change.
fn property(tpm: &mut Tpm, tag: PropertyTag) -> Result<u32, Fault> {
    let asked = tpm.context.execute_without_session(|context| {
        context.get_capability(CapabilityType::TpmProperties, tag.into(), 1)
    });
    match at(Step::Query, asked)?.0 {
        CapabilityData::TpmProperties(list) => {
            list.find(tag).map(|found| found.value()).ok_or(TpmError::OtherTpm.into())
        }
        _ => Err(TpmError::OtherTpm.into()),
    }
}
