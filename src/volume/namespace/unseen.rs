//! Names that lead elsewhere since another device changed them, of which whoever shows the volume is not told yet: who removes or
//! replaces what such a name leads to means what it is shown for.

use super::Namespace;
use crate::chunk::InodeId;
use crate::volume::format::derived::derived_names;
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::inode::joining::is_same_family;
use crate::volume::inode::state::Inode;
use crate::volume::journal::Pending;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Error, Result};
use std::sync::Arc;

impl Namespace {
    /// A file of another device's that came under a name, and is not shown there yet, gets one derived from it; what is shown for the
    /// name has it again, if it is still in the directory. `is_taken`: something else is about to get the name, be it that somebody asked
    /// what it leads to: the kernel does before each rename, and nobody has seen that. What cannot be spared goes with the name. Whether the
    /// name may lead elsewhere now.
    pub(super) fn spare_unseen(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        is_taken: bool,
        now: Timestamp,
    ) -> bool {
        self.spare(pending, (directory, name), is_taken, now).unwrap_or_else(|error| {
            log::warn!("{:?}: a file that came under a name is not spared: {error}", directory.id());
            true
        })
    }

    fn spare(
        &self,
        pending: &mut Pending,
        (directory, name): (&Arc<Inode>, &[u8]),
        is_taken: bool,
        now: Timestamp,
    ) -> Result<bool> {
        if !self.base.tells_arrivals() || mutants::is_active(Mutant::UnseenReplaced) {
            return Ok(false);
        }
        let (came, dot, was) = {
            let state = directory.state.read();
            let Some(shown) = state.shown_for(name, is_taken) else { return Ok(false) };
            let Some(entry) = state.directory().get(name).filter(|entry| entry.kind != Kind::Directory)
            else {
                return Ok(false);
            };
            let came = entry.inode;
            let wanted = shown.into_iter().chain([came]).collect();
            let places = state.directory().places(&wanted);
            let find = |id: InodeId, is_it: &dyn Fn(&[u8], &[u8]) -> bool| {
                places
                    .get(&id)
                    .into_iter()
                    .flatten()
                    .find(|place| is_it(&place.shown, &place.stored))
                    .cloned()
            };
            let Some(place) = find(came, &|shown, _| shown == name) else { return Ok(false) };
            let was = shown.and_then(|was| find(was, &|shown, stored| stored == name && shown != name));
            (came, place.rank, shown.zip(was))
        };
        if is_same_family(dot.1, self.base.context.device) {
            return Ok(false);
        }
        let mut free = None;
        for derived in derived_names(name, dot.0, dot.1) {
            if self.cache.entry(directory, &derived)?.is_none() {
                free = Some(derived);
                break;
            }
        }
        let Some(free) = free else { return Ok(false) };
        log::info!("{came:?} came under a name that is shown for something else: it gets another one");
        self.call(pending, directory, came, (name, &free), now)?;
        if let Some((was, place)) = was {
            self.call(pending, directory, was, (&place.shown, name), now)?;
        }
        Ok(true)
    }

    /// Gives what an entry leads to another name, be it on its way.
    fn call(
        &self,
        pending: &mut Pending,
        directory: &Arc<Inode>,
        id: InodeId,
        (from, to): (&[u8], &[u8]),
        now: Timestamp,
    ) -> Result<()> {
        match self.cache.inode(id) {
            Ok(inode) => self.change_name(pending, directory, (from, to), &inode, now),
            Err(Error::Damaged(..) | Error::NotArrived(_)) => {
                self.change_entry(pending, directory, (from, to), now).map(drop)
            }
            Err(error) => Err(error),
        }
    }
}
