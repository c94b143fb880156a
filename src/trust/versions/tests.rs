//! What is remembered of chunks, written down and read again.

use super::tables::ATTRIBUTES_MOST;
use super::*;
use crate::chunk::{ChunkIndex, Commit, DeviceId, InodeId};
use std::os::unix::fs::PermissionsExt;

pub fn chunk(n: u32) -> ChunkId {
    ChunkId { inode: InodeId([3; 12]), index: ChunkIndex(n) }
}

pub fn version(entries: &[(u8, u64)]) -> Version {
    Version(entries.iter().map(|&(device, commit)| (DeviceId([device; 8]), Commit(commit))).collect())
}

pub fn open(folder: &tempfile::TempDir) -> Versions {
    Versions::open(&folder.path().join("versions")).unwrap()
}

#[test]
fn what_was_kept_is_known_again_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (version(&[(9, 7)]), version(&[(9, 1 << 62), (1, 3), (2, 4)]));
    let versions = open(&folder);
    assert_eq!((versions.known(chunk(1)), versions.count().unwrap()), (None, 0));
    versions.durable(chunk(1), &one);
    versions.durable(chunk(2), &one);
    versions.durable(chunk(2), &two);
    versions.seen(chunk(3), &one);
    assert_eq!((versions.known(chunk(2)), versions.known(chunk(3))), (Some(two.clone()), None));
    let journals = [1, 0xff].map(|device| InodeId::journal(DeviceId([device; 8])));
    let journals = journals.map(ChunkId::first);
    journals.iter().for_each(|journal| versions.durable(*journal, &one));
    assert!(versions.journals().is_empty(), "not written down yet");
    versions.keep();
    versions.found_durable(chunk(4), &one);
    drop(versions);

    let versions = open(&folder);
    let known = (1..5).map(|n| versions.known(chunk(n))).collect::<Vec<_>>();
    assert_eq!(known, [Some(one.clone()), Some(two.clone()), None, None]);
    assert_eq!(versions.journals(), journals);
    versions.gone(journals[0]);
    versions.gone(chunk(1));
    versions.seen(chunk(2), &one);
    versions.seen(chunk(3), &one);
    versions.durable(chunk(2), &two);
    assert!(versions.has_seen());
    versions.seen_is_durable();
    assert!(!versions.has_seen());
    versions.keep();
    drop(versions);
    let versions = open(&folder);
    let known = (1..5).map(|n| versions.known(chunk(n))).collect::<Vec<_>>();
    assert_eq!(known, [None, Some(two), Some(one), None]);
    assert_eq!((versions.count().unwrap(), versions.journals()), (3, journals[1..].to_vec()));
    let mode = std::fs::metadata(folder.path().join("versions")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// What became durable is, by whoever comes after a daemon that died before it was written down; what was found so, or is gone, as
/// it was written down.
#[test]
fn what_became_durable_is_known_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (version(&[(9, 7)]), version(&[(9, 8), (1, 3)]));
    let kill = |versions: Versions| {
        let (from, to) = (folder.path(), tempfile::tempdir().unwrap());
        for name in ["versions", "recent"] {
            std::fs::copy(from.join(name), to.path().join(name)).unwrap();
        }
        drop(versions);
        to
    };
    let versions = open(&folder);
    [1, 2].into_iter().for_each(|n| versions.durable(chunk(n), &old));
    versions.keep();
    versions.durable(chunk(1), &old);
    versions.durable(chunk(1), &new);
    versions.durable(chunk(3), &new);
    versions.found_durable(chunk(4), &new);
    versions.gone(chunk(2));
    let left = kill(versions);
    let recent_size = || left.path().join("recent").metadata().unwrap().len();
    assert!(recent_size() > 0);
    for _ in 0..2 {
        let versions = open(&left);
        let known = (1..5).map(|n| versions.known(chunk(n))).collect::<Vec<_>>();
        assert_eq!(known, [Some(new.clone()), Some(old.clone()), Some(new.clone()), None]);
        versions.keep();
        drop(versions);
        assert_eq!(recent_size(), 0, "nothing is left to be told");
    }
}

/// What is found does not take the place of what became durable.
#[test]
fn what_was_found_leaves_room_for_what_became_durable() {
    let folder = tempfile::tempdir().unwrap();
    let versions = open(&folder);
    versions.durable(chunk(1), &version(&[(9, 7)]));
    (2..100).for_each(|n| versions.found_durable(chunk(n), &version(&[(9, 7)])));
    versions.durable(chunk(1), &version(&[(9, 8)]));
    let recent = folder.path().join("recent").metadata().unwrap().len();
    assert!(recent < 1000, "{recent}");
}

#[test]
fn what_may_have_no_name_is_known_until_it_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let versions = open(&folder);
    let id = |n: u8| InodeId([n; 12]);
    [3, 1, 2, 1].into_iter().for_each(|n| versions.may_be_nameless(id(n)));
    versions.not_nameless(id(2));
    for _ in 0..2 {
        assert_eq!(versions.maybe_nameless(), [id(1), id(3)]);
        versions.keep();
    }
    versions.not_nameless(id(3));
    versions.keep();
    drop(versions);
    let versions = open(&folder);
    assert_eq!(versions.maybe_nameless(), [id(1)]);
    (0..NAMELESS_MOST as u32 + 9)
        .for_each(|n| versions.may_be_nameless(InodeId(chunk(n).block()[4..].try_into().unwrap())));
    assert_eq!(versions.maybe_nameless().len(), NAMELESS_MOST);
}

#[test]
fn attributes_stay_until_their_inode_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let versions = open(&folder);
    let id = |n: u8| InodeId([n; 12]);
    assert_eq!(versions.attributes(id(1)), None);
    assert!(versions.keeps_attributes(), "or none are given to it");
    versions.keep_attributes(&[1, 2, 3].map(|n| (id(n), vec![n; 5])));
    versions.keep_attributes(&[(id(2), vec![9])]);
    drop(versions);
    let versions = open(&folder);
    assert_eq!(
        [1, 2, 3].map(|n| versions.attributes(id(n))),
        [Some(vec![1; 5]), Some(vec![9]), Some(vec![3; 5])]
    );
    versions.gone(ChunkId::first(id(1)));
    versions.gone(ChunkId { inode: id(2), index: ChunkIndex(1) });
    versions.keep();
    assert_eq!([1, 2].map(|n| versions.attributes(id(n))), [None, Some(vec![9])]);
    let many: Vec<_> = (0..ATTRIBUTES_MOST as u32 + 100)
        .map(|n| (InodeId(chunk(n).block()[4..].try_into().unwrap()), vec![1]))
        .collect();
    versions.keep_attributes(&many);
    let known = many.iter().filter(|(id, _)| versions.attributes(*id).is_some()).count();
    assert_eq!(known as u64, ATTRIBUTES_MOST - 2);
    versions.keep_attributes(&[(id(3), vec![4])]);
    assert_eq!(versions.attributes(id(3)), Some(vec![4]), "what is known is replaced");
}

#[test]
fn one_program_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let versions = open(&folder);
    let path = folder.path().join("versions");
    assert!(matches!(Versions::open(&path), Err(VersionsUnavailable::InUse)));
    drop(versions);
    open(&folder);
}

#[test]
fn it_is_bounded_and_goes_on_with_what_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let versions = open(&folder);
    let many = MOST as u32 + 100;
    (0..many).for_each(|n| versions.durable(chunk(n), &version(&[(1, 5)])));
    versions.keep();
    assert_eq!(versions.count().unwrap(), MOST);
    (0..many).for_each(|n| versions.durable(chunk(n), &version(&[(1, 6)])));
    versions.keep();
    assert_eq!(versions.count().unwrap(), MOST);
    let known: Vec<_> = (0..many).filter_map(|n| versions.known(chunk(n))).collect();
    assert_eq!(known.len() as u64, MOST);
    assert!(known.iter().all(|known| *known == version(&[(1, 6)])));
    (0..200).for_each(|n| versions.gone(chunk(n)));
    (0..100).for_each(|n| versions.durable(chunk(many + n), &version(&[(1, 7)])));
    versions.keep();
    assert!(versions.count().unwrap() <= MOST);
}
