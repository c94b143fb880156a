//! The chunk table: which chunks beyond chunk 0 an inode has (docs/FORMAT.md section 7).

use crate::chunk::{BLOCK, Chunk, Commit, Space};
use crate::volume::{Damage, Error, Result};
use std::collections::BTreeMap;

/// The metadata block of the table's first page.
const FIRST: u16 = 64;
/// Entries of a page.
const PER_PAGE: u32 = 512;
/// Pages at most.
pub(in crate::volume) const PAGES: u32 = 4096;

/// The highest chunk index a table can name.
pub(in crate::volume) const LAST_INDEX: u32 = PAGES * PER_PAGE;

/// Pages are read when asked for; changes wait for the next commit of chunk 0.
pub(in crate::volume) struct Table {
    /// No page exists and none is waiting.
    empty: bool,
    pages: BTreeMap<u32, Box<[u64; PER_PAGE as usize]>>,
    changed: BTreeMap<u32, Commit>,
}

impl Table {
    /// Of an inode without further chunks.
    pub fn empty() -> Table {
        Table { empty: true, pages: BTreeMap::new(), changed: BTreeMap::new() }
    }

    /// As chunk 0 has it.
    pub fn of(head: &Chunk) -> Result<Table> {
        let empty = head.next_present(Space::Metadata, FIRST)?.is_none();
        Ok(Table { empty, ..Table::empty() })
    }

    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Whether chunk 0 says all of it.
    pub fn is_stored(&self) -> bool {
        self.changed.is_empty()
    }

    /// The lower bound of a chunk's commit number, `None` if there is no such chunk. Needs `load` first.
    pub fn bound(&self, index: u32) -> Option<Commit> {
        let (page, at) = place(index);
        let stored = || self.pages.get(&page).map_or(Commit(0), |page| Commit(page[at]));
        let bound = self.changed.get(&index).copied().unwrap_or_else(stored);
        (bound != Commit(0)).then_some(bound)
    }

    /// Whether `bound` can answer for this chunk.
    pub fn is_loaded(&self, index: u32) -> bool {
        self.empty || self.pages.contains_key(&place(index).0) || self.changed.contains_key(&index)
    }

    /// Reads the page that a chunk stands in.
    pub fn load(&mut self, head: &Chunk, index: u32) -> Result<()> {
        if !self.is_loaded(index) {
            self.load_page(head, place(index).0)?;
        }
        Ok(())
    }

    /// Every chunk that exists, in increasing order.
    pub fn all(&mut self, head: &Chunk) -> Result<Vec<u32>> {
        self.all_from(head, 1)
    }

    /// Every chunk from `first` that exists, in increasing order.
    pub fn all_from(&mut self, head: &Chunk, first: u32) -> Result<Vec<u32>> {
        if self.empty {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut from = FIRST + place(first).0 as u16;
        while let Some(block) = head.next_present(Space::Metadata, from)? {
            let page = u32::from(block - FIRST);
            self.load(head, 1 + page * PER_PAGE)?;
            from = block + 1;
        }
        let stored = self.pages.iter().flat_map(|(&page, bounds)| {
            bounds
                .iter()
                .enumerate()
                .filter(|(_, bound)| **bound != 0)
                .map(move |(at, _)| 1 + page * PER_PAGE + at as u32)
        });
        found.extend(stored.filter(|index| !self.changed.contains_key(index)));
        found.extend(self.changed.iter().filter(|(_, bound)| **bound != Commit(0)).map(|(index, _)| *index));
        found.retain(|index| *index >= first);
        found.sort_unstable();
        Ok(found)
    }

    /// Notes that a chunk exists now (with its commit number) or does not (zero).
    pub fn set(&mut self, index: u32, bound: Commit) {
        self.empty = false;
        self.changed.insert(index, bound);
    }

    /// Puts the changes into chunk 0's metadata blocks; the next commit makes them so.
    pub fn store(&mut self, head: &mut Chunk) -> Result<()> {
        let pages: Vec<u32> = {
            let mut pages: Vec<u32> = self.changed.keys().map(|index| place(*index).0).collect();
            pages.dedup();
            pages
        };
        for number in pages {
            self.load_page(head, number)?;
            let page = self.pages.get_mut(&number).expect("it was just loaded");
            let first = 1 + number * PER_PAGE;
            let mut next = **page;
            for (index, bound) in self.changed.range(first..first + PER_PAGE) {
                next[place(*index).1] = bound.0;
            }
            let block = FIRST + number as u16;
            if next.iter().all(|bound| *bound == 0) {
                head.clear(Space::Metadata, block..block + 1)?;
            } else {
                head.write(Space::Metadata, block, &encode(&next))?;
            }
            **page = next;
        }
        self.changed.clear();
        Ok(())
    }

    fn load_page(&mut self, head: &Chunk, number: u32) -> Result<()> {
        if self.pages.contains_key(&number) {
            return Ok(());
        }
        let mut block = [0; BLOCK];
        head.read(Space::Metadata, FIRST + number as u16, &mut block)?;
        let mut page = Box::new([0; PER_PAGE as usize]);
        for (bound, bytes) in page.iter_mut().zip(block.chunks_exact(8)) {
            *bound = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        }
        self.pages.insert(number, page);
        Ok(())
    }
}

/// The page that a chunk stands in, and where in it.
fn place(index: u32) -> (u32, usize) {
    ((index - 1) / PER_PAGE, ((index - 1) % PER_PAGE) as usize)
}

fn encode(page: &[u64; PER_PAGE as usize]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (bytes, bound) in block.chunks_exact_mut(8).zip(page) {
        bytes.copy_from_slice(&bound.to_le_bytes());
    }
    block
}

/// Refuses a chunk that is older than the table, which names it, says.
pub(in crate::volume) fn check_bound(chunk: &Chunk, bound: Commit) -> Result<()> {
    let found = chunk.version().commit();
    if found < bound {
        return Err(Error::Damaged(chunk.id(), Damage::RolledBack { found, known: bound }));
    }
    Ok(())
}

/// Refuses a chunk index that no table can name.
pub(in crate::volume) fn check_index(index: u64) -> Result<u32> {
    u32::try_from(index).ok().filter(|index| *index <= LAST_INDEX).ok_or(Error::FileTooLarge)
}
