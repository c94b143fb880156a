//! A look at every chunk of a volume, or of one object: which version of it is there. For comparing with what this device
//! remembers.

use super::{Node, Reader};
use crate::chunk::{self, Chunk, ChunkId, InodeId, Version};
use crate::store::FileName;
use crate::volume::journal::file as journal;
use crate::volume::{Error, Result};
use hashbrown::HashSet;

/// A chunk that the volume speaks of.
#[derive(Clone, Debug)]
pub struct Sight {
    pub chunk: ChunkId,
    pub file: FileName,
    /// From the root, without a leading slash; `None` for a journal.
    pub path: Option<Vec<u8>>,
    /// `None`: there is no such file.
    pub version: Option<Version>,
}

impl Reader {
    /// Visits the chunks of the object at a path, or of the whole volume, journals included. What cannot be read for
    /// another reason than that its file is missing is left out, and so is what lies below it. What is seen is durable.
    /// `known`: journals that there should be.
    ///
    /// # Errors
    /// `NotFound` or `NotDirectory` for the path, or the store's.
    pub fn survey(&self, path: Option<&[u8]>, known: &[ChunkId], visit: &mut dyn FnMut(Sight)) -> Result<()> {
        self.context.store.sync_all()?;
        let mut waiting = match path {
            Some(path) => vec![(self.find(path)?.0, path.to_vec())],
            None => {
                let mut journals = super::overlay::list(&self.context)?;
                journals.push(self.context.own_journal());
                journals.extend(known);
                journals.sort_unstable();
                journals.dedup();
                for id in journals {
                    self.look(id, journal::BLOCKS, None, visit)?;
                }
                vec![(InodeId::ROOT, Vec::new())]
            }
        };
        let mut passed = HashSet::new();
        while let Some((id, at)) = waiting.pop() {
            if !passed.insert(id) {
                continue;
            }
            let node = tolerate(self.node(id))?;
            let further = node.as_ref().map(Node::further).map_or(Ok(None), tolerate)?;
            let indices = further.into_iter().flatten().map(|(index, _)| index);
            for index in [0].into_iter().chain(indices) {
                self.look(ChunkId { inode: id, index }, self.blocks, Some(&at), visit)?;
            }
            if path.is_none()
                && let Some(node) = node
            {
                self.children(&node, &at, &mut waiting)?;
            }
        }
        Ok(())
    }

    fn look(
        &self,
        chunk: ChunkId,
        blocks: u16,
        path: Option<&[u8]>,
        visit: &mut dyn FnMut(Sight),
    ) -> Result<()> {
        let version = match Chunk::open(&self.context, chunk, blocks) {
            Ok(chunk) => Some(chunk.version().clone()),
            Err(chunk::Error::Missing(_)) => None,
            Err(chunk::Error::Damaged(..) | chunk::Error::Incomplete(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let file = self.context.file_name(chunk);
        visit(Sight { chunk, file, path: path.map(<[u8]>::to_vec), version });
        Ok(())
    }

    fn children(&self, node: &Node, at: &[u8], waiting: &mut Vec<(InodeId, Vec<u8>)>) -> Result<()> {
        let entries = match self.entries(node) {
            Err(Error::NotDirectory) => return Ok(()),
            entries => tolerate(entries)?,
        };
        for entry in entries.iter().flat_map(|entries| entries.iter_after(0)) {
            let parts = [at, entry.name];
            waiting.push((entry.inode, parts[usize::from(at.is_empty())..].join(&b'/')));
        }
        Ok(())
    }
}

/// `None` for what is damaged or has not arrived.
fn tolerate<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(Error::Damaged(..) | Error::NotArrived(_)) => Ok(None),
        read => read.map(Some),
    }
}
