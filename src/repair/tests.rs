//! Each kind of damage: a check names exactly that, a repair mends it, a second check is clean, and everything that was
//! not damaged is what it was. Then damage at random.

mod awaiting;
mod crash;
mod destroyer;
mod devices;
mod fixture;
mod found;

use super::{Choices, LOST_FOUND};
use crate::check::What;
use crate::chunk::{BlockCount, Chunk, ChunkId, ChunkIndex, InodeId};
use crate::store::directory::Directory;
use crate::volume::tests::{FIRST, lower_limits};
use crate::volume::{Record, Rename, Timestamp, Volume};
use fixture::{RepairFixture, garbage, kind, now};
use std::sync::Arc;

/// Checks that exactly these things are found; repairs; checks that nothing is left and the rest is as it was.
fn repaired(victim: &RepairFixture, words: &[&str], lost: &[&str]) -> Vec<String> {
    let before = victim.check(true).0;
    let mut found: Vec<_> = before.iter().map(|finding| finding.what.word()).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, words, "{before:#?}");
    let copied = victim.repair(Choices::default());
    let left = victim.unsettled();
    assert!(left.is_empty(), "{left:#?}");
    let tree = victim.tree();
    for (path, content) in &victim.expected {
        let is_lost = lost.iter().any(|name| path.starts_with(name));
        match tree.get(path) {
            Some(found) => assert!(is_lost || found.as_ref() == Ok(content), "{path} differs"),
            None => assert!(is_lost, "{path} is not there any more: {:?}", tree.keys()),
        }
    }
    // It opens, takes changes, and is as clean as it was afterwards.
    let volume = victim.open();
    let root = volume.root().unwrap();
    volume.create(&root, b"made after the repair", kind(crate::volume::Kind::File)).unwrap();
    volume.close().unwrap();
    assert!(victim.unsettled().is_empty());
    copied
}

#[test]
fn nothing_is_found_in_a_sound_volume() {
    let victim = RepairFixture::new();
    let (findings, checked) = victim.check(true);
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(checked.inodes, victim.inodes() as u64);
    assert_eq!(checked.directories.len(), 4);
    // Live batches count as well.
    let volume = victim.open();
    let root = volume.root().unwrap();
    let folder = volume.create(&root, b"only in the journal", kind(crate::volume::Kind::Directory)).unwrap();
    volume.sync_directory(&root).unwrap();
    drop((folder, volume));
    assert!(victim.check(true).0.is_empty());
}

#[test]
fn a_lost_root_directory_is_made_anew_with_everything_in_its_place() {
    let victim = RepairFixture::new();
    victim.remove(InodeId::ROOT, 0);
    repaired(&victim, &["links", "root", "unnamed"], &[]);
    let victim = RepairFixture::new();
    victim.spoil(InodeId::ROOT, 0, 0..8192);
    repaired(&victim, &["links", "root", "unnamed"], &[]);
}

#[test]
fn a_lost_folder_comes_back_in_its_place_from_what_was_in_it() {
    let victim = RepairFixture::new();
    victim.remove(victim.id("a"), 0);
    // One of the files in it has another name elsewhere.
    repaired(&victim, &["dangling-name", "links", "unnamed"], &[]);
    // With the one above it: its own name is known to nobody.
    let victim = RepairFixture::new();
    victim.remove(victim.id("a"), 0);
    victim.remove(victim.id("a/b"), 0);
    repaired(&victim, &["dangling-name", "links", "unnamed"], &["a/b"]);
    let found = victim.tree();
    let lost: Vec<_> = found.keys().filter(|path| path.starts_with("lost+found/")).collect();
    assert_eq!(lost.len(), 4, "the folder and its files: {lost:?}");
}

/// Mounts until this device has kept what these inodes are like: of files that just changed it does not.
fn keep(victim: &RepairFixture, inodes: &[InodeId]) {
    let is_kept = |id: &InodeId| victim.context().recall.attributes(*id).is_some();
    for _ in 0..100 {
        let volume = victim.open();
        volume.start().unwrap();
        let known: Vec<_> = inodes.iter().map(|id| volume.inode(*id).unwrap()).collect();
        volume.close().unwrap();
        drop((known, volume));
        if inodes.iter().all(is_kept) {
            return;
        }
    }
    panic!("nothing is kept");
}

/// Names of folders that are lost together with those above them are what this device kept of them.
#[test]
fn a_lost_tree_of_folders_comes_back_with_its_names() {
    for lost in [&["a", "a/b"][..], &["", "a", "a/b"]] {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let victim = RepairFixture::on(Arc::new(Directory::open(folder.path(), false).unwrap()));
        keep(&victim, &[victim.id("a"), victim.id("a/b")]);
        for path in lost {
            victim.remove(if path.is_empty() { InodeId::ROOT } else { victim.id(path) }, 0);
        }
        victim.repair(Choices::default());
        assert!(victim.unsettled().is_empty(), "{:?}", victim.unsettled());
        let tree = victim.tree();
        let wrong = |(path, content): &(&String, &Vec<u8>)| tree.get(*path) != Some(&Ok((*content).clone()));
        let wrong: Vec<_> = victim.expected.iter().filter(wrong).map(|(path, _)| path).collect();
        assert!(wrong.is_empty(), "{lost:?}: {wrong:?} of {:?}", tree.keys());
    }
}

/// By its record, if only its entries are lost; else as this device kept it at the end of a mount.
#[test]
fn a_folder_that_is_rebuilt_is_like_the_lost_one() {
    for lost in ["a", ""] {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let victim = RepairFixture::on(Arc::new(Directory::open(folder.path(), false).unwrap()));
        let find = |volume: &Volume| match lost {
            "" => volume.root().unwrap(),
            _ => volume.lookup(&volume.root().unwrap(), b"a").unwrap().unwrap(),
        };
        let (xattr, then) = ((*b"user.x").into(), Timestamp { seconds: 1_600_000_000, nanoseconds: 5 });
        let change = |record: &mut Record| {
            (record.mode, record.uid, record.gid, record.modified) = (0o751, 7, 8, then);
            record.extension.xattrs = vec![(xattr, b"value".to_vec())];
            Ok(())
        };
        let volume = victim.open();
        volume.update(&find(&volume), change).unwrap();
        volume.close().unwrap();
        drop(volume);
        let id = if lost.is_empty() { InodeId::ROOT } else { victim.id(lost) };
        keep(&victim, &[id]);
        victim.remove(id, 0);
        victim.repair(Choices::default());
        let seen = |record: &Record| {
            let xattrs = record.extension.xattrs.clone();
            (record.mode, record.uid, record.gid, record.modified, xattrs.len(), xattrs[0].1.clone())
        };
        let there = find(&victim.open()).view(seen);
        assert_eq!(there, (0o751, 7, 8, then, 1, b"value".to_vec()), "{lost:?}");
    }
}

#[test]
fn a_folder_of_which_a_segment_is_lost_is_rebuilt_too() {
    let mut victim = RepairFixture::new();
    lower_limits(2 << 20, 200, 400);
    let volume = victim.open();
    let folder = volume.inode(victim.id("b")).unwrap();
    for n in 0..60 {
        let name = format!("entry {n}");
        let inode = volume.create(&folder, name.as_bytes(), kind(crate::volume::Kind::File)).unwrap();
        volume.write(&inode, 0, name.as_bytes(), now(), 0).unwrap();
        victim.expected.insert(format!("b/{name}"), name.into_bytes());
    }
    drop(folder);
    volume.close().unwrap();
    drop(volume);
    let segment = (1..1000).find(|index| victim.files().contains(&victim.name(victim.id("b"), *index)));
    victim.remove(victim.id("b"), segment.expect("the log was compacted"));
    repaired(&victim, &["entries", "unnamed"], &[]);
}

#[test]
fn of_a_file_without_its_table_the_first_chunk_is_copied() {
    let victim = RepairFixture::new();
    let (id, whole) = (victim.id("big"), victim.bytes(victim.id("big"), 0));
    let is_table = |block: &u64| {
        victim.spoil(id, 0, block * 4096..block * 4096 + 1);
        let found = victim.check(false).0.iter().any(|finding| finding.what.word() == "table");
        if !found {
            victim.put(id, 0, &whole);
        }
        found
    };
    let blocks = whole.len() as u64 / 4096;
    (2..blocks).rev().find(is_table).expect("a block holds the chunk table");
    let copied = repaired(&victim, &["content", "table"], &["big"]);
    assert_eq!(copied, ["big.partial: [262144..2359196]"]);
    assert!(
        victim.tree()["big.partial"].as_ref().unwrap()[..FIRST as usize]
            == victim.expected["big"][..FIRST as usize]
    );
}

#[test]
fn names_of_what_is_lost_go_and_the_rest_of_a_file_is_copied() {
    let victim = RepairFixture::new();
    victim.spoil(victim.id("a/one"), 0, 0..8192);
    repaired(&victim, &["dangling-name"], &["a/one"]);
    assert!(!victim.tree().contains_key("a/one"));

    let victim = RepairFixture::new();
    victim.spoil(victim.id("big"), 0, 0..8192);
    let copied = repaired(&victim, &["dangling-name"], &["big"]);
    assert_eq!(copied, ["big.partial: [0..262144]"]);
    let big = &victim.expected["big"];
    let rest = victim.tree()["big.partial"].clone().unwrap();
    assert!(rest[FIRST as usize..big.len()] == big[FIRST as usize..]);
    assert!(rest[..FIRST as usize].iter().all(|byte| *byte == 0));

    let victim = RepairFixture::new();
    victim.remove(victim.id("big"), 1);
    // All that is behind the two roots.
    victim.spoil(victim.id("big"), 2, 8192..8200);
    let copied = repaired(&victim, &["content"], &["big"]);
    assert_eq!(copied, ["big.partial: [262144..1314816]"], "a chunk, and the block behind it");
}

#[test]
fn what_may_not_have_arrived_is_left_alone_until_its_owner_says_that_it_is_lost() {
    let mut victim = RepairFixture::new();
    victim.remove(victim.id("a"), 0);
    victim.remove(victim.id("b"), 0);
    // A device that never saw them.
    victim.forget_all();
    let files = victim.files();
    victim.repair(Choices::default());
    assert_eq!(victim.unsettled().len(), victim.check(false).0.len());
    assert!(files.iter().all(|file| victim.files().contains(file)), "nothing is removed");
    assert!(!victim.tree().contains_key("a/one"));
    victim.repair(Choices { missing_is_lost: true, ..Choices::default() });
    assert!(victim.unsettled().is_empty());
    assert_eq!(victim.tree()["a/one"], Ok(victim.expected["a/one"].clone()));
}

#[test]
fn what_is_older_is_left_alone_until_it_is_accepted() {
    let victim = RepairFixture::new();
    let held =
        [("a/one", victim.id("a/one")), ("b", victim.id("b"))].map(|(_, id)| (id, victim.bytes(id, 0)));
    let volume = victim.open();
    volume.write(&volume.inode(victim.id("a/one")).unwrap(), 0, b"newer", now(), 0).unwrap();
    let (from, to) = (volume.inode(victim.id("a/b")).unwrap(), volume.inode(victim.id("b")).unwrap());
    volume.rename((&from, b"five"), (&to, b"moved"), Rename::NoReplace, None, now()).unwrap();
    drop((from, to));
    volume.close().unwrap();
    drop(volume);
    held.iter().for_each(|(id, bytes)| victim.put(*id, 0, bytes));
    let before = victim.files().into_iter().map(|name| (name, victim.bytes_of(name))).collect::<Vec<_>>();
    victim.repair(Choices::default());
    let mut found: Vec<_> = victim.unsettled().iter().map(|finding| finding.what.word()).collect();
    found.sort_unstable();
    assert_eq!(found, ["dangling-name", "dangling-name", "unnamed", "unnamed"]);
    assert!(before.iter().all(|(name, bytes)| victim.bytes_of(*name) == *bytes), "nothing was changed");
    victim.repair(Choices { accepts_older: true, ..Choices::default() });
    assert!(victim.unsettled().is_empty(), "{:?}", victim.unsettled());
    let tree = victim.tree();
    assert_eq!(tree["a/one"], Ok(victim.expected["a/one"].clone()), "as it was");
    assert_eq!(tree["b/three"], Ok(victim.expected["b/three"].clone()));
    assert_eq!(tree["lost+found/b/moved"], Ok(victim.expected["a/b/five"].clone()));
}

#[test]
fn nothing_is_done_while_the_root_directory_is_older_or_on_its_way() {
    let mut victim = RepairFixture::new();
    let held = victim.bytes(InodeId::ROOT, 0);
    let volume = victim.open();
    volume.create(&volume.root().unwrap(), b"newer", kind(crate::volume::Kind::File)).unwrap();
    volume.close().unwrap();
    drop(volume);
    victim.put(InodeId::ROOT, 0, &held);
    victim.remove(victim.id("a/one"), 0);
    let (files, found) = (victim.files(), victim.unsettled().len());
    victim.repair(Choices::default());
    assert_eq!(victim.unsettled().len(), found, "{:?}", victim.unsettled());
    assert!(files == victim.files() && victim.bytes(InodeId::ROOT, 0) == held);
    victim.repair(Choices { accepts_older: true, ..Choices::default() });
    assert!(victim.unsettled().is_empty() && victim.tree().contains_key("lost+found/newer"));
    victim.remove(InodeId::ROOT, 0);
    victim.forget_all();
    victim.repair(Choices::default());
    assert!(!victim.unsettled().is_empty() && !victim.files().contains(&victim.name(InodeId::ROOT, 0)));
}

#[test]
fn a_journal_that_cannot_be_read_keeps_nobody_out() {
    for is_there in [true, false] {
        let victim = RepairFixture::new();
        let volume = victim.open();
        let root = volume.root().unwrap();
        volume.create(&root, b"only in the journal", kind(crate::volume::Kind::File)).unwrap();
        volume.sync_directory(&root).unwrap();
        drop(volume);
        let journal = victim.context().own_journal();
        match is_there {
            true => victim.spoil(journal.inode, 0, 0..8192),
            false => victim.remove(journal.inode, 0),
        }
        assert!(victim.fixture.try_open(victim.store.clone()).is_err());
        repaired(&victim, &["journal"], &[]);
    }
}

#[test]
fn garbage_stays_where_it_is_and_is_told_of_once() {
    let victim = RepairFixture::new();
    let name = victim.context().file_name(ChunkId::first(InodeId([9; 12])));
    let file = victim.store.create(name).unwrap();
    file.write_at(0, &[std::io::IoSlice::new(&garbage(10_000))]).unwrap();
    repaired(&victim, &["garbage"], &[]);
    assert!(victim.store.open(name).is_ok());
    let chunk = ChunkId { inode: victim.id("a/one"), index: ChunkIndex(5) };
    let mut unused = Chunk::new(&victim.context(), chunk, BlockCount(256));
    unused.commit().unwrap();
    unused.sync().unwrap();
    let found = victim.check(false).0;
    assert!(found.iter().any(|finding| finding.what == What::Unused && finding.chunk == Some(chunk)));
}

#[test]
fn names_and_inodes_are_made_to_agree() {
    // A name that went by itself.
    let victim = RepairFixture::new();
    let volume = victim.open();
    let folder = volume.inode(victim.id("a")).unwrap();
    volume.forget_entry(&folder, b"one", now()).unwrap();
    volume.close().unwrap();
    repaired(&victim, &["unnamed"], &["a/one"]);
    let found = [LOST_FOUND, b"/a/one"].concat();
    assert_eq!(victim.tree()[str::from_utf8(&found).unwrap()], Ok(victim.expected["a/one"].clone()));

    // Links that say something else, and a count.
    let victim = RepairFixture::new();
    let volume = victim.open();
    volume.correct_links(&volume.inode(victim.id("a/one")).unwrap(), Vec::new()).unwrap();
    let links =
        volume.inode(victim.id("linked")).unwrap().view(|record| record.extension.links[..1].to_vec());
    volume.correct_links(&volume.inode(victim.id("linked")).unwrap(), links).unwrap();
    volume
        .set_attributes(&volume.inode(victim.id("a/b")).unwrap(), |record| {
            record.links_count = 7;
            false
        })
        .unwrap();
    // Only a batch speaks of the count.
    let folder = volume.inode(victim.id("a/b")).unwrap();
    volume.create(&folder, b"another", kind(crate::volume::Kind::File)).unwrap();
    volume.close().unwrap();
    repaired(&victim, &["link-count", "links"], &[]);

    // A folder in two places.
    let victim = RepairFixture::new();
    let volume = victim.open();
    let (folder, into) = (volume.inode(victim.id("b")).unwrap(), volume.inode(victim.id("a")).unwrap());
    volume.adopt(&folder, &into, b"b again", None, now()).unwrap();
    volume.close().unwrap();
    repaired(&victim, &["several-names"], &["b"]);
    assert!(victim.tree().contains_key("a/b again/three"));
}

#[test]
fn a_folder_that_lies_in_itself_is_taken_out() {
    let mut victim = RepairFixture::new();
    // Once a holds b; then b holds a, and the root neither; then the file that says that a holds b comes back.
    let rename = |from: InodeId, name: &'static [u8], to: InodeId, new: &'static [u8]| {
        let volume = victim.open();
        let (from, to) = (volume.inode(from).unwrap(), volume.inode(to).unwrap());
        let no = Rename::NoReplace;
        volume.rename((&from, name), (&to, new), no, None, now()).unwrap();
        volume.close().unwrap();
    };
    let (a, b) = (victim.id("a"), victim.id("b"));
    rename(InodeId::ROOT, b"b", a, b"inner");
    let held = victim.bytes(a, 0);
    rename(a, b"inner", InodeId::ROOT, b"b");
    rename(InodeId::ROOT, b"a", b, b"a");
    let volume = victim.open();
    volume.forget_entry(&volume.root().unwrap(), b"b", now()).unwrap();
    volume.close().unwrap();
    victim.put(a, 0, &held);
    victim.forget_all();
    let found: Vec<_> = victim.check(true).0.iter().map(|finding| finding.what.word()).collect();
    assert!(found.contains(&"cycle"), "{found:?}");
    // Another device may be about to send the rest of it.
    let files: Vec<_> = victim.files().into_iter().map(|name| (name, victim.bytes_of(name))).collect();
    victim.repair(Choices::default());
    assert!(
        files == victim.files().into_iter().map(|name| (name, victim.bytes_of(name))).collect::<Vec<_>>()
    );
    victim.repair(Choices { missing_is_lost: true, ..Choices::default() });
    assert!(victim.unsettled().is_empty(), "{:?}", victim.unsettled());
    let tree = victim.tree();
    assert!(
        tree.keys().any(|path| path.ends_with("/three")) && tree.keys().any(|path| path.ends_with("/one"))
    );
}

/// Both are shown, one under a derived name. Only where another has that name, there is something to repair.
#[test]
fn a_name_that_two_devices_gave_is_damage_only_if_it_cannot_be_shown() {
    let victim = RepairFixture::new();
    let [first, other, third] = [None, Some(*b"device 2"), Some(*b"device 3")].map(|device| match device {
        Some(device) => victim.fixture.another(device).open(victim.store.clone()),
        None => victim.open(),
    });
    let new = |mode| crate::volume::NewInode { mode, ..kind(crate::volume::Kind::Directory) };
    for (volume, mode) in [(&other, 0o600), (&first, 0o640)] {
        volume.create(&volume.root().unwrap(), b"both", new(mode)).unwrap();
    }
    other.sync_directory(&other.root().unwrap()).unwrap();
    drop(other);
    first.close().unwrap();
    drop(first);
    let is_twice = || victim.check(false).0.iter().any(|finding| matches!(finding.what, What::Twice { .. }));
    assert!(!is_twice());
    let tree = victim.tree();
    let derived = tree.keys().find(|name| name.starts_with("both (conflict ")).cloned();
    let derived = derived.unwrap_or_else(|| panic!("it is shown under another name: {:?}", tree.keys()));
    assert!(tree.contains_key("both"));

    // The third device, which does not see it, takes that name too, and each further one that it is shown under.
    let mut taken = 0;
    while !is_twice() {
        let shown = victim.tree().into_keys().filter(|name| name.starts_with("both (conflict "));
        let shown = shown.max_by_key(String::len).unwrap();
        third.create(&third.root().unwrap(), shown.as_bytes(), new(0o700)).unwrap();
        third.sync_directory(&third.root().unwrap()).unwrap();
        taken += 1;
    }
    assert_eq!(taken, 8);
    drop(third);
    victim.repair(Choices::default());
    let tree = victim.tree();
    assert!(["both", "both (2)", &derived].iter().all(|name| tree.contains_key(*name)), "{:?}", tree.keys());
}
