//! Two directories of one name become one: what is in the one that yielded moves into the other, and it goes. Harmless where
//! two devices do it, or one half of it.

use super::Merge;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Kind, Rename, Result, Timestamp};
use std::sync::Arc;

impl Merge {
    /// Moves all of a directory into the one beside it that has the name `into`, and removes it. Once everything in it has
    /// arrived.
    pub(in crate::volume) fn unite(&self, directory: &Arc<Inode>, from: &[u8], into: &[u8]) -> Result<()> {
        if mutants::is_active(Mutant::TwinsLeft) {
            return Ok(());
        }
        let united = self.unite_all(directory, from, into);
        united.or_else(|error| {
            // One that lies in the other, too, has two places: that is put right.
            let passes = error.is_damage()
                || matches!(error, Error::Invalid) && !mutants::is_active(Mutant::TwinInTwin);
            let Some(what) = Some(&error).filter(|_| passes) else { return Err(error) };
            log::info!("two folders of one name are not one yet: {what}");
            Ok(())
        })
    }

    fn unite_all(&self, directory: &Arc<Inode>, from: &[u8], into: &[u8]) -> Result<()> {
        let of = |name: &[u8]| self.namespace.lookup(directory, name);
        let (Some(source), Some(target)) = (of(from)?, of(into)?) else { return Ok(()) };
        self.cache.load_entries(&source)?;
        self.cache.load_entries(&target)?;
        let mut entries = source.state.read().directory().all_places();
        // Those of one name and inode are moved together.
        entries.retain(|(_, _, place)| place.counts);
        entries.iter().try_for_each(|(id, _, _)| self.cache.inode(*id).map(drop))?;
        for (id, kind, place) in entries {
            let mut there = self.cache.entry(&target, &place.shown)?;
            if there.is_some_and(|(same, _)| same == id) {
                if mutants::is_active(Mutant::TwinNotGivenAnew) {
                    self.forget(&source, &place)?;
                    continue;
                }
                // Another device that unites the two in the other direction has taken that away, and knows of no other.
                self.forget(&target, &place)?;
                there = None;
            }
            let to = match there {
                None => Some(place.shown.to_vec()),
                Some(_) => self.derive_free(&target, &place.shown, place.rank)?,
            };
            let Some(to) = to else { return Ok(()) };
            let ends = ((&source, &*place.shown), (&target, &*to));
            self.about_to_change(&[&source, &target, &self.cache.inode(id)?]);
            self.namespace.rename(ends.0, ends.1, Rename::NoReplace, None, Timestamp::now())?;
            if kind == Kind::Directory && there.is_some_and(|(_, kind)| kind == Kind::Directory) {
                self.unite_all(&target, &to, &place.shown)?;
            }
        }
        self.about_to_change(&[directory, &source]);
        let removed = self.namespace.remove_directory(directory, from, Timestamp::now())?;
        removed.into_iter().for_each(|inode| self.namespace.release(inode));
        Ok(())
    }
}
