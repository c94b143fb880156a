//! Changes of names that only a repair makes: an entry for an inode that lost its name, an entry taken away whatever it
//! leads to, links and link counts set to what directories say. Journalled like every other change.

use super::Namespace;
use super::names::{check_name, check_room};
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::record::Link;
use crate::volume::inode::state::Inode;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::sync::Arc;

impl Namespace {
    /// Gives an inode this name: in place of one that no directory has, or of all that it says it has.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`]; [`Error::NoSpace`] if the directory takes no more entries; [`Error::Invalid`] for a directory
    /// that would lie in itself; as [`Namespace::give_name`].
    pub fn adopt(
        &self,
        inode: &Arc<Inode>,
        directory: &Arc<Inode>,
        name: &[u8],
        instead_of: Option<&Link>,
        now: Timestamp,
    ) -> Result<()> {
        check_name(name)?;
        self.writeback.admit_change()?;
        let mut pending = self.journal.names();
        if self.cache.entry(directory, name)?.is_some() {
            return Err(Error::Exists);
        }
        check_room(&directory.state.read().record)?;
        if !self.takes_entries(directory) {
            return Err(Error::NoSpace);
        }
        if inode.is_directory() {
            self.check_not_inside(directory, inode.id())?;
        }
        let mut state = inode.state.write();
        let mut links = state.record.extension.links.clone();
        links.retain(|link| instead_of.is_some_and(|gone| gone != link));
        state.set_links(links);
        drop(state);
        self.give_name(&mut pending, (directory, name), inode, now)
    }

    /// Takes a name out of a directory, every entry that bears it, and leaves what it leads to alone.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; as [`Namespace::take_name`]; [`Error::ReadOnly`]; [`Error::Stopped`].
    pub fn forget_entry(&self, directory: &Arc<Inode>, name: &[u8], now: Timestamp) -> Result<()> {
        self.writeback.admit_change()?;
        let mut pending = self.journal.names();
        let (_, kind) = self.cache.entry(directory, name)?.ok_or(Error::NotFound)?;
        self.take_entry(&mut pending, (directory, name), kind == Kind::Directory, now)
    }

    /// Sets the links of an inode, and its link count to them; of a directory the count is that of its sub-directories. Not of one
    /// that is going: a batch says so perhaps, and what brings the name brings the inode again.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`]; [`Error::Stopped`]; [`Error::NoSpace`]; of a directory [`Error::Damaged`] or
    /// [`Error::NotArrived`] if it cannot be read; the store's.
    pub fn correct_links(&self, inode: &Arc<Inode>, links: Vec<Link>) -> Result<()> {
        self.writeback.admit_change()?;
        let mut pending = self.journal.names();
        if inode.state.read().is_going() && !mutants::is_active(Mutant::GoingNamed) {
            return Ok(());
        }
        let is_directory = inode.is_directory();
        if is_directory {
            self.cache.load_entries(inode)?;
        }
        let mut state = inode.state.write();
        state.set_links(links);
        if is_directory {
            state.count_directories();
        }
        drop(state);
        self.changed_name(&mut pending, inode);
        Ok(())
    }
}
