//! Renaming: a name is moved, over another one too, or two are exchanged, in one step.

use super::Namespace;
use super::operations::{NewInode, warn_unless};
use crate::chunk::InodeId;
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::inode::state::Inode;
use crate::volume::journal::Pending;
use crate::volume::mutants::{self, Mutant};
use crate::volume::namespace::names::{check_growth, check_name, check_room};
use crate::volume::{Error, Result};
use std::sync::Arc;

/// What a rename does when the new name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    Replace,
    NoReplace,
    /// The two change places; both must exist.
    Exchange,
}

impl Namespace {
    /// Moves a name; what it replaces is gone, in one step. `whiteout` is made in place of the old name. What takes the
    /// place of something else is done once it is done in memory, though it could not be stored at once: an fsync tells.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a directory that would lie in itself; [`Error::NotFound`]; [`Error::Exists`]; what
    /// replaces a directory: [`Error::IsDirectory`], [`Error::NotEmpty`]; otherwise as [`Namespace::create`].
    pub fn rename(
        &self,
        from: (&Arc<Inode>, &[u8]),
        to: (&Arc<Inode>, &[u8]),
        how: Rename,
        whiteout: Option<NewInode<'_>>,
        now: Timestamp,
    ) -> Result<Option<Arc<Inode>>> {
        check_name(from.1)?;
        check_name(to.1)?;
        if how == Rename::Replace && self.writeback.is_low_on_space() {
            self.store_source(from, to)?;
        }
        self.writeback.admit_change()?;
        let mut pending = self.journal.names();
        let can_be_undone = self.base.context.headroom.is_careful()
            && how != Rename::Exchange
            && whiteout.is_none()
            && self.cache.entry(to.0, to.1)?.is_none();
        let replaced = self.rename_locked(&mut pending, from, to, how, whiteout, now)?;
        drop(pending);
        match self.writeback.store_if_careful() {
            Err(error) if can_be_undone => {
                let mut pending = self.journal.names();
                let undone = self.rename_locked(&mut pending, to, from, Rename::NoReplace, None, now);
                warn_unless(undone.map(drop));
                Err(error)
            }
            // What was replaced is gone. Whoever is told of an error writes to that, and it is lost.
            Err(error) => {
                log::debug!("a rename waits to be stored: {error}");
                Ok(replaced)
            }
            Ok(()) => Ok(replaced),
        }
    }

    fn rename_locked(
        &self,
        pending: &mut Pending,
        from: (&Arc<Inode>, &[u8]),
        to: (&Arc<Inode>, &[u8]),
        how: Rename,
        whiteout: Option<NewInode<'_>>,
        now: Timestamp,
    ) -> Result<Option<Arc<Inode>>> {
        drop(self.listed(from.0)?);
        drop(self.listed_for_more(to.0)?);
        let (id, kind) = self.cache.entry(from.0, from.1)?.ok_or(Error::NotFound)?;
        if how == Rename::Replace {
            _ = self.spare_unseen(pending, to, true, now);
        }
        let target = self.cache.entry(to.0, to.1)?;
        // Nothing may fail once a name was taken.
        let gives_back = how == Rename::Exchange || whiteout.is_some();
        if !self.takes_entries(to.0) || gives_back && !self.takes_entries(from.0) {
            return Err(Error::NoSpace);
        }
        match (how, target) {
            (Rename::NoReplace, Some(_)) => return Err(Error::Exists),
            (Rename::Exchange, None) => return Err(Error::NotFound),
            (_, Some((other, _))) if other == id => return Ok(None),
            _ => {}
        }
        if kind == Kind::Directory {
            self.check_not_inside(to.0, id)?;
        }
        let inode = self.cache.inode(id)?;
        if let (Rename::Exchange, Some(other)) = (how, target) {
            self.exchange(pending, (from, &inode), to, other, now)?;
            return Ok(None);
        }
        check_growth(&inode, from.1, to.1)?;
        let replaced = match target {
            Some((other, other_kind)) => {
                self.replace(pending, from, to, (&inode, kind), (other, other_kind), now)?
            }
            None => {
                check_room(&to.0.state.read().record)?;
                if from.0.id() == to.0.id() {
                    self.change_name(pending, from.0, (from.1, to.1), &inode, now)?;
                } else {
                    self.take_name(pending, from, &inode, now)?;
                    self.give_name(pending, to, &inode, now)?;
                }
                None
            }
        };
        if let Some(whiteout) = whiteout {
            self.create_locked(pending, from, None, whiteout)?;
        }
        Ok(replaced)
    }

    /// Has an inode and another one take each other's names.
    fn exchange(
        &self,
        pending: &mut Pending,
        (from, inode): ((&Arc<Inode>, &[u8]), &Arc<Inode>),
        to: (&Arc<Inode>, &[u8]),
        (other, other_kind): (InodeId, Kind),
        now: Timestamp,
    ) -> Result<()> {
        if other_kind == Kind::Directory {
            self.check_not_inside(from.0, other)?;
        }
        let other = self.cache.inode(other)?;
        check_growth(inode, from.1, to.1)?;
        check_growth(&other, to.1, from.1)?;
        let links = (self.link_name(from.0, from.1), self.link_name(to.0, to.1));
        self.replace_name(pending, to, (inode, (from.0, &links.0)), now)?;
        self.replace_name(pending, from, (&other, (to.0, &links.1)), now)
    }

    /// Moves an inode to where another one is, which loses that name. Returns the other, `None` if it cannot be read.
    fn replace(
        &self,
        pending: &mut Pending,
        from: (&Arc<Inode>, &[u8]),
        to: (&Arc<Inode>, &[u8]),
        (inode, kind): (&Arc<Inode>, Kind),
        (other, other_kind): (InodeId, Kind),
        now: Timestamp,
    ) -> Result<Option<Arc<Inode>>> {
        match (kind, other_kind) {
            (Kind::Directory, Kind::Directory) => self.check_empty(other)?,
            (_, Kind::Directory) => return Err(Error::IsDirectory),
            (Kind::Directory, _) => return Err(Error::NotDirectory),
            _ => {}
        }
        let other = match self.cache.inode(other) {
            Ok(other) => Some(other),
            Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => {
                self.tell_unreadable(&error);
                None
            }
            Err(error) => return Err(error),
        };
        if kind != Kind::Directory {
            pending.replacing.insert(inode.id(), inode.clone());
        }
        let (link, lost) = (self.link_name(from.0, from.1), self.link_name(to.0, to.1));
        let lose = |pending: &mut Pending| {
            other.iter().for_each(|other| self.lose_name(pending, (to.0, &lost), other, now));
        };
        let is_early = mutants::is_active(Mutant::LostBeforeReplaced);
        if is_early {
            lose(pending);
        }
        self.take_entry(pending, from, kind == Kind::Directory, now)?;
        self.replace_name(pending, to, (inode, (from.0, &link)), now)?;
        // Which names are left is asked of the directories.
        if !is_early {
            lose(pending);
        }
        Ok(other)
    }

    /// Has the source of a rename that replaces durable before it begins: with no room for it, whatever happens later,
    /// a deletion that makes room, would have to wait for it.
    fn store_source(&self, from: (&Arc<Inode>, &[u8]), to: (&Arc<Inode>, &[u8])) -> Result<()> {
        match (self.cache.entry(from.0, from.1)?, self.cache.entry(to.0, to.1)?) {
            (Some((id, Kind::File)), Some(_)) => self.writeback.flush(&[self.cache.inode(id)?]),
            _ => Ok(()),
        }
    }
}
