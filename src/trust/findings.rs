//! What was found damaged in a volume: a short list for the owner to look at, the plaintext paths of the damaged
//! objects among it.

use super::{Result, Trust, VolumeId};
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

    /// Puts a finding on the list, in place of an earlier one about the same chunk file.
    pub fn note_finding(&self, found: Found) -> Result<()> {
        let mut findings = self.findings()?;
        findings.retain(|other| other.file != found.file);
        if findings.len() < MOST {
            findings.push(found);
        }
        self.replace_or_remove("findings", &findings)
    }

    /// Takes what concerns these chunk files off the list.
    pub fn forget_findings(&self, concerns: impl Fn(&Found) -> bool) -> Result<()> {
        let findings = self.findings()?;
        let left: Vec<Found> = findings.iter().filter(|found| !concerns(found)).cloned().collect();
        if left.len() == findings.len() {
            return Ok(());
        }
        self.replace_or_remove("findings", &left)
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
