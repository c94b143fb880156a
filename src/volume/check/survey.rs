//! Which names lead to some inodes, and which chunks an inode has: what a rotation asks of the whole tree.

use crate::chunk::InodeId;
use crate::volume::findings::Place;
use crate::volume::inode::state::State;
use crate::volume::{Error, Kind, Result, Volume};
use hashbrown::{HashMap, HashSet};

impl Volume {
    /// A name of each of these inodes that has one, and whether every directory could be read. Nothing may be renamed
    /// meanwhile.
    pub(in crate::volume) fn places_of(
        &self,
        wanted: &HashSet<InodeId>,
    ) -> Result<(HashMap<InodeId, Place>, bool)> {
        let (mut places, mut whole) = (HashMap::new(), true);
        let (mut waiting, mut passed) = (vec![InodeId::ROOT], HashSet::new());
        while let Some(at) = waiting.pop().filter(|_| places.len() < wanted.len()) {
            if !passed.insert(at) {
                continue;
            }
            let listed = self.inode(at).and_then(|directory| {
                self.read_directory(&directory, 0, &mut |_, name, child, kind| {
                    if wanted.contains(&child) {
                        places.insert(child, (at, name.to_vec()));
                    }
                    waiting.extend((kind == Kind::Directory).then_some(child));
                    true
                })?;
                self.forget_if_clean(&directory);
                Ok(())
            });
            match listed {
                Err(Error::Damaged(..) | Error::NotArrived(_)) => whole = false,
                listed => listed?,
            }
        }
        Ok((places, whole))
    }

    /// The numbers of its chunks but the first.
    pub(in crate::volume) fn further(&self, id: InodeId) -> Result<Vec<u32>> {
        let inode = self.inode(id)?;
        let mut state = inode.state.write();
        self.open_head(&inode, &mut state)?;
        let State { head, table, .. } = &mut *state;
        Ok(table.all(head.as_ref().expect("it was opened"))?.into_iter().collect())
    }
}
