//! A small volume in memory, what was put into it, and ways to damage it.

use super::super::{Apply, Choices, Plan, Step, open_again};
use crate::check::{self, Checked, Class, Finding, Options, Progress};
use crate::chunk::remembered::Remembered;
use crate::chunk::{ChunkId, ChunkIndex, Context, InodeId, ReadOnly, Recall};
use crate::store::memory::Memory;
use crate::store::{Area, FileName, Store};
use crate::volume::tests::{CHUNK, FIRST, Fixture};
use crate::volume::{Content, Inode, Kind, NewInode, Reader, Timestamp, Volume};
use hashbrown::HashSet;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

pub struct RepairFixture {
    pub fixture: Fixture,
    pub store: Arc<dyn Store>,
    /// Files, by path.
    pub expected: BTreeMap<String, Vec<u8>>,
    ids: BTreeMap<String, InodeId>,
    settled: Mutex<HashSet<String>>,
}

/// What a repair tells.
#[derive(Default)]
pub struct Told {
    /// Files that were copied in part, each with the ranges that are lost.
    pub copied: Vec<String>,
    /// Paths of names that were removed.
    pub removed: Vec<String>,
}

pub fn kind(kind: Kind) -> NewInode<'static> {
    NewInode {
        kind,
        mode: 0o755,
        uid: 1,
        gid: 2,
        device: 0,
        target: b"",
        xattrs: Vec::new(),
        now: Timestamp::now(),
    }
}

pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Bytes that no two calls give alike.
pub fn garbage(length: usize) -> Vec<u8> {
    let seed: [u8; 32] = crate::crypto::random();
    seed.iter().cycle().enumerate().map(|(at, byte)| byte ^ (at / 32) as u8).take(length).collect()
}

impl RepairFixture {
    /// Two levels of folders, files in the root of their chunk, in blocks and in three chunks, one with two names.
    pub fn new() -> RepairFixture {
        RepairFixture::on(Arc::new(Memory::new()))
    }

    pub fn on(store: Arc<dyn Store>) -> RepairFixture {
        let fixture = Fixture::new();
        let volume = fixture.format(store.clone());
        let mut victim = RepairFixture {
            fixture,
            store,
            expected: BTreeMap::new(),
            ids: BTreeMap::new(),
            settled: Mutex::default(),
        };
        let root = volume.root().unwrap();
        let folder = |parent: &Arc<Inode>, name: &str| {
            volume.create(parent, name.as_bytes(), kind(Kind::Directory)).unwrap()
        };
        let (a, b) = (folder(&root, "a"), folder(&root, "b"));
        let inner = folder(&a, "b");
        for (path, id) in [("a", a.id()), ("b", b.id()), ("a/b", inner.id())] {
            victim.ids.insert(path.to_owned(), id);
        }
        for (parent, path, length) in [
            (&root, "top", 50),
            (&root, "big", (FIRST + 2 * CHUNK) as usize - 100),
            (&a, "a/one", 700),
            (&a, "a/two", 30_000),
            (&b, "b/three", 5_000),
            (&inner, "a/b/four", 10),
            (&inner, "a/b/five", 9_000),
            (&inner, "a/b/six", 100_000),
        ] {
            let name = path.rsplit('/').next().unwrap();
            let inode = volume.create(parent, name.as_bytes(), kind(Kind::File)).unwrap();
            let content = garbage(length);
            volume.write(&inode, 0, &content, now(), 0).unwrap();
            victim.ids.insert(path.to_owned(), inode.id());
            victim.expected.insert(path.to_owned(), content);
            if path == "a/two" {
                volume.link(&inode, &root, b"linked", now()).unwrap();
                victim.ids.insert("linked".to_owned(), inode.id());
                victim.expected.insert("linked".to_owned(), victim.expected[path].clone());
            }
        }
        drop((root, a, b, inner));
        volume.close().unwrap();
        victim
    }

    /// The same volume as it lies in another store, on the same device with this memory. No finding is settled.
    pub fn at(&self, store: Arc<dyn Store>, remembered: Remembered) -> RepairFixture {
        RepairFixture {
            fixture: self.fixture.remembering(remembered),
            store,
            expected: self.expected.clone(),
            ids: self.ids.clone(),
            settled: Mutex::default(),
        }
    }

    pub fn id(&self, path: &str) -> InodeId {
        self.ids[path]
    }

    /// How many inodes there are.
    pub fn inodes(&self) -> usize {
        1 + self.ids.values().collect::<HashSet<_>>().len()
    }

    pub fn context(&self) -> Arc<Context> {
        self.fixture.context(self.store.clone())
    }

    pub fn open(&self) -> Arc<Volume> {
        self.fixture.open(self.store.clone())
    }

    /// Another device, with the same keys.
    pub fn forget_all(&mut self) {
        self.fixture = self.fixture.another(*b"device 9");
    }

    pub fn name(&self, inode: InodeId, index: u32) -> FileName {
        self.context().file_name(ChunkId { inode, index: ChunkIndex(index) })
    }

    pub fn remove(&self, inode: InodeId, index: u32) {
        self.store.remove(self.name(inode, index)).unwrap();
    }

    pub fn spoil(&self, inode: InodeId, index: u32, range: Range<u64>) {
        let file = self.store.open(self.name(inode, index)).unwrap();
        let bytes = garbage((range.end - range.start) as usize);
        file.write_at(range.start, &[IoSlice::new(&bytes)]).unwrap();
    }

    pub fn bytes(&self, inode: InodeId, index: u32) -> Vec<u8> {
        self.bytes_of(self.name(inode, index))
    }

    pub fn bytes_of(&self, name: FileName) -> Vec<u8> {
        let file = self.store.open(name).unwrap();
        let mut bytes = vec![0; file.length().unwrap() as usize];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
        bytes
    }

    pub fn put(&self, inode: InodeId, index: u32, bytes: &[u8]) {
        self.put_at(self.name(inode, index), bytes);
    }

    pub fn put_at(&self, name: FileName, bytes: &[u8]) {
        self.store.create(name).unwrap().write_at(0, &[IoSlice::new(bytes)]).unwrap();
    }

    pub fn files(&self) -> Vec<FileName> {
        let mut files = Vec::new();
        for area in [Area::Chunks, Area::Journals] {
            let mut visit = |name: &[u8], _| files.extend(FileName::parse(area, name));
            self.store.list(area, &mut visit).unwrap();
        }
        files.sort_unstable();
        files
    }

    pub fn check(&self, data: bool) -> (Vec<Finding>, Checked) {
        check(&self.fixture, &self.store, data)
    }

    /// What a check finds and its owner was not told of.
    pub fn unsettled(&self) -> Vec<Finding> {
        let settled = self.settled.lock();
        let is_open = |finding: &Finding| finding.class() != Class::Note && !settled.contains(&finding.key());
        self.check(true).0.into_iter().filter(is_open).collect()
    }

    /// Repairs until there is nothing more to do; answers which files were copied in part.
    pub fn repair(&self, choices: Choices) -> Vec<String> {
        self.repair_telling(choices).copied
    }

    /// The same; answers all that its owner is told of what is lost.
    pub fn repair_telling(&self, choices: Choices) -> Told {
        repair(&self.fixture, &self.store, &self.settled, choices)
    }

    /// Everything below the root, by path: content, or that it cannot be read.
    pub fn tree(&self) -> BTreeMap<String, Result<Vec<u8>, String>> {
        let (reader, _) = reader(&self.fixture, &self.store);
        let (mut tree, mut waiting) = (BTreeMap::new(), vec![(InodeId::ROOT, String::new())]);
        while let Some((id, path)) = waiting.pop() {
            let Ok(entries) = reader.node(id).and_then(|node| reader.entries(&node)) else { continue };
            for entry in entries.iter_after(0) {
                let path = format!("{path}{}", String::from_utf8_lossy(entry.name));
                tree.insert(path.clone(), read(&reader, entry.inode).map_err(|error| error.to_string()));
                if entry.kind == Kind::Directory {
                    waiting.push((entry.inode, format!("{path}/")));
                }
            }
        }
        tree
    }
}

fn read(reader: &Reader, id: InodeId) -> crate::volume::Result<Vec<u8>> {
    let node = reader.node(id)?;
    if node.record.kind != Kind::File {
        return Ok(Vec::new());
    }
    let size = node.record.size as usize;
    let mut bytes = vec![0; size.next_multiple_of(crate::chunk::BLOCK)];
    Content::new(reader, &node).read(0, &mut bytes)?;
    bytes.truncate(size);
    Ok(bytes)
}

fn reader(fixture: &Fixture, store: &Arc<dyn Store>) -> (Reader, Vec<crate::volume::Error>) {
    let remembered = Arc::new(fixture.remembered.clone()) as Arc<dyn Recall>;
    let context = fixture.context_with(store.clone(), Arc::new(ReadOnly(remembered)));
    Reader::new(context, CHUNK).with_journals().unwrap()
}

/// What a check of this device finds.
pub fn check(fixture: &Fixture, store: &Arc<dyn Store>, data: bool) -> (Vec<Finding>, Checked) {
    let (reader, journals) = reader(fixture, store);
    let options = Options { data, threads: 1 };
    let mut checked = check::run(&reader, &journals, options, &Progress::default()).unwrap();
    (std::mem::take(&mut checked.findings), checked)
}

/// Repairs until there is nothing more to do, as the program does.
pub fn repair(
    fixture: &Fixture,
    store: &Arc<dyn Store>,
    settled: &Mutex<HashSet<String>>,
    choices: Choices,
) -> Told {
    let mut all = Told::default();
    for _ in 0..6 {
        let (reader, journals) = reader(fixture, store);
        let options = Options { data: true, threads: 1 };
        let checked = check::run(&reader, &journals, options, &Progress::default()).unwrap();
        let known = settled.lock().clone();
        let is_open = |finding: &&Finding| !known.contains(&finding.key());
        let open: Vec<Finding> = checked.findings.iter().filter(is_open).cloned().collect();
        let context = fixture.context(store.clone());
        let plan = Plan::of(&reader, &open, context.own_journal(), choices);
        if plan.is_empty() {
            return all;
        }
        open_again(&context, CHUNK, (1, 2), &plan.steps, &mut |_| Ok(())).unwrap();
        let volume = fixture.open(store.clone());
        let done = Apply::new(&volume, &reader, &checked, now()).run(&plan.steps).unwrap();
        volume.close().unwrap();
        settled.lock().extend(done.settled);
        let told = |(name, lost): (Vec<u8>, Vec<Range<u64>>)| {
            format!("{}: {lost:?}", String::from_utf8_lossy(&name))
        };
        all.copied.extend(done.copied.into_iter().map(told));
        let removed = plan.steps.iter().filter_map(|step| match step {
            Step::RemoveName { path, .. } => Some(String::from_utf8_lossy(path.as_ref()?).into_owned()),
            _ => None,
        });
        all.removed.extend(removed);
    }
    panic!("a repair that does not end: {:#?}", check(fixture, store, true).0);
}
