//! The chunk table: which chunks beyond chunk 0 an inode has (docs/FORMAT.md section 7).

use crate::chunk::{BLOCK, BlockNumber, Chunk, ChunkIndex, Commit, Section};
use crate::volume::format::limits::{LAST_INDEX, PER_PAGE};
use crate::volume::{Error, Result};
use std::collections::BTreeMap;

/// The metadata block of the table's first page.
const FIRST: BlockNumber = BlockNumber(64);
/// Pages are read when asked for; changes wait for the next commit of chunk 0.
pub struct ChunkTable {
    /// No page exists and none is waiting.
    empty: bool,
    pages: BTreeMap<u32, Box<[u64; PER_PAGE as usize]>>,
    changed: BTreeMap<ChunkIndex, Commit>,
    /// A chunk came or went that chunk 0 does not tell of.
    is_renamed: bool,
    /// Of chunks that changed: what chunk 0 says of them that is durable for certain.
    durable: BTreeMap<ChunkIndex, Commit>,
}

impl ChunkTable {
    /// Of an inode without extra chunks.
    pub fn empty() -> ChunkTable {
        ChunkTable {
            empty: true,
            pages: BTreeMap::new(),
            changed: BTreeMap::new(),
            is_renamed: false,
            durable: BTreeMap::new(),
        }
    }

    /// As chunk 0 has it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] of a map block; the store's.
    pub fn of(first_chunk: &Chunk) -> Result<ChunkTable> {
        let empty = first_chunk.next_present(Section::Metadata, FIRST)?.is_none();
        Ok(if empty { ChunkTable::empty() } else { ChunkTable::unread() })
    }

    /// Of an inode that has extra chunks.
    pub fn unread() -> ChunkTable {
        ChunkTable { empty: false, ..ChunkTable::empty() }
    }

    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Whether chunk 0 says all of it.
    pub fn is_stored(&self) -> bool {
        self.changed.is_empty()
    }

    /// Whether chunk 0 says which chunks there are, be it an older version of one.
    pub fn is_naming_stored(&self) -> bool {
        !self.is_renamed
    }

    /// The commit number of a chunk's stamp, `None` if there is no such chunk. Needs `load` first.
    pub fn stamp(&self, index: ChunkIndex) -> Option<Commit> {
        let (page, at) = place(index);
        let stored = || self.pages.get(&page).map_or(Commit(0), |page| Commit(page[at]));
        let stamp = self.changed.get(&index).copied().unwrap_or_else(stored);
        (stamp != Commit(0)).then_some(stamp)
    }

    /// What a durable chunk 0 says of a chunk, 0: nothing. Needs `load` first.
    pub fn durable(&self, index: ChunkIndex) -> Commit {
        let unchanged = || self.stamp(index).unwrap_or_default();
        self.durable.get(&index).copied().unwrap_or_else(unchanged)
    }

    /// What the last `store` put into chunk 0 is durable.
    pub fn stored_is_durable(&mut self) {
        let ChunkTable { durable, changed, .. } = self;
        durable.retain(|index, _| changed.contains_key(index));
    }

    /// Whether `stamp` can answer for this chunk.
    pub fn is_loaded(&self, index: ChunkIndex) -> bool {
        self.empty || self.pages.contains_key(&place(index).0) || self.changed.contains_key(&index)
    }

    /// Reads the page that a chunk stands in.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if it cannot be read; the store's.
    pub fn load(&mut self, first_chunk: &Chunk, index: ChunkIndex) -> Result<()> {
        if !self.is_loaded(index) {
            self.load_page(first_chunk, place(index).0)?;
        }
        Ok(())
    }

    /// Every chunk that exists, in increasing order.
    ///
    /// # Errors
    ///
    /// As [`ChunkTable::all_from`].
    pub fn all(&mut self, first_chunk: &Chunk) -> Result<Vec<ChunkIndex>> {
        self.all_from(first_chunk, ChunkIndex::FIRST_EXTRA)
    }

    /// Every chunk from `first` that exists, in increasing order.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if any page from there on cannot be read; the store's.
    pub fn all_from(&mut self, first_chunk: &Chunk, first: ChunkIndex) -> Result<Vec<ChunkIndex>> {
        if self.empty {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut from = block_of(place(first).0);
        while let Some(block) = first_chunk.next_present(Section::Metadata, from)? {
            self.load_page(first_chunk, u32::from(block.0 - FIRST.0))?;
            from = block.next();
        }
        let stored = self.pages.iter().flat_map(|(&page, stamps)| {
            stamps
                .iter()
                .enumerate()
                .filter(|(_, stamp)| **stamp != 0)
                .map(move |(at, _)| ChunkIndex(page_start(page).0 + at as u32))
        });
        found.extend(stored.filter(|index| !self.changed.contains_key(index)));
        found.extend(self.changed.iter().filter(|(_, stamp)| **stamp != Commit(0)).map(|(index, _)| *index));
        found.retain(|index| *index >= first);
        found.sort_unstable();
        Ok(found)
    }

    /// Notes the commit number of a chunk's stamp, or that there is no such chunk any more (zero).
    pub fn set(&mut self, index: ChunkIndex, stamp: Commit) {
        self.empty = false;
        let before = self.stamp(index).unwrap_or_default();
        self.is_renamed |= (before == Commit(0)) != (stamp == Commit(0));
        self.durable.entry(index).or_insert(before);
        self.changed.insert(index, stamp);
    }

    /// Puts the changes into chunk 0's metadata blocks; the next commit makes them so.
    ///
    /// # Errors
    ///
    /// As [`ChunkTable::load`]; [`Error::NoSpace`] if a page finds no slot or no space. All changes wait for another
    /// call then.
    pub fn store(&mut self, first_chunk: &mut Chunk) -> Result<()> {
        let pages: Vec<u32> = {
            let mut pages: Vec<u32> = self.changed.keys().map(|index| place(*index).0).collect();
            pages.dedup();
            pages
        };
        for number in pages {
            self.load_page(first_chunk, number)?;
            let page = self.pages.get_mut(&number).expect("it was just loaded");
            let mut next = **page;
            for (index, stamp) in self.changed.range(page_start(number)..page_start(number + 1)) {
                next[place(*index).1] = stamp.0;
            }
            let block = block_of(number);
            if next.iter().all(|stamp| *stamp == 0) {
                first_chunk.clear(Section::Metadata, block..block.next())?;
            } else {
                first_chunk.write_acknowledged(Section::Metadata, block, &encode(&next))?;
            }
            **page = next;
        }
        self.changed.clear();
        self.is_renamed = false;
        Ok(())
    }

    fn load_page(&mut self, first_chunk: &Chunk, number: u32) -> Result<()> {
        if self.pages.contains_key(&number) {
            return Ok(());
        }
        let mut block = [0; BLOCK];
        first_chunk.read(Section::Metadata, block_of(number), &mut block)?;
        let mut page = Box::new([0; PER_PAGE as usize]);
        for (stamp, bytes) in page.iter_mut().zip(block.chunks_exact(8)) {
            *stamp = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        }
        self.pages.insert(number, page);
        Ok(())
    }
}

/// The page that a chunk stands in, and where in it.
fn place(index: ChunkIndex) -> (u32, usize) {
    let at = index.0 - 1;
    (at / PER_PAGE, (at % PER_PAGE) as usize)
}

/// The metadata block of a page.
fn block_of(page: u32) -> BlockNumber {
    FIRST.after(page as u16)
}

/// The first chunk of a page.
fn page_start(page: u32) -> ChunkIndex {
    ChunkIndex(1 + page * PER_PAGE)
}

fn encode(page: &[u64; PER_PAGE as usize]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (bytes, stamp) in block.chunks_exact_mut(8).zip(page) {
        bytes.copy_from_slice(&stamp.to_le_bytes());
    }
    block
}

/// Refuses a chunk index that no table can name.
///
/// # Errors
///
/// [`Error::FileTooLarge`] for such a one.
pub fn check_index(index: ChunkIndex) -> Result<ChunkIndex> {
    if index <= LAST_INDEX { Ok(index) } else { Err(Error::FileTooLarge) }
}
