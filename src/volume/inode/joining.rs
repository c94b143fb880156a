//! How a directory in memory takes another state of it: one that a sync client put in the place of its file, or beside it.

use super::directory::{Directory, Joined};
use super::extra_chunks::ExtraChunks;
use super::stamps::Stamps;
use super::state::{Facts, Standing, State};
use super::table::ChunkTable;
use crate::chunk::{Chunk, ChunkIndex, Commit, DeviceId, Tombstone, Version};
use crate::volume::format::directory_log::{Author, LogRecord, records};
use crate::volume::format::kinds::Kind;
use crate::volume::format::link::{Link, was_given_later};
use crate::volume::format::record::Record;
use crate::volume::format::stamp::Stamp;
use crate::volume::format::wire::Malformed;
use crate::volume::mutants::{self, Mutant};

/// Where the other state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the place of the directory's own file.
    InPlace,
    /// In a file of its own.
    Beside,
}

/// Where the part of a device id begins that all have under which one device adds entries.
const FAMILY: usize = 3;

/// Whether one device adds entries under both.
pub fn is_same_family(one: DeviceId, other: DeviceId) -> bool {
    one.0[FAMILY..] == other.0[FAMILY..]
}

/// Another device id of the same family.
pub fn begin_anew(Author { mut device, now }: Author) -> DeviceId {
    device.0[..FAMILY].copy_from_slice(&now.0.to_be_bytes()[8 - FAMILY..]);
    device
}

impl State {
    /// Applies a log of a batch of this device to a directory in which earlier entries of its author are missing, under
    /// another id. `author`: with the number of the batch, so that whoever does it again does the same; `before`: its newest counter
    /// before it. `None`: this is no directory.
    ///
    /// # Errors
    ///
    /// [`Malformed`] as of [`Directory::log_anew`] and [`State::replay_entries`].
    pub fn replay_anew(
        &mut self,
        log: &[u8],
        devices: &[DeviceId],
        author: Author,
        before: u64,
    ) -> Option<Result<(), Malformed>> {
        let entries = self.0.entries.as_mut()?;
        let by = *entries.author.get_or_insert_with(|| begin_anew(author));
        let own = records(log).filter_map(|record| match record {
            Ok(LogRecord::Add { dot, .. })
                if devices.get(usize::from(dot.device)) == Some(&author.device) =>
            {
                Some(dot.counter)
            }
            _ => None,
        });
        if let Some(last) = own.max().filter(|_| !mutants::is_active(Mutant::RenewedUncovered)) {
            entries.note_renewed(author.device, before, last);
        }
        match entries.directory.log_anew(by, author.device, (log, devices)) {
            Ok((log, devices)) => self.replay_entries(&log, &devices),
            Err(what) => Some(Err(what)),
        }
    }

    /// Under which device id this device adds entries here. Its vector must not cover entries that it made and that are not
    /// here: they would count as removed. So where something of its own is missing it begins anew under another id, which has the
    /// last five bytes of its own: two devices of 255 share those once in thirty million volumes.
    pub(super) fn author_here(&mut self, author: Author) -> Author {
        let lacks_own = self.lacks_own && !mutants::is_active(Mutant::OwnWorkCovered);
        let Some(entries) = self.0.entries.as_mut() else { return author };
        let latest = || {
            let vector = entries.directory.vector().iter();
            let own = vector.filter(|(device, _)| device.0[FAMILY..] == author.device.0[FAMILY..]);
            own.max_by_key(|(_, counter)| *counter).map_or(author.device, |(device, _)| *device)
        };
        let device = entries.author.unwrap_or_else(|| if lacks_own { begin_anew(author) } else { latest() });
        let author = Author { device, ..author };
        let is_new = entries.author.replace(device).is_none();
        if is_new && lacks_own && !mutants::is_active(Mutant::AnewForgotten) {
            // Names may only be taken away now, and what is committed then lacks nothing any more: the vector keeps the id.
            entries.directory.take_part(author);
        }
        author
    }

    /// Has all entries stored again, with the id under which this device adds more in the vector, unless it has changed any.
    pub fn go_on_anew(&mut self, author: Author) {
        if self.entries.as_ref().is_some_and(|entries| entries.author.is_none() && entries.is_at_rest()) {
            self.author_here(author);
            self.begin_rebuild();
        }
    }

    /// What is known of this inode, to be remembered when it is deleted. `known`: of a chunk 0 that is not loaded.
    pub fn tombstone(&self, known: Option<Version>) -> Tombstone {
        let vector = self.entries.iter().flat_map(|entries| entries.directory.vector());
        // Of what only another device's journal tells the content alone is known.
        let Stamp { device, commit } = self.record.content;
        let version = match self.version().0.is_empty() {
            true => known.unwrap_or_else(|| Version(vec![(device, commit)])),
            false => self.version().clone(),
        };
        Tombstone { version, entries: vector.map(|&(device, counter)| (device, Commit(counter))).collect() }
    }

    /// Takes away the entries that were known when this directory was deleted. Only while its entries are at rest, as a join.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if no entries are loaded; as [`Directory::join`].
    pub fn bury_known(&mut self, tombstone: &Tombstone) -> Result<Joined, Malformed> {
        self.note_shown();
        let entries = self.0.entries.as_mut().ok_or(Malformed("no directory"))?;
        let vector = tombstone.entries.iter().map(|&(device, counter)| (device, counter.0)).collect();
        let joined = entries.directory.join(&Directory::new(vector))?;
        if !joined.changed() {
            return Ok(joined);
        }
        self.0.record.links_count = 2 + entries.directory.directories() as u32;
        self.0.journalled.links_count = self.0.record.links_count;
        self.begin_rebuild();
        self.change();
        Ok(joined)
    }

    /// Whether every change of the entries is durable in a batch or in chunk 0, and none is on its way.
    pub fn has_entries_at_rest(&self) -> bool {
        self.entries.as_ref().is_some_and(|entries| entries.is_at_rest())
    }

    /// Joins another state of this directory, of which all is loaded, and has the whole stored anew. Only while it is
    /// at rest: chunk 0 must not say more than durable batches do. `known`: what this device had made durable.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if no entries are loaded; as [`Directory::join`].
    pub fn join_directory(
        &mut self,
        other: State,
        origin: Origin,
        known: Option<&Version>,
    ) -> Result<Joined, Malformed> {
        self.note_shown();
        let Facts { entries, record, .. } = &mut self.0;
        let entries = entries.as_mut().ok_or(Malformed("no directory"))?;
        let mut joined = match mutants::is_active(Mutant::JoinTakesOne) {
            true => Joined::default(),
            false => entries.directory.join(other.directory())?,
        };
        joined.grew |= entries.cover_renewed();
        joined.grew |= take_attributes(record, &other.record);
        joined.grew |= take_unknown(record, &other.record);
        let is_later = other.record.namespace > record.namespace;
        let (ours, others) = (&record.extension.links, &other.record.extension.links);
        let by_dots = was_given_later(ours, others).filter(|_| !mutants::is_active(Mutant::FormerNameTaken));
        let is_renamed = ours != others && by_dots.unwrap_or(is_later);
        joined.grew |= is_renamed && !mutants::is_active(Mutant::FormerNameTaken);
        let is_changed = joined.changed();
        // What was missing is here again.
        self.0.lacks_own &= !other.first_chunk.as_deref().zip(known).is_some_and(|(chunk, known)| {
            let device = chunk.device();
            chunk.version().of(device) >= known.of(device)
        });
        let Facts { entries, record, journalled, .. } = &mut self.0;
        let entries = entries.as_mut().ok_or(Malformed("no directory"))?;
        if is_later {
            record.namespace = other.record.namespace;
            journalled.namespace = record.namespace;
        }
        if is_renamed {
            record.extension.links.clone_from(&other.record.extension.links);
            journalled.links.clone_from(&record.extension.links);
        }
        record.modified = record.modified.max(other.record.modified);
        record.changed = record.changed.max(other.record.changed);
        record.links_count = 2 + entries.directory.directories() as u32;
        journalled.links_count = record.links_count;
        match origin {
            Origin::InPlace => self.take_place(other, known),
            Origin::Beside if !is_changed => return Ok(joined),
            Origin::Beside => {
                let version = other.first_chunk.as_deref().map(Chunk::version).cloned().unwrap_or_default();
                self.first_chunk_mut().include(&version);
            }
        }
        self.begin_rebuild();
        self.change();
        Ok(joined)
    }

    /// Goes on with the file that took the place of chunk 0's while that was closed: no content was changed here. Names and
    /// attributes that were, and are not stored, stay. Of a directory no entry is loaded. Returns what else [`State::names_beside`]
    /// tells.
    pub fn take_found(&mut self, found: State) -> Vec<Link> {
        self.go_on_with(found, !self.is_forgettable())
    }

    /// Names that the other one of two versions of a file may have, of which `found` takes the place: `keeps_own` tells whose stay.
    pub fn names_beside(&self, found: &State, keeps_own: bool) -> Vec<Link> {
        let (ours, others) = (&self.record, &found.record);
        let device = found.first_chunk.as_deref().map(Chunk::device);
        let is_known = match keeps_own {
            true => others.namespace == self.stored,
            false => {
                let is_told = |device| found.version().of(device) >= ours.namespace;
                device.is_some_and(is_told) || knows_names(found.version(), self.version(), ours.namespace)
            }
        };
        if is_known || ours.kind == Kind::Directory || ours.extension.links == others.extension.links {
            return Vec::new();
        }
        if keeps_own { others.extension.links.clone() } else { ours.extension.links.clone() }
    }

    fn go_on_with(&mut self, found: State, keeps_own: bool) -> Vec<Link> {
        let beside = self.names_beside(&found, keeps_own);
        self.note_shown();
        if !keeps_own {
            self.replace(found);
        } else {
            let State(Facts { first_chunk, table, record: other, .. }) = found;
            take_attributes(&mut self.0.record, &other);
            let record = &mut self.0.record;
            (record.size, record.allocated) = (other.size, other.allocated);
            (record.content, record.is_exact) = (other.content, other.is_exact);
            record.modified = other.modified;
            record.changed = record.changed.max(other.changed);
            record.extension.vector = other.extension.vector;
            record.extension.target = other.extension.target;
            record.extension.unknown = other.extension.unknown;
            if record.kind == Kind::Directory {
                record.links_count = other.links_count;
            }
            self.0.stamps = Stamps::found(&self.0.record);
            (self.0.first_chunk, self.0.table) = (first_chunk, table);
            self.0.doomed.clear();
        }
        beside
    }

    /// The same, whether or not chunk 0 is open and content was changed here. That content, as far as it is not stored: open as
    /// it is, under `stamp`.
    pub fn give_way(&mut self, found: State, stamp: Stamp) -> (Option<State>, Vec<Link>) {
        self.note_shown();
        let has_content = self.has_unstored_content();
        // Not what chunk 0 has: its last commit went into the file that was replaced.
        let is_durable = |made: u64| made <= self.progress.durable;
        let names_wait = self.standing != Standing::Durable
            || self.journalled.namespace > found.record.namespace && !is_durable(self.progress.made);
        let keeps_own = names_wait || !is_durable(self.progress.attributes);
        let mut record = self.record.clone();
        (record.content, record.is_exact) = (stamp, true);
        let table = std::mem::replace(&mut self.0.table, ChunkTable::empty());
        let mut own = State::known(record, Version::default(), table, None);
        own.0.first_chunk = self.0.first_chunk.take();
        own.0.extra_chunks = std::mem::take(&mut self.0.extra_chunks);
        (self.0.shrunk, self.0.tail_clean, self.0.is_pinned) = (None, false, false);
        self.0.progress.carried = 0;
        let beside = self.go_on_with(found, keeps_own);
        if keeps_own {
            self.change();
        }
        (has_content.then_some(own), beside)
    }

    /// This device's stored version of a file without further chunks, as it is open, where what took its place lacks its content.
    pub fn open_version(&mut self, device: DeviceId, found: &State) -> Option<State> {
        let content = self.record.content;
        let is_lost = content.device == device && found.version().of(device) < content.commit;
        let is_small =
            self.record.kind == Kind::File && self.table.is_empty() && self.extra_chunks.is_empty();
        let is_open = self.first_chunk.as_deref().is_some_and(Chunk::has_file);
        (is_lost && is_small && is_open && self.record.is_exact).then(|| {
            self.note_shown();
            let mut own = State::known(self.record.clone(), Version::default(), ChunkTable::empty(), None);
            own.0.first_chunk = self.0.first_chunk.take();
            own
        })
    }

    /// Whether this device wrote content that is not durable in chunk files.
    pub fn has_unstored_content(&self) -> bool {
        let is_stored = !self.stamps.content_changed && self.record.content == self.stamps.base;
        let is_written = !is_stored || self.is_inexact() || self.progress.carried > 0;
        self.record.kind == Kind::File && is_written && !self.is_only_learnt()
    }

    /// Whether content or attributes were changed and are in no durable chunk 0.
    pub fn has_unstored(&self) -> bool {
        self.has_unstored_content() || self.progress.attributes > self.progress.durable
    }

    /// Goes on with the file that took the place of this one's.
    fn take_place(&mut self, other: State, known: Option<&Version>) {
        let ours = self.first_chunk.as_deref().map(Chunk::version).cloned();
        let named = if self.first_chunk.is_some() {
            self.named_chunks(ChunkIndex::FIRST_EXTRA).unwrap_or_default()
        } else {
            Vec::new()
        };
        // Nothing of it can be acknowledged any more.
        self.chunks_mut().for_each(|chunk| drop(chunk.sync_rest()));
        let State(Facts { first_chunk, table, record, .. }) = other;
        self.0.first_chunk = first_chunk;
        self.0.table = table;
        self.0.extra_chunks = ExtraChunks::default();
        self.0.stamps = Stamps::found(&record);
        self.0.record.size = record.size;
        self.0.doomed.extend(named);
        ours.iter().chain(known).for_each(|version| self.first_chunk_mut().include(version));
    }
}

/// Whether `known` includes the batch of this number in which the names of another version were last set. Which device's that was
/// is not written down: one that has a commit behind it. A number is larger than all that its device had seen, so a device
/// that only came by later has none of before.
pub fn knows_names(known: &Version, version: &Version, batch: Commit) -> bool {
    let is_told = batch != Commit(0) && !mutants::is_active(Mutant::NamesUnited);
    is_told && version.0.iter().any(|&(device, commit)| commit >= batch && known.of(device) >= batch)
}

/// Items of kinds that newer programs know, of which the record has none. Whether there were any.
fn take_unknown(record: &mut Record, other: &Record) -> bool {
    let unknown = &mut record.extension.unknown;
    let known = unknown.len();
    let more = other
        .extension
        .unknown
        .iter()
        .filter(|(kind, _)| unknown[..known].iter().all(|(ours, _)| ours != kind));
    let more: Vec<_> = more.cloned().collect();
    unknown.extend(more);
    unknown.len() > known
}

/// Takes mode, owner and xattrs of another state if they were changed later; whether it did.
fn take_attributes(record: &mut Record, other: &Record) -> bool {
    let rank = |record: &Record| record.extension.attributes.map(|Stamp { device, commit }| (commit, device));
    if rank(other) <= rank(record) {
        return false;
    }
    (record.mode, record.uid, record.gid) = (other.mode, other.uid, other.gid);
    record.extension.xattrs.clone_from(&other.extension.xattrs);
    record.extension.attributes = other.extension.attributes;
    true
}
