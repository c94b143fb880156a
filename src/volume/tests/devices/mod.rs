//! Several devices in turns, each with a copy of its own of one volume, and a client that copies single files: whatever
//! the order, in the end all show the same, nothing that was made is lost, and nothing is written any more.
//!
//! `CRYPTFS_WALKS=100000` is the long form.

mod client;
mod walks;

use super::*;
use crate::chunk::ChunkId;
use crate::store::CopyName;
use crate::store::memory::{Item, Memory};
use crate::test_rng::TestRng;
use crate::volume::Rename;
use crate::volume::mutants::{self, Mutant};
use client::{Client, Style};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A path, and what is there: content, or none for a directory.
type Tree = BTreeMap<String, Option<String>>;

struct Device {
    keys: Fixture,
    store: Memory,
    client: Client,
}

struct World {
    devices: Vec<Device>,
    server: Memory,
    /// Content that was acknowledged, and content that somebody removed having seen it.
    made: BTreeSet<String>,
    removed: BTreeSet<String>,
    log: Vec<String>,
}

const IDS: [(&str, [u8; 8]); 3] = [("AAAAAAA", [0xa1; 8]), ("BBBBBBB", [0xb2; 8]), ("CCCCCCC", [0xc3; 8])];

impl World {
    fn new(count: usize, styles: &[Style]) -> World {
        let first = Fixture::new();
        let server = Memory::new();
        first.format(Arc::new(server.clone())).close().unwrap();
        let device = |(at, (name, id)): (usize, &(&'static str, [u8; 8]))| Device {
            keys: first.another(*id),
            store: Memory::new(),
            client: Client::new(name, styles[at % styles.len()]),
        };
        let mut world = World {
            devices: IDS.iter().take(count).enumerate().map(device).collect(),
            server,
            made: BTreeSet::new(),
            removed: BTreeSet::new(),
            log: Vec::new(),
        };
        (0..count).for_each(|at| assert!(world.sync_all(at)));
        world
    }

    fn mount(&self, at: usize) -> Arc<Volume> {
        let device = &self.devices[at];
        let volume = device.keys.open(Arc::new(device.store.clone()));
        volume.merge().unwrap();
        volume
    }

    /// Does something on a device and unmounts it.
    fn at<R>(&mut self, at: usize, work: impl FnOnce(&mut World, &Volume) -> R) -> R {
        let volume = self.mount(at);
        let done = work(self, &volume);
        volume.close().unwrap();
        done
    }

    fn make(&mut self, at: usize, path: &str) {
        let content = format!("{path} of {}", self.devices[at].client.name);
        self.at(at, |_, volume| make(volume, path, &content).unwrap());
        self.made.insert(content);
    }

    fn sync_all(&mut self, at: usize) -> bool {
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
    fn sync_some(&mut self, at: usize, random: &mut TestRng) {
        let Device { store, client, .. } = &mut self.devices[at];
        let mut items = client.items(store, &self.server);
        for _ in 0..random.below(items.len() + 1) {
            let item = items.swap_remove(random.below(items.len()));
            client.sync(&item, store, &self.server);
        }
    }

    /// Everything is delivered and merged until nothing changes any more.
    fn settle(&mut self) {
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

    fn images(&self, at: usize) -> Vec<(Item, crate::store::image::Image)> {
        let store = &self.devices[at].store;
        store.items().into_iter().filter_map(|item| Some((item.clone(), store.take(&item)?))).collect()
    }

    /// Settles, and holds what there is against what has to be.
    fn judge(&mut self) -> Tree {
        self.settle();
        let trees: Vec<Tree> =
            (0..self.devices.len()).map(|at| self.at(at, |_, volume| tree(volume))).collect();
        for (tree, device) in trees.iter().zip(&self.devices) {
            assert_eq!(*tree, trees[0], "{} shows something else", device.client.name);
            assert!(
                device.store.copies().is_empty(),
                "conflict copies are left: {:?}",
                device.store.copies()
            );
        }
        let there: BTreeSet<&String> = trees[0].values().flatten().collect();
        let lost: Vec<_> = self.made.difference(&self.removed).filter(|made| !there.contains(made)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}, there is: {:?}", trees[0]);
        trees[0].clone()
    }
}

fn find(volume: &Volume, path: &str) -> Option<Arc<Inode>> {
    let mut at = volume.root().unwrap();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at = volume.lookup(&at, name.as_bytes()).ok()??;
    }
    Some(at)
}

/// The directory of a path, and the last name in it.
fn parent<'a>(volume: &Volume, path: &'a str) -> Option<(Arc<Inode>, &'a [u8])> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    Some((find(volume, directory)?, name.as_bytes()))
}

fn make(volume: &Volume, path: &str, content: &str) -> crate::volume::Result<()> {
    let (directory, name) = parent(volume, path).ok_or(crate::volume::Error::NotFound)?;
    let inode = volume.create(&directory, name, new(Kind::File))?;
    volume.write(&inode, 0, content.as_bytes(), now(), 0)
}

fn make_directory(volume: &Volume, path: &str) -> crate::volume::Result<()> {
    let (directory, name) = parent(volume, path).ok_or(crate::volume::Error::NotFound)?;
    volume.create(&directory, name, new(Kind::Directory)).map(drop)
}

fn rename(volume: &Volume, from: &str, to: &str) -> crate::volume::Result<()> {
    let ends = (parent(volume, from), parent(volume, to));
    let (Some(from), Some(to)) = ends else { return Err(crate::volume::Error::NotFound) };
    let how = Rename::NoReplace;
    volume.rename((&from.0, from.1), (&to.0, to.1), how, None, now()).map(drop)
}

fn edit(volume: &Volume, path: &str, content: &str) -> crate::volume::Result<()> {
    let inode = find(volume, path).ok_or(crate::volume::Error::NotFound)?;
    volume.resize(&inode, 0, now(), 0)?;
    volume.write(&inode, 0, content.as_bytes(), now(), 0)
}

fn remove(volume: &Volume, path: &str) -> crate::volume::Result<()> {
    let (directory, name) = parent(volume, path).ok_or(crate::volume::Error::NotFound)?;
    let removed = volume.unlink(&directory, name, now())?;
    removed.into_iter().for_each(|inode| volume.release(inode));
    Ok(())
}

/// Everything that can be reached; no file's link count is less than the number of its names.
fn tree(volume: &Volume) -> Tree {
    let (mut tree, mut names_of) = (Tree::new(), BTreeMap::<_, u32>::new());
    let mut todo = vec![(String::new(), volume.root().unwrap())];
    while let Some((path, directory)) = todo.pop() {
        let mut below = 0;
        for name in names(volume, &directory) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let inode = volume.lookup(&directory, name.as_bytes()).unwrap().expect("it was listed");
            if inode.is_directory() {
                below += 1;
                assert!(tree.insert(path.clone(), None).is_none(), "{path} twice");
                todo.push((path, inode));
            } else {
                let content = String::from_utf8(content(volume, &inode)).unwrap();
                *names_of.entry(inode.id()).or_default() += 1;
                assert!(tree.insert(path.clone(), Some(content)).is_none(), "{path} twice");
            }
        }
        assert_eq!(directory.view(|record| record.links_count), 2 + below, "link count of {path}");
        assert!(tree.len() < 10_000, "a ring");
    }
    for (id, count) in names_of {
        // One too many may be left where a name's removal arrives after the file: a check tells of it.
        let links = volume.inode(id).unwrap().view(|record| record.links_count);
        assert!(links >= count, "{links} links of {id:?}, which has {count} names");
    }
    tree
}

const BOTH: [Style; 2] = [Style::OursAside, Style::TheirsAside];

#[test]
fn names_that_two_devices_make_in_one_directory_are_both_there() {
    for styles in [[BOTH[0], BOTH[0]], [BOTH[1], BOTH[1]], [BOTH[0], BOTH[1]]] {
        let mut world = World::new(2, &styles);
        world.make(0, "of a");
        world.make(1, "of b");
        let tree = world.judge();
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["of a", "of b"]);
    }
}

#[test]
fn of_two_files_of_one_name_both_are_there_on_both_devices() {
    let mut world = World::new(2, &BOTH);
    world.make(0, "report.odt");
    world.make(1, "report.odt");
    let tree = world.judge();
    let names: Vec<_> = tree.keys().collect();
    assert!(
        names.len() == 2 && names[0].starts_with("report (conflict 20") && names[1] == "report.odt",
        "{names:?}"
    );
    // Whoever removes one of them leaves the other.
    world.at(1, |_, volume| remove(volume, "report.odt").unwrap());
    world.removed.insert(tree["report.odt"].clone().unwrap());
    assert_eq!(world.judge().into_iter().collect::<Vec<_>>(), [(names[0].clone(), tree[names[0]].clone())]);
}

#[test]
fn a_file_that_was_renamed_on_both_sides_has_both_names_and_lives_as_long_as_one() {
    let mut world = World::new(2, &BOTH);
    world.make(0, "f");
    world.judge();
    world.at(0, |_, volume| rename(volume, "f", "by a").unwrap());
    world.at(1, |_, volume| rename(volume, "f", "by b").unwrap());
    let tree = world.judge();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["by a", "by b"]);
    world.at(0, |_, volume| remove(volume, "by a").unwrap());
    let tree = world.judge();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["by b"]);
}

#[test]
fn a_directory_that_was_renamed_on_both_sides_stands_in_one_place() {
    for (to_a, to_b) in [("by a", "by b"), ("p/by a", "by b"), ("p/by a", "q/by b")] {
        let mut world = World::new(2, &BOTH);
        world.at(0, |_, volume| {
            ["d", "p", "q"].iter().try_for_each(|name| make_directory(volume, name)).unwrap()
        });
        world.make(0, "d/f");
        world.judge();
        world.at(0, |_, volume| rename(volume, "d", to_a).unwrap());
        world.at(1, |_, volume| rename(volume, "d", to_b).unwrap());
        let tree = world.judge();
        assert!(tree.contains_key(&format!("{to_b}/f")) && !tree.contains_key(to_a), "{:?}", tree.keys());
    }
}

#[test]
fn of_two_versions_of_a_file_both_are_there() {
    for (styles, length) in
        [([BOTH[0]; 2], 10), ([BOTH[1]; 2], 10), ([BOTH[0]; 2], 700_000), ([BOTH[1]; 2], 700_000)]
    {
        let mut world = World::new(2, &styles);
        world.make(0, "report.odt");
        let original = "report.odt of AAAAAAA".to_owned();
        world.judge();
        let version = |name: &str| name.repeat(length / name.len());
        for (at, name) in [(0, "of a "), (1, "of b ")] {
            world.at(at, |_, volume| edit(volume, "report.odt", &version(name)).unwrap());
            world.made.insert(version(name));
        }
        world.removed.insert(original);
        let tree = world.judge();
        let names: Vec<_> = tree.keys().collect();
        assert!(
            names.len() == 2 && names[0].starts_with("report (conflict 20") && names[1] == "report.odt",
            "{names:?}"
        );
    }
}

/// For as long as the other version stands beside it.
#[test]
fn a_conflict_is_counted_where_it_was_resolved() {
    let mut world = World::new(2, &BOTH);
    world.make(0, "report.odt");
    world.judge();
    for (at, name) in [(0, "of a"), (1, "of b")] {
        world.at(at, |_, volume| edit(volume, "report.odt", name).unwrap());
    }
    (0..2).for_each(|at| assert!(world.sync_all(at)));
    let counted = (0..2).map(|at| {
        let volume = world.mount(at);
        let count = volume.condition().unwrap().conflicts;
        let names = names(&volume, &volume.root().unwrap());
        if let Some(beside) = names.iter().find(|name| name.starts_with("report (conflict")) {
            remove(&volume, beside).unwrap();
            assert_eq!(volume.condition().unwrap().conflicts, 0);
        }
        volume.close().unwrap();
        count
    });
    assert_eq!(counted.sum::<usize>(), 1);
}

#[test]
fn what_both_wrote_alike_is_no_conflict_and_attributes_are_the_later_ones() {
    let mut world = World::new(2, &BOTH);
    world.make(0, "f");
    world.judge();
    for at in 0..2 {
        world.at(at, |_, volume| edit(volume, "f", "the same").unwrap());
    }
    let set_mode = |volume: &Volume, mode| {
        let inode = find(volume, "f").unwrap();
        volume.set_attributes(&inode, |record| std::mem::replace(&mut record.mode, mode) == mode).unwrap();
    };
    world.at(1, |_, volume| set_mode(volume, 0o600));
    world.at(0, |_, volume| set_mode(volume, 0o640));
    world.removed.extend(world.made.clone());
    let tree = world.judge();
    assert_eq!(tree.into_iter().collect::<Vec<_>>(), [("f".to_owned(), Some("the same".to_owned()))]);
    for at in 0..2 {
        let mode = world.at(at, |_, volume| find(volume, "f").unwrap().view(|record| record.mode));
        assert_eq!(mode, 0o640);
    }
}

/// Backups and editors make such copies, and a provider can: what was overwritten does not come back.
#[test]
fn an_older_version_that_somebody_kept_beside_is_no_conflict() {
    let mut world = World::new(1, &BOTH);
    world.make(0, "f");
    let name = world.at(0, |_, volume| {
        let first_chunk = ChunkId { inode: find(volume, "f").unwrap().id(), index: 0 };
        volume.base.context.file_name(first_chunk)
    });
    let store = world.devices[0].store.clone();
    let below = name.path().strip_prefix("chunks/").unwrap().to_owned() + "~";
    let copy = Item::Copy(CopyName::parse(below.as_bytes()).unwrap());
    let older = store.take(&Item::File(name));
    world.at(0, |_, volume| edit(volume, "f", "newer").unwrap());
    store.put(&copy, older);
    let shown = world.at(0, |_, volume| tree(volume));
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), [("f".to_owned(), Some("newer".to_owned()))]);
    assert!(store.take(&copy).is_some(), "it is nobody's here, and stays");
}

/// The client brings another device's directory before the copy of this one's: what is added meanwhile must not hide what
/// this device had made.
#[test]
fn names_that_are_elsewhere_for_a_while_do_not_count_as_removed() {
    for only_looks in [false, true] {
        let mut world = World::new(2, &[Style::TheirsAside; 2]);
        world.make(0, "of a");
        world.sync_all(0);
        world.make(1, "of b");
        world.sync_all(1);
        let Device { store, client, .. } = &mut world.devices[0];
        let files =
            client.items(store, &world.server).into_iter().filter(|item| matches!(item, Item::File(_)));
        for item in files.collect::<Vec<_>>() {
            client.sync(&item, store, &world.server);
        }
        if only_looks {
            world.at(0, |_, _| ());
        }
        world.make(0, "later");
        world.make(0, "later still");
        let tree = world.judge();
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["later", "later still", "of a", "of b"]);
    }
}

/// The rules that this needs, each broken once.
#[test]
fn every_broken_rule_is_noticed() {
    let faults = [
        Mutant::JoinTakesOne,
        Mutant::LinksNotPutRight,
        Mutant::CopyRemovedUnmerged,
        Mutant::LostVersionDropped,
        Mutant::OlderCopySaved,
        Mutant::OwnWorkCovered,
    ];
    for fault in faults {
        mutants::plant(Some(fault));
        let noticed = catch_unwind(AssertUnwindSafe(|| {
            names_that_two_devices_make_in_one_directory_are_both_there();
            a_file_that_was_renamed_on_both_sides_has_both_names_and_lives_as_long_as_one();
            of_two_versions_of_a_file_both_are_there();
            an_older_version_that_somebody_kept_beside_is_no_conflict();
            names_that_are_elsewhere_for_a_while_do_not_count_as_removed();
        }));
        mutants::plant(None);
        assert!(noticed.is_err(), "{fault:?}");
    }
}
