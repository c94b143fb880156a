//! Reading another state of an inode than the one in memory: from the file that took the place of its own, or from a sync
//! client's copy.

use super::Cache;
use crate::chunk::{Chunk, InodeId};
use crate::volume::Result;
use crate::volume::format::kinds::Kind;
use crate::volume::inode::state::{Inode, State};
use crate::volume::inode::stored::read_record;
use crate::volume::inode::table::ChunkTable;
use std::sync::Arc;

impl Cache {
    /// What a chunk 0 says, a directory's entries included. It is not held in memory, and nothing that is wrong with it is a
    /// finding.
    ///
    /// # Errors
    ///
    /// Those of reading it; of a directory a segment that is not there, or belongs to another state.
    pub fn read_other(&self, id: InodeId, first_chunk: Chunk) -> Result<State> {
        let record = read_record(&first_chunk)?;
        self.check_size_of(&record, &first_chunk)?;
        let table = ChunkTable::of(&first_chunk)?;
        let is_directory = record.kind == Kind::Directory;
        let inode = Arc::new(Inode::new(id, State::stored(record, first_chunk, table), true));
        if is_directory {
            let mut state = inode.state.write();
            let entries = self.read_entries(&inode, &mut state)?;
            state.entries_loaded(entries);
        }
        Ok(Arc::into_inner(inode).expect("nobody else knows it").state.into_inner())
    }
}
