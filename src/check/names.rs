//! Whether directories and inodes say the same: each inode has the names that it says, each name leads somewhere, and
//! every directory lies below the root.

use super::finding::{Finding, Trouble, What};
use super::inodes::{Facts, View, join};
use super::underway::{Underway, was_deleted_here};
use crate::chunk::{Chunk, ChunkId, ChunkIndex, InodeId};
use crate::volume::{Damage, Directory, Kind, Link, Reader};
use hashbrown::{HashMap, HashSet};

/// `copied`: inodes of which a sync client put a copy beside chunk 0.
pub fn check(reader: &Reader, facts: &Facts, copied: &HashSet<InodeId>) -> Vec<Finding> {
    let underway = Underway::new(reader, copied);
    let mut names = Names { reader, facts, found: Vec::new(), disagreeing: Vec::new(), underway };
    if facts.position(InodeId::ROOT).is_none() {
        let error = reader.node(InodeId::ROOT).err();
        let trouble = error.map_or(Trouble::NotArrived, |error| Trouble::of(&error));
        names.find(What::Root(trouble), InodeId::ROOT);
    }
    for at in 0..facts.ids.len() {
        let view = facts.view(at);
        match view.is_readable {
            true => names.readable(&view),
            false => names.unreadable(&view),
        }
    }
    names.disagreeing();
    names.rings();
    let twice = std::mem::take(&mut *facts.twice.lock());
    for (directory, name, hidden) in twice {
        let path = reader.path_of(directory).map(|path| join(&path, &name));
        names.find_at(What::Twice { directory, name, hidden }, directory, path);
    }
    names.found
}

struct Names<'a> {
    reader: &'a Reader,
    facts: &'a Facts,
    found: Vec<Finding>,
    /// Inodes whose links are not the entries that lead to them, each with a directory that has one.
    disagreeing: Vec<(InodeId, Option<InodeId>)>,
    underway: Underway<'a>,
}

/// Names that an inode says it has and that do not lead to it.
#[derive(Default)]
struct Missing {
    /// How many names it says it has.
    said: usize,
    links: Vec<Link>,
    /// How many of those that are missing were taken away by somebody who knew of them.
    outdated: usize,
}

impl Names<'_> {
    fn find(&mut self, what: What, id: InodeId) {
        self.find_at(what, id, self.reader.path_of(id));
    }

    fn find_at(&mut self, what: What, id: InodeId, path: Option<Vec<u8>>) {
        let chunk = ChunkId::first(id);
        self.found.push(Finding::of(what, chunk, self.reader.context().file_name(chunk), path));
    }

    fn readable(&mut self, view: &View<'_>) {
        let kind = view.kind.unwrap_or(Kind::File);
        let is_root = view.id == InodeId::ROOT;
        if view.entries == 0 && !is_root {
            // A crash or a deletion under way left it; the device whose it is removes it at its next mount.
            if !self.reader.is_being_deleted(view.id) {
                self.unnamed(view, kind);
            }
            return;
        }
        if kind == Kind::Directory && view.entries > 1 {
            let may_come = self.may_come(view.id, view.named_in);
            return self.find(What::SeveralNames { may_come }, view.id);
        }
        let mut count = view.entries;
        if kind == Kind::Directory {
            count = 2 + view.directories;
        }
        if !view.links_agree {
            self.disagreeing.push((view.id, view.named_in));
        } else if view.links_count != count && (kind != Kind::Directory || view.is_listed) {
            self.find(What::LinkCount { found: view.links_count, due: count }, view.id);
        }
    }

    /// Of each inode, names that it says it has and no directory has for it. Each directory is read once.
    fn disagreeing(&mut self) {
        let mut missing: HashMap<InodeId, Missing> = HashMap::new();
        let mut by_parent: HashMap<InodeId, Vec<(InodeId, Link)>> = HashMap::new();
        for (id, _) in &self.disagreeing {
            let links = self.reader.node(*id).map(|node| node.record.extension.links).unwrap_or_default();
            missing.insert(*id, Missing { said: links.len(), ..Missing::default() });
            links.into_iter().for_each(|link| by_parent.entry(link.parent).or_default().push((*id, link)));
        }
        for (parent, links) in by_parent {
            // What a directory names that was deleted here is elsewhere now, or deleted, too.
            let entries = self.reader.node(parent).and_then(|node| self.reader.entries(&node)).ok();
            let entries = entries.filter(|_| !was_deleted_here(self.reader, parent));
            for (id, link) in links {
                if entries.as_ref().is_none_or(|entries| !entries.leads(id, &link.name)) {
                    let missing = missing.entry(id).or_default();
                    missing.outdated += usize::from(self.is_outdated(&link, entries.as_ref()));
                    missing.links.push(link);
                }
            }
        }
        for (id, named_in) in std::mem::take(&mut self.disagreeing) {
            let Missing { said, links, outdated } = missing.remove(&id).unwrap_or_default();
            let may_come = self.may_come(id, named_in);
            let entries = self.facts.position(id).map_or(0, |at| self.facts.view(at).entries);
            let are_all_gone = outdated == links.len() && said - outdated == entries as usize;
            let node = self.reader.node(id);
            let is_shared = node.is_ok_and(|node| node.head().is_some_and(|head| head.version().0.len() > 1));
            let what = match (may_come || is_shared) && are_all_gone {
                true => What::FormerNames,
                false => What::Links { missing: links, may_come },
            };
            self.find(what, id);
        }
    }

    /// Whether a name that leads nowhere was taken away by somebody who knew of it, as far as this device can tell.
    fn is_outdated(&self, link: &Link, entries: Option<&Directory>) -> bool {
        let deleted = || self.reader.context().recall.tombstone(ChunkId::first(link.parent));
        match entries {
            Some(entries) => entries.has_seen(link),
            None => deleted().zip(link.dot).is_some_and(|(known, dot)| known.covers(dot)),
        }
    }

    /// A name that was lost, or whose directory cannot be read.
    fn unnamed(&mut self, view: &View<'_>, kind: Kind) {
        if view.links == 0 && view.links_count == 0 {
            // It was deleted, and its chunk files came back or were left.
            return self.find_at(What::Unused, view.id, None);
        }
        if was_deleted_here(self.reader, view.id) {
            return self.find(What::Returned, view.id);
        }
        let may_come = self.may_come(view.id, None);
        self.find(What::Unnamed { kind, may_come }, view.id);
    }

    /// Whether what is said of an inode's names may come to agree by itself. `named_in`: a directory that has one.
    fn may_come(&mut self, id: InodeId, named_in: Option<InodeId>) -> bool {
        let Ok(node) = self.reader.node(id) else { return false };
        let parents = node.record.extension.links.iter().map(|link| link.parent);
        let parents: Vec<InodeId> = parents.chain(named_in).collect();
        self.underway.may_come(&node, parents)
    }

    fn unreadable(&mut self, view: &View<'_>) {
        let (trouble, further) =
            view.why().map_or((Trouble::NotArrived, Vec::new()), |why| (why.trouble, why.further));
        if view.id == InodeId::ROOT {
            return self.find_at(What::Root(trouble), view.id, Some(Vec::new()));
        }
        let entries = |directory| {
            let node = self.reader.node(directory)?;
            self.reader.entries(&node)
        };
        let named = view.named_in.and_then(|directory| Some((directory, entries(directory).ok()?)));
        let Some((directory, entries)) = named else {
            if !self.reader.is_being_deleted(view.id) {
                self.garbage(view.id, trouble, &further);
            }
            return;
        };
        for entry in entries.iter_after(0).filter(|entry| entry.inode == view.id) {
            let (name, kind) = (entry.name.to_vec(), entry.kind);
            let path = self.reader.path_of(directory).map(|path| join(&path, &name));
            let (trouble, further) = (trouble.clone(), further.clone());
            self.find_at(What::Dangling { directory, name, kind, trouble, further }, view.id, path);
        }
    }

    /// Files that nothing names. Without a chunk 0 each of the others tells by itself whether it is a chunk: then the rest
    /// may come.
    fn garbage(&mut self, inode: InodeId, trouble: Trouble, further: &[ChunkIndex]) {
        if further.is_empty() || !matches!(trouble, Trouble::NotArrived | Trouble::Damage(Damage::Deleted)) {
            return self.find_at(What::Garbage(trouble), inode, None);
        }
        for index in further {
            let (context, chunk) = (self.reader.context(), ChunkId { inode, index: *index });
            let opened = Chunk::open(context, chunk, self.reader.geometry().blocks(*index));
            let own = opened.err().map(|error| Trouble::of(&error.into()));
            let what = What::Garbage(own.unwrap_or_else(|| trouble.clone()));
            self.found.push(Finding::of(what, chunk, context.file_name(chunk), None));
        }
    }

    /// Directories that lie in one another and not below the root: of each ring one is told of.
    fn rings(&mut self) {
        // By which walk upward a directory was passed; each is passed once.
        let mut passed_by = vec![None; self.facts.ids.len()];
        for start in 0..passed_by.len() {
            let mut at = Some(start);
            while let Some(here) = at.take() {
                let view = self.facts.view(here);
                if view.kind != Some(Kind::Directory) || view.id == InodeId::ROOT {
                    break;
                }
                match passed_by[here] {
                    None => passed_by[here] = Some(start),
                    Some(by) => {
                        if by == start {
                            let may_come = self.may_come(view.id, view.named_in);
                            self.find_at(What::Cycle { may_come }, view.id, None);
                        }
                        break;
                    }
                }
                at = view.named_in.and_then(|id| self.facts.position(id));
            }
        }
    }
}
