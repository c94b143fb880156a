//! Reading a volume straight from its chunk files: inodes, directories and content, without a root directory, a journal,
//! a cache or a list of findings. What is damaged or missing is an error of that one object.
//!
//! Always true: nothing is written, and a chunk file that is not there is never an empty file. With
//! [`Reader::with_journals`] an inode reads as its chunk files and the durable batches of all journals have it together
//! (`overlay`); `content` reads files.

mod content;
mod overlay;

pub use content::{Content, Layout, Lost};

use crate::chunk::{BLOCK, Chunk, ChunkId, ChunkIndex, Commit, Context, InodeId};
use crate::volume::cache::kept_form::Kept;
use crate::volume::format::geometry::Geometry;
use crate::volume::inode::segments;
use crate::volume::inode::stamps::{NewestTimes, check_fit};
use crate::volume::inode::stored::read_record;
use crate::volume::inode::table::ChunkTable;
use crate::volume::stream::TAIL;
use crate::volume::{Directory, Error, Kind, Link, Record, Result};
use hashbrown::HashSet;
use overlay::Overlay;
use std::sync::Arc;

/// Reads a volume. Every method may be called from any thread.
pub struct Reader {
    context: Arc<Context>,
    geometry: Geometry,
    overlay: Overlay,
}

/// An inode as it was read.
pub struct Node {
    pub id: InodeId,
    pub record: Record,
    source: Source,
}

/// Where an inode's content is.
enum Source {
    /// Chunk 0, and the chunks that its table names.
    Chunk(Box<Chunk>),
    /// A batch has all of it; of a directory the entries are in the batches' logs.
    Batch(Vec<u8>),
}

impl Reader {
    /// Reads chunk files only. `chunk_size`: bytes, from the header.
    pub fn new(context: Arc<Context>, chunk_size: u64) -> Reader {
        Reader { context, geometry: Geometry::new(chunk_size), overlay: Overlay::default() }
    }

    /// Reads what the live batches of all journals say as well. Returns what of them cannot be read, too: without those
    /// batches the newest names and small files may be missing.
    ///
    /// # Errors
    ///
    /// The store's, when the journals cannot be listed.
    pub fn with_journals(self) -> Result<(Reader, Vec<Error>)> {
        let (overlay, problems) = Overlay::read(&self.context)?;
        Ok((Reader { overlay, ..self }, problems))
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Which byte of a file lies in which chunk.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Inodes that a durable batch deletes, or made ready for; their chunk files go at the next mount of their device.
    pub fn is_being_deleted(&self, id: InodeId) -> bool {
        self.overlay.is_gone(id)
    }

    /// Inodes that live batches speak of.
    pub fn journalled(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.overlay.inodes()
    }

    /// An inode.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], [`Error::NotArrived`], or the store's.
    pub fn node(&self, id: InodeId) -> Result<Node> {
        let mut dropped = Vec::new();
        let mut node = self.overlay.apply(&self.context, id, self.stored(id), &mut dropped)?;
        if node.record.kind == Kind::Directory && node.record.links_count > 0 && self.overlay.has_logs(id) {
            let directories = self.entries(&node).map(|entries| entries.directories());
            node.record.links_count =
                directories.map_or(node.record.links_count, |directories| 2 + directories as u32);
        }
        // A batch lists all names that its device knew: one that another device gave stays if its entry leads here.
        for link in dropped {
            let links = &mut node.record.extension.links;
            if links.iter().any(|known| known.is_same_name(&link)) || !self.leads(&link, id) {
                continue;
            }
            links.push(link);
            node.record.links_count += 1;
        }
        Ok(node)
    }

    fn leads(&self, link: &Link, id: InodeId) -> bool {
        let entries = || self.entries(&self.node(link.parent)?);
        !self.overlay.went_with(&self.context, link)
            && entries().is_ok_and(|entries| entries.get(&link.name).is_some_and(|entry| entry.inode == id))
    }

    /// What this device kept of an inode at the end of a mount: it may have changed since. Of what is lost this is all there
    /// is.
    pub fn kept_record(&self, id: InodeId) -> Option<Record> {
        let kept = self.context.open_kept(id, self.context.recall.attributes(id)?)?;
        Kept::decode(&kept).ok().map(|kept| kept.record)
    }

    fn stored(&self, id: InodeId) -> Result<Node> {
        let id = ChunkId::first(id);
        let head = Chunk::open(&self.context, id, self.geometry.blocks(ChunkIndex::FIRST))?;
        let record = read_record(&head)?;
        let mut node = Node { id: id.inode, record, source: Source::Chunk(Box::new(head)) };
        node.check_size(self.geometry)?;
        self.take_times(&mut node)?;
        Ok(node)
    }

    /// Takes the times of a file whose chunk 0 was not written with the last change.
    fn take_times(&self, node: &mut Node) -> Result<()> {
        if node.record.is_exact || node.record.kind != Kind::File {
            return Ok(());
        }
        let mut newest = NewestTimes::default();
        for (index, named) in Error::unless_damage(node.further())?.unwrap_or_default() {
            let opened = Error::unless_damage(self.open_extra(node, index, named))?;
            opened.inspect(|chunk| newest.see(chunk, named));
        }
        newest.apply(&mut node.record);
        Ok(())
    }

    /// Opens an extra chunk of an inode. `named`: the chunk table's entry.
    fn open_extra(&self, node: &Node, index: ChunkIndex, named: Commit) -> Result<Chunk> {
        let chunk =
            Chunk::open(&self.context, ChunkId { inode: node.id, index }, self.geometry.blocks(index))?;
        check_fit(&chunk, named, &node.record)?;
        Ok(chunk)
    }

    /// The entries of a directory.
    ///
    /// # Errors
    ///
    /// [`Error::NotDirectory`]; [`Error::Damaged`] or [`Error::NotArrived`] if any part of its log cannot be read: removed
    /// entries could show; the store's.
    pub fn entries(&self, node: &Node) -> Result<Directory> {
        if node.record.kind != Kind::Directory {
            return Err(Error::NotDirectory);
        }
        let mut entries = match &node.source {
            Source::Batch(_) => Directory::default(),
            Source::Chunk(head) => self.stored_entries(node, head)?,
        };
        self.overlay.apply_logs(node.id, &mut entries)?;
        Ok(entries)
    }

    /// Whether another device's journal says the names that an inode has: what that device did in their directories may be on its
    /// way.
    pub fn is_named_by_another(&self, node: &Node) -> bool {
        self.overlay.is_named_by_another(node.id, node.record.namespace)
    }

    fn stored_entries(&self, node: &Node, head: &Chunk) -> Result<Directory> {
        let mut entries = Directory::new(node.record.extension.vector.clone());
        // An entry may begin in one segment and end in the next.
        let mut log = Vec::new();
        for (index, named) in node.further()? {
            let segment = self.open_extra(node, index, named)?;
            log.append(&mut segments::read(&segment, self.geometry.capacity(index))?);
        }
        log.extend_from_slice(&TAIL.read(head, 0, node.record.size)?);
        entries.load(&log).map_err(|what| Error::Damaged(head.id(), what.0.into()))?;
        Ok(entries)
    }

    /// The inode that a path from the root stands for, whether or not it can be read, and what its entry says it is.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::NotDirectory`]; as [`Reader::node`] and [`Reader::entries`] of a directory on the way.
    pub fn find(&self, path: &[u8]) -> Result<(InodeId, Kind)> {
        let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        names.clone().try_fold((InodeId::ROOT, Kind::Directory), |(at, _), name| {
            let entries = self.entries(&self.node(at)?)?;
            entries.get(name).map(|entry| (entry.inode, entry.kind)).ok_or(Error::NotFound)
        })
    }

    /// A path of an inode, by the links of the directories above it; `None` if one of those cannot be read.
    pub fn path_of(&self, id: InodeId) -> Option<Vec<u8>> {
        let (mut names, mut at, mut passed) = (Vec::new(), id, HashSet::new());
        while at != InodeId::ROOT {
            if !passed.insert(at) {
                return None;
            }
            let link = self.node(at).ok()?.record.extension.links.first().cloned()?;
            names.push(link.name);
            at = link.parent;
        }
        names.reverse();
        Some(names.join(&b'/'))
    }
}

impl Node {
    /// The chunks that the chunk table names, in increasing order, each with the number of its stamp.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if the table cannot be read; the store's.
    pub fn further(&self) -> Result<Vec<(ChunkIndex, Commit)>> {
        let Source::Chunk(head) = &self.source else { return Ok(Vec::new()) };
        let mut table = ChunkTable::of(head)?;
        let all = table.all(head)?;
        Ok(all.into_iter().map(|index| (index, table.stamp(index).unwrap_or_default())).collect())
    }

    /// Chunk 0, unless a batch has all of the inode.
    pub fn head(&self) -> Option<&Chunk> {
        match &self.source {
            Source::Chunk(head) => Some(head),
            Source::Batch(_) => None,
        }
    }

    /// Content that lies in the root of chunk 0 or in a batch.
    fn inline(&self) -> &[u8] {
        match &self.source {
            Source::Chunk(head) => head.inline(),
            Source::Batch(content) => content,
        }
    }

    /// Refuses a size that cannot be, or that is not the inline content's.
    fn check_size(&self, geometry: Geometry) -> Result<()> {
        let (most, inline) = match self.record.kind {
            Kind::File => (geometry.size_limit(), self.record.size),
            Kind::Directory => (TAIL.limit(), self.record.size % BLOCK as u64),
            _ => return Ok(()),
        };
        let is_inline = self.inline().is_empty() || self.inline().len() as u64 == inline;
        if self.record.size <= most && is_inline {
            return Ok(());
        }
        let id = ChunkId::first(self.id);
        Err(Error::Damaged(id, "its size is not that of its content".into()))
    }
}

#[cfg(test)]
mod tests;
