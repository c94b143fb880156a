//! What a response code means. The same code means different things at different steps, so each call names its step.
//!
//! Codes (TPM 2.0 part 2, section 6.6; TSS 2.0 overview, section 7): bits 16 to 23 say which layer answered. Of the
//! TPM's own codes, those with bit 7 ("format one") hold an error number in bits 0 to 5 and what it is about in bits
//! 6 and 8 to 11: a parameter, a handle or a session.

use cryptfs::keys::tpm::TpmError;
use tss_esapi::{Error, constants::response_code::Tss2ResponseCode};

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connecting, asking for properties, ending.
    Query,
    /// Making or finding the storage root key.
    Parent,
    /// Making a session and its policy.
    Session,
    Seal,
    /// Loading the sealed object.
    Load,
    Unseal,
}

/// A failed call, before it is known whether another try may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is lost and this context with it.
    Gone,
    /// A PCR was extended after the policy had looked at it.
    PcrsChanged,
    /// The authorization value was wrong; it counted as a try.
    WrongAuth,
    /// The TPM takes no tries for now.
    Locked,
    Final(TpmError),
}

impl From<TpmError> for Fault {
    fn from(error: TpmError) -> Self {
        Self::Final(error)
    }
}

/// Layers (bits 16 to 23) that this program tells apart.
const LAYER_TPM: u32 = 0;
const LAYER_ESYS: u32 = 7;
const LAYER_SYS: u32 = 8;
/// Packing and unpacking of values, before anything is sent.
const LAYER_MARSHALLING: u32 = 9;
const LAYER_TCTI: u32 = 10;
/// A resource manager answering with a TPM's code: the kernel's, and tpm2-abrmd.
const LAYER_KERNEL_RESOURCE_MANAGER: u32 = 11;
const LAYER_TABRMD: u32 = 12;

/// The TSS's own codes.
const BAD_SEQUENCE: u32 = 0x7;
const IO_ERROR: u32 = 0xa;
const MALFORMED_RESPONSE: u32 = 0x11;
const INSUFFICIENT_RESPONSE: u32 = 0x13;
const RESPONSE_AUTH_FAILED: u32 = 0x1b;

const FORMAT_ONE: u32 = 0x80;
const PARAMETER: u32 = 0x40;
const SESSION: u32 = 0x800;

const AUTH_FAIL: u32 = 0x0e;
const BAD_AUTH: u32 = 0x22;
const HANDLE: u32 = 0x0b;
const POLICY_FAIL: u32 = 0x1d;

/// Attaches the step to a failed call.
///
/// # Errors
///
/// The [`Fault`] that the response code stands for at this step.
pub fn at<T>(step: Step, result: tss_esapi::Result<T>) -> Result<T, Fault> {
    result.map_err(|error| match error {
        Error::Tss2Error(code) => classify(step, number(code)),
        Error::WrapperError(_) => match step {
            Step::Load => TpmError::Damaged.into(),
            // The wrapper could not take apart what the TPM sent.
            _ => TpmError::OtherTpm.into(),
        },
    })
}

/// The code as a number. tss-esapi keeps it private and tells it only in words.
fn number(code: Tss2ResponseCode) -> u32 {
    let text = match code {
        Tss2ResponseCode::Success => return 0,
        Tss2ResponseCode::FormatZero(code) => code.to_string(),
        Tss2ResponseCode::FormatOne(code) => code.to_string(),
    };
    text.rsplit_once("0x").and_then(|(_, digits)| u32::from_str_radix(digits, 16).ok()).unwrap_or(u32::MAX)
}

fn classify(step: Step, code: u32) -> Fault {
    match code >> 16 & 0xff {
        LAYER_TPM | LAYER_KERNEL_RESOURCE_MANAGER | LAYER_TABRMD => classify_tpm(step, code & 0xfff),
        LAYER_MARSHALLING if step == Step::Load => TpmError::Damaged.into(),
        LAYER_MARSHALLING => TpmError::OtherTpm.into(),
        LAYER_TCTI => Fault::Gone,
        LAYER_ESYS | LAYER_SYS => match code & 0xffff {
            BAD_SEQUENCE | IO_ERROR => Fault::Gone,
            MALFORMED_RESPONSE | INSUFFICIENT_RESPONSE | RESPONSE_AUTH_FAILED => TpmError::OtherTpm.into(),
            _ => TpmError::Unexpected { code }.into(),
        },
        _ => TpmError::Unexpected { code }.into(),
    }
}

fn classify_tpm(step: Step, code: u32) -> Fault {
    match code {
        0x128 => Fault::PcrsChanged,
        0x921 => Fault::Locked,
        0x901..=0x906 => TpmError::OutOfSlots.into(),
        _ if code & FORMAT_ONE != 0 => classify_format_one(step, code),
        _ => TpmError::Unexpected { code }.into(),
    }
}

fn classify_format_one(step: Step, code: u32) -> Fault {
    let error = code & 0x3f;
    let about_session = code & PARAMETER == 0 && code & SESSION != 0;
    let auth = matches!(error, AUTH_FAIL | BAD_AUTH);
    match step {
        Step::Parent if auth => TpmError::OwnerPassword.into(),
        Step::Parent if error == HANDLE => TpmError::OtherTpm.into(),
        Step::Unseal if auth => Fault::WrongAuth,
        Step::Unseal if error == POLICY_FAIL => Fault::PcrsChanged,
        // The parent takes an empty password, so only a session that is not what we think it is can be refused.
        _ if about_session => TpmError::OtherTpm.into(),
        Step::Load => TpmError::Damaged.into(),
        _ => TpmError::Unexpected { code }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_codes() {
        use Step::*;
        for (step, code, expected) in [
            (Parent, 0x9a2, TpmError::OwnerPassword.into()),
            (Parent, 0x18b, TpmError::OtherTpm.into()),
            (Load, 0x1df, TpmError::Damaged.into()),
            (Load, 0x9000b, TpmError::Damaged.into()),
            (Load, 0x98e, TpmError::OtherTpm.into()),
            (Unseal, 0x98e, Fault::WrongAuth),
            (Unseal, 0x99d, Fault::PcrsChanged),
            (Unseal, 0x128, Fault::PcrsChanged),
            (Unseal, 0xb0921, Fault::Locked),
            (Session, 0xc0903, TpmError::OutOfSlots.into()),
            (Parent, 0x902, TpmError::OutOfSlots.into()),
            (Query, 0xa000a, Fault::Gone),
            (Query, 0x70007, Fault::Gone),
            (Unseal, 0x7001b, TpmError::OtherTpm.into()),
            (Query, 0x101, TpmError::Unexpected { code: 0x101 }.into()),
        ] {
            assert_eq!(classify(step, code), expected, "{code:#x}");
        }
    }

    #[test]
    fn the_number_is_recovered_from_the_words() {
        use std::str::FromStr;
        let nowhere = tss_esapi::TctiNameConf::from_str("device:/nonexistent").unwrap();
        let Err(Error::Tss2Error(code)) = tss_esapi::Context::new(nowhere) else { panic!("opened nothing") };
        assert_eq!(number(code) >> 16, LAYER_TCTI);
    }
}
