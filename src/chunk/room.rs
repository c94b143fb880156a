//! How much space the next commit of a chunk may need beyond what its file has, and how it takes what is held for it.

use super::chunk::Chunk;
use super::entry::GROUP;
use super::table::Table;
use super::{Error, Hold, Result, Wish};

/// Blocks of a file that is not there yet: its two roots, and what its name and its folder take.
pub const NEW_FILE: u64 = 4;
/// Entries that stand in any root, beside the longest record and version vector there are.
const LISTED: usize = 60;

/// Blocks for `count` of them that a chunk is to have, and for the map blocks that they make necessary.
pub fn room_for(count: u64) -> u64 {
    count + if count > LISTED as u64 { count.div_ceil(GROUP as u64) + 1 } else { 0 }
}

impl Chunk {
    /// Blocks that the next commit may need if `data` and `metadata` blocks more are in it, none of which counts itself.
    ///
    /// # Errors
    ///
    /// As [`Chunk::is_present`].
    pub fn room_to_commit(&self, data: usize, metadata: usize) -> Result<u64> {
        self.load_all()?;
        let root = if self.has_file() { 1 } else { NEW_FILE };
        let maps = |table: &Table, more: usize| (table.maps() + more.div_ceil(GROUP) + 1) as u64;
        if self.data.count() + data + self.metadata.count() + metadata <= LISTED {
            return Ok(root);
        }
        Ok(root + maps(&self.data, data) + maps(&self.metadata, metadata))
    }

    /// Holds space of so many blocks for the next commit, unless as much is held.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is none; as much is held as before.
    pub fn hold(&mut self, blocks: u64, wish: Wish) -> Result<()> {
        let headroom = &self.context.headroom;
        self.hold.grow_to(headroom, blocks, wish).map_err(|error| Error::Io(self.id, error))
    }

    /// Hands over space that is held for the next commit.
    pub fn lend(&mut self, hold: Hold) {
        self.hold.absorb(hold);
    }

    /// Takes back what is left of it.
    pub fn take_hold(&mut self) -> Hold {
        std::mem::take(&mut self.hold)
    }

    /// Runs what writes about so many blocks. Where there is no space for them, what is held is given back first.
    pub(super) fn in_held_space<T>(
        &mut self,
        blocks: usize,
        mut write: impl FnMut(&mut Chunk) -> Result<T>,
    ) -> Result<T> {
        loop {
            match write(self) {
                Err(error)
                    if error.is_lack_of_space()
                        && self.context.clone().headroom.draw(&mut self.hold, blocks as u64 + 1) => {}
                outcome => return outcome.inspect_err(|error| self.context.note_lack(error)),
            }
        }
    }
}
