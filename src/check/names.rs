//! Whether directories and inodes say the same: each inode has the names that it says, each name leads somewhere, and
//! every directory lies below the root.

use super::finding::{Finding, Trouble, What};
use super::inodes::{Facts, View, join};
use crate::chunk::{ChunkId, InodeId};
use crate::volume::{Kind, Link, Reader};

pub fn check(reader: &Reader, facts: &Facts) -> Vec<Finding> {
    let mut names = Names { reader, facts, found: Vec::new() };
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
}

impl Names<'_> {
    fn find(&mut self, what: What, id: InodeId) {
        self.find_at(what, id, self.reader.path_of(id));
    }

    fn find_at(&mut self, what: What, id: InodeId, path: Option<Vec<u8>>) {
        let chunk = ChunkId { inode: id, index: 0 };
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
            return self.find(What::SeveralNames, view.id);
        }
        let mut count = view.entries;
        if kind == Kind::Directory {
            count = 2 + view.directories;
        }
        if !view.links_agree {
            let missing = self.missing(view.id);
            self.find(What::Links { missing }, view.id);
        } else if view.links_count != count && (kind != Kind::Directory || view.is_listed) {
            self.find(What::LinkCount { found: view.links_count, due: count }, view.id);
        }
    }

    /// Names that an inode says it has and no directory has for it.
    fn missing(&self, id: InodeId) -> Vec<Link> {
        let mut links = self.reader.node(id).map(|node| node.record.extension.links).unwrap_or_default();
        let is_there = |link: &Link| {
            let entries = self.reader.node(link.parent).and_then(|node| self.reader.entries(&node));
            entries.is_ok_and(|entries| entries.get(&link.name).is_some_and(|entry| entry.inode == id))
        };
        links.retain(|link| !is_there(link));
        links
    }

    /// A name that was lost, or whose directory cannot be read.
    fn unnamed(&mut self, view: &View<'_>, kind: Kind) {
        if view.links == 0 && view.links_count == 0 {
            // It was deleted, and its chunk files came back or were left.
            return self.find_at(What::Unused, view.id, None);
        }
        let links = self.reader.node(view.id).map(|node| node.record.extension.links).unwrap_or_default();
        let parent = links.first().map(|link| link.parent);
        let is_there = |id: InodeId| match self.reader.node(id) {
            Ok(node) => !matches!(self.reader.entries(&node), Err(crate::volume::Error::NotArrived(_))),
            Err(error) => !matches!(error, crate::volume::Error::NotArrived(_)),
        };
        let parent_is_there = parent.is_none_or(is_there);
        self.find(What::Unnamed { parent, parent_is_there, kind }, view.id);
    }

    fn unreadable(&mut self, view: &View<'_>) {
        let (trouble, further) =
            view.why().map_or((Trouble::NotArrived, Vec::new()), |why| (why.trouble, why.further));
        if view.id == InodeId::ROOT {
            return self.find_at(What::Root(trouble), view.id, Some(Vec::new()));
        }
        let Some(directory) = view.named_in else {
            if !self.reader.is_being_deleted(view.id) {
                self.find_at(What::Garbage(trouble), view.id, None);
            }
            return;
        };
        let entries = self.reader.node(directory).and_then(|node| self.reader.entries(&node));
        let Ok(entries) = entries else { return self.find_at(What::Garbage(trouble), view.id, None) };
        for entry in entries.iter_after(0).filter(|entry| entry.inode == view.id) {
            let (name, kind) = (entry.name.to_vec(), entry.kind);
            let path = self.reader.path_of(directory).map(|path| join(&path, &name));
            let (trouble, further) = (trouble.clone(), further.clone());
            self.find_at(What::Dangling { directory, name, kind, trouble, further }, view.id, path);
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
                            self.find_at(What::Cycle, view.id, None);
                        }
                        break;
                    }
                }
                at = view.named_in.and_then(|id| self.facts.position(id));
            }
        }
    }
}
