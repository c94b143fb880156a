//! Finding a chunk again (docs/FORMAT.md section 6.4).

use super::blocks::{Blocks, Key};
use super::chunk::{Chunk, State, Written};
use super::commit::is_bare;
use super::entry::{Entry, number_at};
use super::mutants::{self, Mutant};
use super::root::{Decoded, METADATA};
use super::table::Table;
use super::vector::{self, Others};
use super::{BLOCK, BlockCount, ChunkId, Context, Error, Hold, Relation, Result, Section, Version};
use crate::store::StoreFile;
use std::io;
use std::sync::Arc;

/// A root that authenticated, with the key that it stands under.
struct Candidate {
    which: u8,
    root: Decoded,
    key: Key,
    data: Table,
    metadata: Table,
    /// What its version holds that the root does not list.
    others: Others,
    /// That cannot be read: its version is known in part only.
    unread: Option<Error>,
}

impl Chunk {
    /// Opens a chunk, and holds it against what is remembered of it. `blocks`: data blocks it may have.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if there is no such file, [`Error::Deleted`] if a version of it is known, [`Error::Damaged`] if
    /// it is no regular file; otherwise as [`Chunk::open_file`].
    pub fn open(context: &Arc<Context>, id: ChunkId, blocks: BlockCount) -> Result<Chunk> {
        let known = context.recall.known(id);
        let mut chunk = Chunk::open_known(context, id, blocks, known.as_ref())?;
        let device = context.device;
        chunk.lacks_own = known.as_ref().is_some_and(|known| known.of(device) > chunk.version.of(device));
        // As long as own work is missing, that is what is remembered.
        if known.as_ref() != Some(&chunk.version) && !chunk.lacks_own {
            chunk.note_found();
        }
        Ok(chunk)
    }

    /// The same. `known`: a version known to have been durable.
    pub(super) fn open_known(
        context: &Arc<Context>,
        id: ChunkId,
        blocks: BlockCount,
        known: Option<&Version>,
    ) -> Result<Chunk> {
        let file = context.store.open(context.file_name(id)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound
                if context.has_placeholder(id) && !mutants::is_active(Mutant::PlaceholderIsGone) =>
            {
                Error::Incomplete(id)
            }
            io::ErrorKind::NotFound if known.is_some() => Error::Deleted(id),
            io::ErrorKind::NotFound => Error::Missing(id),
            io::ErrorKind::InvalidData => Error::Damaged(id, "it is not a regular file"),
            _ => Error::Io(id, error),
        })?;
        Chunk::open_file(context, id, blocks, file, known)
    }

    /// Opens a chunk in a file that may lie anywhere, such as a sync client's conflict copy: the roots say which chunk it
    /// is, not the name. `known`: a version known to have been durable. A commit of it goes to the canonical name only if
    /// that still names this file.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] if the file ends too early, or has no root yet; [`Error::Damaged`] if none of its roots can be used, or
    /// one makes no sense; [`Error::RolledBack`] if what is found is older than `known`; [`Error::Io`].
    pub fn open_file(
        context: &Arc<Context>,
        id: ChunkId,
        blocks: BlockCount,
        file: Arc<dyn StoreFile>,
        known: Option<&Version>,
    ) -> Result<Chunk> {
        let (mut newest, other) = read_roots(context, id, blocks, &*file, known.is_some())?;
        let unread = newest.unread.take();
        if unread.is_none() {
            newest.hold_against(known, id)?;
        }
        // That the writer's own entry is included is enough: what is read of a version will do.
        let is_known = known.is_some_and(|known| known.dominates(&newest.root.version));
        let is_known = is_known && !mutants::is_active(Mutant::FallBackFromKnown);
        let is_sure = newest.root.settled && !mutants::is_active(Mutant::FallBackFromSettled) || is_known;
        let checked = match unread {
            Some(error) => Err(error),
            None if is_sure => Ok(()),
            None => newest.check(id, &*file, other.as_ref()),
        };
        let (root, rejected) = match (checked, other) {
            (Ok(()), _) => (newest, None),
            (Err(Error::Io(id, error)), other)
                if other.is_none() || !mutants::is_active(Mutant::FallBackOnReadError) =>
            {
                return Err(Error::Io(id, error));
            }
            (Err(error), Some(mut other)) if !is_sure && !mutants::is_active(Mutant::NoFallback) => {
                if let Some(unread) = other.unread.take() {
                    return Err(unread);
                }
                let (given_up, taken) = (newest.root.version.commit(), other.root.version.commit());
                other.hold_against(known, id)?;
                log::warn!("commit {} was not completed, {} is taken: {error}", given_up.0, taken.0);
                (other.with_seals_of(&newest), Some(given_up))
            }
            (Err(error), _) => return Err(error),
        };
        let is_sure = rejected.is_none() && is_sure || root.root.settled;
        root.show(context);
        let mut chunk = root.into_chunk(context, id, file, is_sure);
        chunk.rejected = rejected;
        Ok(chunk)
    }

    /// Of a chunk that cannot be read: whether a crash may have left its file so before any root was durable. Until one
    /// is, all of them go to slot 0; so where slot 1 holds anything, there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened or read; that there is none is no error.
    pub fn was_never_durable(context: &Context, id: ChunkId) -> Result<bool> {
        let file = match context.store.open(context.file_name(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(!context.has_placeholder(id) || mutants::is_active(Mutant::PlaceholderIsNothing));
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
            Err(error) => return Err(Error::Io(id, error)),
        };
        let mut second = [0; BLOCK];
        file.read_at(BLOCK as u64, &mut second).map_err(|error| Error::Io(id, error))?;
        Ok(second == [0; BLOCK])
    }
}

/// The newer root, and the other one if there is one. `is_known`: one is known to have been durable.
fn read_roots(
    context: &Context,
    id: ChunkId,
    blocks: BlockCount,
    file: &dyn StoreFile,
    is_known: bool,
) -> Result<(Candidate, Option<Candidate>)> {
    let mut bytes = [0; 2 * BLOCK];
    let length = file.read_at(0, &mut bytes).map_err(|error| Error::Io(id, error))?;
    let whole = bytes.as_chunks::<BLOCK>().0.iter().take(length / BLOCK);
    let mut found = Vec::new();
    for (which, block) in (0..).zip(whole) {
        let read = Candidate::read(context, id, blocks, file, (which, block), found.first())?;
        found.extend(read);
    }
    if !mutants::is_active(Mutant::ReuseRejectedNumber) {
        found.iter().for_each(|candidate| candidate.show(context));
    }
    found.sort_by_key(|candidate| (candidate.root.version.commit(), candidate.root.settled));
    if mutants::is_active(Mutant::TakeOlderRoot) {
        found.reverse();
    }
    match found.pop() {
        Some(newest) => Ok((newest, found.pop())),
        None if length < bytes.len() => Err(Error::Incomplete(id)),
        // Its blocks were written, and a client may have taken it before its first root was.
        None if bytes == [0; 2 * BLOCK] && !is_known && !mutants::is_active(Mutant::UnwrittenIsDamage) => {
            Err(Error::Incomplete(id))
        }
        None => Err(Error::Damaged(id, "neither of its roots authenticates")),
    }
}

impl Candidate {
    /// The root, if it authenticates under some epoch. The other one, if it was found, most often has the same key.
    fn read(
        context: &Context,
        id: ChunkId,
        blocks: BlockCount,
        file: &dyn StoreFile,
        (which, block): (u8, &[u8; BLOCK]),
        other: Option<&Candidate>,
    ) -> Result<Option<Candidate>> {
        let salt = block[..16].try_into().expect("a salt's size");
        let shared = other.map(|other| &other.key).filter(|key| key.salt == salt).cloned();
        let keys = (0..context.content.len()).map(|epoch| Key::new(context, id, epoch, salt));
        for key in shared.into_iter().chain(keys) {
            let Some(plain) = key.open_root(id, which, block) else { continue };
            let mut root = Decoded::decode(&plain, blocks).map_err(|what| Error::Damaged(id, what))?;
            let data = Table::from_root(Section::Data, blocks, &root.data);
            let metadata = Table::from_root(Section::Metadata, METADATA, &root.metadata);
            let blocks = Blocks { id, file: Some(file), key: Some(&key), unsynced: None };
            let read = if root.more_devices && !mutants::is_active(Mutant::OthersIgnored) {
                read_others(&metadata, &blocks)
            } else {
                Ok(Others::default())
            };
            let (others, unread) =
                read.map_or_else(|e| (Others::default(), Some(e)), |others| (others, None));
            root.version = others.join(root.version);
            return Ok(Some(Candidate { which, root, key, data, metadata, others, unread }));
        }
        Ok(None)
    }

    /// Authenticates every block in which this root differs from the other one.
    fn check(&self, id: ChunkId, file: &dyn StoreFile, other: Option<&Candidate>) -> Result<()> {
        if mutants::is_active(Mutant::NoBlockCheck) {
            return Ok(());
        }
        let other =
            other.filter(|other| other.key.salt == self.key.salt && other.key.epoch == self.key.epoch);
        let blocks = Blocks { id, file: Some(file), key: Some(&self.key), unsynced: None };
        check_table(&self.data, other.map(|other| &other.data), &blocks)?;
        check_table(&self.metadata, other.map(|other| &other.metadata), &blocks)
    }

    /// Refuses a root that is older than what is known to have been durable. One that is neither older nor newer comes
    /// from another device, and is no attack.
    fn hold_against(&self, known: Option<&Version>, id: ChunkId) -> Result<()> {
        let Some(known) = known.filter(|_| !mutants::is_active(Mutant::RollbackTaken)) else { return Ok(()) };
        let found = &self.root.version;
        match found.compare(known) {
            Relation::Older => {
                return Err(Error::RolledBack { id, found: found.commit(), known: known.commit() });
            }
            Relation::Concurrent => {
                log::info!("{id:?} was changed on two devices; commit {} is taken", found.commit().0);
            }
            Relation::Equal | Relation::Newer => {}
        }
        Ok(())
    }

    /// Takes note of its commit numbers: they name something.
    fn show(&self, context: &Context) {
        self.root.version.0.iter().for_each(|entry| context.saw(entry.1));
    }

    /// Seals of a root that was given up count too.
    fn with_seals_of(mut self, other: &Candidate) -> Candidate {
        if other.key.salt == self.key.salt {
            self.root.seals = self.root.seals.max(other.root.seals);
        }
        self
    }

    fn into_chunk(
        self,
        context: &Arc<Context>,
        id: ChunkId,
        file: Arc<dyn StoreFile>,
        is_sure: bool,
    ) -> Chunk {
        let root = self.root;
        let bare = is_bare(&self.data, &root.inline);
        let written =
            Written { which: self.which, commit: root.version.commit(), settled: root.settled, bare };
        Chunk {
            context: context.clone(),
            id,
            file: Some(file),
            key: Some(self.key),
            seals: root.seals,
            data: self.data,
            metadata: self.metadata,
            slots: None,
            record: root.record,
            inline: root.inline,
            attempted: written.commit,
            version: root.version,
            others: self.others,
            included: Version::default(),
            newest: Some(written),
            durable: is_sure.then_some(written),
            state: State { name_new: !is_sure, ..State::default() },
            unsynced: context.unsynced(),
            hold: Hold::default(),
            rejected: None,
            lacks_own: false,
        }
    }
}

/// What metadata block 4160 says of the version.
fn read_others(metadata: &Table, blocks: &Blocks) -> Result<Others> {
    let entry = metadata.get(vector::NUMBER, blocks)?;
    if entry.is_hole() {
        return Err(Error::Damaged(blocks.id, "its root names no block of its version vector"));
    }
    let mut block = [0; BLOCK];
    blocks.read(Section::Metadata, vector::NUMBER, &mut block, |_| Ok(entry))?;
    Others::decode(&block).map_err(|what| Error::Damaged(blocks.id, what))
}

fn check_table(table: &Table, other: Option<&Table>, blocks: &Blocks) -> Result<()> {
    for (k, group) in table.groups().iter().enumerate() {
        let former = other.and_then(|other| other.groups().get(k));
        let authenticate = |(i, entry): (usize, Entry)| {
            let number = number_at(k, i);
            blocks.read(table.section, number, &mut [0; BLOCK], |_| Ok::<Entry, Error>(entry))
        };
        if let Some(mut told) = former.and_then(|former| group.told_since(former)) {
            if !mutants::is_active(Mutant::NoCheckBesideMaps) || group.stored.is_hole() {
                told.try_for_each(authenticate)?;
            }
            continue;
        }
        if !group.stored.is_hole() && mutants::is_active(Mutant::NoMapCheck) {
            continue;
        }
        let Some(entries) = table.entries(k, blocks)? else { continue };
        let former = match other.map(|other| other.entries(k, blocks)) {
            Some(Err(Error::Io(id, error))) => return Err(Error::Io(id, error)),
            Some(Ok(former)) => former,
            // The other root's map block may have been reused since: then every block of ours is checked.
            Some(Err(_)) | None => None,
        };
        let same = |i: usize, entry: &Entry| former.is_some_and(|former| former.list()[i] == *entry);
        let differ = |(i, entry): &(usize, Entry)| !entry.is_hole() && !same(*i, entry);
        entries.list().iter().copied().enumerate().filter(differ).try_for_each(authenticate)?;
    }
    Ok(())
}
