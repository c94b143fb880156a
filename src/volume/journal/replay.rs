//! Replaying journals at mount: what durable batches say is applied in memory, and the next checkpoint stores it.
//!
//! Idempotent: records are absolute, and applied only where they are newer. Of another device's journal nothing is
//! deleted, and it is never written. What it says is stored with the next own change of the same inode, not by itself:
//! a device that only looks writes nothing.

use crate::chunk::{Chunk, ChunkId, ChunkIndex, Commit, DeviceId, InodeId, Relation, Version};
use crate::volume::base::{Aside, Base};
use crate::volume::cache::Cache;
use crate::volume::catalog::{Catalog, Leftovers};
use crate::volume::findings::Place;
use crate::volume::format::batch::{Item, parse};
use crate::volume::format::directory_log::Author;
use crate::volume::format::kinds::Kind;
use crate::volume::format::record::{Link, Record};
use crate::volume::format::stamp::Stamp;
use crate::volume::inode::directory::author_of;
use crate::volume::inode::stamps::relation;
use crate::volume::inode::state::{Inode, State};
use crate::volume::journal::ended::Ended;
use crate::volume::journal::file::{Live, read, read_own};
use crate::volume::journal::told::Names;
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Damage, Error, Result};
use hashbrown::HashSet;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a replay works on: the cache that batches are applied to.
pub struct Replay<'a> {
    pub base: &'a Arc<Base>,
    pub cache: &'a Cache,
    pub catalog: &'a Catalog,
    /// The volume is in use: what has changes of its own is left as it is.
    pub is_live: bool,
    /// Names of files that a later batch did not list: see `keep_names`.
    pub dropped: RefCell<Vec<(Arc<Inode>, Link)>>,
    /// Names of which the entries were added under another dot than their batch says.
    pub renewed: RefCell<Vec<(InodeId, Link)>>,
}

/// What a replay found.
pub struct Replayed {
    /// This device's journal, if it has one.
    pub own: Option<Live>,
    /// If that was in use: inodes that are deleted or whose ids were reserved, of which a crash may have left files.
    pub leftovers: Option<Leftovers>,
}

impl Replay<'_> {
    /// Applies all journals, this device's last.
    ///
    /// # Errors
    ///
    /// Those of this device's journal; what is wrong with another's is noticed, and that journal is left out.
    pub fn run(&self) -> Result<Replayed> {
        if !self.base.read_only && !mutants::is_active(Mutant::NoSyncAtOpen) {
            // What is found may be in the page cache only: the daemon was killed. Nothing may build on it before it is
            // durable, nor an fsync pass it over.
            self.base.context.store.sync_all()?;
        }
        let (own, present) = (self.base.context.own_journal(), self.catalog.other_journals()?);
        let mut lives = Vec::new();
        for &id in &present {
            match read(&self.base.context, id) {
                Ok(live) => lives.extend(live.map(|live| (id, live))),
                Err(error) => self.pass_over(&error),
            }
        }
        for id in self.base.context.recall.journals() {
            if id != own && !present.contains(&id) {
                self.cache.notice(&Error::Damaged(id, Damage::Deleted));
            }
        }
        lives.extend(read_own(&self.base.context)?.map(|live| (own, live)));
        let leftovers = self.apply_all(&lives)?;
        let own = lives.pop_if(|(id, _)| *id == own).map(|(_, live)| live);
        Ok(Replayed { own, leftovers })
    }

    fn pass_over(&self, error: &Error) {
        match error {
            // There may be more of it in a moment.
            error if self.is_live => log::debug!("another device's journal cannot be applied yet: {error}"),
            Error::Damaged(..) | Error::NotArrived(_) => self.cache.notice(error),
            error => log::warn!("another device's journal cannot be applied: {error}"),
        }
    }

    /// Applies journals in the order in which their batches were made: one device may have removed what another had
    /// added, and neither be stored.
    ///
    /// # Errors
    ///
    /// What is wrong with this device's journal or keeps it from being applied; the store's. Another's is left out.
    pub fn apply_all(&self, lives: &[(ChunkId, Live)]) -> Result<Option<Leftovers>> {
        let own = self.base.context.own_journal();
        let mut ordered = Vec::new();
        let mut gone = Vec::new();
        for (at, (id, live)) in lives.iter().enumerate() {
            match parse(&live.stream).map_err(|what| Error::Damaged(*id, what.0.into())) {
                Ok(batches) => {
                    gone.push(Ended::of(&batches));
                    ordered.extend(batches.into_iter().map(|batch| (at, batch)));
                }
                Err(error) if *id == own => return Err(error),
                Err(error) => {
                    gone.push(Ended::of(&[]));
                    self.pass_over(&error);
                }
            }
        }
        ordered.sort_by_key(|(_, batch)| batch.number);
        if let Some(at) = lives.iter().position(|(id, _)| *id == own) {
            self.remember_durable(&gone[at]);
        }
        // Not before: the root directory is held against that.
        if !self.is_live {
            self.catalog.restore_root()?;
        }
        let mut passed_over = HashSet::new();
        for (at, batch) in &ordered {
            if passed_over.contains(at) {
                continue;
            }
            self.base.context.saw(batch.number);
            let (id, live) = &lives[*at];
            let device = id.inode.journal_of().unwrap_or(self.base.context.device);
            let source = Source { device, is_own: *id == own, head: live.head, gone: &gone[*at] };
            let applied = batch.items.iter().try_for_each(|item| self.apply(batch.number, item, &source));
            match applied {
                Err(error) if !source.is_own => {
                    self.pass_over(&error);
                    passed_over.insert(*at);
                }
                applied => applied?,
            }
        }
        self.keep_names(lives.iter().position(|(id, _)| *id == own).map(|at| &gone[at]));
        let own = lives.iter().position(|(id, live)| *id == own && !live.stream.is_empty());
        if let Some(gone) = own.filter(|_| !self.base.read_only).map(|at| &gone[at]) {
            // An id whose chunk 0 says that it has a name was named by a batch: an older journal was put in its place.
            let unnamed = |id: &&InodeId| {
                mutants::is_active(Mutant::NamedLeftoverSwept)
                    || !self.cache.inode(**id).is_ok_and(|inode| inode.view(|record| record.links_count > 0))
            };
            let reserved = gone.reserved.iter().filter(unnamed).copied().collect();
            return Ok(Some(Leftovers { deleted: gone.ids.clone(), reserved }));
        }
        Ok(None)
    }

    /// What the own journal says to be durable counts as if it had been written down: a memory may be behind.
    fn remember_durable(&self, journal: &Ended) {
        for (inode, commit) in journal.durable.iter().filter(|(inode, _)| !journal.has(**inode)) {
            self.base.context.saw(*commit);
            self.base.context.was_durable(ChunkId::first(*inode), *commit);
        }
    }

    fn apply(&self, number: Commit, item: &Item<'_>, source: &Source<'_>) -> Result<()> {
        let gone = source.gone;
        if self.is_live && self.is_spoken_for(item) {
            return Ok(());
        }
        let is_applied = match item {
            Item::Inode { inode, commit, record, content } if !gone.has(*inode) => {
                self.base.context.saw(*commit);
                let stated = Stated { commit: *commit, record, content: *content };
                let is_applied = self.apply_inode(number, *inode, &stated, source)?;
                if source.is_own && !self.base.read_only {
                    self.stands_in(*inode, *commit, source);
                }
                is_applied
            }
            Item::Aside { inode, commit, record, content } if source.is_own && !gone.has(*inode) => {
                self.base.context.saw(*commit);
                self.set_aside(*inode, *commit, record, content);
                true
            }
            Item::Namespace { inode, links_count, modified, changed, links } if !gone.has(*inode) => {
                let names = Names { links_count: *links_count, links, times: (*modified, *changed) };
                self.tolerate(*inode, links, source, |inode| self.apply_names(number, inode, &names))?
            }
            Item::Directory { inode, before, devices, log } if !gone.has(*inode) => {
                self.tolerate(*inode, &[], source, |inode| match author_of(log, devices) {
                    Some(author) if self.lacks(inode, author, *before)? => match source.is_own {
                        true => {
                            let author = Author { device: author, now: number };
                            self.apply_anew(inode, (log, devices), author, *before, gone)
                        }
                        false => Ok(()),
                    },
                    _ => self.apply_log(inode, log, devices),
                })?
            }
            _ => true,
        };
        if !is_applied && source.is_own {
            self.base.withheld.lock().add(item, &gone.durable).map_err(|_| Error::NoSpace)?;
        }
        Ok(())
    }

    /// Whether a record speaks of an inode that has changes of its own. Those of a directory's entries join, unless it was deleted
    /// here: they would count as known to who did that.
    fn is_spoken_for(&self, item: &Item<'_>) -> bool {
        let (Item::Inode { inode: id, .. }
        | Item::Namespace { inode: id, .. }
        | Item::Directory { inode: id, .. }) = item
        else {
            return false;
        };
        self.cache.peek(*id).is_some_and(|inode| match item {
            Item::Directory { .. } => {
                inode.view(|record| record.links_count == 0) && !mutants::is_active(Mutant::DeletedTold)
            }
            _ => !is_forgettable(&inode) && !mutants::is_active(Mutant::DirtyReplaced),
        })
    }

    /// Applies to an inode; one that cannot be read is left as it is, and the answer is no. `links`: its names, as far as they are told.
    fn tolerate(
        &self,
        id: InodeId,
        links: &[Link],
        source: &Source<'_>,
        apply: impl FnOnce(&Arc<Inode>) -> Result<()>,
    ) -> Result<bool> {
        let outcome = self.cache.inode(id).and_then(|inode| {
            let was_forgettable = is_forgettable(&inode);
            apply(&inode)?;
            self.applied(&inode, source, was_forgettable);
            Ok(true)
        });
        match outcome {
            Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => {
                self.cache.notice_early(error, place(links));
                Ok(false)
            }
            outcome => outcome,
        }
    }

    /// Has the next checkpoint store what was applied, if it is this device's own. `was_forgettable`: nothing else was to be
    /// stored.
    fn applied(&self, inode: &Arc<Inode>, source: &Source<'_>, was_forgettable: bool) {
        if source.is_own || mutants::is_active(Mutant::LookingWrites) {
            self.cache.queue(inode);
        } else {
            inode.state.write().learnt(was_forgettable);
        }
    }

    /// The own journal would go on to make chunk 0, if it were taken away.
    fn stands_in(&self, id: InodeId, commit: Commit, source: &Source<'_>) {
        let found = self.cache.inode(id).ok().and_then(|inode| {
            let state = inode.state.read();
            state.first_chunk.as_deref().filter(|_| state.named).map(|first| first.version().commit())
        });
        let mut stand_ins = self.base.stand_ins.lock();
        stand_ins.put(id, source.head, commit);
        if let Some(found) = found {
            stand_ins.is_durable(id, found);
        }
    }

    fn set_aside(&self, id: InodeId, commit: Commit, record: &Record, content: &[u8]) {
        let aside = Aside { commit, record: record.clone(), content: content.to_vec() };
        self.base.withheld.lock().set_aside_again(id, aside, self.base.context.device);
    }

    /// `false`: it cannot be read, and the batch does not stand in for it.
    fn apply_inode(
        &self,
        number: Commit,
        id: InodeId,
        stated: &Stated<'_>,
        source: &Source<'_>,
    ) -> Result<bool> {
        let Stated { record, content, .. } = *stated;
        let existing = match self.cache.inode(id) {
            Ok(inode) => Some(inode),
            Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => {
                if !self.can_be_rebuilt(id, stated, source)? {
                    self.cache.notice_early(error, place(&record.extension.links));
                    return Ok(false);
                }
                None
            }
            Err(error) => return Err(error),
        };
        match existing {
            Some(inode) if !self.is_newer(&inode, stated, source) => {
                let links = &record.extension.links;
                let times = (record.modified, record.changed);
                let was_forgettable = is_forgettable(&inode);
                self.apply_names(number, &inode, &Names { links_count: record.links_count, links, times })?;
                self.applied(&inode, source, was_forgettable);
            }
            existing => {
                let size = match record.kind {
                    Kind::File => content.map_or(0, <[u8]>::len) as u64,
                    Kind::Directory => 0,
                    _ => record.size,
                };
                if record.size != size {
                    let chunk = ChunkId::first(id);
                    return Err(Error::Damaged(chunk, "its size in the journal is not its content's".into()));
                }
                let was_forgettable = existing.as_ref().is_none_or(is_forgettable);
                let inode = self.put_inode(number, id, stated, source, existing);
                self.applied(&inode, source, was_forgettable);
            }
        }
        Ok(true)
    }

    /// Whether the inode becomes what the batch says. Of a file that was changed on both sides what this device's own
    /// journal has is set aside.
    fn is_newer(&self, inode: &Arc<Inode>, stated: &Stated<'_>, source: &Source<'_>) -> bool {
        let Stated { commit, record, content } = *stated;
        let relation = {
            let state = inode.state.read();
            // Chunk 0 need not be open.
            content.map_or(Relation::Older, |_| relation(record, commit, state.version()))
        };
        match relation {
            Relation::Newer => true,
            Relation::Concurrent => {
                let is_aside =
                    source.is_own && record.kind == Kind::File && !mutants::is_active(Mutant::AsideDropped);
                if let Some(content) = content.filter(|_| is_aside) {
                    self.set_aside(inode.id(), commit, record, content);
                }
                mutants::is_active(Mutant::ConcurrentTaken)
            }
            Relation::Equal | Relation::Older => {
                content.is_some() && mutants::is_active(Mutant::ReplayedOverNewer)
            }
        }
    }

    /// Whether a chunk 0 that cannot be read is one that never came to be durable, or one that the batch has the whole
    /// content of, and no older one than was ever durable. Any other one would come back empty, or as it was before.
    fn can_be_rebuilt(&self, id: InodeId, stated: &Stated<'_>, source: &Source<'_>) -> Result<bool> {
        let chunk = ChunkId::first(id);
        let known = self.base.context.recall.known(chunk).map(|known| known.commit());
        let told =
            source.gone.durable.get(&id).copied().filter(|_| !mutants::is_active(Mutant::StoodInForDurable));
        let is_newest = known.max(told).is_none_or(|durable| stated.has_whole() && stated.commit > durable);
        if !is_newest {
            return Ok(mutants::is_active(Mutant::DamageRebuilt));
        }
        // Whether there is any content only the device itself knows: it may be on the way.
        let is_bare = stated.record.kind == Kind::File && !stated.has_whole();
        if !source.is_own {
            return Ok(!is_bare || mutants::is_active(Mutant::MadeFromAnothersJournal));
        }
        Ok(stated.has_whole()
            || Chunk::was_never_durable(&self.base.context, chunk)?
            || mutants::is_active(Mutant::DamageTakenForGarbage))
    }

    /// Puts an inode in place of whatever chunk 0 says. One that is in memory stays the same one: two of the same id
    /// would each be flushed, the older perhaps last.
    fn put_inode(
        &self,
        number: Commit,
        id: InodeId,
        stated: &Stated<'_>,
        source: &Source<'_>,
        existing: Option<Arc<Inode>>,
    ) -> Arc<Inode> {
        let Stated { commit, record, content } = *stated;
        let chunk = ChunkId::first(id);
        self.base.context.saw_known(chunk);
        if content.is_some() && !mutants::is_active(Mutant::WithheldKept) {
            // All of the file: what earlier batches say of it is of no use any more.
            self.base.withheld.lock().remove(id);
        }
        let mut first_chunk =
            Chunk::new(&self.base.context, chunk, self.base.geometry.blocks(ChunkIndex::FIRST));
        first_chunk.set_inline(content.unwrap_or_default().to_vec());
        if !source.is_own && !mutants::is_active(Mutant::ArrivalReplaced) {
            first_chunk.may_arrive();
        }
        let mut record = record.clone();
        let mut version = std::mem::take(&mut record.extension.version);
        let stamp = Stamp { device: source.device, commit };
        let is_theirs = !source.is_own && commit != Commit(0);
        if is_theirs {
            version.push((source.device, commit));
            first_chunk.include(&Version(version));
        }
        let mut state = State::replayed(number, &record, first_chunk);
        if is_theirs {
            // What this device stores of it is that device's work.
            state.stamp_content(stamp);
        }
        match existing {
            Some(inode) => {
                *inode.state.write() = state;
                inode.id_durable.store(true, Ordering::Release);
                inode
            }
            None => {
                let inode = Arc::new(Inode::new(id, state, true));
                self.cache.insert(&inode);
                inode
            }
        }
    }
}

/// Whether there is nothing of its own that waits to be stored.
fn is_forgettable(inode: &Arc<Inode>) -> bool {
    inode.state.read().is_forgettable()
}

fn place(links: &[Link]) -> Option<Place> {
    links.first().map(|link| (link.parent, link.name.to_vec()))
}

/// What a batch says of an inode.
struct Stated<'a> {
    commit: Commit,
    record: &'a Record,
    content: Option<&'a [u8]>,
}

impl Stated<'_> {
    /// Whether that is all there was of it.
    fn has_whole(&self) -> bool {
        self.content.is_some()
    }
}

/// The journal that a batch stands in.
struct Source<'a> {
    device: DeviceId,
    is_own: bool,
    /// Where it starts.
    head: u64,
    gone: &'a Ended,
}
