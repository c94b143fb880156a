//! Which version of each extra chunk chunk 0 tells of, and what it may leave open (docs/FORMAT.md section 7).
//!
//! At rest chunk 0 is *exact*: its table has the stamp of each extra chunk, and nothing else is accepted, so that nobody
//! can put together a file of two states. While a file is written, its chunk 0 says that extra chunks may be newer, so
//! that an overwrite need not write both.

use super::state::{Facts, State};
use crate::chunk::{Chunk, ChunkIndex, Commit, Relation, Version};
use crate::volume::format::kinds::{Kind, Times};
use crate::volume::format::record::Record;
use crate::volume::format::stamp::{ExtraRecord, Fit, Stamp};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Damage, Error, Result};

pub struct Stamps {
    /// The content changed since its stamp in the record.
    pub content_changed: bool,
    /// The content stamp of a chunk 0 that is durable for certain.
    pub base: Stamp,
    /// A durable chunk 0 says for certain that extra chunks may be newer.
    pub announced: bool,
    /// Chunk 0 was found saying so, and the extra chunks have not been looked at yet.
    pub found_inexact: bool,
    /// They were all here when somebody began to change the content since.
    seen_whole: bool,
    /// The times that a newer extra chunk was found to tell of, until chunk 0 tells of that.
    found_times: Option<Times>,
    /// The change up to which extra chunks tell of all that is new, and the times of that.
    told: u64,
    told_times: Option<Times>,
    /// Stamps that new extra chunks get for content which had them before, until something else of the file is changed.
    given: Vec<(ChunkIndex, Stamp)>,
    /// The last change that counts towards those.
    given_until: u64,
}

impl Stamps {
    pub fn fresh() -> Stamps {
        Stamps {
            content_changed: true,
            base: Stamp::NONE,
            announced: false,
            found_inexact: false,
            seen_whole: false,
            found_times: None,
            told: 0,
            told_times: None,
            given: Vec::new(),
            given_until: 0,
        }
    }

    /// As chunk 0 says.
    pub fn found(record: &Record) -> Stamps {
        Stamps {
            content_changed: false,
            base: record.content,
            announced: false,
            found_inexact: !record.is_exact,
            seen_whole: false,
            found_times: None,
            told: 0,
            told_times: None,
            given: Vec::new(),
            given_until: 0,
        }
    }
}

impl State {
    /// Whether chunk 0 leaves open what an extra chunk is, and it was this mount that had it so.
    pub fn is_inexact(&self) -> bool {
        !self.record.is_exact && !self.stamps.found_inexact
    }

    /// Whether an extra chunk changed that chunk 0 may name, and chunk 0 has not announced that. Of a file that shrank
    /// chunk 0 goes first.
    pub fn wants_announcement(&mut self) -> bool {
        if self.stamps.announced || self.shrunk.is_some() || mutants::is_active(Mutant::NotAnnounced) {
            return false;
        }
        let busy = self.busy_chunks();
        busy.into_iter().any(|index| self.extra_chunks.get(index).is_some_and(Chunk::is_changed))
    }

    /// Has chunk 0 say that extra chunks may be newer, and nothing else of its record that is new: a size or a time goes
    /// with the content that they are of. It has a content stamp of its own from then on, for another device may do the same upon
    /// the same content, and neither one's chunks belong to the other one's chunk 0. False if chunk 0 names no chunk that changed.
    /// Needs chunk 0 to be open, and the table to have what was found newer.
    ///
    /// # Errors
    ///
    /// Those of reading or storing the chunk table.
    pub fn announce(&mut self, stamp: Stamp) -> Result<bool> {
        let mut is_named = false;
        for index in self.busy_chunks() {
            if self.extra_chunks.get(index).is_some_and(Chunk::is_changed) {
                self.load_table(index)?;
                is_named |= self.table.durable(index) != Commit(0);
            }
        }
        if is_named {
            let Facts { record, stamps, table, first_chunk, .. } = &mut self.0;
            let first_chunk = first_chunk.as_mut().expect("it is open");
            if std::mem::take(&mut stamps.found_inexact) {
                table.store(first_chunk)?;
            }
            record.is_exact = false;
            if !mutants::is_active(Mutant::AnnouncedUnstamped) {
                record.content = stamp;
            }
            let record =
                Record::inexact(first_chunk.record().to_vec(), record.content, stamps.found_times.take());
            first_chunk.set_record(record);
        }
        Ok(is_named)
    }

    /// Commits an extra chunk, under `stamp` if its content changed, and has the chunk table name that. Needs its page
    /// of the chunk table to be loaded.
    ///
    /// # Errors
    ///
    /// Those of the commit.
    pub fn commit_stamped(&mut self, index: ChunkIndex, stamp: Stamp) -> Result<()> {
        let stamp = self.given_to(index).unwrap_or(stamp);
        let Facts { extra_chunks, table, stamps, has_new_chunks, record, progress, .. } = &mut self.0;
        let chunk = extra_chunks.get_mut(index).expect("the caller looked at it");
        if chunk.is_changed() || chunk.record().is_empty() {
            let follows = match mutants::is_active(Mutant::FollowsNothingDurable) {
                true => table.stamp(index).unwrap_or_default(),
                false => table.durable(index),
            };
            // Of what chunk 0 has to tell, a size for one, it tells with its time.
            if record.kind == Kind::File && progress.is_beyond_first_chunk() {
                stamps.told = progress.made;
                stamps.told_times = Some([record.modified, record.changed]);
            }
            let times = match mutants::is_active(Mutant::ToldTimesForgotten) {
                true => stamps.told_times.filter(|_| stamps.told == progress.made),
                false => stamps.told_times,
            };
            chunk.set_record(ExtraRecord { stamp, follows, base: stamps.base, times }.encode());
        }
        chunk.commit()?;
        let stamp = stamp_of(chunk)?;
        *has_new_chunks |= table.stamp(index).is_none();
        if table.stamp(index) != Some(stamp) {
            table.set(index, stamp);
        }
        Ok(())
    }

    /// All of a new extra chunk's content was just written, and is that of a chunk of another file with this stamp, if it has one.
    /// `before`: the change before that.
    pub fn give_stamp(&mut self, before: u64, given: Option<(ChunkIndex, Stamp)>) {
        let Facts { stamps, progress, .. } = &mut self.0;
        if stamps.given_until != before {
            stamps.given.clear();
        }
        stamps.given.extend(given);
        stamps.given_until = progress.made;
    }

    /// Not once a chunk table has named the chunk: a smaller number would be taken for an older content of it.
    fn given_to(&self, index: ChunkIndex) -> Option<Stamp> {
        let Facts { stamps, progress, table, .. } = &self.0;
        let is_given = stamps.given_until == progress.made && table.stamp(index).is_none();
        let given = stamps.given.iter().find(|(of, _)| is_given && *of == index);
        given.map(|(_, stamp)| *stamp).filter(|_| !mutants::is_active(Mutant::SavedAnew))
    }

    /// The stamp of an extra chunk's content, if that is open and as it was committed.
    pub fn stamp_of_committed(&self, index: ChunkIndex) -> Option<Stamp> {
        let chunk = self.extra_chunks.get(index).filter(|chunk| !chunk.is_changed())?;
        ExtraRecord::decode(chunk.record()).ok().map(|record| record.stamp)
    }

    /// An extra chunk was found newer than the chunk table says, and belongs to the file.
    pub fn found_newer(&mut self, index: ChunkIndex, stamp: Commit) {
        self.0.table.set(index, stamp);
    }

    /// Whether somebody who changes content has to see first that all extra chunks are here.
    pub fn wants_whole(&self) -> bool {
        self.stamps.found_inexact && !self.stamps.seen_whole
    }

    /// All extra chunks that chunk 0 names are here, whichever they are.
    pub fn saw_whole(&mut self) {
        self.0.stamps.seen_whole = true;
    }

    /// Whether extra chunks tell of all changes up to `made` of which no durable chunk 0 does.
    pub fn is_told_by_chunks(&self, made: u64) -> bool {
        self.stamps.told >= made && self.progress.is_beyond_first_chunk()
    }

    /// Some extra chunks were found newer than the chunk table says, and tell of times.
    pub fn take_times(&mut self, newest: NewestTimes) {
        let Facts { record, stamps, .. } = &mut self.0;
        if newest.apply(record) {
            stamps.found_times = Some([record.modified, record.changed]);
        }
    }

    /// The number of an extra chunk's stamp, if it is open.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if its record makes no sense.
    pub fn stamp_of_open(&self, index: ChunkIndex) -> Option<Result<Commit>> {
        self.extra_chunks.get(index).map(stamp_of)
    }

    /// Whether chunk 0's content stamp no longer says what it holds.
    pub fn wants_content_stamp(&self) -> bool {
        self.stamps.content_changed || self.stamps.found_inexact || !self.table.is_stored()
    }

    /// Gives the content a stamp. From now on the chunk table names each extra chunk as it is.
    pub fn stamp_content(&mut self, stamp: Stamp) {
        let Facts { record, stamps, .. } = &mut self.0;
        record.content = stamp;
        (stamps.content_changed, stamps.found_inexact, stamps.found_times) = (false, false, None);
    }

    /// Whether the next root of chunk 0 may say that it is exact: it may at rest, and what is trimmed behind it gets a
    /// newer stamp.
    pub fn choose_exactness(&mut self, at_rest: bool) {
        let is_trimmed_behind = self.shrunk.is_some() && !self.extra_chunks.is_empty();
        let Facts { record, stamps, .. } = &mut self.0;
        record.is_exact = (record.is_exact || at_rest) && !is_trimmed_behind && !stamps.found_inexact;
        stamps.announced &= !record.is_exact;
    }

    /// Chunk 0's newest root is durable.
    pub(super) fn stamps_durable(&mut self) {
        let Facts { record, stamps, table, .. } = &mut self.0;
        stamps.base = record.content;
        stamps.announced = !record.is_exact && !stamps.found_inexact;
        stamps.told_times = None;
        table.stored_is_durable();
    }
}

/// The times of the newest that has some, of those extra chunks that are newer than chunk 0 says (docs/FORMAT.md section 7, Times).
#[derive(Default)]
pub struct NewestTimes {
    stamp: Commit,
    times: Option<Times>,
}

impl NewestTimes {
    /// A chunk that belongs to what chunk 0 says; `named`: the chunk table's entry.
    pub fn see(&mut self, chunk: &Chunk, named: Commit) {
        let Ok(ExtraRecord { stamp, times, .. }) = ExtraRecord::decode(chunk.record()) else { return };
        if stamp.commit > named.max(self.stamp) && times.is_some() {
            (self.stamp, self.times) = (stamp.commit, times);
        }
    }

    /// Puts them into chunk 0's record. Whether there are any.
    pub fn apply(&self, record: &mut Record) -> bool {
        let Some([modified, changed]) = self.times.filter(|_| !mutants::is_active(Mutant::ChunkTimesIgnored))
        else {
            return false;
        };
        record.modified = modified;
        record.changed = record.changed.max(changed);
        true
    }
}

/// Of a batch's record with content under `commit`: how it stands to a chunk 0 of version `found`.
pub fn relation(record: &Record, commit: Commit, found: &Version) -> Relation {
    match record.extension.version.is_empty() {
        true if found.commit() < commit => Relation::Newer,
        true => Relation::Older,
        false => Version(record.extension.version.clone()).compare(found),
    }
}

/// Refuses an extra chunk that does not belong to what chunk 0 says: `named` is the chunk table's entry, `record` chunk
/// 0's. Returns the number of its stamp.
///
/// # Errors
///
/// [`Error::Damaged`] if it is older, or its record makes no sense; [`Error::NotArrived`] if it belongs to another state
/// of the file.
pub fn check_fit(chunk: &Chunk, named: Commit, record: &Record) -> Result<Commit> {
    let id = chunk.id();
    let extra = ExtraRecord::decode(chunk.record()).map_err(|what| Error::Damaged(id, what.0.into()))?;
    let found = extra.stamp.commit;
    let base = if mutants::is_active(Mutant::LaterBaseIgnored) { record.content } else { extra.base };
    match (ExtraRecord { base, ..extra }).fit(named, record.content, record.is_exact) {
        _ if mutants::is_active(Mutant::StampIgnored) => {}
        Fit::Exact | Fit::Newer => {}
        Fit::Older => return Err(Error::Damaged(id, Damage::RolledBack { found, known: named })),
        Fit::Foreign => return Err(Error::NotArrived(id)),
    }
    Ok(found)
}

fn stamp_of(chunk: &Chunk) -> Result<Commit> {
    let record = ExtraRecord::decode(chunk.record());
    Ok(record.map_err(|what| Error::Damaged(chunk.id(), what.0.into()))?.stamp.commit)
}
