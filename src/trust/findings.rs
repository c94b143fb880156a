//! What was found damaged in a volume: a short list for the owner to look at, the plaintext paths of the damaged
//! objects among it.

use super::{Result, Trust, VolumeId};
use std::collections::HashSet;
use std::fmt;

/// Findings that are kept; later ones are only logged.
const MOST: usize = 1000;

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

impl Trust {
    /// The findings of a volume on this device. Makes nothing.
    pub fn findings_of(volume: VolumeId) -> Result<Vec<Found>> {
        Trust::at(volume).findings()
    }

    /// What was found and neither came right nor was accepted since.
    pub fn findings(&self) -> Result<Vec<Found>> {
        self.read("findings", Found::parse)
    }

    /// Takes findings off the list, and puts others on it, each in place of an earlier one about the same chunk file.
    pub fn change_findings(&self, off: impl Fn(&Found) -> bool, on: Vec<Found>) -> Result<()> {
        let before = self.findings()?;
        let about: HashSet<String> = on.iter().map(|found| found.file.clone()).collect();
        let stays = |found: &&Found| !off(found) && !about.contains(&found.file);
        let mut findings: Vec<Found> = before.iter().filter(stays).cloned().collect();
        findings.extend(on);
        findings.truncate(MOST);
        if findings == before {
            return Ok(());
        }
        self.replace_or_remove("findings", &findings)
    }
}

impl Found {
    fn parse(line: &str) -> Option<Found> {
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
