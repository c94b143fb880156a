//! The names that an inode says it has, and its link count.

use super::state::State;
use crate::chunk::InodeId;
use crate::volume::format::kinds::Kind;
use crate::volume::format::link::{EntryDot, Link};
use crate::volume::mutants::{self, Mutant};

impl State {
    /// Removes the link that reads (parent, name); whether there was one.
    pub fn remove_link(&mut self, parent: InodeId, name: &[u8]) -> bool {
        let links = &mut self.0.record.extension.links;
        let at = links.iter().position(|link| link.parent == parent && *link.name == *name);
        at.map(|at| links.swap_remove(at)).inspect(|_| self.count_links()).is_some()
    }

    /// `dot`: of its entry. A directory has one name, whatever it says of a former one. Another device may have given a file this very
    /// name, by an entry that is on its way: the two are one then.
    pub fn add_link(&mut self, parent: InodeId, name: &[u8], dot: EntryDot) {
        if self.record.kind == Kind::Directory && !mutants::is_active(Mutant::FormerNameKept) {
            self.0.record.extension.links.clear();
        } else if !mutants::is_active(Mutant::NameGivenTwice) {
            self.remove_link(parent, name);
        }
        self.0.record.extension.links.push(Link { parent, name: name.into(), dot: Some(dot) });
        self.count_links();
    }

    /// A directory's link count is of what lies in it.
    fn count_links(&mut self) {
        if self.record.kind != Kind::Directory {
            self.0.record.links_count = self.record.extension.links.len() as u32;
        }
    }

    /// Takes other names.
    pub fn set_links(&mut self, links: Vec<Link>) {
        self.0.record.extension.links = links;
        self.count_links();
    }

    /// Of a directory whose entries are loaded.
    pub fn count_directories(&mut self) {
        self.0.record.links_count = 2 + self.directory().directories() as u32;
    }

    /// The last name went.
    pub fn unlinked(&mut self) {
        self.0.record.links_count = 0;
    }
}
