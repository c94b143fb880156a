//! What chunk 0 is to hold of an inode: its record, chunk table, and a directory's log. The next commit makes it so.

use super::entries::Unstored;
use super::state::State;
use crate::chunk::{BLOCK, Chunk, Commit, Space};
use crate::volume::format::kinds::Kind;
use crate::volume::mutants::{self, Mutant};
use crate::volume::stream::TAIL;
use crate::volume::{Error, Result};
use std::ops::Range;

/// Metadata blocks of a record's extension.
const OVERFLOW_BLOCKS: u16 = 64;

impl State {
    /// Puts a directory's log into chunk 0: into its tail, or as the table that names the segments which hold it all.
    pub fn store_tail(&mut self, unstored: &Unstored, segments: &Range<u32>) -> Result<()> {
        let State { head, table, doomed, record, .. } = self;
        let head = head.as_mut().expect("it was opened");
        if unstored.replacement.is_some() {
            for index in table.all(head)?.into_iter().filter(|index| !segments.contains(index)) {
                table.set(index, Commit(0));
                doomed.insert(index);
            }
        }
        if unstored.replacement.is_some() || !segments.is_empty() {
            head.clear(Space::Data, 0..TAIL.modulus)?;
            head.set_inline(Vec::new());
            record.size = 0;
        }
        if segments.is_empty() {
            for log in [unstored.replacement.as_deref().unwrap_or_default(), &unstored.log] {
                TAIL.append(head, record.size, log)?;
                record.size += log.len() as u64;
            }
        }
        Ok(())
    }

    /// Puts the record into chunk 0: with the names that durable batches speak of, and no others.
    pub fn store_record(&mut self, size: u64) -> Result<()> {
        let State { record, journalled, head, table, .. } = self;
        let head = head.as_mut().expect("it was opened");
        table.store(head)?;
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
            head.write(Space::Metadata, 0, &overflow)?;
        }
        head.clear(Space::Metadata, (overflow.len() / BLOCK) as u16..OVERFLOW_BLOCKS)?;
        if record.kind != Kind::Directory && head.inline().len() > head.inline_capacity(encoded.root.len()) {
            spill_inline(head)?;
        }
        head.set_record(encoded.root);
        Ok(())
    }
}

/// Moves inline content into the first data block.
pub fn spill_inline(head: &mut Chunk) -> Result<()> {
    let mut block = head.inline().to_vec();
    if !block.is_empty() {
        block.resize(BLOCK, 0);
        head.write(Space::Data, 0, &block)?;
        head.set_inline(Vec::new());
    }
    Ok(())
}
