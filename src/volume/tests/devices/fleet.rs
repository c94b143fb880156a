//! Devices with a copy each of one volume, the server between them, what was acknowledged, and the judge.

use super::super::*;
use super::client::{Client, Style};
use crate::chunk::{ChunkId, InodeId};
use crate::store::FileName;
use crate::store::memory::{Item, Memory};
use crate::test_rng::TestRng;
use crate::volume::Rename;
use crate::volume::inode::state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A path, and what is there: content, or none for a directory.
pub type Tree = BTreeMap<String, Option<String>>;

pub struct Device {
    pub keys: Fixture,
    pub store: Memory,
    pub client: Client,
}

pub struct FleetFixture {
    pub devices: Vec<Device>,
    pub server: Memory,
    /// Content that was acknowledged, and content that somebody removed having seen it.
    pub made: BTreeSet<String>,
    pub removed: BTreeSet<String>,
    pub log: Vec<String>,
}

pub const IDS: [(&str, [u8; 8]); 3] =
    [("AAAAAAA", [0xa1; 8]), ("BBBBBBB", [0xb2; 8]), ("CCCCCCC", [0xc3; 8])];

impl FleetFixture {
    pub fn new(count: usize, styles: &[Style]) -> FleetFixture {
        let first = Fixture::new();
        let server = Memory::new();
        first.format(Arc::new(server.clone())).close().unwrap();
        let device = |(at, (name, id)): (usize, &(&'static str, [u8; 8]))| Device {
            keys: first.another(*id),
            store: Memory::new(),
            client: Client::new(name, styles[at % styles.len()]),
        };
        let mut fleet = FleetFixture {
            devices: IDS.iter().take(count).enumerate().map(device).collect(),
            server,
            made: BTreeSet::new(),
            removed: BTreeSet::new(),
            log: Vec::new(),
        };
        (0..count).for_each(|at| assert!(fleet.sync_all(at)));
        fleet
    }

    pub fn mount(&self, at: usize) -> Arc<Volume> {
        let device = &self.devices[at];
        let volume = device.keys.open(Arc::new(device.store.clone()));
        volume.merge().unwrap();
        volume
    }

    /// Does something on a device and unmounts it.
    pub fn at<R>(&mut self, at: usize, work: impl FnOnce(&mut FleetFixture, &Volume) -> R) -> R {
        let volume = self.mount(at);
        let done = work(self, &volume);
        volume.close().unwrap();
        done
    }

    pub fn make(&mut self, at: usize, path: &str) {
        let content = format!("{path} of {}", self.devices[at].client.name);
        self.at(at, |_, volume| make(volume, path, &content).unwrap());
        self.made.insert(content);
    }

    pub fn sync_all(&mut self, at: usize) -> bool {
        let Device { store, client, .. } = &mut self.devices[at];
        let mut any = false;
        // What a conflict makes is sent too.
        for _ in 0..2 {
            for item in client.items(store, &self.server) {
                any |= client.sync(&item, store, &self.server);
            }
        }
        any
    }

    /// Copies some of the files, in any order.
    pub fn sync_some(&mut self, at: usize, random: &mut TestRng) {
        let Device { store, client, .. } = &mut self.devices[at];
        let mut items = client.items(store, &self.server);
        for _ in 0..random.below(items.len() + 1) {
            let item = items.swap_remove(random.below(items.len()));
            client.sync(&item, store, &self.server);
        }
    }

    /// Everything is delivered and merged until nothing changes any more.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            let mut any = false;
            for at in 0..self.devices.len() {
                any |= self.sync_all(at);
            }
            for at in 0..self.devices.len() {
                let before = self.images(at);
                self.at(at, |_, _| ());
                any |= before != self.images(at);
            }
            if !any {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// So much time passes on all devices, and everything is delivered and merged again.
    pub fn wait(&mut self, time: Duration) {
        self.devices.iter().for_each(|device| device.store.wait(time));
        self.settle();
    }

    pub fn images(&self, at: usize) -> Vec<(Item, crate::store::image::Image)> {
        let store = &self.devices[at].store;
        store.items().into_iter().filter_map(|item| Some((item.clone(), store.take(&item)?))).collect()
    }

    /// Each device looks at everything; whether any wrote something then: who looks at a file puts right what it says of
    /// its names.
    pub fn look(&mut self, look: fn(&Volume) -> Tree) -> bool {
        let mut any = false;
        for at in 0..self.devices.len() {
            let before = self.images(at);
            self.at(at, |_, volume| drop(look(volume)));
            any |= before != self.images(at);
        }
        any
    }

    /// Settles, also what waits for an hour, and holds what there is against what has to be.
    pub fn judge(&mut self) -> Tree {
        let hour = Duration::from_secs(3600);
        self.settle();
        self.wait(hour);
        // A name of what was deleted answers with an error until the device that deleted it has looked.
        for look in [readable, tree] {
            if self.look(look) {
                self.wait(hour);
            }
        }
        let trees: Vec<Tree> =
            (0..self.devices.len()).map(|at| self.at(at, |_, volume| exact_tree(volume))).collect();
        for (tree, device) in trees.iter().zip(&self.devices) {
            assert_eq!(*tree, trees[0], "{} shows something else", device.client.name);
            assert!(
                device.store.copies().is_empty(),
                "conflict copies are left: {:?}",
                device.store.copies()
            );
        }
        self.check_made(&trees[0]);
        trees[0].clone()
    }

    /// Nothing that was acknowledged is lost.
    pub fn check_made(&self, tree: &Tree) {
        let there: BTreeSet<&String> = tree.values().flatten().collect();
        let lost: Vec<_> = self.made.difference(&self.removed).filter(|made| !there.contains(made)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}, there is: {tree:?}");
    }
}

pub fn find(volume: &Volume, path: &str) -> Option<Arc<Inode>> {
    let mut at = volume.root().unwrap();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at = volume.lookup(&at, name.as_bytes()).ok()??;
    }
    Some(at)
}

/// The name of the chunk file of what has a path.
pub fn file_of(volume: &Volume, path: &str) -> FileName {
    volume.base.context.file_name(ChunkId::first(find(volume, path).unwrap().id()))
}

/// The directory of a path, and the last name in it.
pub fn parent<'a>(volume: &Volume, path: &'a str) -> Option<(Arc<Inode>, &'a [u8])> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    Some((find(volume, directory)?, name.as_bytes()))
}

pub fn make(volume: &Volume, path: &str, content: &str) -> crate::volume::Result<()> {
    let (directory, name) = parent(volume, path).ok_or(crate::volume::Error::NotFound)?;
    let inode = volume.create(&directory, name, new(Kind::File))?;
    volume.write(&inode, 0, content.as_bytes(), now(), 0)
}

pub fn make_directory(volume: &Volume, path: &str) -> crate::volume::Result<()> {
    let (directory, name) = parent(volume, path).ok_or(crate::volume::Error::NotFound)?;
    volume.create(&directory, name, new(Kind::Directory)).map(drop)
}

pub fn rename(volume: &Volume, from: &str, to: &str) -> crate::volume::Result<()> {
    let ends = (parent(volume, from), parent(volume, to));
    let (Some(from), Some(to)) = ends else { return Err(crate::volume::Error::NotFound) };
    let how = Rename::NoReplace;
    volume.rename((&from.0, from.1), (&to.0, to.1), how, None, now()).map(drop)
}

pub fn edit(volume: &Volume, path: &str, content: &str) -> crate::volume::Result<()> {
    let inode = find(volume, path).ok_or(crate::volume::Error::NotFound)?;
    volume.resize(&inode, 0, now(), 0)?;
    volume.write(&inode, 0, content.as_bytes(), now(), 0)
}

pub fn remove(volume: &Volume, path: &str) -> crate::volume::Result<()> {
    let (directory, name) = parent(volume, path).ok_or(crate::volume::Error::NotFound)?;
    let removed = volume.unlink(&directory, name, now())?;
    removed.into_iter().for_each(|inode| volume.release(inode));
    Ok(())
}

pub fn make_directories(fleet: &mut FleetFixture, at: usize, paths: &[&str]) {
    fleet.at(at, |_, volume| paths.iter().try_for_each(|path| make_directory(volume, path)).unwrap());
}

/// As `rm -r`.
pub fn remove_all(volume: &Volume, path: &str) -> crate::volume::Result<()> {
    let inode = find(volume, path).ok_or(crate::volume::Error::NotFound)?;
    if !inode.is_directory() {
        return remove(volume, path);
    }
    names(volume, &inode).iter().try_for_each(|name| remove_all(volume, &format!("{path}/{name}")))?;
    let (directory, name) = parent(volume, path).ok_or(crate::volume::Error::NotFound)?;
    let removed = volume.remove_directory(&directory, name, now())?;
    removed.into_iter().for_each(|inode| volume.release(inode));
    Ok(())
}

/// Everything that can be reached; no file's link count is less than the number of its names.
pub fn tree(volume: &Volume) -> Tree {
    let (tree, counts, _) = tree_and_counts(volume);
    // One too many is there where a name's removal arrives after the file.
    counts
        .iter()
        .for_each(|(id, (said, count))| assert!(said >= count, "{said} links of {id:?}, which has {count}"));
    tree
}

/// The same, and each link count is the number of names, and each directory is in one place.
pub fn exact_tree(volume: &Volume) -> Tree {
    let (tree, counts, places) = tree_and_counts(volume);
    places.iter().for_each(|(id, count)| assert_eq!(*count, 1, "places of {id:?}, there is: {tree:?}"));
    for (id, (said, count)) in counts {
        let links = volume.inode(id).unwrap().view(|record| record.extension.links.clone());
        assert_eq!(said, count, "links of {id:?}: {links:?}, there is: {tree:?}");
    }
    tree
}

/// What a file says its link count is, and how many names lead to it.
type Counts = BTreeMap<InodeId, (u32, u32)>;

/// The tree, with the counts of each file; of each directory how many names lead to it.
fn tree_and_counts(volume: &Volume) -> (Tree, Counts, BTreeMap<InodeId, u32>) {
    let (mut tree, mut places) = (Tree::new(), BTreeMap::new());
    let mut counts = Counts::new();
    let mut todo = vec![(String::new(), volume.root().unwrap())];
    while let Some((path, directory)) = todo.pop() {
        let mut below = 0;
        for name in names(volume, &directory) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let (id, kind) = volume.entry(&directory, name.as_bytes()).unwrap().expect("it was listed");
            below += u32::from(kind == Kind::Directory);
            let inode = match volume.named_inode(&directory, name.as_bytes(), id) {
                // A name given to what somebody else deleted: it can be removed.
                Err(crate::volume::Error::NotArrived(_)) => continue,
                inode => inode.unwrap_or_else(|error| panic!("{path}: {error}")),
            };
            if inode.is_directory() {
                assert!(tree.insert(path.clone(), None).is_none(), "{path} twice");
                *places.entry(inode.id()).or_insert(0) += 1;
                todo.push((path, inode));
            } else {
                let content = String::from_utf8(content(volume, &inode)).unwrap();
                let said = inode.view(|record| record.links_count);
                counts.entry(inode.id()).or_insert((said, 0)).1 += 1;
                assert!(tree.insert(path.clone(), Some(content)).is_none(), "{path} twice");
            }
        }
        assert_eq!(directory.view(|record| record.links_count), 2 + below, "link count of {path}");
        assert!(tree.len() < 10_000, "a ring");
    }
    (tree, counts, places)
}

/// Ends a mount without a checkpoint, once all that was done in it is durable.
pub fn kill(volume: Arc<Volume>) {
    for inode in readable(&volume).keys().filter_map(|path| find(&volume, path)) {
        volume.sync(&inode, false).unwrap();
    }
    // Another device may have deleted the folder of a file that was written to.
    let is_file = |state: &State| state.record.kind == Kind::File && state.record.links_count > 0;
    volume.cache.queued(is_file).iter().for_each(|inode| drop(volume.sync(inode, false)));
    volume.sync_directory(&volume.root().unwrap()).unwrap();
}

/// What can be read of the tree while files are on their way. A folder may lie in itself until that is put right.
pub fn readable(volume: &Volume) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![(String::new(), vec![volume.root().unwrap()])];
    while let Some((path, above)) = todo.pop() {
        let directory = above.last().expect("the folder itself").clone();
        let mut found = Vec::new();
        let mut visit = |_: u64, name: &[u8], _, _| {
            found.push(String::from_utf8_lossy(name).into_owned());
            true
        };
        if volume.read_directory(&directory, 0, &mut visit).is_err() {
            continue;
        }
        for name in found {
            let path = format!("{path}/{name}").trim_start_matches('/').to_owned();
            let Ok(Some(inode)) = volume.lookup(&directory, name.as_bytes()) else { continue };
            if inode.is_directory() {
                tree.insert(path.clone(), None);
                if above.iter().all(|directory| directory.id() != inode.id()) {
                    todo.push((path, [&above[..], &[inode]].concat()));
                }
            } else {
                let mut bytes = vec![0; inode.view(|record| record.size) as usize];
                if volume.read(&inode, 0, &mut bytes).is_ok() {
                    tree.insert(path, String::from_utf8(bytes).ok());
                }
            }
        }
    }
    tree
}
