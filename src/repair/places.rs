//! Where things that lost their names belong: by their own links, as far as those lead to anything.

use super::plan::Choices;
use crate::check::{Finding, What};
use crate::chunk::{ChunkId, InodeId, Version};
use crate::volume::{Damage, Error, Kind, Link, Reader, Record};
use hashbrown::{HashMap, HashSet};

/// Where an inode goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// Back into its directory, which was made anew.
    Back { directory: InodeId, name: Vec<u8> },
    /// Into the folder that is made in the place of a lost directory.
    Rebuilt { lost: InodeId, name: Vec<u8> },
    /// Into lost+found, below these folders.
    Found { folders: Vec<Vec<u8>>, name: Vec<u8> },
}

/// What is known of a directory that children say they are in.
#[derive(Clone)]
enum Parent {
    /// It can be read: born at this time in µs since 1970, at this path.
    There {
        born: u64,
        path: Option<Vec<u8>>,
    },
    Lost,
    /// It may come, cannot be read just now, or is older than it was: what it holds is not known yet.
    Awaited,
}

pub struct Places<'a> {
    reader: &'a Reader,
    choices: Choices,
    parents: HashMap<InodeId, Parent>,
    /// Names that lead nowhere, by what they should lead to.
    dangling: HashMap<InodeId, Link>,
    /// What has no name, and may get it by itself.
    unplaced: HashSet<InodeId>,
}

impl<'a> Places<'a> {
    pub fn new(reader: &'a Reader, choices: Choices) -> Places<'a> {
        let (parents, dangling, unplaced) = (HashMap::new(), HashMap::new(), HashSet::new());
        Places { reader, choices, parents, dangling, unplaced }
    }

    pub fn note_dangling(&mut self, findings: &[Finding]) {
        for finding in findings {
            if let (What::Dangling { directory, name, .. }, Some(chunk)) = (&finding.what, finding.chunk) {
                let link = Link { parent: *directory, name: name.clone().into(), dot: None };
                self.dangling.insert(chunk.inode, link);
            }
        }
    }

    /// Something without a name is left alone.
    pub fn note_unplaced(&mut self, inode: InodeId) {
        self.unplaced.insert(inode);
    }

    /// Where an inode without a name belongs, and which of its other names come back with it; `None`: one of its
    /// directories may be on its way.
    pub fn homes_of(&mut self, inode: InodeId) -> Option<(Home, Vec<(Link, Home)>)> {
        let node = self.reader.node(inode).ok()?;
        let links = node.record.extension.links.iter().cloned();
        let homes: Option<Vec<_>> =
            links.map(|link| Some((link.clone(), self.home(&node.record, &link)?))).collect();
        let mut homes = homes?;
        // What a directory that can be read lacks was removed from it.
        let is_back = |(_, home): &(Link, Home)| !matches!(home, Home::Found { .. });
        let first = homes.iter().position(is_back).unwrap_or_default();
        if homes.is_empty() {
            return Some((Home::Found { folders: Vec::new(), name: nameless(inode) }, homes));
        }
        let (_, home) = homes.remove(first);
        homes.retain(|named| is_back(named) && node.record.kind != Kind::Directory);
        Some((home, homes))
    }

    /// The same for one of several names. A directory has but one.
    pub fn home_of_name(&mut self, inode: InodeId, link: &Link) -> Option<Home> {
        let node = self.reader.node(inode).ok()?;
        match node.record.kind {
            Kind::Directory => Some(Home::Found { folders: Vec::new(), name: nameless(inode) }),
            _ => self.home(&node.record, link),
        }
    }

    fn home(&mut self, record: &Record, link: &Link) -> Option<Home> {
        let name = link.name.to_vec();
        match self.parent(link.parent) {
            Parent::Awaited => None,
            Parent::Lost if link.parent == InodeId::ROOT => {
                Some(Home::Back { directory: InodeId::ROOT, name })
            }
            Parent::Lost => Some(Home::Rebuilt { lost: link.parent, name }),
            // It cannot have been removed from a directory that was made later.
            Parent::There { born, .. } if born > record.namespace.0 => {
                let waits = record.kind == Kind::Directory && self.is_below_awaited(link.parent);
                (!waits).then_some(Home::Back { directory: link.parent, name })
            }
            Parent::There { path, .. } => {
                let folders = match path {
                    Some(path) => path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect(),
                    None => vec![nameless(link.parent)],
                };
                let folders = folders.into_iter().filter(|name: &Vec<u8>| !name.is_empty()).collect();
                Some(Home::Found { folders, name })
            }
        }
    }

    fn parent(&mut self, id: InodeId) -> Parent {
        let (reader, choices) = (self.reader, self.choices);
        let lost = |error: &Error| match error {
            Error::NotArrived(_) if !choices.missing_is_lost => Parent::Awaited,
            // Once it is accepted, it says what it holds.
            Error::Damaged(_, Damage::RolledBack { .. }) => Parent::Awaited,
            Error::NotArrived(_) | Error::Damaged(..) => Parent::Lost,
            // The disk's, the network's, or a right that is missing: it is not lost.
            _ => Parent::Awaited,
        };
        let look = || {
            let node = match reader.node(id) {
                Ok(node) => node,
                Err(error) => return lost(&error),
            };
            match reader.entries(&node) {
                Err(error) => lost(&error),
                Ok(_) => Parent::There { born: micros(&node.record), path: reader.path_of(id) },
            }
        };
        self.parents.entry(id).or_insert_with(look).clone()
    }

    /// Whether a directory lies below one that may come, or is left without a name: until then nobody can tell whether what is put into it would lie in
    /// itself, so the volume moves no directory there.
    pub fn is_below_awaited(&mut self, directory: InodeId) -> bool {
        let (mut at, mut passed) = (directory, HashSet::new());
        while at != InodeId::ROOT && passed.insert(at) {
            if self.unplaced.contains(&at) {
                return true;
            }
            if !matches!(self.parent(at), Parent::There { .. }) {
                return matches!(self.parent(at), Parent::Awaited);
            }
            let links = self.reader.node(at).map(|node| node.record.extension.links).unwrap_or_default();
            let Some(link) = links.first() else { break };
            at = link.parent;
        }
        false
    }

    /// The name of a lost directory that no other leads to, in one that is lost, as this device kept it.
    pub fn kept_place(&mut self, lost: InodeId) -> Option<Link> {
        if lost == InodeId::ROOT || self.dangling.contains_key(&lost) {
            return None;
        }
        let link = self.reader.kept_record(lost)?.extension.links.into_iter().next()?;
        matches!(self.parent(link.parent), Parent::Lost).then_some(link)
    }

    /// The name that some readable directory has for an inode.
    pub fn name_of(&self, inode: InodeId) -> Option<(InodeId, Vec<u8>)> {
        if let Some(link) = self.dangling.get(&inode) {
            return Some((link.parent, link.name.to_vec()));
        }
        let links = self.reader.node(inode).ok()?.record.extension.links;
        let is_there = |link: &Link| {
            let entries = self.reader.node(link.parent).and_then(|node| self.reader.entries(&node));
            entries.is_ok_and(|entries| entries.get(&link.name).is_some_and(|entry| entry.inode == inode))
        };
        let link = links.into_iter().find(is_there)?;
        Some((link.parent, link.name.to_vec()))
    }

    /// The version of a chunk that this device remembers.
    pub fn remembered(&self, chunk: ChunkId) -> Option<Version> {
        self.reader.context().recall.known(chunk)
    }

    /// Whether the entries of a directory can be read.
    pub fn is_listed(&self, directory: InodeId) -> bool {
        self.reader.node(directory).and_then(|node| self.reader.entries(&node)).is_ok()
    }

    pub fn is_file(&self, inode: InodeId) -> bool {
        self.reader.node(inode).is_ok_and(|node| node.record.kind == Kind::File)
    }
}

/// What to call something whose name is lost.
pub fn nameless(id: InodeId) -> Vec<u8> {
    id.0.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// The links of these inodes, as directories have them. Every directory is read.
pub fn true_links(
    reader: &Reader,
    wanted: &HashSet<InodeId>,
    directories: &[InodeId],
) -> HashMap<InodeId, Vec<Link>> {
    let mut found: HashMap<InodeId, Vec<Link>> = wanted.iter().map(|id| (*id, Vec::new())).collect();
    for directory in directories {
        let Ok(entries) = reader.node(*directory).and_then(|node| reader.entries(&node)) else { continue };
        for entry in entries.iter_after(0) {
            if let Some(links) = found.get_mut(&entry.inode) {
                let dot = entries.dot_of(&entry);
                links.push(Link { parent: *directory, name: entry.name.into(), dot });
            }
        }
    }
    found
}

fn micros(record: &Record) -> u64 {
    let seconds = u64::try_from(record.born.seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000) + u64::from(record.born.nanoseconds / 1000)
}
