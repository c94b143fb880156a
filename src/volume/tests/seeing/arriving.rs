//! What arrives before anybody has noticed it, or is gone before what says so.

use super::*;
use crate::store::memory::Item;
use crate::volume::tests::hostile;

/// Of a folder only the other device's journal told; its chunk file arrives, and nobody has noticed that when something that this
/// device did in it is stored.
#[test]
fn a_folder_that_only_a_journal_told_of_is_joined_with_what_arrived() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    let folder = ours.create(&root, b"d", new(Kind::Directory)).unwrap();
    ours.sync_directory(&folder).unwrap();
    two.deliver(&two.differing());
    let their_folder = theirs.lookup(&their_root, b"d").unwrap().unwrap();
    file_in(&theirs, &their_folder, "theirs", b"theirs");
    file_in(&ours, &folder, "ours", b"ours");
    ours.checkpoint().unwrap();
    two.put(folder.id(), false);
    theirs.checkpoint().unwrap();
    theirs.checkpoint().unwrap();
    let mut found = names(&theirs, &their_folder);
    found.sort();
    assert_eq!(found, ["ours", "theirs"]);
}

/// The same of a file of this device's own: the other one knew it by this one's journal, and wrote to it.
#[test]
fn what_another_device_made_of_a_new_file_is_not_replaced() {
    let mut two = Two::new();
    let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
    let (theirs, their_root) = two.theirs();
    ours.cache.journal_read(theirs.base.context.own_journal());
    let inode = file_in(&ours, &root, "f", b"ours");
    ours.sync(&inode, false).unwrap();
    let item = Item::File(ours.base.context.file_name(ChunkId::first(inode.id())));
    assert!(two.stores[0].take(&item).is_none(), "the journal alone has it");
    two.deliver(&two.differing());
    let their = theirs.lookup(&their_root, b"f").unwrap().unwrap();
    theirs.write(&their, 0, b"of b", now(), 0).unwrap();
    theirs.checkpoint().unwrap();
    two.stores[0].put(&item, two.stores[1].take(&item));
    ours.checkpoint().unwrap();
    ours.merge().unwrap();
    let contents: Vec<_> = names(&ours, &root).iter().map(|name| look(&ours, name).unwrap()).collect();
    assert!(contents.contains(&b"of b".to_vec()), "{contents:?}");
}

#[test]
fn the_rule_about_what_arrived_is_needed() {
    for test in [
        a_folder_that_only_a_journal_told_of_is_joined_with_what_arrived,
        what_another_device_made_of_a_new_file_is_not_replaced,
    ] {
        mutants::plant(Some(Mutant::ArrivalReplaced));
        let noticed = catch_unwind(test);
        mutants::plant(None);
        assert!(noticed.is_err());
    }
}

/// A client takes away a file before the folder that was removed with it, and somebody looks in between.
#[test]
fn what_was_removed_with_its_folder_is_not_told() {
    for depth in [1, 2] {
        let mut two = Two::new();
        let (ours, root) = (two.volumes[0].clone(), two.volumes[0].root().unwrap());
        let (theirs, their_root) = two.theirs();
        let folders = (0..depth).scan(root.clone(), |above, _| {
            let folder = ours.create(above, b"d", new(Kind::Directory)).unwrap();
            Some((std::mem::replace(above, folder.clone()), folder))
        });
        let folders: Vec<_> = folders.collect();
        let above = folders.last().unwrap().1.clone();
        let inode = file_in(&ours, &above, "file", b"content");
        let chunk = theirs.base.context.file_name(ChunkId::first(inode.id()));
        two.deliver_all();
        theirs.base.context.recall.durable(ChunkId::first(inode.id()), inode.state.read().version());
        let told = hostile::told::Told::default();
        assert!(told.at_open(&theirs).is_empty());
        drop(inode);
        ours.release(ours.unlink(&above, b"file", now()).unwrap().unwrap());
        drop(above);
        for (above, folder) in folders.into_iter().rev() {
            drop(folder);
            ours.release(ours.remove_directory(&above, b"d", now()).unwrap().unwrap());
        }
        ours.checkpoint().unwrap();
        two.deliver(&[chunk]);
        let mut at = their_root.clone();
        for _ in 0..depth {
            at = theirs.lookup(&at, b"d").unwrap().unwrap();
        }
        assert!(theirs.lookup(&at, b"file").is_err());
        drop(at);
        two.deliver_all();
        assert!(names(&theirs, &their_root).is_empty());
        theirs.report();
        let found = told.found();
        assert!(found.is_empty(), "{depth}: {found:?}");
    }
}
