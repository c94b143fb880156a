//! What chunk 0 is to hold of an inode: its record, chunk table, and a directory's log. The next commit makes it so.

use super::entries::Unstored;
use super::state::{Facts, State};
use crate::chunk::{BLOCK, BlockCount, BlockNumber, Chunk, ChunkIndex, Commit, Section};
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::Record;
use crate::volume::format::wire::Malformed;
use crate::volume::mutants::{self, Mutant};
use crate::volume::stream::TAIL;
use crate::volume::{Error, Result};
use std::ops::Range;

/// Metadata blocks of a record's extension.
const OVERFLOW_BLOCKS: BlockCount = BlockCount(64);

impl State {
    /// Puts a directory's log into chunk 0: into its tail, or as the table that names the segments which hold it all.
    /// `joined`: segments of which those take the place.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::NotArrived`] if the chunk table or the end of the tail cannot be read;
    /// [`Error::NoSpace`] if no slot or no space is free; the store's.
    pub fn store_tail(
        &mut self,
        unstored: &Unstored,
        segments: &Range<ChunkIndex>,
        joined: &[ChunkIndex],
    ) -> Result<()> {
        let Facts { first_chunk, table, doomed, record, stamps, .. } = &mut self.0;
        stamps.content_changed = true;
        let first_chunk = first_chunk.as_mut().expect("it was opened");
        let is_replaced = |index: &ChunkIndex| {
            !segments.contains(index) && (unstored.replacement.is_some() || joined.contains(index))
        };
        for index in table.all(first_chunk)?.into_iter().filter(is_replaced) {
            table.set(index, Commit(0));
            doomed.insert(index);
        }
        if unstored.replacement.is_some() || !segments.is_empty() {
            first_chunk.clear(Section::Data, TAIL.modulus.all())?;
            first_chunk.set_inline(Vec::new());
            record.size = 0;
        }
        if segments.is_empty() {
            for log in [unstored.replacement.as_deref().unwrap_or_default(), &unstored.log] {
                TAIL.append(first_chunk, record.size, log)?;
                record.size += log.len() as u64;
            }
        }
        Ok(())
    }

    /// Puts the record, with this size in bytes, and the chunk table into chunk 0.
    ///
    /// # Errors
    ///
    /// As [`State::store_record`]; [`Error::Damaged`] or [`Error::NotArrived`] also if a page of the table cannot be
    /// read.
    pub fn store_all(&mut self, size: u64) -> Result<()> {
        let Facts { first_chunk, table, .. } = &mut self.0;
        table.store(first_chunk.as_mut().expect("it was opened"))?;
        self.store_record(size)
    }

    /// Puts the record, with this size in bytes, into chunk 0: with the names that durable batches speak of, and no
    /// others.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if the extension exceeds a limit of the format, or its blocks find no slot or no space;
    /// [`Error::Damaged`] or [`Error::NotArrived`] of a map block; the store's.
    pub fn store_record(&mut self, size: u64) -> Result<()> {
        let Facts { record, journalled, first_chunk, .. } = &mut self.0;
        let first_chunk = first_chunk.as_mut().expect("it was opened");
        let now = (record.size, record.links_count, record.namespace);
        let early = mutants::is_active(Mutant::LinksBeforeBatch);
        if !early {
            std::mem::swap(&mut record.extension.links, &mut journalled.links);
        }
        let count = if early { record.links_count } else { journalled.links_count };
        (record.size, record.links_count, record.namespace) = (size, count, journalled.namespace);
        let encoded = record.encode();
        (record.size, record.links_count, record.namespace) = now;
        if !early {
            std::mem::swap(&mut record.extension.links, &mut journalled.links);
        }
        let encoded = encoded.map_err(|_| Error::NoSpace)?;
        let mut overflow = encoded.overflow.unwrap_or_default();
        overflow.resize(overflow.len().next_multiple_of(BLOCK), 0);
        if !overflow.is_empty() {
            first_chunk.write_acknowledged(Section::Metadata, BlockNumber::FIRST, &overflow)?;
        }
        first_chunk
            .clear(Section::Metadata, BlockNumber::of_byte(overflow.len() as u64)..OVERFLOW_BLOCKS.end())?;
        if record.kind != Kind::Directory
            && first_chunk.inline().len() > first_chunk.inline_capacity(encoded.root.len())
        {
            spill_inline(first_chunk)?;
        }
        first_chunk.set_record(encoded.root);
        Ok(())
    }
}

/// Moves inline content into the first data block.
///
/// # Errors
///
/// As [`Chunk::write_acknowledged`]; the content stays inline then.
pub fn spill_inline(first_chunk: &mut Chunk) -> Result<()> {
    let mut block = first_chunk.inline().to_vec();
    if !block.is_empty() {
        block.resize(BLOCK, 0);
        first_chunk.write_acknowledged(Section::Data, BlockNumber::FIRST, &block)?;
        first_chunk.set_inline(Vec::new());
    }
    Ok(())
}

/// The record in chunk 0, with its extension from wherever it lies.
///
/// # Errors
///
/// [`Error::Damaged`] if it makes no sense; that or [`Error::NotArrived`] if the extension cannot be read; the store's.
pub fn read_record(first_chunk: &Chunk) -> Result<Record> {
    let malformed = |what: Malformed| Error::Damaged(first_chunk.id(), what.0.into());
    let overflow = match Record::overflow_length(first_chunk.record()).map_err(malformed)? {
        None => None,
        Some(length) => {
            let mut blocks = vec![0; length.next_multiple_of(BLOCK)];
            first_chunk.read(Section::Metadata, BlockNumber::FIRST, &mut blocks)?;
            blocks.truncate(length);
            Some(blocks)
        }
    };
    Record::decode(first_chunk.record(), overflow.as_deref()).map_err(malformed)
}
