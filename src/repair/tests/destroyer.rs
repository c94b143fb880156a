//! Damage at random: any files of the folder deleted, cut, spoilt, exchanged or brought back. A check always ends, and
//! after a repair the volume opens, what it shows is right, and nothing is lost of which all chunk files are whole.
//! `CRYPTFS_VOLUMES=10000` is the long form.

use super::super::Choices;
use super::world::{World, garbage, kind, now};
use crate::store::{FileName, Store};
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Volumes that are damaged unless it is said otherwise.
const VOLUMES: usize = 40;

#[test]
fn whatever_is_destroyed_the_rest_comes_back() {
    let mut rng = TestRng(seed());
    for _ in 0..variable("CRYPTFS_VOLUMES").unwrap_or(VOLUMES) {
        let here = rng.0;
        let mut world = World::new();
        let before: BTreeMap<FileName, Vec<u8>> =
            world.files().into_iter().map(|name| (name, world.bytes_of(name))).collect();
        change(&mut world, &mut rng);
        let (damaged, what) = destroy(&world, &before, &mut rng);
        check(&world, &damaged, &format!("CRYPTFS_SEED={here}: {what:?}"));
    }
}

/// Some files get other content, so that there are older versions of them.
fn change(world: &mut World, rng: &mut TestRng) {
    let volume = world.open();
    for path in ["top", "a/one", "a/b/six", "big"] {
        if rng.below(2) == 0 {
            let inode = volume.inode(world.id(path)).unwrap();
            let content = garbage(world.expected[path].len());
            volume.write(&inode, 0, &content, now(), 0).unwrap();
            world.expected.insert(path.to_owned(), content);
        }
    }
    if rng.below(2) == 0 {
        volume.close().unwrap();
    } else {
        // As after a kill: with a live journal, and content that no fsync waited for but was written.
        volume.sync_directory(&volume.root().unwrap()).unwrap();
        for path in ["top", "a/one", "a/b/six", "big"] {
            volume.sync(&volume.inode(world.id(path)).unwrap(), false).unwrap();
        }
    }
}

/// Answers which files are not what they were, and how.
fn destroy(
    world: &World,
    before: &BTreeMap<FileName, Vec<u8>>,
    rng: &mut TestRng,
) -> (BTreeSet<FileName>, Vec<String>) {
    let (mut damaged, mut what) = (BTreeSet::new(), Vec::new());
    for _ in 0..1 + rng.below(6) {
        let files = world.files();
        let name = *rng.pick(&files).unwrap();
        let mut bytes = world.bytes_of(name);
        let how = match rng.below(5) {
            0 => {
                world.store.remove(name).unwrap();
                "deleted"
            }
            1 => {
                bytes.truncate(rng.below(bytes.len()));
                world.put_at(name, &bytes);
                "cut"
            }
            2 => {
                let (at, length) = (rng.below(bytes.len()), 1 + rng.below(9000));
                let end = bytes.len().min(at + length);
                bytes[at..end].copy_from_slice(&garbage(end - at));
                world.put_at(name, &bytes);
                "spoilt"
            }
            3 => {
                let other = *rng.pick(&files).unwrap();
                let theirs = world.bytes_of(other);
                world.put_at(name, &theirs);
                world.put_at(other, &bytes);
                damaged.insert(other);
                "exchanged"
            }
            _ => match before.get(&name) {
                Some(old) => {
                    world.put_at(name, old);
                    "brought back"
                }
                None => continue,
            },
        };
        damaged.insert(name);
        what.push(format!("{name:?} {how}"));
    }
    (damaged, what)
}

fn check(world: &World, damaged: &BTreeSet<FileName>, what: &str) {
    world.check(false);
    let whole: Vec<_> = world.expected.iter().filter(|(path, _)| is_whole(world, path, damaged)).collect();
    world.repair(Choices { missing_is_lost: true });
    let left = world.unsettled();
    assert!(left.is_empty(), "{what}: {left:#?}");
    let tree = world.tree();
    for (path, content) in whole {
        assert!(
            tree.values().any(|found| found.as_ref() == Ok(content)),
            "{what}: {path} is lost: {:?}",
            tree.keys()
        );
    }
    for (path, found) in &tree {
        let Ok(found) = found else { continue };
        let is_right = found.is_empty() || world.expected.values().any(|content| content == found);
        assert!(is_right || path.ends_with(".partial"), "{what}: {path} is nothing that was ever there");
    }
    let volume = world.open();
    volume.create(&volume.root().unwrap(), b"afterwards", kind(Kind::File)).unwrap();
    volume.close().unwrap();
}

/// Whether no chunk file of a file was touched, nor a journal, which may be all that has its newest content.
fn is_whole(world: &World, path: &str, damaged: &BTreeSet<FileName>) -> bool {
    let journal = world.context().file_name(world.context().own_journal());
    let chunks = (0..3).map(|index| world.name(world.id(path), index));
    chunks.chain([journal]).all(|name| !damaged.contains(&name))
}
