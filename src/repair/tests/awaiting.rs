//! A repair while something has not arrived, is older than it was, or cannot be read just now: what lies below that waits for
//! it, and keeps nothing else from being repaired.

use super::super::{Choices, Step, open_again};
use super::fixture::{RepairFixture, kind, now};
use crate::chunk::InodeId;
use crate::store::CopyName;
use crate::store::faulty::{Call, Fault, Faulty};
use crate::store::memory::{Item, Memory};
use crate::volume::Kind;
use crate::volume::tests::CHUNK;
use std::sync::Arc;

/// The volume moves no directory into one when it cannot read what is above that.
#[test]
fn a_folder_below_one_that_is_older_or_incomplete_comes_back_when_that_does() {
    for is_older in [true, false] {
        let mut victim = RepairFixture::new();
        let a = victim.id("a");
        let older = victim.bytes(a, 0);
        let volume = victim.open();
        let (above, inner) = (volume.inode(a).unwrap(), volume.inode(victim.id("a/b")).unwrap());
        let lost = volume.create(&inner, b"lost", kind(Kind::Directory)).unwrap();
        let kept = volume.create(&lost, b"kept", kind(Kind::File)).unwrap();
        volume.write(&kept, 0, b"kept", now(), 0).unwrap();
        volume.create(&above, b"newer", kind(Kind::Directory)).unwrap();
        let id = lost.id();
        drop((above, inner, lost, kept));
        volume.close().unwrap();
        drop(volume);
        let newer = victim.bytes(a, 0);
        victim.put(a, 0, if is_older { &older } else { &[] });
        victim.remove(id, 0);
        victim.remove(victim.id("top"), 0);
        victim.repair(Choices::default());
        let tree = victim.tree();
        assert!(!tree.contains_key("top"), "the rest is repaired: {:?}", tree.keys());
        victim.put(a, 0, &newer);
        victim.repair(Choices::default());
        assert!(victim.unsettled().is_empty(), "{:#?}", victim.unsettled());
        let tree = victim.tree();
        assert_eq!(tree.get("a/b/lost/kept"), Some(&Ok(b"kept".to_vec())), "{:?}", tree.keys());
        victim.expected.remove("top");
        for (path, content) in &victim.expected {
            assert_eq!(tree.get(path), Some(&Ok(content.clone())), "{path}");
        }
    }
}

#[test]
fn what_lies_in_a_folder_that_the_disk_does_not_give_stays_there() {
    for (error, first) in [(libc::EIO, true), (libc::EACCES, false)] {
        let faulty = Faulty::new(Arc::new(Memory::new()));
        let victim = RepairFixture::on(Arc::new(faulty.clone()));
        let name = victim.name(victim.id(if first { "a" } else { "b" }), 0);
        faulty.fail_when(move |event| (event.name == Some(name)).then_some(Fault::Error(error)));
        let found = victim.check(true).0;
        assert!(found.iter().any(|finding| finding.what.word() == "unnamed"), "{found:#?}");
        victim.repair(Choices { missing_is_lost: true, accepts_older: true });
        faulty.heal();
        assert!(victim.check(true).0.is_empty(), "{:#?}", victim.check(true).0);
        let tree = victim.tree();
        assert!(victim.expected.iter().all(|(path, content)| tree.get(path) == Some(&Ok(content.clone()))));
        assert!(!tree.contains_key("lost+found"), "{:?}", tree.keys());
    }
}

#[test]
fn a_new_root_directory_for_which_there_is_no_room_is_not_on_its_way_afterwards() {
    let faulty = Faulty::new(Arc::new(Memory::new()));
    let victim = RepairFixture::on(Arc::new(faulty.clone()));
    let root = victim.name(InodeId::ROOT, 0);
    victim.remove(InodeId::ROOT, 0);
    faulty.fail_when(move |event| {
        let is_stored = event.name == Some(root) && matches!(event.call, Call::Write | Call::SetLength);
        is_stored.then_some(Fault::Short(libc::ENOSPC))
    });
    let steps = [Step::NewRoot];
    assert!(open_again(&victim.context(), CHUNK, (1, 2), &steps, &mut |_| Ok(())).is_err());
    faulty.heal();
    victim.repair(Choices::default());
    assert!(victim.unsettled().is_empty(), "{:#?}", victim.unsettled());
    let tree = victim.tree();
    assert!(victim.expected.iter().all(|(path, content)| tree.get(path) == Some(&Ok(content.clone()))));
}

/// A sync client put a copy of it beside it, so that the next mount may give it its name.
#[test]
fn what_is_put_into_a_folder_without_a_name_waits_as_that_does() {
    let memory = Memory::new();
    let victim = RepairFixture::on(Arc::new(memory.clone()));
    let volume = victim.open();
    let inner = volume.inode(victim.id("a/b")).unwrap();
    let lost = volume.create(&inner, b"lost", kind(Kind::Directory)).unwrap();
    let kept = volume.create(&lost, b"kept", kind(Kind::File)).unwrap();
    volume.write(&kept, 0, b"kept", now(), 0).unwrap();
    let id = lost.id();
    drop((inner, lost, kept));
    volume.close().unwrap();
    drop(volume);
    let of = victim.name(victim.id("a/b"), 0);
    let path = format!("{}.sync-conflict-20260101-010101-ABCDEFG", &of.path()["chunks/".len()..]);
    memory.put(&Item::Copy(CopyName { of, path: path.into_bytes() }), memory.take(&Item::File(of)));
    victim.remove(victim.id("a"), 0);
    victim.remove(id, 0);
    victim.repair(Choices::default());
    assert!(victim.tree().values().any(|found| *found == Ok(b"kept".to_vec())), "{:?}", victim.tree().keys());
    victim.repair(Choices { missing_is_lost: true, ..Choices::default() });
    assert!(victim.unsettled().is_empty(), "{:#?}", victim.unsettled());
    let tree = victim.tree();
    let is_kept = |(path, found): (&String, &Result<Vec<u8>, String>)| {
        path.ends_with("b/lost/kept") && *found == Ok(b"kept".to_vec())
    };
    assert!(tree.iter().any(is_kept), "{:?}", tree.keys());
}
