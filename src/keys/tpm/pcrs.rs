//! Platform configuration registers: which of them a secret is sealed to.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A set of PCRs, bit n for PCR n. Only PCRs 0 to 23 exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PcrMask(u32);

/// What is wrong with a list of PCRs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PCRs are numbers from 0 to 23 between commas, or \"none\"")]
pub struct InvalidPcrs;

impl PcrMask {
    pub const NONE: PcrMask = PcrMask(0);
    /// PCR 7, Secure Boot's state and keys.
    pub const SECURE_BOOT: PcrMask = PcrMask(1 << 7);

    /// The set that these bits are.
    ///
    /// # Errors
    ///
    /// [`InvalidPcrs`] where one of the upper eight is set.
    pub fn from_bits(bits: u32) -> Result<Self, InvalidPcrs> {
        if bits >> 24 == 0 { Ok(Self(bits)) } else { Err(InvalidPcrs) }
    }

    pub fn bits(self) -> u32 {
        self.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers of the PCRs in the set, ascending.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        (0..24).filter(move |number| self.0 >> number & 1 == 1)
    }
}

/// "7, 11"; "none" for the empty set.
impl fmt::Display for PcrMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let numbers: Vec<String> = self.numbers().map(|number| number.to_string()).collect();
        f.write_str(&numbers.join(", "))
    }
}

/// Numbers between commas, or "none".
impl FromStr for PcrMask {
    type Err = InvalidPcrs;

    fn from_str(text: &str) -> Result<Self, InvalidPcrs> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        text.split(',').try_fold(Self::NONE, |mask, number| match number.trim().parse::<u32>() {
            Ok(number @ 0..24) => Ok(Self(mask.0 | 1 << number)),
            _ => Err(InvalidPcrs),
        })
    }
}

/// Whether the firmware says that Secure Boot is on. Without it PCR 7 says next to nothing about what booted.
pub fn secure_boot_is_on() -> bool {
    variable_is_one(Path::new("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"))
}

/// An EFI variable's file is four bytes of attributes and the value.
fn variable_is_one(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.len() == 5 && bytes[4] == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_parse_and_print() {
        let mask: PcrMask = "11,7".parse().unwrap();
        assert_eq!(mask.bits(), 1 << 7 | 1 << 11);
        assert_eq!(mask.to_string(), "7, 11");
        assert_eq!("none".parse(), Ok(PcrMask::NONE));
        for wrong in ["", "24", "-1", "7,,8", "seven"] {
            assert_eq!(wrong.parse::<PcrMask>(), Err(InvalidPcrs), "{wrong}");
        }
        assert_eq!(PcrMask::from_bits(1 << 24), Err(InvalidPcrs));
    }

    #[test]
    fn secure_boot_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("SecureBoot");
        for (bytes, expected) in [(&[6, 0, 0, 0, 1][..], true), (&[6, 0, 0, 0, 0], false), (&[1], false)] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(variable_is_one(&file), expected);
        }
        assert!(!variable_is_one(&folder.path().join("absent")));
    }
}
