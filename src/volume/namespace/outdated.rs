//! Names that a file says it has and that are gone, as their directories tell (docs/FORMAT.md section 7).

use super::Namespace;
use crate::chunk::{ChunkId, InodeId};
use crate::volume::format::record::{EntryDot, Link};
use crate::volume::inode::directory::{Place, Replaced};
use crate::volume::inode::state::Inode;
use crate::volume::journal::Pending;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long nothing may have come of a directory that lacks a name: who took it away may have given the file another one, and
/// that be on its way.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// What becomes of names that a file says it has.
pub struct Names {
    /// Those that it has, or may have.
    pub links: Vec<Link>,
    /// Others are gone.
    pub are_others: bool,
    /// Some are gone, but only just now.
    pub waits: bool,
}

impl Names {
    /// Whether it was not there.
    fn add(&mut self, link: Link) -> bool {
        let is_new = !self.links.iter().any(|known| known.is_same_name(&link));
        if is_new {
            self.links.push(link);
        }
        is_new
    }
}

/// What can be told of the name that a directory says, where another directory has it.
pub enum Told {
    /// Its entry is there, or somebody took it away.
    All,
    /// The same, but only just now.
    Later,
    /// It may be on its way.
    Nothing,
}

impl Namespace {
    /// The names of a file without those that were taken away by somebody who knew of them, and with those that their entries
    /// have now, and of the other one of two versions. What is on its way, or cannot be seen, stays.
    pub fn true_names(&self, inode: &Arc<Inode>) -> Names {
        let (id, said) = (inode.id(), inode.view(|record| record.extension.links.clone()));
        let mut names = Names { links: Vec::with_capacity(said.len()), are_others: false, waits: false };
        for link in said {
            let is_gone = self.is_outdated(id, &link);
            let is_young = is_gone && self.is_young(link.parent);
            names.waits |= is_young;
            names.are_others |= is_gone && !is_young;
            let found = if is_gone && !is_young { self.names_in(link.parent, id) } else { vec![link] };
            for link in found {
                names.add(link);
            }
        }
        let others = self.base.other_names(id).into_iter().filter(|link| !self.is_outdated(id, link));
        for link in others.collect::<Vec<_>>() {
            names.are_others |= names.add(link);
        }
        names
    }

    /// Whether all names that an inode says it has were taken away by somebody who knew of them, and not just now.
    pub fn are_gone(&self, id: InodeId, links: &[Link]) -> bool {
        links.iter().all(|link| self.is_outdated(id, link) && !self.is_young(link.parent))
    }

    /// The name that a directory says, which was found in another one, or there under another name.
    pub fn is_told_by(&self, id: InodeId, link: &Link, found_in: InodeId) -> Told {
        let leads = || {
            let parent = self.cache.inode(link.parent)?;
            self.cache.load_entries(&parent)?;
            Ok::<_, Error>(parent.state.read().directory().leads(id, &link.name))
        };
        if !self.is_outdated(id, link) && !leads().unwrap_or(false) {
            return Told::Nothing;
        }
        if self.is_young(link.parent) || self.is_young(found_in) { Told::Later } else { Told::All }
    }

    /// Has a file say what is true of its names; whether it did not. Without any it is for the one who deleted it.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`](crate::volume::Error::ReadOnly), [`Error::Stopped`](crate::volume::Error::Stopped),
    /// [`Error::NoSpace`](crate::volume::Error::NoSpace).
    pub fn put_names_right(&self, inode: &Arc<Inode>) -> Result<bool> {
        self.writeback.admit_change()?;
        let mut pending = self.journal.names();
        let names = self.true_names(inode);
        self.base.says_all_names(inode.id());
        if !names.are_others || names.links.is_empty() {
            return Ok(false);
        }
        log::info!("{:?}: names that it said it has are gone, or others", inode.id());
        inode.state.write().set_links(names.links);
        self.changed_name(&mut pending, inode);
        Ok(true)
    }

    /// Whether a name that a file says it has was taken away by somebody who knew of it: its directory knows of its entry and
    /// lacks it, or who deleted that here knew of it. Not where that cannot be seen.
    fn is_outdated(&self, id: InodeId, link: &Link) -> bool {
        if mutants::is_active(Mutant::OutdatedKept) {
            return false;
        }
        // Who deleted it left nothing that he knew of, and it may be back.
        if link.dot.is_some_and(|dot| self.was_known(link.parent, dot)) {
            return true;
        }
        let listed = self.cache.inode(link.parent).and_then(|parent| {
            self.cache.load_entries(&parent)?;
            Ok(parent)
        });
        match listed {
            Ok(parent) => parent.state.read().entries.as_ref().is_some_and(|entries| {
                let is_known = entries.directory.has_seen(link) || mutants::is_active(Mutant::ComingDropped);
                is_known && !entries.directory.leads(id, &link.name)
            }),
            Err(_) => false,
        }
    }

    /// Whether the file of a chunk 0 came, or changed, just now. Not where no sync client comes, or it is gone.
    fn is_young(&self, id: InodeId) -> bool {
        let context = &self.base.context;
        let age = context.store.age_of_file(context.file_name(ChunkId::first(id)));
        age.is_ok_and(|age| age < PATIENCE) && !mutants::is_active(Mutant::MovedForgotten)
    }

    /// Whether an entry was known when its directory was deleted here.
    fn was_known(&self, parent: InodeId, dot: EntryDot) -> bool {
        let tombstone = self.base.context.recall.tombstone(ChunkId::first(parent));
        tombstone.is_some_and(|known| known.covers(dot)) && !mutants::is_active(Mutant::DeletedNamed)
    }

    /// The names that an inode has in a directory, as far as that can be read.
    fn names_in(&self, parent: InodeId, id: InodeId) -> Vec<Link> {
        let Ok(directory) = self.cache.inode(parent) else { return Vec::new() };
        let state = directory.state.read();
        let places = state.entries.iter().flat_map(|entries| entries.directory.places(&HashSet::from([id])));
        let link = |place: Place| Link { parent, name: place.stored, dot: Some(place.rank) };
        let is_name = |place: &Place| place.counts && !self.was_known(parent, place.rank);
        places.flat_map(|(_, places)| places).filter(is_name).map(link).collect()
    }

    /// Another device gave an inode the name that it lost now, and may have taken away for that the ones that it has here: they are
    /// given anew, as of whoever sees them still. That one cannot be is no error: it stays as it is.
    pub(super) fn give_anew(&self, pending: &mut Pending, inode: &Arc<Inode>) {
        let kind = inode.view(|record| record.kind);
        for link in inode.view(|record| record.extension.links.clone()) {
            let Ok(parent) = self.cache.inode(link.parent) else { continue };
            let Ok(mut listed) = self.listed(&parent) else { continue };
            let places = listed.directory().places(&[inode.id()].into());
            let place = places.into_values().flatten().find(|place| place.stored == link.name);
            let Some(shown) = place.map(|place| place.shown) else { continue };
            let given = listed.replace_entry(self.base.author(), &shown, (inode.id(), kind));
            drop(listed);
            // No other entry of an inode yielded to one of its own.
            let Ok(Replaced { dot, .. }) = given else { continue };
            let mut state = inode.state.write();
            state.remove_link(parent.id(), &link.name);
            state.add_link(parent.id(), &shown, dot);
            drop(state);
            self.changed_name(pending, &parent);
        }
    }
}
