//! The oracle: opens what a crash left, compares it with what the model allows, goes on working, and looks for
//! leftovers.

use super::super::{FIRST, Fixture};
use super::model::{Model, Tree, Version, show};
use super::operation::{Bench, Operation};
use crate::chunk::remembered::{Remembered, Snapshot};
use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::store::{Area, FileName, Store};
use crate::volume::{Error, Inode, Kind, Volume};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

/// A whole volume as it is found.
pub(super) struct Found {
    pub tree: Tree,
    pub versions: BTreeMap<InodeId, Version>,
    /// The inode whose chunk files were corrupt, if it has a name and cannot be read: a directory then has no entries.
    pub unreadable: Option<InodeId>,
}

pub(super) fn said<T>(what: &str, outcome: Result<T, impl Debug>) -> Result<T, String> {
    outcome.map_err(|error| format!("{what}: {error:?}"))
}

impl Found {
    /// Reads everything that has a name; checks that link counts and links agree with the names.
    pub fn of(volume: &Volume) -> Result<Found, String> {
        Found::around(volume, None)
    }

    /// The same, where the chunk files of one inode were corrupt.
    pub fn around(volume: &Volume, corrupt: Option<InodeId>) -> Result<Found, String> {
        let mut found = Found { tree: Tree::new(), versions: BTreeMap::new(), unreadable: None };
        let mut kinds = BTreeMap::new();
        let mut links: BTreeMap<InodeId, Vec<(InodeId, Vec<u8>)>> = BTreeMap::new();
        let mut open = vec![InodeId::ROOT];
        links.insert(InodeId::ROOT, Vec::new());
        while let Some(id) = open.pop() {
            let (version, entries) = match read(volume, id) {
                Err(error) if corrupt == Some(id) && error.is_damage() => {
                    found.unreadable = corrupt;
                    if kinds.get(&id) == Some(&Kind::Directory) {
                        found.tree.insert(id, BTreeMap::new());
                    }
                    continue;
                }
                outcome => said("reading what a name points to", outcome)?,
            };
            for (name, (child, kind)) in &entries {
                kinds.insert(*child, *kind);
                links.entry(*child).or_default().push((id, name.clone()));
                if !found.versions.contains_key(child) && !open.contains(child) {
                    open.push(*child);
                } else if *kind == Kind::Directory {
                    return Err(format!("the directory {child:?} has two names"));
                }
            }
            if version.kind == Kind::Directory {
                found.tree.insert(id, entries.into_iter().map(|(name, (id, _))| (name, id)).collect());
            }
            found.versions.insert(id, version);
        }
        for (id, mut names) in links {
            found.check_links(volume, id, &mut names)?;
        }
        Ok(found)
    }

    fn check_links(
        &self,
        volume: &Volume,
        id: InodeId,
        names: &mut Vec<(InodeId, Vec<u8>)>,
    ) -> Result<(), String> {
        let inode = match volume.inode(id) {
            Err(error) if self.unreadable == Some(id) && error.is_damage() => return Ok(()),
            outcome => said("loading", outcome)?,
        };
        let (count, mut links) = inode.view(|record| {
            let links = record.extension.links.iter().map(|link| (link.parent, link.name.to_vec()));
            (record.links_count as usize, links.collect::<Vec<_>>())
        });
        // What its name is in a directory that cannot be read only it can tell.
        let hidden = links.iter().filter(|(parent, _)| self.unreadable == Some(*parent));
        names.extend(hidden.cloned().collect::<Vec<_>>());
        names.sort();
        links.sort();
        let directories = |entries: &BTreeMap<Vec<u8>, InodeId>| {
            entries.values().filter(|id| self.tree.contains_key(id)).count()
        };
        let wanted = self.tree.get(&id).map_or(names.len(), |entries| 2 + directories(entries));
        if count != wanted || links != *names {
            let tree = show(&self.tree);
            return Err(format!("{id:?}: nlink {count}, links {links:?}, names {names:?} in {tree}"));
        }
        Ok(())
    }
}

type Entries = BTreeMap<Vec<u8>, (InodeId, Kind)>;

pub(super) fn read(volume: &Volume, id: InodeId) -> Result<(Version, Entries), Error> {
    let inode = volume.inode(id)?;
    let mut entries = Entries::new();
    let (kind, mode, modified, xattrs, target, size) = inode.view(|record| {
        let extension = &record.extension;
        let (xattrs, target) = (extension.xattrs.clone(), extension.target.clone());
        (record.kind, record.mode, record.modified.seconds, xattrs, target, record.size)
    });
    let mut content = Rc::default();
    if kind == Kind::Directory {
        volume.read_directory(&inode, 0, &mut |_, name, id, kind| {
            entries.insert(name.to_vec(), (id, kind));
            true
        })?;
    } else if kind == Kind::File {
        content = read_content(volume, &inode, size as usize)?;
    }
    Ok((Version { kind, content, mode, modified, xattrs, target }, entries))
}

type Content = Rc<Vec<u8>>;

thread_local! {
    /// Where contents are read to, and large ones as they were found lately: all but a few states have the same.
    static READ: RefCell<(Vec<u8>, Vec<Content>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

fn read_content(volume: &Volume, inode: &Arc<Inode>, size: usize) -> Result<Content, Error> {
    READ.with_borrow_mut(|(buffer, lately)| {
        buffer.clear();
        // Whatever a read leaves alone is not taken for what was there before.
        buffer.resize(size, 0xa5);
        assert_eq!(volume.read(inode, 0, buffer)?, size);
        if let Some(same) = lately.iter().find(|content| ***content == *buffer) {
            return Ok(same.clone());
        }
        let content = Rc::new(buffer.clone());
        if size as u64 > FIRST {
            lately.truncate(7);
            lately.insert(0, content.clone());
        }
        Ok(content)
    })
}

/// The chunks beyond chunk 0 that the table names.
fn chunks(volume: &Volume, id: InodeId) -> Result<Vec<ChunkIndex>, Error> {
    let inode = volume.inode(id)?;
    let mut state = inode.state.write();
    volume.cache.open_first_chunk(&inode, &mut state)?;
    state.named_chunks(ChunkIndex::FIRST_EXTRA)
}

/// The chunk files that are there, against those that the reachable inodes need.
pub(super) fn check_leftovers(volume: &Volume, store: &dyn Store) -> Result<(), String> {
    check_leftovers_but(volume, store, None, &BTreeSet::new())
}

/// The same, of whatever inodes are not among `but`.
pub(super) fn check_leftovers_but(
    volume: &Volume,
    store: &dyn Store,
    corrupt: Option<InodeId>,
    but: &BTreeSet<InodeId>,
) -> Result<(), String> {
    let context = &volume.base.context;
    let mut wanted = BTreeSet::new();
    let found = Found::around(volume, corrupt)?;
    for id in found.versions.keys().filter(|id| !but.contains(id)) {
        let chunks = said("the chunk table", chunks(volume, *id))?;
        for index in std::iter::once(ChunkIndex::FIRST).chain(chunks) {
            wanted.insert(context.file_name(ChunkId { inode: *id, index }));
        }
    }
    let mut there = BTreeSet::new();
    let list = store.list(Area::Chunks, &mut |name, _| {
        there.extend(FileName::parse(Area::Chunks, name));
    });
    said("entries", list)?;
    there.retain(|name| context.identify(*name).is_none_or(|chunk| !but.contains(&chunk.inode)));
    let name = |name: &FileName| (context.identify(*name), *name);
    let left: Vec<_> = there.difference(&wanted).map(name).collect();
    let lost: Vec<_> = wanted.difference(&there).map(name).collect();
    if left.is_empty() && lost.is_empty() {
        Ok(())
    } else {
        Err(format!("left behind {left:?}, missing {lost:?} in {}", show(&found.tree)))
    }
}

/// Opens a store that a crash left behind, with what was remembered by then, checks it, goes on working with it, and opens it again.
pub(super) fn check(
    fixture: &Fixture,
    store: Arc<dyn Store>,
    known: Snapshot,
    model: &Model,
    done: usize,
) -> Result<(), String> {
    let remembered = Remembered::of(known);
    let volume = said("opening", fixture.try_open_with(store.clone(), &remembered))?;
    let found = Found::of(&volume)?;
    model.check(done, &found.tree, &found.versions)?;
    let mut after = Model::of(found);
    let mut bench = Bench { volume: &volume, model: &mut after, held: Vec::new() };
    for operation in [
        Operation::Create("after"),
        Operation::Append { path: "after", length: 100 },
        Operation::Append { path: "a", length: 10 },
        Operation::Round,
    ] {
        said("going on", bench.run(operation))?;
    }
    check_leftovers(&volume, &*store)?;
    said("closing", volume.close())?;
    drop(volume);
    let volume = said("opening again", fixture.try_open_with(store.clone(), &remembered))?;
    let found = Found::of(&volume)?;
    after.promise_all();
    after.advance();
    after.check(after.done(), &found.tree, &found.versions)?;
    check_leftovers(&volume, &*store)
}
