//! Replaying journals at mount: what durable batches say is applied in memory, and the next round stores it.
//!
//! Idempotent: records are absolute, and applied only where they are newer. Of another device's journal nothing is
//! deleted, and it is never written.

use crate::chunk::{Chunk, ChunkId, Commit, DeviceId, InodeId};
use crate::store::{Area, FileName};
use crate::volume::findings::Place;
use crate::volume::format::batch::{Batch, Item, parse};
use crate::volume::format::kinds::{Kind, Timestamp};
use crate::volume::format::record::{Link, Record};
use crate::volume::inode::entries::Listing;
use crate::volume::inode::state::{Inode, Journalled, Standing, State};
use crate::volume::journal::file::{Journal, Live, read, read_own};
use crate::volume::mutants::{self, Mutant};
use crate::volume::{Damage, Error, Result, Volume};
use hashbrown::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Volume {
    /// Applies all journals, this device's last.
    pub(in crate::volume) fn replay(&self) -> Result<()> {
        if !self.read_only && !mutants::is_active(Mutant::NoSyncAtOpen) {
            // What is found may be in the page cache only: the daemon was killed. Nothing may build on it before it is
            // durable, nor an fsync pass it over.
            self.context.store.sync_all()?;
        }
        let (own, present) = (self.context.own_journal(), self.other_journals()?);
        let mut lives = Vec::new();
        for &id in &present {
            match read(&self.context, id) {
                Ok(live) => lives.extend(live.map(|live| (id, live))),
                Err(error) => self.pass_over(&error),
            }
        }
        for id in self.context.recall.journals() {
            if id != own && !present.contains(&id) {
                self.notice(&Error::Damaged(id, Damage::Deleted), || None);
            }
        }
        lives.extend(read_own(&self.context)?.map(|live| (own, live)));
        self.apply_all(&lives)?;
        if let Some((_, live)) = lives.pop_if(|(id, _)| *id == own) {
            *self.journal.lock() = Journal::resume(live);
        }
        Ok(())
    }

    fn pass_over(&self, error: &Error) {
        match error {
            Error::Damaged(..) | Error::NotArrived(_) => self.notice(error, || None),
            error => log::warn!("another device's journal cannot be applied: {error}"),
        }
    }

    pub(in crate::volume) fn other_journals(&self) -> Result<Vec<ChunkId>> {
        let mut found = Vec::new();
        self.context.store.list(Area::Journals, &mut |name, is_file| {
            let name = FileName::parse(Area::Journals, name).filter(|_| is_file);
            found.extend(name.and_then(|name| self.context.identify(name)).filter(|id| id.index == 0));
        })?;
        found.retain(|id| *id != self.context.own_journal());
        Ok(found)
    }

    /// Applies journals in the order in which their batches were made: one device may have removed what another had
    /// added, and neither be stored.
    fn apply_all(&self, lives: &[(ChunkId, Live)]) -> Result<()> {
        let own = self.context.own_journal();
        let mut ordered = Vec::new();
        let mut gone = Vec::new();
        for (at, (id, live)) in lives.iter().enumerate() {
            match parse(&live.stream).map_err(|what| Error::Damaged(*id, what.0.into())) {
                Ok(batches) => {
                    gone.push(Gone::of(&batches));
                    ordered.extend(batches.into_iter().map(|batch| (at, batch)));
                }
                Err(error) if *id == own => return Err(error),
                Err(error) => {
                    gone.push(Gone::of(&[]));
                    self.pass_over(&error);
                }
            }
        }
        ordered.sort_by_key(|(_, batch)| batch.number);
        let mut passed_over = HashSet::new();
        for (at, batch) in &ordered {
            if passed_over.contains(at) {
                continue;
            }
            self.context.saw(batch.number);
            let applied = batch.items.iter().try_for_each(|item| self.apply(batch.number, item, &gone[*at]));
            match applied {
                Err(error) if lives[*at].0 != own => {
                    self.pass_over(&error);
                    passed_over.insert(*at);
                }
                applied => applied?,
            }
        }
        let own = lives.iter().position(|(id, live)| *id == own && !live.stream.is_empty());
        if let Some(gone) = own.filter(|_| !self.read_only).map(|at| &gone[at]) {
            // An id whose chunk 0 says that it has a name was named by a batch: an older journal was put in its place.
            let unnamed = |id: &&InodeId| {
                mutants::is_active(Mutant::NamedLeftoverSwept)
                    || !self.inode(**id).is_ok_and(|inode| inode.view(|record| record.links_count > 0))
            };
            let reserved = gone.reserved.iter().filter(unnamed);
            *self.leftovers.lock() = Some(gone.ids.iter().chain(reserved).copied().collect());
            self.in_use.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn apply(&self, number: Commit, item: &Item<'_>, gone: &Gone) -> Result<()> {
        match item {
            Item::Inode { inode, commit, record, content } if !gone.has(*inode) => {
                self.context.saw(*commit);
                self.apply_inode(number, *inode, *commit, record, *content)
            }
            Item::Namespace { inode, links_count, modified, changed, links } if !gone.has(*inode) => {
                let names = Names { links_count: *links_count, links, times: (*modified, *changed) };
                self.tolerate(*inode, links, |inode| names.apply(number, inode))
            }
            Item::Directory { inode, devices, log } if !gone.has(*inode) => {
                self.tolerate(*inode, &[], |inode| self.apply_log(inode, log, devices))
            }
            _ => Ok(()),
        }
    }

    /// Applies to an inode; one that cannot be read is left as it is. `links`: its names, as far as they are told.
    fn tolerate(
        &self,
        id: InodeId,
        links: &[Link],
        apply: impl FnOnce(&Arc<Inode>) -> Result<()>,
    ) -> Result<()> {
        let outcome = self.inode(id).and_then(|inode| {
            apply(&inode)?;
            self.queue(&inode);
            Ok(())
        });
        match outcome {
            Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => {
                self.notice_early(error, place(links));
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn apply_inode(
        &self,
        number: Commit,
        id: InodeId,
        commit: Commit,
        record: &Record,
        content: Option<&[u8]>,
    ) -> Result<()> {
        let existing = match self.inode(id) {
            Ok(inode) => Some(inode),
            Err(error @ (Error::Damaged(..) | Error::NotArrived(_))) => {
                if !self.can_be_made_anew(id, content.map(|_| commit)) {
                    self.notice_early(error, place(&record.extension.links));
                    return Ok(());
                }
                None
            }
            Err(error) => return Err(error),
        };
        let older = |inode: &Arc<Inode>| {
            let state = inode.state.read();
            mutants::is_active(Mutant::ReplayedOverNewer) && content.is_some()
                || content.is_some()
                    && state.head.as_deref().is_some_and(|head| head.version().commit() < commit)
        };
        match existing {
            Some(inode) if !older(&inode) => {
                let links = &record.extension.links;
                let times = (record.modified, record.changed);
                Names { links_count: record.links_count, links, times }.apply(number, &inode)?;
                self.queue(&inode);
            }
            existing => {
                let size = match record.kind {
                    Kind::File => content.map_or(0, <[u8]>::len) as u64,
                    Kind::Directory => 0,
                    _ => record.size,
                };
                if record.size != size {
                    let chunk = ChunkId { inode: id, index: 0 };
                    return Err(Error::Damaged(chunk, "its size in the journal is not its content's".into()));
                }
                self.put_inode(number, id, record, content, existing);
            }
        }
        Ok(())
    }

    /// Whether a chunk 0 that cannot be read is one that never came to be durable, or one that the batch carries whole
    /// (`carried`: as of that commit) and newer. Any other one would come back empty.
    fn can_be_made_anew(&self, id: InodeId, carried: Option<Commit>) -> bool {
        let known = self.context.recall.known(ChunkId { inode: id, index: 0 });
        known.is_none_or(|known| carried.is_some_and(|carried| carried > known.commit()))
            || mutants::is_active(Mutant::DamageMadeAnew)
    }

    /// Puts an inode in place of whatever chunk 0 says. One that is in memory stays the same one: two of the same id
    /// would each be flushed, the older perhaps last.
    fn put_inode(
        &self,
        number: Commit,
        id: InodeId,
        record: &Record,
        content: Option<&[u8]>,
        existing: Option<Arc<Inode>>,
    ) {
        let chunk = ChunkId { inode: id, index: 0 };
        self.context.saw_known(chunk);
        let mut head = Chunk::new(&self.context, chunk, self.blocks);
        head.set_inline(content.unwrap_or_default().to_vec());
        let mut state = State::fresh(record.clone(), head);
        state.listing = (record.kind == Kind::Directory).then(|| Box::new(Listing::empty()));
        state.record.namespace = number;
        state.journalled = Journalled {
            links_count: record.links_count,
            links: record.extension.links.clone(),
            namespace: number,
        };
        state.standing = Standing::Settled;
        state.heard_of = true;
        let inode = match existing {
            Some(inode) => {
                *inode.state.write() = state;
                inode.grounded.store(true, Ordering::Release);
                inode
            }
            None => {
                let inode = Arc::new(Inode::new(id, state, true));
                self.inodes.lock().insert(id, inode.clone());
                inode
            }
        };
        self.queue(&inode);
    }

    fn apply_log(&self, inode: &Arc<Inode>, log: &[u8], devices: &[DeviceId]) -> Result<()> {
        self.load_listing(inode)?;
        let mut state = inode.state.write();
        let listing = state.listing.as_mut().ok_or(Error::NotDirectory)?;
        let id = ChunkId { inode: inode.id(), index: 0 };
        listing.replay(log, devices).map_err(|what| Error::Damaged(id, what.0.into()))?;
        state.change();
        Ok(())
    }
}

fn place(links: &[Link]) -> Option<Place> {
    links.first().map(|link| (link.parent, link.name.to_vec()))
}

/// The namespace part of an inode, as a batch has it.
struct Names<'a> {
    links_count: u32,
    links: &'a [Link],
    times: (Timestamp, Timestamp),
}

impl Names<'_> {
    fn apply(&self, number: Commit, inode: &Arc<Inode>) -> Result<()> {
        let mut state = inode.state.write();
        if state.record.namespace >= number {
            return Ok(());
        }
        state.record.namespace = number;
        state.record.links_count = self.links_count;
        state.record.extension.links = self.links.to_vec();
        if state.record.kind == Kind::Directory {
            state.record.modified = state.record.modified.max(self.times.0);
            state.record.changed = state.record.changed.max(self.times.1);
        }
        state.journalled =
            Journalled { links_count: self.links_count, links: self.links.to_vec(), namespace: number };
        state.change();
        Ok(())
    }
}

/// What is gone at the end of a journal.
struct Gone {
    ids: HashSet<InodeId>,
    /// Reserved, but no batch names them.
    reserved: HashSet<InodeId>,
}

impl Gone {
    fn of(batches: &[Batch<'_>]) -> Gone {
        let mut gone = Gone { ids: HashSet::new(), reserved: HashSet::new() };
        for item in batches.iter().flat_map(|batch| &batch.items) {
            match item {
                Item::Delete { inode, .. } | Item::Orphan { inode, .. } => {
                    gone.ids.insert(*inode);
                    gone.reserved.remove(inode);
                }
                Item::Inode { inode, .. } | Item::Namespace { inode, .. } => {
                    gone.reserved.remove(inode);
                }
                Item::Reserve(ids) => gone.reserved.extend(ids),
                Item::Directory { .. } => {}
            }
        }
        gone
    }

    fn has(&self, id: InodeId) -> bool {
        self.ids.contains(&id)
    }
}
