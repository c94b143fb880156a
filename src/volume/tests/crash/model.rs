//! What a volume may look like after a crash: every state since the last one that was promised to last.
//!
//! Names happen in batches, and a batch takes everything pending: so the whole tree is as it was after one of the
//! operations, never older than what a sync has promised. A file is as after one of the operations on it, not
//! necessarily the same one; of several chunks each by itself.

use super::super::FIRST;
use super::check::Found;
use crate::chunk::InodeId;
use crate::volume::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Directories with their entries.
pub(super) type Tree = BTreeMap<InodeId, BTreeMap<Vec<u8>, InodeId>>;

/// All of an inode but its names.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Version {
    pub kind: Kind,
    pub content: Rc<Vec<u8>>,
    pub mode: u32,
    /// Seconds; 0 for directories, whose times go with their entries.
    pub modified: i64,
    pub xattrs: Vec<(Box<[u8]>, Vec<u8>)>,
    pub target: Vec<u8>,
}

/// What was promised to last.
#[derive(Clone, Default)]
struct Promise {
    tree: usize,
    files: BTreeMap<InodeId, usize>,
}

#[derive(Clone, Default)]
pub(super) struct Model {
    /// After each operation; the first `before` are states that a crash may have left.
    trees: Vec<Rc<Tree>>,
    before: usize,
    /// Versions with the operation that made them.
    files: BTreeMap<InodeId, Vec<(usize, Version)>>,
    /// After each operation.
    promises: Vec<Promise>,
    promise: Promise,
    /// From this tree on, the file is at least that version: it replaced another.
    replacing: Vec<(usize, InodeId, usize)>,
    /// The tree in which the names of an inode last changed.
    named: BTreeMap<InodeId, usize>,
    now: Tree,
}

impl Model {
    /// A model whose present is `tree`, but that a crash may take back to one of `earlier`.
    pub fn new(earlier: Vec<Rc<Tree>>, tree: Tree, files: BTreeMap<InodeId, Vec<Version>>) -> Model {
        let mut trees = earlier;
        trees.push(Rc::new(tree.clone()));
        let files =
            files.into_iter().map(|(id, versions)| (id, versions.into_iter().map(|v| (0, v)).collect()));
        let promise = Promise::default();
        Model {
            before: trees.len() - 1,
            trees,
            files: files.collect(),
            promises: vec![promise.clone()],
            promise,
            now: tree,
            ..Model::default()
        }
    }

    /// A model whose present, and only state, is what was found.
    pub fn of(found: Found) -> Model {
        let versions = found.versions.into_iter().map(|(id, version)| (id, vec![version])).collect();
        Model::new(Vec::new(), found.tree, versions)
    }

    /// A model whose present is what was found after a crash, but that the next one may take back to whatever was allowed
    /// then.
    pub fn after_crash(&self, done: usize, found: Found) -> Model {
        let base = found.unreadable.map(|id| self.without_entries(id));
        let base = base.as_ref().unwrap_or(self);
        let earlier = base.trees(done).map(|(_, tree)| tree.clone()).collect();
        let versions = self.files.keys().map(|id| {
            let mut allowed = self.allowed(*id, done);
            allowed.extend(found.versions.get(id).cloned());
            (*id, allowed)
        });
        let versions = versions.filter(|(_, allowed): &(_, Vec<_>)| !allowed.is_empty());
        Model::new(earlier, found.tree, versions.collect())
    }

    /// Operations so far.
    pub fn done(&self) -> usize {
        self.promises.len() - 1
    }

    pub fn file(&self, id: InodeId) -> &Version {
        &self.files[&id].last().expect("every file has a version").1
    }

    pub fn find(&self, path: &str) -> Option<InodeId> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(InodeId::ROOT, |at, name| {
            self.now.get(&at).and_then(|entries| entries.get(name.as_bytes())).copied()
        })
    }

    /// An operation is over.
    pub fn advance(&mut self) {
        self.trees.push(Rc::new(self.now.clone()));
        self.promises.push(self.promise.clone());
    }

    pub fn put(&mut self, directory: InodeId, name: &[u8], id: InodeId) {
        let entries = self.now.get_mut(&directory).expect("a directory");
        entries.insert(name.to_vec(), id);
        self.named.insert(id, self.trees.len());
    }

    pub fn take(&mut self, directory: InodeId, name: &[u8]) {
        let removed = self.now.get_mut(&directory).expect("a directory").remove(name);
        let id = removed.expect("an entry");
        self.named.insert(id, self.trees.len());
    }

    /// A new inode, and if it is a directory its entries.
    pub fn add(&mut self, id: InodeId, version: Version) {
        if version.kind == Kind::Directory {
            self.now.insert(id, BTreeMap::new());
        }
        self.change(id, version);
    }

    pub fn drop_directory(&mut self, id: InodeId) {
        self.now.remove(&id);
    }

    pub fn change(&mut self, id: InodeId, version: Version) {
        let made = self.done() + 1;
        self.files.entry(id).or_default().push((made, version));
    }

    /// The inode has just replaced another.
    pub fn replaced_by(&mut self, id: InodeId) {
        self.replacing.push((self.trees.len(), id, self.files[&id].len() - 1));
    }

    /// What is promised of a file: its version, counted from the first.
    pub fn promised(&self, id: InodeId) -> Option<usize> {
        self.promise.files.get(&id).copied()
    }

    /// The operation that is just over promised no more of a file than that, nor that it replaced with all that it held.
    pub fn promise_only(&mut self, id: InodeId, version: Option<usize>) {
        for promise in self.promises.last_mut().into_iter().chain([&mut self.promise]) {
            promise.files.remove(&id);
            promise.files.extend(version.map(|version| (id, version)));
        }
        self.replacing.retain(|(_, replacing, _)| *replacing != id);
    }

    /// The entries of a directory in all trees that may be found: those that are in any, and those that are in each.
    pub fn entries(&self, id: InodeId, done: usize) -> (BTreeSet<InodeId>, BTreeSet<InodeId>) {
        let entries = |tree: &Tree| tree.get(&id).into_iter().flatten().map(|(_, id)| *id).collect();
        let trees: Vec<BTreeSet<InodeId>> = self.trees(done).map(|(_, tree)| entries(tree)).collect();
        let each = trees.iter().cloned().reduce(|each, tree| &each & &tree).unwrap_or_default();
        (trees.into_iter().flatten().collect(), each)
    }

    /// The same, but for the entries of one directory.
    pub fn without_entries(&self, id: InodeId) -> Model {
        let mut blind = self.clone();
        let trees = blind.trees.iter_mut().map(Rc::make_mut).chain([&mut blind.now]);
        trees.filter_map(|tree| tree.get_mut(&id)).for_each(BTreeMap::clear);
        blind
    }

    /// The tree as it was before this operation will last.
    pub fn promise_tree(&mut self) {
        self.promise.tree = self.trees.len() - 1;
    }

    /// The names of an inode will last.
    pub fn promise_names(&mut self, id: InodeId) {
        if let Some(&changed) = self.named.get(&id) {
            self.promise.tree = self.promise.tree.max(changed);
        }
    }

    pub fn promise_file(&mut self, id: InodeId) {
        self.promise.files.insert(id, self.files[&id].len() - 1);
    }

    /// What files of at most so many bytes hold now will last, of those that have a name.
    pub fn promise_named_files(&mut self, most: usize) {
        let ids: BTreeSet<InodeId> = self.now.values().flat_map(BTreeMap::values).copied().collect();
        let is_small = |version: &Version| version.kind == Kind::File && version.content.len() <= most;
        let small = ids.into_iter().filter(|id| is_small(self.file(*id))).collect::<Vec<_>>();
        small.into_iter().for_each(|id| self.promise_file(id));
    }

    pub fn promise_all(&mut self) {
        self.promise_tree();
        let ids: Vec<InodeId> = self.files.keys().copied().collect();
        ids.into_iter().for_each(|id| self.promise_file(id));
    }

    /// The trees that may be found when the power is cut once `done` operations have returned, with their numbers.
    pub fn trees(&self, done: usize) -> impl Iterator<Item = (usize, &Rc<Tree>)> {
        let newest = (self.before + done + 1).min(self.trees.len() - 1);
        (self.promises[done].tree..=newest).map(|number| (number, &self.trees[number]))
    }

    /// The trees that there ever were until then.
    pub fn all_trees(&self, done: usize) -> impl Iterator<Item = &Rc<Tree>> {
        self.trees.iter().take(self.before + done + 2)
    }

    /// The versions that an inode may be found in.
    pub fn versions(&self, id: InodeId, done: usize) -> impl Iterator<Item = &Version> {
        let oldest = self.promises[done].files.get(&id).copied().unwrap_or(0);
        let known = self.files.get(&id).map_or(&[][..], |versions| versions);
        let known = known.get(oldest..).unwrap_or_default();
        known.iter().filter(move |(made, _)| *made <= done + 1).map(|(_, version)| version)
    }

    /// Checks what was found, `found` being the tree.
    pub fn check(
        &self,
        done: usize,
        found: &Tree,
        versions: &BTreeMap<InodeId, Version>,
    ) -> Result<(), String> {
        let numbers: Vec<usize> =
            self.trees(done).filter(|(_, tree)| ***tree == *found).map(|(number, _)| number).collect();
        if numbers.is_empty() {
            let allowed: Vec<_> = self.trees(done).map(|(_, tree)| show(tree)).collect();
            return Err(format!("the tree is {}, allowed are {allowed:#?}", show(found)));
        }
        for (id, version) in versions {
            self.check_file(done, *id, version)?;
        }
        let kept = |number: &usize| {
            self.replacing.iter().filter(|(from, ..)| from <= number).all(|(_, id, least)| {
                let Some(found) = versions.get(id) else { return true };
                let later: Vec<_> =
                    self.files[id][*least..].iter().map(|(_, version)| version.clone()).collect();
                is_one_of(&later, found)
            })
        };
        if numbers.iter().any(kept) { Ok(()) } else { Err("a replacing rename came before its data".into()) }
    }

    /// The versions that an inode may be found in: one that was never synced may be empty still.
    pub fn allowed(&self, id: InodeId, done: usize) -> Vec<Version> {
        let was_durable = self.promises[done].files.contains_key(&id) || self.files[&id][0].0 == 0;
        let mut allowed: Vec<Version> = self.versions(id, done).cloned().collect();
        if !was_durable {
            allowed.extend(allowed.iter().map(without_content).collect::<Vec<_>>());
        }
        allowed
    }

    /// Whether it is a file without content, but with the times of one of its versions, as a batch tells of it, and its name was
    /// promised at a time when no content of it was.
    pub fn was_named_before_content(&self, id: InodeId, done: usize, found: &Version) -> bool {
        let is_named = |tree: &Tree| tree.values().any(|entries| entries.values().any(|named| *named == id));
        let Some(versions) = self.files.get(&id) else { return false };
        let has_content = |version: &usize| !versions[*version].1.content.is_empty();
        let mut promises =
            self.promises[..=done].iter().filter(|promise| !promise.files.get(&id).is_some_and(has_content));
        let mut until = versions.iter().filter(|(made, _)| *made <= done + 1);
        until.any(|(_, version)| without_content(version) == *found)
            && promises.any(|promise| is_named(&self.trees[promise.tree]))
    }

    /// Checks a file that may be older than promised; empty only if `may_be_empty`, where it is promised to have content.
    pub fn check_any(
        &self,
        done: usize,
        id: InodeId,
        found: &Version,
        may_be_empty: bool,
    ) -> Result<(), String> {
        let Some(versions) = self.files.get(&id) else { return Err(format!("{id:?} was never made")) };
        let until = versions.iter().filter(|(made, _)| *made <= done + 1).map(|(_, version)| version.clone());
        let until = until.chain(self.allowed(id, done));
        let is_empty = |version: &Version| version.content.is_empty();
        let is_promised = found.kind == Kind::File && self.promises[done].files.contains_key(&id);
        let is_emptied =
            !may_be_empty && is_promised && is_empty(found) && !self.versions(id, done).any(is_empty);
        if !is_emptied && is_one_of(&until.collect::<Vec<_>>(), found) {
            return Ok(());
        }
        Err(format!("{id:?} is {}", describe(found)))
    }

    pub fn check_file(&self, done: usize, id: InodeId, found: &Version) -> Result<(), String> {
        if !self.files.contains_key(&id) {
            return Err(format!("{id:?} was never made"));
        }
        let allowed = self.allowed(id, done);
        if is_one_of(&allowed, found) {
            return Ok(());
        }
        let allowed: Vec<_> = allowed.iter().map(describe).collect();
        Err(format!("{id:?} is {}, allowed are {allowed:#?}", describe(found)))
    }
}

fn alike(version: &Version, found: &Version) -> bool {
    let directory = version.kind == Kind::Directory;
    directory && Version { modified: found.modified, ..version.clone() } == *found || version == found
}

fn without_content(version: &Version) -> Version {
    Version { content: Rc::default(), ..version.clone() }
}

/// Whether it is one of the versions or, of several chunks, a mixture of them.
fn is_one_of(versions: &[Version], found: &Version) -> bool {
    let longest = versions.iter().map(|version| version.content.len()).max().unwrap_or(0);
    versions.iter().any(|version| alike(version, found))
        || longest as u64 > FIRST && is_mixture(versions, found)
}

/// Whether each block of each chunk comes from one of the versions, as do size and attributes.
fn is_mixture(allowed: &[Version], found: &Version) -> bool {
    let size = found.content.len();
    let sized = allowed.iter().any(|version| {
        Version { content: found.content.clone(), ..version.clone() } == *found
            && version.content.len() == size
    });
    let blocks = found.content.chunks(4096).enumerate();
    sized
        && blocks.into_iter().all(|(number, block)| {
            allowed.iter().any(|version| {
                let start = (number * 4096).min(version.content.len());
                let there = &version.content[start..(start + block.len()).min(version.content.len())];
                start < version.content.len()
                    && there == &block[..there.len()]
                    && block[there.len()..].iter().all(|byte| *byte == 0)
            })
        })
}

fn describe(version: &Version) -> String {
    let content = &version.content;
    let sum = content.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!(
        "{:?} {:o} {} bytes {:?}.. sum {sum:x} mtime {} xattrs {:?} target {:?}",
        version.kind,
        version.mode,
        content.len(),
        &content[..content.len().min(8)],
        version.modified,
        version.xattrs,
        String::from_utf8_lossy(&version.target),
    )
}

pub(super) fn show(tree: &Tree) -> String {
    fn walk(tree: &Tree, at: InodeId, path: &str, out: &mut String) {
        for (name, id) in tree.get(&at).into_iter().flatten() {
            let path = format!("{path}/{}", String::from_utf8_lossy(name));
            out.push_str(&format!("{path}={:02x}{:02x} ", id.0[0], id.0[1]));
            walk(tree, *id, &path, out);
        }
    }
    let mut out = String::new();
    walk(tree, InodeId::ROOT, "", &mut out);
    out
}
