//! Deletion against change: what was deleted here gets its name back where another device changed it without knowing of that.
//!
//! The one who deleted it does so: it remembers what it knew of it. Of a file the content counts, of a directory
//! the entries.

use super::Merge;
use super::pinned::{KEPT_FOR, PATIENCE};
use crate::chunk::{ChunkId, InodeId, Relation, Tombstone, Version};
use crate::volume::base::Doubt;
use crate::volume::catalog::ABSENT_FOR;
use crate::volume::format::record::Link;
use crate::volume::format::stamp::Stamp;
use crate::volume::inode::directory::{Joined, Place};
use crate::volume::inode::state::{Inode, State};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Kind, Result, Timestamp};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many deleted directories above are given back.
const DEPTH_MOST: usize = 1000;

impl Merge {
    /// Gives names back to what needs them. What is named again durably is put into `revived`.
    pub(super) fn give_back(
        &self,
        returned: Vec<(InodeId, Tombstone)>,
        revived: &mut Vec<ChunkId>,
    ) -> Result<()> {
        for (id, tombstone) in returned {
            match self.give_one_back(id, &tombstone, revived) {
                Err(error) if error.is_damage() => {
                    log::info!("{id:?} was deleted here and is back, and is left as it is: {error}");
                }
                given => given?,
            }
        }
        Ok(())
    }

    fn give_one_back(&self, id: InodeId, tombstone: &Tombstone, revived: &mut Vec<ChunkId>) -> Result<()> {
        let inode = self.cache.inode(id)?;
        if inode.state.read().is_going() {
            self.waits_briefly.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let age = self.age_of(id);
        let is_old = age >= PATIENCE && !mutants::is_active(Mutant::ReturnedHomeless);
        let is_named = self.is_named_unless(&inode, |error| is_old && error.is_taken_away());
        if self.is_unknown(&inode, tombstone)? || is_named == Some(true) {
            let before = revived.len();
            self.revive(&inode, 0, revived)?;
            if revived.len() == before {
                // What it takes may be on its way.
                let waits = if age < PATIENCE { &self.waits_briefly } else { &self.waits };
                waits.store(true, Ordering::Relaxed);
            }
            return Ok(());
        }
        // A name may be on its way, or somebody be about to see what he had brought back.
        let is_over = is_named == Some(false) && age >= KEPT_FOR;
        if is_over && !mutants::is_active(Mutant::ReturnedLeft) {
            log::info!(
                "{id:?} was deleted here, is back, and says no more than was known: it is removed again"
            );
            self.namespace.delete_unshown(inode)?;
        }
        Ok(())
    }

    /// Takes away names that another device gave to what was deleted here, and is not here. If it comes back after all,
    /// whatever it says is more than was known.
    pub(super) fn forget_deleted(&self, directory: &Arc<Inode>, id: InodeId, places: &[Place]) -> Result<()> {
        let first = ChunkId::first(id);
        let Some(tombstone) = self.deletion(id).filter(|_| !places.is_empty()) else { return Ok(()) };
        self.base.context.recall.deleted(first, &Tombstone { version: Version::default(), ..tombstone });
        places.iter().try_for_each(|place| self.forget(directory, place))
    }

    /// The same of names in a directory that came with them as one that is newer, so that nothing was joined. Whether there were any.
    pub(super) fn forget_absent(&self, id: InodeId, doubt: Doubt) -> Result<bool> {
        let Some(found_in) = doubt.found_in else { return Ok(false) };
        let (context, first) = (&self.base.context, ChunkId::first(id));
        let is_deleted = self.deletion(id).is_some() && !mutants::is_active(Mutant::UnreadKept);
        // A client shows what it can fetch.
        if !is_deleted || self.catalog.is_there(first)? || context.has_placeholder(first) {
            return Ok(false);
        }
        let age = context.store.age_of_file(context.file_name(ChunkId::first(found_in)));
        if age.is_ok_and(|age| age < ABSENT_FOR) && doubt.since.elapsed() < ABSENT_FOR {
            // It may be on its way.
            self.base.doubt_again(id, doubt);
            self.waits_briefly.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        let directory = self.cache.inode(found_in)?;
        self.cache.load_entries(&directory)?;
        let places = directory.state.read().directory().places(&[id].into());
        let places = places.into_values().flatten().collect::<Vec<_>>();
        log::info!("{id:?} was deleted here, and has a name from another device: that is taken away");
        self.forget_deleted(&directory, id, &places)?;
        Ok(!places.is_empty())
    }

    /// Of a chunk 0. Unknown where no sync client comes.
    pub(super) fn age_of(&self, id: InodeId) -> Duration {
        let context = &self.base.context;
        context.store.age_of_file(context.file_name(ChunkId::first(id))).unwrap_or_default()
    }

    /// Whether something of it was not known when it was deleted.
    fn is_unknown(&self, inode: &Arc<Inode>, tombstone: &Tombstone) -> Result<bool> {
        if mutants::is_active(Mutant::DeletionWins) {
            return Ok(false);
        }
        if tombstone.version.0.is_empty() || tombstone.is_unread(self.base.context.device) {
            return Ok(true);
        }
        if !inode.is_directory() {
            let Stamp { device, commit } = inode.view(|record| record.content);
            // This device itself may have gone on writing to what it had open.
            let is_own = device == self.base.context.device;
            return Ok(!is_own && tombstone.version.of(device) < commit);
        }
        self.cache.load_entries(inode)?;
        Ok(inode.state.read().directory().has_entries_beyond(tombstone))
    }

    /// Whether a copy, beside nothing, is of what was deleted here and says no more than was known then.
    pub(super) fn was_deleted_knowing(&self, id: ChunkId, other: &State) -> Result<bool> {
        let Some(tombstone) = self.tombstone(id.inode) else { return Ok(false) };
        if self.catalog.is_there(id)? || mutants::is_active(Mutant::KnownCopyLeft) {
            return Ok(false);
        }
        // Not the content alone: it may have a name from another device, and be nowhere else.
        let relation = tombstone.version.compare(other.version());
        let is_known = matches!(relation, Relation::Newer | Relation::Equal)
            || other.record.kind == Kind::Directory
                && self.namespace.are_gone(id.inode, &other.record.extension.links)
                && !mutants::is_active(Mutant::BothDeletedLeft);
        Ok(is_known
            && !other
                .entries
                .as_ref()
                .is_some_and(|entries| entries.directory.has_entries_beyond(&tombstone)))
    }

    /// Whether a copy, beside nothing, is of what was deleted here, and this device's own version of it, which had lost its place
    /// before. Nobody else would restore it.
    pub(super) fn was_own_beside_deleted(&self, id: ChunkId, other: &State) -> Result<bool> {
        let is_own = other.record.kind == Kind::File
            && other.record.content.device == self.base.context.device
            && self.deletion(id.inode).is_some();
        Ok(is_own && !mutants::is_active(Mutant::OwnBesideDeletedLeft) && !self.catalog.is_there(id)?)
    }

    /// Of a directory what was known when it was deleted goes, and the rest stays.
    fn revive(&self, inode: &Arc<Inode>, depth: usize, revived: &mut Vec<ChunkId>) -> Result<()> {
        let first = ChunkId::first(inode.id());
        let Some(tombstone) = self.tombstone(inode.id()) else { return Ok(()) };
        // Otherwise something has not arrived, or a client is about to put another version of the folder there.
        let is_old = self.age_of(inode.id()) >= PATIENCE && !mutants::is_active(Mutant::HomelessLeft);
        let is_named = self.is_named_unless(inode, |error| is_old && error.is_taken_away());
        let Some(is_named) = is_named.filter(|_| depth < DEPTH_MOST) else { return Ok(()) };
        if inode.is_directory() {
            let Some(joined) = self.writeback.bury_known(inode, &tombstone)? else { return Ok(()) };
            let left = inode.state.read().directory().all_places();
            let came = left.into_iter().map(|(id, _, _)| id).collect();
            self.put_names_right(inode, &Joined { came, ..joined })?;
        }
        if is_named {
            revived.push(first);
        } else if self.name_again(inode, depth, revived)? {
            let id = inode.id();
            log::warn!("{id:?} was deleted here and changed on another device: it has its name back");
            revived.push(first);
        }
        Ok(())
    }

    /// Whether one of its names leads to it; none if that cannot be told yet: a directory without what this device did in it last
    /// may have the name that was taken away here. In a directory that was deleted here only entries count that were not known then.
    pub(super) fn is_named(&self, inode: &Arc<Inode>) -> Option<bool> {
        self.is_named_unless(inode, |_| false)
    }

    /// The same. `is_over`: what a directory cannot be read for, and will not be read later.
    pub(super) fn is_named_unless(
        &self,
        inode: &Arc<Inode>,
        is_over: impl Fn(&Error) -> bool,
    ) -> Option<bool> {
        let mut answer = Some(false);
        for Link { parent, name, .. } in inode.view(|record| record.extension.links.clone()) {
            let tombstone = self.tombstone(parent);
            let found = self.cache.inode(parent).and_then(|parent| {
                let places = self.places(&parent, inode)?;
                Ok((places, parent.state.read().lacks_own && !mutants::is_active(Mutant::NamedByOlder)))
            });
            match found {
                Ok((places, is_older)) => {
                    let mut places = places.iter().filter(|place| place.stored == name);
                    if places.any(|place| tombstone.as_ref().is_none_or(|known| !known.covers(place.rank))) {
                        if !is_older && self.cache.is_reached(parent) {
                            return Some(true);
                        }
                        answer = None;
                    }
                }
                Err(error) if tombstone.is_some() || is_over(&error) => {}
                Err(_) => answer = None,
            }
        }
        answer
    }

    /// Of what was here when it was deleted.
    pub(super) fn deletion(&self, id: InodeId) -> Option<Tombstone> {
        let is_deletion = |known: &Tombstone| !known.is_unread(self.base.context.device);
        self.tombstone(id).filter(|known| is_deletion(known) || mutants::is_active(Mutant::UnreadDeleted))
    }

    pub(super) fn tombstone(&self, id: InodeId) -> Option<Tombstone> {
        self.base.context.recall.tombstone(ChunkId::first(id))
    }

    /// In its directory, which gets its own name back if it was deleted too, or in the root if that is nowhere. Whether it
    /// could be.
    pub(super) fn name_again(
        &self,
        inode: &Arc<Inode>,
        depth: usize,
        revived: &mut Vec<ChunkId>,
    ) -> Result<bool> {
        let Some(link) = inode.view(|record| record.extension.links.first().cloned()) else {
            return Ok(false);
        };
        let parent = match self.cache.inode(link.parent) {
            Ok(parent) => {
                if self.tombstone(link.parent).is_some() {
                    self.revive(&parent, depth + 1, revived)?;
                    if self.is_named(&parent) != Some(true) {
                        return Ok(false);
                    }
                }
                parent
            }
            Err(error)
                if error.is_absence() && (self.tombstone(link.parent).is_some() || error.is_taken_away()) =>
            {
                self.cache.inode(InodeId::ROOT)?
            }
            Err(error) => return Err(error),
        };
        if parent.view(|record| record.links_count == 0) {
            return Ok(false);
        }
        match self.adopt(inode, &parent, &link.name) {
            Err(Error::Invalid) => self.adopt(inode, &self.cache.inode(InodeId::ROOT)?, &link.name),
            adopted => adopted,
        }
    }

    /// Under this name or one derived from it; a directory beside one of that name becomes one with it. Whether it could be.
    pub(super) fn adopt(&self, inode: &Arc<Inode>, directory: &Arc<Inode>, name: &[u8]) -> Result<bool> {
        let Stamp { device, commit } = inode.view(|record| record.content);
        let adopt = |name: &[u8]| self.namespace.adopt(inode, directory, name, None, Timestamp::now());
        self.cache.load_entries(directory)?;
        self.about_to_change(&[inode, directory]);
        match adopt(name) {
            Err(Error::Exists) => {}
            adopted => return adopted.map(|()| true),
        }
        let Some(derived) = self.derive_free(directory, name, (commit.0, device))? else { return Ok(false) };
        adopt(&derived)?;
        if inode.is_directory()
            && self.cache.entry(directory, name)?.is_some_and(|(_, kind)| kind == Kind::Directory)
        {
            self.unite(directory, &derived, name)?;
        }
        Ok(true)
    }
}
