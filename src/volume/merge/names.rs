//! Names after a join: what an inode says of its names is made to agree with the entries that lead to it, and a directory
//! that two devices moved keeps one of its two places. Harmless where it is done twice.

use super::Merge;
use crate::chunk::{InodeId, Version};
use crate::volume::base::Doubt;
use crate::volume::format::record::{Link, Record};
use crate::volume::inode::directory::{Joined, Place};
use crate::volume::inode::joining::knows_names;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use crate::volume::namespace::outdated::Told;
use crate::volume::{Error, Result, Timestamp};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Merge {
    /// Of those inodes whose names two states of a directory did not agree on.
    pub(super) fn put_names_right(&self, directory: &Arc<Inode>, joined: &Joined) -> Result<()> {
        let inodes: HashSet<InodeId> = joined.inodes().collect();
        if inodes.is_empty() || mutants::is_active(Mutant::LinksNotPutRight) {
            return Ok(());
        }
        let places = directory.state.read().directory().places(&inodes);
        let twins = directory.state.read().directory().yielded_directories();
        for id in inodes {
            let places = places.get(&id).map_or(&[][..], Vec::as_slice);
            let inode = match self.cache.inode(id) {
                Ok(inode) => inode,
                Err(error) if error.is_absence() => {
                    self.forget_deleted(directory, id, places)?;
                    continue;
                }
                // It says nothing yet.
                Err(_) => continue,
            };
            match inode.is_directory() {
                // It was removed, and its files are about to go: a name for it comes too late.
                true if inode.view(|record| record.links_count == 0) => {
                    places.iter().try_for_each(|place| self.forget(directory, place))?;
                }
                true => {
                    let link = inode.view(|record| record.extension.links.first().map(|link| link.parent));
                    _ = self.keep_one_place(&inode, &link.into_iter().chain([directory.id()]).collect())?;
                }
                false => self.correct_links(directory, &inode, places)?,
            }
        }
        twins.iter().try_for_each(|twin| self.unite(directory, &twin.shown, &twin.stored))
    }

    /// A file has every name in this directory that leads to it, and no other there but what is on its way.
    fn correct_links(&self, directory: &Arc<Inode>, inode: &Arc<Inode>, places: &[Place]) -> Result<()> {
        let is_coming =
            |link: &Link| link.dot.is_some() && !directory.state.read().directory().has_seen(link);
        let stays = |link: &Link| link.parent != directory.id() || is_coming(link);
        let mut links = links_of(inode);
        links.retain(stays);
        links.extend(places.iter().filter(|place| place.counts).map(|place| link_of(directory, place)));
        self.set_links(inode, links)
    }

    /// Gives a file the names of another version of it. A version that knew the other one's names took those away that it lacks;
    /// entries do not tell that, for they may be on their way.
    pub(super) fn unite_links(&self, inode: &Arc<Inode>, version: &Version, record: &Record) -> Result<()> {
        let (knows_theirs, is_known) = {
            let state = inode.state.read();
            let is_known = knows_names(version, state.version(), state.record.namespace);
            (knows_names(state.version(), version, record.namespace), is_known && !state.is_dirty())
        };
        let mut links = record.extension.links.clone();
        match (knows_theirs, is_known) {
            (true, _) => return Ok(()),
            (false, true) => {}
            (false, false) => {
                self.base.context.recall.may_be_nameless(inode.id());
                links.append(&mut links_of(inode));
            }
        }
        self.set_links(inode, links)?;
        // Some may be gone, and that be known to a directory that came before, or comes.
        self.base.doubt_again(inode.id(), Doubt::new(None));
        self.waits.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Holds the names of files that were looked at against their directories: a version that became one with another may have
    /// names that are gone. Whether there were any.
    pub(super) fn drop_outdated(&self) -> Result<bool> {
        let (mut any, mut looked_at) = (false, HashSet::new());
        for (id, doubt) in self.base.take_doubted() {
            let has_others = !self.base.other_names(id).is_empty();
            let loaded = has_others.then(|| self.cache.inode(id).ok()).flatten();
            let Some(inode) = loaded.or_else(|| self.cache.peek(id)) else {
                self.base.says_all_names(id);
                any |= self.forget_absent(id, doubt)?;
                continue;
            };
            if doubt.found_in.is_some() && inode.is_directory() {
                any |= self.put_place_right(&inode, doubt)?;
                continue;
            }
            looked_at.extend(links_of(&inode).into_iter().map(|link| link.parent));
            let names = self.namespace.true_names(&inode);
            if names.waits {
                self.base.doubt_again(id, doubt);
                self.waits.store(true, Ordering::Relaxed);
            }
            if names.are_others {
                self.about_to_change(&[&inode]);
                any |= self.namespace.put_names_right(&inode)?;
            } else {
                self.base.says_all_names(id);
            }
        }
        // Nobody asked for them.
        let looked_at = looked_at.into_iter().filter_map(|id| self.cache.peek(id));
        looked_at.for_each(|directory| self.cache.forget_if_clean(&directory));
        Ok(any)
    }

    /// Of a directory that was found under a name which it does not say. Whether it says another one now, or has one less.
    fn put_place_right(&self, inode: &Arc<Inode>, doubt: Doubt) -> Result<bool> {
        let link = links_of(inode).into_iter().next();
        let Some((link, found_in)) = link.zip(doubt.found_in) else { return Ok(false) };
        match self.namespace.is_told_by(inode.id(), &link, found_in) {
            Told::All => self.keep_one_place(inode, &HashSet::from([link.parent, found_in])),
            Told::Later => {
                self.base.doubt_again(inode.id(), doubt);
                self.waits.store(true, Ordering::Relaxed);
                Ok(false)
            }
            Told::Nothing => Ok(false),
        }
    }

    fn set_links(&self, inode: &Arc<Inode>, links: Vec<Link>) -> Result<()> {
        let (ours, links) = (in_order(links_of(inode)), in_order(links));
        let is_same = ours.len() == links.len() && ours.iter().zip(&links).all(|(a, b)| a.is_same_name(b));
        // Without any it was deleted there; what becomes of it is for the one who deleted it.
        if links.is_empty() || is_same {
            return Ok(());
        }
        self.correct(inode, links)
    }

    fn correct(&self, inode: &Arc<Inode>, links: Vec<Link>) -> Result<()> {
        self.about_to_change(&[inode]);
        self.namespace.correct_links(inode, links)
    }

    /// The entries of a directory that lead to an inode, the one with the greatest dot last.
    pub(super) fn places(&self, directory: &Arc<Inode>, inode: &Arc<Inode>) -> Result<Vec<Place>> {
        self.cache.load_entries(directory)?;
        let mut places = directory.state.read().directory().places(&HashSet::from([inode.id()]));
        Ok(places.remove(&inode.id()).unwrap_or_default())
    }

    /// A directory stands in one place: of its entries in these directories the one with the greatest dot stays. Whether it did not.
    pub(super) fn keep_one_place(&self, inode: &Arc<Inode>, parents: &HashSet<InodeId>) -> Result<bool> {
        let mut all = Vec::new();
        for parent in parents {
            let Ok(parent) = self.cache.inode(*parent) else { continue };
            all.extend(self.places(&parent, inode)?.into_iter().map(|place| (place, parent.clone())));
        }
        all.sort_by(|one, other| one.0.cmp(&other.0));
        let Some((place, parent)) = all.pop() else { return Ok(false) };
        // Entries of one name in one directory are one: they are removed together.
        all.retain(|(other, at)| at.id() != parent.id() || other.shown != place.shown);
        let mut any = !all.is_empty();
        for (place, parent) in all {
            log::info!("{:?} was moved on two devices: it stays where it was moved last", inode.id());
            self.forget(&parent, &place)?;
        }
        let link = link_of(&parent, &place);
        let is_it = |links: &[Link]| links.len() == 1 && links[0].is_same_name(&link);
        if !inode.view(|record| is_it(&record.extension.links)) {
            self.correct(inode, vec![link])?;
            any = true;
        }
        self.break_ring(inode)?;
        Ok(any)
    }

    /// Of directories that were moved into each other the one that was moved last gets its name in the root.
    fn break_ring(&self, inode: &Arc<Inode>) -> Result<()> {
        let (mut above, mut at) = (Vec::<Arc<Inode>>::new(), inode.clone());
        let start = loop {
            if at.id() == InodeId::ROOT || mutants::is_active(Mutant::RingLeft) {
                return Ok(());
            }
            if let Some(start) = above.iter().position(|directory| directory.id() == at.id()) {
                break start;
            }
            above.push(at.clone());
            // What has not arrived says nothing yet.
            let Ok(parent) = self.cache.parent(&at) else { return Ok(()) };
            at = parent;
        };
        let mut places = Vec::new();
        for member in above.drain(start..) {
            let parent = self.cache.parent(&member)?;
            let Some(place) = self.places(&parent, &member)?.pop() else { return Ok(()) };
            places.push((place, parent, member));
        }
        places.sort_by(|one, other| one.0.cmp(&other.0));
        let Some((place, parent, member)) = places.pop() else { return Ok(()) };
        match self.adopt(&member, &self.cache.inode(InodeId::ROOT)?, &place.stored)? {
            true => {
                let id = member.id();
                log::warn!(
                    "{id:?} and one that it lies in were moved into each other: it is in the root now"
                );
                self.forget(&parent, &place)
            }
            false => Ok(()),
        }
    }

    /// Takes a name away, if it is still there: with one name others go that stood for the same.
    pub(super) fn forget(&self, directory: &Arc<Inode>, place: &Place) -> Result<()> {
        self.about_to_change(&[directory]);
        match self.namespace.forget_entry(directory, &place.shown, Timestamp::now()) {
            Err(Error::NotFound) => Ok(()),
            forgotten => forgotten,
        }
    }
}

fn links_of(inode: &Arc<Inode>) -> Vec<Link> {
    inode.view(|record| record.extension.links.clone())
}

fn link_of(directory: &Arc<Inode>, place: &Place) -> Link {
    Link { parent: directory.id(), name: place.stored.clone(), dot: Some(place.rank) }
}

/// Each name once, on every device in the same order. Of several dots of one name the greatest counts, and none where one is not
/// known: then nothing is taken away that is on its way.
fn in_order(mut links: Vec<Link>) -> Vec<Link> {
    links.sort();
    links.dedup_by(|link, kept| {
        let is_same = link.is_same_name(kept);
        if is_same && kept.dot.is_some() {
            kept.dot = link.dot;
        }
        is_same
    });
    links
}
