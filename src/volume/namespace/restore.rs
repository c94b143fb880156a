//! Changes of names that only a repair makes: an entry for an inode that lost its name, an entry taken away whatever it
//! leads to, links and link counts set to what directories say. Journalled like every other change.

use super::names::{check_name, check_room};
use crate::chunk::Context;
use crate::volume::{Error, Inode, Kind, Link, Result, Timestamp, Volume};
use std::sync::Arc;

impl Volume {
    /// Gives an inode this name: in place of one that no directory has, or of all that it says it has.
    ///
    /// # Errors
    /// `Exists`, `NoSpace` if the directory takes no more entries, `Invalid` for a directory that would lie in itself.
    pub fn adopt(
        &self,
        inode: &Arc<Inode>,
        directory: &Arc<Inode>,
        name: &[u8],
        instead_of: Option<&Link>,
        now: Timestamp,
    ) -> Result<()> {
        check_name(name)?;
        let mut pending = self.names()?;
        if self.entry(directory, name)?.is_some() {
            return Err(Error::Exists);
        }
        check_room(&directory.state.read().record)?;
        if !self.takes_entries(directory) {
            return Err(Error::NoSpace);
        }
        let is_directory = inode.view(|record| record.kind) == Kind::Directory;
        if is_directory {
            self.check_not_inside(directory, inode.id())?;
        }
        let mut state = inode.state.write();
        match instead_of {
            Some(link) => drop(state.remove_link(link.parent, &link.name)),
            None => state.record.extension.links.clear(),
        }
        if !is_directory {
            state.record.links_count = state.record.extension.links.len() as u32;
        }
        drop(state);
        self.give_name(&mut pending, (directory, name), inode, now)
    }

    /// Takes a name out of a directory, every entry that bears it, and leaves what it leads to alone.
    pub fn forget_entry(&self, directory: &Arc<Inode>, name: &[u8], now: Timestamp) -> Result<()> {
        let mut pending = self.names()?;
        let (_, kind) = self.entry(directory, name)?.ok_or(Error::NotFound)?;
        self.take_entry(&mut pending, (directory, name), kind == Kind::Directory, now)
    }

    /// Sets the links of an inode, and its link count to them; of a directory the count is that of its sub-directories.
    pub fn correct_links(&self, inode: &Arc<Inode>, links: Vec<Link>) -> Result<()> {
        let mut pending = self.names()?;
        let is_directory = inode.view(|record| record.kind) == Kind::Directory;
        let count = match is_directory {
            true => {
                self.load_listing(inode)?;
                2 + inode.state.read().listing().directories() as u32
            }
            false => links.len() as u32,
        };
        let mut state = inode.state.write();
        state.record.extension.links = links;
        state.record.links_count = count;
        drop(state);
        self.changed_name(&mut pending, inode);
        Ok(())
    }

    /// Removes this device's journal and what is remembered of it, before the volume is opened: it cannot be read.
    pub fn discard_own_journal(context: &Context) -> Result<()> {
        let id = context.own_journal();
        let name = context.file_name(id);
        context.store.remove(name)?;
        context.store.sync_names(&[name])?;
        context.recall.gone(id);
        context.recall.keep();
        Ok(())
    }
}
