//! The list of findings: what was found damaged in a volume, the plaintext paths of the damaged
//! objects among it.
//!
//! Nothing depends on it: a list that is damaged is read as far as it makes sense, and keeps nobody from the volume.

use super::{MAX_LENGTH, Result, Trust, TrustUnavailable, VolumeId};
use std::collections::HashSet;
use std::fmt;

/// Findings that are kept.
const MOST: usize = 1000;
/// Their bytes.
const MOST_BYTES: usize = MAX_LENGTH as usize / 2;

/// One line of the list. No field holds control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Seconds since 1970.
    pub when: u64,
    /// One word: what kind of damage it is.
    pub kind: String,
    /// The chunk file's path below the backing folder.
    pub file: String,
    /// What it belongs to: the path in the volume, escaped.
    pub what: String,
}

/// Findings that were neither resolved nor accepted since.
#[derive(Debug, Default)]
pub struct Findings {
    pub list: Vec<Found>,
    /// Why the list may be shorter than it was.
    pub damage: Option<TrustUnavailable>,
}

impl Trust {
    /// The findings of a volume on this device. Makes nothing.
    pub fn findings_of(volume: VolumeId) -> Findings {
        Trust::at(volume).findings()
    }

    /// The list, as far as it can be read.
    pub fn findings(&self) -> Findings {
        let (path, bytes) = match self.read_bytes("findings") {
            Ok(Some(read)) => read,
            Ok(None) => return Findings::default(),
            Err(error) => return Findings { list: Vec::new(), damage: Some(error) },
        };
        let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        let list: Vec<Found> = lines.iter().filter_map(|line| Found::parse(line)).collect();
        let damage =
            (lines.is_empty() || list.len() < lines.len()).then_some(TrustUnavailable::Damaged(path));
        Findings { list, damage }
    }

    /// Takes findings off the list, and puts others on it, each in place of an earlier one about the same chunk file.
    /// Answers how many there was no room for: the latest ones, and those that are too long for what room is left.
    ///
    /// # Errors
    ///
    /// The list could not be read, is damaged, or could not be written.
    pub fn change_findings(&self, off: impl Fn(&Found) -> bool, on: Vec<Found>) -> Result<usize> {
        let before = self.findings();
        let about: HashSet<String> = on.iter().map(|found| found.file.clone()).collect();
        let stays = |found: &&Found| !off(found) && !about.contains(&found.file);
        let mut findings: Vec<Found> = before.list.iter().filter(stays).cloned().collect();
        findings.extend(on);
        let (all, mut room) = (findings.len(), MOST_BYTES);
        findings.retain(|found| {
            let length = found.to_string().len() + 1;
            let fits = length <= room;
            room -= if fits { length } else { 0 };
            fits
        });
        findings.truncate(MOST);
        if findings != before.list || before.damage.is_some() {
            self.replace_or_remove("findings", &findings)?;
        }
        Ok(all - findings.len())
    }
}

impl Found {
    /// `None` for a line that is no finding, or not a whole one.
    fn parse(line: &[u8]) -> Option<Found> {
        let line = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        if line.chars().any(char::is_control) {
            return None;
        }
        let mut parts = line.splitn(4, ' ');
        let mut next = || parts.next().map(str::to_owned);
        Some(Found { when: next()?.parse().ok()?, kind: next()?, file: next()?, what: next()? })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.when, self.kind, self.file, self.what)
    }
}
