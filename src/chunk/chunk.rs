//! A chunk in memory: what it is, and reading it.
//!
//! What always holds: every block that a table names lies in its slot, sealed under `key`, or in no file that this
//! chunk has yet. Changing: `write`; making it last: `commit`; finding it again: `open`; space: `reclaim`.

use super::blocks::{Blocks, Key};
use super::cache::Block;
use super::entry::GROUP;
use super::root::{self, METADATA, PLAIN};
use super::slots::Slots;
use super::table::Table;
use super::unsynced::Unsynced;
use super::{
    BLOCK, BlockCount, BlockNumber, ChunkId, Commit, Context, DeviceId, Error, Hold, Result, Section,
    Version, vector,
};
use crate::store::{Marks, StoreFile};
use std::sync::Arc;

/// An open chunk. Owned behind a lock of the caller's: reads share it, everything else has it alone.
///
/// # Errors
///
/// Of every method: `Damaged` and `Incomplete` where a block that it needs cannot be read, `Io`. Of those that change
/// something also `Failed` until [`Chunk::recover`], and `SlotsExhausted`; of a commit `TooLarge` and `Replaced`. Methods say
/// which of these, and what else there is.
///
/// It must not be dropped while `is_unsynced` (`sync_rest` sees to that), for the error of a failing write-back would be
/// lost with the descriptor.
pub struct Chunk {
    pub(super) context: Arc<Context>,
    pub(super) id: ChunkId,
    pub(super) file: Option<Arc<dyn StoreFile>>,
    /// None before something is written: a new inode's first batch needs none.
    pub(super) key: Option<Key>,
    /// Seals under this key.
    pub(super) seals: u64,
    pub(super) data: Table,
    pub(super) metadata: Table,
    /// Known once all map blocks are loaded.
    pub(super) slots: Option<Slots>,
    pub(super) record: Vec<u8>,
    pub(super) inline: Vec<u8>,
    /// Of the newest written root.
    pub(super) version: Version,
    /// What of it the newest written root does not list.
    pub(super) others: vector::Others,
    /// What the next commit includes besides.
    pub(super) included: Version,
    pub(super) newest: Option<Written>,
    /// The newest root known durable.
    pub(super) durable: Option<Written>,
    /// The largest number that a root was, or may have been, written with.
    pub(super) attempted: Commit,
    pub(super) state: State,
    /// What no fdatasync covers yet.
    pub(super) unsynced: Unsynced,
    /// Space for the next commit.
    pub(super) hold: Hold,
    pub(super) rejected: Option<Commit>,
    /// It was found without a commit that this device had made durable.
    pub(super) lacks_own: bool,
}

/// A root that was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// 0 is root A, 1 is root B.
    pub which: u8,
    pub commit: Commit,
    pub settled: bool,
    /// It holds no content: where it comes back to light, what there was since is gone.
    pub bare: bool,
}

/// What stands between the chunk and the next thing that is wanted of it.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct State {
    /// Memory says something that the newest written root does not.
    pub dirty: bool,
    /// Data blocks were written or cleared since the last commit; sealing them anew does not count.
    pub changed: bool,
    /// Since the file was opened, or made, an fdatasync made sure of what was found in it.
    pub anchored: bool,
    /// Something was written since the last fdatasync began.
    pub unsynced: bool,
    /// A `Sync` is under way.
    pub syncing: bool,
    /// The last root was not written for certain: only another one tells what that root slot holds.
    pub in_doubt: bool,
    /// An fdatasync failed.
    pub failed: bool,
    /// The store failed otherwise: the descriptor may be of no use any more.
    pub suspect: bool,
    pub name_new: bool,
    /// Another device may have made the file, which a sync client then brings.
    pub may_arrive: bool,
}

impl Chunk {
    /// A chunk that has no file yet: one is made at the first block write or commit. `blocks`: data blocks it may have.
    pub fn new(context: &Arc<Context>, id: ChunkId, blocks: BlockCount) -> Chunk {
        // Of an inode's first chunk there never was another, unless the caller knows better.
        if !id.index.is_first() {
            context.saw_known(id);
        }
        Chunk {
            context: context.clone(),
            id,
            file: None,
            key: None,
            seals: 0,
            data: Table::new(Section::Data, blocks),
            metadata: Table::new(Section::Metadata, METADATA),
            slots: Slots::new(blocks, 2, std::iter::empty()),
            record: Vec::new(),
            inline: Vec::new(),
            version: Version::default(),
            others: vector::Others::default(),
            included: Version::default(),
            newest: None,
            durable: None,
            attempted: Commit(0),
            state: State { dirty: true, ..State::default() },
            unsynced: context.unsynced(),
            hold: Hold::default(),
            rejected: None,
            lacks_own: false,
        }
    }

    /// The device that writes here.
    pub fn device(&self) -> DeviceId {
        self.context.device
    }

    pub fn id(&self) -> ChunkId {
        self.id
    }

    /// The version of the newest written root; empty if there is none.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The newest commit known durable, 0 if there is none.
    pub fn durable(&self) -> Commit {
        self.durable.map_or(Commit(0), |root| root.commit)
    }

    /// The commit that was found half made when the chunk was opened, and given up for the one before.
    pub fn rejected(&self) -> Option<Commit> {
        self.rejected
    }

    /// Whether it was found without something that this device had made durable: another device's version took its
    /// place, which never heard of that.
    pub fn lacks_own(&self) -> bool {
        self.lacks_own
    }

    pub fn record(&self) -> &[u8] {
        &self.record
    }

    pub fn inline(&self) -> &[u8] {
        &self.inline
    }

    /// Takes effect at the next commit. At most 1024 bytes (docs/FORMAT.md section 6.1).
    pub fn set_record(&mut self, record: Vec<u8>) {
        self.record = record;
        self.state.dirty = true;
    }

    /// Takes the inline content out. Takes effect at the next commit.
    pub fn take_inline(&mut self) -> Vec<u8> {
        self.state.dirty = true;
        std::mem::take(&mut self.inline)
    }

    /// Takes effect at the next commit. At most `inline_capacity`.
    pub fn set_inline(&mut self, inline: Vec<u8>) {
        self.inline = inline;
        self.state.dirty = true;
    }

    /// Bytes of inline content that would fit beside a record of `record` bytes and the metadata there is, if there
    /// were no data blocks.
    pub fn inline_capacity(&self, record: usize) -> usize {
        let devices = self.others.listed(&self.next_version(Commit(0))).len().min(root::DEVICES);
        PLAIN.saturating_sub(root::size(devices, record, 0, self.metadata.maps()))
    }

    /// Whether there is anything that the newest written root does not say.
    pub fn is_dirty(&self) -> bool {
        self.state.dirty
    }

    /// Whether data blocks were written or cleared since the last commit. Sealing them anew does not count.
    pub fn is_changed(&self) -> bool {
        self.state.changed
    }

    /// Whether everything is in a durable root, under a durable name.
    pub fn is_all_durable(&self) -> bool {
        let waits = self.state.dirty || self.state.name_new || self.state.failed;
        !waits && self.durable() == self.version.commit()
    }

    /// Whether a file of it is open: it was found, or made already.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// What tells whether its file was changed since, if it is open and that is certain.
    pub fn marks(&self) -> Option<Marks> {
        self.file.as_ref()?.marks().ok()?
    }

    /// Whether something was written to its file since that was opened or made.
    pub fn is_written(&self) -> bool {
        self.state.anchored
    }

    /// Whether something was written that no fdatasync covers yet.
    pub fn is_unsynced(&self) -> bool {
        self.state.unsynced || self.state.syncing
    }

    /// Whether the file's name may not be durable yet: this chunk made it, or found it in doubt.
    pub fn is_name_new(&self) -> bool {
        self.state.name_new
    }

    /// The name was made durable.
    pub fn name_synced(&mut self) {
        if std::mem::replace(&mut self.state.name_new, false) {
            self.note_durable();
        }
    }

    /// Whether the chunk is sealed under the newest epoch.
    pub fn epoch_is_newest(&self) -> bool {
        self.key.as_ref().is_none_or(|key| key.epoch == 0)
    }

    /// Reads whole blocks, `first` onward; holes are zeros. One read of the file for each run of slots.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if a block, or a map block that tells where it lies, does not authenticate;
    /// [`Error::Incomplete`] if the file ends before it; [`Error::Io`]. What is in `out` then is unspecified.
    pub fn read(&self, section: Section, first: BlockNumber, out: &mut [u8]) -> Result<()> {
        self.read_under(self.key.as_ref(), section, first, out)
    }

    /// Reads one data block, and keeps it at hand: for those that are wanted in part.
    ///
    /// # Errors
    ///
    /// As [`Chunk::read`]; nothing is kept then.
    pub fn read_block(&self, number: BlockNumber, out: &mut [u8; BLOCK]) -> Result<()> {
        let entry = self.data.get(number, &self.blocks())?;
        if !entry.is_hole() && self.context.cache.get(self.id, &entry, out) {
            return Ok(());
        }
        self.read(Section::Data, number, out)?;
        if !entry.is_hole() {
            self.context.cache.put(self.id, &entry, Block((*out).into()));
        }
        Ok(())
    }

    pub(super) fn read_under(
        &self,
        key: Option<&Key>,
        section: Section,
        first: BlockNumber,
        out: &mut [u8],
    ) -> Result<()> {
        let (blocks, table) = (Blocks { key, ..self.blocks() }, self.table(section));
        assert!(out.len().is_multiple_of(BLOCK), "whole blocks are read");
        assert!(
            first.index() + out.len() / BLOCK <= table.limit.end().index(),
            "blocks within the section are read"
        );
        let (mut number, mut rest) = (first, out);
        while !rest.is_empty() {
            let entry = table.get(number, &blocks)?;
            let follows = |i: u16| {
                let next = table.get(number.after(i), &blocks)?;
                Ok(if entry.is_hole() { next.is_hole() } else { next.slot.0 == entry.slot.0.wrapping_add(i) })
            };
            let mut count = 1;
            while usize::from(count) < rest.len() / BLOCK && follows(count)? {
                count += 1;
            }
            let (run, after) = rest.split_at_mut(usize::from(count) * BLOCK);
            if entry.is_hole() {
                run.fill(0);
            } else {
                blocks.read(section, number, run, |i| table.get(number.after(i), &blocks))?;
            }
            number = number.after(count);
            rest = after;
        }
        Ok(())
    }

    /// Whether a block is there, and no hole.
    ///
    /// # Errors
    ///
    /// Those of reading a map block: [`Error::Damaged`], [`Error::Incomplete`], [`Error::Io`].
    pub fn is_present(&self, section: Section, number: BlockNumber) -> Result<bool> {
        Ok(!self.table(section).get(number, &self.blocks())?.is_hole())
    }

    /// The first block from `from` on that is no hole.
    ///
    /// # Errors
    ///
    /// As [`Chunk::is_present`].
    pub fn next_present(&self, section: Section, from: BlockNumber) -> Result<Option<BlockNumber>> {
        let next = self.next_stored(section, from)?;
        Ok(next.filter(|next| section == Section::Data || *next < vector::NUMBER))
    }

    /// The same, of the blocks that hold what is the chunk's own too.
    pub(super) fn next_stored(&self, section: Section, from: BlockNumber) -> Result<Option<BlockNumber>> {
        let table = self.table(section);
        let next = table.next(from, true, &self.blocks())?;
        Ok((next < table.limit.end()).then_some(next))
    }

    /// The first hole from `from` on; the number of blocks the space may have if there is none.
    ///
    /// # Errors
    ///
    /// As [`Chunk::is_present`].
    pub fn next_absent(&self, section: Section, from: BlockNumber) -> Result<BlockNumber> {
        self.table(section).next(from, false, &self.blocks())
    }

    /// How many data blocks are present.
    ///
    /// # Errors
    ///
    /// As [`Chunk::is_present`].
    pub fn data_blocks(&self) -> Result<u32> {
        self.load_all()?;
        Ok(self.data.count() as u32)
    }

    /// Loads all map blocks.
    pub(super) fn load_all(&self) -> Result<()> {
        if self.slots.is_some() {
            return Ok(());
        }
        self.data.load_all(&self.blocks())?;
        self.metadata.load_all(&self.blocks())
    }

    pub(super) fn table(&self, section: Section) -> &Table {
        match section {
            Section::Data => &self.data,
            Section::Metadata => &self.metadata,
        }
    }

    pub(super) fn table_mut(&mut self, section: Section) -> &mut Table {
        match section {
            Section::Data => &mut self.data,
            Section::Metadata => &mut self.metadata,
        }
    }

    pub(super) fn blocks(&self) -> Blocks<'_> {
        Blocks {
            id: self.id,
            file: self.file.as_deref(),
            key: self.key.as_ref(),
            unsynced: Some(&self.unsynced),
        }
    }

    pub(super) fn io(&self, error: std::io::Error) -> Error {
        Error::Io(self.id, error)
    }
}

/// Most map blocks of a chunk with the most blocks: both tables still fit a root beside the largest record.
const _: () = assert!(
    root::size(
        root::DEVICES,
        root::RECORD,
        0,
        4096usize.div_ceil(GROUP) + (METADATA.0 as usize).div_ceil(GROUP)
    ) <= PLAIN
);
