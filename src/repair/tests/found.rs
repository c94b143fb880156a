//! lost+found where something else has its name, or where it is lost itself; and what is damaged and gets no name.

use super::super::Choices;
use super::fixture::{RepairFixture, kind, now};
use super::repaired;
use crate::chunk::InodeId;
use crate::volume::tests::lower_limits;
use crate::volume::{Kind, Volume};

fn change(victim: &RepairFixture, change: impl FnOnce(&Volume)) {
    let volume = victim.open();
    change(&volume);
    volume.close().unwrap();
}

#[test]
fn a_file_with_that_name_keeps_no_folder_from_its_place() {
    let mut victim = RepairFixture::new();
    change(&victim, |volume| {
        volume.create(&volume.root().unwrap(), b"lost+found", kind(Kind::File)).unwrap();
    });
    victim.expected.insert("lost+found".to_owned(), Vec::new());
    victim.remove(victim.id("a"), 0);
    victim.remove(victim.id("b"), 0);
    repaired(&victim, &["dangling-name", "links", "unnamed"], &[]);
}

#[test]
fn one_that_is_lost_itself_keeps_nothing_from_being_found() {
    let victim = RepairFixture::new();
    let lose = |folder: &str, name: &[u8]| {
        change(&victim, |volume| {
            volume.forget_entry(&volume.inode(victim.id(folder)).unwrap(), name, now()).unwrap();
        });
    };
    lose("a", b"one");
    victim.repair(Choices::default());
    let mut found = None;
    change(&victim, |volume| {
        found = volume.lookup(&volume.root().unwrap(), b"lost+found").unwrap().map(|inode| inode.id());
    });
    lose("b", b"three");
    victim.remove(found.expect("something was lost"), 0);
    victim.remove(victim.id("a/b"), 0);
    victim.repair(Choices::default());
    assert!(victim.unsettled().is_empty(), "{:#?}", victim.unsettled());
    let tree = victim.tree();
    for (path, content) in &victim.expected {
        let name = path.rsplit('/').next().unwrap();
        let is_there = |(at, found): (&String, &Result<Vec<u8>, String>)| {
            at.ends_with(name) && found.as_ref() == Ok(content)
        };
        assert!(tree.iter().any(is_there), "{path}: {:?}", tree.keys());
    }
    assert!(tree.contains_key("a/b/five"), "{:?}", tree.keys());
}

/// What was in it comes back without it.
#[test]
fn a_folder_whose_table_is_lost_and_whose_name_is_keeps_nothing_open() {
    let victim = RepairFixture::new();
    lower_limits(2 << 20, 200, 400);
    let b = victim.id("b");
    change(&victim, |volume| {
        let folder = volume.inode(b).unwrap();
        for n in 0..60 {
            let name = format!("entry {n}");
            volume.create(&folder, name.as_bytes(), kind(Kind::File)).unwrap();
        }
    });
    let whole = victim.bytes(b, 0);
    let is_table = |block: &u64| {
        victim.spoil(b, 0, block * 4096..block * 4096 + 1);
        let is_found = victim.check(false).0.iter().any(|finding| finding.what.word() == "table");
        if !is_found {
            victim.put(b, 0, &whole);
        }
        is_found
    };
    (2..whole.len() as u64 / 4096).rev().find(is_table).expect("a block holds the table of segments");
    victim.remove(InodeId::ROOT, 0);
    victim.repair(Choices::default());
    assert!(victim.unsettled().is_empty(), "{:#?}", victim.unsettled());
    let tree = victim.tree();
    assert!((0..60).all(|n| tree.keys().any(|path| path.ends_with(&format!("/entry {n}")))), "{tree:?}");
}

#[test]
fn a_deleted_file_that_comes_back_damaged_keeps_nothing_open() {
    let mut victim = RepairFixture::new();
    let six = victim.id("a/b/six");
    let bytes = victim.bytes(six, 0);
    change(&victim, |volume| {
        let folder = volume.inode(victim.id("a/b")).unwrap();
        drop(volume.unlink(&folder, b"six", now()).unwrap());
    });
    victim.put(six, 0, &bytes);
    victim.spoil(six, 0, 3 * 4096..4 * 4096);
    victim.expected.remove("a/b/six");
    assert!(repaired(&victim, &["content", "returned"], &[]).is_empty());
}
