//! A reader without a mount has what a mount shows, whatever of the devices' work is here: chunk files, and the journals of all.

use super::walks::walk;
use super::*;
use crate::chunk::InodeId;
use crate::store::Store;
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::reader::{Content, Reader};
use crate::volume::{Options, Record, Volume};
use std::collections::BTreeMap;

/// By path, what is said of an inode and what it has.
type Shown = BTreeMap<String, String>;

fn said(id: InodeId, record: &Record) -> String {
    let mut links: Vec<_> = record.extension.links.iter().map(|link| (link.parent, &link.name)).collect();
    links.sort();
    let names: Vec<_> = links.iter().map(|(parent, name)| (parent, String::from_utf8_lossy(name))).collect();
    format!("{id:?} {:?} {:o} {} {names:?}", record.kind, record.mode, record.links_count)
}

fn shown_by_mount(volume: &Volume) -> Shown {
    let (mut shown, mut todo) = (Shown::new(), vec![(String::new(), InodeId::ROOT, 0)]);
    while let Some((path, id, depth)) = todo.pop() {
        let told = volume.inode(id).and_then(|inode| {
            let mut told = said(id, &inode.view(Record::clone));
            if inode.is_directory() {
                let mut visit = |_: u64, name: &[u8], id, _| {
                    todo.push((format!("{path}/{}", String::from_utf8_lossy(name)), id, depth + 1));
                    depth < 10
                };
                volume.read_directory(&inode, 0, &mut visit)?;
            } else {
                let mut bytes = vec![0; inode.view(|record| record.size) as usize];
                volume.read(&inode, 0, &mut bytes)?;
                told.push_str(&String::from_utf8_lossy(&bytes));
            }
            Ok(told)
        });
        shown.insert(path, told.unwrap_or_else(|error| error.to_string()));
    }
    shown
}

fn shown_by_reader(reader: &Reader) -> Shown {
    let (mut shown, mut todo) = (Shown::new(), vec![(String::new(), InodeId::ROOT, 0)]);
    while let Some((path, id, depth)) = todo.pop() {
        let told = reader.node(id).and_then(|node| {
            let mut told = said(id, &node.record);
            if node.record.kind == Kind::Directory {
                for entry in
                    reader.entries(&node)?.iter_after(0).take(if depth < 10 { usize::MAX } else { 1 })
                {
                    todo.push((
                        format!("{path}/{}", String::from_utf8_lossy(entry.name)),
                        entry.inode,
                        depth + 1,
                    ));
                }
            } else {
                let mut bytes = vec![0; (node.record.size as usize).next_multiple_of(4096)];
                Content::new(reader, &node).read(0, &mut bytes)?;
                bytes.truncate(node.record.size as usize);
                told.push_str(&String::from_utf8_lossy(&bytes));
            }
            Ok(told)
        });
        shown.insert(path, told.unwrap_or_else(|error| error.to_string()));
    }
    shown
}

fn hold_against_each_other(seed: u64, fleet: &FleetFixture, at: usize) {
    let device = &fleet.devices[at];
    let store: Arc<dyn Store> = Arc::new(device.store.clone());
    let (reader, unread) = Reader::new(device.keys.context(store.clone()), CHUNK).with_journals().unwrap();
    let by_reader = shown_by_reader(&reader);
    drop(reader);
    let options = Options { read_only: true, ..options() };
    let volume = Volume::open(device.keys.context(store), options).unwrap();
    let by_mount = shown_by_mount(&volume);
    volume.close().unwrap();
    if by_mount != by_reader {
        let is_other = |path: &&String| by_mount.get(*path) != by_reader.get(*path);
        let paths: std::collections::BTreeSet<_> =
            by_mount.keys().chain(by_reader.keys()).filter(is_other).collect();
        for path in paths {
            println!("{path}\n  mount  {:?}\n  reader {:?}", by_mount.get(path), by_reader.get(path));
        }
        panic!("CRYPTFS_SEED={seed} at {at}, unread {unread:?}\n{}", fleet.log.join("\n"));
    }
}

#[test]
fn a_reader_has_what_a_mount_shows() {
    let mut random = TestRng(seed());
    for _ in 0..variable("CRYPTFS_WALKS").unwrap_or(40) {
        let here = random.0;
        let mut look = |fleet: &mut FleetFixture, at: usize| hold_against_each_other(here, fleet, at);
        walk(here, 2 + random.below(2), true, &mut look);
    }
}
