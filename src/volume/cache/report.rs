//! Telling of findings, with the path that the owner knows each by.

use super::Cache;
use crate::chunk::{ChunkId, InodeId};
use crate::store::FileName;
use crate::volume::findings::{Finding, Place, Report, Untold, parts};
use crate::volume::inode::state::Inode;
use crate::volume::{Damage, Error};
use hashbrown::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long a sync client may take to bring all files of one change, where other devices write to the volume, too, or one
/// may just have begun to.
const GRACE: Duration = Duration::from_secs(30);

impl Cache {
    /// Tells of findings from now on, and of those that were noticed while the volume was opened. `listed`: chunk files
    /// that are on the list, and whether each is right again as soon as its chunk can be opened.
    pub fn report_to(&self, reporter: Box<dyn Report>, listed: impl Iterator<Item = (FileName, bool)>) {
        for (error, place) in self.findings.take_early() {
            if self.is_wanted(&error, place.as_ref()) {
                self.findings.notice(&error, || place);
            }
        }
        self.findings.report_to(reporter, listed);
    }

    /// Tells of everything noticed so far, for whoever decides by that, or ends.
    pub fn report(&self) {
        self.report_after(Duration::ZERO);
    }

    /// The same, but what a sync client may yet put right is told later.
    pub fn report_lasting(&self) {
        self.report_after(GRACE);
    }

    fn report_after(&self, grace: Duration) {
        let Some(reporter) = self.findings.reporter() else { return };
        let has_others = self.has_other_devices();
        let (mut untold, healed) = self.findings.take_untold(grace, has_others);
        untold.retain(|untold| !has_others || self.is_still_so(untold));
        let found = untold.into_iter().map(|(chunk, damage, place)| self.finding_of(chunk, damage, place));
        let found: Vec<Finding> = found.collect();
        if !found.is_empty() || !healed.is_empty() {
            reporter.tell(&found, &healed);
        }
        self.base.take_events().into_iter().for_each(|event| reporter.happened(event));
    }

    /// Whether another device is known to write to the volume.
    fn has_other_devices(&self) -> bool {
        let own = self.base.context.own_journal();
        self.has_met_others() || self.base.context.recall.journals().into_iter().any(|id| id != own)
    }

    /// Not where another device removed a file, and the directory that says so, or that one's own removal, came later.
    fn is_still_so(&self, (chunk, damage, place): &Untold) -> bool {
        let Some((directory, name)) = place.as_ref().filter(|_| *damage == Some(Damage::Deleted)) else {
            return true;
        };
        let entry = self.inode(*directory).and_then(|directory| self.entry(&directory, name));
        let is_so = match entry {
            Ok(entry) => entry.is_some_and(|(inode, _)| inode == chunk.inode) && self.is_reached(*directory),
            Err(error) => !error.is_absence(),
        };
        if !is_so {
            self.findings.heal_gone(*chunk);
        }
        is_so
    }

    /// Whether a name leads there. Where no name can be looked up, what is there counts and what is missing does not: it
    /// may well have been deleted, and who looks for it will say so.
    fn is_wanted(&self, error: &Error, place: Option<&Place>) -> bool {
        let Some((chunk, damage)) = parts(error) else { return false };
        let is_missing = damage.is_none_or(|damage| damage == Damage::Deleted);
        let entry = place.and_then(|(directory, name)| self.entry(&self.inode(*directory).ok()?, name).ok());
        entry.map_or(!is_missing, |entry| entry.is_some_and(|(inode, _)| inode == chunk.inode))
    }

    /// An error as the owner is told of it; `None` if it is no damage.
    pub fn finding(&self, error: &Error, place: Option<Place>) -> Option<Finding> {
        let (chunk, damage) = parts(error)?;
        Some(self.finding_of(chunk, damage, place))
    }

    fn finding_of(&self, chunk: ChunkId, damage: Option<Damage>, place: Option<Place>) -> Finding {
        let is_placeholder = damage.is_none() && self.base.context.has_placeholder(chunk);
        let path = place.and_then(|place| self.path_of(place));
        Finding { chunk, file: self.base.context.file_name(chunk), path, damage, is_placeholder }
    }

    /// A name's path, by the links of the directories above it. `None` if one of them cannot be read.
    pub fn path_of(&self, (directory, name): Place) -> Option<Vec<u8>> {
        let (mut names, mut at, mut passed) = (vec![name], directory, HashSet::new());
        while at != InodeId::ROOT {
            if !passed.insert(at) {
                return None;
            }
            let inode: Arc<Inode> = self.inode(at).ok()?;
            let link = inode.view(|record| record.extension.links.first().cloned())?;
            names.push(link.name.to_vec());
            at = link.parent;
        }
        names.reverse();
        Some(names.join(&b'/'))
    }
}
