//! What the durable batches of all journals say of inodes, applied to what chunk files say (docs/FORMAT.md section 9).
//! In memory only: nothing here changes a volume.

use super::{Node, Source};
use crate::chunk::{Chunk, ChunkId, Commit, Context, DeviceId, InodeId, Relation};
use crate::volume::format::batch::{Batch, Item, parse};
use crate::volume::inode::directory::author_of;
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
    Names(Names),
    Log {
        /// Of another device's journal: the counter that it had here before.
        before: Option<u64>,
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
        self.gone.extend(gone);
        self.gone.extend(reserved);
    }

    pub fn is_gone(&self, id: InodeId) -> bool {
        self.gone.contains(&id)
    }

    pub fn inodes(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.changes.keys().copied()
    }

    /// What an inode is, given what its chunk 0 says.
    ///
    /// # Errors
    ///
    /// That of `stored`, unless a batch stands in for it.
    pub fn apply(&self, context: &Context, id: InodeId, stored: Result<Node>) -> Result<Node> {
        let Some(changes) = self.changes.get(&id) else { return stored };
        let mut state = stored;
        for (number, change) in changes {
            match change {
                Change::Names(names) => {
                    if let Ok(node) = &mut state {
                        names.apply(*number, node);
                    }
                }
                Change::Inode { commit, record, content, is_own, durable } => match &mut state {
                    Ok(node) if content.is_none() || !node.is_older(record, *commit) => {
                        Names::of(record).apply(*number, node);
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
        for (_, change) in self.changes.get(&id).into_iter().flatten() {
            if let Change::Log { before, devices, log } = change {
                let author = author_of(log, devices);
                if before.zip(author).is_some_and(|(before, author)| !entries.covers(author, before)) {
                    continue;
                }
                let applied = entries.apply(log, devices, &mut Vec::new());
                let chunk = ChunkId::first(id);
                applied.map_err(|what| Error::Damaged(chunk, what.0.into()))?;
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
            (inode, Change::Names(Names { links_count, links, modified, changed }))
        }
        Item::Directory { inode, before, devices, log } => {
            let before = (!is_own).then_some(before);
            (inode, Change::Log { before, devices, log: log.to_vec() })
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

    fn apply(&self, number: Commit, node: &mut Node) {
        let record = &mut node.record;
        if record.namespace >= number {
            return;
        }
        record.namespace = number;
        record.links_count = self.links_count;
        if !record.has_later_name(&self.links) {
            record.extension.links.clone_from(&self.links);
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
