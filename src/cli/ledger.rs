//! What a mount finds damaged: one line in the log, and an entry in the list that `cryptfs trust status` shows. The desktop
//! is told of that, and of what else happens to the volume.

use super::advice::{self, Notice};
use super::notice::Notices;
use crate::store::{Area, FileName};
use crate::trust::{Found, Trust};
use crate::volume::{Damage, Event, Finding, Report, Volume};
use hashbrown::HashSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Kinds of damage that are over as soon as the chunk can be opened.
const UNTIL_OPENED: [&str; 4] = ["older", "gone", "not-arrived", PLACEHOLDER];
/// What has not arrived, and will not before somebody has the client fetch it.
pub const PLACEHOLDER: &str = "placeholder";

/// The list of a mount.
pub struct Ledger {
    backing: PathBuf,
    trust: Trust,
    notices: Notices,
}

impl Ledger {
    /// Has the volume report new findings, and those on the list that are resolved.
    pub fn open(backing: &Path, trust: &Trust, volume: &Volume) {
        let findings = trust.findings();
        if let Some(error) = &findings.damage {
            log::warn!("{}", advice::list_of_findings(error));
        }
        let listed = findings.list.iter().filter_map(|found| {
            let (area, path) = found.file.split_once('/')?;
            let area = if area == "journals" { Area::Journals } else { Area::Chunks };
            let file = FileName::parse(area, path.as_bytes())?;
            Some((file, UNTIL_OPENED.contains(&found.kind.as_str())))
        });
        let ledger =
            Ledger { backing: backing.to_owned(), trust: trust.clone(), notices: Notices::new(backing) };
        volume.report_to(Box::new(ledger), listed);
    }
}

impl Report for Ledger {
    fn tell(&self, found: &[Finding], healed: &HashSet<FileName>) {
        for finding in found {
            let level = if finding.damage.is_some() { log::Level::Error } else { log::Level::Warn };
            log::log!(target: target_of(finding), level, "{}", advice::finding(&self.backing, finding));
        }
        if found.iter().any(|finding| finding.damage.is_some()) {
            self.notices.show(Notice::Damage);
        }
        let off: Vec<String> = healed.iter().map(FileName::path).collect();
        let on = found.iter().map(entry).collect();
        match self.trust.change_findings(|found| off.contains(&found.file), on) {
            Ok(0) => {}
            Ok(more) => log::warn!("the list of findings is full: {more} more are reported in the log only"),
            Err(error) => log::warn!("the list of findings cannot be changed: {error}"),
        }
    }

    fn happened(&self, event: Event) {
        self.notices.show(match event {
            Event::Stopped => Notice::Stopped,
            Event::Delayed => Notice::Delayed,
            Event::Conflict => Notice::Conflict,
        });
    }
}

/// What it is about stands behind `cryptfs::finding`: something with a path, a journal, or a chunk that nothing readable leads to.
fn target_of(finding: &Finding) -> &'static str {
    match (&finding.path, finding.chunk.inode.journal_of()) {
        (_, Some(_)) => "cryptfs::finding::journal",
        (Some(_), None) => "cryptfs::finding::path",
        (None, None) => "cryptfs::finding::chunk",
    }
}

fn entry(finding: &Finding) -> Found {
    let kind = match &finding.damage {
        None if finding.is_placeholder => PLACEHOLDER,
        None => "not-arrived",
        Some(Damage::Deleted) => "gone",
        Some(Damage::RolledBack { .. }) => "older",
        Some(Damage::Replaced) => "replaced",
        Some(Damage::Corrupt(_)) => "corrupt",
    };
    Found {
        when: UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs()),
        kind: kind.to_owned(),
        file: finding.file.path(),
        what: advice::object(finding),
    }
}
