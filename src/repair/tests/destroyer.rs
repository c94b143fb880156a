//! Damage at random: any files of the folder deleted, cut, spoilt, exchanged or brought back. A check always ends, and
//! after a repair the volume opens, what it shows is right, and nothing is lost of which all chunk files are whole.
//! `scripts/destroyer` is the long form; with `CRYPTFS_ON_DISK=1` the volumes lie in folders.

use super::super::Choices;
use super::fixture::{RepairFixture, garbage, kind, now};
use crate::chunk::InodeId;
use crate::store::directory::Directory;
use crate::store::{FileName, Store};
use crate::test_rng::{TestRng, seed, variable};
use crate::volume::tests::GEOMETRY;
use crate::volume::{Kind, Rename};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A file that has another name at times.
const FIVE: &str = "a/b/five";
const MOVED: &str = "b/moved";
/// Volumes that are damaged unless it is said otherwise.
const VOLUMES: usize = 40;

#[test]
fn whatever_is_destroyed_the_rest_comes_back() {
    let (mut rng, on_disk) = (TestRng(seed()), variable::<u8>("CRYPTFS_ON_DISK").is_some());
    let (begun, limit) = (Instant::now(), variable("CRYPTFS_SECONDS").map(Duration::from_secs));
    for count in 0..variable("CRYPTFS_VOLUMES").unwrap_or(VOLUMES) {
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            return println!("the time is up after {count} volumes");
        }
        let here = rng.0;
        // Dropped behind the volume.
        let folder = on_disk.then(|| tempfile::tempdir().unwrap());
        let store: Option<Arc<dyn Store>> =
            folder.as_ref().map(|folder| Arc::new(Directory::open(folder.path(), false).unwrap()) as _);
        let mut victim = store.map_or_else(RepairFixture::new, RepairFixture::on);
        let before: BTreeMap<FileName, Vec<u8>> =
            victim.files().into_iter().map(|name| (name, victim.bytes_of(name))).collect();
        let former = victim.expected.clone();
        change(&mut victim, &mut rng);
        let after = victim.files().into_iter().map(|name| (name, victim.bytes_of(name))).collect();
        let what = destroy(&victim, &before, &mut rng);
        let states = States { former, before, after };
        states.check(&victim, &format!("CRYPTFS_SEED={here}: {what:?}"));
    }
}

/// What the volume was before some files got other content, and afterwards.
struct States {
    former: BTreeMap<String, Vec<u8>>,
    before: BTreeMap<FileName, Vec<u8>>,
    after: BTreeMap<FileName, Vec<u8>>,
}

/// Some files get other content, and one another name, so that there are older versions of them and of folders.
fn change(victim: &mut RepairFixture, rng: &mut TestRng) {
    let volume = victim.open();
    for path in ["top", "a/one", "a/b/six", "big"] {
        if rng.below(2) == 0 {
            let inode = volume.inode(victim.id(path)).unwrap();
            let content = garbage(victim.expected[path].len());
            volume.write(&inode, 0, &content, now(), 0).unwrap();
            victim.expected.insert(path.to_owned(), content);
        }
    }
    if rng.below(2) == 0 {
        let (from, to) = (volume.inode(victim.id("a/b")).unwrap(), volume.inode(victim.id("b")).unwrap());
        volume.rename((&from, b"five"), (&to, b"moved"), Rename::NoReplace, None, now()).unwrap();
    }
    if rng.below(2) == 0 {
        volume.close().unwrap();
    } else {
        // As after a kill: with a live journal, and content that no fsync waited for but was written.
        volume.sync_directory(&volume.root().unwrap()).unwrap();
        for path in ["top", "a/one", "a/b/six", "big"] {
            volume.sync(&volume.inode(victim.id(path)).unwrap(), false).unwrap();
        }
    }
}

/// Answers what was done to which files.
fn destroy(victim: &RepairFixture, before: &BTreeMap<FileName, Vec<u8>>, rng: &mut TestRng) -> Vec<String> {
    let mut what = Vec::new();
    for _ in 0..1 + rng.below(6) {
        let files = victim.files();
        let name = *rng.pick(&files).unwrap();
        let mut bytes = victim.bytes_of(name);
        let how = match rng.below(5) {
            0 => {
                victim.store.remove(name).unwrap();
                "deleted"
            }
            1 => {
                bytes.truncate(rng.below(bytes.len()));
                victim.put_at(name, &bytes);
                "cut"
            }
            2 => {
                let (at, length) = (rng.below(bytes.len()), 1 + rng.below(9000));
                let end = bytes.len().min(at + length);
                bytes[at..end].copy_from_slice(&garbage(end - at));
                victim.put_at(name, &bytes);
                "spoilt"
            }
            3 => {
                let other = *rng.pick(&files).unwrap();
                let theirs = victim.bytes_of(other);
                victim.put_at(name, &theirs);
                victim.put_at(other, &bytes);
                "exchanged"
            }
            _ => match before.get(&name) {
                Some(old) => {
                    victim.put_at(name, old);
                    "brought back"
                }
                None => continue,
            },
        };
        what.push(format!("{name:?} {how}"));
    }
    what
}

impl States {
    fn check(&self, victim: &RepairFixture, what: &str) {
        victim.check(false);
        let whole: Vec<_> =
            victim.expected.keys().filter_map(|path| Some((path, self.whole(victim, path)?))).collect();
        let named: Vec<_> = victim.expected.keys().filter(|path| self.is_named(victim, path)).collect();
        let told = victim.repair_telling(Choices { missing_is_lost: true, accepts_older: true });
        let left = victim.unsettled();
        assert!(left.is_empty(), "{what}: {left:#?}");
        let tree = victim.tree();
        for (path, contents) in whole {
            let is_there = |found: &Result<Vec<u8>, String>| {
                contents.iter().any(|content| found.as_ref() == Ok(content))
            };
            assert!(tree.values().any(is_there), "{what}: {path} is lost: {:?}", tree.keys());
        }
        // Whose folders are whole is there as it was, copied in part, or told to be gone.
        for path in named {
            let versions = [&victim.expected[path], &self.former[path]];
            let is_there =
                tree.values().any(|found| versions.iter().any(|version| found.as_ref() == Ok(*version)));
            // It is told by one of its names.
            let names = victim.expected.keys().filter(|other| victim.id(other) == victim.id(path));
            let moved = MOVED.to_owned();
            let names: Vec<&String> = names.chain((path == FIVE).then_some(&moved)).collect();
            let is_copied =
                |line: &String| names.iter().any(|name| line.starts_with(&format!("{name}.partial")));
            let is_removed = |told: &String| names.contains(&told);
            let is_told = told.removed.iter().any(is_removed) || told.copied.iter().any(is_copied);
            let is_mixed =
                tree.get(path).is_some_and(|found| found.as_ref().is_ok_and(|f| self.was_ever(victim, f)));
            assert!(
                is_there || is_told || is_mixed,
                "{what}: {path} is gone without a word: {:?}, {:?}",
                told.removed,
                told.copied
            );
        }
        for (path, found) in &tree {
            let Ok(found) = found else { continue };
            let is_right = found.is_empty() || self.was_ever(victim, found);
            assert!(is_right || path.ends_with(".partial"), "{what}: {path} is nothing that was ever there");
        }
        let volume = victim.open();
        volume.create(&volume.root().unwrap(), b"afterwards", kind(Kind::File)).unwrap();
        volume.close().unwrap();
    }

    /// Whether all folders above a file are as they were, and the journal, which may have names that they lack.
    fn is_named(&self, victim: &RepairFixture, path: &str) -> bool {
        let above = path.match_indices('/').map(|(at, _)| victim.id(&path[..at]));
        let other = (path == FIVE).then(|| victim.id("b"));
        let folders = above.chain(other).chain([InodeId::ROOT]).map(|id| victim.name(id, 0));
        let journal = victim.context().file_name(victim.context().own_journal());
        let files = victim.files();
        let is_newest = |name: FileName| match self.after.get(&name) {
            Some(bytes) => files.contains(&name) && victim.bytes_of(name) == *bytes,
            None => !files.contains(&name),
        };
        folders.chain([journal]).all(is_newest)
    }

    /// What a file may hold, if no chunk file of it was touched but for an older version of the only one, nor a journal,
    /// which may be all that has its newest content.
    fn whole<'a>(&'a self, victim: &'a RepairFixture, path: &str) -> Option<Vec<&'a Vec<u8>>> {
        let now: BTreeMap<FileName, Vec<u8>> =
            victim.files().into_iter().map(|name| (name, victim.bytes_of(name))).collect();
        let is_newest = |name: &FileName| now.get(name) == self.after.get(name);
        let chunks: Vec<FileName> = (0..3).map(|index| victim.name(victim.id(path), index)).collect();
        let journal = victim.context().file_name(victim.context().own_journal());
        if !is_newest(&journal) {
            return None;
        }
        let (newest, former) = (&victim.expected[path], &self.former[path]);
        if chunks.iter().all(is_newest) {
            return Some(vec![newest]);
        }
        let is_small = chunks[1..].iter().all(|name| !self.after.contains_key(name));
        let is_older = now.get(&chunks[0]) == self.before.get(&chunks[0]) && now.contains_key(&chunks[0]);
        (is_small && is_older).then(|| vec![newest, former])
    }

    /// A chunk of a large file may be older than the others, once that was accepted.
    fn was_ever(&self, victim: &RepairFixture, found: &[u8]) -> bool {
        let mut paths = victim.expected.keys();
        paths.any(|path| {
            let versions = [&victim.expected[path], &self.former[path]];
            let mut pieces = GEOMETRY.runs(0, found.len()).scan(0, |at, run| {
                let piece = *at..*at + run.length;
                *at = piece.end;
                Some(piece)
            });
            versions[0].len() == found.len()
                && pieces.all(|piece| {
                    versions.iter().any(|version| version[piece.clone()] == found[piece.clone()])
                })
        })
    }
}
