//! Blocks as they lie in a file: read and opened, sealed and written. The only place that turns slots into offsets.
//!
//! Nothing that failed to authenticate gets out of here.

use super::entry::{Entries, Entry, Slot};
use super::unsynced::{Run, Unsynced, Written};
use super::{BLOCK, BlockNumber, ChunkId, Context, Error, Result, Section};
use crate::crypto::{Aead, Nonce, Tag, Unauthentic, expand_briefly, fill_random, random};
use crate::store::StoreFile;
use std::cell::RefCell;
use std::io::IoSlice;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Blocks that are sealed before they are written in one go: 1 MiB.
const PIECE: usize = 256;

const SALT: usize = 16;
/// Where the plaintext of a root lies in its block.
pub(super) const ROOT_PLAIN: std::ops::Range<usize> = SALT + 12..BLOCK - 16;

const ROOT_PLAIN_LENGTH: usize = ROOT_PLAIN.end - ROOT_PLAIN.start;

/// The key of a chunk, under one salt and one epoch. Clones share its schedule.
#[derive(Clone)]
pub(super) struct Key {
    aead: Arc<dyn Aead>,
    pub salt: [u8; SALT],
    /// Index into the content roots: 0 is the newest epoch.
    pub epoch: usize,
}

impl Key {
    pub fn new(context: &Context, id: ChunkId, epoch: usize, salt: [u8; SALT]) -> Key {
        let info: [&[u8]; 4] = [b"cryptfs v2 chunk", &id.inode.0, &id.index.0.to_le_bytes(), &salt];
        Key {
            aead: context.cipher.keyed(&expand_briefly(&context.content[epoch], &info)).into(),
            salt,
            epoch,
        }
    }

    /// A key of the newest epoch that never sealed anything.
    pub fn fresh(context: &Context, id: ChunkId) -> Key {
        Key::new(context, id, 0, random())
    }

    /// Authenticates and decrypts a block in place.
    ///
    /// # Errors
    ///
    /// [`Unauthentic`] if it was not sealed as block `number` of this kind, with this nonce and tag; what is in
    /// `block` then is unspecified.
    pub fn open(
        &self,
        kind: u8,
        number: BlockNumber,
        entry: &Entry,
        block: &mut [u8],
    ) -> std::result::Result<(), Unauthentic> {
        self.aead.open(&entry.nonce, &block_data(kind, number), block, &entry.tag)
    }

    /// Seals the root whose plaintext `fill` writes.
    pub fn seal_root(&self, id: ChunkId, which: u8, fill: impl FnOnce(&mut [u8])) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let nonce: Nonce = random();
        fill(&mut block[ROOT_PLAIN]);
        let tag = self.aead.seal(&nonce, &root_data(id, which), &mut block[ROOT_PLAIN]);
        block[..SALT].copy_from_slice(&self.salt);
        block[SALT..ROOT_PLAIN.start].copy_from_slice(&nonce);
        block[ROOT_PLAIN.end..].copy_from_slice(&tag);
        block
    }

    /// The plaintext of a root that authenticates under this key.
    pub fn open_root(&self, id: ChunkId, which: u8, block: &[u8; BLOCK]) -> Option<[u8; ROOT_PLAIN_LENGTH]> {
        let nonce: Nonce = block[SALT..ROOT_PLAIN.start].try_into().expect("a nonce's size");
        let tag: Tag = block[ROOT_PLAIN.end..].try_into().expect("a tag's size");
        let mut plain = [0; ROOT_PLAIN_LENGTH];
        plain.copy_from_slice(&block[ROOT_PLAIN]);
        let opened = self.aead.open(&nonce, &root_data(id, which), &mut plain, &tag);
        opened.ok().map(|()| plain)
    }
}

/// A chunk's file together with its key.
pub(super) struct Blocks<'a> {
    pub id: ChunkId,
    /// `None`: there is no file yet, so there is nothing to read.
    pub file: Option<&'a dyn StoreFile>,
    /// `None`: nothing was sealed yet.
    pub key: Option<&'a Key>,
    /// What was written to it lately.
    pub unsynced: Option<&'a Unsynced>,
}

impl Blocks<'_> {
    /// Reads blocks whose slots are consecutive: number `first + i` has `entry(i)`.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if one does not authenticate, [`Error::Incomplete`] if the file ends before it,
    /// [`Error::Missing`] without a file, [`Error::Io`]; those of `entry`. What is in `out` then is unspecified.
    pub fn read(
        &self,
        section: Section,
        first: BlockNumber,
        out: &mut [u8],
        entry: impl Fn(u16) -> Result<Entry>,
    ) -> Result<()> {
        self.read_slots(entry(0)?.slot, out)?;
        for (i, block) in out.chunks_exact_mut(BLOCK).enumerate() {
            let opened = self.key()?.open(section.kind(), first.after(i as u16), &entry(i as u16)?, block);
            opened.map_err(|Unauthentic| Error::Damaged(self.id, "a block does not authenticate"))?;
        }
        Ok(())
    }

    /// Somebody will read these slots soon.
    pub fn expect(&self, slots: RangeInclusive<Slot>) {
        if let Some(file) = self.file {
            file.expect(slots.start().offset()..slots.end().offset() + BLOCK as u64);
        }
    }

    /// Reads map block `k` of a section.
    ///
    /// # Errors
    ///
    /// As [`Blocks::read`]; [`Error::Damaged`] also if it names the slot of a root.
    pub fn read_map(&self, section: Section, k: usize, entry: &Entry) -> Result<Box<Entries>> {
        let mut block = [0; BLOCK];
        self.read_slots(entry.slot, &mut block)?;
        let opened = self.key()?.open(section.map_kind(), BlockNumber(k as u16), entry, &mut block);
        opened.map_err(|Unauthentic| Error::Damaged(self.id, "a map block does not authenticate"))?;
        Entries::decode(&block).map_err(|what| Error::Damaged(self.id, what))
    }

    /// A block as it is sealed, if it authenticates.
    ///
    /// # Errors
    ///
    /// As [`Blocks::read`].
    pub fn sealed(&self, kind: u8, number: BlockNumber, entry: &Entry) -> Result<[u8; BLOCK]> {
        let mut sealed = [0; BLOCK];
        self.read_slots(entry.slot, &mut sealed)?;
        let opened = self.key()?.open(kind, number, entry, &mut sealed.clone());
        opened.map_err(|Unauthentic| Error::Damaged(self.id, "a block does not authenticate"))?;
        Ok(sealed)
    }

    /// A root's block as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] if the file ends before it, [`Error::Missing`] without a file, [`Error::Io`].
    pub fn read_root(&self, which: u8, out: &mut [u8; BLOCK]) -> Result<()> {
        self.read_slots(Slot(which.into()), out)
    }

    /// Seals consecutive blocks and writes them to `runs`; one write a run (or MiB). `keep`: gets what was written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], after which any part may have been written; [`Error::Missing`] without a file.
    pub fn write(
        &self,
        kind: u8,
        first: BlockNumber,
        data: &[u8],
        runs: &[Run],
        mut keep: Option<&mut Written>,
    ) -> Result<Vec<Entry>> {
        let mut entries = vec![Entry::HOLE; data.len() / BLOCK];
        let mut nonces = vec![0; entries.len() * size_of::<Nonce>()];
        fill_random(&mut nonces);
        for (entry, nonce) in entries.iter_mut().zip(nonces.as_chunks().0) {
            entry.nonce = *nonce;
        }
        let mut done = 0;
        for run in runs {
            let end = done + usize::from(run.count);
            for (slot, start) in run.slots().step_by(PIECE).zip((done..end).step_by(PIECE)) {
                let piece = start..end.min(start + PIECE);
                let data = &data[piece.start * BLOCK..piece.end * BLOCK];
                let keep = keep.as_deref_mut();
                self.write_piece(kind, first.after(start as u16), data, slot, &mut entries[piece], keep)?;
            }
            done = end;
        }
        Ok(entries)
    }

    fn write_piece(
        &self,
        kind: u8,
        first: BlockNumber,
        data: &[u8],
        slot: Slot,
        entries: &mut [Entry],
        keep: Option<&mut Written>,
    ) -> Result<()> {
        let key = self.key()?;
        with_scratch(data.len(), |scratch| {
            let blocks = scratch.chunks_exact_mut(BLOCK).zip(data.chunks_exact(BLOCK));
            for (i, ((block, plain), entry)) in blocks.zip(entries).enumerate() {
                block.copy_from_slice(plain);
                entry.slot = slot.after(i as u16);
                entry.tag = key.aead.seal(&entry.nonce, &block_data(kind, first.after(i as u16)), block);
            }
            self.file()?
                .write_at(slot.offset(), &[IoSlice::new(scratch)])
                .map_err(|e| Error::Io(self.id, e))?;
            if let Some(keep) = keep {
                let blocks = scratch.as_chunks::<BLOCK>().0.iter().enumerate();
                keep.extend(blocks.map(|(i, block)| (slot.after(i as u16), (*block).into())));
            }
            Ok(())
        })
    }

    /// Copies a block to another slot as it is, and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] if the file ends before it, [`Error::Missing`] without a file, [`Error::Io`].
    pub fn copy(&self, from: Slot, to: Slot) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.read_slots(from, &mut block)?;
        self.file()?.write_at(to.offset(), &[IoSlice::new(&block)]).map_err(|e| Error::Io(self.id, e))?;
        Ok(block)
    }

    /// What is kept of the slots, and else what the file has.
    fn read_slots(&self, slot: Slot, out: &mut [u8]) -> Result<()> {
        let Some(unsynced) = self.unsynced.filter(|unsynced| unsynced.has_bytes()) else {
            return read_slots(self.file()?, self.id, slot, out);
        };
        for (i, block) in out.chunks_exact_mut(BLOCK).enumerate() {
            let slot = slot.after(i as u16);
            match unsynced.get(slot) {
                Some(bytes) => block.copy_from_slice(bytes),
                None => read_slots(self.file()?, self.id, slot, block)?,
            }
        }
        Ok(())
    }

    fn key(&self) -> Result<&Key> {
        self.key.ok_or(Error::Missing(self.id))
    }

    fn file(&self) -> Result<&dyn StoreFile> {
        self.file.ok_or(Error::Missing(self.id))
    }
}

impl Section {
    pub(super) const BOTH: [Section; 2] = [Section::Data, Section::Metadata];

    pub(super) fn kind(self) -> u8 {
        match self {
            Section::Data => 1,
            Section::Metadata => 3,
        }
    }

    pub(super) fn map_kind(self) -> u8 {
        self.kind() + 1
    }
}

fn read_slots(file: &dyn StoreFile, id: ChunkId, slot: Slot, out: &mut [u8]) -> Result<()> {
    let count = file.read_at(slot.offset(), out).map_err(|e| Error::Io(id, e))?;
    if count < out.len() { Err(Error::Incomplete(id)) } else { Ok(()) }
}

fn block_data(kind: u8, number: BlockNumber) -> [u8; 5] {
    let [low, high] = number.0.to_le_bytes();
    [kind, low, high, 0, 0]
}

fn root_data(id: ChunkId, which: u8) -> [u8; 36] {
    let label = b"cryptfs v2 root";
    let mut data = [0; 36];
    data[..4].copy_from_slice(&(label.len() as u32).to_le_bytes());
    data[4..19].copy_from_slice(label);
    data[19..31].copy_from_slice(&id.inode.0);
    data[31..35].copy_from_slice(&id.index.0.to_le_bytes());
    data[35] = which;
    data
}

/// Runs with this thread's buffer, which holds only ciphertext afterwards.
fn with_scratch<T>(length: usize, run: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local!(static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < length {
            scratch.resize(length, 0);
        }
        run(&mut scratch[..length])
    })
}
