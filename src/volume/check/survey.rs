//! A look at every chunk of a volume, or of one object: which version of it is there. For comparing with what this device
//! remembers, on a volume that is opened without it.

use super::Check;
use crate::chunk::{self, BlockCount, Chunk, ChunkId, ChunkIndex, InodeId, Version};
use crate::store::FileName;
use crate::volume::findings::Place;
use crate::volume::format::limits::JOURNAL_BLOCKS;
use crate::volume::{Error, Kind, Result};
use hashbrown::{HashMap, HashSet};

/// A chunk that a name or a table leads to.
#[derive(Clone, Debug)]
pub struct Sight {
    pub chunk: ChunkId,
    pub file: FileName,
    /// From the root, without a leading slash; `None` for a journal.
    pub path: Option<Vec<u8>>,
    /// `None`: there is no such file.
    pub version: Option<Version>,
}

impl Check {
    /// Visits the chunks of the object at a path, or of the whole volume, journals included. What cannot be read for
    /// another reason than that its file is missing is left out, and so is what lies below it. What is seen is durable.
    /// `known`: journals that there should be.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotDirectory`] or [`Error::NameTooLong`] of the path; [`Error::Damaged`] or
    /// [`Error::NotArrived`] if a directory on the way cannot be read; the store's.
    pub fn survey(&self, path: Option<&[u8]>, known: &[ChunkId], visit: &mut dyn FnMut(Sight)) -> Result<()> {
        self.base.context.store.sync_all()?;
        let mut waiting = match path {
            Some(path) => vec![(self.at(path)?, path.to_vec())],
            None => {
                let mut journals = self.catalog.other_journals()?;
                journals.push(self.base.context.own_journal());
                journals.extend(known);
                journals.sort_unstable();
                journals.dedup();
                for journal in journals {
                    self.look(journal, JOURNAL_BLOCKS, None, visit)?;
                }
                vec![(InodeId::ROOT, Vec::new())]
            }
        };
        let mut passed = HashSet::new();
        while let Some((id, at)) = waiting.pop() {
            if !passed.insert(id) {
                continue;
            }
            for index in self.indices(id)? {
                self.look(ChunkId { inode: id, index }, self.base.geometry.blocks(index), Some(&at), visit)?;
            }
            if path.is_none() {
                self.children(id, &at, &mut waiting)?;
            }
        }
        Ok(())
    }

    /// The id that the last name of a path stands for, whether or not it can be read.
    fn at(&self, path: &[u8]) -> Result<InodeId> {
        let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        names.clone().try_fold(InodeId::ROOT, |at, name| {
            let directory = self.cache.inode(at)?;
            Ok(self.cache.entry(&directory, name)?.ok_or(Error::NotFound)?.0)
        })
    }

    /// A name of each of these inodes that has one, and whether every directory could be read. Nothing may be renamed
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// The store's. Damage is no error: then not every directory could be read.
    pub fn places_of(&self, wanted: &HashSet<InodeId>) -> Result<(HashMap<InodeId, Place>, bool)> {
        let (mut places, mut whole) = (HashMap::new(), true);
        let (mut waiting, mut passed) = (vec![InodeId::ROOT], HashSet::new());
        while let Some(at) = waiting.pop().filter(|_| places.len() < wanted.len()) {
            if !passed.insert(at) {
                continue;
            }
            let listed = self.cache.inode(at).and_then(|directory| {
                self.cache.read_directory(&directory, 0, &mut |_, name, child, kind| {
                    if wanted.contains(&child) {
                        places.insert(child, (at, name.to_vec()));
                    }
                    waiting.extend((kind == Kind::Directory).then_some(child));
                    true
                })?;
                self.cache.forget_if_clean(&directory);
                Ok(())
            });
            match listed {
                Err(Error::Damaged(..) | Error::NotArrived(_)) => whole = false,
                listed => listed?,
            }
        }
        Ok((places, whole))
    }

    /// The numbers of an inode's chunks, as far as they can be read.
    fn indices(&self, id: InodeId) -> Result<Vec<ChunkIndex>> {
        match self.cache.extra_indices(id) {
            Ok(extra) => Ok([ChunkIndex::FIRST].into_iter().chain(extra).collect()),
            Err(Error::Damaged(..) | Error::NotArrived(_)) => Ok(vec![ChunkIndex::FIRST]),
            Err(error) => Err(error),
        }
    }

    fn look(
        &self,
        chunk: ChunkId,
        blocks: BlockCount,
        path: Option<&[u8]>,
        visit: &mut dyn FnMut(Sight),
    ) -> Result<()> {
        let version = match Chunk::open(&self.base.context, chunk, blocks) {
            Ok(chunk) => Some(chunk.version().clone()),
            Err(chunk::Error::Missing(_)) => None,
            Err(chunk::Error::Damaged(..) | chunk::Error::Incomplete(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let file = self.base.context.file_name(chunk);
        visit(Sight { chunk, file, path: path.map(<[u8]>::to_vec), version });
        Ok(())
    }

    fn children(&self, id: InodeId, at: &[u8], waiting: &mut Vec<(InodeId, Vec<u8>)>) -> Result<()> {
        let Ok(inode) = self.cache.inode(id) else { return Ok(()) };
        if inode.view(|record| record.kind) != Kind::Directory {
            return Ok(());
        }
        let listed = self.cache.read_directory(&inode, 0, &mut |_, name, child, _| {
            let parts = [at, name];
            waiting.push((child, parts[usize::from(at.is_empty())..].join(&b'/')));
            true
        });
        match listed {
            Err(Error::Damaged(..) | Error::NotArrived(_)) => Ok(()),
            listed => listed,
        }
    }
}
