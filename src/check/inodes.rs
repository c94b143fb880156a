//! Each inode by itself: chunk 0 with its record, the chunks that its table names, a directory's entries, and with
//! `data` every block. What directories say of it is collected for `names`.

use super::finding::{Finding, Trouble, What};
use super::folder::Folder;
use super::underway::was_deleted_here;
use super::{Options, Progress};
use crate::chunk::{ChunkId, ChunkIndex, InodeId};
use crate::volume::{Content, Directory, Error, Kind, Link, Lost, Node, Reader, Result};
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// Inodes that a thread takes at a time.
const STRETCH: usize = 64;
/// Bytes read at a time.
const PIECE: usize = 1 << 20;
const NOBODY: u32 = u32::MAX;

/// What is known of all inodes that have a chunk file, or that a live batch speaks of.
pub struct Facts {
    /// In order.
    pub ids: Vec<InodeId>,
    inodes: Vec<Fact>,
    hasher: RandomState,
    /// Names twice, found on the way.
    pub twice: Mutex<Vec<(InodeId, Vec<u8>, InodeId)>>,
}

/// Of one inode.
#[derive(Default)]
struct Fact {
    /// `Kind` and `READ`, `LISTED`.
    flags: AtomicU32,
    /// Names that it says it has.
    links: AtomicU32,
    /// Names that directories have for it.
    entries: AtomicU32,
    /// The position of a directory that names it.
    named_in: AtomicU32,
    /// The sum over hashes of the links less that over the entries: 0 if they are the same.
    difference: AtomicU64,
    links_count: AtomicU32,
    /// Of a directory: sub-directories it has entries for.
    directories: AtomicU32,
    why: Mutex<Option<Box<Why>>>,
}

/// Why an inode cannot be read, and which of its further chunks have a file.
#[derive(Clone)]
pub struct Why {
    pub trouble: Trouble,
    pub further: Vec<ChunkIndex>,
}

const READ: u32 = 0x100;
const LISTED: u32 = 0x200;

/// What `names` looks at.
pub struct View<'a> {
    pub id: InodeId,
    pub kind: Option<Kind>,
    pub is_readable: bool,
    pub is_listed: bool,
    pub links: u32,
    pub entries: u32,
    pub named_in: Option<InodeId>,
    pub links_agree: bool,
    pub links_count: u32,
    pub directories: u32,
    fact: &'a Fact,
}

impl Facts {
    fn new(mut ids: Vec<InodeId>) -> Facts {
        ids.sort_unstable();
        ids.dedup();
        let fact = || Fact { named_in: AtomicU32::new(NOBODY), ..Fact::default() };
        let inodes = ids.iter().map(|_| fact()).collect();
        Facts { ids, inodes, hasher: RandomState::new(), twice: Mutex::default() }
    }

    pub fn position(&self, id: InodeId) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    pub fn view(&self, at: usize) -> View<'_> {
        let fact = &self.inodes[at];
        let get = |number: &AtomicU32| number.load(Ordering::Relaxed);
        let (flags, named_in) = (get(&fact.flags), get(&fact.named_in));
        View {
            id: self.ids[at],
            kind: Kind::from_code(flags as u8).ok(),
            is_readable: flags & READ != 0,
            is_listed: flags & LISTED != 0,
            links: get(&fact.links),
            entries: get(&fact.entries),
            named_in: (named_in != NOBODY).then(|| self.ids[named_in as usize]),
            links_agree: fact.difference.load(Ordering::Relaxed) == 0,
            links_count: get(&fact.links_count),
            directories: get(&fact.directories),
            fact,
        }
    }

    pub fn readable(&self) -> u64 {
        (0..self.ids.len()).filter(|at| self.view(*at).is_readable).count() as u64
    }

    pub fn directories(&self) -> Vec<InodeId> {
        let is_directory = |at: &usize| self.view(*at).kind == Some(Kind::Directory);
        (0..self.ids.len()).filter(is_directory).map(|at| self.ids[at]).collect()
    }

    fn hash(&self, parent: InodeId, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent, name))
    }

    fn note_record(&self, at: usize, node: &Node) {
        let fact = &self.inodes[at];
        let links = &node.record.extension.links;
        fact.flags.fetch_or(u32::from(node.record.kind.code()) | READ, Ordering::Relaxed);
        fact.links.store(links.len() as u32, Ordering::Relaxed);
        fact.links_count.store(node.record.links_count, Ordering::Relaxed);
        let sum = |sum: u64, link: &Link| sum.wrapping_add(self.hash(link.parent, &link.name));
        fact.difference.fetch_add(links.iter().fold(0, sum), Ordering::Relaxed);
    }

    /// Notes a directory's entries; answers those whose inode has no chunk file and is in no batch.
    fn note_entries(&self, at: usize, entries: &Directory) -> Vec<(Vec<u8>, InodeId, Kind)> {
        let (directory, mut nowhere) = (self.ids[at], Vec::new());
        // A hidden entry is told of by itself: its inode has that name.
        for entry in entries.iter_after(0).chain(entries.hidden()) {
            let Some(child) = self.position(entry.inode) else {
                nowhere.push((entry.name.to_vec(), entry.inode, entry.kind));
                continue;
            };
            let fact = &self.inodes[child];
            fact.entries.fetch_add(1, Ordering::Relaxed);
            fact.named_in.store(at as u32, Ordering::Relaxed);
            fact.difference.fetch_sub(self.hash(directory, entry.stored), Ordering::Relaxed);
        }
        let fact = &self.inodes[at];
        fact.directories.store(entries.directories() as u32, Ordering::Relaxed);
        fact.flags.fetch_or(LISTED, Ordering::Relaxed);
        let mut twice = self.twice.lock();
        twice.extend(entries.hidden().map(|entry| (directory, entry.name.to_vec(), entry.inode)));
        nowhere
    }
}

impl View<'_> {
    /// Why it cannot be read.
    pub fn why(&self) -> Option<Why> {
        self.fact.why.lock().as_deref().cloned()
    }
}

/// Looks at every inode, on several threads.
///
/// # Errors
///
/// None of one inode is an error of the check; only panics of a thread pass on.
pub fn check(
    reader: &Reader,
    folder: &Folder,
    options: Options,
    progress: &Progress,
) -> Result<(Facts, Vec<Finding>)> {
    let groups = folder.groups();
    let mut ids: Vec<InodeId> = groups.iter().map(|group| folder.chunks[group.start].inode).collect();
    ids.extend(reader.journalled().filter(|id| !reader.is_being_deleted(*id)));
    let facts = Facts::new(ids);
    let (next, findings) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        let mut look = Look { reader, facts: &facts, options, progress, found: Vec::new() };
        loop {
            let start = next.fetch_add(STRETCH, Ordering::Relaxed);
            let stretch = facts.ids.get(start..facts.ids.len().min(start + STRETCH)).unwrap_or_default();
            if stretch.is_empty() {
                break;
            }
            for (at, id) in (start..).zip(stretch) {
                let group = groups.binary_search_by_key(id, |group| folder.chunks[group.start].inode);
                let chunks = group.map_or(&[][..], |group| &folder.chunks[groups[group].clone()]);
                look.inode(at, *id, chunks);
                progress.done.fetch_add(chunks.len() as u64, Ordering::Relaxed);
            }
        }
        findings.lock().append(&mut look.found);
    };
    thread::scope(|scope| {
        (1..options.threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    Ok((facts, findings.into_inner()))
}

struct Look<'a> {
    reader: &'a Reader,
    facts: &'a Facts,
    options: Options,
    progress: &'a Progress,
    found: Vec<Finding>,
}

impl Look<'_> {
    fn find(&mut self, what: What, chunk: ChunkId) {
        let file = self.reader.context().file_name(chunk);
        self.found.push(Finding::of(what, chunk, file, self.reader.path_of(chunk.inode)));
    }

    /// `chunks`: those of the inode that have a file.
    fn inode(&mut self, at: usize, id: InodeId, chunks: &[ChunkId]) {
        let node = match self.reader.node(id) {
            Ok(node) => node,
            Err(error) => {
                let further =
                    chunks.iter().map(|chunk| chunk.index).filter(|index| !index.is_first()).collect();
                let why = Why { trouble: Trouble::of(&error), further };
                *self.facts.inodes[at].why.lock() = Some(Box::new(why));
                return;
            }
        };
        self.facts.note_record(at, &node);
        match node.further() {
            Err(error) => self.find(What::Table(Trouble::of(&error)), ChunkId::first(id)),
            Ok(further) => {
                let is_named = |chunk: &&ChunkId| {
                    chunk.index.is_first()
                        || further.binary_search_by_key(&chunk.index, |(index, _)| *index).is_ok()
                };
                let unused: Vec<_> = chunks.iter().filter(|chunk| !is_named(chunk)).collect();
                unused.into_iter().for_each(|chunk| self.find(What::Unused, *chunk));
            }
        }
        match node.record.kind {
            Kind::Directory => self.directory(at, &node),
            Kind::File => self.content(&node),
            _ => {}
        }
    }

    fn directory(&mut self, at: usize, node: &Node) {
        // What it names was moved out of it or deleted, too.
        if was_deleted_here(self.reader, node.id) {
            return;
        }
        match self.reader.entries(node) {
            Err(error) => {
                let chunk = chunk_of(&error).unwrap_or(ChunkId::first(node.id));
                self.find(What::Entries(Trouble::of(&error)), chunk);
            }
            Ok(entries) => {
                for (name, child, kind) in self.facts.note_entries(at, &entries) {
                    let trouble = match self.reader.node(child) {
                        // Made since the folder was listed, beside a mount.
                        Ok(_) => continue,
                        Err(error) => Trouble::of(&error),
                    };
                    let path = self.reader.path_of(node.id).map(|path| join(&path, &name));
                    let chunk = ChunkId::first(child);
                    let what =
                        What::Dangling { directory: node.id, name, kind, trouble, further: Vec::new() };
                    let file = self.reader.context().file_name(chunk);
                    self.found.push(Finding::of(what, chunk, file, path));
                }
            }
        }
    }

    fn content(&mut self, node: &Node) {
        let mut content = Content::new(self.reader, node);
        let layout = content.layout();
        let mut lost = layout.lost;
        if self.options.data {
            let mut buffer = vec![0; PIECE];
            for range in layout.data {
                for offset in (range.start..range.end).step_by(PIECE) {
                    let length = (range.end - offset).min(PIECE as u64);
                    let whole = length.next_multiple_of(crate::chunk::BLOCK as u64) as usize;
                    content.read_rest(offset, &mut buffer[..whole], &mut lost);
                    self.progress.bytes.fetch_add(length, Ordering::Relaxed);
                }
            }
        }
        for Lost { range, error } in lost {
            let chunk = chunk_of(&error).unwrap_or(ChunkId::first(node.id));
            self.find(What::Content { range, trouble: Trouble::of(&error) }, chunk);
        }
    }
}

fn chunk_of(error: &Error) -> Option<ChunkId> {
    match error {
        Error::Damaged(chunk, _) | Error::NotArrived(chunk) => Some(*chunk),
        _ => None,
    }
}

pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') }
}
