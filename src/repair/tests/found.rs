//! lost+found where something else has its name, or where it is lost itself.

use super::super::Choices;
use super::fixture::{RepairFixture, kind, now};
use super::repaired;
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
