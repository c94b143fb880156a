//! What is to be done about findings.

use super::places::{Home, Places};
use crate::check::{Class, Finding, Trouble, What};
use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::volume::{Damage, Kind, Link, Reader};
use hashbrown::{HashMap, HashSet};
use std::cmp::Reverse;
use std::iter;

/// What the owner decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    /// What is not there does not come any more: it is lost, not on its way.
    pub missing_is_lost: bool,
    /// What is older than it was on this device is taken as it is.
    pub accepts_older: bool,
}

/// One thing that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take a chunk as it is from now on, although it is older than this device has seen it.
    Accept { chunk: ChunkId, path: Option<Vec<u8>> },
    /// This device's journal cannot be read: begin a new one. What only it said is lost.
    NewJournal,
    /// The root directory cannot be read: begin a new one, empty.
    NewRoot,
    /// Give an inode without a name a place.
    Adopt { inode: InodeId, home: Home },
    /// Give a file one of its other names back.
    AddName { inode: InodeId, link: Link, home: Home },
    /// A directory was made anew from its children: put it in the place of the name that leads nowhere.
    Replace { lost: InodeId, directory: InodeId, name: Vec<u8> },
    /// A directory was made again that no name leads to: put it where this device kept that it was, in one that is lost, too.
    Nest { lost: InodeId, into: InodeId, name: Vec<u8> },
    /// Copy what is left of a file beside it; places that are lost are holes.
    /// `further`: of a file without its first chunk, the others that there are.
    CopyRest { inode: InodeId, directory: InodeId, name: Vec<u8>, further: Vec<ChunkIndex> },
    /// Remove a name that leads nowhere.
    RemoveName { directory: InodeId, name: Vec<u8>, path: Option<Vec<u8>> },
    /// Give the second of two entries of one name a name of its own.
    PartNames { directory: InodeId, name: Vec<u8>, hidden: InodeId },
    /// Leave a directory one of its names.
    OneName { inode: InodeId },
    /// Take a directory that lies in itself out of there.
    LeaveRing { inode: InodeId },
    /// Set links and link count to what directories say.
    CorrectLinks { inode: InodeId },
    /// Keep a copy, outside of the backing folder, of a chunk file that authenticates as nothing.
    Keep { chunk: ChunkId },
    /// Nothing can be done about it: from now on it is known.
    Settle { finding: String },
}

/// What is to be done, in order, and what is left alone.
#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Findings that wait for a sync client.
    pub waiting: usize,
    /// Findings of what is older than it was, for their owner to restore or accept.
    pub older: usize,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// `findings`: those that are not settled.
    pub fn of(reader: &Reader, findings: &[Finding], own_journal: ChunkId, choices: Choices) -> Plan {
        let mut making = Making {
            places: Places::new(reader, choices),
            plan: Plan::default(),
            own_journal,
            choices,
            replaced: HashSet::new(),
            nested: HashSet::new(),
            copied: HashSet::new(),
            unshown: findings.iter().filter_map(unshown).collect(),
            corrected: HashSet::new(),
        };
        making.places.note_dangling(findings);
        for finding in findings {
            if let (What::Unnamed { .. }, Some(chunk)) = (&finding.what, finding.chunk)
                && making.waits(finding)
            {
                making.places.note_unplaced(chunk.inode);
            }
        }
        let mut is_left_shut = false;
        for finding in findings.iter().filter(|finding| finding.class() != Class::Note) {
            let left = making.plan.older + making.plan.waiting;
            if let Some(chunk) = making.older(finding) {
                match choices.accepts_older {
                    true => making.plan.steps.push(Step::Accept { chunk, path: finding.path.clone() }),
                    false => making.plan.older += 1,
                }
            } else if making.waits(finding) {
                making.plan.waiting += 1;
            } else {
                making.take(finding);
            }
            is_left_shut |= making.plan.older + making.plan.waiting > left && making.keeps_shut(finding);
        }
        if is_left_shut {
            making.plan.steps.clear();
        }
        let nested = making.nested_in();
        making.plan.steps.sort_by_cached_key(|step| (step.order(), Reverse(step.depth(&nested))));
        making.plan
    }
}

impl Step {
    /// The path of what it is about, or its name, as far as they can be told.
    pub fn path(&self, reader: &Reader) -> Option<Vec<u8>> {
        match self {
            Step::Accept { path, .. } => path.clone(),
            Step::Adopt { inode, .. } | Step::OneName { inode } | Step::CorrectLinks { inode } => {
                let name = |id: InodeId| {
                    reader.node(id).ok()?.record.extension.links.first().map(|link| link.name.to_vec())
                };
                reader.path_of(*inode).or_else(|| name(*inode))
            }
            Step::Replace { directory, name, .. }
            | Step::CopyRest { directory, name, .. }
            | Step::PartNames { directory, name, .. } => {
                let above = reader.path_of(*directory).filter(|path| !path.is_empty());
                Some(above.map_or_else(|| name.clone(), |path| [&path[..], name].join(&b'/')))
            }
            _ => None,
        }
    }

    /// Whether it only follows from what was done to names before.
    pub fn changes_no_name(&self) -> bool {
        matches!(self, Step::CorrectLinks { .. } | Step::Keep { .. } | Step::Settle { .. })
    }

    /// How many lost directories the one that this puts into its place is in: what is in another goes there before that
    /// one goes elsewhere. `nested`: in which each is.
    fn depth(&self, nested: &HashMap<InodeId, InodeId>) -> usize {
        let Step::Nest { into, .. } = self else { return 0 };
        // They may lie in each other, as they were kept at different times.
        iter::successors(Some(*into), |at| nested.get(at).copied()).take(nested.len()).count()
    }

    /// Names come before what depends on them.
    fn order(&self) -> u8 {
        match self {
            Step::NewJournal | Step::Accept { .. } => 0,
            Step::NewRoot => 1,
            Step::OneName { .. } | Step::LeaveRing { .. } => 2,
            Step::PartNames { .. } => 3,
            Step::Adopt { .. } | Step::AddName { .. } => 4,
            Step::CopyRest { .. } => 5,
            Step::Nest { .. } => 6,
            Step::Replace { .. } => 7,
            Step::RemoveName { .. } => 8,
            Step::CorrectLinks { .. } => 9,
            Step::Keep { .. } => 10,
            Step::Settle { .. } => 11,
        }
    }
}

struct Making<'a> {
    places: Places<'a>,
    plan: Plan,
    own_journal: ChunkId,
    choices: Choices,
    /// Lost directories for which there is a step.
    replaced: HashSet<InodeId>,
    /// Those whose own place was looked for.
    nested: HashSet<InodeId>,
    copied: HashSet<InodeId>,
    /// Files that have no name and get none.
    unshown: HashSet<InodeId>,
    corrected: HashSet<InodeId>,
}

impl Making<'_> {
    fn waits(&self, finding: &Finding) -> bool {
        match &finding.what {
            // Another device's: it comes, or that device's next mount makes it so.
            What::Journal(_) => finding.chunk != Some(self.own_journal) && !self.choices.missing_is_lost,
            // An error of the disk is not repaired by names.
            what if matches!(what.trouble(), Some(Trouble::Store(_))) => true,
            _ => finding.class() == Class::Waiting && !self.choices.missing_is_lost,
        }
    }

    /// Whether the volume cannot be opened before something is done about it.
    fn keeps_shut(&self, finding: &Finding) -> bool {
        match finding.what {
            What::Root(_) => true,
            What::Journal(_) => finding.chunk == Some(self.own_journal),
            _ => false,
        }
    }

    /// The chunk, if that it is older than this device has seen it is all that is wrong. One that is older than another
    /// chunk says is of no use.
    fn older(&self, finding: &Finding) -> Option<ChunkId> {
        let chunk = finding.chunk?;
        let Some(Trouble::Damage(Damage::RolledBack { known, .. })) = finding.what.trouble() else {
            return None;
        };
        let remembered = self.places.remembered(chunk)?;
        (remembered.commit() == *known).then_some(chunk)
    }

    /// Puts what is made for a lost directory into what is made for the one above it, as far as this device kept names.
    fn nest(&mut self, home: &Home) {
        let Home::Rebuilt { lost, .. } = home else { return };
        let mut lost = *lost;
        while self.nested.insert(lost)
            && let Some(link) = self.places.kept_place(lost)
        {
            self.plan.steps.push(Step::Nest { lost, into: link.parent, name: link.name.to_vec() });
            lost = link.parent;
        }
    }

    fn nested_in(&self) -> HashMap<InodeId, InodeId> {
        let nested = |step: &Step| match step {
            Step::Nest { lost, into, .. } => Some((*lost, *into)),
            _ => None,
        };
        self.plan.steps.iter().filter_map(nested).collect()
    }

    fn add_names(&mut self, inode: InodeId, names: Vec<(Link, Home)>) {
        for (link, home) in names {
            self.nest(&home);
            self.plan.steps.push(Step::AddName { inode, link, home });
        }
    }

    fn take(&mut self, finding: &Finding) {
        let inode = finding.chunk.map_or(InodeId::ROOT, |chunk| chunk.inode);
        let settle = Step::Settle { finding: finding.key() };
        let steps = &mut self.plan.steps;
        match &finding.what {
            What::Journal(_) if finding.chunk == Some(self.own_journal) => steps.push(Step::NewJournal),
            What::Journal(_) => steps.push(settle),
            What::Root(_) => steps.push(Step::NewRoot),
            // Its own entries cannot be read: they come back without it.
            What::Unnamed { kind: Kind::Directory, .. } if !self.places.is_listed(inode) => {
                steps.push(settle)
            }
            What::Unnamed { .. } => match self.places.homes_of(inode) {
                Some((home, others)) => {
                    self.nest(&home);
                    self.plan.steps.push(Step::Adopt { inode, home });
                    self.add_names(inode, others);
                }
                None => self.plan.waiting += 1,
            },
            What::Dangling { directory, name, kind: Kind::Directory, .. } => {
                self.replace(inode, *directory, name.clone());
            }
            What::Dangling { directory, name, further, .. } => {
                let (directory, name) = (*directory, name.clone());
                if !further.is_empty() {
                    let (name, further) = (name.clone(), further.clone());
                    steps.push(Step::CopyRest { inode, directory, name, further });
                }
                steps.push(Step::RemoveName { directory, name, path: finding.path.clone() });
            }
            What::Entries(_) => {
                if let Some((directory, name)) = self.places.name_of(inode)
                    && !self.replace(inode, directory, name)
                {
                    return;
                }
                self.plan.steps.push(if inode == InodeId::ROOT { Step::NewRoot } else { settle });
            }
            What::Content { .. } | What::Table(_) => {
                if self.places.is_file(inode) && !self.unshown.contains(&inode) {
                    // Without a name it gets one first.
                    let Some((directory, name)) = self.places.name_of(inode) else { return };
                    if self.copied.insert(inode) {
                        steps.push(Step::CopyRest { inode, directory, name, further: Vec::new() });
                    }
                }
                steps.push(settle);
            }
            What::Garbage(_) => {
                steps.extend(finding.chunk.map(|chunk| Step::Keep { chunk }));
                steps.push(settle);
            }
            What::DeadSlot(_) => steps.push(settle),
            What::Twice { directory, .. } if self.places.is_below_awaited(*directory) => {
                self.plan.waiting += 1;
            }
            What::Twice { directory, name, hidden } => {
                steps.push(Step::PartNames { directory: *directory, name: name.clone(), hidden: *hidden })
            }
            What::SeveralNames { .. } => steps.push(Step::OneName { inode }),
            What::Cycle { .. } => steps.push(Step::LeaveRing { inode }),
            What::Links { missing, .. } => self.give_back_links(inode, missing),
            What::LinkCount { .. } => self.correct_links(inode),
            What::Foreign | What::ConflictCopy | What::Unused | What::Returned | What::FormerNames => {}
        }
    }

    /// What is made for a lost directory takes the place of the name that leads to that; answers false where it waits.
    fn replace(&mut self, lost: InodeId, directory: InodeId, name: Vec<u8>) -> bool {
        if self.places.is_below_awaited(directory) {
            self.plan.waiting += 1;
            return false;
        }
        if self.replaced.insert(lost) {
            self.plan.steps.push(Step::Replace { lost, directory, name });
        }
        true
    }

    /// `missing`: names that the inode's record says and their directories do not.
    fn give_back_links(&mut self, inode: InodeId, missing: &[Link]) {
        let homes: Vec<_> = missing.iter().map(|link| self.places.home_of_name(inode, link)).collect();
        if homes.contains(&None) {
            self.plan.waiting += 1;
            return;
        }
        // What a directory that can be read lacks was removed from it.
        let names = missing.iter().cloned().zip(homes.into_iter().flatten());
        self.add_names(inode, names.filter(|(_, home)| !matches!(home, Home::Found { .. })).collect());
        self.correct_links(inode);
    }

    fn correct_links(&mut self, inode: InodeId) {
        if self.corrected.insert(inode) {
            self.plan.steps.push(Step::CorrectLinks { inode });
        }
    }
}

/// The inode, if nothing is to show it: it was deleted, and its chunk files are back or were left.
fn unshown(finding: &Finding) -> Option<InodeId> {
    let chunk = finding.chunk.filter(|chunk| chunk.index.is_first())?;
    matches!(finding.what, What::Returned | What::Unused).then_some(chunk.inode)
}
