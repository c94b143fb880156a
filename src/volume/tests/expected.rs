//! What files and directories should hold, and comparing them: see `files`.

use super::hostile::told::Told;
use super::*;
use crate::chunk::InodeId;
use crate::store::faulty::Faulty;
use crate::store::memory::Memory;
use crate::test_rng::TestRng;
use crate::volume::{Error, Result};
use std::collections::BTreeMap;

/// What an inode should be.
#[derive(Default)]
pub(super) struct Node {
    pub id: Option<InodeId>,
    pub content: Vec<u8>,
    /// Where a write failed.
    pub unsure: Vec<(usize, usize)>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub entries: BTreeMap<Vec<u8>, usize>,
    pub is_directory: bool,
    pub links: usize,
}

impl Node {
    pub fn is_sure_within(&mut self, from: usize, until: usize) {
        let outside = |&(a, b): &(usize, usize)| [(a, b.min(from)), (a.max(until), b)];
        self.unsure = self.unsure.iter().flat_map(outside).filter(|(a, b)| a < b).collect();
    }
}

pub(super) struct Expected {
    pub store: Arc<Faulty>,
    pub fixture: Fixture,
    pub others: Vec<Fixture>,
    pub epochs: Vec<Secret>,
    pub volume: Option<Arc<Volume>>,
    /// The first is the root.
    pub nodes: Vec<Node>,
    pub orphans: Vec<(Arc<Inode>, usize)>,
    pub told: Told,
    pub rng: TestRng,
    pub fails: bool,
    /// The device that has not ended well, and whether another one came behind it.
    pub unended: Option<DeviceId>,
    pub abandoned: bool,
}

impl Expected {
    pub fn new(seed: u64, fails: bool) -> Expected {
        let (fixture, store) = (Fixture::new(), Arc::new(Faulty::new(Arc::new(Memory::new()))));
        drop(fixture.format(store.clone()));
        let others = vec![fixture.another(*b"device 2"), fixture.another(*b"device 3")];
        let epochs = vec![fixture.content.duplicate()];
        let root = Node { id: Some(InodeId::ROOT), is_directory: true, links: 1, ..Node::default() };
        let (nodes, orphans) = (vec![root], Vec::new());
        let (told, rng, volume) = (Told::default(), TestRng(seed), None);
        Expected {
            store,
            fixture,
            others,
            epochs,
            volume,
            nodes,
            orphans,
            told,
            rng,
            fails,
            unended: None,
            abandoned: false,
        }
    }

    pub fn open(&mut self) {
        let fixture = match self.rng.below(6) {
            which @ 0..2 => &self.others[which],
            _ => &self.fixture,
        };
        self.abandoned |= self.unended.is_some_and(|device| device != fixture.device);
        let content = self.epochs.iter().map(Secret::duplicate).collect();
        let context =
            Context::new(self.store.clone(), fixture.device, Cipher::Aes256Gcm, &fixture.name, content);
        let context = context.remembering(Arc::new(fixture.remembered.clone()));
        let open_files = NonZeroUsize::new(48 << self.rng.below(4)).unwrap();
        let options = Options { chunk_size: CHUNK, read_only: false, open_files, stateless: false };
        let volume = Volume::open(Arc::new(context), options).unwrap();
        volume.report_to(Box::new(self.told.clone()), std::iter::empty());
        self.volume = Some(volume);
    }

    pub fn volume(&self) -> &Arc<Volume> {
        self.volume.as_ref().unwrap()
    }

    /// An outcome, unless it failed for a lack of room.
    pub fn check<T>(&self, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) if self.fails && (error.is_passing() || matches!(error, Error::NoSpace)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn inode(&self, at: usize) -> Option<Arc<Inode>> {
        if let Some((inode, _)) = self.orphans.iter().find(|orphan| orphan.1 == at) {
            return Some(inode.clone());
        }
        self.check(self.volume().inode(self.nodes[at].id.unwrap()))
    }

    pub fn some(&mut self, wanted: impl Fn(&Node) -> bool) -> Option<usize> {
        let held = |at: &usize| self.orphans.iter().any(|orphan| orphan.1 == *at);
        let found: Vec<usize> = (0..self.nodes.len())
            .filter(|at| (self.nodes[*at].links > 0 || held(at)) && wanted(&self.nodes[*at]))
            .collect();
        if found.is_empty() { None } else { Some(found[self.rng.below(found.len())]) }
    }

    pub fn some_directory(&mut self) -> usize {
        self.some(|node| node.is_directory && node.links > 0).unwrap()
    }

    pub fn some_entry(&mut self) -> Option<(usize, Vec<u8>)> {
        let at = self.some(|node| node.links > 0 && !node.entries.is_empty())?;
        let names: Vec<Vec<u8>> = self.nodes[at].entries.keys().cloned().collect();
        Some((at, names[self.rng.below(names.len())].clone()))
    }

    pub fn some_name(&mut self) -> Vec<u8> {
        let number = self.rng.below(12);
        format!("{number:0>width$}", width = [2, 2, 60, 250][number % 4]).into_bytes()
    }

    pub fn look(&mut self, at: usize) {
        let volume = self.volume().clone();
        let inode = self.inode(at).unwrap();
        let node = &mut self.nodes[at];
        let found: Vec<_> = inode.view(|record| record.extension.xattrs.clone());
        let wanted: Vec<_> =
            node.xattrs.iter().map(|(n, v)| (n.clone().into_boxed_slice(), v.clone())).collect();
        assert!(found == wanted, "xattrs of {at}");
        if node.is_directory {
            let names: Vec<Vec<u8>> = names(&volume, &inode).into_iter().map(String::into_bytes).collect();
            assert_eq!(names.len(), node.entries.len(), "entries of {at}");
            for (name, &below) in &self.nodes[at].entries {
                let found = volume.lookup(&inode, name).unwrap().map(|inode| inode.id());
                assert_eq!(found, self.nodes[below].id, "an entry of {at}");
            }
            return;
        }
        let links = inode.view(|record| (record.links_count as usize, record.extension.links.len()));
        assert_eq!(links, (node.links, node.links), "links of {at}");
        assert_eq!(inode.view(|record| record.size) as usize, node.content.len(), "size of {at}");
        let found = content(&volume, &inode);
        for &(from, until) in &node.unsure {
            node.content[from..until].copy_from_slice(&found[from..until]);
        }
        let first = (0..found.len()).find(|&i| found[i] != node.content[i]);
        assert!(first.is_none(), "content of {at} of {} bytes from {first:?}", found.len());
        let from = self.rng.below(found.len() + 1);
        let data = volume.seek(&inode, from as u64, true).unwrap().map_or(found.len(), |data| data as usize);
        assert!(found[from..data].iter().all(|byte| *byte == 0), "data of {at} in a hole");
    }

    pub fn look_at_all(&mut self) {
        self.store.heal();
        let mut at = 0;
        while at < self.nodes.len() {
            if self.nodes[at].links > 0 || self.orphans.iter().any(|orphan| orphan.1 == at) {
                self.look(at);
            }
            at += 1;
        }
        // A journal that another device left behind may speak of what was deleted since.
        let told = self.told.found();
        assert!(told.iter().all(|found| self.abandoned && found.damage.is_none()), "{told:?}");
    }

    pub fn end(&mut self) {
        self.look_at_all();
        let volume = self.volume().clone();
        if self.fails || self.rng.below(2) == 0 {
            volume.checkpoint().unwrap();
        }
        let ends_well = self.rng.below(2) == 0;
        if !ends_well {
            for at in 0..self.nodes.len() {
                if self.nodes[at].links > 0 {
                    volume.sync(&self.inode(at).unwrap(), false).unwrap();
                }
            }
            volume.sync_directory(&volume.root().unwrap()).unwrap();
        } else if self.rng.below(3) == 0 && volume.reencrypt(&mut |_, _| true).unwrap().is_empty() {
            self.epochs.truncate(1);
            volume.close().unwrap();
        } else {
            volume.close().unwrap();
        }
        self.unended = (!ends_well).then_some(volume.base.context.device);
        self.orphans.clear();
        (self.volume, _) = (None, drop(volume));
        if self.rng.below(4) == 0 {
            self.epochs.insert(0, Secret::random());
        }
    }
}
