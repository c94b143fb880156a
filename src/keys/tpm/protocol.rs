//! The pipe between cryptfs and `cryptfs-tpm`: one request, one response, then both ends close.
//!
//! A frame is a length (u32, little-endian, at most [`MAX_BODY`]) and a body: version, kind, values in order. Byte
//! strings carry a u16 length. Bytes left over, unknown kinds and values out of bounds are malformed. Frames can hold
//! secrets: they are built in memory that is wiped and never moves, and read without a buffer in between.

use super::fields::{AuthValue, Lockout, PcrBank, SealedSecret, TpmInfo, TpmSlotFields, new_secret};
use super::{PcrMask, Tcti, TpmError};
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// Longest body in bytes.
pub const MAX_BODY: usize = 4096;
const VERSION: u8 = 1;

/// What the helper is asked.
pub enum Request {
    /// Is there a TPM, may we use it, how many tries are left?
    Probe { tcti: Tcti },
    /// Seal `secret` to this TPM, to `pcrs` as they are now, and to `auth`.
    Seal { tcti: Tcti, secret: SealedSecret, bank: PcrBank, pcrs: PcrMask, auth: Option<AuthValue> },
    /// Give back what [`Request::Seal`] sealed.
    Unseal { tcti: Tcti, fields: TpmSlotFields, auth: Option<AuthValue> },
}

/// What the helper answers.
pub enum Response {
    Present(TpmInfo),
    Sealed(TpmSlotFields),
    Unsealed(SealedSecret),
    Failed(TpmError),
}

/// Bytes that are no frame of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed frame between cryptfs and cryptfs-tpm")]
pub struct Malformed;

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, malformed)
    }
}

/// Writes one frame.
///
/// # Errors
///
/// `InvalidData` ([`Malformed`]) for a body longer than [`MAX_BODY`]; else what `to` says.
pub fn write_frame(to: &mut impl Write, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY).ok_or(Malformed)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(body)
}

/// Reads one frame's body. `from` must not buffer, or a copy of the secret stays in its buffer.
///
/// # Errors
///
/// `InvalidData` ([`Malformed`]) for a length over [`MAX_BODY`]; `UnexpectedEof`; else what `from` says.
pub fn read_frame(from: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_BODY {
        return Err(Malformed.into());
    }
    let mut body = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut body)?;
    Ok(body)
}

impl Request {
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Encoder::new();
        match self {
            Self::Probe { tcti } => {
                out.u8(1);
                out.bytes(tcti.as_str().as_bytes());
            }
            Self::Seal { tcti, secret, bank, pcrs, auth } => {
                out.u8(2);
                out.bytes(tcti.as_str().as_bytes());
                out.raw(&***secret);
                out.u8(bank_to_byte(*bank));
                out.u32(pcrs.bits());
                out.auth(auth.as_ref());
            }
            Self::Unseal { tcti, fields, auth } => {
                out.u8(3);
                out.bytes(tcti.as_str().as_bytes());
                out.fields(fields);
                out.auth(auth.as_ref());
            }
        }
        out.0
    }

    /// Takes a request apart.
    ///
    /// # Errors
    ///
    /// [`Malformed`], see the module.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(body)?;
        let kind = input.u8()?;
        let tcti = Tcti::parse(&input.text()?).map_err(|_| Malformed)?;
        let request = match kind {
            1 => Self::Probe { tcti },
            2 => Self::Seal {
                tcti,
                secret: input.secret()?,
                bank: input.bank()?,
                pcrs: input.pcrs()?,
                auth: input.auth()?,
            },
            3 => Self::Unseal { tcti, fields: input.fields()?, auth: input.auth()? },
            _ => return Err(Malformed),
        };
        input.end(request)
    }
}

impl Response {
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Encoder::new();
        match self {
            Self::Present(info) => {
                out.u8(1);
                out.bytes(info.manufacturer.as_bytes());
                out.lockout(&info.lockout);
            }
            Self::Sealed(fields) => {
                out.u8(2);
                out.fields(fields);
            }
            Self::Unsealed(secret) => {
                out.u8(3);
                out.raw(&***secret);
            }
            Self::Failed(error) => {
                out.u8(4);
                out.error(error);
            }
        }
        out.0
    }

    /// Takes a response apart.
    ///
    /// # Errors
    ///
    /// [`Malformed`], see the module.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut input = Decoder::new(body)?;
        let response = match input.u8()? {
            1 => Self::Present(TpmInfo { manufacturer: input.text()?, lockout: input.lockout()? }),
            2 => Self::Sealed(input.fields()?),
            3 => Self::Unsealed(input.secret()?),
            4 => Self::Failed(input.error()?),
            _ => return Err(Malformed),
        };
        input.end(response)
    }
}

fn bank_to_byte(bank: PcrBank) -> u8 {
    match bank {
        PcrBank::Sha256 => 1,
    }
}

/// Builds a body. Its memory is reserved whole at the start, so that growing never leaves a copy behind.
struct Encoder(Zeroizing<Vec<u8>>);

impl Encoder {
    fn new() -> Self {
        let mut body = Zeroizing::new(Vec::with_capacity(MAX_BODY));
        body.push(VERSION);
        Self(body)
    }

    fn raw(&mut self, bytes: &[u8]) {
        assert!(self.0.len() + bytes.len() <= MAX_BODY, "every value is bounded far below a frame");
        self.0.extend_from_slice(bytes);
    }

    fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).expect("every value is bounded far below a frame");
        self.raw(&length.to_le_bytes());
        self.raw(bytes);
    }

    fn auth(&mut self, auth: Option<&AuthValue>) {
        self.u8(u8::from(auth.is_some()));
        if let Some(auth) = auth {
            self.bytes(auth.bytes());
        }
    }

    fn fields(&mut self, fields: &TpmSlotFields) {
        self.u32(fields.parent);
        self.u8(fields.template);
        self.raw(&fields.srk_name);
        self.u8(bank_to_byte(fields.bank));
        self.u32(fields.pcrs.bits());
        self.raw(&fields.policy_digest);
        self.u8(u8::from(fields.pin));
        self.bytes(&fields.public);
        self.bytes(&fields.private);
    }

    fn lockout(&mut self, lockout: &Lockout) {
        self.u32(lockout.failed_tries);
        self.u32(lockout.max_tries);
        self.u32(lockout.interval_seconds);
    }

    fn error(&mut self, error: &TpmError) {
        match error {
            TpmError::NoDevice { tcti } => self.kind_and_text(1, tcti),
            TpmError::NoPermission { tcti } => self.kind_and_text(2, tcti),
            TpmError::Busy { tcti } => self.kind_and_text(3, tcti),
            TpmError::OtherTpm => self.u8(4),
            TpmError::OwnerPassword => self.u8(5),
            TpmError::BootStateChanged { pcrs } => {
                self.u8(6);
                self.u32(pcrs.bits());
            }
            TpmError::PcrsKeepChanging => self.u8(7),
            TpmError::NoPcrBank => self.u8(8),
            TpmError::WrongPin(lockout) => {
                self.u8(9);
                self.lockout(lockout);
            }
            TpmError::Locked(lockout) => {
                self.u8(10);
                self.lockout(lockout);
            }
            TpmError::Damaged => self.u8(11),
            TpmError::OutOfSlots => self.u8(12),
            TpmError::Gone => self.u8(13),
            TpmError::Unexpected { code } => {
                self.u8(14);
                self.u32(*code);
            }
        }
    }

    fn kind_and_text(&mut self, kind: u8, text: &str) {
        self.u8(kind);
        self.bytes(text.as_bytes());
    }
}

/// Takes a body apart; every step can find it malformed.
struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn new(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut decoder = Self(body);
        if decoder.u8()? == VERSION { Ok(decoder) } else { Err(Malformed) }
    }

    fn end<T>(self, value: T) -> Result<T, Malformed> {
        if self.0.is_empty() { Ok(value) } else { Err(Malformed) }
    }

    fn raw(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.raw(N)?.try_into().map_err(|_| Malformed)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn bytes(&mut self, max_length: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.array().map(u16::from_le_bytes)?);
        if length <= max_length { self.raw(length) } else { Err(Malformed) }
    }

    fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes(512)?.to_vec()).map_err(|_| Malformed)
    }

    fn secret(&mut self) -> Result<SealedSecret, Malformed> {
        let mut secret = new_secret();
        secret.copy_from_slice(self.raw(32)?);
        Ok(secret)
    }

    fn auth(&mut self) -> Result<Option<AuthValue>, Malformed> {
        if !self.bool()? {
            return Ok(None);
        }
        AuthValue::new(self.bytes(AuthValue::MAX_LENGTH)?).map(Some).ok_or(Malformed)
    }

    fn bank(&mut self) -> Result<PcrBank, Malformed> {
        if self.u8()? == bank_to_byte(PcrBank::Sha256) { Ok(PcrBank::Sha256) } else { Err(Malformed) }
    }

    fn pcrs(&mut self) -> Result<PcrMask, Malformed> {
        PcrMask::from_bits(self.u32()?).map_err(|_| Malformed)
    }

    fn fields(&mut self) -> Result<TpmSlotFields, Malformed> {
        Ok(TpmSlotFields {
            parent: self.u32()?,
            template: self.u8()?,
            srk_name: self.array()?,
            bank: self.bank()?,
            pcrs: self.pcrs()?,
            policy_digest: self.array()?,
            pin: self.bool()?,
            public: self.bytes(TpmSlotFields::MAX_PUBLIC_LENGTH)?.to_vec(),
            private: self.bytes(TpmSlotFields::MAX_PRIVATE_LENGTH)?.to_vec(),
        })
    }

    fn lockout(&mut self) -> Result<Lockout, Malformed> {
        Ok(Lockout { failed_tries: self.u32()?, max_tries: self.u32()?, interval_seconds: self.u32()? })
    }

    fn error(&mut self) -> Result<TpmError, Malformed> {
        Ok(match self.u8()? {
            1 => TpmError::NoDevice { tcti: self.text()? },
            2 => TpmError::NoPermission { tcti: self.text()? },
            3 => TpmError::Busy { tcti: self.text()? },
            4 => TpmError::OtherTpm,
            5 => TpmError::OwnerPassword,
            6 => TpmError::BootStateChanged { pcrs: self.pcrs()? },
            7 => TpmError::PcrsKeepChanging,
            8 => TpmError::NoPcrBank,
            9 => TpmError::WrongPin(self.lockout()?),
            10 => TpmError::Locked(self.lockout()?),
            11 => TpmError::Damaged,
            12 => TpmError::OutOfSlots,
            13 => TpmError::Gone,
            14 => TpmError::Unexpected { code: self.u32()? },
            _ => return Err(Malformed),
        })
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
