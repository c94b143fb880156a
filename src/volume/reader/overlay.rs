//! What the durable batches of all journals say of inodes, applied to what chunk files say (docs/FORMAT.md section 9).
//! In memory only: nothing here changes a volume.

use super::{Node, Source};
use crate::chunk::{Chunk, ChunkId, Commit, Context, DeviceId, InodeId, Relation};
use crate::volume::format::batch::{Batch, Item, parse};
use crate::volume::format::directory_log::Author;
use crate::volume::format::wire::Malformed;
use crate::volume::inode::directory::author_of;
use crate::volume::inode::joining::begin_anew;
use crate::volume::inode::stamps::relation;
use crate::volume::journal::file as journal;
use crate::volume::{Damage, Directory, Error, Kind, Link, Record, Result, Timestamp};
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// What live batches say, by inode, each in the order of the batches' numbers.
#[derive(Default)]
pub(super) struct Overlay {
    changes: HashMap<InodeId, Vec<(Commit, Change)>>,
    /// Deleted, orphaned, or reserved and not named.
    gone: HashSet<InodeId>,
    /// Deleted or orphaned by this device.
    own_gone: HashSet<InodeId>,
}

enum Change {
    Inode {
        commit: Commit,
        record: Box<Record>,
        content: Option<Vec<u8>>,
        /// This device's journal says so.
        is_own: bool,
        /// The newest commit of chunk 0 that the same journal says was durable; 0 for none.
        durable: Commit,
    },
    Names {
        is_own: bool,
        names: Names,
    },
    Log {
        is_own: bool,
        /// The counter that the device had here before.
        before: u64,
        devices: Vec<DeviceId>,
        log: Vec<u8>,
    },
}

/// The namespace part of an inode.
struct Names {
    links_count: u32,
    links: Vec<Link>,
    modified: Timestamp,
    changed: Timestamp,
}

impl Overlay {
    /// Reads every journal there is, and answers which cannot be read.
    ///
    /// # Errors
    ///
    /// The store's, if journals cannot be listed.
    pub fn read(context: &Arc<Context>) -> Result<(Overlay, Vec<Error>)> {
        let own = context.own_journal();
        let mut journals = context.journals()?;
        let known = context.recall.journals();
        let missing = known.into_iter().filter(|id| *id != own && !journals.contains(id));
        let mut problems: Vec<Error> = missing.map(|id| Error::Damaged(id, Damage::Deleted)).collect();
        journals.retain(|id| *id != own);
        journals.push(own);
        let mut overlay = Overlay::default();
        for id in journals {
            let live = if id == own { journal::read_own(context) } else { journal::read(context, id) };
            let taken = live.and_then(|live| {
                let stream = live.map(|live| live.stream).unwrap_or_default();
                let batches = parse(&stream).map_err(|what| Error::Damaged(id, what.0.into()))?;
                overlay.take(batches, id == own);
                Ok(())
            });
            problems.extend(taken.err());
        }
        for changes in overlay.changes.values_mut() {
            changes.sort_by_key(|(number, _)| *number);
        }
        Ok((overlay, problems))
    }

    /// Takes the batches of one journal. What it says of inodes that it deletes counts no more.
    fn take(&mut self, batches: Vec<Batch<'_>>, is_own: bool) {
        let (mut gone, mut reserved) = (HashSet::<InodeId>::new(), HashSet::<InodeId>::new());
        let mut durable = HashMap::<InodeId, Commit>::new();
        for item in batches.iter().flat_map(|batch| &batch.items) {
            match item {
                Item::Delete { inode, .. } | Item::Orphan { inode, .. } => {
                    gone.insert(*inode);
                }
                Item::Inode { inode, .. } | Item::Namespace { inode, .. } => {
                    reserved.remove(inode);
                }
                Item::Reserve(ids) => reserved.extend(ids),
                Item::Durable(inodes) => inodes.iter().for_each(|(inode, commit)| {
                    let newest = durable.entry(*inode).or_default();
                    *newest = (*newest).max(*commit);
                }),
                Item::Directory { .. } | Item::Aside { .. } | Item::Deletion(_) => {}
            }
        }
        for Batch { number, items } in batches {
            for item in items {
                if let Some((inode, change)) = change_of(item, is_own, &durable)
                    && !gone.contains(&inode)
                {
                    self.changes.entry(inode).or_default().push((number, change));
                }
            }
        }
        if is_own {
            self.own_gone.extend(gone.iter().copied());
        }
        self.gone.extend(gone);
        self.gone.extend(reserved);
    }

    pub fn is_gone(&self, id: InodeId) -> bool {
        self.gone.contains(&id)
    }

    pub fn inodes(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.changes.keys().copied()
    }

    /// Whether batches speak of a directory's entries.
    pub fn has_logs(&self, id: InodeId) -> bool {
        self.changes.get(&id).into_iter().flatten().any(|(_, change)| matches!(change, Change::Log { .. }))
    }

    /// Whether another device's batch of this number says what names an inode has.
    pub fn is_named_by_another(&self, id: InodeId, number: Commit) -> bool {
        let says = |change: &Change| {
            matches!(change, Change::Inode { is_own: false, .. } | Change::Names { is_own: false, .. })
        };
        self.changes.get(&id).into_iter().flatten().any(|(of, change)| *of == number && says(change))
    }

    /// Whether this device deleted the directory of a name, and knew of its entry: what is said of the entries of such a directory
    /// does not count.
    pub fn went_with(&self, context: &Context, link: &Link) -> bool {
        self.own_gone.contains(&link.parent)
            && match context.recall.tombstone(ChunkId::first(link.parent)) {
                Some(known) => link.dot.is_some_and(|dot| known.covers(dot)),
                None => true,
            }
    }

    /// What an inode is, given what its chunk 0 says. Names of a file that a batch does not list are put into `dropped`.
    ///
    /// # Errors
    ///
    /// That of `stored`, unless a batch stands in for it.
    pub fn apply(
        &self,
        context: &Context,
        id: InodeId,
        stored: Result<Node>,
        dropped: &mut Vec<Link>,
    ) -> Result<Node> {
        let Some(changes) = self.changes.get(&id) else { return stored };
        let mut state = stored;
        for (number, change) in changes {
            match change {
                Change::Names { names, .. } => {
                    if let Ok(node) = &mut state {
                        names.apply(*number, node, dropped);
                    }
                }
                Change::Inode { commit, record, content, is_own, durable } => match &mut state {
                    Ok(node) if content.is_none() || !node.is_older(record, *commit) => {
                        Names::of(record).apply(*number, node, dropped);
                    }
                    Err(Error::Damaged(..) | Error::NotArrived(_))
                        if !stands_in(
                            context,
                            id,
                            (*commit, *durable),
                            record,
                            content.as_deref(),
                            *is_own,
                        ) => {}
                    Ok(_) | Err(Error::Damaged(..) | Error::NotArrived(_)) => {
                        let mut record = (**record).clone();
                        record.namespace = *number;
                        record.extension.version.clear();
                        let content = content.clone().unwrap_or_default();
                        state = Ok(Node { id, record, source: Source::Batch(content) });
                    }
                    Err(_) => {}
                },
                Change::Log { .. } => {}
            }
        }
        state
    }

    /// Applies what batches say of a directory's entries.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if a log makes no sense; the entries must not be used then.
    pub fn apply_logs(&self, id: InodeId, entries: &mut Directory) -> Result<()> {
        let damaged = |what: Malformed| Error::Damaged(ChunkId::first(id), what.0.into());
        let mut by = None;
        for (number, change) in self.changes.get(&id).into_iter().flatten() {
            let Change::Log { is_own, before, devices, log } = change else { continue };
            let author = author_of(log, devices).filter(|author| !entries.covers(*author, *before));
            match (author, is_own) {
                (None, _) => entries.apply(log, devices, &mut Vec::new()).map_err(damaged)?,
                // What that device added before has not arrived.
                (Some(_), false) => {}
                (Some(device), true) => {
                    let by = *by.get_or_insert_with(|| begin_anew(Author { device, now: *number }));
                    let (log, devices) = entries.log_anew(by, device, (log, devices)).map_err(damaged)?;
                    entries.apply(&log, &devices, &mut Vec::new()).map_err(damaged)?;
                }
            }
        }
        Ok(())
    }
}

fn change_of(item: Item<'_>, is_own: bool, durable: &HashMap<InodeId, Commit>) -> Option<(InodeId, Change)> {
    Some(match item {
        Item::Inode { inode, commit, record, content } => {
            let (content, durable) =
                (content.map(<[u8]>::to_vec), durable.get(&inode).copied().unwrap_or_default());
            (inode, Change::Inode { commit, record, content, is_own, durable })
        }
        Item::Namespace { inode, links_count, modified, changed, links } => {
            let names = Names { links_count, links, modified, changed };
            (inode, Change::Names { is_own, names })
        }
        Item::Directory { inode, before, devices, log } => {
            (inode, Change::Log { is_own, before, devices, log: log.to_vec() })
        }
        Item::Aside { .. }
        | Item::Delete { .. }
        | Item::Orphan { .. }
        | Item::Reserve(_)
        | Item::Deletion(_)
        | Item::Durable(_) => return None,
    })
}

/// Whether an inode record stands in for a chunk 0 that cannot be read (docs/FORMAT.md section 9). `durable`: the newest
/// commit of that which the same journal says was durable.
fn stands_in(
    context: &Context,
    id: InodeId,
    (commit, durable): (Commit, Commit),
    record: &Record,
    content: Option<&[u8]>,
    is_own: bool,
) -> bool {
    let first = ChunkId::first(id);
    let known = context.recall.known(first).map_or(durable, |known| known.commit().max(durable));
    let is_newest = match content {
        Some(content) => commit > known && (record.kind != Kind::File || content.len() as u64 == record.size),
        None => known == Commit(0),
    };
    let is_never = || Chunk::was_never_durable(context, first).unwrap_or(false);
    is_newest && (content.is_some() || if is_own { is_never() } else { record.kind != Kind::File })
}

impl Names {
    fn of(record: &Record) -> Names {
        Names {
            links_count: record.links_count,
            links: record.extension.links.clone(),
            modified: record.modified,
            changed: record.changed,
        }
    }

    fn apply(&self, number: Commit, node: &mut Node, dropped: &mut Vec<Link>) {
        let record = &mut node.record;
        if record.namespace >= number {
            return;
        }
        record.namespace = number;
        // A directory's is that of its entries.
        if record.kind != Kind::Directory || self.links_count == 0 || record.links_count == 0 {
            record.links_count = self.links_count;
        }
        if !record.has_later_name(&self.links) {
            let before = std::mem::replace(&mut record.extension.links, self.links.clone());
            let is_listed = |link: &Link| self.links.iter().any(|known| known.is_same_name(link));
            if record.kind != Kind::Directory && record.links_count > 0 {
                dropped.extend(before.into_iter().filter(|link| !is_listed(link)));
            }
        }
        if record.kind == Kind::Directory {
            record.modified = record.modified.max(self.modified);
            record.changed = record.changed.max(self.changed);
        }
    }
}

impl Node {
    /// Whether a batch that carries content takes its place. What only a batch has, a later one does.
    fn is_older(&self, record: &Record, commit: Commit) -> bool {
        self.head().is_none_or(|head| relation(record, commit, head.version()) == Relation::Newer)
    }
}
